"""The base of the tabs of the inverse explorer, each with a study of its own that is computed when it is opened."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, ClassVar

from xai_widgets.explorers.explorer import Explorer
from xai_widgets.explorers.layout import header
from xai_widgets.explorers.parts import wide
from xai_widgets.studies import Study
from xai_widgets.views import RunBar
from xai_widgets.views.static_repr import set_layout


class InverseTab(Explorer):
    """A tab of an :class:`~xai_widgets.explorers.InverseExplorer`, about the image, class and colors chosen there.

    It is computed while it is open, before hidden explorers. A subclass makes its views and its study, returns the keys
    that are chosen, and draws their results.

    Parameters
    ----------
    owner : InverseExplorer
        The explorer.

    Attributes
    ----------
    run_bar : RunBar
    """

    title: ClassVar[str] = ""

    def __init__(self, owner: Any) -> None:
        self._start_worker()
        # The explorer holds its tabs.
        self.owner = weakref.proxy(owner)
        self.run_bar = RunBar()
        super().__init__(layout=wide())
        self._make_views()
        self.study = self._make_study()
        self._assemble([header(*self._controls(), self.run_bar), *self._stage()])
        self._draw()

    def _make_views(self) -> None:
        """Make the controls and views."""
        raise NotImplementedError

    def _make_study(self) -> Study[Any, Any]:
        """Return the study of the image of the explorer."""
        raise NotImplementedError

    def _controls(self) -> Iterable[Any]:
        """Return the controls left of the run bar."""
        return ()

    def _stage(self) -> Iterable[Any]:
        """Return the rows below the controls."""
        raise NotImplementedError

    def _assemble(self, children: Iterable[Any]) -> None:
        children = list(children)
        set_layout(*children, width="100%")
        self._adopt(*children)
        self.children = children
        self._connect_controls()

    def take_image(self) -> None:
        """Make the study of another image."""
        self.abandon()
        self.study = self._make_study()

    def follow(self, *, opened: bool) -> None:
        """Show what is chosen in the explorer; it is computed if the tab is open and it was not asked for before.

        Parameters
        ----------
        opened : bool
            Whether the tab is open.
        """
        if self._asked == (self.study, list(self._keys())):
            return
        if opened:
            self.compute()
        else:
            self.abandon()
            self._asked = (None, None)
            self._redraw()
