"""Noise mask: the pixels that a layer needs to keep its output while noise covers all others.

Liao, "Uncovering What Network Sees by Noise Covering", 2018, chapter 3. With V one variable per pixel, U_t noise drawn
at each step t, and F the scores before softmax, or the output of any layer:

    m = sigmoid(V),   x^ = m x + (1 - m) U_t                                                            (3)
    min_V  mean m + beta mean (F(x) - F(x^))^2                                                          (5)
    beta_0 = 1 / mean (F(x) - F(U))^2

With beta = beta_0 both terms are 1 at their worst, so that the second one can be read as a percentage (figure 9).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from xai_widgets.core.batching import pass_batch_size
from xai_widgets.core.cost import affordable
from xai_widgets.core.drawing import drawn
from xai_widgets.core.finite import FiniteChecks
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.hooks import record_outputs
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import check_fields, check_finite, choice, instance, integer, number, numbers
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.methods import Cost, run_method
from xai_widgets.ops.adam import Adam

Noise = Literal["uniform", "normal"]

#: Number of steps that the thesis needs at least.
FEWEST_STEPS = 5000

#: Maximum number of steps; areas and losses of all of them are stored.
MOST_STEPS = 10_000_000

#: Mean and standard deviation of red, green and blue in natural images, in [0, 255] (appendix A).
_MEAN, _STD = (122.46, 114.26, 101.374), (70.63, 68.61, 71.93)


@dataclass(frozen=True)
class NoiseMaskSettings:
    """Settings of :func:`noise_mask`; the defaults are those of the thesis unless noted.

    :meth:`within` returns settings for fewer steps.

    Attributes
    ----------
    learning_rate : float, default 0.015
        Learning rate of Adam, above 0.
    beta : float, default 1.0
        In units of beta_0, at least 0.
    start : float, default 0.98
        Initial value of every m, in (0, 1); near 1, because a covered image has no gradient that points back to it.
    max_steps : int, default 15000
        Maximum number of steps, at least 1. The thesis needs 5000 to 15000.
    window : int, default 250
        An image has converged when the mean of its objective over this many steps is not lower, by the share
        ``tolerance``, than over as many steps before. The thesis has only "until flat".
    tolerance : float, default 0.002
        At least 0.
    """

    learning_rate: float = 0.015
    beta: float = 1.0
    start: float = 0.98
    max_steps: int = 15_000
    window: int = 250
    tolerance: float = 0.002

    def __post_init__(self) -> None:
        check_fields(self, integer, "max_steps", low=1, high=MOST_STEPS)
        check_fields(self, integer, "window", low=1)
        check_fields(self, number, "beta", "tolerance", low=0)
        check_fields(self, number, "learning_rate", above=0)
        check_fields(self, number, "start", above=0, below=1)

    @staticmethod
    def within(steps: int) -> NoiseMaskSettings:
        """Return settings that get near to the mask of the thesis in fewer steps, by a higher learning rate.

        Parameters
        ----------
        steps : int
            Maximum number of steps; with 5000 or more, the learning rate is that of the thesis.
        """
        steps = integer(steps, "steps", low=1, high=MOST_STEPS)
        return NoiseMaskSettings(max_steps=steps, learning_rate=0.015 if steps >= FEWEST_STEPS else 0.1)


@dataclass(frozen=True)
class SearchState:
    """The variables V (N, 1, H, W) of a search, the moments of their gradient, and the state of the noise."""

    v: Tensor
    adam: Adam
    noise: Tensor


@dataclass(frozen=True, repr=False)
class NoiseMask(ShortRepr):
    """Masks at one step.

    Attributes
    ----------
    step : int
        Number of steps so far, for images that have not converged.
    masks : Tensor, (N, 1, H, W)
        m in (0, 1): 1 keeps a pixel, 0 covers it with noise.
    flat : Tensor, (N,)
        Whether an image has converged.
    areas : Tensor, (T, N)
        Mean of the mask at each step so far; NaN after an image has converged.
    losses : Tensor, (T, N)
        The second term at each step so far, in units of its value at pure noise (so that beta_0 = 1).
    window : int
        Number of steps over which :attr:`loss_percent` is the mean.
    search : SearchState or None
        What a continued search needs besides the masks.
    """

    step: int
    masks: Tensor
    flat: Tensor
    areas: Tensor
    losses: Tensor
    window: int
    search: SearchState | None = field(default=None, repr=False, compare=False)

    @property
    def loss_percent(self) -> Tensor:
        """Loss as a percentage of that of pure noise, (N,), the mean of the last steps."""
        return torch.stack(
            [100 * losses[losses.isfinite()][-self.window :].mean() for losses in self.losses.T]
        )

    def saliency(self) -> Tensor:
        """Return the masks, (N, H, W), in (0, 1)."""
        return self.masks[:, 0]


@run_method(
    title="Noise mask",
    source="Liao 2018",
    formula="min over m of mean m + beta mean (F(x) - F(m x + (1 - m) U))^2, U noise",
    cost=Cost(1, 0, "steps", 1, 1, note="until the loss is flat; and one pass for noise"),
    limits="Ignores the class: it keeps all pixels that the scores, or a layer, depend on.",
    uses_class=False,
    quick={"settings": NoiseMaskSettings(max_steps=4)},
    signed=False,
)
@without_inference_mode
def noise_mask(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    layer: str | None = None,
    noise: Noise = "uniform",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    settings: NoiseMaskSettings | None = None,
    start: NoiseMask | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    every: int = 10,
) -> Run[NoiseMask]:
    """Learn which pixels a layer needs to keep its output while noise covers all others.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them, optimized together but independently.
    target : int, str, callable, sequence or Tensor, optional
        Checked but ignored: all scores, or all outputs of the layer, are preserved.
    layer : str, optional
        F, by its name in ``model.layers()``. Default: the scores before softmax.
    noise : {"uniform", "normal"}, default "uniform"
        Independent for every pixel and channel: uniform in [0, 1], or normal, not clamped to [0, 1].
    mean, std : sequence of float, optional
        Mean and standard deviation of normal noise for each channel. Default: those of natural images, appendix A.
    settings : NoiseMaskSettings, optional
        Default: ``NoiseMaskSettings()``, those of the thesis; for a network with expensive passes
        ``NoiseMaskSettings.within(steps)`` with as many steps as fit the budget of :mod:`xai_widgets.core.cost`, at
        least 500.
    start : NoiseMask, optional
        Result of an earlier search with the same arguments, to continue it for as many steps; images that have
        converged are searched again.
    seed : int, default 0
        Seed of the noise, which is drawn on the CPU and is the same for each image.
    batch_size : int, optional
        Images per pass. Default: those of the best throughput.
    every : int, default 10
        Steps between two snapshots.

    Returns
    -------
    Run of NoiseMask
        A snapshot every ``every`` steps, and one at the end, which comes early if all images have converged.

    Raises
    ------
    TypeError
        If ``model`` is not an ImageModel.
    ValueError
        For an unknown noise or layer, with the nearest name, a start of other images, or invalid images or classes.
    """
    model, x, _ = prepare(model, x, 0 if target is None else target)
    settings = _default(model, x) if settings is None else instance(settings, "settings", NoiseMaskSettings)
    every, seed = integer(every, "every", low=1), check_seed(seed)
    batch_size = pass_batch_size(model, x.shape[2:], batch_size, gradient=True)
    draw = _source(noise, mean, std, x, seed)
    if layer is not None:
        model.find_layers([layer])
    if start is not None:
        _check_start(start, x)

    def optimize() -> Iterator[NoiseMask]:
        fit = _Fit(model, x, layer, next(draw(1)), settings, batch_size)
        if start is not None and start.search is not None:
            fit.resume(start, start.search)
            draw.generator.set_state(start.search.noise)
        images: Iterator[Tensor] = iter(())
        for step in range(1, settings.max_steps + 1):
            image = next(images, None)
            if image is None:
                # Those used until a snapshot keeps the state of the generator, or the search may end.
                images = draw(min(every - (step - 1) % every, settings.max_steps + 1 - step, fit.until_check))
                image = next(images)
            fit.advance(image)
            ended = not len(fit.active) or step == settings.max_steps
            if ended or step % every == 0:
                yield fit.snapshot(draw.generator.get_state())
            if ended:
                return

    name = f"noise mask, at most {settings.max_steps} steps"
    return Run(optimize(), total=math.ceil(settings.max_steps / every), name=name)


def _default(model: ImageModel, x: Tensor) -> NoiseMaskSettings:
    """Return the settings of the thesis, or those of fewer steps if its least number of them is too expensive."""
    steps = affordable(model, x.shape[2:], least=500, most=FEWEST_STEPS, gradient=True)
    return NoiseMaskSettings() if steps == FEWEST_STEPS else NoiseMaskSettings.within(steps)


class _Fit:
    """Variables of a batch of images during the optimization, with their areas and losses."""

    def __init__(
        self,
        model: ImageModel,
        x: Tensor,
        layer: str | None,
        noise: Tensor,
        settings: NoiseMaskSettings,
        batch_size: int,
    ) -> None:
        self.model, self.layer, self.settings, self.batch_size = model, layer, settings, batch_size
        with outside_inference(), torch.no_grad():
            self.x = x.clone()
            batches = self.x.split(batch_size)
            self.original = torch.cat([self.features(batch) for batch in batches])
            worst = (self.original - self.features(noise[None])).square().mean(1)
            # An image that the layer does not distinguish from noise has no loss, whatever is covered.
            self.beta_0 = torch.where(worst > 0, 1 / worst, 0)
            start = math.log(settings.start / (1 - settings.start))
            self.v = torch.full((len(x), 1, *x.shape[2:]), start, dtype=x.dtype, device=x.device)
            self.flat = torch.zeros(len(x), dtype=torch.bool, device=x.device)
            self.areas, self.losses = (
                torch.full((settings.max_steps, len(x)), torch.nan, device=x.device) for _ in range(2)
            )
        self.adam = Adam(settings.learning_rate)
        self.step = 0
        self.checks = FiniteChecks()
        #: Indices of the images that have not converged.
        self.active = torch.arange(len(x), device=x.device)

    @property
    def until_check(self) -> int:
        """Number of steps until convergence is checked."""
        return self.settings.window - self.step % self.settings.window

    def features(self, x: Tensor) -> Tensor:
        """Return F, with all dimensions but the first flattened."""
        if self.layer is None:
            return check_finite(self.model(x, frozen=True, folded=True), self.model.name)
        with record_outputs(self.model.find_layers([self.layer])) as outputs:
            self.model(x, frozen=True)
        return check_finite(
            outputs[self.layer].float().flatten(1), self.model.name, f"outputs of {self.layer!r}"
        )

    def advance(self, noise: Tensor) -> None:
        """Make one step for the images that have not converged, and check convergence after each window."""
        gradients, active = [], self.active
        for rows in active.split(self.batch_size):
            with outside_inference(), torch.enable_grad(), self.checks.collect():
                v = self.v[rows].requires_grad_()
                m = v.sigmoid()
                masked = self.features(m * self.x[rows] + (1 - m) * noise)
                area = m.mean((1, 2, 3))
                loss = self.beta_0[rows] * (self.original[rows] - masked).square().mean(1)
                objective = (area + self.settings.beta * loss).sum()
                gradients.append(torch.autograd.grad(objective, v)[0])
            self.areas[self.step, rows], self.losses[self.step, rows] = area.detach(), loss.detach()
        with outside_inference():
            self.v[active] += self.adam.step(torch.cat(gradients))
        self.step += 1
        window = self.settings.window
        if self.step % window == 0 and self.step >= 2 * window:
            objectives = (self.areas + self.settings.beta * self.losses)[self.step - 2 * window : self.step]
            before, now = objectives[:window].mean(0), objectives[window:].mean(0)
            # NaN compares as False: an image that has converged before stays so.
            self.flat = self.flat | (now > (1 - self.settings.tolerance) * before)
            (flat,) = self.checks.read(self.flat[active])
            if any(flat):
                self.adam.keep(~self.flat[active])
                self.active = active[~self.flat[active]]

    def resume(self, start: NoiseMask, search: SearchState) -> None:
        """Continue with the variables of an earlier search."""
        self.v, self.step = search.v.to(self.x).clone(), start.step
        # The moments of images that have converged were dropped.
        if not bool(start.flat.any()):
            self.adam = copy.copy(search.adam)
        self.areas = torch.cat([start.areas.to(self.areas), self.areas])
        self.losses = torch.cat([start.losses.to(self.losses), self.losses])

    def snapshot(self, noise: Tensor) -> NoiseMask:
        """Return a copy of the present state; ValueError if outputs were not finite."""
        self.checks.read()
        areas, losses = self.areas[: self.step].clone(), self.losses[: self.step].clone()
        search = SearchState(self.v.clone(), copy.copy(self.adam), noise)
        window = self.settings.window
        return NoiseMask(self.step, self.v.sigmoid(), self.flat.clone(), areas, losses, window, search)


def _check_start(start: object, x: Tensor) -> None:
    """Raise TypeError or ValueError unless a search of images of this shape can be continued."""
    instance(start, "start", NoiseMask)
    assert isinstance(start, NoiseMask)
    if start.search is None or start.masks.shape != (len(x), 1, *x.shape[2:]):
        raise ValueError(
            f"expected start as a result for {len(x)} images of {x.shape[2]} x {x.shape[3]}, got masks of shape "
            f"{tuple(start.masks.shape)}{'' if start.search else ' without their search'}"
        )


class _Noise:
    """Images (C, H, W) of noise, drawn one after the other on the CPU."""

    def __init__(self, noise: Noise, mean: Tensor, std: Tensor, x: Tensor, seed: int) -> None:
        self.noise, self.mean, self.std, self.x = noise, mean.to(x.dtype), std.to(x.dtype), x
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, count: int) -> Iterator[Tensor]:
        """Yield the next images."""
        return drawn(self._draw, count, self.x.device)

    def _draw(self) -> Tensor:
        shape, dtype = self.x.shape[1:], self.x.dtype
        # Tensors created in the caller's inference mode could not be part of a graph later.
        with outside_inference():
            if self.noise == "uniform":
                image = torch.rand(shape, generator=self.generator, dtype=dtype, device="cpu")
            else:
                image = torch.randn(shape, generator=self.generator, dtype=dtype, device="cpu")
                image = self.mean + self.std * image
            return image


def _source(
    noise: Noise, mean: Sequence[float] | None, std: Sequence[float] | None, x: Tensor, seed: int
) -> _Noise:
    """Return the noise of a search."""
    choice(noise, "noise", get_args(Noise))
    if noise == "uniform" and (mean is not None or std is not None):
        raise ValueError("expected noise='normal' with mean or std, got 'uniform'; leave mean and std out")
    means, stds = (
        _per_channel(name, values, natural, x.shape[1])
        for name, values, natural in (("mean", mean, _MEAN), ("std", std, _STD))
    )
    return _Noise(noise, means, stds, x, seed)


def masked_input(x: Tensor, masks: Tensor, *, noise: Noise = "uniform", seed: int = 0) -> Tensor:
    """Return images under their masks as the network sees them in a search, m x + (1 - m) U (eq. 3).

    Parameters
    ----------
    x : Tensor, (N, C, H, W)
        Images in [0, 1].
    masks : Tensor, (N, 1, H, W)
        In [0, 1].
    noise : {"uniform", "normal"}, default "uniform"
        Distribution of U, one image of noise for all.
    seed : int, default 0
        Seed of the noise.

    Returns
    -------
    Tensor, (N, C, H, W)
        In [0, 1]; normal noise is clipped.
    """
    u = next(_source(noise, None, None, x, check_seed(seed))(1))
    return (masks * x + (1 - masks) * u).clamp(0, 1)


def _per_channel(
    name: str, values: Sequence[float] | None, natural: Sequence[float], channels: int
) -> Tensor:
    """Return one number for each channel, (C, 1, 1), by default that of natural images in color or gray."""
    if values is not None:
        return torch.tensor(numbers(values, name, length=channels), device="cpu").view(-1, 1, 1)
    default = torch.tensor(natural, device="cpu") / 255
    return (default.mean(0, keepdim=True) if channels == 1 else default).view(-1, 1, 1)
