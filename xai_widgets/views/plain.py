"""Errors of traits in one plain sentence, and numbers of any library for them."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, NoReturn

from traitlets import Float, HasTraits, Int, TraitError, TraitType

from xai_widgets.core.validation import brief, plain_number


def make_plain(trait: TraitType[Any, Any]) -> None:
    """Let a trait of a view refuse in one sentence, and take a number of numpy or torch like one of Python.

    The message of traitlets prints the value, which may be a whole array, or has a ``repr`` that fails.
    """
    trait.error = MethodType(_error, trait)  # type: ignore[method-assign]
    if isinstance(trait, Int | Float):
        trait.validate = _with_numbers(trait.validate, whole=isinstance(trait, Int))  # type: ignore[method-assign]


def _error(
    trait: TraitType[Any, Any],
    obj: HasTraits | None,
    value: Any,
    error: Exception | None = None,
    info: str | None = None,
) -> NoReturn:
    """Stand in for :meth:`traitlets.TraitType.error`; see there."""
    name = str(trait.name) if obj is None else f"{type(obj).__name__}.{trait.name}"
    wanted = info or trait.info()
    if error is not None:
        # Of an item: either a sentence, or its value and what was expected.
        if len(error.args) < 2 or not isinstance(error.args[1], str):
            text = str(error.args[0]).partition("\n")[0]
            raise TraitError(f"{name}: {text if len(text) <= 200 else text[:197] + '...'}")
        value, wanted = error.args[0], f"{wanted} of {error.args[1]}"
    raise TraitError(f"expected {name} to be {wanted}, got {brief(value)}")


def _with_numbers(validate: Callable[..., Any], *, whole: bool) -> Callable[..., Any]:
    """The check of a trait, given plain numbers."""

    def check(obj: HasTraits, value: Any) -> Any:
        number = plain_number(value)
        if isinstance(number, float) and whole and number.is_integer():
            number = int(number)
        try:
            return validate(obj, value if number is None else number)
        except OverflowError:
            raise TraitError(f"expected a finite number, got {brief(value)}") from None

    return check
