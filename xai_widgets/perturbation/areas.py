"""Masks of exactly a given area, and the search among them.

The area constraint of extremal perturbations (Fong, Patrick and Vedaldi 2019, equation 2) is met by construction, not
by the penalty of their equation 4. A field u over the pixels, of which the mask is the part that lies highest:

    m(u) = sigmoid((u + b) / T),   b such that mean m = a

Every step is a mask of area a, for T -> 0 a binary one: what is optimized is what is judged. The field is a coarse
grid brought to the pixels by a Gaussian, so that its level sets are smooth. No weight is to be chosen, and Adam does
not feel the scale of the scores: the same settings serve every network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from xai_widgets.core.validation import brief, check_fields, integer, number, numbers
from xai_widgets.perturbation.adam import Adam

#: Cells of a coarse field, or discs, along one side, at most.
MOST_CELLS = 1024
#: Of Adam: short memories, as the masks harden under way and the gradients of before are of softer ones.
BETAS = (0.5, 0.9)


@dataclass(frozen=True)
class AreaSettings:
    """Settings of the search among masks of exact area.

    Attributes
    ----------
    steps : int, default 150
        Gradient steps, at least 1; more make better masks.
    learning_rate : float, default 0.3
        Of Adam, in standard deviations of the field.
    softness : (float, float), default (0.3, 0.1)
        T at the first and at the last step, in standard deviations of the field; it falls geometrically.
    grid : int, default 16
        Cells of the field along each side of the image.
    sigma : float, default 0.05
        Standard deviation of the Gaussian that makes it smooth, as a share of the side.
    scan : int, default 7
        The search starts from the best of so many times so many discs spread over the image.
    every : int, default 5
        Steps from one snapshot, at which the masks are cut and judged, to the next.
    exchange : int, default 4
        Snapshots from one exchange, in which an area tries the fields of its neighbors, to the next.
    patience : int, default 8
        The search ends after so many snapshots in which no mask became better ...
    tolerance : float, default 1e-3
        ... by this share of the difference that the perturbation makes to the score.
    """

    steps: int = 150
    learning_rate: float = 0.3
    softness: tuple[float, float] = (0.3, 0.1)
    grid: int = 16
    sigma: float = 0.05
    scan: int = 7
    every: int = 5
    exchange: int = 4
    patience: int = 8
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        check_fields(self, integer, "steps", "every", "exchange", "patience", low=1)
        check_fields(self, integer, "grid", "scan", low=1, high=MOST_CELLS)
        check_fields(self, number, "learning_rate", "sigma", above=0)
        check_fields(self, number, "tolerance", low=0)
        first, last = numbers(self.softness, "softness", length=2, above=0)
        if first < last:
            raise ValueError(f"expected softness as two numbers that do not rise, got {(first, last)}")
        object.__setattr__(self, "softness", (first, last))


def check_areas(areas: Iterable[float], places: int, what: str = "pixels") -> list[float]:
    """Return the areas as floats; an error unless they are ascending shares that masks of so many places can have."""
    made = numbers(areas, "areas", above=0, high=1, hint="shares of the image such as [0.05, 0.1, 0.2]")
    for area in made:
        if area * places < 0.5:
            raise ValueError(
                f"expected areas of at least {1 / places:.2g}, one of {places} {what}, got {area:g}"
            )
    if made != sorted(made):
        raise ValueError(
            f"expected ascending areas, got {brief(made)}; sorted they are {brief(sorted(made))}"
        )
    counted = [counts_of(area, places) for area in made]
    for first, second, area in zip(counted, counted[1:], made[1:], strict=False):
        if first == second:
            raise ValueError(
                f"expected areas at least {1 / places:.2g} apart, got two near {area:g} that are the same {first} of "
                f"{places} {what}"
            )
    return made


def counts_of(area: float, places: int) -> int:
    """How many of the places an area is."""
    return max(1, round(area * places))


def cut(masks: Tensor, areas: Iterable[float]) -> Tensor:
    """Cut masks at exactly their areas: the highest places become 1, the others 0; ties by their order.

    Parameters
    ----------
    masks : Tensor, (N, A, ...)
        Any values, higher is in the mask.
    areas : iterable of float
        A shares in (0, 1].

    Returns
    -------
    Tensor, (N, A, ...)
        0 or 1, ``round(area * places)`` of them 1.
    """
    flat = masks.flatten(2)
    made = torch.zeros_like(flat)
    order = flat.argsort(dim=2, descending=True, stable=True)
    for index, area in enumerate(areas):
        made[:, index].scatter_(1, order[:, index, : counts_of(area, flat.shape[2])], 1.0)
    return made.view_as(masks)


def of_area(field: Tensor, areas: Tensor, softness: float) -> Tensor:
    """The masks sigmoid((u + b) / T) whose mean is the area.

    Parameters
    ----------
    field : Tensor, (..., places)
        u; gradients flow to it, also by way of b.
    areas : Tensor, (...)
        In (0, 1].
    softness : float
        T, above 0.

    Returns
    -------
    Tensor, (..., places)
        In [0, 1].
    """
    with torch.no_grad():
        low = -field.amax(-1) - 16 * softness
        high = -field.amin(-1) + 16 * softness
        for _ in range(16):
            middle = (low + high) / 2
            small = torch.sigmoid((field + middle[..., None]) / softness).mean(-1) < areas
            low, high = torch.where(small, middle, low), torch.where(small, high, middle)
        shift = (low + high) / 2
    rough = torch.sigmoid((field + shift[..., None]) / softness)
    slope = (rough * (1 - rough)).mean(-1).detach() / softness
    # A step of Newton: it makes b exact and gives it its gradient, db/du = -m (1 - m) / sum m (1 - m).
    shift = shift + (areas - rough.mean(-1)) / slope.clamp(min=1e-6)
    return torch.sigmoid((field + shift[..., None]) / softness)


def standardized(field: Tensor) -> Tensor:
    """Fields (N, A, ...) of mean 0 and standard deviation 1; a constant one becomes 0."""
    flat = field.flatten(2)
    flat = flat - flat.mean(2, keepdim=True)
    # The root of a clamped square: that of 0 has no gradient, and all of them would be NaN.
    return (flat / flat.square().mean(2, keepdim=True).clamp(min=1e-12).sqrt()).view_as(field)


class Verdict(NamedTuple):
    """What the network says of masks: how good they are (N, A), and all class scores inside and outside of them.

    Scores (N, A, classes) that the values do not need are NaN until they are asked for.
    """

    values: Tensor
    inside: Tensor
    outside: Tensor


#: Masks (E, 1, ...) of the smooth fields of some of the N A elements, a slice of them; of all (N, A, ...) for None.
MakeMasks = Callable[[Tensor, slice | None], Tensor]


class Objective(Protocol):
    """What a mask is to do to a network."""

    @property
    def spread(self) -> Tensor:
        """How far the perturbation can move the value, (N,)."""

    def smooth(self, coarse: Tensor) -> Tensor:
        """The field over all places, (N, A, ...), of a coarse one."""

    def judge(self, masks: Tensor) -> Verdict:
        """What the network says of masks (N, A, ...), each 0 or 1."""

    def gradient(self, coarse: Tensor, make_masks: MakeMasks, step: int) -> Tensor:
        """The gradient of the values with respect to the coarse fields (N, A, ...)."""


class Found(NamedTuple):
    """The best so far: cut masks, what the network says of them, smooth masks, and the coarse fields to go on from."""

    masks: Tensor
    verdict: Verdict
    smooth: Tensor
    fields: Tensor


def better_of(
    objective: Objective, found: Found | None, smooth: Tensor, fields: Tensor, areas: list[float]
) -> Found:
    """The better of what was found and of other masks, area by area, both cut at exactly the area."""
    masks = cut(smooth, areas)
    made = Found(masks, objective.judge(masks), smooth, fields)
    if found is None:
        return made
    better = made.verdict.values > found.verdict.values
    return Found(
        _where(better, made.masks, found.masks),
        Verdict(*(_where(better, *pair) for pair in zip(made.verdict, found.verdict, strict=True))),
        _where(better, made.smooth, found.smooth),
        _where(better, made.fields, found.fields),
    )


def _where(better: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(better.view(*better.shape, *[1] * (new.ndim - 2)), new, old)


def search(
    objective: Objective,
    areas: list[float],
    settings: AreaSettings,
    starts: Sequence[Tensor],
    found: Found | None = None,
) -> Iterator[Found]:
    """Look for the best mask of each area, all areas and images at once.

    Parameters
    ----------
    objective : Objective
        What the masks are for.
    areas : list of float
        Ascending.
    settings : AreaSettings
        Steps and how they are made.
    starts : sequence of Tensor, (N, A, ...)
        Coarse fields; each area begins with the best of them.
    found : Found, optional
        Masks that are there already; nothing worse replaces them.

    Yields
    ------
    Found
        One snapshot every ``settings.scan`` starts, then one every ``settings.every`` steps.
    """
    at = torch.tensor(areas, device=starts[0].device, dtype=starts[0].dtype).expand(starts[0].shape[:2])
    first, last = settings.softness

    def masks_of(softness: float) -> MakeMasks:
        def make(field: Tensor, some: slice | None) -> Tensor:
            wanted = at if some is None else at.flatten()[some, None]
            return of_area(standardized(field).flatten(2), wanted, softness).view_as(field)

        return make

    def consider(fields: Tensor, found: Found | None, softness: float) -> Found:
        smooth = masks_of(softness)(objective.smooth(fields), None)
        return better_of(objective, found, smooth, fields, areas)

    for done, start in enumerate(starts, 1):
        found = consider(standardized(start), found, last)
        if done % settings.scan == 0 or done == len(starts):
            yield found
    assert found is not None
    coarse, adam = found.fields, Adam(settings.learning_rate, betas=BETAS)
    quiet = 0
    for step in range(settings.steps):
        softness = first * (last / first) ** (step / max(1, settings.steps - 1))
        ascent = adam.step(-objective.gradient(coarse, masks_of(softness), step))
        coarse = standardized(coarse + ascent)
        if (step + 1) % settings.every and step + 1 < settings.steps:
            continue
        before = found.verdict.values
        found = consider(coarse, found, softness)
        if (step + 1) % (settings.every * settings.exchange) == 0:
            # Each area tries the best fields of its neighbors, and goes on from the best there is.
            fields = found.fields
            for neighbors in (fields.roll(1, 1), fields.roll(-1, 1)):
                found = consider(neighbors, found, softness)
            coarse = found.fields
        yield found
        gain = (found.verdict.values - before) / objective.spread[:, None].clamp(min=1e-6)
        quiet = 0 if bool((gain > settings.tolerance).any()) else quiet + 1
        if quiet >= settings.patience:
            return
