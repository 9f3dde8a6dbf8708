"""The registry of metrics: each scores one explanation and states its direction, bounds, category and needs.

A metric is a function ``explanation -> float``, registered by the :func:`metric` decorator in the file that holds it::

    @metric("deletion", title="Deletion", category="faithfulness", direction="lower", measures="area under ...")
    def deletion_auc(explanation: Explanation, *, steps: int | None = None) -> float: ...
"""

from __future__ import annotations

import inspect
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.errors import check_keywords, unknown_name, warn
from xai_widgets.methods.registry import Method, as_method
from xai_widgets.ops.resize import resize_map

Category = Literal[
    "faithfulness", "localization", "randomization", "robustness", "complexity", "agreement", "cost"
]
Direction = Literal["higher", "lower"]
Need = Literal["mask", "parts", "method", "permuted", "reference"]

#: The parts that metrics need, in words.
NEEDS: dict[Need, str] = {
    "mask": "a mask",
    "parts": "parts",
    "method": "a method",
    "permuted": "permuted, a network trained on permuted labels",
    "reference": "a reference",
}

#: Categories of metrics that do not look at the map alone, or are defined for every map.
UNJUDGED = ("agreement", "cost")


@dataclass(frozen=True, repr=False)
class Explanation(ShortRepr):
    """One saliency map, with everything that a metric may need to score it.

    Attributes
    ----------
    model : ImageModel
        The network that is explained.
    x : Tensor, (1, C, H, W)
        The image.
    target : int
        Index of the class that is explained.
    saliency : Tensor, (1, h, w)
        The map; higher is more important.
    mask : Tensor of bool, (H, W), optional
        The pixels of the object of the class.
    difficult : bool, optional
        Whether the object is in the difficult subset: less than a quarter of an image with at least two classes.
    parts : mapping of str to Tensor (K, 2), optional
        Row and column, in pixels of the image, of the points of each part, such as "eye".
    method : Method or callable, optional
        The method of the map.
    options : mapping
        Options that the method was called with, such as its layer.
    permuted : ImageModel, optional
        A network of the same architecture that was trained on permuted labels.
    reference : Tensor, (1, h, w), optional
        Another map of the same image to compare with.
    results : dict
        Results that several metrics share, such as the curves of this map.
    """

    model: ImageModel
    x: Tensor
    target: int
    saliency: Tensor
    mask: Tensor | None = None
    difficult: bool | None = None
    parts: Mapping[str, Tensor] | None = None
    method: Method | Callable[..., Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    permuted: ImageModel | None = None
    reference: Tensor | None = None
    results: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)


def stacked(
    explanations: Sequence[Explanation],
) -> tuple[ImageModel, Tensor, list[int], Tensor, Tensor]:
    """Return explanations of one network as tensors.

    Returns
    -------
    ImageModel, Tensor (I, C, H, W), list of int (N,), Tensor (N, H, W), Tensor (N,)
        The network, the images, the index of the image of each map, the maps in the resolution of the images, and the
        classes. Explanations that hold the same tensor ``x`` share an image.
    """
    distinct = {id(each.x): each.x for each in explanations}
    order = list(distinct)
    x = torch.cat(list(distinct.values()))
    maps = [resize_map(each.saliency, (x.shape[2], x.shape[3])) for each in explanations]
    target = torch.tensor([each.target for each in explanations], device=x.device)
    images = [order.index(id(each.x)) for each in explanations]
    return explanations[0].model, x, images, torch.cat(maps), target


def saliency_of(
    explain: str | Method | Callable[..., Any], model: ImageModel, x: Tensor, target: Any, **options: Any
) -> Tensor:
    """Return the maps of a method, (N, h, w), without gradients.

    Parameters
    ----------
    explain : str, Method or callable
        The name of a method, an object with ``saliency(model, x, target)``, or a function
        ``explain(model, x, target) -> map``.
    model, x, target
        Arguments of the method.
    **options
        Options of the method.
    """
    check_explain(explain, options)
    saliency: Callable[..., Tensor] = getattr(explain, "saliency", None) or as_method(explain).saliency
    return saliency(model, x, target, **options).detach().float()


