"""Virtual identity: whether an inserted identity layer stands for a real convolution in NormGrad.

Rebuffi et al. 2020, section 4.1 of appendix C.2 of Fong 2020. With a the activation and g the gradient at the output of
a convolution of N x N and a^in its input, the maps

    |g_u| |a_(N x N around u)|          of an identity layer that is inserted after the convolution
    |g_u| |a^in_(N x N around u)|       of the convolution itself

are compared by their correlation. The source finds more than 0.95 at every layer of VGG16 and ResNet50.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import items
from xai_widgets.methods import METHODS
from xai_widgets.metrics.agreement import pearson
from xai_widgets.metrics.base import Explanation, metric


@dataclass(frozen=True, repr=False)
class VirtualIdentity(ShortRepr):
    """Correlation of NormGrad with and without the virtual identity.

    Attributes
    ----------
    layers : tuple of str
        The L convolutions.
    correlation : Tensor, (N, L)
        NaN where a map is constant.
    """

    layers: tuple[str, ...]
    correlation: Tensor


@without_inference_mode
def virtual_identity(
    model: ImageModel, x: Any, target: Target = None, *, layers: Sequence[str] | None = None
) -> VirtualIdentity:
    """Compare NormGrad of an identity layer after each convolution with NormGrad of the convolution.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    target : int, str, callable, sequence or Tensor, optional
        The class, or one for each image. Default: the predicted class.
    layers : sequence of str, optional
        Convolutions of 1 x 1 or 3 x 3. Default: all of them that have a map of more than one position.

    Returns
    -------
    VirtualIdentity

    Raises
    ------
    ValueError
        For a layer that is not such a convolution, or a network without any.
    """
    model, x, target = prepare(model, x, target)
    known = {
        each.name: module
        for each in model.layers()
        if each.grid is not None and each.grid.positions > 1 and each.used
        if isinstance(module := model.find_layers([each.name])[each.name], nn.Conv2d)
        if module.kernel_size in ((1, 1), (3, 3))
    }
    if not known:
        raise ValueError(f"expected a network with convolutions of 1 x 1 or 3 x 3, got {model.name}")
    names = tuple(known) if layers is None else tuple(items(layers, "layers", what="names"))
    for name in names:
        if name not in known:
            model.find_layers([name])
            raise ValueError(
                f"expected layers that are convolutions of 1 x 1 or 3 x 3, got {name!r}; for example "
                f"{next(iter(known))!r}"
            )
    columns = []
    for name in names:
        side = known[name].kernel_size[0]
        identity = METHODS["norm_grad"].saliency(model, x, target, layer=name, identity=f"{side}x{side}")
        real = METHODS["norm_grad_convolution"].saliency(model, x, target, layer=name)
        columns.append(pearson(identity.float(), real.float()))
    return VirtualIdentity(names, torch.stack(columns, 1))


@metric(
    "virtual_identity",
    title="Virtual identity",
    category="agreement",
    direction="higher",
    measures="mean correlation of NormGrad of an inserted identity layer with NormGrad of the convolutions of the "
    "network, whatever map is scored",
    source="Rebuffi et al. 2020",
    bounds=(-1.0, 1.0),
)
def virtual_identity_correlation(explanation: Explanation, *, layers: Sequence[str] | None = None) -> float:
    """Return the mean over the convolutions; those with a constant map count as 0."""
    found = virtual_identity(explanation.model, explanation.x, explanation.target, layers=layers)
    return found.correlation.nan_to_num(0).mean().item()
