"""Signs of activations: which calls of a trace return non-negative values or activations, and which are rectifiers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xai_widgets.inverse.operations import (
    ACTIVATIONS,
    ARITHMETIC,
    ENDS,
    GATES,
    KEEPING,
    NONNEGATIVE,
    POOLS,
    PRODUCTS,
    QUOTIENTS,
    SIGNED,
    depending,
    is_pad,
    operands,
)
from xai_widgets.tracing import Affine, Call, Trace, Value


class Signs:
    """The results of a trace that are non-negative for every image, and those that are activations.

    An activation is 0 for a neuron that is inactive. It is non-negative, or comes from an activation function such as
    SiLU, whose negative values are kept by pools, sums, and other calls for which 0 stays 0.

    Parameters
    ----------
    traced : Trace
        Trace of a network.
    image : bool
        Whether the normalized image is non-negative.
    """

    def __init__(self, traced: Trace, *, image: bool) -> None:
        self._traced = traced
        self._users: dict[int, list[Call]] = {}
        for call in traced.calls:
            for value in call.values():
                self._users.setdefault(value.call, []).append(call)
        self._nonnegative: set[int] = {0} if image else set()
        #: The activation functions of each activation that can be negative.
        self._signed: dict[int, tuple[str, ...]] = {}
        for index in range(1, len(traced.calls)):
            if self._gives_nonnegative(index):
                self._nonnegative.add(index)
            elif traced.calls[index].depends:
                names = self._negative_activations(index)
                if names:
                    self._signed[index] = names

    def ends(self, index: int) -> bool:
        """Return whether a unit can end at the result of a call."""
        call, results = self._traced.calls[index], self._traced.results[index]
        if index == 0:
            return True
        if index in self._signed and self._is_scaled(index):
            # The constant factor belongs to the activation function, as in x relu6(x + 3) / 6.
            return False
        known = call.name in ENDS or call.name in SIGNED or (call.name in QUOTIENTS and index in self._signed)
        known = known or self.rectified(index) is not None or self._bounded(call)
        return (
            known
            and (len(results) == 1 or (call.name in POOLS and self._uses_first(index)))
            and self.is_activation(Value(index))
        )

    def is_activation(self, value: Value) -> bool:
        """Return whether a result is an activation of each image: at least 0, or with 0 as its inactive value."""
        result = self._traced.results[value.call][value.item]
        return (
            (value.call in self._nonnegative or value.call in self._signed)
            and result.is_floating_point()
            and 2 <= result.ndim <= 4
            # If the batch is folded into other dimensions, images cannot be inverted one by one.
            and len(result) == len(self._traced.results[0][0])
        )

    def nonnegative(self, index: int) -> bool:
        """Return whether the result of a call is at least 0 for every image."""
        return index in self._nonnegative

    def signed(self, index: int) -> tuple[str, ...]:
        """Return the names of the activation functions with which the result of a call can be negative."""
        return self._signed.get(index, ())

    def rectified(self, index: int) -> Value | None:
        """Return the input of a call that computes a ReLU, clipped from above or not; None for every other call."""
        call = self._traced.calls[index]
        first = call.argument(0, "input")
        if call.name in ("maximum", "max", "fmax"):
            other = call.argument(1, "other")
            return self._maximum(first, other) or self._maximum(other, first)
        if not isinstance(first, Value):
            return self._masked(call)
        if call.name in ("relu", "relu6"):
            return first
        if call.name == "hardtanh":
            return first if call.argument(1, "min_val", -1.0) == 0 else None
        if call.name in ("clamp", "clip", "clamp_min"):
            return first if self._is_zero(call.argument(1, "min")) else None
        if call.name == "threshold":
            zero = call.argument(1, "threshold") == 0 and call.argument(2, "value") == 0
            return first if zero else None
        return self._masked(call)

    # -- helpers --------------------------------------------------------------------------------------------

    def _uses_first(self, index: int) -> bool:
        """Return whether calls use only the first result of a call, such as the maxima and not their positions."""
        users = self._users.get(index, [])
        return all(value.item == 0 for call in users for value in call.values() if value.call == index)

    def _is_scaled(self, index: int) -> bool:
        """Return whether the only call that uses a result multiplies or divides it by a constant."""
        users = self._users.get(index, [])
        return (
            len(users) == 1
            and users[0].name in QUOTIENTS | PRODUCTS
            and len(depending(self._traced, users[0])) == 1
        )

    def _negative_activations(self, index: int) -> tuple[str, ...]:
        """Return the names of the activation functions of an activation that can be negative; none for other values."""
        call = self._traced.calls[index]
        if call.name in SIGNED:
            return (SIGNED[call.name],)
        if call.name in ("mul", "multiply"):
            gate = self._gate(call)
            if gate is not None:
                return (gate,)
        moved = is_pad(call) or call.name in ("interpolate", "upsample")
        if not moved and call.name not in ACTIVATIONS:
            return ()
        given = [call.argument(0, "input")] if moved else operands(call)
        if call.name in QUOTIENTS:
            given = given[:1]
            if len(depending(self._traced, call)) != 1 or not isinstance(given[0], Value):
                return ()
        names: list[str] = []
        for each in given:
            if isinstance(each, Value) and self._traced.calls[each.call].depends:
                names += self._signed.get(each.call, ())
                if each.call not in self._signed and each.call not in self._nonnegative:
                    return ()
            elif call.name not in PRODUCTS and not self._is_zero(each):
                return ()
        if is_pad(call) and not self._pads_zero(call):
            return ()
        return tuple(dict.fromkeys(names))

    def _gate(self, call: Call) -> str | None:
        """Return the name of an activation function x g(x) with a gate g; None for every other product."""
        operands = [call.argument(0, "input"), call.argument(1, "other")]
        for x, gate in (operands, operands[::-1]):
            if isinstance(x, Value) and isinstance(gate, Value):
                (origin, _), (source, gates) = self._origin(x, ()), self._origin(gate, tuple(GATES))
                # The call next to x, such as the softplus in x tanh(softplus(x)).
                name = next((GATES[each] for each in reversed(gates) if each in GATES), None)
                if origin == source and name is not None:
                    return name
        return None

    def _origin(self, value: Value, also: tuple[str, ...]) -> tuple[Value, list[str]]:
        """Return the value from which another one is computed by arithmetic with constants, and the calls."""
        names: list[str] = []
        while True:
            call = self._traced.calls[value.call]
            before = depending(self._traced, call)
            if len(before) != 1 or call.name not in (*ARITHMETIC, *also):
                return value, names
            names.append(call.name)
            value = before[0]

    @staticmethod
    def _pads_zero(call: Call) -> bool:
        """Return whether padding adds only copies of values, zeros, or values that a max-pool never selects."""
        if str(call.argument(2, "mode", "constant")) != "constant" and call.name == "pad":
            return True
        value = call.argument(3 if call.name == "pad" else 2, "value") or 0
        return value in (0, -torch.inf)

    def _gives_nonnegative(self, index: int) -> bool:
        call, results = self._traced.calls[index], self._traced.results[index]
        if not call.depends:
            # Independent of the image, so the recorded values hold for every image.
            return all(self._is_nonnegative(each) for each in results)
        if call.name in NONNEGATIVE or self._bounded(call) or self.rectified(index) is not None:
            return True
        if call.name == "pow" and call.argument(1, "exponent") in (2, 4):
            return True
        if call.name in ("maximum", "fmax") or (
            call.name == "max" and len(call.args) > 1 and len(results) == 1
        ):
            return any(
                self._at_least_0(call.argument(position, key))
                for position, key in ((0, "input"), (1, "other"))
            )
        if call.name == "where":
            return all(
                self._at_least_0(call.argument(position, key))
                for position, key in ((1, "input"), (2, "other"))
            )
        if is_pad(call):
            return self._at_least_0(call.argument(0, "input")) and self._pads_nonnegative(index, call)
        if call.name in ("interpolate", "upsample"):
            smooth = str(call.argument(3, "mode", "nearest")) in ("bicubic", "lanczos")
            return self._at_least_0(call.argument(0, "input")) and not smooth
        if call.name not in KEEPING:
            return False
        if call.name in ("add", "radd") and call.kwargs.get("alpha", 1) < 0:
            return False
        return all(self._at_least_0(each) for each in operands(call))

    def _at_least_0(self, operand: Any) -> bool:
        if isinstance(operand, Value):
            return operand.call in self._nonnegative
        if isinstance(operand, Tensor):
            return self._is_nonnegative(operand)
        if isinstance(operand, Affine):
            return operand.base >= 0 and operand.step >= 0
        return not isinstance(operand, bool | int | float) or operand >= 0

    @staticmethod
    def _is_nonnegative(tensor: Tensor) -> bool:
        return tensor.is_complex() is False and (tensor.numel() == 0 or bool((tensor >= 0).all()))

    @staticmethod
    def _bounded(call: Call) -> bool:
        """Return whether a call clamps its input from below at a non-negative number."""
        if call.name in ("clamp", "clip", "clamp_min"):
            low = call.argument(1, "min")
        elif call.name == "hardtanh":
            low = call.argument(1, "min_val", -1.0)
        elif call.name == "threshold":
            low = min(call.argument(1, "threshold"), call.argument(2, "value"))
        else:
            return False
        if isinstance(low, Tensor):
            return Signs._is_nonnegative(low)
        return isinstance(low, int | float) and low >= 0

    def _pads_nonnegative(self, index: int, call: Call) -> bool:
        """Return whether padding adds no negative values, except for a max-pool, which never selects them."""
        if call.name == "pad" and str(call.argument(2, "mode", "constant")) != "constant":
            return True
        value = call.argument(3 if call.name == "pad" else 2, "value") or 0
        users = self._users.get(index, [])
        return value >= 0 or (bool(users) and all(user.name in POOLS for user in users))

    def _is_zero(self, operand: Any) -> bool:
        if isinstance(operand, Value):
            call, (result, *_) = self._traced.calls[operand.call], self._traced.results[operand.call]
            # zeros_like of an activation is zero for every image.
            return (not call.depends or call.name in ("zeros_like", "new_zeros")) and not result.any()
        if isinstance(operand, Tensor):
            return not operand.is_complex() and not operand.any()
        return isinstance(operand, int | float) and operand == 0

    def _maximum(self, x: Any, other: Any) -> Value | None:
        """Return x if it depends on the image and `other` is 0, so that their maximum is a ReLU."""
        depends = isinstance(x, Value) and self._traced.calls[x.call].depends
        # A number instead of a tensor is the dimension of a maximum over positions.
        return x if depends and isinstance(other, Value | Tensor) and self._is_zero(other) else None

    def _masked(self, call: Call) -> Value | None:
        """Return x for ``x * (x > 0)``, ``where(x > 0, x, 0)`` and ``x.masked_fill(x < 0, 0)``, else None."""
        if call.name in ("mul", "multiply"):
            operands = [call.argument(0, "input"), call.argument(1, "other")]
            for x, mask in (operands, operands[::-1]):
                if isinstance(x, Value) and self._compares(mask, x, above=True):
                    return x
        if call.name == "where":
            mask, x, other = (
                call.argument(0, "condition"),
                call.argument(1, "input"),
                call.argument(2, "other"),
            )
            if isinstance(x, Value) and self._is_zero(other) and self._compares(mask, x, above=True):
                return x
        if call.name == "masked_fill":
            x, mask, value = call.argument(0, "input"), call.argument(1, "mask"), call.argument(2, "value")
            if isinstance(x, Value) and self._is_zero(value) and self._compares(mask, x, above=False):
                return x
        return None

    def _compares(self, mask: Any, x: Value, *, above: bool) -> bool:
        """Return whether a mask is x > 0 or x >= 0, or with ``above=False`` x < 0 or x <= 0."""
        while isinstance(mask, Value) and self._traced.calls[mask.call].name in ("to", "float", "type_as"):
            mask = self._traced.calls[mask.call].argument(0, "input")
        if not isinstance(mask, Value):
            return False
        call = self._traced.calls[mask.call]
        comparisons = (
            ("gt", "ge", "greater", "greater_equal") if above else ("lt", "le", "less", "less_equal")
        )
        return (
            call.name in comparisons
            and call.argument(0, "input") == x
            and self._is_zero(call.argument(1, "other"))
        )
