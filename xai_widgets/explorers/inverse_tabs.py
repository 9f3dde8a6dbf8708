"""The tabs of the inverse explorer, of which those with a study of their own are made when they are opened."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ipywidgets import Box, Tab

from xai_widgets.errors import as_sentence, unknown_name
from xai_widgets.explorers.explorer import wait_for
from xai_widgets.explorers.image_explorer import SearchExplorer
from xai_widgets.explorers.inverse_curves import CurvesTab
from xai_widgets.explorers.inverse_patterns import PatternsTab
from xai_widgets.explorers.inverse_regularizers import RegularizersTab
from xai_widgets.explorers.inverse_settings import SettingsTab
from xai_widgets.explorers.inverse_tab import InverseTab
from xai_widgets.explorers.panel import with_companions
from xai_widgets.explorers.parts import paragraph, wide
from xai_widgets.explorers.state import ChoiceEntry

#: The tabs about the image itself, whose results are those of the explorer.
OWN = {"inverse": "Inverse", "depth": "At a depth"}
#: The other tabs, in their order.
TABS: dict[str, type[InverseTab]] = {
    "images": CurvesTab,
    "regularizers": RegularizersTab,
    "settings": SettingsTab,
    "patterns": PatternsTab,
}


class InverseTabs(SearchExplorer):
    """An explorer whose views are in tabs."""

    tabs: Tab
    parts: dict[str, InverseTab]
    _pages: dict[str, Box]

    def _make_tabs(self, own: Mapping[str, Any]) -> None:
        """Make the tabs; those of the explorer itself are given."""
        titles = {**OWN, **{name: kind.title for name, kind in TABS.items()}}
        self._pages = {
            name: Box([own[name] if name in own else paragraph(title)], layout=wide())
            for name, title in titles.items()
        }
        self.tabs = Tab(children=list(self._pages.values()), layout=wide())
        for number, title in enumerate(titles.values()):
            self.tabs.set_title(number, title)
        self.tabs.observe(lambda change: self.show(list(self._pages)[change["new"] or 0]), "selected_index")

    def compute(self, *, again: bool = False) -> None:
        """Compute the missing results in the background, and those of the tab that is open.

        Parameters
        ----------
        again : bool, default False
            Whether to compute complete results too, for instance after the network was trained further.
        """
        super().compute(again=again)
        for name, part in self.parts.items():
            part.follow(opened=name == self._open_tab())

    def _open_tab(self) -> str:
        return list(self._pages)[self.tabs.selected_index or 0]

    def show(self, name: str) -> InverseTab | None:
        """Open a tab, and compute what it shows.

        Parameters
        ----------
        name : str
            "inverse", "depth", "images", "regularizers", "settings" or "patterns".

        Returns
        -------
        part : Explorer or None
            The tab, with a ``run_bar``; None for the first two, whose results are those of the explorer, and for one
            that the network or the arguments do not allow, with the reason in its place.

        Raises
        ------
        ValueError
            For an unknown name, with the nearest one.
        """
        if name not in self._pages:
            raise ValueError(unknown_name("tab", name, self._pages))
        if name in TABS and name not in self.parts:
            try:
                self._fill(name, TABS[name](self))
            except Exception as error:  # a failure of one tab does not stop the others
                self._fill(name, paragraph(f"{as_sentence(error).rstrip('.')}."))
        self.tabs.selected_index = list(self._pages).index(name)
        self._set_priority()
        part = self.parts.get(name)
        if part is not None:
            part.follow(opened=True)
        return part

    def _fill(self, name: str, content: Any) -> None:
        """Show the content of a tab in place of the text before."""
        before, self._pages[name].children = self._pages[name].children, [content]
        for one in with_companions(before):
            one.close()
        self._adopt(content)
        if isinstance(content, InverseTab):
            self.parts[name] = content
            if self._history:
                self._history.watch(content._entries())

    def is_filled(self, name: str) -> bool:
        """Return whether a tab shows results."""
        return name in OWN or (name in self.parts and bool(self.parts[name].study.store))

    def _set_priority(self) -> None:
        super()._set_priority()
        for name, part in self.parts.items():
            part.hidden = self.hidden or name != self._open_tab()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the computations of the explorer and of the open tab have ended; False after ``timeout`` s."""
        part = self.parts.get(self._open_tab())
        return wait_for(timeout, self._worker, *([part] if part is not None else []))

    # -- the state ------------------------------------------------------------------------------------------

    def _entries(self) -> Iterator[ChoiceEntry]:
        yield from super()._entries()
        for name, part in self.parts.items():
            yield from (entry._replace(name=f"{name}.{entry.name}") for entry in part._entries())
        yield ChoiceEntry("tab", self.tabs, "selected_index")

    def _prepare(self, given: Collection[str]) -> None:
        shown = self._open_tab()
        for name in dict.fromkeys(key.partition(".")[0] for key in given if "." in key):
            if name in TABS and name not in self.parts:
                self.show(name)
        self.show(shown)

    def _computing(self) -> list[Any]:
        return [self, *self.parts.values()]
