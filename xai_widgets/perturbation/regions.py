"""Regions deleted one by one until the label changes, or added one by one by their attribution.

Minimal image, Zhou et al. 2015: of the remaining segments, delete the one whose deletion lowers the probability of the
class least; repeat until the network would predict another class.

XRAI, Kapishnikov et al. 2019: of overlapping regions R of several sizes, add to the chosen ones, M, the region

    argmax over R of   sum over u in R - M of A(u) / |R - M|

with A the attribution of the pixels; its new pixels get this gain as their value. Repeat until the image is covered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.images import check_baseline
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import brief, check_finite, dimensions, integer, tensor
from xai_widgets.errors import check_keywords
from xai_widgets.methods import Cost, Method, as_method, run_method
from xai_widgets.methods.path_integral import path_sums
from xai_widgets.ops.fill import Fill, fill_image
from xai_widgets.perturbation.masking import MaskedOutputs, check_probabilities
from xai_widgets.perturbation.segments import as_segments, oversegmentations, paint, segment_counts

#: Options of the default attribution, integrated gradients.
PATH: dict[str, Any] = {"steps": 50, "quadrature": "right", "batch_size": 16}


@dataclass(frozen=True, repr=False)
class MinimalImage(ShortRepr):
    """The remaining part of each image so far.

    Attributes
    ----------
    segments : Tensor, (N, H, W)
        Labels 0, 1, ... of the segments.
    masks : Tensor, (N, H, W)
        True where the image remains.
    images : Tensor, (N, C, H, W)
        The remaining part, the fill elsewhere. The network still predicts the class.
    order : Tensor, (N, S)
        The segments in the order of their deletion; -1 after the last one.
    scores : Tensor, (N, S + 1)
        Probability of the class before the first deletion and after each; NaN after the last one.
    """

    segments: Tensor
    masks: Tensor
    images: Tensor
    order: Tensor
    scores: Tensor

    def saliency(self) -> Tensor:
        """Return the share of the segments that are deleted before a pixel, (N, H, W); 1 where the image remains."""
        own = torch.tensor(segment_counts(self.segments), device=self.order.device)[:, None]
        ranks = torch.arange(self.order.shape[1], device=self.order.device)
        # Segments that are not deleted write to a spare column, which is dropped.
        spare = self.order.shape[1]
        values = torch.ones(len(own), spare + 1, device=self.order.device)
        index = torch.where(self.order < 0, spare, self.order)
        values.scatter_(1, index, (ranks / own).to(values.dtype))
        return paint(values, self.segments)


@dataclass(frozen=True, repr=False)
class GreedyRegions(ShortRepr):
    """The regions added so far.

    Attributes
    ----------
    map : Tensor, (N, H, W)
        Mean attribution of the new pixels of the region that added a pixel; 0 where none did yet.
    order : Tensor, (N, H, W)
        Rank of this region, from 0; -1 where none did yet.
    attribution : Tensor, (N, H, W)
        Attribution that ranks the regions; before the first region, the sum so far.
    """

    map: Tensor
    order: Tensor
    attribution: Tensor

    def saliency(self) -> Tensor:
        """Return the map, (N, H, W), signed. Pixels that no region has added yet have the lowest value."""
        low = self.map.flatten(1).amin(1)[:, None, None]
        return torch.where(self.order < 0, low, self.map)


@run_method(
    title="Minimal image",
    source="Zhou et al. 2015",
    formula="delete the segment without which p_c falls least, until the network would predict another class",
    cost=Cost(1, 0, "sets of segments tried", 1, 0),
    guarantees="the remaining image is still classified alike",
    limits="Refuses classes other than the predicted one; greedy, so that a smaller image may exist.",
    requires=("predicted_class",),
    signed=False,
)
@without_inference_mode
def minimal_image(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    segments: int | Tensor | None = None,
    fill: Fill = "blur",
    batch_size: int | None = None,
) -> Run[MinimalImage]:
    """Delete the segment that lowers the probability of the class least, until the network would predict another class.

    The paper deletes in the gradient domain, which leaves no edges; here the blur serves this purpose.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    target : int, str, callable, sequence or Tensor, optional
        The class, or one per image; it must be the predicted one. Default: the predicted class.
    segments : int or Tensor, optional
        Approximate number of superpixels, or your own labels (H, W) or (N, H, W). Default: 50, which take at
        most 1275 masked images.
    fill : {"gray", "mean", "blur", "black", "noise"}, float or Tensor, default "blur"
        Fill of a deleted segment: 0.5, the mean color of the image, the image blurred by 10/224 of its short side, a
        gray value, an image, or one per image.
    batch_size : int, optional
        Images per pass. Default: those of the best throughput.

    Returns
    -------
    Run of MinimalImage
        The whole image, then one snapshot for each deletion. The deletion that would change the label is not made; if
        the fill itself has the label, nothing remains.

    Raises
    ------
    ValueError
        For a class that is not the predicted one, segments that do not fit the images, or a network without
        probabilities. A network of one class predicts it from a probability of 1/2 on.
    ImportError
        Without scikit-image, if superpixels are needed.
    """
    model, x, target = prepare(model, x, target)
    check_probabilities(model, "minimal_image", "greedy_regions")
    labels = as_segments(segments, x)
    hidden = fill_image(fill, x)
    outputs = MaskedOutputs(model, x.shape, batch_size, "probability")
    whole = outputs.of(x)
    for prediction, label in zip(predicted(whole).tolist(), target.tolist(), strict=True):
        if prediction != label:
            names = [brief(model.labels[index]) for index in (prediction, label)]
            instead = "no class" if prediction < 0 else f"class {prediction}, {names[0]}"
            raise ValueError(
                f"expected the predicted class as target, got class {label}, {names[1]}; the network "
                f"predicts {instead}"
            )
    sizes = segment_counts(labels)

    def delete() -> Iterator[MinimalImage]:
        order = torch.full((len(x), max(sizes)), -1, device=x.device)
        scores = x.new_full((len(x), max(sizes) + 1), torch.nan)
        scores[:, 0] = whole.gather(1, target[:, None])[:, 0]
        masks, remaining = torch.ones_like(labels, dtype=torch.bool), x.clone()
        yield MinimalImage(labels, masks.clone(), remaining.clone(), order.clone(), scores.clone())
        for n, label in enumerate(target.tolist()):
            candidates = list(range(sizes[n]))
            others = ~torch.eye(sizes[n], dtype=torch.bool, device=x.device)
            shown = torch.ones(sizes[n], dtype=torch.bool, device=x.device)
            for step in range(sizes[n]):
                # One row for each candidate: all segments that are shown but itself.
                rows = shown & torch.stack([others[candidate] for candidate in candidates])
                probs = outputs.masked(x[n], hidden[n], rows[:, labels[n]])
                ((best, *_), labeled) = outputs.checks.read(probs[:, label].argmax(), predicted(probs))
                best = int(best)
                if labeled[best] != label:
                    break
                shown = rows[best]
                order[n, step], scores[n, step + 1] = candidates.pop(best), probs[best, label]
                masks[n] = shown[labels[n]]
                remaining[n] = torch.where(masks[n], x[n], hidden[n])
                yield MinimalImage(labels, masks.clone(), remaining.clone(), order.clone(), scores.clone())

    return Run(delete(), total=1 + sum(sizes), name="minimal image")


def predicted(probs: Tensor) -> Tensor:
    """Return the predicted class, (N,), of probabilities (N, classes).

    A network of one class predicts it from a probability of 1/2 on, else no class, -1.
    """
    return probs.argmax(1) if probs.shape[1] > 1 else torch.where(probs[:, 0] >= 0.5, 0, -1)


@run_method(
    title="Greedy regions (XRAI)",
    source="Kapishnikov et al. 2019",
    formula="add to M the region R with the largest sum of A(u) over u in R - M, divided by |R - M|",
    cost=Cost(0, 0, "steps", 2, 2, note="for integrated gradients from black and white, else that of A"),
    limits="Its edges are those of the regions, whatever the network uses.",
    quick={"steps": 2, "batch_size": 1},
    signed=True,
)
@without_inference_mode
def greedy_regions(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    attribution: Tensor | str | Method | Callable[..., Any] | None = None,
    regions: Tensor | None = None,
    **options: Any,
) -> Run[GreedyRegions]:
    """Cover the image with regions in the order of their mean attribution.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    target : int, str, callable, sequence or Tensor, optional
        The class or a target (see :mod:`xai_widgets.targets`), or one per image. Default: the predicted class.
    attribution : Tensor (N, H, W), str, Method or callable, optional
        A saliency map, or the method that computes it. Default: the mean of integrated gradients from black and from
        white, as in XRAI, so that neither black nor white pixels are without attribution.
    regions : Tensor, (R, H, W) or (N, R, H, W), optional
        Boolean regions that may overlap and must cover the image. Default: Felzenszwalb's segments at six scales,
        see :func:`~xai_widgets.perturbation.segments.oversegmentations`.
    **options
        Options of the attribution method; for the default one ``steps``, ``quadrature`` and ``batch_size``, as for
        integrated gradients.

    Returns
    -------
    Run of GreedyRegions
        A snapshot after each pass of the default attribution (50 images, twice), whenever another twentieth of an
        image is covered, and at the end of each image. A method of your choice is one step. The network runs for
        the attribution only.

    Raises
    ------
    ValueError
        For a map or regions that do not fit the images, or regions that leave pixels uncovered.
    ImportError
        Without scikit-image, if regions are needed.
    """
    model, x, target = prepare(model, x, target)
    size = (len(x), *x.shape[2:])
    if isinstance(attribution, Tensor | np.ndarray):
        attribution = tensor(attribution, "attribution", size, finite=True, like=x)
    if isinstance(attribution, Tensor) and options:
        raise TypeError(
            f"expected options only with a method, got {', '.join(options)} with a map; leave them out"
        )
    own_regions = None if regions is None else _check_regions(regions, x)
    explain = None if attribution is None or isinstance(attribution, Tensor) else as_method(attribution)
    if explain is not None:
        explain.check_options(options)
    path = PATH | options
    passes = 0
    if attribution is None:
        check_keywords("greedy_regions", options, tuple(PATH))
        path["batch_size"], path["steps"] = (
            check_batch_size(path["batch_size"]),
            integer(path["steps"], "steps", low=1),
        )
        passes = 2 * -(-len(x) * path["steps"] // path["batch_size"])

    def attribute() -> Tensor:
        if isinstance(attribution, Tensor):
            return attribution
        assert explain is not None
        maps = explain.saliency(model, x, target, **options)
        if tuple(maps.shape) != size:
            raise ValueError(
                f"expected a method with maps in the resolution of the images, {size[1:]}, such as "
                f"'integrated_gradients', got {brief(explain.name)} with maps of {tuple(maps.shape[1:])}"
            )
        return check_finite(maps, model.name, "attributions")

    def grow() -> Iterator[GreedyRegions]:
        # Tensors created in the caller's inference mode could not be written to outside of it.
        with outside_inference():
            # On the CPU, as the order is found there.
            map, order = torch.zeros(size, dtype=x.dtype, device="cpu"), torch.full(size, -1, device="cpu")

        def snapshot(values: Tensor) -> GreedyRegions:
            # Both at once; single precision holds all ranks.
            sums, ranks = torch.stack([map, order.to(map.dtype)]).to(x.device)
            return GreedyRegions(sums, ranks.long(), values)

        values = x.new_zeros(size) if attribution is None else attribute()
        if attribution is None:
            for values in _from_both_ends(model, x, target, path):
                check_finite(values, model.name, "attributions")
                yield GreedyRegions(x.new_zeros(size), torch.full(size, -1, device=x.device), values)
        for n in range(len(x)):
            masks = oversegmentations(x[n]) if own_regions is None else own_regions[n]
            reported = 0.0
            for rank, (new, gain) in enumerate(greedy_order(masks.flatten(1), values[n].flatten())):
                map[n].view(-1)[new], order[n].view(-1)[new] = gain, rank
                covered = (order[n] >= 0).float().mean().item()
                if covered >= min(1.0, reported + 0.05):
                    reported = covered
                    yield snapshot(values)

    return Run(grow(), total=passes + 20 * len(x), name="greedy regions")


def _from_both_ends(model: ImageModel, x: Tensor, target: Tensor, path: dict[str, Any]) -> Iterator[Tensor]:
    """Yield the mean of integrated gradients from black and from white, (N, H, W), summed so far."""
    before = torch.zeros_like(x)
    for end in (0.0, 1.0):
        total = before
        for so_far in path_sums(model, x, target, check_baseline(end, x), **path):
            total = before + so_far / 2
            yield total.sum(1)
        before = total


def greedy_order(masks: Tensor, values: Tensor) -> Iterator[tuple[Tensor, float]]:
    """Yield the new pixels (indices) of each region (R, P) in greedy order, and the mean of the values (P,) over them.

    The sums are updated by the new pixels only: each pixel is removed from all regions once. The computation runs on
    the CPU in double precision.
    """
    masks = masks.cpu().clone()
    weights = torch.stack([values, torch.ones_like(values)], 1).cpu().double()
    table = masks.double() @ weights
    while (table[:, 1] > 0.5).any():
        gain = torch.where(table[:, 1] > 0.5, table[:, 0] / table[:, 1].clamp(min=1), -torch.inf)
        best = int(gain.argmax())
        fresh = masks[best].nonzero()[:, 0]
        yield fresh, gain[best].item()
        table -= masks[:, fresh].double() @ weights[fresh]
        masks[:, fresh] = False


def _check_regions(regions: Tensor, x: Tensor) -> Tensor:
    """Return regions as booleans (N, R, H, W); ValueError unless they cover every image."""
    lead = (len(x),) if dimensions(regions, 3) == 4 else ()
    masks = tensor(regions, "regions", (*lead, "R", *x.shape[2:])).to(x.device)
    masks = masks.bool().expand(len(x), *masks.shape[-3:])
    uncovered = int((~masks.any(1)).sum())
    if uncovered:
        raise ValueError(
            f"expected every pixel in at least one of the regions, got {uncovered} pixels in none"
        )
    return masks
