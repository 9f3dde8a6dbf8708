import re

import numpy as np
import pytest
import torch
import torchvision
from closeness import assert_close
from networks import (
    CLASSES,
    SIZE,
    Concat,
    Functional,
    Returning,
    Segmentation,
    one_sentence,
    settle,
    wrap,
)
from torch import nn

from xai_widgets.core.model import ImageModel


@pytest.fixture
def model():
    return wrap(settle(Functional()))


# -- refusals ---------------------------------------------------------------------------------------------


class Raising(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Linear(3, 4), "got Linear; size="),
        (nn.Conv2d(1, 4, 3), r"got a tensor of shape \(1, 4, 6, 6\)"),
        (nn.Embedding(3, 4), "got Embedding; size="),
        (nn.Conv2d(3, 4, 30), "got Conv2d; size="),
        (Raising(AssertionError("wrong height")), "wrong height"),
        (Raising(KeyError("input_ids")), "input_ids"),
        (Raising(AttributeError("no shape\nsecond line")), "no shape"),
        (Raising(AssertionError()), "AssertionError"),
        (Segmentation(), "class scores .* got a dict with 'out', 'aux'"),
        (nn.Conv2d(3, 4, 3), r"got a tensor of shape \(1, 4, 6, 6\)"),
        (
            Returning(lambda scores, x: {"a": scores, "b": scores}),
            "got a dict with 'a', 'b'; output=",
        ),
        (Returning(lambda scores, x: None), "got NoneType"),
        (Returning(lambda scores, x: scores.argmax(1)), "int64"),
        (Returning(lambda scores, x: scores.long()), "int64"),
        (Returning(lambda scores, x: scores[0]), r"shape \(4,\)"),
    ],
)
def test_a_network_that_is_no_classifier_of_images_is_refused(network, message):
    with pytest.raises(ValueError, match=message) as error:
        ImageModel(network, size=SIZE)
    assert "expected" in one_sentence(error)


def test_an_output_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="'logits', 'input'; output=") as error:
        wrap(Returning(lambda scores, x: {"logits": scores, "input": x}), output="scores")
    one_sentence(error)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (torchvision.models.resnet18, "resnet18"),
        (nn.Linear, "Linear"),
        ("resnet18", "str"),
        (None, "NoneType"),
        (wrap(settle(Functional())), "ImageModel"),
    ],
)
def test_what_is_no_network_is_refused(module, message):
    with pytest.raises(TypeError, match=f"expected module to be a torch.nn.Module .* got {message}") as error:
        ImageModel(module)
    one_sentence(error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ["a", "b"]}, "expected one label per class, 4, got 2"),
        ({"mean": [0.5, 0.5]}, "got 2 and 3"),
        ({"mean": [0.5] * 3, "std": [0.5]}, "got 3 and 1"),
        ({"mean": 0.5, "std": None}, "mean.*got 0.5"),
        ({"std": [0.2, 0.0, 0.2]}, "std above 0"),
        ({"std": [0.2, -1.0, 0.2]}, "std above 0"),
        ({"mean": [0.2, float("nan"), 0.2]}, "mean.*got nan"),
        ({"size": 0}, "size.*got 0"),
        ({"size": -3}, "size.*got -3"),
        ({"size": 8.5}, "size.*got 8.5"),
        ({"size": (8, 8, 8)}, r"size.*got \(8, 8, 8\)"),
        ({"size": "8"}, "size.*got '8'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, message):
    with pytest.raises((ValueError, TypeError), match=message) as error:
        wrap(settle(Functional()), **options)
    assert re.search("expected|wanted", one_sentence(error))


@pytest.mark.parametrize("size", [8, (8, 8), [8, 8], np.int64(8), np.array([8, 8])])
def test_sizes_of_every_kind(size):
    assert wrap(settle(Functional()), size=size).size == (8, 8)


def test_tensors_of_a_size_the_network_does_not_take_are_refused(model):
    for call in (model.scores, model.predict, model.prepare, lambda x: model.activations(x, "conv1")):
        with pytest.raises(ValueError, match="that Functional accepts, such as 8 x 8, got 5 x 6") as error:
            call(torch.rand(1, 3, 5, 6))
        one_sentence(error)


def test_tensors_of_another_size_that_the_network_takes_are_taken():
    model = wrap(settle(Concat()))
    x = torch.rand(2, 3, 11, 6)
    assert model.scores(x).shape == (2, CLASSES)
    assert model.activations(x, "stem")["stem"].shape == (2, 6, 11, 6)
    kept = model.activations(x, "stem")["stem"]
    assert_close(model.forward_from("stem", kept), model.scores(x))
