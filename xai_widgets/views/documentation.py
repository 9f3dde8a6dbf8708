"""The documentation of a view, made from the help of its traits."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

from traitlets import Bool, Dict, Float, HasTraits, Int, List, TraitType, Unicode

from xai_widgets.views.array_list import Arrays
from xai_widgets.views.arrays import Array
from xai_widgets.views.position import Position
from xai_widgets.views.traits import Choice, Unit
from xai_widgets.views.viewport import Viewport

#: Types of the values of traits; subclasses come before their bases.
TYPES: list[tuple[type[TraitType[Any, Any]], str]] = [
    (Arrays, "tuple of numpy.ndarray"),
    (Position, "list [x, y] of float in [0, 1]"),
    (Viewport, "list [x, y, zoom] of float"),
    (Unit, "float in [0, 1]"),
    (Unicode, "str"),
    (Bool, "bool"),
    (Int, "int"),
    (Float, "float"),
    (Dict, "dict"),
]


def type_of(trait: TraitType[Any, Any]) -> str:
    """Return the type of the value of a trait in words."""
    if isinstance(trait, Array):
        text = f"numpy.ndarray of {trait.dtype}"
    elif isinstance(trait, Choice):
        text = "{" + ", ".join(f'"{choice}"' for choice in trait.choices) + "}"
    elif isinstance(trait, List):
        text = f"list of {type_of(trait._trait)}" if trait._trait else "list"
    else:
        text = next(words for kind, words in TYPES if isinstance(trait, kind))
    return f"{text}, or None" if trait.allow_none else text


def attributes(cls: type[HasTraits], base: type[HasTraits]) -> str:
    """Return the section on the public synced traits of a view, in the order in which they are defined.

    Parameters
    ----------
    cls : type
        View class.
    base : type
        The base class of all views, whose traits come last.
    """
    lines = ["Attributes", "----------"]
    # `class_traits` is not available yet while the class is created.
    defined = [item for each in cls.__mro__ if issubclass(each, base) for item in vars(each).items()]
    traits = {name: value for name, value in reversed(defined) if isinstance(value, TraitType)}
    for name in dict.fromkeys(name for name, _ in defined if name in traits):
        trait = traits[name]
        if name.startswith("_") or not trait.metadata.get("sync"):
            continue
        text = f"{trait.help} Default {_literal(trait.default())}."
        lines += [f"{name} : {type_of(trait)}", textwrap.indent(textwrap.fill(text, 100), "    ")]
    return "\n".join(lines)


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def document(cls: type[HasTraits], base: type[HasTraits]) -> str:
    """Return the docstring of a view with its traits, before the sections on errors and examples."""
    written = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    starts = [written.find(f"\n{section}\n-") for section in ("Raises", "Examples")]
    cut = min((start for start in starts if start >= 0), default=len(written))
    parts = (written[:cut].strip(), attributes(cls, base), written[cut:].strip())
    return "\n\n".join(part for part in parts if part) + "\n"
