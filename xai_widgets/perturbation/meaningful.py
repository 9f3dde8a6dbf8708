"""Meaningful perturbation: the smallest region whose deletion takes the class away, or that alone keeps it.

Fong and Vedaldi 2017; chapter 3 of Fong's thesis, equation 4 and its implementation details. With m a coarse mask in
[0, 1], M(v) = sum_u g_s(v / d - u) m(u) that mask brought to the image (d pixels a cell), f_c the probability:

    deletion       min_m  l1 sum |1 - m| + l2 sum |grad m|^beta + E_tau f_c(M (x) x(. - tau))
    preservation   min_m  l1 sum |m|     + l2 sum |grad m|^beta - E_tau f_c(M (x) x(. - tau))

Both norms are sums over the cells of m, not means: only so do the published weights balance a probability.
The published lengths are those at 224 pixels. Here they scale with the short side of the image, so that it always
has 28 cells and the weights mean the same in images of any size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import check_fields, check_finite, choice, instance, integer, number
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.methods import Cost, run_method
from xai_widgets.ops.blur import gaussian_matrix
from xai_widgets.ops.perturb import perturb, pyramid
from xai_widgets.perturbation.adam import Adam
from xai_widgets.perturbation.masking import check_probabilities

MeaningfulGame = Literal["deletion", "preservation"]
MeaningfulPerturbation = Literal["blur", "constant", "noise"]


@dataclass(frozen=True)
class MeaningfulSettings:
    """Settings of :func:`meaningful_perturbation`; the defaults are the published ones.

    Lengths are in pixels of an image with a short side of 224, and scale with it.

    Attributes
    ----------
    steps : int, default 300
        Of Adam, at least 1.
    learning_rate : float, default 0.1
        Of Adam, above 0.
    l1, l2 : float, default 1e-4 and 1e-2
        Weight of the area, per cell, and of the roughness; at least 0.
    beta : float, default 3.0
        Exponent of the gradient of the mask, at least 1.
    cell : float, default 8.0
        Side of a cell of the coarse mask; 28 cells along the short side.
    smoothing : float, default 5.0
        Standard deviation of the Gaussian by which the coarse mask is brought to the image.
    jitter : int, default 4
        The image is shifted down and right by 0 to ``jitter`` - 1, drawn anew at each step; its edges are repeated.
    sigma : float, default 10.0
        The strongest blur, of the perturbation "blur".
    suppression : float, default 0.99
        The start is the smallest centered disc that takes (deletion), or keeps (preservation), this share of the
        difference between the score of the image and that of the wholly perturbed one.
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


@dataclass(frozen=True)
class Meaningful:
    """Masks as they are at one step.

    Attributes
    ----------
    game : {"deletion", "preservation"}
        Which one.
    step : int
        How many steps of Adam made the masks.
    masks : Tensor, (N, H, W)
        M in [0, 1]: 1 keeps a pixel, 0 perturbs it.
    coarse : Tensor, (N, h, w)
        m, what is optimized.
    scores : Tensor, (N,)
        Probability of the class in the masked image, shifted by this step's jitter; in the last snapshot, not shifted.
    areas : Tensor, (N,)
        The first term, l1 times the sum of what is deleted, or preserved.
    roughnesses : Tensor, (N,)
        The second term, l2 sum |grad m|^beta.
    """

    game: MeaningfulGame
    step: int
    masks: Tensor
    coarse: Tensor
    scores: Tensor
    areas: Tensor
    roughnesses: Tensor

    @property
    def losses(self) -> Tensor:
        """The objective, (N,), which is minimized."""
        return self.areas + self.roughnesses + (self.scores if self.game == "deletion" else -self.scores)

    def saliency(self) -> Tensor:
        """What is deleted, 1 - M, or preserved, M: (N, H, W) in [0, 1]."""
        return 1 - self.masks if self.game == "deletion" else self.masks


@run_method(
    title="Meaningful perturbation",
    source="Fong and Vedaldi 2017",
    formula="min over m of l1 sum |1 - m| + l2 sum |grad m|^beta + p_c(m (x) x)",
    cost=Cost(0, 0, "steps", 1, 1, note="and a few forward ones for the disc that it starts with"),
    limits="The balance of its three terms decides the size of the region; an optimum may be a local one.",
)
@without_inference_mode
def meaningful_perturbation(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    game: MeaningfulGame = "deletion",
    perturbation: MeaningfulPerturbation = "blur",
    settings: MeaningfulSettings | None = None,
    seed: int = 0,
    batch_size: int = 32,
) -> Run[Meaningful]:
    """Learn the smallest mask that deletes, or preserves, the probability of a class.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them, which are optimized together and do not influence each other.
    target : int, str, sequence or Tensor, optional
        The class, or one per image. Default: the predicted class.
    game : {"deletion", "preservation"}, default "deletion"
        Equation 3 and what follows it.
    perturbation : {"blur", "constant", "noise"}, default "blur"
        What the image turns into where the mask is 0: itself blurred; its mean color; or Gaussian noise of the mean
        and the standard deviation of each of its channels, drawn once and cut to [0, 1].
    settings : MeaningfulSettings, optional
        Default: the published ones.
    seed : int, default 0
        Of jitter and noise, which are drawn on the CPU and are the same for each image.
    batch_size : int, default 32
        Images per pass.

    Returns
    -------
    Run of Meaningful
        ``settings.steps`` + 1 snapshots.

    Raises
    ------
    TypeError
        If ``model`` is no ImageModel.
    ValueError
        For another game or perturbation, and what the model refuses.
    """
    choice(game, "game", get_args(MeaningfulGame))
    choice(perturbation, "perturbation", get_args(MeaningfulPerturbation))
    batch_size, seed = check_batch_size(batch_size), check_seed(seed)
    made = MeaningfulSettings() if settings is None else instance(settings, "settings", MeaningfulSettings)
    x, target = prepare(model, x, target)
    check_probabilities(model, "meaningful_perturbation", "extremal")

    def optimize() -> Iterator[Meaningful]:
        with outside_inference():
            objective = _Objective(
                model, x.clone(), target.clone(), game, perturbation, made, seed, batch_size
            )
            coarse = objective.start()
        adam = Adam(made.learning_rate)
        generator = torch.Generator().manual_seed(seed)
        for step in range(made.steps):
            shift = torch.randint(objective.reach + 1, (2,), generator=generator).tolist()
            found, gradient = objective.at(step, coarse, shift)
            yield found
            with outside_inference():
                coarse = (coarse + adam.step(gradient)).clamp(0, 1)
        yield objective.at(made.steps, coarse, [0, 0])[0]

    return Run(optimize(), total=made.steps + 1, name=f"meaningful perturbation, {game}")


