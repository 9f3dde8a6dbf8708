"""LRP rules, which redistribute the relevance of one layer, and composites, which assign rules to layers.

Bach et al. 2015; Montavon et al. 2017 (z+, z^B, w^2); Montavon et al. 2019 (gamma, composites); Lapuschkin et al. 2019
(flat); equations 12 to 15 of Ayyar et al. 2021. For a layer z_j = sum_i a_i w_ij + b_j, with (.)+ and (.)- the positive
and the negative part:

    LRP-0        R_i = sum_j a_i w_ij / z_j R_j                                                          (12)
    epsilon      R_i = sum_j a_i w_ij / (z_j + epsilon sign z_j) R_j                                     (13)
    gamma        R_i = sum_j a_i (w_ij + gamma w_ij+) / sum_q a_q (w_qj + gamma w_qj+) R_j               (14)
    alpha-beta   R_i = sum_j (alpha (a_i w_ij)+ / sum_q (a_q w_qj)+ - beta (a_i w_ij)- / sum_q (a_q w_qj)-) R_j    (15)
    z+           alpha-beta with alpha = 1, beta = 0
    z^B          R_i = sum_j (a_i w_ij - l_i w_ij+ - h_i w_ij-) / sum_q (a_q w_qj - l_q w_qj+ - h_q w_qj-) R_j
    w^2          R_i = sum_j w_ij^2 / sum_q w_qj^2 R_j
    flat         R_i = sum_j 1 / sum_q 1 R_j

In equations 12 to 15 the sums over q include the bias as a neuron with a = 1, which absorbs its part of the relevance.
In deep networks with batch norm, biases may absorb nearly all of it. :class:`WithoutBias` leaves them out; where no
input contributes, its fallback redistributes the relevance, so that none is lost.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from xai_widgets.core.validation import brief
from xai_widgets.errors import unknown_name
from xai_widgets.rules import Operation
from xai_widgets.rules.selection import any_negative, any_nonzero, where_nonzero, where_positive

#: Activations and weights whose products sum to z.
Part = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Rule(ABC):
    """Redistributes the relevance of the outputs of a layer to its inputs."""

    @abstractmethod
    def redistribute(self, a: Tensor, weight: Tensor, f: Operation, relevance: Tensor) -> Tensor:
        """Return the relevance of the inputs ``a`` for the relevance of the outputs f(a, weight) + bias."""

    def contributions(self, a: Tensor, weight: Tensor, f: Operation) -> Tensor:
        """Return the sum of the contributions that relevance is redistributed by, in the shape of f(a, weight)."""
        return f(a, weight)


@dataclass(frozen=True)
class Epsilon(Rule):
    """LRP-epsilon, equation 13; with 0 it is LRP-0, equation 12.

    Parameters
    ----------
    epsilon : float, default 1e-6
        Stabilizer in units of the activation, which absorbs relevance; at least 0.
    """

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        if not self.epsilon >= 0:
            raise ValueError(f"expected epsilon of at least 0, got {self.epsilon}")

    def redistribute(self, a: Tensor, weight: Tensor, f: Operation, relevance: Tensor) -> Tensor:
        """Redistribute in proportion to a_i w_ij."""
        return _redistribute([(a, weight)], f, f.bias, relevance, self.epsilon)


@dataclass(frozen=True)
class Gamma(Rule):
    """LRP-gamma, equation 14, in the form of Andeol et al. 2021 for activations and outputs of either sign.

    Positive outputs favor positive a_i w_ij, negative outputs negative ones. For a and z of at least 0, as after and
    before an active ReLU, it is equation 14.

    Parameters
    ----------
    gamma : float, default 0.25
        Additional weight of the favored contributions; at least 0.
    """

    gamma: float = 0.25

    def __post_init__(self) -> None:
        if not self.gamma >= 0:
            raise ValueError(f"expected gamma of at least 0, got {self.gamma}")

    def redistribute(self, a: Tensor, weight: Tensor, f: Operation, relevance: Tensor) -> Tensor:
        """Redistribute in proportion to a_i (w_ij + gamma w_ij+)."""
        with torch.no_grad():
            z = f(a, weight) if f.bias is None else f(a, weight) + f.bias
        total = torch.zeros_like(a)
        for sign in (1, -1):
            favored = where_positive(z if sign > 0 else -z, relevance)
            if any_nonzero(favored):
                parts = [
                    (half, weight + self.gamma * _part(weight, sign * side)) for half, side in _halves(a)
                ]
                bias = None if f.bias is None else f.bias + self.gamma * _part(f.bias, sign)
                total += _redistribute(parts, f, bias, favored)
        return total


@dataclass(frozen=True)
class AlphaBeta(Rule):
    """LRP-alpha-beta, equation 15: redistribute by positive and negative contributions separately.

    Parameters
    ----------
    alpha, beta : float, default 2 and 1
        Weights of the positive and the negative contributions, at least 0, alpha = beta + 1.
    """

    alpha: float = 2.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        if not (self.beta >= 0 and abs(self.alpha - self.beta - 1) < 1e-6):
            raise ValueError(
                f"expected beta of at least 0 and alpha = beta + 1, got alpha {self.alpha} and beta {self.beta}"
            )

    def redistribute(self, a: Tensor, weight: Tensor, f: Operation, relevance: Tensor) -> Tensor:
        """Redistribute in proportion to (a_i w_ij)+ and (a_i w_ij)-."""
        total = torch.zeros_like(a)
        for sign, factor in ((1, self.alpha), (-1, -self.beta)):
            if factor:
                parts = self._parts(a, weight, sign)
                bias = None if f.bias is None else _part(f.bias, sign)
                total += factor * _redistribute(parts, f, bias, relevance)
        return total

    def contributions(self, a: Tensor, weight: Tensor, f: Operation) -> Tensor:
        """Return the sum of the positive contributions."""
        positive: Tensor = sum(f(*part) for part in self._parts(a, weight, 1))  # type: ignore[assignment]
        return positive

    def _parts(self, a: Tensor, weight: Tensor, sign: int) -> list[Part]:
        return [(half, _part(weight, sign * side)) for half, side in _halves(a)]


@dataclass(frozen=True)
class ZPlus(AlphaBeta):
    """The z+ rule: alpha-beta with alpha = 1 and beta = 0."""

    alpha: float = 1.0
    beta: float = 0.0


@dataclass(frozen=True)
class ZBox(Rule):
    """The z^B rule, for a layer whose inputs have bounds: the first layer.

    Parameters
    ----------
    low, high : float or Tensor, default 0 and 1
        The bounds. In a composite, the bounds of the pixels, which are normalized like the pixels.
    """

    low: float | Tensor = 0.0
    high: float | Tensor = 1.0

    def redistribute(self, a: Tensor, weight: Tensor, f: Operation, relevance: Tensor) -> Tensor:
        """Redistribute in proportion to a_i w_ij - l_i w_ij+ - h_i w_ij-."""
        low, high = (torch.as_tensor(bound).to(a).expand_as(a) for bound in (self.low, self.high))
        parts = [(a, weight), (-low, _part(weight, 1)), (-high, _part(weight, -1))]
        return _redistribute(parts, f, None, relevance)


@dataclass(frozen=True)
class WSquare(Rule):
    """The w^2 rule, for a first layer with unbounded inputs."""

    def redistribute(self, a: Tensor, weight: Tensor, f: Operation, relevance: Tensor) -> Tensor:
        """Redistribute in proportion to w_ij^2."""
        return _redistribute([(torch.ones_like(a), weight**2)], f, None, relevance)


@dataclass(frozen=True)
class Flat(Rule):
    """The flat rule: redistribute equally."""

    def redistribute(self, a: Tensor, weight: Tensor, f: Operation, relevance: Tensor) -> Tensor:
        """Redistribute equally to all inputs of a neuron."""
        return _redistribute([(torch.ones_like(a), torch.ones_like(weight))], f, None, relevance)


@dataclass(frozen=True)
class WithoutBias(Rule):
    """Another rule without the bias, which then absorbs no relevance.

    Parameters
    ----------
    rule : Rule
        The rule. Gamma compares the output without the bias with 0, so that its denominators are far from 0.
    fallback : Rule, optional
        Rule of neurons without a contribution, such as one that is active by its bias alone. Default: their relevance
        is lost.
    """

    rule: Rule
    fallback: Rule | None = None

    def redistribute(self, a: Tensor, weight: Tensor, f: Operation, relevance: Tensor) -> Tensor:
        """Redistribute by the rule, or by the fallback where there is no contribution."""
        f = replace(f, bias=None)
        if self.fallback is None:
            return self.rule.redistribute(a, weight, f, relevance)
        f = _remembered(f, a, weight)
        with torch.no_grad():
            kept = where_nonzero(self.rule.contributions(a, weight, f), relevance)
            rest = relevance - kept
        result = self.rule.redistribute(a, weight, f, kept)
        if any_nonzero(rest):
            result = result + self.fallback.redistribute(a, weight, f, rest)
        return result


@dataclass(frozen=True)
class Composite:
    """Assigns a rule to each layer.

    Parameters
    ----------
    dense, convolution : Rule
        Rules of linear layers and of convolutions, each with the batch norm after it.
    first : Rule, optional
        Rule of the first layer. Default: the same rule as for the other layers.
    addition : Rule, default LRP-0
        Rule of additions and averages, also by attention, and of each factor of products of two activations.
    tokens : Rule, optional
        Rule of linear layers that are applied at each position, as in transformers, like convolutions of 1 x 1.
        Default: the rule of linear layers.
    attention : {"constant", "softmax"}, default "constant"
        Whether the weights of attention are constants, so that all relevance goes to the values, as in CP-LRP (Ali et
        al. 2022), which Achtibat et al. 2024 recommend for vision transformers; or half of it goes through the softmax
        to queries and keys, as in AttnLRP. The softmax absorbs relevance.
    normalization : Rule, optional
        Rule of the subtraction of the mean in layer norm, and of its scale and bias. Default: relevance passes
        unchanged.
    """

    dense: Rule
    convolution: Rule
    first: Rule | None = None
    addition: Rule = Epsilon(0.0)
    tokens: Rule | None = None
    attention: Literal["constant", "softmax"] = "constant"
    normalization: Rule | None = None

    def __post_init__(self) -> None:
        if self.attention not in ("constant", "softmax"):
            raise ValueError(f"expected attention to be 'constant' or 'softmax', got {brief(self.attention)}")

    def rule(self, kind: str, first: bool, tokens: bool = False) -> Rule:
        """Return the rule for an :class:`~xai_widgets.rules.Operation`.

        Parameters
        ----------
        kind : str
            Its kind.
        first : bool
            Whether it is the first layer.
        tokens : bool, default False
            Whether its input has more dimensions than images and features.
        """
        if kind == "sum":
            return self.addition
        if first and self.first is not None:
            return self.first
        if kind == "dense":
            return self.tokens if tokens and self.tokens is not None else self.dense
        return self.convolution

    def without_bias(self) -> Composite:
        """Return the composite with biases left out of every rule."""

        def without(rule: Rule) -> Rule:
            return rule if isinstance(rule, ZBox | WithoutBias) else WithoutBias(rule)

        return replace(
            self,
            dense=without(self.dense),
            convolution=without(self.convolution),
            first=None if self.first is None else without(self.first),
            addition=without(self.addition),
            tokens=None if self.tokens is None else without(self.tokens),
            normalization=None if self.normalization is None else without(self.normalization),
        )


def _uniform(rule: Rule) -> Composite:
    """Return a composite of one rule. z+ is also the rule of additions, so that all relevances stay at least 0."""
    addition = rule if isinstance(rule, ZPlus) else Epsilon(0.0)
    return Composite(rule, rule, addition=addition, normalization=rule if isinstance(rule, Epsilon) else None)


def _conserving() -> Composite:
    """Return a composite that loses no relevance, up to padding: epsilon, gamma and z^B without biases.

    Additions have the rule of convolutions, as two terms of opposite signs would amplify relevance by LRP-0. With gamma
    of at least 1 the magnitude of relevance grows by no more than a factor of 3 from one layer to the next, and hardly
    at all in practice; with 0.25 the factor is 9, and deep networks have noisy maps.
    """
    gamma = WithoutBias(Gamma(1.0), fallback=WSquare())
    epsilon = WithoutBias(Epsilon(), fallback=WSquare())
    return Composite(epsilon, gamma, first=ZBox(), addition=gamma, tokens=gamma)


#: Composites by name; the last five have one rule for all layers.
#:
#: "conserving" is the only one that conserves relevance in every network, with epsilon for linear layers, gamma = 1 for
#: convolutions and additions, z^B for the first layer, no biases, and w^2 where no input contributes.
#:
#: Composites that start with "epsilon" and name a second rule are those of Montavon et al. 2019 and Kohlbrenner et al.
#: 2020: epsilon for linear layers, gamma, z+ or alpha-beta for convolutions, z^B or flat for the first layer.
#:
#: "attn_lrp" is AttnLRP with epsilon for every layer (Achtibat et al. 2024); "cp_lrp_gamma" is the variant for vision
#: transformers of the same authors' code, with constant attention, gamma = 0.05 for linear layers and 0.25 for
#: convolutions, of the values that it searches. Epsilon amplifies relevance in vision transformers; gamma does not.
COMPOSITES: dict[str, Composite] = {
    "conserving": _conserving(),
    "epsilon_gamma_box": Composite(Epsilon(), Gamma(), first=ZBox()),
    "epsilon_plus": Composite(Epsilon(), ZPlus()),
    "epsilon_plus_flat": Composite(Epsilon(), ZPlus(), first=Flat()),
    "epsilon_alpha2_beta1": Composite(Epsilon(), AlphaBeta()),
    "epsilon_alpha2_beta1_flat": Composite(Epsilon(), AlphaBeta(), first=Flat()),
    "deep_taylor": Composite(ZPlus(), ZPlus(), first=ZBox(), addition=ZPlus()),
    "deep_taylor_unbounded": Composite(ZPlus(), ZPlus(), first=WSquare(), addition=ZPlus()),
    "attn_lrp": Composite(Epsilon(), Epsilon(), attention="softmax", normalization=Epsilon()),
    "cp_lrp_gamma": Composite(Gamma(0.05), Gamma(0.25), normalization=Epsilon()),
    "zero": _uniform(Epsilon(0.0)),
    "epsilon": _uniform(Epsilon()),
    "gamma": _uniform(Gamma()),
    "alpha_beta": _uniform(AlphaBeta()),
    "z_plus": _uniform(ZPlus()),
}


def as_composite(given: str | Rule | Composite) -> Composite:
    """Return the composite for a name, a single rule or a composite.

    Raises
    ------
    ValueError
        For an unknown name, with the nearest one, or z^B for every layer.
    TypeError
        For any other type.
    """
    if isinstance(given, str):
        if given not in COMPOSITES:
            raise ValueError(unknown_name("composite", given, COMPOSITES))
        return COMPOSITES[given]
    if isinstance(given, Composite):
        result = given
    elif isinstance(given, Rule):
        result = _uniform(given)
    else:
        raise TypeError(f"expected composite to be a name, a Rule or a Composite, got {brief(given)}")
    if any(isinstance(rule, ZBox) for rule in (result.dense, result.convolution, result.addition)):
        raise ValueError("expected ZBox, a rule for inputs with bounds, only as first= of a Composite")
    return result


def _redistribute(
    parts: Sequence[Part], f: Operation, bias: Tensor | None, relevance: Tensor, epsilon: float = 0.0
) -> Tensor:
    """Return sum_j a_i w_ij / z_j R_j summed over parts, with z_j the sum over parts plus bias and epsilon."""
    with torch.enable_grad():
        inputs = [a.detach().requires_grad_() for a, _ in parts]
        z: Tensor = sum(f(a, weight) for a, (_, weight) in zip(inputs, parts, strict=True))  # type: ignore[assignment]
        full = z.detach() if bias is None else z.detach() + bias
        if epsilon:
            full = full + torch.copysign(full.new_tensor(epsilon), full)
        # Avoid a division by 0.
        ratio = where_nonzero(full, relevance / full)
        gradients = torch.autograd.grad(z, inputs, ratio)
    total: Tensor = sum(a.detach() * gradient for a, gradient in zip(inputs, gradients, strict=True))  # type: ignore[assignment]
    return total


def _remembered(f: Operation, a: Tensor, weight: Tensor) -> Operation:
    """Return f, which computes its value for a and w without a gradient once."""
    values: list[Tensor] = []

    def function(b: Tensor, w: Tensor) -> Tensor:
        if b is not a or w is not weight or torch.is_grad_enabled():
            return f(b, w)
        if not values:
            values.append(f(b, w))
        return values[0]

    return replace(f, function=function)


def _part(values: Tensor, sign: int) -> Tensor:
    """Return the positive part, or the negative part for a negative sign."""
    return values.clamp(min=0) if sign > 0 else values.clamp(max=0)


def _halves(a: Tensor) -> list[tuple[Tensor, int]]:
    """Return the positive and the negative part of activations with their signs; only the first if none is negative."""
    signs = (1, -1) if any_negative(a) else (1,)
    return [(_part(a, sign), sign) for sign in signs]
