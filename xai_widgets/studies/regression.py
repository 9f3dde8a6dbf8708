"""Inverses of a network from images to images, for several images, scales and boxes of the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from xai_widgets.core.images import to_images
from xai_widgets.core.replica import replica
from xai_widgets.core.run import Run
from xai_widgets.core.validation import integers
from xai_widgets.data.low_resolution import blurred_pair
from xai_widgets.errors import collect_warnings
from xai_widgets.inverse import LayerWise, Reconstruction, SolverSettings, layer_wise, reconstruction
from xai_widgets.inverse.chain import Chain
from xai_widgets.inverse.layer_wise import Regularizer
from xai_widgets.inverse.start import Box
from xai_widgets.ops.color import luminance
from xai_widgets.studies.study import Study

Returns = Literal["residual", "image"]

#: Smallest side of an image in pixels.
SMALLEST = 16
#: Number of images that are kept after they were read.
KEPT = 4


class RegressionKey(NamedTuple):
    """The choices that an inverse depends on.

    Attributes
    ----------
    image : int
        Index of the image.
    scale : int or None
        The image is the truth, and scaled down and up again by this factor; None for an image that is enlarged already.
    box : (int, int, int, int) or None
        Top, left, height and width of the part of the output that is inverted; None for all of it.
    regularizer : {"activation", "l1", "l2"}
    """

    image: int = 0
    scale: int | None = None
    box: Box | None = None
    regularizer: Regularizer = "activation"


class Pair(NamedTuple):
    """The input of a network in color and as luminance, and the luminance and colors of the truth if it is known."""

    color: Tensor
    x: Tensor
    truth: Tensor | None
    true_color: Tensor | None


@dataclass(frozen=True)
class RegressionResult:
    """The inverse of a network that makes images.

    Attributes
    ----------
    inverse : LayerWise
        The inverses for each lambda so far; at the end only the unit that sees the image, so that results of many
        images fit the memory.
    residual : Tensor, (1, 1, H, W)
        Phi(x): the output, or for a network that returns the image its difference from x.
    units : int
        Number of units of the network.
    reconstruction : Reconstruction or None
        The five distances for each lambda, inside the box; None before the end.
    unconverged : tuple of str
        Units that did not converge.
    """

    inverse: LayerWise
    residual: Tensor
    units: int
    reconstruction: Reconstruction | None = None
    unconverged: tuple[str, ...] = ()


class RegressionInverseStudy(Study[RegressionKey, RegressionResult]):
    """The layer-wise inverse of a network from luminance to luminance, for all lambda; one for each image and choice.

    A network may return the residual Phi(x), or the image x + Phi(x). Where it adds its input to the output of its last
    unit, the residual is inverted; where it makes the image in another way, the image is.

    Parameters
    ----------
    network : nn.Module
        From luminance (N, 1, H, W) in [0, 1] to the residual or the image.
    images : sequence
        Images of any kind, read one at a time.
    truth : optional
        The first image at high resolution.
    size : int
        Side of the center of each image to use, in pixels.
    returns : {"residual", "image"}, optional
        Kind of the output. Default: "image" if the network adds its input, or if its output for the first image is
        nearer to that image than to 0.
    lam, settings, batch_size
        See :func:`~xai_widgets.inverse.layer_wise`.
    """

    early_is_converged: ClassVar[bool] = False

    def __init__(
        self,
        network: nn.Module,
        images: Sequence[Any],
        *,
        truth: Any = None,
        size: int = 128,
        returns: Returns | None = None,
        lam: float | Sequence[float],
        settings: SolverSettings | None = None,
        batch_size: int = 8,
    ) -> None:
        super().__init__()
        self.network, self.images, self.truth, self.size = network, images, truth, size
        self.returns = returns
        self.lam, self.settings, self.batch_size = lam, settings, batch_size
        #: Whether the network adds the output of its last unit to its input, or subtracts it; None before a run.
        self.relation: Literal["added", "subtracted"] | None = None
        self.units = 0
        self._pairs: dict[tuple[int, int | None], Pair] = {}

    def pair(self, image: int, scale: int | None) -> Pair:
        """Return the input and the truth of an image; those of the latest ones are kept."""
        pair = self._pairs.get((image, scale)) or self._read(image, scale)
        # Replaced, not changed: another thread may read it.
        latest = [(key, one) for key, one in self._pairs.items() if key != (image, scale)]
        self._pairs = dict([*latest[1 - KEPT :], ((image, scale), pair)])
        return pair

    def _read(self, image: int, scale: int | None) -> Pair:
        color = _center(self.images[image], self.size, "image")
        if scale is not None:
            blurred, true_color = blurred_pair(color, scale)
            # The scaled luminance, clipped once, is not that of the scaled colors.
            x, truth = blurred_pair(luminance(color), scale)
            return Pair(blurred, x, truth, true_color)
        if self.truth is None or image:
            return Pair(color, luminance(color), None, None)
        true_color = _center(self.truth, self.size, "truth")
        if true_color.shape[2:] != color.shape[2:]:
            raise ValueError(
                f"expected a truth of {color.shape[2]} x {color.shape[3]} pixels, as the image, got "
                f"{true_color.shape[2]} x {true_color.shape[3]}"
            )
        return Pair(color, luminance(color), luminance(true_color), true_color)

    def run(self, key: RegressionKey, start: RegressionResult | None = None) -> Run[RegressionResult]:
        """Return the computation for a key: a snapshot for each unit, and one with the distances."""
        pair = self.pair(key.image, key.scale)
        chain = Chain.of(self.network, pair.x)
        self._describe(chain, pair.x)
        # The notes of the inverse are part of the result.
        with collect_warnings():
            run = layer_wise(
                self.network,
                chain,
                box=key.box,
                lam=self.lam,
                regularizer=key.regularizer,
                settings=self.settings,
                batch_size=self.batch_size,
            )

        def steps() -> Iterator[RegressionResult]:
            residual = self._residual(chain.output, pair.x)
            for inverse in run:
                yield RegressionResult(inverse, residual, len(chain.units))
            x = pair.x.expand_as(inverse.x[0])
            truth = x if pair.truth is None else pair.truth.expand_as(x)
            distances = reconstruction(
                self._phi(pair.x), x, inverse.x[0], truth, box=key.box, batch_size=self.batch_size
            )
            yield RegressionResult(
                replace(inverse, units=inverse.units[-1:]),
                residual,
                len(chain.units),
                distances,
                tuple(inverse.unconverged),
            )

        return Run(steps(), total=run.total + 1, name="inverse", fraction=lambda: 0.98 * run.progress)

    def title(self, key: RegressionKey) -> str:
        """Return the number of the image."""
        return f"image {key.image + 1}" if len(self.images) > 1 else ""

    def _describe(self, chain: Chain, x: Tensor) -> None:
        """Find out what the network returns."""
        self.units, self.relation = len(chain.units), chain.residual
        if chain.output.shape != x.shape:
            raise ValueError(
                f"expected a network that returns the shape of its input, {tuple(x.shape)}, got "
                f"{tuple(chain.output.shape)}; enlarge the image before the network"
            )
        if self.returns == "residual" and self.relation:
            raise ValueError(
                "expected returns='image' for a network that adds a residual to its input, got 'residual'"
            )
        if self.returns is None:
            near = self.relation or bool((chain.output - x).norm() < chain.output.norm())
            self.returns = "image" if near else "residual"

    def _residual(self, output: Tensor, x: Tensor) -> Tensor:
        """Return Phi(x) for the output of the last unit."""
        if self.relation == "subtracted":
            return -output
        return output if self.relation or self.returns == "residual" else output - x

    def _phi(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """Return Phi for images that stand for x."""

        def phi(images: Tensor) -> Tensor:
            output: Tensor = replica(self.network)(images)
            if self.returns == "residual":
                return output
            return output - (images if self.relation else x)

        return phi


def check_box(box: Any, size: Sequence[int]) -> Box | None:
    """Return a box as integers, or None; ValueError for one that is not inside an image of a size (H, W)."""
    if box is None:
        return None
    top, left, height, width = integers(box, "box", length=4, low=0, high=2**15)
    if not (height and width and top + height <= size[0] and left + width <= size[1]):
        raise ValueError(
            f"expected box as (top, left, height, width) inside {size[0]} x {size[1]} pixels, got "
            f"{(top, left, height, width)}"
        )
    return top, left, height, width


def _center(image: Any, size: int, name: str) -> Tensor:
    """Return the center of one image, (1, C, H, W) in [0, 1]; C is 1 for gray tensors, else 3."""
    if size < SMALLEST:
        raise ValueError(f"expected size of at least {SMALLEST} pixels, got {size}")
    gray = isinstance(image, Tensor) and image.ndim >= 3 and image.shape[-3] == 1
    x = to_images(image, channels=1 if gray else 3)
    if len(x) != 1:
        raise ValueError(f"expected one image as {name}, got {len(x)}")
    top, left = (max(0, (extent - size) // 2) for extent in x.shape[2:])
    return x[:, :, top : top + size, left : left + size]
