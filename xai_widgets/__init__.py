"""Jupyter widgets to explain image networks interactively.

A public name is imported when it is first used, so that ``import xai_widgets`` stays cheap. The names are listed in
``__init__.pyi`` only, where type checkers and editors read them too.
"""

from __future__ import annotations

import importlib
from typing import Any

from xai_widgets._version import __version__


def _read_exports() -> dict[str, str]:
    """Return the module of each public name, from lines ``from MODULE import NAME as NAME`` of the stub."""
    with open(f"{__path__[0]}/__init__.pyi", encoding="utf-8") as stub:
        words = [line.split() for line in stub if line.startswith("from ")]
    return {name: module for _, module, _, name, *_ in words if name != "__version__"}


#: Public name -> module that holds it; "xai_widgets" for a subpackage.
_EXPORTS = _read_exports()

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'xai_widgets' has no attribute {name!r}")
    home = _EXPORTS[name]
    value = (
        importlib.import_module(f"xai_widgets.{name}")
        if home == __name__
        else getattr(importlib.import_module(home), name)
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
