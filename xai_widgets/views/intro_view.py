"""The question that an explorer answers, and a hint for the first use."""

from __future__ import annotations

from traitlets import Int, Unicode

from xai_widgets.views.base import View
from xai_widgets.views.traits import Choice


class IntroView(View):
    """A line with the question that an explorer answers, and a hint that goes after the first use.

    The first use is a press or a key in any view of the explorer, or a pointer that moves over one for a while.
    """

    _bundle = "intro_view"

    question = Unicode("", help="The question that the explorer answers.").tag(sync=True)
    hint = Unicode("", help="The first thing to do, such as ``Drag the line.``").tag(sync=True)
    gesture = Choice(("press", "hover"), help="The first use: a press or key, or a pointer that moves.")
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)
