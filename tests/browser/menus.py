"""Arrays saved by the menu of a view."""

import io

import numpy as np


def saved_arrays(view):
    """Return the arrays that the menu of a view saves."""
    view.hover()
    view.locator(".xw-menu-button").first.click()
    with view.page.expect_download() as download:
        view.get_by_role("menuitem", name="Save arrays", exact=True).click()
    with np.load(io.BytesIO(download.value.path().read_bytes())) as saved:
        return dict(saved)
