"""A search field for one of many classes."""

from __future__ import annotations

from typing import Any

from traitlets import Float, Int, List, TraitError, Unicode, validate

from xai_widgets.views.control import Control


class ClassPicker(Control):
    """A search field for one class.

    An empty field offers all classes, the most probable ones first if their probabilities are set. Typing filters the
    labels: any part of a label, in any case, words in any order, and with a typing error.

    Raises
    ------
    traitlets.TraitError
        For a target that is not a class.
    """

    _bundle = "class_picker"

    title = Unicode("Class", help="A heading above the view, and its accessible name.").tag(sync=True)
    labels: List[str] = List(Unicode(), help="The name of each class.").tag(sync=True)
    help = Unicode(
        "The class that is explained; type to search", help="A sentence that is shown under the pointer."
    ).tag(sync=True)
    target = Int(0, help="The chosen class, from 0 to ``len(labels) - 1``.").tag(sync=True)
    probabilities: List[float] = List(
        Float(),
        help=("The probability of each class, or its score for a network without probabilities."),
    ).tag(sync=True)

    @validate("target")
    def _is_class(self, proposal: dict[str, Any]) -> int:
        target: int = proposal["value"]
        # The number of classes is unknown before the labels are set.
        if target < 0 or (self.labels and target >= len(self.labels)):
            classes = f"from 0 to {len(self.labels) - 1}" if self.labels else "of at least 0"
            raise TraitError(f"expected ClassPicker.target to be a class {classes}, got {target}")
        return target
