"""Backward rules for ReLU, refused for networks without ReLU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.errors import warn
from xai_widgets.rules.backward import BackwardRules


@contextmanager
def relu_rules(model: ImageModel, title: str, **rules: Callable[[Tensor], Tensor]) -> Iterator[BackwardRules]:
    """:class:`~xai_widgets.rules.BackwardRules` that have to meet a ReLU.

    A network in which they met none is refused: its result would be the plain gradient, unsaid. One that has other
    activations too is warned of.
    """
    with BackwardRules(title, model.module, **rules) as mode:
        yield mode
    if not mode.met["relu"]:
        raise ValueError(
            f"{title} changes the backward pass of ReLU and met none in {model.name}, wanted a network with ReLU; "
            "the nearest method is 'gradient'"
        )
    if mode.others:
        warn(
            f"{title} changes the backward pass of ReLU, and {model.name} has {' and '.join(sorted(mode.others))} too, "
            "which keep their own: in part this is the plain gradient"
        )
