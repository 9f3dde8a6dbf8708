"""One class out of many, found by typing."""

from __future__ import annotations

from typing import Any

from traitlets import Float, Int, List, TraitError, Unicode, validate

from xai_widgets.views.base import View


class ClassPicker(View):
    """A search field for one class.

    An empty field offers the ten classes with the highest probabilities, if there are any; typing filters all labels.

    Raises
    ------
    traitlets.TraitError
        For a target that is no class.
    """

    _bundle = "class_picker"

    title = Unicode("Class", help="A heading, also the accessible name.").tag(sync=True)
    labels: List[str] = List(Unicode(), help="The name of each class.").tag(sync=True)
    target = Int(0, help="The chosen class, from 0 to ``len(labels) - 1``.").tag(sync=True)
    probabilities: List[float] = List(
        Float(),
        help=("The probability of each class, or its score where there is none; or empty (the default)."),
    ).tag(sync=True)
    width = Int(0, min=0, help="Largest width in CSS px, 0 for the width of the column.").tag(sync=True)

    @validate("target")
    def _is_class(self, proposal: dict[str, Any]) -> int:
        target: int = proposal["value"]
        # Without labels yet nothing is known about the number of classes.
        if target < 0 or (self.labels and target >= len(self.labels)):
            last = f" to {len(self.labels) - 1}" if self.labels else " on"
            raise TraitError(f"ClassPicker.target is {target}, wanted a class from 0{last}")
        return target
