"""Scores of an image without the channels of a layer, or the concepts, that the user has switched off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from xai_widgets.concepts import ablate
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run, Status
from xai_widgets.core.worker import Worker
from xai_widgets.errors import as_sentence
from xai_widgets.views import RunBar, ScoresView

#: Classes in the bars.
BEST = 3


class Switched(NamedTuple):
    """An image, its scores, and the channels of a layer, or the concepts, that are switched off."""

    x: Tensor
    scores: Tensor
    target: int
    layer: str
    off: Sequence[int]


class SwitchedScores:
    """The best classes without the channels that are switched off, scored by a pass at each switch.

    Parameters
    ----------
    model : ImageModel
        The network.
    run_bar : RunBar
        Where errors are shown.
    noun : str, default "channel"
        Name of the units that can be switched off.
    first : int, default 0
        The number that is shown for the first one.

    Attributes
    ----------
    view : ScoresView
    worker : Worker
    """

    def __init__(
        self,
        model: ImageModel,
        run_bar: RunBar,
        *,
        noun: str = "channel",
        first: int = 0,
    ) -> None:
        self.model, self._run_bar = model, run_bar
        self._noun, self._first = noun, first
        self.worker = Worker(urgent=True)
        self.view = ScoresView(
            labels=model.labels, title=f"All {noun}s on", reference_label=f"all {noun}s on"
        )

    def show(self, asked: Switched, score: Callable[[], Tensor] | None = None) -> None:
        """Show the scores of an image, without the channels that are switched off.

        Parameters
        ----------
        asked : Switched
            The image, and the channels or concepts that are switched off.
        score : callable, optional
            Returns the scores (1, classes) then. Default: those of :func:`~xai_widgets.concepts.ablate`.
        """
        self.view.title = self._title(asked)
        if not asked.off:
            self.worker.cancel()
            self._draw(asked, asked.scores)
            return

        def steps() -> Iterator[Tensor]:
            yield (
                ablate(self.model, asked.x, [asked.off], layer=asked.layer)[:, 0]
                if score is None
                else score()
            )

        def on_snapshot(run: Run[Tensor]) -> None:
            if run.latest is not None:
                self._draw(asked, run.latest)

        self.worker.submit(
            lambda: Run(steps(), total=1, name="scores"), on_snapshot=on_snapshot, on_end=self._ended
        )

    def _draw(self, asked: Switched, scores: Tensor) -> None:
        before, values = (self.model.probabilities(one)[0].float().cpu() for one in (asked.scores, scores))
        best = values.topk(min(BEST, len(values)))
        limits = [0.0, 1.0]
        if not self.model.has_probabilities:
            every = torch.cat([before, values, before.new_zeros(1)])
            every = every[every.isfinite()]
            limits = [float(every.min()), float(max(every.max(), every.min() + 1e-6))]
        with self.view.hold_sync():
            self.view.target, self.view.value_limits = asked.target, limits
            self.view.reference = before.numpy() if asked.off else None
            self.view.indices = best.indices.view(1, 1, -1).int()
            self.view.values = best.values.view(1, 1, -1)
            self.view.target_values = values[asked.target].view(1, 1)

    def _ended(self, _status: Status, error: BaseException | None) -> None:
        if error is None:
            return
        # Scores of other switches must not be shown.
        with self.view.hold_sync():
            self.view.indices = self.view.values = self.view.target_values = None
        self._run_bar.error = as_sentence(error)

    def _title(self, asked: Switched) -> str:
        count = len(asked.off)
        if not count:
            return f"All {self._noun}s on"
        numbers = [str(number + self._first) for number in asked.off[:4]]
        named = ", ".join(numbers) + (", \u2026" if count > 4 else "")
        return f"Without {self._noun}{'s' if count > 1 else ''} {named}"
