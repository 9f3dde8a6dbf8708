"""The bundled network that raises resolution, a small VDSR (Kim et al. 2016).

Luminance that was enlarged by bicubic interpolation comes in, the residual Phi(x) comes out, which can be negative:
x + Phi(x) has the details that were lost. One network serves all scales. It is no classifier, so no `ImageModel`:
its units are found, and it is inverted, as a plain module.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from xai_widgets.core.arguments import check_device
from xai_widgets.zoo import files

#: Channels between the convolutions, and how many convolutions there are.
CHANNELS, LAYERS = 32, 8


class SuperResolution(nn.Sequential):
    """A network whose output is the residual Phi(x), of the shape of x, (N, 1, H, W); nothing skips it inside."""

    @torch.no_grad()
    def enhance(self, x: Tensor) -> Tensor:
        """Add the details: x + Phi(x), cut to [0, 1].

        Parameters
        ----------
        x : Tensor, (N, 1, H, W)
            Luminance in [0, 1] that was enlarged, such as the first of
            :func:`xai_widgets.data.low_resolution.blurred_pair`.
        """
        enhanced: Tensor = (x + self(x)).clamp(0, 1)
        return enhanced


def scenes_sr(channels: int = CHANNELS, layers: int = LAYERS) -> SuperResolution:
    """Convolutions of kernel 3 with ReLU in between.

    Parameters
    ----------
    channels : int, default 32
        Of each activation.
    layers : int, default 8
        Convolutions.

    Returns
    -------
    SuperResolution
        ``conv1``, ``relu1``, ... ``conv8``; images of any size.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for i in range(1, layers + 1):
        before, after = (1 if i == 1 else channels), (1 if i == layers else channels)
        parts[f"conv{i}"] = convolution = nn.Conv2d(before, after, 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        if i < layers:
            parts[f"relu{i}"] = nn.ReLU()
    with torch.no_grad():
        # Residuals are small: training begins with next to none.
        convolution.weight.mul_(0.01)
    return SuperResolution(parts)


def build(*, seed: int = 0) -> SuperResolution:
    """The network with random weights that depend only on `seed`, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return scenes_sr().eval()


def load(weights: Any, device: str | torch.device | None) -> SuperResolution:
    """The network in eval mode on a device, as `xai_widgets.zoo.load` gives it; None is the best device."""
    network = build()
    if weights is not None:
        path = files.weights_path("scenes_sr") if weights == "DEFAULT" else weights
        if weights == "DEFAULT" and not os.path.exists(path):
            raise RuntimeError(
                "The weights of 'scenes_sr' are missing from this installation: install the package again, or train "
                "them with python -m xai_widgets.zoo.train_sr."
            )
        files.fill(network, files.read_state(path), source=path, name="scenes_sr")
    return network.to(check_device("auto" if device is None else device))
