"""Feature inversion, caricature and masked inversion: images whose activation is, or exceeds, that of another image.

With a_l(x) the output of a layer l, x0 the image, and m a mask of the channels:

    inversion           x* = argmin_x |a_l(x) - a_l(x0)|^2 / |a_l(x0)|^2 + sum_i R_i(x)    Fong 2020, equation 2.11
    caricature          x* = argmax_x <a_l(x0), a_l(x)> - sum_i R_i(x), from x0 on         Fong 2020, equation 2.12
    masked inversion    x* = argmax_x <m a_l(x0), a_l(x)> - sum_i R_i(x)                   Fong et al. 2019, equation 12

Mahendran and Vedaldi 2015 use the alpha norm and the total variation as R. The Fourier parameterization makes smooth
images by itself; both are available as ``regularizers``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import brief, instance
from xai_widgets.features.objectives import DotProduct, Inversion, masked, reference_activation
from xai_widgets.features.parameterizations import Fourier, Paired, Parameterization
from xai_widgets.features.regularizers import Regularizer
from xai_widgets.features.transforms import STEADY, Transform
from xai_widgets.features.visualization import Visualization, visualize

V = TypeVar("V", bound=Visualization)


@dataclass(frozen=True, kw_only=True, repr=False)
class InvertedFeatures(Visualization):
    """Images whose activation is close to that of others; see :class:`Visualization` for the other attributes.

    Attributes
    ----------
    layer : str
        Name of the layer.
    originals : Tensor, (N, C, H, W)
        The images whose activation is inverted, in [0, 1].
    """

    layer: str
    originals: Tensor

    @property
    def errors(self) -> Tensor:
        """Distance of the activations, |a_l(x) - a_l(x0)| / |a_l(x0)|, (N,)."""
        return (-self.activation).clamp(min=0).sqrt()


@dataclass(frozen=True, kw_only=True, repr=False)
class Caricature(Visualization):
    """Images that exceed the activation of others; see :class:`Visualization` for the other attributes.

    Attributes
    ----------
    layer : str
        Name of the layer.
    originals : Tensor, (N, C, H, W)
        The images, in [0, 1].
    """

    layer: str
    originals: Tensor


@dataclass(frozen=True, kw_only=True, repr=False)
class MaskedInversion(Visualization):
    """Images made for an activation, and for its masked channels; see :class:`Visualization` for the other attributes.

    The first half of the 2 N ``images`` is made for all channels, the second one for the masked ones, from the same
    start and with the same transforms.

    Attributes
    ----------
    layer : str
        Name of the layer.
    originals : Tensor, (N, C, H, W)
        The images whose activation is inverted, in [0, 1].
    mask : Tensor, (K,) or (N, K)
        Factors of the channels.
    """

    layer: str
    originals: Tensor
    mask: Tensor

    @property
    def unmasked(self) -> Tensor:
        """Images made for all channels, (N, C, H, W)."""
        return self.images[: len(self.originals)]

    @property
    def masked(self) -> Tensor:
        """Images made for the masked channels, (N, C, H, W)."""
        return self.images[len(self.originals) :]


@without_inference_mode
def invert_features(
    model: ImageModel,
    image: Any,
    layer: str,
    *,
    parameterization: Parameterization | None = None,
    transforms: Transform | Sequence[Transform] = (),
    regularizers: Regularizer | Sequence[Regularizer] = (),
    steps: int = 256,
    learning_rate: float | None = None,
    seed: int = 0,
    start: InvertedFeatures | None = None,
) -> Run[InvertedFeatures]:
    """Find images with the activation of given images at a layer: what the layer keeps of them (equation 2.11).

    Parameters
    ----------
    model : ImageModel
        The network, which is not changed.
    image
        Images of any kind.
    layer : str
        Any layer, by its name in ``model.layers()``.
    parameterization, regularizers, steps, learning_rate, seed
        See :func:`~xai_widgets.features.visualize`.
    transforms : callable or sequence of callable, default ()
        Random transforms of the inverse before each pass; the activation of the image itself is not transformed.
    start : InvertedFeatures, optional
        An earlier result to continue from.

    Returns
    -------
    Run of InvertedFeatures
        A warning names the images that did not come closer than those at the start.

    Raises
    ------
    TypeError
        If ``model`` is not an ImageModel.
    ValueError
        For an unknown layer, with the nearest name, or an activation of zeros.

    Examples
    --------
    >>> invert_features(model, photograph("cat"), "blocks.3").result().errors  # doctest: +SKIP
    """
    check_model(model)
    x = model.images(image).clone()
    objective = Inversion(layer, reference_activation(model, x, layer))
    run = visualize(
        model,
        objective,
        parameterization=parameterization,
        transforms=transforms,
        regularizers=regularizers,
        steps=steps,
        learning_rate=learning_rate,
        count=len(x),
        size=_size(x),
        seed=seed,
        start=None if start is None else instance(start, "start", InvertedFeatures),
    )
    return _extended(run, InvertedFeatures, f"inversion of {brief(layer)}", layer=layer, originals=x)


@without_inference_mode
def caricature(
    model: ImageModel,
    image: Any,
    layer: str,
    *,
    cosine_power: float = 0.0,
    parameterization: Parameterization | None = None,
    transforms: Transform | Sequence[Transform] = STEADY,
    regularizers: Regularizer | Sequence[Regularizer] = (),
    steps: int = 64,
    learning_rate: float | None = None,
    seed: int = 0,
    start: Caricature | None = None,
) -> Run[Caricature]:
    """Exaggerate what a layer sees in images, from the images themselves on (equation 2.12).

    Parameters
    ----------
    model : ImageModel
        The network, which is not changed.
    image
        Images of any kind.
    layer : str
        Any layer, by its name in ``model.layers()``.
    cosine_power : float, default 0
        See :class:`~xai_widgets.features.objectives.DotProduct`; above 0, the image stays more like itself.
    parameterization, transforms, regularizers, steps, learning_rate, seed
        See :func:`~xai_widgets.features.visualize`. More steps exaggerate more.
    start : Caricature, optional
        An earlier result to continue from.

    Returns
    -------
    Run of Caricature
        Its objective is 1 for the image itself.

    Raises
    ------
    TypeError
        If ``model`` is not an ImageModel.
    ValueError
        For an unknown layer, with the nearest name, or an activation of zeros.
    """
    check_model(model)
    x = model.images(image).clone()
    run = visualize(
        model,
        DotProduct(layer, reference_activation(model, x, layer), cosine_power),
        parameterization=parameterization,
        transforms=transforms,
        regularizers=regularizers,
        steps=steps,
        learning_rate=learning_rate,
        image=x,
        seed=seed,
        start=None if start is None else instance(start, "start", Caricature),
    )
    return _extended(run, Caricature, f"caricature of {brief(layer)}", layer=layer, originals=x)


@without_inference_mode
def masked_inversion(
    model: ImageModel,
    image: Any,
    layer: str,
    mask: Any,
    *,
    cosine_power: float = 0.0,
    parameterization: Parameterization | None = None,
    transforms: Transform | Sequence[Transform] = STEADY,
    regularizers: Regularizer | Sequence[Regularizer] = (),
    steps: int = 256,
    learning_rate: float | None = None,
    seed: int = 0,
    start: MaskedInversion | None = None,
) -> Run[MaskedInversion]:
    """Make images for the activation of given images and for some of its channels, to compare both (equation 12).

    The difference of both images shows the features of the channels, such as those of a channel mask that is enough to
    recognize the class (:func:`~xai_widgets.perturbation.channel_extremal`).

    Parameters
    ----------
    model : ImageModel
        The network, which is not changed.
    image
        Images of any kind, N of them.
    layer : str
        A layer with spatial positions or an output (K,), by its name in ``model.layers()``.
    mask : Tensor, (K,) or (N, K)
        m, the factor of each channel, such as ``ChannelExtremal.best_masks``.
    cosine_power : float, default 0
        See :class:`~xai_widgets.features.objectives.DotProduct`.
    parameterization, transforms, regularizers, steps, learning_rate, seed
        See :func:`~xai_widgets.features.visualize`.
    start : MaskedInversion, optional
        An earlier result to continue from.

    Returns
    -------
    Run of MaskedInversion
        Each step is a pass for 2 N images.

    Raises
    ------
    TypeError
        If ``model`` is not an ImageModel.
    ValueError
        For an unknown layer, with the nearest name, or a mask that does not fit or leaves nothing.
    """
    check_model(model)
    x = model.images(image).clone()
    activation = reference_activation(model, x, layer)
    kept = masked(model, layer, activation, mask)
    run = visualize(
        model,
        DotProduct(layer, torch.cat([activation, kept]), cosine_power),
        parameterization=Paired(Fourier() if parameterization is None else parameterization),
        transforms=transforms,
        regularizers=regularizers,
        steps=steps,
        learning_rate=learning_rate,
        size=_size(x),
        seed=seed,
        start=None if start is None else instance(start, "start", MaskedInversion),
    )
    return _extended(
        run,
        MaskedInversion,
        f"masked inversion of {brief(layer)}",
        layer=layer,
        originals=x,
        mask=torch.as_tensor(mask).float(),
    )


def _size(x: Tensor) -> tuple[int, int]:
    return (x.shape[2], x.shape[3])


def _extended(run: Run[Visualization], kind: Callable[..., V], name: str, **facts: Any) -> Run[V]:
    """Return a run whose snapshots are of another class with further attributes."""

    def steps() -> Iterator[V]:
        for snapshot in run:
            values = {field.name: getattr(snapshot, field.name) for field in fields(Visualization)}
            yield kind(**values, **facts)

    return Run(steps(), total=run.total, name=name)
