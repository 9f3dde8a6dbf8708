"""Regions taken one by one: deleted until the label changes, or added by the attribution they hold.

Minimal image, Zhou et al. 2015: of the segments that are left, delete the one without which the probability of the
class falls least; repeat until the network says something else.

XRAI, Kapishnikov et al. 2019: of overlapping regions R of several sizes, add to what is chosen, M, the one of

    argmax over R of   sum over u in R - M of A(u) / |R - M|

with A the attribution of the pixels; its new pixels get this gain. Repeat until the image is covered.
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
from xai_widgets.core.validation import brief, check_finite, dimensions, integer, tensor
from xai_widgets.errors import check_keywords
from xai_widgets.methods import Cost, Method, as_method, run_method
from xai_widgets.methods.path_integral import path_sums
from xai_widgets.ops.fill import Fill, fill_image
from xai_widgets.perturbation.masking import Outputs, check_probabilities
from xai_widgets.perturbation.segments import as_segments, counts, oversegmentations, paint

#: Of the integrated gradients, if they are not given.
PATH: dict[str, Any] = {"steps": 50, "quadrature": "right", "batch_size": 16}


@dataclass(frozen=True)
class MinimalImage:
    """What is left of each image, as far as segments are deleted.

    Attributes
    ----------
    segments : Tensor, (N, H, W)
        Labels 0, 1, ... of the segments.
    masks : Tensor, (N, H, W)
        True where the image is left.
    images : Tensor, (N, C, H, W)
        What is left, the fill elsewhere. The network still says the class.
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
        """Share of the segments deleted before, (N, H, W), in [0, 1]; 1 for what is left."""
        own = torch.tensor(counts(self.segments), device=self.order.device)[:, None]
        places = torch.arange(self.order.shape[1], device=self.order.device)
        # What is not deleted writes to one place more, which is thrown away.
        spare = self.order.shape[1]
        values = torch.ones(len(own), spare + 1, device=self.order.device)
        at = torch.where(self.order < 0, spare, self.order)
        values.scatter_(1, at, (places / own).to(values.dtype))
        return paint(values, self.segments)


@dataclass(frozen=True)
class GreedyRegions:
    """The image as far as it is covered by regions.

    Attributes
    ----------
    map : Tensor, (N, H, W)
        Mean attribution of the new pixels of the region with which a pixel came; 0 where none did yet.
    order : Tensor, (N, H, W)
        Which region it came with, from 0; -1 where none did yet.
    attribution : Tensor, (N, H, W)
        What the regions are ranked by; before the first region, as far as it is summed up.
    """

    map: Tensor
    order: Tensor
    attribution: Tensor

    def saliency(self) -> Tensor:
        """The map, (N, H, W), signed. While it is incomplete, what is not covered has the lowest value."""
        low = self.map.flatten(1).amin(1)[:, None, None]
        return torch.where(self.order < 0, low, self.map)