def check_explain(explain: str | Method | Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raise TypeError for an option that a method does not have, with the nearest one."""
    if isinstance(explain, str | Method):
        as_method(explain).check_options(options)


class Summary(NamedTuple):
    """Scores of several explanations in three numbers.

    Attributes
    ----------
    mean : float
        NaN without any score.
    spread : float
        Sample standard deviation; NaN for fewer than two scores and for binary metrics, whose mean determines it.
    n : int
        Number of scores.
    """

    mean: float
    spread: float
    n: int


@dataclass(frozen=True)
class Metric:
    """A metric of explanations: call it as ``metric(explanation, **options)``.

    Attributes
    ----------
    function : callable
        ``function(explanation, **options) -> float``.
    name : str
        Name in the registry.
    title : str
        Name in prose.
    category : str
        The property of an explanation that is scored: "faithfulness", "localization", "randomization", "robustness",
        "complexity", "agreement" with another map, or "cost".
    direction : {"higher", "lower"}
        Which scores are better.
    measures : str
        What the metric measures, in one phrase.
    needs : tuple of {"mask", "parts", "method", "permuted", "reference"}
        The optional parts of an :class:`Explanation` that it needs.
    source : str
        The paper that introduced it.
    bounds : (float, float)
        Lowest and highest possible score.
    average : {"images", "classes"}
        Whether the mean weights every image alike, or every class.
    binary : bool
        Whether each score is 0 or 1, so that a mean is a share.
    options : mapping
        Options of the function that differ from its defaults.
    several : callable, optional
        ``several(explanations, **options) -> list of float``: the scores of several explanations of one network, whose
        images have one size, in common passes, the same as those of ``function``.
    passes : callable, optional
        ``passes(explanation, **options) -> int``: the number of images that pass for one explanation. With it,
        explanations of several images are scored together until their passes fill many batches. Default: those of one
        image only.
    """

    function: Callable[..., float] = field(repr=False)
    name: str
    title: str
    category: Category
    direction: Direction
    measures: str = field(repr=False)
    needs: tuple[Need, ...] = ()
    source: str = field(default="", repr=False)
    bounds: tuple[float, float] = field(default=(0.0, 1.0), repr=False)
    average: Literal["images", "classes"] = field(default="images", repr=False)
    binary: bool = field(default=False, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    several: Callable[..., list[float]] | None = field(default=None, repr=False)
    passes: Callable[..., int] | None = field(default=None, repr=False)

    @property
    def best(self) -> float:
        """The best possible score."""
        return self.bounds[self.direction == "higher"]

    @property
    def miss(self) -> float:
        """The score of a map that is constant or has a NaN: the worst possible one; NaN if there is none."""
        worst = self.bounds[self.direction == "lower"]
        return worst if math.isfinite(worst) else math.nan

    @property
    def option_names(self) -> tuple[str, ...]:
        """Names of the options."""
        return tuple(inspect.signature(self.function).parameters)[1:]

    def with_options(self, **options: Any) -> Metric:
        """Return the metric with other default options.

        Raises
        ------
        TypeError
            For an option that the metric does not have, with the nearest one.
        """
        check_keywords(self.name, options, self.option_names)
        return replace(self, options={**self.options, **options})

    def __call__(self, explanation: Explanation, **options: Any) -> float:
        """Score one explanation.

        A map that is constant, or has a NaN or an infinite value, explains nothing: it gets the score :attr:`miss`,
        with a warning. Metrics of agreement and cost score every map.

        Warns
        -----
        ExplanationWarning
            For such a map.

        Raises
        ------
        TypeError
            For an option that the metric does not have, with the nearest one.
        ValueError
            If the explanation lacks a part that the metric needs.
        """
        check_keywords(self.name, options, self.option_names)
        for need in self.needs:
            if getattr(explanation, need) is None:
                raise ValueError(
                    f"expected an explanation with {NEEDS[need]} for {self.title}, got one without"
                )
        if reason := self.defect(explanation):
            warn(f"{self.title}: the map {reason}, which counts as a miss")
            return self.miss
        return float(self.function(explanation, **{**self.options, **options}))

    def score_several(self, explanations: Sequence[Explanation]) -> list[float]:
        """Score explanations of one network without a defect, in common passes if the metric can."""
        if self.several is None or not explanations:
            return [self(each) for each in explanations]
        return [float(score) for score in self.several(explanations, **self.options)]

    def defect(self, explanation: Explanation) -> str:
        """Return why a map counts as a miss; "" if it does not."""
        return "" if self.category in UNJUDGED else _defect(explanation.saliency)

    def summarize(self, scores: Iterable[float], targets: Iterable[int]) -> Summary:
        """Return mean and spread of scores; NaN is left out.

        Parameters
        ----------
        scores : iterable of float
            One for each explanation.
        targets : iterable of int
            The class of each.
        """
        by_class: dict[int, list[float]] = defaultdict(list)
        for score, target in zip(scores, targets, strict=True):
            if not math.isnan(score):
                by_class[target].append(score)
        groups = list(by_class.values())
        flat = [score for group in groups for score in group]
        if not flat:
            return Summary(math.nan, math.nan, 0)
        mean = statistics.fmean(map(statistics.fmean, groups) if self.average == "classes" else flat)
        spread = statistics.stdev(flat) if len(flat) > 1 and not self.binary else math.nan
        return Summary(mean, spread, len(flat))


def _defect(saliency: Tensor) -> str:
    """Return why a map cannot be scored; "" if it can."""
    if not saliency.isfinite().all():
        return "has values that are NaN or infinite"
    return "is constant" if saliency.numel() == 0 or bool(saliency.amax() == saliency.amin()) else ""


#: All metrics by name.
METRICS: dict[str, Metric] = {}


def metric(name: str, **facts: Any) -> Callable[[Callable[..., float]], Callable[..., float]]:
    """Register a function ``(explanation, *, ...) -> float`` as a metric; the function is returned unchanged.

    Parameters
    ----------
    name : str
        Name in the registry.
    **facts
        Attributes of :class:`Metric`.
    """

    def register(function: Callable[..., float]) -> Callable[..., float]:
        METRICS[name] = Metric(function, name, **facts)
        return function

    return register


def get(name: str) -> Metric:
    """Return the metric of this name; ValueError, with the nearest names, if there is none."""
    if name not in METRICS:
        raise ValueError(unknown_name("metric", name, METRICS))
    return METRICS[name]


def metrics_by_name(metrics: str | Metric | Sequence[str | Metric]) -> dict[str, Metric]:
    """Return metrics by name.

    Parameters
    ----------
    metrics : str, Metric or sequence of these
        Registered names, or metrics of any kind.

    Raises
    ------
    ValueError
        For none, an unknown name, or two metrics of one name.
    """
    several = [metrics] if isinstance(metrics, str | Metric) else list(metrics)
    by_name: dict[str, Metric] = {}
    for each in several:
        one = each if isinstance(each, Metric) else get(each)
        if one.name in by_name:
            raise ValueError(f"expected metrics with different names, got {one.name!r} twice")
        by_name[one.name] = one
    if not by_name:
        raise ValueError(f"expected at least one metric, got none; for example {next(iter(METRICS))!r}")
    return by_name
