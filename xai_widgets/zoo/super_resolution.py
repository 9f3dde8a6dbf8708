"""The bundled super-resolution network, a small VDSR (Kim et al. 2016).

The input is luminance upsampled by bicubic interpolation, the output the residual Phi(x), which can be negative:
x + Phi(x) restores lost details. One network handles all scales. It is not a classifier, so it is a plain module and
not an `ImageModel`.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from xai_widgets.core.arguments import check_device
from xai_widgets.zoo import files

#: Number of channels between the convolutions, and number of convolutions.
CHANNELS, LAYERS = 32, 8


class SuperResolution(nn.Sequential):
    """A network without skip connections that maps luminance x (N, 1, H, W) to a residual Phi(x) of the same shape."""

    @torch.no_grad()
    def enhance(self, x: Tensor) -> Tensor:
        """Return x + Phi(x), clipped to [0, 1].

        Parameters
        ----------
        x : Tensor, (N, 1, H, W)
            Upsampled luminance in [0, 1], such as the first result of
            :func:`xai_widgets.data.low_resolution.blurred_pair`.
        """
        enhanced: Tensor = (x + self(x)).clamp(0, 1)
        return enhanced


def scenes_sr(channels: int = CHANNELS, layers: int = LAYERS) -> SuperResolution:
    """Build a sequence of convolutions of kernel size 3 with ReLU in between.

    Parameters
    ----------
    channels : int, default 32
        Number of channels of each activation.
    layers : int, default 8
        Number of convolutions.

    Returns
    -------
    SuperResolution
        Modules ``conv1``, ``relu1``, ... ``conv8``, for images of any size.
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
        # Residuals are small, so training starts near zero.
        convolution.weight.mul_(0.01)
    return SuperResolution(parts)


def build(*, seed: int = 0) -> SuperResolution:
    """Build the network in eval mode, with random weights that depend on `seed` only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return scenes_sr().eval()


def load(weights: Any, device: str | torch.device | None) -> SuperResolution:
    """Load the network in eval mode for `xai_widgets.zoo.load`; a device of None is the best available one."""
    network = build()
    if weights is not None:
        path = files.weights_path("scenes_sr") if weights == "DEFAULT" else weights
        if weights == "DEFAULT" and not os.path.exists(path):
            raise RuntimeError(
                "expected the weights of 'scenes_sr' in the package, got none; install the package again, or train "
                "them with python -m xai_widgets.zoo.train_sr"
            )
        files.load_state(network, files.read_state(path), source=path, name="scenes_sr")
    return network.to(check_device("auto" if device is None else device))
