"""Feature visualization: images that a network is made to see, by gradient ascent.

    theta* = argmax_theta  E_t[ f(Phi(t(x(theta)))) ] - sum_i R_i(x(theta))

Fong 2020, section 2.3.1, equations 2.9 to 2.15, and Olah, Mordvintsev and Schubert 2017. Four parts compose freely:

- the objective f, a number per image, such as a class score or the mean of a channel (:mod:`.objectives`);
- the parameterization x(theta) of the images (:mod:`.parameterizations`);
- random transforms t before each pass (:mod:`.transforms`), another one at each step;
- regularizers R_i (:mod:`.regularizers`).

Each step is a step of Adam after one forward and one backward pass of the network up to the last layer that the
objective reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.arguments import check_size
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import instance, integer, number
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.errors import warn
from xai_widgets.features.objectives.base import Objective, check_objective, common_count, evaluate
from xai_widgets.features.parameterizations.base import Drawing, Parameterization, check_parameterization
from xai_widgets.features.parameterizations.fourier import Fourier
from xai_widgets.features.regularizers import Regularizer
from xai_widgets.features.transforms import ROBUST, STEADY, Compose, Transform
from xai_widgets.ops.adam import Adam, Moments

#: Distance of the seeds of two runs, so that their steps do not share seeds.
SEED_STRIDE = 1_000_003


@dataclass(frozen=True, repr=False)
class VisualizationState(ShortRepr):
    """State before a step, to continue from: variables, moments of Adam, and summed gradients."""

    variables: tuple[Tensor, ...]
    moments: tuple[Moments, ...]
    influence: Tensor


@dataclass(frozen=True, repr=False)
class Visualization(ShortRepr):
    """Images at one step of an optimization.

    Attributes
    ----------
    images : Tensor, (N, C, H, W)
        In [0, 1].
    step : int
        Number of steps so far.
    history : Tensor, (T, N)
        Objective at each step so far, without regularizers, of the transformed images.
    initial : Tensor, (N,)
        Objective of the first images, not transformed.
    activation : Tensor, (N,)
        Objective of these images; of the last snapshot not transformed.
    influence : Tensor, (N, H, W)
        Sum over the steps of the absolute gradient of the objective with respect to each pixel, mean over the channels:
        where the images matter. See :meth:`opacity`.
    state : VisualizationState
        What ``visualize(start=)`` continues from.
    """

    images: Tensor
    step: int
    history: Tensor
    initial: Tensor
    activation: Tensor
    influence: Tensor
    state: VisualizationState = field(repr=False)

    @property
    def rose(self) -> Tensor:
        """Whether the objective is larger than at the start, (N,)."""
        return self.activation > self.initial

    def opacity(self, share: float = 0.8) -> Tensor:
        """Return the influence in [0, 1], (N, H, W), which Fel, Boissin et al. 2023 use as the opacity of the images.

        Parameters
        ----------
        share : float, default 0.8
            Share of the pixels, those of the least influence, that are not fully opaque; above 0, at most 1.
        """
        share = number(share, "share", above=0, high=1)
        limit = self.influence.flatten(1).quantile(share, dim=1)[:, None, None]
        return torch.where(limit > 0, self.influence / limit.clamp(min=1e-38), 1.0).clamp(0, 1)


@without_inference_mode
def visualize(
    model: ImageModel,
    objective: Objective,
    *,
    parameterization: Parameterization | None = None,
    transforms: Transform | Sequence[Transform] | None = None,
    regularizers: Regularizer | Sequence[Regularizer] = (),
    steps: int = 256,
    learning_rate: float | None = None,
    count: int | None = None,
    size: int | tuple[int, int] | None = None,
    image: Any = None,
    seed: int = 0,
    start: Visualization | None = None,
) -> Run[Visualization]:
    """Optimize images so that an objective rises: activation maximization and its relatives.

    Parameters
    ----------
    model : ImageModel
        The network, which is not changed.
    objective : Objective
        What is to rise, such as ``Channel("blocks.4", 12)``.
    parameterization : Parameterization, optional
        Default: :class:`~xai_widgets.features.parameterizations.Fourier`.
    transforms : callable or sequence of callable, optional
        Random transforms before each pass, in this order; () for none. Default: ``transforms.ROBUST``, or
        ``transforms.STEADY`` for an objective that reads given positions.
    regularizers : callable or sequence of callable, optional
        Penalties of the images.
    steps : int, default 256
        Number of steps, at least 1; with ``start`` that of further steps.
    learning_rate : float, optional
        Learning rate of Adam, above 0. Default: that of the parameterization.
    count : int, optional
        Number of images. Default: that of the objective, which is one unless it names several channels or classes.
    size : int or (int, int), optional
        Height and width of the images, which are resized to the network's input before each pass. Default: the
        network's input.
    image : optional
        Images of any kind to start from. Default: random images.
    seed : int, default 0
        Seed of the first images and of the transforms, which are drawn on the CPU.
    start : Visualization, optional
        An earlier snapshot of images of the same number, size and parameterization, to continue from. Objective,
        transforms, regularizers and learning rate may be others. With the same arguments, it continues as if it had not
        been interrupted.

    Returns
    -------
    Run of Visualization
        ``steps`` + 1 snapshots; the last one with the objective of the images that are not transformed. A warning
        names the images whose objective did not rise.

    Raises
    ------
    TypeError
        If ``model`` is not an ImageModel, or an argument is of another kind.
    ValueError
        For an objective that does not fit the network, with the nearest name, different numbers of images, or a start
        that does not fit.

    Examples
    --------
    >>> visualize(model, Channel("blocks.4", range(12))).result().images  # doctest: +SKIP
    """
    check_model(model)
    objective = check_objective(objective).bind(model)
    painter = Fourier() if parameterization is None else check_parameterization(parameterization)
    chosen = default_transforms(objective) if transforms is None else transforms
    transform, penalties = Compose(chosen), _callables(regularizers, "regularizers")  # type: ignore[arg-type]
    steps, seed = integer(steps, "steps", low=1), check_seed(seed)
    rate = number(painter.learning_rate if learning_rate is None else learning_rate, "learning_rate", above=0)
    drawing = _start(model, objective, painter, count, size, image, seed)
    if start is not None:
        _check_start(instance(start, "start", Visualization), drawing)
    ascent = _Ascent(model, objective, drawing, transform, penalties, seed)
    return Run(ascent.run(steps, rate, start), total=steps + 1, name="feature visualization")


def default_transforms(objective: Objective) -> tuple[Transform, ...]:
    """Return the transforms for an objective: crops would move the positions that it reads."""
    return STEADY if objective.positional else ROBUST


class _Ascent:
    """Gradient ascent on the variables of a drawing."""

    def __init__(
        self,
        model: ImageModel,
        objective: Objective,
        drawing: Drawing,
        transform: Compose,
        penalties: Sequence[Regularizer],
        seed: int,
    ) -> None:
        self.model, self.objective, self.drawing = model, objective, drawing
        self.transform, self.penalties, self.seed = transform, penalties, seed

    def run(self, steps: int, learning_rate: float, start: Visualization | None) -> Iterator[Visualization]:
        variables = list(self.drawing.variables if start is None else start.state.variables)
        adams = [Adam(learning_rate) for _ in variables]
        if start is None:
            images = self.drawing.draw(variables)
            first, initial, history = 0, self.plain(images), []
            influence = torch.zeros_like(images[:, 0])
        else:
            first, initial, history = start.step, start.initial, list(start.history[: start.step])
            influence = start.state.influence
            for adam, moments in zip(adams, start.state.moments, strict=True):
                adam.moments = moments
        for step in range(first, first + steps):
            images, values, gradients, shares = self.at(step, variables)
            state = VisualizationState(tuple(variables), tuple(adam.moments for adam in adams), influence)
            history.append(values)
            influence = influence + shares
            yield Visualization(images, step, torch.stack(history), initial, values, influence, state)
            variables = [
                each + adam.step(gradient)
                for each, adam, gradient in zip(variables, adams, gradients, strict=True)
            ]
        images = self.drawing.draw(variables)
        state = VisualizationState(tuple(variables), tuple(adam.moments for adam in adams), influence)
        result = Visualization(
            images, first + steps, torch.stack(history), initial, self.plain(images), influence, state
        )
        _warn(result)
        yield result

    def plain(self, images: Tensor) -> Tensor:
        """Return the objective of images, (N,), without transforms."""
        return evaluate(self.model, self.objective, _resized(images, self.model.size)).detach()

    def at(self, step: int, variables: Sequence[Tensor]) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
        """Return images, objective (N,), gradients of the loss, and influence of the pixels (N, H, W)."""
        # A seed of its own for each step, so that a resumed run draws what an uninterrupted one does.
        generator = torch.Generator().manual_seed((self.seed * SEED_STRIDE + step) % 2**63)
        with torch.enable_grad():
            leaves = [each.detach().requires_grad_() for each in variables]
            images = self.drawing.draw(leaves)
            x = images.detach().requires_grad_()
            transformed = _resized(self.transform(x, generator), self.model.size)
            values = evaluate(self.model, self.objective, transformed)
            pixels = _gradient(values, x)
            penalty = sum(
                (_gradient(regularizer(x), x) for regularizer in self.penalties), torch.zeros_like(x)
            )
            loss = (images * (penalty - pixels)).sum()
            if self.drawing.penalty is not None:
                loss = loss + self.drawing.penalty(leaves).sum()
            gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        return x.detach(), values.detach(), list(gradients), pixels.abs().mean(1)


def _gradient(values: Tensor, x: Tensor) -> Tensor:
    """Return the gradient of the sum of values (N,) with respect to pixels; 0 if they do not depend on them."""
    if not values.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(values.sum(), x, allow_unused=True, materialize_grads=True)
    return gradient


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(x.shape[2:]) == size:
        return x
    return F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)


def _start(
    model: ImageModel,
    objective: Objective,
    painter: Parameterization,
    count: int | None,
    size: int | tuple[int, int] | None,
    image: Any,
    seed: int,
) -> Drawing:
    """Return the drawing that the optimization starts from."""
    given = None if count is None else integer(count, "count", low=1)
    if image is None:
        number_of_images = common_count([given, objective.count]) or 1
        height, width = model.size if size is None else check_size(size)
        shape = (number_of_images, model.channels, height, width)
        generator = torch.Generator().manual_seed(seed % 2**63)
        return painter.start(shape, generator=generator, device=model.device)
    if size is not None:
        raise ValueError("expected size or image, got both; images keep the size of the network's input")
    x = model.images(image).clone()
    needed = common_count([given, objective.count, len(x) if len(x) > 1 else None])
    return painter.start_from(x if needed in (None, len(x)) else x.expand(needed, -1, -1, -1))


def _check_start(start: Visualization, drawing: Drawing) -> None:
    shapes = [tuple(each.shape) for each in start.state.variables]
    expected = [tuple(each.shape) for each in drawing.variables]
    if shapes != expected:
        raise ValueError(
            "expected a start of images of the same number, size and parameterization, got variables of shapes "
            f"{shapes[:3]} for {expected[:3]}"
        )


def _callables(given: Any, name: str) -> tuple[Any, ...]:
    """Return one callable or a sequence of them as a tuple."""
    found = (given,) if callable(given) else tuple(given)
    for each in found:
        if not callable(each):
            raise TypeError(f"expected {name} as callables, got {type(each).__name__}")
    return found


def _warn(result: Visualization) -> None:
    """Warn about images whose objective did not rise."""
    failed = (~result.rose).nonzero()[:, 0].tolist()
    if not failed:
        return
    n = failed[0]
    others = f" (and of {len(failed) - 1} more)" if len(failed) > 1 else ""
    flat = not bool(result.influence[n].any())
    reason = (
        "its gradient is 0, as behind units that are off"
        if flat
        else "the learning rate may be too high, or the transforms or regularizers too strong"
    )
    warn(
        f"the objective of image {n}{others} did not rise: {result.initial[n].item():.4g} at the start, "
        f"{result.activation[n].item():.4g} after {result.step} steps; {reason}"
    )
