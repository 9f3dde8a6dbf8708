"""A check box."""

from __future__ import annotations

from traitlets import Bool, Unicode

from xai_widgets.views.control import Control


class CheckView(Control):
    """A check box with its label.

    Examples
    --------
    >>> view = CheckView(title="Gray image")
    >>> view.value
    False
    """

    _bundle = "check_view"

    title = Unicode("", help="The label right of the box, and the accessible name.").tag(sync=True)
    value = Bool(False, help="Whether the box is checked.").tag(sync=True)
