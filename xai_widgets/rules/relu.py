"""Backward rules for ReLU that require a network with ReLU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.errors import warn
from xai_widgets.rules.backward import BackwardRules


@contextmanager
def relu_rules(model: ImageModel, title: str, **rules: Callable[[Tensor], Tensor]) -> Iterator[BackwardRules]:
    """Apply :class:`~xai_widgets.rules.BackwardRules` and check that the network has a ReLU.

    Raises ValueError for a network without ReLU, for which the result would silently be the plain gradient, and warns
    if the network has other activations, too.
    """
    with BackwardRules(title, model.module, **rules) as mode:
        yield mode
    if not mode.met["relu"]:
        raise ValueError(
            f"expected a network with ReLU, whose backward pass {title} replaces, got {model.name}; the nearest method "
            "is 'gradient'"
        )
    if mode.others:
        warn(
            f"{title} replaces the backward pass of ReLU only, and {model.name} also has "
            f"{' and '.join(sorted(mode.others))}: the result is in part the plain gradient"
        )
