"""A model and all tensors of the passes of a method are freed with the model."""

import gc

import pytest
import torch
from attending import attends
from networks import images, quick, settle, wrap
from snapshot import Broken, BrokenTransformer

from xai_widgets.methods import METHODS


def tensors():
    """Return the number of tensors that exist."""
    gc.collect()
    return sum(type(each) in (torch.Tensor, torch.nn.Parameter) for each in gc.get_objects())


def run(method):
    model = wrap(settle(BrokenTransformer() if attends(method) else Broken()))
    model.layers()
    method(model, images(1), None, **quick(method, batch_size=2))


@pytest.mark.parametrize("name", METHODS)
def test_nothing_of_a_method_is_left(name):
    # The first call fills caches of torch.
    run(METHODS[name])
    before = tensors()
    run(METHODS[name])
    assert tensors() <= before