class _Objective:
    """Equation 4 for a batch of images, with all that does not change from step to step."""

    def __init__(
        self,
        model: ImageModel,
        x: Tensor,
        target: Tensor,
        game: MeaningfulGame,
        perturbation: MeaningfulPerturbation,
        settings: MeaningfulSettings,
        seed: int,
        batch_size: int,
    ) -> None:
        self.model, self.target, self.game, self.settings = model, target, game, settings
        self.batch_size = batch_size
        size = (x.shape[2], x.shape[3])
        scale = min(size) / 224
        # Never finer than the pixels.
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
        """M of m: (..., h, w) to (..., H, W), in [0, 1]."""
        with outside_autocast(coarse):
            return self.rows @ coarse @ self.columns.T

    def scores(self, some: slice, masks: Tensor, shift: list[int]) -> Tensor:
        """Probabilities (n, A) of masks (n, A, H, W) on some of the images, shifted down and right."""
        down, right = (self.reach - by for by in shift)
        height, width = masks.shape[2:]
        levels = self.levels[some, ..., down : down + height, right : right + width]
        scores = check_finite(self.model(perturb(levels, masks).flatten(0, 1)), self.model.name)
        probs = self.model.probabilities(scores).unflatten(0, masks.shape[:2])
        return probs.gather(2, self.target[some, None, None].expand(-1, masks.shape[1], 1))[..., 0]

    @torch.no_grad()
    def start(self) -> Tensor:
        """The smallest centered disc, (N, h, w), that is enough on its own; all radii are tried."""
        height, width = len(self.rows[0]), len(self.columns[0])
        down, right = (torch.arange(n, device=self.rows.device) - (n - 1) / 2 for n in (height, width))
        distance = (down[:, None] ** 2 + right**2).sqrt()
        radii = torch.arange(math.ceil(float(distance.max())) + 2, device=distance.device)
        # The first disc is empty, the last one everything.
        inside = (distance < radii.view(-1, 1, 1)).to(self.rows.dtype)
        discs = 1 - inside if self.game == "deletion" else inside
        starts = []
        for n in range(len(self.target)):
            one = slice(n, n + 1)
            masks = self.masks(discs).split(self.batch_size)
            score = torch.cat([self.scores(one, part[None], [0, 0])[0] for part in masks])
            gone = score[0] - score if self.game == "deletion" else score - score[0]
            whole = gone[-1]
            enough = (gone >= self.settings.suppression * whole).nonzero()
            starts.append(discs[int(enough[0]) if len(enough) else -1])
        return torch.stack(starts)

    def at(self, step: int, coarse: Tensor, shift: list[int]) -> tuple[Meaningful, Tensor]:
        """The snapshot at coarse masks (N, h, w), and the gradient of the objective there."""
        gradients, parts = [], []
        for start in range(0, len(coarse), self.batch_size):
            some = slice(start, start + self.batch_size)
            with outside_inference(), torch.enable_grad():
                m = coarse[some].detach().requires_grad_()
                masks = self.masks(m)
                score = self.scores(some, masks[:, None], shift)[:, 0]
                counted = 1 - m if self.game == "deletion" else m
                area = self.settings.l1 * counted.sum((1, 2))
                down, right = (m.diff(dim=dim).abs().pow(self.settings.beta).sum((1, 2)) for dim in (1, 2))
                roughness = self.settings.l2 * (down + right)
                loss = area + roughness + (score if self.game == "deletion" else -score)
                gradients.append(torch.autograd.grad(loss.sum(), m)[0])
            # Rounding may leave [0, 1]; within the graph a clamp there would have no gradient.
            parts.append([part.detach() for part in (masks.clamp(0, 1), m, score, area, roughness)])
        made = [torch.cat(part) for part in zip(*parts, strict=True)]
        return Meaningful(self.game, step, *made), torch.cat(gradients)


def _levels(x: Tensor, perturbation: MeaningfulPerturbation, sigma: float, seed: int) -> Tensor:
    """The images from wholly perturbed to untouched, (N, L, C, H, W), as :func:`perturb` reads them."""
    if perturbation == "blur":
        return pyramid(x, sigma=sigma)
    mean = x.mean((2, 3), keepdim=True).expand_as(x)
    if perturbation == "constant":
        return torch.stack([mean, x], dim=1)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(x.shape[1:], generator=generator, dtype=x.dtype, device="cpu").to(x.device)
    spread = x.std((2, 3), keepdim=True, unbiased=False)
    return torch.stack([(mean + spread * noise).clamp(0, 1), x], dim=1)
