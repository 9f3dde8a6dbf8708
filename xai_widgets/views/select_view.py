"""A choice of one option from a list."""

from __future__ import annotations

from typing import Any

from traitlets import Dict, List, TraitError, Unicode, observe, validate

from xai_widgets.errors import unknown_name
from xai_widgets.views.control import Control


class SelectView(Control):
    """A choice of one option from a list that opens below its field.

    With the field focused, arrows, Home and End move in the list, letters search it, Enter chooses and Escape closes.

    Raises
    ------
    traitlets.TraitError
        For a value that is not an option; the message gives the nearest option.

    Examples
    --------
    >>> view = SelectView(title="Layer", options=["layer3", "layer4"])
    >>> view.value
    'layer3'
    """

    _bundle = "select_view"

    title = Unicode("", help="The label left of the field, and the accessible name.").tag(sync=True)
    options: List[str] = List(Unicode(), help="The names to choose from.").tag(sync=True)
    labels: Dict[str, str] = Dict(
        value_trait=Unicode(),
        key_trait=Unicode(),
        help="The text of options, by option, where it differs from the option.",
    ).tag(sync=True)
    value: Any = Unicode("", help="The chosen option, at first the first one; empty without options.").tag(
        sync=True
    )
    notes: Dict[str, str] = Dict(
        value_trait=Unicode(),
        key_trait=Unicode(),
        help="The reasons why options are disabled, by option. Python may choose a disabled option.",
    ).tag(sync=True)

    @property
    def index(self) -> int:
        """The index of the chosen option; -1 without options."""
        return self.options.index(self.value) if self.value in self.options else -1

    @validate("value")
    def _is_option(self, proposal: dict[str, Any]) -> str:
        value: str = proposal["value"]
        if self.options and value not in self.options:
            raise TraitError(f"SelectView.value: {unknown_name('option', value, self.options)}")
        return value

    @validate("options")
    def _without_repetition(self, proposal: dict[str, Any]) -> list[str]:
        return distinct("SelectView.options", proposal["value"])

    @observe("options")
    def _choose_first(self, _change: object) -> None:
        if self.value not in self.options:
            self.value = self.options[0] if self.options else ""


def distinct(name: str, options: list[str]) -> list[str]:
    """Return options; TraitError for one that is there twice."""
    for option in options:
        if options.count(option) > 1:
            raise TraitError(f"expected {name} to have each name once, got {option!r} twice")
    return options
