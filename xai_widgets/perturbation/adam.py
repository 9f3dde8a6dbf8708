"""Adam on one tensor of variables, Kingma and Ba 2015, algorithm 1.

Of its own, as ``torch.optim.Adam`` imports torch's compiler when it is first made (a second in which a widget would
stand still), and keeps its moments where the rows of a batch that are done cannot leave it.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Adam:
    """The moments of a gradient, and the steps that follow from them.

    Parameters
    ----------
    learning_rate : float
        Length of a step; the first one has it in every variable.
    betas : (float, float), default (0.9, 0.999)
        Decay of the first and of the second moment.
    epsilon : float, default 1e-8
        Keeps the division finite.
    """

    def __init__(
        self, learning_rate: float, *, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8
    ) -> None:
        self.learning_rate = learning_rate
        self.betas = betas
        self.epsilon = epsilon
        self._count = 0
        self._mean: Tensor | None = None
        self._square: Tensor | None = None

    @torch.no_grad()
    def step(self, gradient: Tensor) -> Tensor:
        """What to add to the variables, of the shape of their gradient, so that the objective falls."""
        if self._mean is None or self._square is None:
            self._mean, self._square = torch.zeros_like(gradient), torch.zeros_like(gradient)
        first, second = self.betas
        self._count += 1
        self._mean = first * self._mean + (1 - first) * gradient
        self._square = second * self._square + (1 - second) * gradient**2
        mean = self._mean / (1 - first**self._count)
        square = self._square / (1 - second**self._count)
        return -self.learning_rate * mean / (square.sqrt() + self.epsilon)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows of the batch alone, a mask (N,) of booleans."""
        if self._mean is not None and self._square is not None:
            self._mean, self._square = self._mean[rows], self._square[rows]
