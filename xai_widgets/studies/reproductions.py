"""Other methods by the operation-wise inverse beside their originals, for one image (Kwon 2021, section 4.4.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, get_args

from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import choice, number
from xai_widgets.errors import collect_warnings
from xai_widgets.inverse import (
    Reproduction,
    SolverSettings,
    reproduce_deconvnet,
    reproduce_excitation_backprop,
    reproduce_grad_cam,
    reproduce_integrated_gradients,
)
from xai_widgets.studies.study import Study

#: The methods that are reproduced, by their names in the registry.
Original = Literal["grad_cam", "excitation_backprop", "integrated_gradients", "deconvnet"]

#: Reproductions of a class.
_OF_CLASS: dict[str, Callable[..., Run[Reproduction]]] = {
    "grad_cam": reproduce_grad_cam,
    "excitation_backprop": reproduce_excitation_backprop,
    "integrated_gradients": reproduce_integrated_gradients,
}

#: Standard deviation of the blur of compared maps, in positions.
SIGMA = 1.0


class ReproductionKey(NamedTuple):
    """A method, and the class that it explains.

    Attributes
    ----------
    original : {"grad_cam", "excitation_backprop", "integrated_gradients", "deconvnet"}
        The method.
    target : int
        The class; unused by DeconvNet.
    channel : int, default 0
        The channel of the last convolution or block whose largest activation DeconvNet begins with.
    """

    original: Original
    target: int
    channel: int = 0


@dataclass(frozen=True, repr=False)
class ReproducedMap(ShortRepr):
    """A map of the inverse beside that of the original method and the class-blind one, at one unit.

    Attributes
    ----------
    at : str
        The unit at whose output the maps are, or "image".
    map, original, class_blind : Tensor, (h, w)
        The map of the inverse, the absolute map of the original method, and the sum of the activations' magnitudes,
        which is the same for every class.
    correlation, class_blind_correlation : float
        Pearson correlation of the map, and of the class-blind map, with the original; NaN if one of them is constant.
    blurred_correlation, blurred_class_blind_correlation : float
        The same for blurred maps.
    """

    at: str
    map: Tensor
    original: Tensor
    class_blind: Tensor
    correlation: float
    class_blind_correlation: float
    blurred_correlation: float
    blurred_class_blind_correlation: float


class ReproductionStudy(Study[ReproductionKey, tuple[ReproducedMap, ...]]):
    """The four reproductions of chapter 4 beside their originals; each key has a map for each unit it passes.

    Parameters
    ----------
    model : ImageModel
        The network.
    x : Tensor, (1, C, H, W)
        The image.
    sigma : float, default 1.0
        Standard deviation of the Gaussian that blurs compared maps, in positions of the finer one.
    settings, batch_size
        See :func:`~xai_widgets.inverse.operation_wise`.
    """

    early_is_converged: ClassVar[bool] = False

    def __init__(
        self,
        model: ImageModel,
        x: Tensor,
        *,
        sigma: float = SIGMA,
        settings: SolverSettings | None = None,
        batch_size: int = 64,
    ) -> None:
        super().__init__()
        self.model, self.x, self.sigma = model, x, number(sigma, "sigma", low=0)
        self.options: dict[str, Any] = {"settings": settings, "batch_size": batch_size}

    def title(self, key: ReproductionKey) -> str:
        """Return the title of the original method."""
        return key.original.replace("_", " ")

    def run(
        self, key: ReproductionKey, start: tuple[ReproducedMap, ...] | None = None
    ) -> Run[tuple[ReproducedMap, ...]]:
        """Return the computation for a key: a snapshot after each operation, with the maps reached so far."""
        choice(key.original, "original", get_args(Original))
        with collect_warnings():
            if key.original == "deconvnet":
                run = reproduce_deconvnet(self.model, self.x, key.channel, **self.options)
            else:
                run = _OF_CLASS[key.original](self.model, self.x, key.target, **self.options)

        def steps() -> Iterator[tuple[ReproducedMap, ...]]:
            found: dict[str, ReproducedMap] = {}
            for made in run:
                for at in made.maps:
                    if at not in found:
                        found[at] = self._compared(made, at)
                yield tuple(found.values())

        return Run(steps(), total=run.total, name=self.title(key), fraction=lambda: run.progress)

    def _compared(self, made: Reproduction, at: str) -> ReproducedMap:
        """Return the maps at a unit and their correlations."""
        original = made.original_map(at)
        correlations = [
            correlation(original, at=at, sigma=sigma).item()
            for sigma in (0.0, self.sigma)
            for correlation in (made.correlation, made.class_blind_correlation)
        ]
        return ReproducedMap(at, made.maps[at][0], original[0], made.class_blind_map(at)[0], *correlations)
