"""A choice of methods, as chips in the colors of their curves."""

from __future__ import annotations

from typing import Any

from traitlets import Dict, Int, List, TraitError, Unicode, observe, validate

from xai_widgets.errors import unknown_name
from xai_widgets.views.base import View


class MethodPicker(View):
    """A choice of any number of options, as chips.

    The chip of option i has the color of frame i in `CurveView`.

    Raises
    ------
    traitlets.TraitError
        For a selected name that is not an option; the message gives the nearest option.
    """

    _bundle = "method_picker"

    title = Unicode("Methods", help="A heading above the view, and its accessible name.").tag(sync=True)
    options: List[str] = List(Unicode(), help="The names to choose from.").tag(sync=True)
    labels: Dict[str, str] = Dict(
        value_trait=Unicode(),
        key_trait=Unicode(),
        help="The labels of chips, by option, where they differ from the options.",
    ).tag(sync=True)
    selected: List[str] = List(
        Unicode(), help="The selected options, without repetition, in the order of `options`."
    ).tag(sync=True)
    notes: Dict[str, str] = Dict(
        value_trait=Unicode(),
        key_trait=Unicode(),
        help="Remarks about options, such as why a method has no result; shown under the pointer.",
    ).tag(sync=True)
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    @validate("selected")
    def _are_options(self, proposal: dict[str, Any]) -> list[str]:
        for name in proposal["value"]:
            if name not in self.options:
                raise TraitError(f"MethodPicker.selected: {unknown_name('option', name, self.options)}")
        chosen = set(proposal["value"])
        return [name for name in self.options if name in chosen]

    @validate("options")
    def _without_repetition(self, proposal: dict[str, Any]) -> list[str]:
        options: list[str] = proposal["value"]
        for name in options:
            if options.count(name) > 1:
                raise TraitError(f"expected MethodPicker.options to have each name once, got {name!r} twice")
        return options

    @observe("options")
    def _forget_gone(self, _change: object) -> None:
        self.selected = [name for name in self.options if name in self.selected]
