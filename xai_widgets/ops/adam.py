"""Adam on one tensor of variables, Kingma and Ba 2015, algorithm 1.

``torch.optim.Adam`` is not used because it imports torch's compiler at its first use, which blocks a widget for a
second, and because finished rows of a batch could not be removed from its moments.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

#: Number of steps, first moment and second moment.
Moments: TypeAlias = tuple[int, Tensor | None, Tensor | None]


class Adam:
    """Moments of a gradient, and the steps computed from them.

    Parameters
    ----------
    learning_rate : float
        Length of a step: the first step changes every variable by it.
    betas : (float, float), default (0.9, 0.999)
        Decay rates of the first and second moment.
    epsilon : float, default 1e-8
        Added to the denominator.
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

    @property
    def moments(self) -> Moments:
        """The number of steps, and the first and second moment, to resume from; steps replace them."""
        return self._count, self._mean, self._square

    @moments.setter
    def moments(self, moments: Moments) -> None:
        self._count, self._mean, self._square = moments

    @torch.no_grad()
    def step(self, gradient: Tensor) -> Tensor:
        """Return the step that decreases the objective: add it to the variables."""
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
        """Keep only these rows of the batch, a boolean mask (N,)."""
        if self._mean is not None and self._square is not None:
            self._mean, self._square = self._mean[rows], self._square[rows]
