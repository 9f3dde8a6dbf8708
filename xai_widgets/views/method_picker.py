"""A choice of methods from a searchable list, in the colors of their curves."""

from __future__ import annotations

from typing import Any

from traitlets import Dict, List, TraitError, Unicode, observe, validate

from xai_widgets.errors import unknown_name
from xai_widgets.views.control import Control
from xai_widgets.views.select_view import distinct


def _by_option(description: str) -> Dict[str, str]:
    return Dict(value_trait=Unicode(), key_trait=Unicode(), help=description).tag(sync=True)


class MethodPicker(Control):
    """A button that opens a list of methods, of which any number can be selected.

    Option i has the color of frame i in `CurveView`. In the open list, typing searches, with typing errors forgiven,
    arrows move, Enter and the space bar select, and Escape closes.

    Raises
    ------
    traitlets.TraitError
        For a selected name that is not an option; the message gives the nearest option.
    """

    _bundle = "method_picker"

    title = Unicode("Methods", help="The text of the button, and the accessible name.").tag(sync=True)
    options: List[str] = List(Unicode(), help="The names to choose from.").tag(sync=True)
    labels = _by_option("The text of options, by option, where it differs from the option.")
    selected: List[str] = List(
        Unicode(), help="The selected options, without repetition, in the order of `options`."
    ).tag(sync=True)
    families = _by_option("The heading under which an option is listed, by option.")
    sentences = _by_option("A sentence about each option, by option.")
    costs = _by_option("The cost of each option, such as its passes through the network, by option.")
    notes = _by_option("Remarks about options, such as why a method has no result, in place of the sentence.")
    reasons = _by_option(
        "The reasons why options cannot be chosen in the browser, by option; these are listed at the end."
    )

    @validate("selected")
    def _are_options(self, proposal: dict[str, Any]) -> list[str]:
        for name in proposal["value"]:
            if name not in self.options:
                raise TraitError(f"MethodPicker.selected: {unknown_name('option', name, self.options)}")
        chosen = set(proposal["value"])
        return [name for name in self.options if name in chosen]

    @validate("options")
    def _without_repetition(self, proposal: dict[str, Any]) -> list[str]:
        return distinct("MethodPicker.options", proposal["value"])

    @observe("options")
    def _forget_gone(self, _change: object) -> None:
        self.selected = [name for name in self.options if name in self.selected]
