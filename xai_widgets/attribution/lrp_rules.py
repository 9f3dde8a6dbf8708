"""Rules by which one layer shares relevance out, and composites that say which layer has which.

Bach et al. 2015; Montavon et al. 2017 (z+, z^B, w^2) and 2019 (gamma, composites); Lapuschkin et al. 2019 (flat);
equations 12 to 15 of Ayyar et al.'s survey. For a layer z_j = sum_i a_i w_ij + b_j, with (.)+ and (.)- what is above
and below 0:

    LRP-0        R_i = sum_j a_i w_ij / z_j R_j                                                          (12)
    epsilon      R_i = sum_j a_i w_ij / (z_j + epsilon sign z_j) R_j                                     (13)
    gamma        R_i = sum_j a_i (w_ij + gamma w_ij+) / sum_q a_q (w_qj + gamma w_qj+) R_j               (14)
    alpha-beta   R_i = sum_j (alpha (a_i w_ij)+ / sum_q (a_q w_qj)+ - beta (a_i w_ij)- / sum_q (a_q w_qj)-) R_j    (15)
    z+           alpha-beta with alpha = 1, beta = 0
    z^B          R_i = sum_j (a_i w_ij - l_i w_ij+ - h_i w_ij-) / sum_q (a_q w_qj - l_q w_qj+ - h_q w_qj-) R_j
    w^2          R_i = sum_j w_ij^2 / sum_q w_qj^2 R_j
    flat         R_i = sum_j 1 / sum_q 1 R_j

In equations 12 to 15 the sums over q have the bias in them, as a neuron with a = 1: it takes its part of the relevance
and hands it to nobody.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xai_widgets.core.validation import brief
from xai_widgets.errors import unknown_name
from xai_widgets.rules import Operation

#: Activations and weights whose products add up to z.
Part = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Rule(ABC):
    """How a layer shares relevance out."""

    @abstractmethod
    def share(self, a: Tensor, weight: Tensor, f: Operation, relevance: Tensor) -> Tensor:
        """R of the inputs ``a``, in their shape, when the outputs f(a, weight) + bias have ``relevance``."""


@dataclass(frozen=True)
class Epsilon(Rule):
    """LRP-epsilon, equation 13; with 0 it is LRP-0, equation 12.

    Parameters
    ----------
    epsilon : float, default 1e-6
        In units of the activation, at least 0: how much of it takes relevance and hands it to nobody.
    """

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        if not self.epsilon >= 0:
            raise ValueError(f"epsilon is {self.epsilon}, wanted at least 0")

    def share(self, a: Tensor, weight: Tensor, f: Operation, relevance: Tensor) -> Tensor:
        """By a_i w_ij."""
        return _share([(a, weight)], f, f.bias, relevance, self.epsilon)


@dataclass(frozen=True)
class Gamma(Rule):
    """LRP-gamma, equation 14, in the form of Andeol et al. 2021 for activations and outputs of either sign.

    An output above 0 favors what is above 0 of a_i w_ij, one below 0 what is below. For a and z of at least 0, as
    after and before a ReLU that is on, it is equation 14.

    Parameters
    ----------
    gamma : float, default 0.25
        At least 0, by how much it is favored.
    """

    gamma: float = 0.25

    def __post_init__(self) -> None:
        if not self.gamma >= 0:
            raise ValueError(f"gamma is {self.gamma}, wanted at least 0")

    def share(self, a: Tensor, weight: Tensor, f: Operation, relevance: Tensor) -> Tensor:
        """By a_i (w_ij + gamma w_ij+)."""
        with torch.no_grad():
            z = f(a, weight) if f.bias is None else f(a, weight) + f.bias
        total = torch.zeros_like(a)
        for sign in (1, -1):
            favored = torch.where(sign * z > 0, relevance, 0)
            if favored.any():
                parts = [
                    (half, weight + self.gamma * _part(weight, sign * side)) for half, side in _halves(a)
                ]
                bias = None if f.bias is None else f.bias + self.gamma * _part(f.bias, sign)
                total += _share(parts, f, bias, favored)
        return total


@dataclass(frozen=True)
class AlphaBeta(Rule):
    """LRP-alpha-beta, equation 15: what speaks for and what speaks against an output are shared out apart.

    Parameters
    ----------
    alpha, beta : float, default 2 and 1
        Weights of both, at least 0, alpha = beta + 1.
    """

    alpha: float = 2.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        if not (self.beta >= 0 and abs(self.alpha - self.beta - 1) < 1e-6):
            raise ValueError(
                f"alpha is {self.alpha} and beta {self.beta}, wanted beta of at least 0 and alpha = beta + 1"
            )

    def share(self, a: Tensor, weight: Tensor, f: Operation, relevance: Tensor) -> Tensor:
        """By (a_i w_ij)+ and (a_i w_ij)-."""
        total = torch.zeros_like(a)
        for sign, factor in ((1, self.alpha), (-1, -self.beta)):
            if factor:
                parts = [(half, _part(weight, sign * side)) for half, side in _halves(a)]
                bias = None if f.bias is None else _part(f.bias, sign)
                total += factor * _share(parts, f, bias, relevance)
        return total


@dataclass(frozen=True)
class ZPlus(AlphaBeta):
    """The z+ rule: alpha-beta with alpha = 1 and beta = 0."""

    alpha: float = 1.0
    beta: float = 0.0


@dataclass(frozen=True)
class ZBox(Rule):
    """The z^B rule, for a layer whose inputs lie between two bounds: the one that sees the pixels.

    Parameters
    ----------
    low, high : float or Tensor, default 0 and 1
        The bounds; in a composite those of the pixels, which are brought to the layer with the normalization.
    """

    low: float | Tensor = 0.0
    high: float | Tensor = 1.0

    def share(self, a: Tensor, weight: Tensor, f: Operation, relevance: Tensor) -> Tensor:
        """By a_i w_ij - l_i w_ij+ - h_i w_ij-."""
        low, high = (torch.as_tensor(bound).to(a).expand_as(a) for bound in (self.low, self.high))
        parts = [(a, weight), (-low, _part(weight, 1)), (-high, _part(weight, -1))]
        return _share(parts, f, None, relevance)


@dataclass(frozen=True)
class WSquare(Rule):
    """The w^2 rule, for a layer whose inputs have no bounds."""

    def share(self, a: Tensor, weight: Tensor, f: Operation, relevance: Tensor) -> Tensor:
        """By w_ij^2."""
        return _share([(torch.ones_like(a), weight**2)], f, None, relevance)


@dataclass(frozen=True)
class Flat(Rule):
    """The flat rule: equal shares."""

    def share(self, a: Tensor, weight: Tensor, f: Operation, relevance: Tensor) -> Tensor:
        """By 1."""
        return _share([(torch.ones_like(a), torch.ones_like(weight))], f, None, relevance)


@dataclass(frozen=True)
class Composite:
    """Which layer has which rule.

    Parameters
    ----------
    dense, convolution : Rule
        For linear layers and for convolutions, each with the batch-norm that follows it.
    first : Rule, optional
        For those of both that see the pixels. Default: as the others.
    addition : Rule, default LRP-0
        For additions and averages, whose weights are 1.
    """

    dense: Rule
    convolution: Rule
    first: Rule | None = None
    addition: Rule = Epsilon(0.0)

    def rule(self, kind: str, first: bool) -> Rule:
        """The rule of an :class:`~xai_widgets.rules.Operation` of this kind, and whether it sees the pixels."""
        if kind == "sum":
            return self.addition
        if first and self.first is not None:
            return self.first
        return self.dense if kind == "dense" else self.convolution


def _uniform(rule: Rule) -> Composite:
    """One rule for all; z+ for additions too, of which one part may be below 0, so that no relevance is."""
    return Composite(rule, rule, addition=rule if isinstance(rule, ZPlus) else Epsilon(0.0))


#: Rules for every layer, and composites, by name.
#:
#: Those that begin with epsilon and name a second rule are of Montavon et al. 2019 and Kohlbrenner et al. 2020: epsilon
#: for linear layers, gamma, z+ or alpha-beta for convolutions, z^B or flat for the first layer.
COMPOSITES: dict[str, Composite] = {
    "epsilon_gamma_box": Composite(Epsilon(), Gamma(), first=ZBox()),
    "epsilon_plus": Composite(Epsilon(), ZPlus()),
    "epsilon_plus_flat": Composite(Epsilon(), ZPlus(), first=Flat()),
    "epsilon_alpha2_beta1": Composite(Epsilon(), AlphaBeta()),
    "epsilon_alpha2_beta1_flat": Composite(Epsilon(), AlphaBeta(), first=Flat()),
    "deep_taylor": Composite(ZPlus(), ZPlus(), first=ZBox(), addition=ZPlus()),
    "deep_taylor_unbounded": Composite(ZPlus(), ZPlus(), first=WSquare(), addition=ZPlus()),
    "zero": _uniform(Epsilon(0.0)),
    "epsilon": _uniform(Epsilon()),
    "gamma": _uniform(Gamma()),
    "alpha_beta": _uniform(AlphaBeta()),
    "z_plus": _uniform(ZPlus()),
}


def as_composite(given: str | Rule | Composite) -> Composite:
    """A composite by its name, or of one rule for every layer, or as given.

    Raises
    ------
    ValueError
        For an unknown name, with the nearest one, or z^B for every layer.
    TypeError
        For what is none of them.
    """
    if isinstance(given, str):
        if given not in COMPOSITES:
            raise ValueError(unknown_name("composite", given, COMPOSITES))
        return COMPOSITES[given]
    if isinstance(given, Composite):
        made = given
    elif isinstance(given, Rule):
        made = _uniform(given)
    else:
        raise TypeError(f"composite is {brief(given)}, wanted a name, a Rule or a Composite")
    if any(isinstance(rule, ZBox) for rule in (made.dense, made.convolution, made.addition)):
        raise ValueError("ZBox is a rule for inputs with bounds, wanted it as first= of a Composite only")
    return made


def _share(
    parts: Sequence[Part], f: Operation, bias: Tensor | None, relevance: Tensor, epsilon: float = 0.0
) -> Tensor:
    """sum_j a_i w_ij / z_j R_j, a and w those of each part, z_j the sum over parts, the bias and epsilon in it."""
    with torch.enable_grad():
        given = [a.detach().requires_grad_() for a, _ in parts]
        z: Tensor = sum(f(a, weight) for a, (_, weight) in zip(given, parts, strict=True))  # type: ignore[assignment]
        full = z.detach() if bias is None else z.detach() + bias
        full = full + epsilon * torch.where(full < 0, -1.0, 1.0).to(full)
        # What nothing came to has nothing to share out.
        ratio = torch.where(full.abs() > torch.finfo(full.dtype).tiny, relevance / full, 0)
        back = torch.autograd.grad(z, given, ratio)
    return sum((a.detach() * part for a, part in zip(given, back, strict=True)), torch.zeros_like(given[0]))


def _part(values: Tensor, sign: int) -> Tensor:
    """What is above 0, or for a sign below 0 what is below."""
    return values.clamp(min=0) if sign > 0 else values.clamp(max=0)


def _halves(a: Tensor) -> list[tuple[Tensor, int]]:
    """What of activations is above 0 and what is below, each with its sign; after a ReLU there is one half."""
    signs = (1, -1) if (a < 0).any() else (1,)
    return [(_part(a, sign), sign) for sign in signs]
