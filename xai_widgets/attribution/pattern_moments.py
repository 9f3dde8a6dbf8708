"""Patterns from the means and the covariance of what neurons get and give, batch by batch (Chan et al. 1983).

For two batches of n and m inputs, with dx and dy the differences of their means,

    C = C_1 + C_2 + dx dy n m / (n + m)

where C = sum (x - mean x) (y - mean y), from which the pattern of a neuron is C / (w^T C).
"""

from __future__ import annotations

import torch
from torch import Tensor

from xai_widgets.rules import Operation

#: Of a sum, next to that of its magnitudes: what is less is the rounding of single precision.
ROUNDING = 1e-6


class Moments:
    """Of the neurons of one layer, in float64 on the CPU: not every device has it.

    Parameters
    ----------
    weight : Tensor
        Of the layer.
    f : Operation
        What it does with its input and its weight.

    Raises
    ------
    ValueError
        For a weight of which no dimension numbers the neurons.
    """

    def __init__(self, weight: Tensor, f: Operation) -> None:
        if f.channels is None:
            raise ValueError(
                f"PatternNet has no patterns for a weight of shape {tuple(weight.shape)} of which no dimension numbers "
                "the neurons, as that of a transposed convolution, wanted convolutions and linear layers"
            )
        self._weight = weight.detach()
        self._of_weight, self._of_output = f.channels
        self._others = [each for each in range(weight.ndim) if each != self._of_weight]
        self._mean_x = torch.zeros(weight.shape, dtype=torch.float64)
        self._comoment = torch.zeros(weight.shape, dtype=torch.float64)
        self._count = self._mean_y = self._column(weight.new_zeros(weight.shape[self._of_weight]))

    def add(self, a: Tensor, f: Operation, rectified: bool) -> None:
        """Observe y = f(a, weight) + bias, of a neuron with a ReLU only where it is on."""
        with torch.enable_grad():
            weight = self._weight.clone().requires_grad_()
            z = f(a.detach(), weight)
        y = z.detach() if f.bias is None else z.detach() + f.bias.to(z)
        on = (y > 0).to(y) if rectified else torch.ones_like(y)
        others = [each for each in range(y.ndim) if each != y.ndim + self._of_output]
        count = on.sum(others, keepdim=True)
        mean_y = (on * y).sum(others, keepdim=True) / count.clamp(min=1)
        # The sum over patches of x times a number of each place is what the gradient of the weight is.
        (comoment,) = torch.autograd.grad(z, weight, on * (y - mean_y), retain_graph=True)
        (sum_x,) = torch.autograd.grad(z, weight, on)
        self._join(self._column(count), self._column(mean_y), sum_x, comoment)

    def _join(self, count: Tensor, mean_y: Tensor, sum_x: Tensor, comoment: Tensor) -> None:
        # In place: the weight of one linear layer may fill a gigabyte of float64.
        total = (self._count + count).clamp(min=1)
        dx = sum_x.cpu().double().div_(count.clamp(min=1)).sub_(self._mean_x)
        dy = mean_y - self._mean_y
        self._comoment.add_(comoment.cpu()).addcmul_(dx, dy * self._count * count / total)
        self._mean_x.addcmul_(dx, count / total)
        self._mean_y = self._mean_y + dy * count / total
        self._count = self._count + count

    def _column(self, numbers: Tensor) -> Tensor:
        """One number a neuron, along the dimension of the weight that numbers them."""
        shape = [1] * self._weight.ndim
        shape[self._of_weight] = -1
        return numbers.cpu().double().reshape(shape)

    def pattern(self) -> Tensor:
        """C / (w^T C) in the shape of the weight, float32; 0 for a neuron that never differed."""
        shares = self._comoment * self._weight.cpu()
        below = shares.sum(self._others, keepdim=True)
        sound = below.abs() > ROUNDING * shares.abs_().sum(self._others, keepdim=True)
        return (self._comoment * torch.where(sound, 1 / below, 0)).float()
