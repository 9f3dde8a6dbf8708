"""What explorers share that search: one result for each choice, drawn while it gets better, and gone on with."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Hashable
from typing import Any

from ipywidgets import Dropdown, Layout

from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.run import Run, Status
from xai_widgets.explorers.base import Explorer
from xai_widgets.studies.layers import spatial_layers  # noqa: F401

#: Seconds from one drawing of what is under way to the next: each sends all of it.
INTERVAL = 0.25


class SearchExplorer(Explorer):
    """An explorer of what is searched for each choice of class, layer and so on.

    A search is stopped by the button and goes on from what is there; a choice that was searched before is shown at
    once. A subclass names the choice, :meth:`_key`, makes the search, :meth:`_search`, and draws, :meth:`_draw`.

    Attributes
    ----------
    result
        What is shown, or None.
    """

    def __init__(self, model: ImageModel, image: Any, *, target: Target = None, **kwargs: Any) -> None:
        super().__init__(model, image, target=target, **kwargs)
        self._results: dict[Hashable, Any] = {}
        self.result: Any = None
        self._drawn = -math.inf

    @abstractmethod
    def _key(self) -> Any:
        """What is chosen."""

    @abstractmethod
    def _search(self, key: Any, start: Any) -> Run[Any]:
        """The search for a choice, from an earlier result or from none."""

    @abstractmethod
    def _draw(self, key: Any, result: Any) -> None:
        """Bring the views to a result, all arrays anew; to None: nothing of another one may show."""

    @abstractmethod
    def _message(self, key: Any, result: Any) -> str:
        """What the run bar says while it is searched."""

    def _label(self, result: Any) -> str:
        """What the button says when the search of a result has ended."""
        return "Go on"

    def _refusals(self, result: Any) -> str:
        """What the run bar says at the end of parts of a result that were refused."""
        return ""

    def _forget(self) -> None:
        # Another dictionary: a late snapshot of the old image is kept nowhere.
        self._results = {}

    def compute(self, *, again: bool = False) -> None:
        """Search what is chosen, in the background, if it is missing; replaces a search under way.

        Parameters
        ----------
        again : bool, default False
            Whether to go on with a search that has ended or was stopped.
        """
        key, results = self._key(), self._results

        def show(result: Any) -> None:
            # The first result of a search is drawn at once.
            self._drawn = -math.inf if result is None else time.monotonic()
            self.result = result
            self.run_bar.label = "Search" if result is None else "Stop and go on"
            self._draw(key, result)

        def on_start() -> None:
            show(results.get(key))

        def on_snapshot(run: Run[Any]) -> None:
            results[key] = run.latest
            self.run_bar.progress = run.progress
            self.run_bar.message = self._message(key, run.latest)
            if time.monotonic() - self._drawn > INTERVAL:
                show(run.latest)

        def on_end(status: Status, error: BaseException | None) -> None:
            if key in results:
                show(results[key])
                self.run_bar.label = self._label(results[key])

        def message() -> str:
            return self._refusals(results[key]) if key in results else ""

        if key in results and not again:
            self._worker.cancel()
            self._begin(on_start)
            self._finish("done", None, on_end, message)
            return
        self._submit(
            lambda: self._search(key, results.get(key)),
            on_start=on_start,
            on_snapshot=on_snapshot,
            on_end=on_end,
            message=message,
        )


def dropdown(description: str, options: Any, value: str) -> Dropdown:
    """A list to choose from that takes its share of a row."""
    return Dropdown(
        description=description,
        options=list(options),
        value=value,
        style={"description_width": "initial"},
        layout=Layout(flex="1 1 140px", min_width="0", width="auto"),
    )
