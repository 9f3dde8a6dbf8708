"""One-sentence errors of traits, and conversion of numbers of numpy and torch."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, NoReturn

from traitlets import Float, HasTraits, Int, TraitError, TraitType

from xai_widgets.core.validation import brief, plain_number


def patch_trait(trait: TraitType[Any, Any]) -> None:
    """Make a trait raise one-sentence errors, and accept numbers of numpy and torch like those of Python.

    The messages of traitlets print the value, which may be a large array, or an object whose ``repr`` fails.
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
    """Replace :meth:`traitlets.TraitType.error`, with the same arguments."""
    name = str(trait.name) if obj is None else f"{type(obj).__name__}.{trait.name}"
    expected = info or trait.info()
    if error is not None:
        # The error of an item holds either a sentence, or the value and its expected type.
        if len(error.args) < 2 or not isinstance(error.args[1], str):
            text = str(error.args[0]).partition("\n")[0]
            raise TraitError(f"{name}: {text if len(text) <= 200 else text[:197] + '...'}")
        value, expected = error.args[0], f"{expected} of {error.args[1]}"
    raise TraitError(f"expected {name} to be {expected}, got {brief(value)}")


def _with_numbers(validate: Callable[..., Any], *, whole: bool) -> Callable[..., Any]:
    """Return a validator that converts a number to a plain one first."""

    def check(obj: HasTraits, value: Any) -> Any:
        number = plain_number(value)
        if isinstance(number, float) and whole and number.is_integer():
            number = int(number)
        try:
            return validate(obj, value if number is None else number)
        except OverflowError:
            raise TraitError(f"expected a finite number, got {brief(value)}") from None

    return check
