"""The choices in an explorer as a plain dictionary, and the code that makes them again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from ipywidgets import DOMWidget
from traitlets import HasTraits

from xai_widgets.core.figures import draw_with_matplotlib, draw_with_plotly
from xai_widgets.core.validation import brief
from xai_widgets.errors import unknown_name
from xai_widgets.explorers.code import code_of
from xai_widgets.explorers.history import History, is_hovered
from xai_widgets.explorers.opening import open_photograph
from xai_widgets.explorers.panel import Panel
from xai_widgets.explorers.replaced import note_display
from xai_widgets.views import CurveView, DisplayMenu, ExplorerMenu, MaskView, SliderView, View
from xai_widgets.views.array_list import Arrays
from xai_widgets.views.arrays import Array
from xai_widgets.views.display_menu import SETTINGS
from xai_widgets.views.figures import view_panels
from xai_widgets.views.static_repr import visible_views

Compute = TypeVar("Compute", bound=Callable[..., Any])

#: Traits of explorers that are choices, in the order in which they are set: another image chooses a class.
OWN = ("frame", "target", "layer", "off")
#: Traits of controls and views that are choices, in the order in which they are set.
CHOICES = (
    *("value", "selected", "frame", "group", "step", "mode", "source", "layer", "fill", "hidden"),
    *("metric", "pair", "fraction", "area", "position", "pins", "row", "column", "enlarged", "compared"),
    *(
        "display",
        "colormap",
        "color_range",
        "opacity",
        "sign",
        "percentile",
        "limit",
        "threshold",
        "fade",
        "gray",
    ),
    *(
        "interpolation",
        "smoothing",
        "viewport",
        "measure",
        "scale",
        "scope",
        "kind",
        "errors",
        "sort",
        "order",
    ),
    *("component_opacity", "tool", "shape", "brush_size", "softness", "x_scale", "y_range"),
)
#: Parts whose names stand for linked traits, if one of them has the trait.
PREFERRED = ("display", "curves", "slider", "mask", "view", "heatmap")
#: Class of the element of an explorer, in which its menu finds what to save.
EXPLORER = "xw-explorer"
#: Parts whose traits follow from those of the explorer.
DERIVED = ("class_picker", "own_picker", "run_bar", "menu")


def held(compute: Compute) -> Compute:
    """Compute once, after a whole state was set, in place of after each of its entries."""

    @wraps(compute)
    def computed(self: Any, **options: Any) -> Any:
        if self._held:
            self._pending = True
            return None
        return compute(self, **options)

    return computed  # type: ignore[return-value]


class ChoiceEntry(NamedTuple):
    """One choice: its name in a state, and the object and trait that hold it."""

    name: str
    part: Any
    trait: str

    @property
    def channel(self) -> str:
        """The channel of linked traits; "" for one that is not linked."""
        return self.part._channels.get(self.trait, "") if isinstance(self.part, View) else ""

    def value(self) -> Any:
        """Return the value in plain types."""
        return _plain(getattr(self.part, self.trait))


class Stateful(Panel):
    """A panel whose choices can be read, set, undone and written as code.

    Attributes
    ----------
    menu : ExplorerMenu
        The menu: save, code, undo, full screen, and a photograph of the user.
    """

    #: Names of attributes whose traits follow from others; they are not part of the state.
    derived: ClassVar[tuple[str, ...]] = DERIVED

    menu: ExplorerMenu
    _held = False
    _pending = False
    _history: History | None = None
    #: Entries of a loaded state until its results are drawn, or the user changes something.
    _unsettled: Mapping[str, Any] = MappingProxyType({})
    #: The state after the constructor, from which code differs.
    _begun: dict[str, Any] | None = None

    def _make_menu(self) -> ExplorerMenu:
        actions: dict[str, Callable[..., Any]] = {
            "code": self.code,
            "undo": self.undo,
            "redo": self.redo,
            "reset": self.reset,
        }
        if self._opens():
            actions["image"] = lambda data, name="": self._open_image(open_photograph(data, name))
        self.menu = ExplorerMenu(actions, opens="image" in actions, name=_slug(type(self).__name__))
        return self.menu

    def _show_steps(self, undos: int, redos: int) -> None:
        self._unsettled = {}
        with self.menu.hold_sync():
            self.menu.undos, self.menu.redos = undos, redos

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        note_display(self)
        return super()._repr_mimebundle_(**kwargs)

    # -- the state ------------------------------------------------------------------------------------------

    def _entries(self) -> Iterator[ChoiceEntry]:
        """Yield the choices; those of linked traits have the same channel."""
        for trait in OWN:
            if type(self).class_traits().get(trait) is not None:
                yield ChoiceEntry(trait, self, trait)
        parts = sorted(self._state_parts(), key=lambda item: _rank(item[0]))
        for name, part in parts:
            left_out = _follows(part)
            for trait in CHOICES:
                if trait not in left_out and _is_choice(part, trait):
                    yield ChoiceEntry(f"{name}.{trait}", part, trait)

    def _state_parts(self) -> Iterator[tuple[str, Any]]:
        # Copies: a worker may set attributes meanwhile.
        for name, value in list(vars(self).items()):
            if name.startswith("_") or name in self.derived:
                continue
            if isinstance(value, DOMWidget):
                yield name, value
            elif isinstance(value, Mapping):
                parts = list(value.items())
                yield from ((f"{name}.{key}", part) for key, part in parts if isinstance(part, View))

    def _groups(self) -> dict[str, list[ChoiceEntry]]:
        """Return the entries by the name of the first of those that are linked."""
        groups: dict[str, list[ChoiceEntry]] = {}
        names: dict[str, str] = {}
        for entry in self._entries():
            name = names.setdefault(entry.channel, entry.name) if entry.channel else entry.name
            groups.setdefault(name, []).append(entry)
        return groups

    def _choices(self) -> dict[str, Any]:
        # Without a browser linked traits differ: the one that was set last is the choice.
        latest = self._history.latest if self._history else {}
        values = {}
        for name, entries in self._groups().items():
            last = max(entries, key=lambda entry: latest.get((id(entry.part), entry.trait), 0))
            values[name] = last.value()
        return values

    def state(self) -> dict[str, Any]:
        """Return the choices of the explorer.

        Returns
        -------
        dict
            Plain values for JSON: the class, the controls and the display settings, such as
            ``{"explorer": "DeletionExplorer", "target": 281, "curves.fraction": 0.1}``. Arrays are not part of it.
        """
        return {"explorer": type(self).__name__, **self._choices()}

    def _constructed(self, state: Mapping[str, Any] | None) -> None:
        self._begun = self.state()
        self._history = history = History(self.state, self.load_state, self._show_steps)
        # Watched from here on, so that of linked traits the one that the state has set last is known.
        history.watch(self._entries())
        if state is not None:
            compute = (self._arguments or {}).get("start") is not False
            history.begin(lambda: self._load(state, compute=compute))
            history.watch(self._entries())

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Set the choices of the explorer; it computes once if they need results that are not known.

        Parameters
        ----------
        state : dict
            A result of :meth:`state`, or some entries of one.

        Raises
        ------
        TypeError
            If ``state`` is not a dictionary.
        ValueError
            For an unknown entry, with the nearest one, or a state of another explorer; nothing is set then.
        TraitError
            For a value that an entry cannot have; the state before is set again.
        """
        self._load(state, compute=True)

    def _load(self, state: Mapping[str, Any], *, compute: bool) -> None:
        if not isinstance(state, Mapping):
            raise TypeError(f"expected state to be a dictionary, got {brief(state)}")
        given = dict(state)
        made = given.pop("explorer", type(self).__name__)
        if made != type(self).__name__:
            raise ValueError(f"expected a state of {type(self).__name__}, got one of {brief(made)}")
        self._prepare(given)
        groups = self._groups()
        known = {entry.name: name for name, entries in groups.items() for entry in entries}
        for name in given:
            if name not in known:
                raise ValueError(unknown_name("entry of the state", name, known))
        chosen = {known[name]: value for name, value in given.items()}
        self._unsettled = {name: value for name, value in chosen.items() if not is_hovered(name)}
        before = self._choices()
        computing = self._computing()
        for one in computing:
            one._held, one._pending = True, False
        try:
            try:
                _set(groups, chosen)
            except Exception:
                _set(groups, before)
                raise
        finally:
            for one in computing:
                one._held = False
        for one in computing:
            if one._pending and compute:
                one.compute()

    def _settle(self) -> None:
        """Set choices again that the first results have reset, such as a number among those that were not known."""
        if choices := self._unsettled:
            self._unsettled = {}
            _set(self._groups(), choices)

    def _prepare(self, given: Collection[str]) -> None:
        """Make the parts that entries with these names need."""

    def _computing(self) -> list[Any]:
        """Return the explorers that compute once after a state was set."""
        return [self]

    def compute(self, *, again: bool = False) -> None:
        """Compute the missing results."""

    def undo(self) -> None:
        """Undo the last change of a choice."""
        if self._history:
            self._history.undo()

    def redo(self) -> None:
        """Make the last undone change again."""
        if self._history:
            self._history.redo()

    def reset(self) -> None:
        """Return to the choices with which the explorer began; this can be undone."""
        if self._history:
            self._history.reset()

    def code(self) -> str:
        """Return Python code that makes this explorer in its present state.

        Variables of the notebook keep their names; what cannot be written as code is named in a comment.
        """
        first = self._begun or {}
        state = {name: value for name, value in self.state().items() if first.get(name, self) != value}
        return code_of(type(self), self._arguments or {}, state)

    def _replace_argument(self, name: str, value: Any) -> None:
        """Take a new value for an argument of the constructor, for :meth:`code`."""
        if self._arguments is not None:
            self._arguments[name] = value

    # -- figures --------------------------------------------------------------------------------------------

    def _panels(self) -> list[Any]:
        """Return what the visible views show, for figures."""
        return [panel for view in visible_views(self) for panel in view_panels(view)]

    def plot(self) -> Any:
        """Draw what the explorer shows with matplotlib: curves, bars and text as vectors.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is no result yet.
        """
        return draw_with_matplotlib(self._panels(), title=self._heading())

    def figure(self) -> Any:
        """Draw what the explorer shows with plotly; errors are those of :meth:`plot`.

        Returns
        -------
        plotly.graph_objects.Figure
        """
        return draw_with_plotly(self._panels(), title=self._heading())

    # -- a photograph of the user ---------------------------------------------------------------------------

    def _opens(self) -> bool:
        """Return whether an image can be replaced by one of the user."""
        replaced: Any = getattr(type(self), "image", None)
        return getattr(replaced, "fset", None) is not None

    def _open_image(self, image: Any) -> None:
        """Show an image of the user."""
        self.image = image

    def close(self) -> None:
        """Close every part."""
        self._history = None
        self._arguments = None
        super().close()


