"""Numbers, tensors and choices of every kind: equal ones are taken alike, all else is refused in one sentence."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from xai_widgets.core import validation
from xai_widgets.core.validation import (
    brief,
    check_finite,
    choice,
    integer,
    integers,
    number,
    numbers,
    tensor,
)

THREE = {
    "int": 3,
    "float": 3.0,
    "fraction": Fraction(3),
    "np.int8": np.int8(3),
    "np.float16": np.float16(3),
    "np.uint64": np.uint64(3),
    "array": np.array(3),
    "array of one": np.array([3.0]),
    "tensor": torch.tensor(3),
    "half tensor": torch.tensor(3, dtype=torch.half),
    "tensor of one": torch.tensor([[3.0]]),
    "parameter": torch.nn.Parameter(torch.tensor(3.0)),
}


class Silent:
    """An object that cannot be printed."""

    def __repr__(self):
        raise RuntimeError("no repr")

    __str__ = __repr__


NO_NUMBERS = {
    "text": "3",
    "none": None,
    "true": True,
    "np.True_": np.True_,
    "complex": 3j,
    "list": [3],
    "two": torch.tensor([3.0, 3.0]),
    "empty": torch.zeros(0),
    "array of two": np.array([3, 3]),
    "object array": np.array(None),
    "datetime": np.datetime64("2020-01-01"),
    "meta": torch.zeros((), device="meta"),
    "sparse": torch.zeros(1).to_sparse(),
    "nested": torch.nested.nested_tensor([torch.zeros(1)]),
    "complex tensor": torch.tensor(1j),
    "bool tensor": torch.tensor(True),
    "silent": Silent(),
    "class": int,
}


def sentence(error):
    text = str(error.value)
    assert "\n" not in text
    assert "tensor(" not in text
    assert text.startswith("expected ")
    assert ", got " in text
    assert len(text) < 400
    return text


@pytest.mark.parametrize("kind", THREE)
def test_a_number_of_any_library_is_the_same_number(kind):
    assert number(THREE[kind], "x") == 3.0
    assert type(number(THREE[kind], "x")) is float
    assert integer(THREE[kind], "x") == 3
    assert type(integer(THREE[kind], "x")) is int


@pytest.mark.parametrize("kind", NO_NUMBERS)
@pytest.mark.parametrize("check", [number, integer])
def test_what_is_no_number_is_refused_in_one_sentence(kind, check):
    with pytest.raises(TypeError) as error:
        check(NO_NUMBERS[kind], "steps")
    assert "expected steps to be" in sentence(error)


@pytest.mark.parametrize("value", [math.nan, math.inf, np.float32("nan"), torch.tensor(-math.inf), 10**400])
def test_numbers_are_finite(value):
    with pytest.raises(ValueError, match="expected sigma to be a number, got") as error:
        number(value, "sigma")
    sentence(error)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.5, torch.tensor(2.5)])
def test_integers_are_whole(value):
    with pytest.raises(ValueError, match="expected steps to be an integer, got") as error:
        integer(value, "steps")
    sentence(error)


@pytest.mark.parametrize(
    ("limits", "valid", "invalid", "caught"),
    [
        ({"low": 0}, 0, -1e-9, "of at least 0"),
        ({"high": 1}, 1, 1.5, "at most 1"),
        ({"low": 0, "high": 1}, 1, 2, "from 0 to 1"),
        ({"above": 0}, 1e-9, 0, "above 0"),
        ({"below": 1}, 0.5, 1, "below 1"),
        ({"above": 0, "below": 1}, 0.5, 0, "above 0 and below 1"),
        ({"above": 0, "high": 1}, 1, 0, "above 0 and at most 1"),
    ],
)
def test_limits_are_named(limits, valid, invalid, caught):
    assert number(valid, "share", **limits) == valid
    with pytest.raises(ValueError, match=f"expected share to be a number.* {caught}, got {invalid}") as error:
        number(invalid, "share", **limits)
    sentence(error)


def test_the_hint_ends_the_message():
    with pytest.raises(
        ValueError, match="expected steps to be an integer from 1 to 4, got 5; the number of pixels"
    ):
        integer(5, "steps", low=1, high=4, hint="the number of pixels")


@pytest.mark.parametrize(
    "given", [[1, 2.0], (np.float32(1), torch.tensor(2)), np.array([1, 2]), torch.tensor([1.0, 2])]
)
def test_sequences_of_every_kind_hold_the_same_numbers(given):
    assert numbers(given, "areas") == [1.0, 2.0]
    assert integers(given, "channels", low=1) == [1, 2]


@pytest.mark.parametrize(
    "given", ["12", b"12", 3, None, {1: 2}, {1, 2}, Silent(), torch.zeros(2, 2), torch.tensor(1)]
)
def test_what_is_no_sequence_is_refused(given):
    with pytest.raises(TypeError, match="expected areas to be a sequence of numbers, got") as error:
        numbers(given, "areas")
    sentence(error)


def test_sequences_have_their_length():
    with pytest.raises(ValueError, match=r"expected softness to be 2 numbers, got \(1,\)"):
        numbers((1,), "softness", length=2)
    with pytest.raises(ValueError, match=r"expected areas to be a sequence of numbers, got \[\]"):
        numbers([], "areas")
    with pytest.raises(TypeError, match="expected each of areas to be a number above 0, got 'x'"):
        numbers([1, "x"], "areas", above=0)


@pytest.mark.parametrize(
    "given",
    [
        [[1, 2], [3, 4]],
        np.array([[1, 2], [3, 4]], dtype=">u2"),
        np.array([[3, 4], [1, 2]])[::-1],
        torch.tensor([[1, 2], [3, 4]], requires_grad=False),
        [torch.tensor([1, 2]), torch.tensor([3, 4])],
        (np.array([1, 2]), [3, 4]),
    ],
)
def test_arrays_of_every_kind_are_one_tensor(given):
    made = tensor(given, "map", ("H", "W"))
    assert made.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "given",
    [
        None,
        "map",
        Silent(),
        [Silent(), Silent()],
        [[1, 2], [3]],
        [torch.zeros(2), torch.zeros(3)],
        np.array([["a"]]),
        torch.zeros(2, 2, device="meta"),
        torch.zeros(2, 2).to_sparse(),
        torch.nested.nested_tensor([torch.zeros(1, 2)]),
        torch.zeros(2, 2, dtype=torch.complex64),
    ],
)
def test_what_holds_no_real_numbers_is_refused(given):
    with pytest.raises(TypeError, match=r"expected map as numbers of shape \(H, 2\), got") as error:
        tensor(given, "map", ("H", 2))
    sentence(error)


@pytest.mark.parametrize("given", [torch.zeros(0, 2), torch.zeros(2, 3), np.zeros(2), 1.0])
def test_shapes_are_checked(given):
    with pytest.raises(ValueError, match=r"expected map of shape \(H, 2\), got \(") as error:
        tensor(given, "map", ("H", 2))
    sentence(error)


def test_tensors_are_finite_where_that_is_asked_for():
    broken = torch.tensor([1.0, math.nan])
    assert tensor(broken, "map", ("N",)) is not None
    with pytest.raises(ValueError, match="expected finite map, got NaN or infinite values"):
        tensor(broken, "map", ("N",), finite=True)


def test_choices_name_the_nearest_one():
    choice("score", "output", ("score", "probability"))
    with pytest.raises(ValueError, match="unknown output 'scores'; did you mean 'score'"):
        choice("scores", "output", ("score", "probability"))
    for given in (None, 3, torch.zeros(2), ["score"], Silent()):
        with pytest.raises(
            TypeError, match="expected output to be one of 'score', 'probability', got"
        ) as error:
            choice(given, "output", ("score", "probability"))
        sentence(error)


@pytest.mark.parametrize(
    ("value", "caught"),
    [
        (10**2000, "a very large integer"),
        ("x" * 1000, "x" * 50),
        ("a\nb", r"'a\nb'"),
        ([1, 2], "[1, 2]"),
        ([1] * 100, "a list of 100"),
        ([Silent()], "a list of 1"),
        ({1: 2}, "a dict of 1"),
        (torch.zeros(2, 3), "a tensor of shape (2, 3) and torch.float32"),
        (torch.zeros(2, device="meta"), "a meta tensor of shape (2,)"),
        (torch.eye(2).to_sparse_csr(), "a sparse tensor of shape (2, 2)"),
        (torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)]), "a nested tensor"),
        (np.zeros(3), "an array of shape (3,) and float64"),
        (Silent(), "Silent"),
    ],
)
def test_descriptions_are_short_and_never_fail(value, caught):
    made = brief(value)
    assert caught in made
    assert len(made) <= 120
    assert "\n" not in made


@pytest.mark.parametrize(("bad", "kind"), [(math.nan, "NaN"), (math.inf, "infinite")])
def test_scores_that_are_not_finite_are_refused(bad, kind):
    with pytest.raises(ValueError, match=f"got {kind} scores from the network 'resnet'") as error:
        check_finite(torch.tensor([[1.0, bad]]), "resnet")
    sentence(error)


def test_a_class_may_be_ruled_out_by_its_score_and_nothing_else_by_minus_infinity():
    scores = torch.tensor([[1.0, -math.inf]])
    assert check_finite(scores, "resnet") is scores
    with pytest.raises(ValueError, match="expected finite attributions, got infinite attributions"):
        check_finite(scores, "resnet", "attributions")


def test_large_finite_scores_pass():
    scores = torch.full((4, 4), 3e38)
    assert check_finite(scores, "resnet") is scores


def test_fields_of_frozen_settings_become_plain_numbers():
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Settings:
        steps: int = 3
        rate: float = 0.1

        def __post_init__(self):
            validation.check_fields(self, integer, "steps", low=1)
            validation.check_fields(self, number, "rate", above=0)

    made = Settings(steps=torch.tensor(5), rate=np.float32(0.5))
    assert (made.steps, made.rate) == (5, 0.5)
    assert type(made.steps) is int
    with pytest.raises(ValueError, match="expected steps to be an integer of at least 1, got 0"):
        Settings(steps=0)
