"""One-pixel attack: change one pixel, or a few, so that the class changes (Su et al. 2019).

A candidate is a list of d pixels, each with a row, a column and a color, (d, 2 + C). Differential evolution maximizes
the probability of the class to reach, or minimizes that of the predicted one, without a gradient (section 3.2):

    child = r1 + F (r2 - r3)          r1, r2, r3 different candidates, drawn for each child; F = 0.5; no crossover

A child replaces its parent if it is better. The population has 400 candidates and evolves for at most 100 generations;
an image whose class has changed is not changed further. Positions start uniform, colors from N(128, 127) in gray
levels. Values that leave their range are clamped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.precision import double
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import check_fields, check_finite, instance, integer, number
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.learned.probed import Probed, Start, begin


@dataclass(frozen=True)
class OnePixelSettings:
    """Settings of :func:`one_pixel`; the defaults are the published ones.

    Attributes
    ----------
    pixels : int, default 1
        Number of pixels to change; 1, 3 and 5 in the source.
    population : int, default 400
        Number of candidates, at least 4.
    generations : int, default 100
        Largest number of generations.
    factor : float, default 0.5
        The factor F of the difference, in (0, 2].
    """

    pixels: int = 1
    population: int = 400
    generations: int = 100
    factor: float = 0.5

    def __post_init__(self) -> None:
        check_fields(self, integer, "pixels", "generations", low=1)
        check_fields(self, integer, "population", low=4, hint="a child has three other parents")
        check_fields(self, number, "factor", above=0, high=2)


@without_inference_mode
def one_pixel(
    model: ImageModel,
    x: Any,
    *,
    toward: Target = None,
    settings: OnePixelSettings | None = None,
    seed: int = 0,
    batch_size: int = 64,
) -> Run[Probed]:
    """Search one pixel, or a few, whose change changes the class, without a gradient.

    Parameters
    ----------
    model : ImageModel
        The network; only its scores are used.
    x
        Images of any kind, N of them, each with a population of its own.
    toward : int, str, sequence or Tensor, optional
        A class to reach, or one per image. Default: any other class.
    settings : OnePixelSettings, optional
        Default: ``OnePixelSettings()``.
    seed : int, default 0
        Seed of the candidates, which are drawn on the CPU.
    batch_size : int, default 64
        Candidates per pass.

    Returns
    -------
    Run of Probed
        One snapshot for each generation, with the best candidate of each image, until all images have reached their
        class. An image that has not is returned with its best candidate and ``reached`` False.
    """
    settings = OnePixelSettings() if settings is None else instance(settings, "settings", OnePixelSettings)
    batch_size, seed = check_batch_size(batch_size), check_seed(seed)
    start = begin(model, x, toward)
    name = "one pixel" if settings.pixels == 1 else f"{settings.pixels} pixels"
    return Run(
        _evolve(model, start, settings, seed, batch_size, name), total=settings.generations + 1, name=name
    )


def _evolve(
    model: ImageModel, start: Start, settings: OnePixelSettings, seed: int, batch_size: int, name: str
) -> Iterator[Probed]:
    generator = torch.Generator().manual_seed(seed)
    populations = [_population(x, settings, generator) for x in start.x]
    judged = [_judge(model, start, n, each, batch_size) for n, each in enumerate(populations)]
    for step in range(settings.generations + 1):
        best = [int(fitness.argmax()) for fitness, _ in judged]
        image = torch.cat(
            [drawn(x, each[i : i + 1]) for x, each, i in zip(start.x, populations, best, strict=True)]
        )
        new = torch.stack([classes[i] for (_, classes), i in zip(judged, best, strict=True)])
        result = Probed(name, start.x, image, start.old, new, start.toward, step)
        yield result
        left = (~result.reached).nonzero().flatten().tolist()
        if not left or step == settings.generations:
            return
        for n in left:
            children = _children(start.x[n], populations[n], settings.factor, generator)
            fitness, classes = _judge(model, start, n, children, batch_size)
            better = fitness > judged[n][0]
            fitness = torch.where(better, fitness, judged[n][0])
            # The fitness is on the CPU if the device does not support float64.
            better = better.to(classes.device)
            populations[n] = torch.where(better.view(-1, 1, 1), children, populations[n])
            judged[n] = fitness, torch.where(better, classes, judged[n][1])


def _population(x: Tensor, settings: OnePixelSettings, generator: torch.Generator) -> Tensor:
    """Draw candidates (P, d, 2 + C) for an image (C, H, W)."""
    shape = settings.population, settings.pixels
    positions = torch.rand(*shape, 2, generator=generator) * torch.tensor(x.shape[1:])
    colors = (128 + 127 * torch.randn(*shape, len(x), generator=generator)) / 255
    return _clamped(x, torch.cat([positions, colors], 2).to(x))


def _children(x: Tensor, population: Tensor, factor: float, generator: torch.Generator) -> Tensor:
    """Return r1 + F (r2 - r3) for each candidate, clamped."""
    # The first three of a random order of the others.
    order = torch.rand(len(population), len(population), generator=generator).fill_diagonal_(2)
    first, second, third = (
        population[index] for index in order.topk(3, largest=False).indices.T.to(x.device)
    )
    return _clamped(x, first + factor * (second - third))


def _clamped(x: Tensor, candidates: Tensor) -> Tensor:
    """Limit positions to the image and colors to [0, 1]."""
    positions, colors = candidates.split([2, len(x)], 2)
    last = torch.tensor(x.shape[1:]).to(x) - 1e-3
    return torch.cat([torch.minimum(positions.clamp(min=0), last), colors.clamp(0, 1)], 2)


def drawn(x: Tensor, candidates: Tensor) -> Tensor:
    """Draw the pixels of candidates (P, d, 2 + C) into copies of an image (C, H, W); a later pixel covers a former."""
    images = x.expand(len(candidates), -1, -1, -1).clone()
    each = torch.arange(len(candidates), device=x.device)
    for pixel in candidates.unbind(1):
        row, column = pixel[:, :2].long().T
        images[each, :, row, column] = pixel[:, 2:]
    return images


def _judge(
    model: ImageModel, start: Start, n: int, candidates: Tensor, batch_size: int
) -> tuple[Tensor, Tensor]:
    """Return the fitness (P,) of candidates for image n, and their classes (P,); reached ones are the fittest."""
    (goal,), sign = start.goal(slice(n, n + 1))
    with outside_inference(), torch.no_grad():
        scores = torch.cat(
            [
                check_finite(model(drawn(start.x[n], part)), model.name)
                for part in candidates.split(batch_size)
            ]
        )
    # The logarithm orders probabilities that round to 1, too.
    logs = double(scores).log_softmax(1)
    others = logs.clone()
    others[:, goal] = -torch.inf
    fitness = sign * (logs[:, goal] - others.logsumexp(1))
    classes = scores.argmax(1)
    reached = (classes == goal) if sign > 0 else (classes != goal)
    return fitness + reached.to(fitness.device) * 1e6, classes
