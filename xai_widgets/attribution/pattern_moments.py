"""Patterns from the means and the covariance of the inputs and outputs of neurons, batch by batch (Chan et al. 1983).

For two batches of n and m inputs, with dx and dy the differences of their means,

    C = C_1 + C_2 + dx dy n m / (n + m)

where C = sum (x - mean x) (y - mean y), from which the pattern of a neuron is C / (w^T C).
"""

from __future__ import annotations

import torch
from torch import Tensor

from xai_widgets.rules import Operation

#: Relative to the sum of magnitudes; a smaller sum is rounding of single precision.
ROUNDING = 1e-6


class Moments:
    """Moments of the neurons of one layer, in float64 on the CPU, as not every device supports float64.

    Parameters
    ----------
    weight : Tensor
        Weight of the layer.
    f : Operation
        The operation of the layer on its input and its weight.

    Raises
    ------
    ValueError
        For a weight without a dimension for the neurons.
    """

    def __init__(self, weight: Tensor, f: Operation) -> None:
        if f.channels is None:
            raise ValueError(
                "expected convolutions and linear layers for PatternNet, got a weight of shape "
                f"{tuple(weight.shape)} without a dimension for the neurons, as in a transposed convolution"
            )
        self._weight = weight.detach()
        self._of_weight, self._of_output = f.channels
        self._others = [each for each in range(weight.ndim) if each != self._of_weight]
        self._mean_x = torch.zeros(weight.shape, dtype=torch.float64)
        self._comoment = torch.zeros(weight.shape, dtype=torch.float64)
        self._count = self._mean_y = self._column(weight.new_zeros(weight.shape[self._of_weight]))

    def add(self, a: Tensor, f: Operation, rectified: bool) -> None:
        """Add a batch of y = f(a, weight) + bias; for a neuron with a ReLU, only where it is active."""
        # Contiguous: for a channels-last input, oneDNN's gradient of the weight of a strided 1 x 1 convolution writes
        # past its memory and crashes the process.
        with torch.enable_grad():
            weight = self._weight.clone(memory_format=torch.contiguous_format).requires_grad_()
            z = f(a.detach().contiguous(), weight)
        y = z.detach() if f.bias is None else z.detach() + f.bias.to(z)
        on = (y > 0).to(y) if rectified else torch.ones_like(y)
        others = [each for each in range(y.ndim) if each != y.ndim + self._of_output]
        count = on.sum(others, keepdim=True)
        mean_y = (on * y).sum(others, keepdim=True) / count.clamp(min=1)
        # The gradient of the weight is the sum over patches of x times a number per position.
        (comoment,) = torch.autograd.grad(z, weight, on * (y - mean_y), retain_graph=True)
        (sum_x,) = torch.autograd.grad(z, weight, on)
        self._join(self._column(count), self._column(mean_y), sum_x, comoment)

    def _join(self, count: Tensor, mean_y: Tensor, sum_x: Tensor, comoment: Tensor) -> None:
        # In place, as the weight of one linear layer may need a gigabyte in float64.
        total = (self._count + count).clamp(min=1)
        dx = sum_x.cpu().double().div_(count.clamp(min=1)).sub_(self._mean_x)
        dy = mean_y - self._mean_y
        self._comoment.add_(comoment.cpu()).addcmul_(dx, dy * self._count * count / total)
        self._mean_x.addcmul_(dx, count / total)
        self._mean_y = self._mean_y + dy * count / total
        self._count = self._count + count

    def _column(self, numbers: Tensor) -> Tensor:
        """Return one number per neuron along the dimension of the neurons in the weight."""
        shape = [1] * self._weight.ndim
        shape[self._of_weight] = -1
        return numbers.cpu().double().reshape(shape)

    def pattern(self) -> Tensor:
        """Return C / (w^T C) in the shape of the weight, float32; 0 for a constant neuron."""
        products = self._comoment * self._weight.cpu()
        denominator = products.sum(self._others, keepdim=True)
        valid = denominator.abs() > ROUNDING * products.abs_().sum(self._others, keepdim=True)
        return (self._comoment * torch.where(valid, 1 / denominator, 0)).float()
