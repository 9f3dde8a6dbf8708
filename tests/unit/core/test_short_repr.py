"""The short `repr` of result classes."""

from dataclasses import dataclass

import numpy as np
import torch

from xai_widgets.core.short_repr import ShortRepr


@dataclass(frozen=True, repr=False)
class Result(ShortRepr):
    name: str
    values: torch.Tensor
    table: np.ndarray
    share: float
    names: tuple[str, ...]
    images: list[torch.Tensor]
    _source: object = None


def test_arrays_are_shown_by_shape_and_long_values_are_shortened():
    result = Result("a" * 50, torch.ones(2, 300), np.ones((3, 4)), 0.123456, ("x", "y"), [torch.ones(5)] * 3)
    assert repr(result) == (
        f"Result(name='{'a' * 36}..., values=Tensor(2, 300), table=ndarray(3, 4), share=0.1235, names=('x', 'y'), "
        "images=<3 items>)"
    )


def test_the_values_of_a_short_array_are_shown():
    @dataclass(frozen=True, repr=False)
    class Areas(ShortRepr):
        areas: torch.Tensor
        target: np.ndarray
        none: torch.Tensor

    result = Areas(torch.tensor([0.1, 0.25, torch.nan]), np.array([3]), torch.ones(0))
    assert repr(result) == "Areas(areas=[0.1, 0.25, nan], target=[3], none=Tensor(0,))"
