"""Deletion, insertion, MoRF and LeRF curves of several methods, those of random orders, and means over a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from xai_widgets.core.batching import pass_batch_size
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.core.validation import check_finite, integer
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.data.base import Example
from xai_widgets.errors import as_sentence, warn
from xai_widgets.methods import Method
from xai_widgets.metrics import (
    Curve,
    default_steps,
    deletion,
    insertion,
    lerf,
    morf,
    ordering,
)
from xai_widgets.metrics.random_orders import RANDOM_STEPS, random_curves, random_maps
from xai_widgets.ops.resize import resize_map
from xai_widgets.studies.mean_curves import MeanCurves
from xai_widgets.studies.store import Outcome
from xai_widgets.studies.study import Study

Kind = Literal["deletion", "flipping"]
#: The fills of the protocols ("default") or one for all curves, see :func:`~xai_widgets.metrics.deletion`.
StudyFill = Literal["default", "training_mean", "mean", "black", "blur", "noise"]

#: The curves of each kind by name, in the order of the arrays of views.
KINDS: dict[Kind, dict[str, Callable[..., Run[Curve]]]] = {
    "deletion": {"deletion": deletion, "insertion": insertion},
    "flipping": {"MoRF": morf, "LeRF": lerf},
}
#: Names of the fills.
FILLS: tuple[StudyFill, ...] = get_args(StudyFill)


#: Name of the baseline in keys: pixels in random order.
RANDOM = "random_order"
#: Title of the baseline.
RANDOM_TITLE = "Random order"
#: Default number of random orders.
RANDOM_ORDERS = 10


class DeletionKey(NamedTuple):
    """A method, the class that it explains, the image, and which curves; the method ``RANDOM`` is the baseline."""

    method: str
    target: int
    image: int = 0
    kind: Kind = "deletion"
    fill: StudyFill = "default"


class MeanKey(NamedTuple):
    """A method and which curves, whose mean over the data set is computed."""

    method: str
    kind: Kind = "deletion"
    fill: StudyFill = "default"


class DeletionResult(NamedTuple):
    """The map of a method and its curves so far.

    Attributes
    ----------
    saliency : array, (h, w)
        The map at its own resolution.
    ranks : array, (H, W)
        The rank of each pixel, 0 for the most salient one.
    curves : mapping of str to Curve
        The curves so far, "deletion" and "insertion", or "MoRF" and "LeRF".
    least : array, (H, W)
        The rank of each pixel, 0 for the least salient one, which LeRF replaces first.
    """

    saliency: np.ndarray
    ranks: np.ndarray
    curves: Mapping[str, Curve]
    least: np.ndarray


class DeletionStudy(Study[DeletionKey | MeanKey, Any]):
    """Curves of several methods on images, and their means over a data set.

    The first batch of each curve is rough, see :meth:`is_rough`; the others refine it. A computation that starts again
    keeps its map, its complete curves, and the images of a mean that are done. A :class:`DeletionKey` has a
    :class:`DeletionResult`, a :class:`MeanKey` a :class:`~xai_widgets.studies.mean_curves.MeanCurves`.

    Parameters
    ----------
    model : ImageModel
        The network.
    x : Tensor, (N, C, H, W)
        The images.
    methods : mapping of str to Method
        The methods by name.
    curve_steps : int, optional
        Steps of a curve. Default: 224, or the number of pixels if that is less.
    batch_size : int, optional
        Images per pass. Default: those of the best throughput.
    top : int, default 5
        Most probable classes to record at each step.
    orders : int, default 10
        Number of random orders. A mean has one for each image.
    seed : int, default 0
        Seed of the random orders and of the random colors.
    data : sequence of Example or images, optional
        The data set of the means, each image with its predicted class; read one by one. Default: the images.

    Raises
    ------
    ValueError
        For a number of steps, orders or a batch size that no curve can have.
    """

    def __init__(
        self,
        model: ImageModel,
        x: Tensor,
        methods: Mapping[str, Method],
        *,
        curve_steps: int | None = None,
        batch_size: int | None = None,
        top: int = 5,
        orders: int = RANDOM_ORDERS,
        seed: int = 0,
        data: Sequence[Any] | None = None,
    ) -> None:
        super().__init__()
        self.model, self.x, self.methods = model, x, methods
        self.curve_steps = default_steps(x[0, 0].numel()) if curve_steps is None else curve_steps
        self.orders, self.seed = integer(orders, "orders", low=1), check_seed(seed)
        self.data = data
        #: The number of images of a mean.
        self.count = len(x) if data is None else len(data)
        batch_size = pass_batch_size(model, x.shape[2:], batch_size)
        self.options: dict[str, Any] = {"steps": self.curve_steps, "batch_size": batch_size, "top": top}
        self._predicted: dict[int, int] = {}
        # Bad arguments are refused here: this makes a run without a step of it.
        for curves in KINDS.values():
            for function in curves.values():
                function(model, x[:1], x[:1].mean(1), 0, **self.options)

    #: All methods get rough curves before the first one gets fine ones.
    interleaved = True

    def steps(self, key: DeletionKey | MeanKey) -> int:
        """Return the number of snapshots: the map and each batch, or order, of both curves; or each image of a mean."""
        if isinstance(key, MeanKey):
            return self.count
        if key.method == RANDOM:
            return 1 + 2 * self.orders
        return 1 + 2 * -(-(self.curve_steps + 1) // self.options["batch_size"])

    def weight(self, key: DeletionKey | MeanKey, steps: int) -> float:
        """Return the number of batches."""
        if not isinstance(key, MeanKey):
            return steps
        batches = -(-(self.curve_steps + 1) // self.options["batch_size"])
        return steps * (2 if key.method == RANDOM else 1 + 2 * batches)

    def title(self, key: DeletionKey | MeanKey) -> str:
        """Return the title of the method."""
        return RANDOM_TITLE if key.method == RANDOM else self.methods[key.method].title

    def run(self, key: DeletionKey | MeanKey, start: Any = None) -> Run[Any]:
        """Return the computation of the map and both curves, or of a mean, which keeps what an earlier result has.

        The baseline ``RANDOM`` has the mean curves of some random orders, at the fractions of the other curves, and the
        map of the first order.
        """
        steps = self._means(key, start) if isinstance(key, MeanKey) else self._curves(key, start)
        return Run(steps, total=self.steps(key), name=self.title(key))

    def is_rough(self, key: DeletionKey) -> bool:
        """Return whether the first batch of a curve of a key is still to be computed."""
        outcome = self.outcome(key)
        return not outcome.complete and (outcome.result is None or len(outcome.result.curves) < 2)

    def predicted(self, index: int) -> int:
        """Return the predicted class of an image of the data set."""
        if index not in self._predicted:
            self._predicted[index] = int(
                check_finite(self.model.scores(self._image(index)), self.model.name).argmax()
            )
        return self._predicted[index]

    def forget(self, keys: Iterable[DeletionKey | MeanKey]) -> None:
        """Drop the outcomes of some keys."""
        super().forget(keys)
        # The network may have been trained further.
        self._predicted.clear()

    def _check_some(
        self,
        store: MutableMapping[DeletionKey | MeanKey, Outcome[Any]],
        keys: Iterable[DeletionKey | MeanKey],
    ) -> None:
        """Raise ValueError if every method failed, whether or not the baseline did."""
        super()._check_some(store, [key for key in keys if key.method != RANDOM])

    # -- one image ------------------------------------------------------------------------------------------

    def _curves(self, key: DeletionKey, start: DeletionResult | None) -> Iterator[DeletionResult]:
        x = self.x[key.image : key.image + 1]
        # The curves of the random order are means that improve.
        if start is not None and key.method != RANDOM:
            saliency, result = torch.from_numpy(start.saliency)[None].to(x.device), start
        else:
            saliency = self._map(key, x)
            size = (x.shape[2], x.shape[3])
            ranks, least = (ordering(resize_map(sign * saliency, size))[0].cpu().numpy() for sign in (1, -1))
            result = DeletionResult(saliency[0].detach().float().cpu().numpy(), ranks, {}, least)
            yield result
        left = {
            name: self._curve(key, name, x, saliency)
            for name in KINDS[key.kind]
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

    def _map(self, key: DeletionKey, x: Tensor) -> Tensor:
        """Return the map of a method, which curves of another kind or fill may have needed before."""
        if key.method == RANDOM:
            return random_maps(x, 1, self.seed)[0]
        for kind in KINDS:
            for fill in FILLS:
                known = self.outcome(key._replace(kind=kind, fill=fill))
                if known.complete and known.result is not None:
                    for message in known.warnings:
                        warn(message)
                    return torch.from_numpy(known.result.saliency)[None].to(x.device)
        return self.methods[key.method].saliency(self.model, x, key.target)

    def _curve(self, key: DeletionKey, name: str, x: Tensor, saliency: Tensor) -> Iterator[Curve]:
        """Yield the snapshots of a curve, all with the same fractions."""
        function, options = KINDS[key.kind][name], self._options(key)
        if key.method == RANDOM:
            yield from self._random(function, x, key.target, self.orders, self.seed, options)
        else:
            yield from function(self.model, x, saliency, key.target, **options)

    def _options(self, key: DeletionKey | MeanKey) -> dict[str, Any]:
        fill = {} if key.fill == "default" else {"fill": key.fill}
        return {**self.options, **fill, **({"seed": self.seed} if key.kind == "flipping" else {})}

    def _random(
        self, function: Any, x: Tensor, target: int, orders: int, seed: int, options: dict[str, Any]
    ) -> Iterator[Curve]:
        few = {**options, "steps": min(RANDOM_STEPS, self.curve_steps)}
        colors = few.pop("seed", None)

        def seeded(*arguments: Any, **more: Any) -> Run[Curve]:
            return function(*arguments, **more, **({} if colors is None else {"seed": colors}))

        for curve in random_curves(seeded, self.model, x, target, orders=orders, seed=seed, **few):
            yield curve.resampled(self.curve_steps)

    # -- the mean over a data set ---------------------------------------------------------------------------

    def _image(self, index: int) -> Tensor:
        if self.data is None:
            return self.x[index : index + 1]
        given = self.data[index]
        return self.model.images(given.image if isinstance(given, Example) else given)

    def _means(self, key: MeanKey, start: MeanCurves | None) -> Iterator[MeanCurves]:
        result = start or MeanCurves.empty(KINDS[key.kind])
        for index in range(result.done, self.count):
            try:
                fractions, scores = self._scores(key, index)
            except Exception as error:  # an image that cannot be explained does not stop the others
                result = result.without(as_sentence(error))
            else:
                result = result.with_curves(fractions, scores)
            yield result
        if result.failed:
            if not result.count:
                raise ValueError(result.failed[0])
            warn(f"{len(result.failed)} of {self.count} images are left out: {result.failed[0]}")

    def _scores(self, key: MeanKey, index: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the fractions and the scores of both curves of an image."""
        target = self.predicted(index)
        if key.method != RANDOM and self.data is None:
            known = self.outcome(DeletionKey(key.method, target, index, key.kind, key.fill))
            if known.complete and known.result is not None:
                curves = list(known.result.curves.values())
                return curves[0].fractions.cpu().numpy(), [curve.scores[0].cpu().numpy() for curve in curves]
        x, options = self._image(index), self._options(key)
        functions = KINDS[key.kind].values()
        if key.method == RANDOM:
            seed = self.seed + index
            runs = [list(self._random(each, x, target, 1, seed, options))[-1] for each in functions]
        else:
            saliency = self.methods[key.method].saliency(self.model, x, target)
            runs = [
                each(self.model, x, saliency, target, **options).result(progress=False) for each in functions
            ]
        scores = [check_finite(curve.scores, self.model.name)[0].cpu().numpy() for curve in runs]
        return runs[0].fractions.cpu().numpy(), scores


def _whole(curve: Curve | None) -> bool:
    """Return whether a curve is complete."""
    return curve is not None and not bool(curve.scores.isnan().any())
