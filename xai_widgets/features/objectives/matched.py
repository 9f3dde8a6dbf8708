"""Objectives that compare the activation of an image with that of another one.

With a_l(x) the output of a layer l, x0 the reference image, and m a mask of its channels:

    inversion           - |a_l(x) - a_l(x0)|^2 / |a_l(x0)|^2      Mahendran and Vedaldi 2015; Fong 2020, equation 2.11
    caricature          <a_l(x0), a_l(x)> / |a_l(x0)|^2           Mordvintsev et al. 2015; Fong 2020, equation 2.12
    masked inversion    <m a_l(x0), a_l(x)> / |m a_l(x0)|^2       Fong et al. 2019, equation 12

The norms make the values comparable between layers: the first is 0, and the others are 1, at x0 itself (the last one
with all channels). Dot products have no upper limit. With ``cosine_power`` q > 0 they are multiplied by
max(cos(m a_l(x0), a_l(x)), 1/10)^q.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.partial_pass import outputs_up_to
from xai_widgets.core.validation import brief, check_finite, number, tensor
from xai_widgets.features.objectives.base import LayerObjective, Seen
from xai_widgets.features.objectives.maximized import weighted


@dataclass(frozen=True, repr=False)
class Inversion(LayerObjective):
    """Negative squared distance to a reference activation, relative to its squared length (equation 2.11).

    Parameters
    ----------
    layer : str
        Any layer, by its name in ``model.layers()``.
    reference : Tensor, (N, ...)
        Output of the layer for N reference images, or one for all, in the network's own layout; see
        :func:`reference_activation`.
    """

    reference: Tensor

    @property
    def count(self) -> int | None:
        """Number of images; None for any number."""
        return len(self.reference) if len(self.reference) > 1 else None

    @property
    def positional(self) -> bool:
        """Whether the objective reads given positions of a layer: it does."""
        return True

    def bind(self, model: ImageModel) -> Inversion:
        """Return the objective with valid arguments for a network; ValueError if it does not fit."""
        return replace(self, reference=_check_reference(model, self.layer, self.reference))

    def values(self, seen: Seen) -> Tensor:
        """Return - |a - a0|^2 / |a0|^2, (N,)."""
        difference = (_same_shape(seen, self.layer, self.reference) - self.reference).flatten(1)
        return -difference.square().sum(1) / self.reference.flatten(1).square().sum(1)


@dataclass(frozen=True, repr=False)
class DotProduct(LayerObjective):
    """Dot product with a reference activation, relative to its squared length (equations 2.12 and 12).

    Parameters
    ----------
    layer : str
        Any layer, by its name in ``model.layers()``.
    reference : Tensor, (N, ...)
        Output of the layer for N reference images, or one for all; :func:`masked` multiplies its channels by a mask.
    cosine_power : float, default 0
        q, at least 0.
    """

    reference: Tensor
    cosine_power: float = 0.0

    @property
    def count(self) -> int | None:
        """Number of images; None for any number."""
        return len(self.reference) if len(self.reference) > 1 else None

    @property
    def positional(self) -> bool:
        """Whether the objective reads given positions of a layer: it does."""
        return True

    def bind(self, model: ImageModel) -> DotProduct:
        """Return the objective with valid arguments for a network; ValueError if it does not fit."""
        reference = _check_reference(model, self.layer, self.reference)
        return DotProduct(self.layer, reference, number(self.cosine_power, "cosine_power", low=0))

    def values(self, seen: Seen) -> Tensor:
        """Return <a0, a> / |a0|^2 max(cos(a0, a), 1/10)^q, (N,)."""
        output = _same_shape(seen, self.layer, self.reference).flatten(1)
        reference = self.reference.flatten(1)
        dot = (output * reference).sum(1) / reference.square().sum(1)
        return weighted(dot, F.cosine_similarity(output, reference, dim=1), self.cosine_power)


def reference_activation(model: ImageModel, images: Any, layer: str) -> Tensor:
    """Return the output of a layer for images of any kind, (N, ...), float32, in the network's own layout."""
    check_model(model)
    x = model.images(images)
    with outside_inference(), torch.no_grad():
        output = outputs_up_to(model, x.clone(), [layer])[layer].float()
    return check_finite(output, model.name, f"outputs of {brief(layer)}")


def masked(model: ImageModel, layer: str, activation: Tensor, mask: Any) -> Tensor:
    """Return an output of a layer (N, ...) with its channels multiplied by a mask, m a_l.

    Parameters
    ----------
    model : ImageModel
        The network.
    layer : str
        A layer with spatial positions or an output (K,).
    activation : Tensor, (N, ...)
        An output of the layer, in the network's own layout.
    mask : Tensor, (K,) or (N, K)
        Factor of each channel, such as ``ChannelExtremal.best_masks``; booleans are 0 and 1.

    Raises
    ------
    ValueError
        For a mask of another number of channels, or one that leaves nothing.
    """
    dimension = 1 if activation.ndim == 2 else model.grid(layer).channel_dimension
    given = torch.as_tensor(mask)
    width = activation.shape[dimension]
    values = tensor(
        given.float(), "mask", [width] if given.ndim == 1 else [len(activation), width], finite=True
    ).to(activation)
    shape = [1] * activation.ndim
    shape[dimension] = width
    if values.ndim == 2:
        shape[0] = len(activation)
    kept = activation * values.view(shape)
    if not bool(kept.flatten(1).any(1).all()):
        raise ValueError(
            f"expected a mask that keeps a channel of {layer!r} with values other than 0, got one that leaves nothing"
        )
    return kept


def _check_reference(model: ImageModel, layer: str, reference: Any) -> Tensor:
    shape = model.layer(layer).shape
    found = tensor(reference, "reference", ["N", *(f"{n}" for n in "abcd"[: len(shape)])], finite=True)
    found = found.detach().to(model.device, torch.float32)
    if not bool(found.flatten(1).any(1).all()):
        raise ValueError(
            f"expected an output of {layer!r} with values other than 0 as reference, got zeros only"
        )
    return found


def _same_shape(seen: Seen, layer: str, reference: Tensor) -> Tensor:
    output = seen.outputs[layer]
    if output.shape[1:] != reference.shape[1:]:
        raise ValueError(
            f"expected a reference of the shape of the output of {layer!r}, {tuple(output.shape[1:])}, got "
            f"{tuple(reference.shape[1:])}"
        )
    return output