def _is_choice(part: Any, trait: str) -> bool:
    kind = (
        part.traits().get(trait)
        if isinstance(part, HasTraits) and trait in getattr(part, "keys", ())
        else None
    )
    return kind is not None and not isinstance(kind, Array | Arrays)


def _follows(part: Any) -> tuple[str, ...]:
    """Return the traits of a part that follow from others."""
    linked = part._channels if isinstance(part, View) else ()
    if isinstance(part, SliderView | MaskView) and "frame" not in linked:
        return ("frame",)
    if isinstance(part, DisplayMenu):
        return tuple(name for name in SETTINGS if name not in part.shown)
    if isinstance(part, CurveView):
        return ("fraction",) if "step" in linked else ("step",)
    return ()


def _rank(name: str) -> int:
    return PREFERRED.index(name) if name in PREFERRED else len(PREFERRED)


def _set(groups: Mapping[str, list[ChoiceEntry]], values: Mapping[str, Any]) -> None:
    """Set values in the order of the entries, those of linked traits in all parts."""
    for name, entries in groups.items():
        if name in values:
            for entry in entries:
                if entry.value() != values[name]:
                    setattr(entry.part, entry.trait, values[name])


def _plain(value: Any) -> Any:
    """Return a value as numbers, texts, lists and dictionaries."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(one) for one in value]
    return value


def _slug(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).strip("-")
