"""The values to invert on the way from an output to the image, where several activations can cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.inverse.chain import Chain, exact_unit_inverse
from xai_widgets.inverse.inverted import UnitInverse
from xai_widgets.inverse.unit import Joined, Unit


@dataclass(frozen=True, repr=False)
class Problem(ShortRepr):
    """The problem at a unit: find its inputs x with phi(x) = y.

    Attributes
    ----------
    unit : Unit
        The unit, or the part of it that computes what is inverted.
    x_bar, y_bar : Tensor, (N, ...)
        Its input and output in the forward pass.
    y : Tensor, (B, ...)
        Value to invert.
    """

    unit: Unit
    x_bar: Tensor
    y_bar: Tensor
    y: Tensor


class Descent:
    """The values to invert at the output of a unit; each unit replaces those that it computes by those of its inputs.

    With the activations s before a unit, of which it computes some activations t, the target of those of s that the
    unit only passes stays the same. An activation that it uses and passes has to explain both: its own target and t.
    There is no target for an activation that the value at the start does not depend on.

    Parameters
    ----------
    chain : Chain
        The network and its activations.
    index : int
        The unit at whose output the value is.
    value : Tensor, (B, ...)
        The value to invert; of several activations it is the one computed last.
    """

    def __init__(self, chain: Chain, index: int, value: Tensor) -> None:
        self._chain, self.index = chain, index
        self._targets: list[Tensor | None] = [*[None] * (len(chain.states[index + 1]) - 1), value]
        #: The inputs that are solved for, and how they are joined.
        self._inputs: Sequence[int] = (0,)
        self._joined = Joined()

    def problem(self) -> Problem | None:
        """Return what is to be solved at the unit; None if it only passes activations."""
        unit, states = self._chain.units[self.index], self._chain.states[self.index : self.index + 2]
        known = [number for number, target in enumerate(self._targets) if target is not None]
        outputs: Sequence[int] = (0,)
        self._inputs = (0,)
        if unit.part is not None:
            part = unit.part(known)
            if part is None:
                self._inputs = ()
                return None
            unit, self._inputs, outputs = part
        self._joined = unit.inputs
        targets = [target for number in outputs if (target := self._targets[number]) is not None]
        return Problem(
            unit,
            unit.inputs.join([states[0][number] for number in self._inputs]),
            unit.outputs.join([states[1][number] for number in outputs]),
            unit.outputs.join(targets),
        )

    def step(self, solved: UnitInverse | None, lead: tuple[int, int]) -> UnitInverse:
        """Go on to the input of the unit, and return the inverse there, (N, L, ...).

        Parameters
        ----------
        solved : UnitInverse or None
            The inverse of the problem; None if there was none.
        lead : (int, int)
            N and L, with B = N L.
        """
        unit, state = self._chain.units[self.index], self._chain.states[self.index]
        targets: list[Tensor | None] = [None] * len(state)
        for number, output in unit.passed:
            targets[number] = self._targets[output]
        if solved is not None:
            for number, each in zip(self._inputs, self._joined.split(solved.x.flatten(0, 1)), strict=True):
                targets[number] = each
        self._targets, self.index = targets, self.index - 1
        if solved is not None and len(state) == 1:
            return solved
        newest = targets[-1]
        if newest is None:
            # The value at the start does not depend on it.
            newest = state[-1].new_zeros(lead[0] * lead[1], *state[-1].shape[1:])
        x = newest.unflatten(0, lead)
        if solved is None:
            return exact_unit_inverse(unit, x, state[-1], None)
        return replace(solved, unit=unit.name, kind=unit.kind, x=x, x_bar=state[-1])
