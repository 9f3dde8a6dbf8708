"""Maps that no explanation made, with which the scores of methods are compared."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS, Method
from xai_widgets.methods.registry import Cost, channel_sum

_NO_PASS = Cost(0, 0)


def _random(model: ImageModel, x: Tensor, target: Tensor, *, seed: int = 0) -> Tensor:
    """Return uniform noise, (N, 1, H, W), that depends on the pixels of each image and the seed alone."""
    maps = []
    for image in x:
        pixels = image.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        digest = int.from_bytes(hashlib.sha256(pixels).digest()[:8], "big")
        generator = torch.Generator().manual_seed((digest >> 1) ^ seed)
        maps.append(torch.rand(x.shape[2:], generator=generator))
    return torch.stack(maps)[:, None].to(x.device)


def _center(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
    """Return the negative distance of each pixel from the center, (N, 1, H, W)."""
    rows, columns = (torch.arange(n, device=x.device) - (n - 1) / 2 for n in x.shape[2:])
    return -(rows[:, None].square() + columns.square()).sqrt().expand(len(x), 1, -1, -1)


def reference_methods() -> dict[str, Method]:
    """Return the methods that are always among the rows of an evaluation, by name.

    Returns
    -------
    dict of str to Method
        "random", noise that is the same for the same image; "center", the distance from the center; "class_blind", the
        map of FEM, which depends on the activations of the network but on no class.
    """
    noise = Method(_random, "random", "Random", channel_sum, "", "uniform noise", _NO_PASS, uses_class=False)
    center = Method(
        _center, "center", "Center", channel_sum, "", "-distance from the center", _NO_PASS, uses_class=False
    )
    fem = METHODS["fem"]
    blind = Method(
        fem.function,
        "class_blind",
        "Class-blind",
        fem.reduce,
        fem.source,
        fem.formula,
        fem.cost,
        uses_class=False,
    )
    return {each.name: each for each in (noise, center, blind)}