@run_method(
    title="Minimal image",
    source="Zhou et al. 2015",
    formula="delete the segment without which p_c falls least, until the network says something else",
    cost=Cost(1, 0, "sets of segments tried", 1, 0),
    guarantees="what is left is still the class",
    limits="Refuses classes other than the predicted one; greedy, so that a smaller image may exist.",
)
@without_inference_mode
def minimal_image(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    segments: int | Tensor | None = None,
    fill: Fill = "blur",
    batch_size: int = 32,
) -> Run[MinimalImage]:
    """Delete the segment that the probability of the class needs least, until the network says another class.

    The source deletes in the gradient domain, which leaves no edges; the blur does that here.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    target : int, str, sequence or Tensor, optional
        The class, or one per image, which has to be the predicted one. Default: the predicted class.
    segments : int or Tensor, optional
        About how many superpixels, or your own labels (H, W) or (N, H, W). Default: 50, which take up to 1275 images.
    fill : {"gray", "mean", "blur"}, float or Tensor, default "blur"
        What is left of a deleted segment: 0.5, the image's mean color, the image blurred by 10/224 of its short side,
        a gray value, an image, or one per image.
    batch_size : int, default 32
        Images per pass. All candidates of a step are one batch, cut where it is longer than this.

    Returns
    -------
    Run of MinimalImage
        The whole image, then one snapshot for each deletion. The deletion that would change the label is not made;
        where the fill itself has the label, nothing is left.

    Raises
    ------
    ValueError
        For a class that is not the predicted one, segments that do not fit the images, or a network without
        probabilities. A network of one class predicts it from a probability of 1/2 on.
    ImportError
        Without scikit-image, if superpixels have to be made.
    """
    x, target = prepare(model, x, target)
    check_probabilities(model, "minimal_image", "greedy_regions")
    labels = as_segments(segments, x)
    hidden = fill_image(fill, x)
    outputs = Outputs(model, x.shape, batch_size, "probability")
    whole = outputs.of(x)
    for said, wanted in zip(predicted(whole).tolist(), target.tolist(), strict=True):
        if said != wanted:
            names = [brief(model.labels[index]) for index in (said, wanted)]
            instead = "no class" if said < 0 else f"class {said}, {names[0]}"
            raise ValueError(
                f"expected the predicted class as target, got class {wanted}, {names[1]}; the network "
                f"predicts {instead}, so that there is nothing to keep"
            )
    sizes = counts(labels)

    def delete() -> Iterator[MinimalImage]:
        order = torch.full((len(x), max(sizes)), -1, device=x.device)
        scores = x.new_full((len(x), max(sizes) + 1), torch.nan)
        scores[:, 0] = whole.gather(1, target[:, None])[:, 0]
        masks, left_images = torch.ones_like(labels, dtype=torch.bool), x.clone()
        yield MinimalImage(labels, masks.clone(), left_images.clone(), order.clone(), scores.clone())
        for n in range(len(x)):
            shown = torch.ones(sizes[n], dtype=torch.bool, device=x.device)
            for step in range(sizes[n]):
                left = shown.nonzero()[:, 0]
                # One row for each candidate: all that is shown but itself.
                rows = shown & ~torch.eye(sizes[n], dtype=torch.bool, device=x.device)[left]
                probs = outputs.masked(x[n], hidden[n], rows[:, labels[n]])
                best = int(probs[:, target[n]].argmax())
                if predicted(probs[best : best + 1])[0] != target[n]:
                    break
                shown = rows[best]
                order[n, step], scores[n, step + 1] = left[best], probs[best, target[n]]
                masks[n] = shown[labels[n]]
                left_images[n] = torch.where(masks[n], x[n], hidden[n])
                yield MinimalImage(labels, masks.clone(), left_images.clone(), order.clone(), scores.clone())

    return Run(delete(), total=1 + sum(sizes), name="minimal image")


def predicted(probs: Tensor) -> Tensor:
    """Return the class of each row of probabilities (N, classes), (N,).

    A network of one class says it from 1/2 on, else no class, -1.
    """
    return probs.argmax(1) if probs.shape[1] > 1 else torch.where(probs[:, 0] >= 0.5, 0, -1)


