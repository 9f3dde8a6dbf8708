"""Meaningful perturbation: the smallest region whose deletion removes the class, or that alone preserves it.

Fong and Vedaldi 2017; Fong, "Understanding Convolutional Neural Networks", 2020, equation 4 of chapter 3 and its
implementation details. With m a coarse mask in [0, 1], M(v) = sum_u g_s(v / d - u) m(u) the mask upsampled to the image
(d pixels per cell), and f_c the probability:

    deletion       min_m  l1 sum |1 - m| + l2 sum |grad m|^beta + E_tau f_c(M (x) x(. - tau))
    preservation   min_m  l1 sum |m|     + l2 sum |grad m|^beta - E_tau f_c(M (x) x(. - tau))

Both norms are sums over the cells of m, not means: otherwise the published weights do not balance a probability. The
published lengths hold for 224 pixels. Here they scale with the short side of the image, so that it always has 28 cells
and the weights have the same effect at any size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.batching import pass_batch_size
from xai_widgets.core.finite import FiniteChecks
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import check_fields, check_finite, choice, instance, integer, number
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.methods import Cost, run_method
from xai_widgets.ops.adam import Adam
from xai_widgets.ops.blur import gaussian_matrix
from xai_widgets.ops.fill import fill_image, noise_image
from xai_widgets.ops.perturb import perturb, pyramid
from xai_widgets.perturbation.masking import check_probabilities

MeaningfulMode = Literal["deletion", "preservation"]
MeaningfulPerturbation = Literal["blur", "constant", "noise"]


@dataclass(frozen=True)
class MeaningfulSettings:
    """Settings of :func:`meaningful_perturbation`; the defaults are the published ones.

    Lengths are in pixels of an image with a short side of 224, and scale with it.

    Attributes
    ----------
    steps : int, default 300
        Steps of Adam, at least 1.
    learning_rate : float, default 0.1
        Learning rate of Adam, above 0.
    l1, l2 : float, default 1e-4 and 1e-2
        Weights of the area, per cell, and of the roughness; at least 0.
    beta : float, default 3.0
        Exponent of the gradient of the mask, at least 1.
    cell : float, default 8.0
        Side of a cell of the coarse mask; 28 cells along the short side.
    smoothing : float, default 5.0
        Standard deviation of the Gaussian that upsamples the coarse mask.
    jitter : int, default 4
        At each step the image is shifted down and right by random 0 to ``jitter`` - 1 pixels; its border is replicated.
    sigma : float, default 10.0
        Standard deviation of the strongest blur, for the perturbation "blur".
    suppression : float, default 0.99
        The search starts from the smallest centered disc that removes (deletion), or preserves (preservation), this
        share of the difference between the scores of the image and of the fully perturbed one.
    """

    steps: int = 300
    learning_rate: float = 0.1
    l1: float = 1e-4
    l2: float = 1e-2
    beta: float = 3.0
    cell: float = 8.0
    smoothing: float = 5.0
    jitter: int = 4
    sigma: float = 10.0
    suppression: float = 0.99

    def __post_init__(self) -> None:
        check_fields(self, integer, "steps", "jitter", low=1)
        check_fields(self, number, "l1", "l2", "sigma", "suppression", low=0)
        check_fields(self, number, "beta", "cell", low=1)
        check_fields(self, number, "learning_rate", "smoothing", above=0)


@dataclass(frozen=True, repr=False)
class Meaningful(ShortRepr):
    """Masks at one step.

    Attributes
    ----------
    mode : {"deletion", "preservation"}
        Whether the masks delete or preserve the class.
    step : int
        Number of steps so far.
    masks : Tensor, (N, H, W)
        M in [0, 1]: 1 preserves a pixel, 0 perturbs it.
    coarse : Tensor, (N, h, w)
        m, the variables of the optimization.
    scores : Tensor, (N,)
        Probability of the class for the masked image, shifted by the jitter of this step; not shifted in the last
        snapshot.
    areas : Tensor, (N,)
        The first term, l1 times the deleted, or preserved, area.
    roughnesses : Tensor, (N,)
        The second term, l2 sum |grad m|^beta.
    """

    mode: MeaningfulMode
    step: int
    masks: Tensor
    coarse: Tensor
    scores: Tensor
    areas: Tensor
    roughnesses: Tensor

    @property
    def losses(self) -> Tensor:
        """Objective, (N,), which is minimized."""
        return self.areas + self.roughnesses + (self.scores if self.mode == "deletion" else -self.scores)

    def saliency(self) -> Tensor:
        """Return the deleted region, 1 - M, or the preserved one, M: (N, H, W) in [0, 1]."""
        return 1 - self.masks if self.mode == "deletion" else self.masks


@run_method(
    title="Meaningful perturbation",
    source="Fong and Vedaldi 2017",
    formula="min over m of l1 sum |1 - m| + l2 sum |grad m|^beta + p_c(m (x) x)",
    cost=Cost(0, 0, "steps", 1, 1, note="and a few forward ones for the disc that it starts from"),
    limits="The balance of its three terms determines the size of the region; the optimum may be a local one.",
    quick={"settings": MeaningfulSettings(steps=4)},
    signed=False,
)
@without_inference_mode
def meaningful_perturbation(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    mode: MeaningfulMode = "deletion",
    perturbation: MeaningfulPerturbation = "blur",
    settings: MeaningfulSettings | None = None,
    seed: int = 0,
    batch_size: int | None = None,
) -> Run[Meaningful]:
    """Learn the smallest region whose deletion removes, or that alone preserves, the probability of a class.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them, optimized together but independently.
    target : int, str, callable, sequence or Tensor, optional
        The class or a target (see :mod:`xai_widgets.targets`), or one per image. Default: the predicted class.
    mode : {"deletion", "preservation"}, default "deletion"
        Minimize the probability without the region (equation 3), or maximize that of the region alone.
    perturbation : {"blur", "constant", "noise"}, default "blur"
        Image where the mask is 0: blurred; its mean color; or Gaussian noise with the mean and standard deviation of
        each of its channels, drawn once and clamped to [0, 1].
    settings : MeaningfulSettings, optional
        Default: ``MeaningfulSettings()``.
    seed : int, default 0
        Seed of jitter and noise, which are drawn on the CPU and are the same for each image.
    batch_size : int, optional
        Images per pass. Default: those of the best throughput, with gradients or without.

    Returns
    -------
    Run of Meaningful
        ``settings.steps`` + 1 snapshots.

    Raises
    ------
    TypeError
        If ``model`` is not an ImageModel.
    ValueError
        For an unknown mode or perturbation, invalid images or classes, or a network without probabilities.
    """
    choice(mode, "mode", get_args(MeaningfulMode))
    choice(perturbation, "perturbation", get_args(MeaningfulPerturbation))
    seed = check_seed(seed)
    settings = (
        MeaningfulSettings() if settings is None else instance(settings, "settings", MeaningfulSettings)
    )
    model, x, target = prepare(model, x, target)
    check_probabilities(model, "meaningful_perturbation", "extremal")
    pass_batch_size(model, x.shape[2:], batch_size)  # refuses one below 1

    def optimize() -> Iterator[Meaningful]:
        with outside_inference():
            objective = _Objective(
                model, x.clone(), target.clone(), mode, perturbation, settings, seed, batch_size
            )
            coarse = objective.start()
        adam = Adam(settings.learning_rate)
        generator = torch.Generator().manual_seed(seed)
        for step in range(settings.steps):
            shift = torch.randint(objective.reach + 1, (2,), generator=generator).tolist()
            snapshot, gradient = objective.at(step, coarse, shift)
            yield snapshot
            with outside_inference():
                coarse = (coarse + adam.step(gradient)).clamp(0, 1)
        yield objective.at(settings.steps, coarse, [0, 0])[0]

    return Run(optimize(), total=settings.steps + 1, name=f"meaningful perturbation, {mode}")


class _Objective:
    """Equation 4 for a batch of images."""

    def __init__(
        self,
        model: ImageModel,
        x: Tensor,
        target: Tensor,
        mode: MeaningfulMode,
        perturbation: MeaningfulPerturbation,
        settings: MeaningfulSettings,
        seed: int,
        batch_size: int | None,
    ) -> None:
        self.model, self.target, self.mode, self.settings = model, target, mode, settings
        size = (x.shape[2], x.shape[3])
        self.batch_size, self.gradient_batch_size = (
            pass_batch_size(model, size, batch_size, gradient=gradient) for gradient in (False, True)
        )
        scale = min(size) / 224
        # At most one cell per pixel.
        cells = [max(1, min(extent, round(extent / (settings.cell * scale)))) for extent in size]
        sigma = settings.smoothing * scale
        self.rows, self.columns = (
            gaussian_matrix(extent, n, sigma, x) for extent, n in zip(size, cells, strict=True)
        )
        self.reach = max(1, round(settings.jitter * scale)) - 1
        levels = _levels(x, perturbation, settings.sigma * scale, seed)
        flat = F.pad(levels.flatten(0, 1), (self.reach, 0, self.reach, 0), mode="replicate")
        self.levels = flat.unflatten(0, levels.shape[:2])

    def masks(self, coarse: Tensor) -> Tensor:
        """Return M (..., H, W) of m (..., h, w), in [0, 1]."""
        with outside_autocast(coarse):
            return self.rows @ coarse @ self.columns.T

    def scores(self, some: slice, masks: Tensor, shift: list[int]) -> Tensor:
        """Return probabilities (n, A) of some of the images, shifted down and right, under masks (n, A, H, W)."""
        down, right = (self.reach - pixels for pixels in shift)
        height, width = masks.shape[2:]
        levels = self.levels[some, ..., down : down + height, right : right + width]
        scores = check_finite(
            self.model(perturb(levels, masks).flatten(0, 1), frozen=True, folded=True), self.model.name
        )
        probs = self.model.probabilities(scores).unflatten(0, masks.shape[:2])
        return probs.gather(2, self.target[some, None, None].expand(-1, masks.shape[1], 1))[..., 0]

    @torch.no_grad()
    def start(self) -> Tensor:
        """Return the smallest centered disc, (N, h, w), that is sufficient on its own, of all radii."""
        height, width = len(self.rows[0]), len(self.columns[0])
        down, right = (torch.arange(n, device=self.rows.device) - (n - 1) / 2 for n in (height, width))
        distance = (down[:, None] ** 2 + right**2).sqrt()
        radii = torch.arange(math.ceil(float(distance.max())) + 2, device=distance.device)
        # The first disc is empty, the last one covers everything.
        inside = (distance < radii.view(-1, 1, 1)).to(self.rows.dtype)
        discs = 1 - inside if self.mode == "deletion" else inside
        starts = []
        for n in range(len(self.target)):
            image = slice(n, n + 1)
            masks = self.masks(discs).split(self.batch_size)
            checks = FiniteChecks()
            with checks.collect():
                scores = torch.cat([self.scores(image, batch[None], [0, 0])[0] for batch in masks])
            checks.read()
            change = scores[0] - scores if self.mode == "deletion" else scores - scores[0]
            sufficient = (change >= self.settings.suppression * change[-1]).nonzero()
            starts.append(discs[int(sufficient[0]) if len(sufficient) else -1])
        return torch.stack(starts)

    def at(self, step: int, coarse: Tensor, shift: list[int]) -> tuple[Meaningful, Tensor]:
        """Return the snapshot at coarse masks (N, h, w), and the gradient of the objective there."""
        gradients, parts = [], []
        for start in range(0, len(coarse), self.gradient_batch_size):
            some = slice(start, start + self.gradient_batch_size)
            with outside_inference(), torch.enable_grad():
                m = coarse[some].detach().requires_grad_()
                masks = self.masks(m)
                score = self.scores(some, masks[:, None], shift)[:, 0]
                counted = 1 - m if self.mode == "deletion" else m
                area = self.settings.l1 * counted.sum((1, 2))
                down, right = (m.diff(dim=dim).abs().pow(self.settings.beta).sum((1, 2)) for dim in (1, 2))
                roughness = self.settings.l2 * (down + right)
                loss = area + roughness + (score if self.mode == "deletion" else -score)
                gradients.append(torch.autograd.grad(loss.sum(), m)[0])
            # Rounding may leave [0, 1]; a clamp within the graph would have no gradient there.
            parts.append([part.detach() for part in (masks.clamp(0, 1), m, score, area, roughness)])
        terms = [torch.cat(batches) for batches in zip(*parts, strict=True)]
        return Meaningful(self.mode, step, *terms), torch.cat(gradients)


def _levels(x: Tensor, perturbation: MeaningfulPerturbation, sigma: float, seed: int) -> Tensor:
    """Return the levels of the images, (N, L, C, H, W), for :func:`~xai_widgets.ops.perturb.perturb`."""
    if perturbation == "blur":
        return pyramid(x, sigma=sigma)
    perturbed = fill_image("mean", x) if perturbation == "constant" else noise_image(x, seed)
    return torch.stack([perturbed, x], dim=1)
