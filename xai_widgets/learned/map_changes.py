"""Change of saliency maps under an adversarial probe, beside that under noise of the same size.

With s and s' the maps of an image before and after, and A, A' their highest values,

    Dice         2 |A and A'| / (|A| + |A'|),    A = {s > quantile of order 1 - area of s}       Galli et al. 2021
    correlation  of the values of s and s' (Pearson)

The Dice coefficient of maps that have nothing in common is about the area. The noise is the perturbation itself with
its pixels in random order, so that it has the same values in other positions: a map that changes as much under it does
not react to the probe.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import brief, choice, number
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.learned.probed import Probe, Probed, classes_of
from xai_widgets.methods.registry import Method, MethodLike, methods_by_name
from xai_widgets.metrics.agreement import dice, pearson

Explained = Literal["predicted", "original"]


@dataclass(frozen=True, repr=False)
class MapChange(ShortRepr):
    """Maps of several methods before and after a probe.

    Attributes
    ----------
    probed : Probed
        The changed images, N of them.
    methods : tuple of str
        Names of the methods, M of them so far, without those that raised an error.
    before, after, noisy : dict of str to Tensor
        Saliency maps (N, h, w) of the images, of the changed ones, and of those with noise.
    dice, correlation : Tensor, (M, N)
        Agreement of the maps before and after. NaN where a map is constant.
    noise_dice, noise_correlation : Tensor, (M, N)
        Agreement of the maps before and with noise of the same size.
    errors : dict of str to str
        Messages of methods that raised an error.
    """

    probed: Probed
    methods: tuple[str, ...] = ()
    before: dict[str, Tensor] = field(default_factory=dict, repr=False)
    after: dict[str, Tensor] = field(default_factory=dict, repr=False)
    noisy: dict[str, Tensor] = field(default_factory=dict, repr=False)
    dice: Tensor = field(default_factory=lambda: torch.empty(0, 0))
    correlation: Tensor = field(default_factory=lambda: torch.empty(0, 0))
    noise_dice: Tensor = field(default_factory=lambda: torch.empty(0, 0))
    noise_correlation: Tensor = field(default_factory=lambda: torch.empty(0, 0))
    errors: dict[str, str] = field(default_factory=dict)

    def table(self) -> list[dict[str, Any]]:
        """Return one row per method with the means over the images whose class was reached; NaN if none was."""
        reached = self.probed.reached.cpu()
        columns = ("dice", "correlation", "noise_dice", "noise_correlation")
        return [
            {"method": name, "images": int(reached.sum())}
            | {column: getattr(self, column)[row][reached].nanmean().item() for column in columns}
            for row, name in enumerate(self.methods)
        ]


@without_inference_mode
def map_change(
    model: ImageModel,
    x: Any,
    methods: MethodLike | Iterable[MethodLike],
    probe: Probe,
    *,
    explained: Explained = "predicted",
    area: float = 0.1,
    seed: int = 0,
    batch_size: int = 32,
) -> Run[MapChange]:
    """Compare the maps of methods before and after a probe.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    methods : str, Method, callable, or several of them
        Names of methods or any explainers ``(model, x, target) -> map``.
    probe : callable
        ``probe(model, x)``, such as `fgsm`, or ``functools.partial(fgsm, epsilon=2 / 255)``.
    explained : {"predicted", "original"}, default "predicted"
        The class of the maps after: the one predicted then, or the one predicted for the original image.
    area : float, default 0.1
        Fraction of the positions that :func:`dice` compares.
    seed : int, default 0
        Seed of the noise, drawn on the CPU.
    batch_size : int, default 32
        Images per pass.

    Returns
    -------
    Run of MapChange
        One snapshot after the probe and one for each method. A method that raises an error is reported in ``errors``.
    """
    choice(explained, "explained", get_args(Explained))
    area, seed, batch_size = (
        number(area, "area", above=0, below=1),
        check_seed(seed),
        check_batch_size(batch_size),
    )
    several = methods_by_name(methods)
    if not callable(probe):
        raise TypeError(f"expected probe as a callable, such as learned.fgsm, got {brief(probe)}")

    def compare() -> Iterator[MapChange]:
        given = probe(model, x)
        probed = given.result(progress=False) if isinstance(given, Run) else given
        if not isinstance(probed, Probed):
            raise TypeError(f"expected probe to return a Probed or a Run of it, got {brief(probed)}")
        change = MapChange(probed)
        yield change
        noisy = shuffled(probed, seed)
        noisy_class = classes_of(model, noisy, batch_size)
        images = {"before": probed.original, "after": probed.image, "noisy": noisy}
        target = {"before": probed.old, "after": probed.new, "noisy": noisy_class}
        if explained == "original":
            target = dict.fromkeys(target, probed.old)
        for name, method in several.items():
            try:
                maps = {key: _maps(model, method, images[key], target[key], batch_size) for key in images}
            except (ValueError, TypeError, RuntimeError) as error:
                change = replace(change, errors={**change.errors, name: str(error)})
            else:
                change = _with(change, name, maps, area)
            yield change

    return Run(compare(), total=len(several) + 1, name="maps under a probe")


def shuffled(probed: Probed, seed: int) -> Tensor:
    """Return the original images plus the perturbation with its pixels in random order, clamped to [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    change = probed.perturbation.flatten(2)
    orders = torch.stack([torch.randperm(change.shape[2], generator=generator) for _ in change]).to(
        change.device
    )
    noise = change.gather(2, orders[:, None].expand_as(change)).view_as(probed.original)
    return (probed.original + noise).clamp(0, 1)


def _maps(model: ImageModel, method: Method, x: Tensor, target: Tensor, batch_size: int) -> Tensor:
    """Return the saliency maps (N, h, w) of a method, in batches."""
    parts = zip(x.split(batch_size), target.split(batch_size), strict=True)
    with outside_inference():
        return torch.cat([method.saliency(model, some, classes).detach().cpu() for some, classes in parts])


def _with(change: MapChange, name: str, maps: dict[str, Tensor], area: float) -> MapChange:
    """Return the change with the maps of one more method."""

    def longer(column: str, other: str, measure: Any) -> Tensor:
        row = measure(maps["before"], maps[other]).float()[None]
        held = getattr(change, column)
        return torch.cat([held, row]) if len(held) else row

    def top(a: Tensor, b: Tensor) -> Tensor:
        return dice(a, b, area=area)

    return replace(
        change,
        methods=(*change.methods, name),
        before={**change.before, name: maps["before"]},
        after={**change.after, name: maps["after"]},
        noisy={**change.noisy, name: maps["noisy"]},
        dice=longer("dice", "after", top),
        noise_dice=longer("noise_dice", "noisy", top),
        correlation=longer("correlation", "after", pearson),
        noise_correlation=longer("noise_correlation", "noisy", pearson),
    )
