"""A choice of methods from a searchable list, with the looks of their curves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from traitlets import Bool, Bytes, Dict, Int, List, TraitError, Unicode, observe, validate

from xai_widgets.errors import unknown_name
from xai_widgets.views.control import Control
from xai_widgets.views.select_view import distinct


def _by_option(description: str) -> Dict[str, str]:
    return Dict(value_trait=Unicode(), key_trait=Unicode(), help=description).tag(sync=True)


class MethodPicker(Control):
    """A button that opens a list of methods, of which any number can be selected.

    In the open list, typing searches, with typing errors forgiven,
    arrows move, Enter and the space bar select, and Escape closes.

    Parameters
    ----------
    image_of : callable, optional
        Returns the example on the card of an option as a WebP file, or None.

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
    looks: Dict[str, int] = Dict(
        value_trait=Int(),
        key_trait=Unicode(),
        help="The look of the curves of options, by option, as in `CurveView.series`; shown after the label.",
    ).tag(sync=True)
    families = _by_option("The heading under which an option is listed, by option.")
    sentences = _by_option("A sentence about each option, by option.")
    costs = _by_option("The cost of each option, such as its passes through the network, by option.")
    notes = _by_option("Remarks about options, such as why a method has no result, in place of the sentence.")
    cards: Dict[str, dict[str, str]] = Dict(
        value_trait=Dict(),
        key_trait=Unicode(),
        help="The facts on the card of each option, by their names, by option; `costs` are shown in the list.",
    ).tag(sync=True)
    reasons = _by_option(
        "The reasons why options cannot be chosen in the browser, by option; these are listed at the end."
    )

    _opened = Bool(False, help="Whether the list has been opened; set in the browser.").tag(sync=True)
    _card = Unicode("", help="The option whose card is open; set in the browser.").tag(sync=True)
    _image = Bytes(b"", help="The example on the open card, a WebP file.").tag(sync=True)

    def __init__(self, *, image_of: Callable[[str], bytes | None] | None = None, **kwargs: Any) -> None:
        self._image_of = image_of
        super().__init__(**kwargs)

    @observe("_card")
    def _show_image(self, change: dict[str, Any]) -> None:
        name = change["new"]
        found = self._image_of(name) if self._image_of is not None and name in self.options else None
        self._image = found or b""

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
