"""max(x, 0) in other words than ReLU."""

import torch
import torch.nn.functional as F
from torch import nn


def unused(function):
    """Call an in-place function for its effect alone, as ``self.relu(x)`` on a line of its own does."""

    def call(x):
        function(x)
        return x

    return call


def set_to_zero(x):
    x[x < 0] = 0
    return x


#: ReLU in other words.
OTHER_WORDS = {
    "F.threshold": lambda x: F.threshold(x, 0, 0),
    "Threshold in place": lambda x: nn.Threshold(0, 0, inplace=True)(x),
    "RReLU": nn.RReLU(0, 0).eval(),
    "leaky": lambda x: F.leaky_relu(x, 0.0),
    "prelu": lambda x: F.prelu(x, torch.zeros(1)),
    "hardtanh": lambda x: F.hardtanh(x, 0.0, float("inf")),
    "torch.max": lambda x: torch.max(x, torch.zeros(())),
    "torch.max, zeros first": lambda x: torch.max(torch.zeros(()), x),
    "torch.maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "torch.fmax": lambda x: torch.fmax(x, torch.zeros(1)),
    "clamp(min=tensor)": lambda x: x.clamp(min=torch.zeros(1)),
    "clamp_(min=tensor), result unused": unused(lambda x: x.clamp_(min=torch.zeros(1))),
    "torch.where": lambda x: torch.where(x > 0, x, 0.0),
    "torch.where, zeros first": lambda x: torch.where(x <= 0, torch.zeros_like(x), x),
    "x * (x > 0)": lambda x: x * (x > 0),
    "(x > 0) * x": lambda x: (x > 0) * x,
    "x * (x > 0).float()": lambda x: x * (x > 0).float(),
    "mul_ by a mask, result unused": unused(lambda x: x.mul_(x.detach() > 0)),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0),
    "masked_fill_, result unused": unused(lambda x: x.masked_fill_(x < 0, 0.0)),
    "x[x < 0] = 0": set_to_zero,
    "aten": torch.ops.aten.relu.default,
}
