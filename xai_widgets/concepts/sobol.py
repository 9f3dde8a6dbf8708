"""Total Sobol indices: the share of the variance of a function that each of its arguments is involved in.

For independent arguments m_1, ..., m_M, uniform in [0, 1], the total index of m_i is (Homma and Saltelli 1996)

    S_i = E[Var(f(m) | all arguments but m_i)] / Var(f(m))

With two independent samples A and B of N points, and A_i the points of A whose argument i is that of B, Jansen 1999
estimates it by

    S_i ~ sum_n (f(A)_n - f(A_i)_n)^2 / (2 N Var(f))

in N (M + 2) evaluations. The samples are the two halves of a scrambled Sobol sequence of 2 M dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from xai_widgets.core.validation import instance, integer

#: Maximum number of arguments, half the largest dimension of torch's Sobol sequence.
MOST_ARGUMENTS = SobolEngine.MAXDIM // 2


def sobol_masks(arguments: int, design: int = 32, *, seed: int = 0) -> Tensor:
    """Return the points at which a function has to be evaluated for :func:`total_indices`.

    Parameters
    ----------
    arguments : int
        M.
    design : int, default 32
        N; the sequence is balanced for powers of two.
    seed : int, default 0
        Seed of the scrambling.

    Returns
    -------
    Tensor, (N (M + 2), M)
        In [0, 1], float32: the points of A, of B, and of A_1 to A_M.
    """
    arguments = integer(arguments, "arguments", low=1, high=MOST_ARGUMENTS)
    design = integer(design, "design", low=2)
    points = SobolEngine(2 * arguments, scramble=True, seed=integer(seed, "seed", low=0)).draw(design)
    first, second = points.split(arguments, dim=1)
    mixed = first.repeat(arguments, 1, 1)
    index = torch.arange(arguments)
    mixed[index, :, index] = second.T
    return torch.cat([first, second, mixed.flatten(0, 1)])


def total_indices(values: Tensor, arguments: int) -> Tensor:
    """Return the total Sobol indices of a function.

    Parameters
    ----------
    values : Tensor, (..., N (M + 2))
        The function at the points of :func:`sobol_masks`.
    arguments : int
        M.

    Returns
    -------
    Tensor, (..., M)
        At least 0; 0 for a constant function. The indices of an additive function sum to 1; interactions count for
        each of their arguments.

    Raises
    ------
    ValueError
        If the number of values is not that of a design for M arguments.
    """
    arguments = integer(arguments, "arguments", low=1)
    values = instance(values, "values", Tensor).double()
    design, rest = divmod(values.shape[-1], arguments + 2)
    if rest or design < 2:
        raise ValueError(
            f"expected N ({arguments} + 2) values for {arguments} arguments, got {values.shape[-1]}; evaluate the "
            "function at the points of sobol_masks"
        )
    first, second, mixed = values.split([design, design, design * arguments], dim=-1)
    squares = (mixed.unflatten(-1, (arguments, design)) - first[..., None, :]).square().mean(-1) / 2
    variance = torch.cat([first, second], -1).var(-1, correction=0)
    # A function that is constant up to rounding has no variance to be divided.
    scale = values.abs().amax(-1)
    varies = variance.sqrt() > 16 * torch.finfo(torch.float32).eps * scale
    return torch.where(varies[..., None], squares / torch.where(varies, variance, 1)[..., None], 0.0)
