"""Inverses over many images: the class, deletion and insertion over lambda (Kwon 2021, figures 5.4, 5.6 and 5.7)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, ClassVar, NamedTuple, get_args

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.run import Run
from xai_widgets.core.validation import integer
from xai_widgets.errors import collect_warnings, unknown_name
from xai_widgets.inverse import LayerWise, SolverSettings, layer_wise, reidentification, uniform
from xai_widgets.inverse.evaluation import ALPHAS
from xai_widgets.inverse.interval import Empty, empty_color
from xai_widgets.inverse.layer_wise import LAMBDAS, Regularizer
from xai_widgets.methods import Method
from xai_widgets.metrics import deletion, insertion
from xai_widgets.studies.store import Outcome
from xai_widgets.studies.study import Study

#: Name of the baseline in keys: the whole image faded by the same alpha.
UNIFORM = "uniform"

#: Steps of the curves of deletion and insertion, enough for the area below them.
CURVE_STEPS = 56


class CurvesKey(NamedTuple):
    """An image, and a series: a regularizer of the layer-wise inverse, the name of a method, or ``UNIFORM``."""

    image: int
    series: str
    empty: Empty = "mean"


class SimplicityCurve(NamedTuple):
    """One series for one image: a curve over lambda or alpha, or the point of a method (L = 1).

    Attributes
    ----------
    parameter : Tensor, (L,)
        Values of lambda, or of alpha for uniform fading; NaN for a method.
    mean_alpha : Tensor, (L,)
        Share of the image that is left.
    probability : Tensor, (L,)
        Probability of the class for x^ or x~; its score if the outputs are plain numbers.
    top1, top5 : Tensor, (L,)
        1 where the class is the best, or among the five best, else 0; always 0 for plain numbers.
    deletion, insertion : Tensor, (L,)
        Areas under the curves in the order of alpha; NaN for uniform fading, which has no order.
    """

    parameter: Tensor
    mean_alpha: Tensor
    probability: Tensor
    top1: Tensor
    top5: Tensor
    deletion: Tensor
    insertion: Tensor

    def at(self, mean_alpha: float) -> dict[str, float]:
        """Return all values at a share of the image, between the two computed ones around it by linear interpolation.

        Raises
        ------
        ValueError
            For a share outside the curve.
        """
        shares = self.mean_alpha.double()
        # The shares of a float32 curve are float32.
        mean_alpha = torch.tensor(mean_alpha).to(self.mean_alpha).item()
        low, high = shares.min().item(), shares.max().item()
        if not low <= mean_alpha <= high:
            raise ValueError(
                f"expected a mean alpha within the curve, {low:.3g} to {high:.3g}, got {mean_alpha:.3g}; compute "
                "other lambda"
            )
        order = shares.argsort(stable=True)
        ordered = shares[order]
        right = int(torch.searchsorted(ordered, mean_alpha).clamp(1, max(1, len(ordered) - 1)))
        if len(ordered) == 1:
            return {name: values.double().item() for name, values in self._asdict().items()}
        gap = (ordered[right] - ordered[right - 1]).item()
        weight = (mean_alpha - ordered[right - 1].item()) / gap if gap > 0 else 0.0
        found = {}
        for name, values in self._asdict().items():
            left, after = values.double()[order[right - 1 : right + 1]].tolist()
            found[name] = left + weight * (after - left)
        return found


class InverseCurvesStudy(Study[CurvesKey, SimplicityCurve]):
    """The layer-wise inverse of many images beside uniform fading and other methods.

    One key is one image and one series, so that a computation goes on where it was stopped; with a
    :class:`~xai_widgets.studies.DiskStore`, in another session.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        N images of any kind.
    target : optional
        The class, or one per image. Default: the predicted class of each.
    lam : sequence of float, or mapping of regularizer to sequence
        Values of lambda, ascending; those of the l1 norm have another size, so a mapping gives each its own.
    methods : collection of Method
        Methods to compare with.
    alphas : sequence of float
        Shares of uniform fading.
    settings, batch_size
        See :func:`~xai_widgets.inverse.layer_wise`.
    curve_steps : int, default 56
        Steps of the curves of deletion and insertion; 0 leaves them out.
    store : mutable mapping, optional
        Where outcomes are kept.

    Attributes
    ----------
    x : Tensor, (N, C, H, W)
    target : Tensor, (N,)
    """

    early_is_converged: ClassVar[bool] = False

    def __init__(
        self,
        model: ImageModel,
        x: Any,
        target: Target = None,
        *,
        lam: Sequence[float] | Mapping[str, Sequence[float]] = LAMBDAS,
        methods: Collection[Method] = (),
        alphas: Sequence[float] = ALPHAS,
        settings: SolverSettings | None = None,
        batch_size: int = 64,
        curve_steps: int = CURVE_STEPS,
        store: MutableMapping[CurvesKey, Outcome[SimplicityCurve]] | None = None,
    ) -> None:
        super().__init__(store)
        self.model, self.x = model, model.images(x)
        self.target = model.targets(target, self.x)
        self.methods = {method.name: method for method in methods}
        self.lam = lam if isinstance(lam, Mapping) else dict.fromkeys(get_args(Regularizer), lam)
        self.alphas, self.settings, self.batch_size = alphas, settings, batch_size
        self.curve_steps = integer(curve_steps, "curve_steps", low=0)

    def keys(self, series: Iterable[str] = ("activation", UNIFORM), empty: Empty = "mean") -> list[CurvesKey]:
        """Return the keys of some series, image by image.

        Raises
        ------
        ValueError
            For an unknown series, with the nearest one.
        """
        known, chosen = [*self.lam, UNIFORM, *self.methods], list(series)
        for name in chosen:
            if name not in known:
                raise ValueError(unknown_name("series", name, known))
        return [CurvesKey(image, name, empty) for image in range(len(self.x)) for name in chosen]

    def title(self, key: CurvesKey) -> str:
        """Return the series and the number of the image."""
        return f"{self.series_title(key.series)}, image {key.image + 1}"

    def series_title(self, series: str) -> str:
        """Return the title of a series for a legend."""
        if series == UNIFORM:
            return "uniform fading"
        return self.methods[series].title if series in self.methods else f"layer-wise, {series}"

    def curve(self, key: CurvesKey) -> SimplicityCurve | None:
        """Return the curve of a key; None before it is complete."""
        result = self.result(key)
        return None if result is None else SimplicityCurve(*result)

    def mean(self, series: str, empty: Empty = "mean") -> tuple[SimplicityCurve | None, int]:
        """Return the mean curve of a series, and the number of its images; None before the first one."""
        keys = (CurvesKey(image, series, empty) for image in range(len(self.x)))
        curves = [curve for key in keys if (curve := self.curve(key)) is not None]
        if not curves:
            return None, 0
        columns = zip(*curves, strict=True)
        return SimplicityCurve(*(torch.stack(list(column)).double().mean(0) for column in columns)), len(
            curves
        )

    def run(self, key: CurvesKey, start: SimplicityCurve | None = None) -> Run[Any]:
        """Return the computation for a key; its snapshots are None until the curve is complete."""
        x, target = self.x[key.image : key.image + 1], self.target[key.image : key.image + 1]
        if key.series == UNIFORM:
            return Run(self._uniform(x, target, key.empty), total=1, name=self.title(key))
        if key.series in self.methods:
            return Run(self._method(key.series, x, target, key.empty), total=1, name=self.title(key))
        with collect_warnings():
            inverse = layer_wise(
                self.model,
                x,
                target,
                lam=self.lam[key.series],
                regularizer=key.series,  # type: ignore[arg-type]
                empty=key.empty,
                settings=self.settings,
                batch_size=self.batch_size,
            )

        def steps() -> Iterator[SimplicityCurve | None]:
            latest: LayerWise | None = None
            for snapshot in inverse:
                latest = snapshot
                yield None
            assert latest is not None
            kept = latest.reidentified if latest.has_probabilities else torch.zeros_like(latest.mean_alpha)
            among = latest.reidentified_top5 if latest.has_probabilities else kept
            values = (latest.lam, latest.mean_alpha[0], latest.probability[0], kept[0], among[0])
            yield _curve(*values, *self._areas(x, latest.alpha[0], target, key.empty))

        return Run(
            steps(), total=inverse.total + 1, name=self.title(key), fraction=lambda: 0.9 * inverse.progress
        )

    def _uniform(self, x: Tensor, target: Tensor, empty: Empty) -> Iterator[SimplicityCurve]:
        faded = uniform(self.model, x, target, self.alphas, empty=empty, batch_size=self.batch_size)
        nothing = torch.full_like(faded.alpha, math.nan)
        values = (faded.alpha, faded.alpha, faded.probability[0])
        yield _curve(*values, faded.top1[0], faded.top5[0], nothing, nothing)

    def _method(self, name: str, x: Tensor, target: Tensor, empty: Empty) -> Iterator[SimplicityCurve]:
        attribution = self.methods[name](self.model, x, target)
        kept = reidentification(self.model, x, attribution, target, empty=empty)
        values = (kept.mean_alpha * math.nan, kept.mean_alpha, kept.probability)
        yield _curve(*values, kept.top1, kept.top5, *self._areas(x, kept.alpha, target, empty))

    def _areas(self, x: Tensor, alpha: Tensor, target: Tensor, empty: Empty) -> tuple[Tensor, Tensor]:
        """Return the areas under the curves of deletion, to the empty color, and of insertion, (L,)."""
        if not self.curve_steps:
            nothing = torch.full((len(alpha),), math.nan, device=alpha.device)
            return nothing, nothing
        color = empty_color(self.model, x, empty)[:, None, None].expand_as(x[0])
        copies, classes = x.expand(len(alpha), -1, -1, -1), target.expand(len(alpha))
        options: dict[str, Any] = {
            "steps": min(self.curve_steps, x[0, 0].numel()),
            "batch_size": self.batch_size,
        }
        deleted = deletion(self.model, copies, alpha, classes, fill=color, **options)
        inserted = insertion(self.model, copies, alpha, classes, **options)
        return deleted.result(progress=False).auc, inserted.result(progress=False).auc


def _curve(*columns: Tensor) -> SimplicityCurve:
    return SimplicityCurve(*(column.detach().float().cpu() for column in columns))
