"""Flows on the bare page."""

import numpy as np

from xai_widgets.views import FlowView


def test_keys_choose_a_concept_in_python(afm_page):
    view = FlowView(
        names=["stamp", "red"],
        groups=["mark", "color"],
        values=np.array([2.0, -1.0], np.float32),
        residual=0.5,
        target_label="toadstool",
        score=1.5,
    )
    mounted = afm_page.mount(view)
    rows = mounted.el.locator(".xw-flow-row")
    assert rows.count() == 4
    assert "stamp" in rows.nth(0).text_content()
    mounted.el.locator("svg[role=listbox]").focus()
    mounted.el.page.keyboard.press("ArrowDown")
    mounted.el.locator(".xw-flow-row[aria-selected=true][aria-label^=red]").wait_for()
