"""Inputs that the inverses refuse, and their messages."""

import math

import pytest
import torch
from networks import LABELS, Functional, Residual, Stream, images, one_sentence, settle, wrap

from xai_widgets.inverse import layer_wise, operation_wise


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"lam": -0.1}, ValueError, "expected lam as finite numbers of at least 0, got -0.1"),
        ({"lam": [0.4, 0.2]}, ValueError, r"ascending numbers, got \[0.4, 0.2\]; use \[0.2, 0.4\]"),
        ({"lam": [0.2, 0.2]}, ValueError, r"ascending numbers, got \[0.2, 0.2\]; use \[0.2\]"),
        ({"lam": []}, ValueError, "expected lam as"),
        ({"lam": math.inf}, ValueError, "expected lam as finite numbers of at least 0, got inf"),
        ({"lam": "0.4"}, ValueError, "got '0.4'"),
        ({"lam": None}, ValueError, "of at least 0, got None"),
        ({"regularizer": "l3"}, ValueError, "unknown regularizer 'l3'"),
        ({"until": "con1"}, ValueError, "unknown unit"),
        ({"target": "tenhc"}, ValueError, "tench"),
        ({"settings": 3}, TypeError, r"expected settings as SolverSettings\(...\), got int"),
        ({"batch_size": 0}, ValueError, "batch_size to be an integer of at least 1, got 0"),
        ({"output": torch.ones(1, 3)}, ValueError, r"expected output of shape \(1, 4\), got \(1, 3\)"),
        ({"target": 1, "output": torch.ones(1, 4)}, ValueError, "got target and output; omit the others"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options, kind, message):
    assert LABELS[0] == "tench"
    with pytest.raises(kind, match=message) as error:
        layer_wise(wrap(settle(Functional())), images(1), **options)
    one_sentence(error)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"l1": -1}, ValueError, "expected l1 to be a number of at least 0, got -1"),
        ({"l2": math.nan}, ValueError, "expected l2 to be a number of at least 0, got nan"),
        ({"start": torch.ones(3)}, TypeError, "expected start as a pair .*, got Tensor"),
        ({"start": ("nowhere", torch.ones(1))}, ValueError, "unknown unit 'nowhere'"),
        (
            {"start": ("flatten", torch.ones(1, 3))},
            ValueError,
            r"expected start at 'flatten' of shape \(1, 128\)",
        ),
        ({"start": ("flatten", torch.ones(1, 128)), "target": 1}, ValueError, "got both; omit one of them"),
        ({"settings": 3}, TypeError, r"expected settings as SolverSettings\(...\), got int"),
        ({"batch_size": 0}, ValueError, "batch_size to be an integer of at least 1, got 0"),
        ({"until": "con1"}, ValueError, "unknown unit"),
    ],
)
def test_what_an_operation_wise_inverse_cannot_do_is_refused(options, kind, message):
    with pytest.raises(kind, match=message) as error:
        operation_wise(wrap(settle(Functional())), images(1), **options)
    one_sentence(error)


def test_networks_that_are_not_chains_are_refused():
    for method in (layer_wise, operation_wise):
        with pytest.raises(ValueError, match="a single unit of 4 weighted operations") as error:
            method(wrap(settle(Stream())), images(1))
        one_sentence(error)
        with pytest.raises(TypeError, match=r"expected an ImageModel.*, got int"):
            method(3, images(1))
    with pytest.raises(ValueError, match="got a plain module") as error:
        layer_wise(settle(Residual()), torch.rand(1, 1, 8, 8), 3)
    one_sentence(error)
