"""Occlusion: how much the score drops when a patch, or a soft disc, hides a part of the image.

Zeiler and Fergus 2014, with w_i the windows, as masks that are 1 where the image is hidden, and b the fill:

    d_i = S_c(x) - S_c((1 - w_i) x + w_i b),   map(u) = sum_i w_i(u) d_i / sum_i w_i(u)

Fong, "Understanding Convolutional Neural Networks", 2020, table 2 of chapter 3: discs of radius 35 / 2,
softened by a Gaussian of sigma 10, hide a part of a 224-pixel image by a blur of sigma 10. With discs of several radii,
the smallest among the tenth that suppress the score most is chosen; its center is the position that the network depends
on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import choice, integer, number, numbers
from xai_widgets.methods import Cost, run_method
from xai_widgets.ops.blur import gaussian_blur
from xai_widgets.ops.fill import Fill, fill_image
from xai_widgets.perturbation.masking import MaskedOutputs, Output, value_name

Shape = Literal["patch", "disc"]

#: Width of a window as a share of the short side: 32 pixels at 224 for patches, 35 for discs as in the thesis.
_EXTENT = {"patch": 1 / 7, "disc": 35 / 224}

#: Softness of a disc as a share of its diameter.
_SOFTNESS = 10 / 35


@dataclass(frozen=True, repr=False)
class Occlusion(ShortRepr):
    """Drops of the score under a sliding window so far.

    Attributes
    ----------
    map : Tensor, (N, H, W)
        Mean drop over the windows that cover a pixel, weighted by how much they cover it; 0 where none is computed yet.
    drops : Tensor, (N, rows, columns)
        Drop of the score under each window; NaN where none is computed yet.
    scores : Tensor, (N,)
        Scores of the images themselves.
    value_name : {"probability", "score"}
        Kind of the scores; a network without probabilities has only scores.
    """

    map: Tensor
    drops: Tensor
    scores: Tensor
    value_name: str = "score"

    def saliency(self) -> Tensor:
        """Return the map, (N, H, W), signed; positive where the score depends on the pixel."""
        return self.map


@dataclass(frozen=True, repr=False)
class VariableOcclusion(ShortRepr):
    """Drops under discs of several radii, and the smallest disc among those that suppress the score most.

    Attributes
    ----------
    points : Tensor, (N, 2)
        Row and column of the chosen disc's center, in pixels.
    radii : Tensor, (N,)
        Its radius in pixels.
    masks : Tensor, (N, H, W)
        The chosen disc, in [0, 1], 1 where the image is hidden; 0 for images that have not started.
    suppressions : Tensor, (N,)
        Drop of the score under it; 0 for images that have not started, whose point and radius are NaN.
    drops : Tensor, (N, radii, rows, columns)
        Drop of the score under each disc; NaN where none is computed yet.
    scores : Tensor, (N,)
        Scores of the images themselves.
    value_name : {"probability", "score"}
        Kind of the scores; a network without probabilities has only scores.
    """

    points: Tensor
    radii: Tensor
    masks: Tensor
    suppressions: Tensor
    drops: Tensor
    scores: Tensor
    value_name: str = "score"

    def saliency(self) -> Tensor:
        """Return the chosen disc, (N, H, W), times the drop of the score under it."""
        return self.masks * self.suppressions[:, None, None]


class _Windows:
    """All windows of one shape, cropped from one template that is over twice as large as the image."""

    def __init__(self, x: Tensor, shape: Shape, diameter: float, stride: int, softness: float) -> None:
        height, width = self.size = (x.shape[2], x.shape[3])
        extent = math.ceil(diameter)
        # A margin for the blur, which is normalized at the border of the template.
        self.margin = [side + math.ceil(5 * softness) for side in self.size]
        pixels = [torch.arange(2 * margin + extent, device=x.device) - margin for margin in self.margin]
        if shape == "patch":
            starts = [[k * stride for k in range(-(-(side - extent) // stride) + 1)] for side in self.size]
            inside = [(along >= 0) & (along < extent) for along in pixels]
            template = (inside[0][:, None] & inside[1]).to(x.dtype)
        else:
            # Centered, with the outermost discs near the border, so that the corners are covered too.
            counts = [-(-side // stride) for side in self.size]
            starts = [
                [(side - extent - (count - 1) * stride) // 2 + k * stride for k in range(count)]
                for side, count in zip(self.size, counts, strict=True)
            ]
            center = (extent - 1) / 2
            distance = torch.hypot(pixels[0][:, None] - center, pixels[1] - center)
            template = (distance <= diameter / 2).to(x.dtype)
        template = gaussian_blur(template, softness)
        self.crops = template.unfold(0, height, 1).unfold(1, width, 1)
        self.rows, self.columns = (len(part) for part in starts)
        self.starts = torch.cartesian_prod(*(torch.tensor(part, device="cpu") for part in starts)).to(
            x.device
        )
        self.centers = self.starts + (extent - 1) / 2

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, some: slice) -> Tensor:
        """Return windows as masks (B, H, W), 1 where the image is hidden."""
        rows, columns = self.starts[some].T
        return self.crops[self.margin[0] - rows, self.margin[1] - columns]


@run_method(
    title="Occlusion",
    source="Zeiler and Fergus 2014",
    formula="mean over the windows w that cover a pixel of S_c(x) - S_c(x with w filled)",
    cost=Cost(1, 0, "windows", 1, 0),
    limits="As coarse as its window; misses evidence that occurs twice, because it hides one part at a time.",
    signed=True,
)
@without_inference_mode
def occlusion(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    window: int | None = None,
    stride: int | None = None,
    fill: Fill = "gray",
    shape: Shape = "patch",
    softness: float | None = None,
    output: Output = "score",
    batch_size: int | None = None,
) -> Run[Occlusion]:
    """Slide a window over the image and measure how much the score drops where the window hides the image.

    The defaults make 169 windows at 224 pixels and about as many at every other size: the window is a seventh of the
    side, as fine as the last layer of most networks, and the stride is half of it, so that four windows cover a pixel.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    target : int, str, callable, sequence or Tensor, optional
        The class or a target (see :mod:`xai_widgets.targets`), or one per image. Default: the predicted class.
    window : int, optional
        Side of the patch or diameter of the disc in pixels. Default: 1/7 of the short side for a patch, 35/224 for a
        disc.
    stride : int, optional
        Step in pixels, at most ``window`` (for a disc, at most 0.7 of it), so that every pixel is covered. Default:
        half the window.
    fill : {"gray", "mean", "blur", "black", "noise"}, float or Tensor, default "gray"
        Fill of the hidden part: 0.5, the mean color of the image, the image blurred by 10/224 of its short side, a
        gray value, an image, or one per image.
    shape : {"patch", "disc"}, default "patch"
        Shape of the window. Patches start at each multiple of the stride and are cropped at the right and lower
        border.
    softness : float, optional
        Standard deviation, in pixels, of the Gaussian that softens the window. Default: 0 for a patch, 10/35 of the
        diameter for a disc.
    output : {"score", "probability"}, default "score"
        Measure the drop of the score before softmax, or of the probability.
    batch_size : int, optional
        Windows per pass, and per snapshot. Default: those of the best throughput, and snapshots of 32.

    Returns
    -------
    Run of Occlusion
        One snapshot per 32 windows, or per batch of the given size.

    Raises
    ------
    ValueError
        For a window larger than the image, a stride that leaves pixels uncovered, an unknown fill or shape.
    """
    model, x, target = prepare(model, x, target)
    choice(shape, "shape", get_args(Shape))
    short = min(x.shape[2:])
    window = max(1, round(_EXTENT[shape] * short)) if window is None else window
    window = integer(window, "window", low=1, high=short, hint="the short side of the images in pixels")
    stride = _check_stride((window + 1) // 2 if stride is None else stride, window, shape)
    softness = (0.0 if shape == "patch" else _SOFTNESS * window) if softness is None else softness
    softness = number(softness, "softness", low=0, high=max(x.shape[2:]), hint="in pixels")
    windows = _Windows(x, shape, window, stride, softness)
    hidden = fill_image(fill, x)
    outputs = MaskedOutputs(model, x.shape, batch_size, output)
    batches = [(n, start) for n in range(len(x)) for start in range(0, len(windows), outputs.step)]

    def slide() -> Iterator[Occlusion]:
        scores = outputs.of(x).gather(1, target[:, None])[:, 0]
        total, cover = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0])
        drops = x.new_full((len(x), len(windows)), torch.nan)
        labels = target.tolist()
        for n, start in batches:
            some = slice(start, start + outputs.step)
            masks = windows[some]
            drop = scores[n] - outputs.masked(x[n], hidden[n], 1 - masks)[:, labels[n]]
            outputs.checks.read()
            with outside_autocast(masks):
                total[n] += torch.einsum("b,bhw->hw", drop, masks)
            cover[n] += masks.sum(0)
            drops[n, some] = drop
            mean = torch.where(cover > 0, total / cover, 0.0)
            table = drops.view(len(x), windows.rows, windows.columns).clone()
            yield Occlusion(mean, table, scores, value_name(model, output))

    return Run(slide(), total=len(batches), name="occlusion")


@run_method(
    title="Occlusion, variable radius",
    source="Fong and Vedaldi 2017",
    formula="the center of the smallest disc among the tenth that lower S_c most",
    cost=Cost(1, 0, "discs", 1, 0),
    limits="Marks one position, not the extent of an object.",
    signed=None,
)
@without_inference_mode
def variable_occlusion(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    radii: Sequence[float] | None = None,
    stride: int | None = None,
    share: float = 0.1,
    fill: Fill = "blur",
    output: Output = "score",
    batch_size: int | None = None,
) -> Run[VariableOcclusion]:
    """Hide the image under soft discs of several radii and find the smallest that suppresses the score.

    Parameters
    ----------
    model, x, target, output, batch_size
        As for :func:`occlusion`.
    radii : sequence of float, optional
        In pixels. Default: 1/2, 1, 3/2 and 2 times 35/2 pixels at 224, in proportion to the short side; the thesis
        does not name them.
    stride : int, optional
        Step between centers in pixels. Default: 1/14 of the short side; 784 discs at 224 pixels.
    share : float, default 0.1
        Share of the discs, those that suppress the score most, of which the smallest is chosen. Among discs of one
        radius, the one that suppresses the score most is chosen.
    fill : {"gray", "mean", "blur", "black", "noise"}, float or Tensor, default "blur"
        Fill of the hidden part, as for :func:`occlusion`.

    Returns
    -------
    Run of VariableOcclusion
        One snapshot per 32 windows, or per batch of the given size.

    Raises
    ------
    ValueError
        For radii that are not above 0, a stride below 1 or a share outside (0, 1].
    """
    model, x, target = prepare(model, x, target)
    short = min(x.shape[2:])
    sizes = (
        [part * _EXTENT["disc"] * short / 2 for part in (0.5, 1, 1.5, 2)]
        if radii is None
        else numbers(radii, "radii", above=0, high=short, hint="the short side of the images in pixels")
    )
    stride = max(1, round(short / 14)) if stride is None else integer(stride, "stride", low=1)
    share = number(share, "share", above=0, high=1)
    discs = [_Windows(x, "disc", 2 * radius, stride, 2 * radius * _SOFTNESS) for radius in sizes]
    hidden = fill_image(fill, x)
    outputs = MaskedOutputs(model, x.shape, batch_size, output)
    batches = [
        (n, r, start)
        for n in range(len(x))
        for r in range(len(sizes))
        for start in range(0, len(discs[r]), outputs.step)
    ]

    def slide() -> Iterator[VariableOcclusion]:
        scores = outputs.of(x).gather(1, target[:, None])[:, 0]
        drops = x.new_full((len(x), len(sizes), len(discs[0])), torch.nan)
        centers, radius = x.new_full((len(x), 2), torch.nan), x.new_full((len(x),), torch.nan)
        masks, drop = torch.zeros_like(x[:, 0]), x.new_zeros(len(x))
        labels = target.tolist()
        for n, r, start in batches:
            some = slice(start, start + outputs.step)
            shown = 1 - discs[r][some]
            drops[n, r, some] = scores[n] - outputs.masked(x[n], hidden[n], shown)[:, labels[n]]
            (known,) = outputs.checks.read(drops[n])
            best, position = smallest_disc(torch.tensor(known).view(drops[n].shape), sizes, share)
            centers[n], radius[n] = discs[best].centers[position], sizes[best]
            masks[n], drop[n] = discs[best][position : position + 1][0], drops[n, best, position]
            table = drops.view(*drops.shape[:2], discs[0].rows, discs[0].columns)
            yield VariableOcclusion(
                centers.clone(),
                radius.clone(),
                masks.clone(),
                drop.clone(),
                table.clone(),
                scores,
                value_name(model, output),
            )

    return Run(slide(), total=len(batches), name="variable occlusion")


def smallest_disc(drops: Tensor, radii: Sequence[float], share: float) -> tuple[int, int]:
    """Return the indices (radius, position) of the smallest disc among the share with the largest drops.

    Drops (radii, positions) that are NaN are ignored.
    """
    known = drops.flatten().nan_to_num(nan=-math.inf)
    count = max(1, round(share * int(drops.isfinite().sum())))
    best = known.topk(count).indices.tolist()
    positions = drops.shape[1]
    # topk sorts by descending drop, and min returns the first of equal radii.
    chosen = min(best, key=lambda index: radii[index // positions])
    return chosen // positions, chosen % positions


def _check_stride(stride: int, window: int, shape: Shape) -> int:
    largest = window if shape == "patch" else max(1, int(window / math.sqrt(2)))
    return integer(
        stride, "stride", low=1, high=largest, hint=f"windows of {window} pixels have to cover every pixel"
    )
