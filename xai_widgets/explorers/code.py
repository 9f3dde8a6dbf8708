"""Python code that makes an explorer again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pprint import pformat
from typing import Any

from xai_widgets.core.model import ImageModel
from xai_widgets.methods.registry import METHODS, Method
from xai_widgets.zoo import imagenet, networks

#: Maximum width of a line.
WIDTH = 100


def code_of(kind: type, arguments: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """Return the code of an explorer.

    Parameters
    ----------
    kind : type
        Its class.
    arguments : mapping
        The arguments of its constructor by name; the first ones, model and image, are positional.
    state : mapping
        The entries of its state that differ from those with which it began.
    """
    setup: list[str] = []
    missing: list[str] = []
    parts = [_written(name, value, setup, missing) for name, value in arguments.items()]
    lines = [
        written if number < 2 else f"{name}={written}"
        for number, (name, written) in enumerate(zip(arguments, parts, strict=True))
    ]
    if entries := {name: value for name, value in state.items() if name != "explorer"}:
        lines.append(f"state={_indented(pformat(entries, width=WIDTH, sort_dicts=False))}")
    ours = kind.__module__.startswith("xai_widgets.")
    name = f"xw.{kind.__name__}" if ours else kind.__name__
    comment = [f"# Define before: {', '.join(dict.fromkeys(missing))}."] if missing else []
    call = "\n".join([f"explorer = {name}(", *(f"    {line}," for line in lines), ")", "explorer"])
    return "\n".join(["import xai_widgets as xw", "", *comment, *setup, call, ""])


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


def _written(name: str, value: Any, setup: list[str], missing: list[str]) -> str:
    """Return the code of an argument; lines that must come before are added to ``setup``."""
    if isinstance(value, ImageModel) and not (known := _variable(value)) and _is_bundled(value):
        setup.append(f"{name} = xw.load({value.name!r})")
        return name
    plain = _plain(value)
    if plain is not None:
        return plain
    known = _variable(value)
    if known is None:
        missing.append(name)
    return known or name


def _is_bundled(model: ImageModel) -> bool:
    return model.name in networks.BUILDERS or model.name == imagenet.NAME


def _plain(value: Any) -> str | None:
    """Return the code of a plain value, a path or a registered method, and of lists of these; None for others."""
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    if isinstance(value, Method) and METHODS.get(value.name) is value:
        return repr(value.name)
    if isinstance(value, list | tuple):
        parts = [_plain(one) or _variable(one) for one in value]
        return None if None in parts else f"[{', '.join(map(str, parts))}]"
    if isinstance(value, Mapping):
        pairs = [(_plain(key), _plain(one) or _variable(one)) for key, one in value.items()]
        return (
            None if any(None in pair for pair in pairs) else f"{{{', '.join(f'{a}: {b}' for a, b in pairs)}}}"
        )
    return None


def _variable(value: Any) -> str | None:
    """Return the name of a variable of the notebook that holds an object, or None."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    names = {} if shell is None else dict(shell.user_ns)
    return next((name for name, held in names.items() if held is value and not name.startswith("_")), None)
