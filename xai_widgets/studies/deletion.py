"""Deletion and insertion curves of several methods on one image, and those of a random order to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.core.validation import check_finite
from xai_widgets.methods import Method
from xai_widgets.metrics import (
    Curve,
    default_steps,
    deletion,
    insertion,
    ordering,
    random_maps,
    random_order,
)  # fmt: skip
from xai_widgets.metrics.deletion import RANDOM_STEPS
from xai_widgets.ops.resize import resize_map
from xai_widgets.studies.store import Outcome
from xai_widgets.studies.study import Study

#: The two metrics by name, in the order of the arrays of views.
CURVES: dict[str, Callable[..., Run[Curve]]] = {"deletion": deletion, "insertion": insertion}


#: Name of the baseline in keys: pixels in random order.
RANDOM = "random_order"
#: Title of the baseline.
RANDOM_TITLE = "Random order"
#: Number of random orders whose curves are averaged.
RANDOM_ORDERS = 4


class DeletionKey(NamedTuple):
    """A method and the class that it explains; the method ``RANDOM`` is the baseline."""

    method: str
    target: int


class DeletionResult(NamedTuple):
    """The map of a method and its curves so far.

    Attributes
    ----------
    saliency : array, (h, w)
        The map at its own resolution.
    ranks : array, (H, W)
        The rank of each pixel, 0 for the most salient one.
    curves : mapping of str to Curve
        The curves so far, "deletion" and "insertion".
    """

    saliency: np.ndarray
    ranks: np.ndarray
    curves: Mapping[str, Curve]


class DeletionStudy(Study[DeletionKey, DeletionResult]):
    """Deletion and insertion curves of several methods on one image.

    The first batch of each curve is rough, see :meth:`is_rough`; the others refine it. A computation that starts again
    keeps its map and its complete curves.

    Parameters
    ----------
    model : ImageModel
        The network.
    x : Tensor, (1, C, H, W)
        The image.
    methods : mapping of str to Method
        The methods by name.
    curve_steps : int, optional
        Steps of a curve. Default: 224, or the number of pixels if that is less.
    batch_size : int, default 32
        Images per pass.
    top : int, default 5
        Most probable classes to record at each step.

    Raises
    ------
    ValueError
        For a number of steps or a batch size that no curve can have.
    """

    def __init__(
        self,
        model: ImageModel,
        x: Tensor,
        methods: Mapping[str, Method],
        *,
        curve_steps: int | None = None,
        batch_size: int = 32,
        top: int = 5,
    ) -> None:
        super().__init__()
        self.model, self.x, self.methods = model, x, methods
        self.curve_steps = default_steps(x[0, 0].numel()) if curve_steps is None else curve_steps
        self.options: dict[str, Any] = {"steps": self.curve_steps, "batch_size": batch_size, "top": top}
        # Bad arguments are refused here: this makes a run without a step of it.
        deletion(model, x, x.mean(1), 0, **self.options)

    #: All methods get rough curves before the first one gets fine ones.
    interleaved = True

    def steps(self, key: DeletionKey) -> int:
        """Return the number of snapshots: the map, and each batch, or each random order, of both curves."""
        if key.method == RANDOM:
            return 1 + len(CURVES) * RANDOM_ORDERS
        return 1 + len(CURVES) * -(-(self.curve_steps + 1) // self.options["batch_size"])

    def title(self, key: DeletionKey) -> str:
        """Return the title of the method."""
        if key.method == RANDOM:
            return RANDOM_TITLE
        return self.methods[key.method].title

    def run(self, key: DeletionKey, start: DeletionResult | None = None) -> Run[DeletionResult]:
        """Return the computation of the map and both curves, which keeps the complete parts of an earlier result.

        The baseline ``RANDOM`` has the mean curves of some random orders, at the fractions of the other curves, and the
        map of the first order.
        """

        def steps() -> Iterator[DeletionResult]:
            # The curves of the random order are means that improve.
            if start is not None and key.method != RANDOM:
                saliency, result = torch.from_numpy(start.saliency)[None].to(self.x.device), start
            else:
                if key.method == RANDOM:
                    saliency = random_maps(self.x, 1)[0]
                else:
                    saliency = self.methods[key.method].saliency(self.model, self.x, key.target)
                full = resize_map(saliency, (self.x.shape[2], self.x.shape[3]))
                result = DeletionResult(
                    saliency[0].detach().float().cpu().numpy(), ordering(full)[0].cpu().numpy(), curves={}
                )
                yield result
            left = {
                name: self._curves(key, name, saliency)
                for name in CURVES
                if not _whole(result.curves.get(name))
            }
            # The first batch of both, then the others.
            for batches in (1, None):
                for name, curves in left.items():
                    for curve in islice(curves, batches):
                        result = result._replace(curves={**result.curves, name: curve})
                        yield result
            for curve in result.curves.values():
                check_finite(curve.scores, self.model.name)

        return Run(steps(), total=self.steps(key), name=self.title(key))

    def is_rough(self, key: DeletionKey) -> bool:
        """Return whether the first batch of a curve of a key is still to be computed."""
        outcome = self.outcome(key)
        return not outcome.complete and (outcome.result is None or len(outcome.result.curves) < len(CURVES))

    def _check_some(
        self, store: MutableMapping[DeletionKey, Outcome[DeletionResult]], keys: Iterable[DeletionKey]
    ) -> None:
        """Raise ValueError if every method failed, whether or not the baseline did."""
        super()._check_some(store, [key for key in keys if key.method != RANDOM])

    def _curves(self, key: DeletionKey, name: str, saliency: Tensor) -> Iterator[Curve]:
        """Yield the snapshots of a curve, all with the same fractions."""
        if key.method != RANDOM:
            yield from CURVES[name](self.model, self.x, saliency, key.target, **self.options)
            return
        options = {option: value for option, value in self.options.items() if option != "steps"}
        for curve in random_order(
            self.model,
            self.x,
            key.target,
            mode=name,  # type: ignore[arg-type]
            orders=RANDOM_ORDERS,
            steps=min(RANDOM_STEPS, self.curve_steps),
            **options,
        ):
            yield curve.resampled(self.curve_steps)


def _whole(curve: Curve | None) -> bool:
    """Return whether a curve is complete."""
    return curve is not None and not bool(curve.scores.isnan().any())