@run_method(
    title="Greedy regions (XRAI)",
    source="Kapishnikov et al. 2019",
    formula="the next region R to M has the largest sum of A(u) over u in R - M by |R - M|",
    cost=Cost(0, 0, "steps", 2, 2, note="for integrated gradients from black and white, else that of A"),
    limits="Its edges are those of the regions, whatever the network sees.",
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
    """Cover the image with regions, those of the highest mean attribution first.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    target : int, str, sequence or Tensor, optional
        The class, or one per image. Default: the predicted class.
    attribution : Tensor (N, H, W), str, Method or callable, optional
        A saliency map, or the method that makes it. Default: the mean of integrated gradients from black and from
        white, as in XRAI, so that neither black nor white pixels are without attribution.
    regions : Tensor, (R, H, W) or (N, R, H, W), optional
        Booleans, regions that may overlap and have to cover the image. Default: Felzenszwalb's segments at six scales,
        see :func:`~xai_widgets.perturbation.segments.oversegmentations`.
    **options
        Of the attribution method; of the default ``steps``, ``quadrature`` and ``batch_size``, as for integrated
        gradients.

    Returns
    -------
    Run of GreedyRegions
        A snapshot after each pass of the default attribution (two times 50 images forward and back), whenever a further
        twentieth of an image is covered, and at the end of each image. A method of your choice is one step, in which
        no cancel is seen. Beyond the attribution no pass through the network is made.

    Raises
    ------
    ValueError
        For a map or regions that do not fit the images, or regions that leave pixels uncovered.
    ImportError
        Without scikit-image, if regions have to be made.
    """
    x, target = prepare(model, x, target)
    size = (len(x), *x.shape[2:])
    if isinstance(attribution, Tensor | np.ndarray):
        attribution = tensor(attribution, "attribution", size, finite=True, like=x)
    if isinstance(attribution, Tensor) and options:
        raise TypeError(
            f"attribution is a map and {', '.join(options)} was given, wanted options with a method only"
        )
    given = None if regions is None else _check_regions(regions, x)
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
        made = explain.saliency(model, x, target, **options)
        if tuple(made.shape) != size:
            raise ValueError(
                f"expected a method with maps in the resolution of the images, {size[1:]}, such as "
                f"'integrated_gradients', got {brief(explain.name)} with maps of {tuple(made.shape[1:])}"
            )
        return check_finite(made, model.name, "attributions")

    def grow() -> Iterator[GreedyRegions]:
        # Inside the caller's inference_mode() they could not be written to when the run goes on outside of it.
        with outside_inference():
            map, order = x.new_zeros(size), torch.full(size, -1, device=x.device)
        values = torch.zeros_like(map) if attribution is None else attribute()
        if attribution is None:
            for values in _from_both_ends(model, x, target, path):
                check_finite(values, model.name, "attributions")
                yield GreedyRegions(map.clone(), order.clone(), values)
        for n in range(len(x)):
            masks = oversegmentations(x[n]) if given is None else given[n]
            shown = 0.0
            for place, (new, gain) in enumerate(greedy_order(masks.flatten(1), values[n].flatten())):
                fresh = new.to(x.device)
                map[n].view(-1)[fresh], order[n].view(-1)[fresh] = gain, place
                covered = (order[n] >= 0).float().mean().item()
                if covered >= min(1.0, shown + 0.05):
                    shown = covered
                    yield GreedyRegions(map.clone(), order.clone(), values)

    return Run(grow(), total=passes + 20 * len(x), name="greedy regions")


def _from_both_ends(model: ImageModel, x: Tensor, target: Tensor, path: dict[str, Any]) -> Iterator[Tensor]:
    """The mean of integrated gradients from black and from white, (N, H, W), as far as it is summed up."""
    before = torch.zeros_like(x)
    for end in (0.0, 1.0):
        made = before
        for so_far in path_sums(model, x, target, check_baseline(end, x), **path):
            made = before + so_far / 2
            yield made.sum(1)
        before = made


def greedy_order(masks: Tensor, values: Tensor) -> Iterator[tuple[Tensor, float]]:
    """The new pixels (indices) of each region (R, P) in greedy order, and the mean of the values (P,) over them.

    The sums are kept up to date by the new pixels alone: each pixel is taken away from all regions once. All of it is
    on the CPU, in double precision.
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
    """Regions as booleans (N, R, H, W) that cover every image."""
    lead = (len(x),) if dimensions(regions, 3) == 4 else ()
    masks = tensor(regions, "regions", (*lead, "R", *x.shape[2:])).to(x.device)
    masks = masks.bool().expand(len(x), *masks.shape[-3:])
    missed = int((~masks.any(1)).sum())
    if missed:
        raise ValueError(f"expected every pixel in at least one of the regions, got {missed} pixels in none")
    return masks
