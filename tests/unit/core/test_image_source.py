"""Batches of images, of the size that is computed fastest in bounded memory."""

import pytest
import torch
from networks import Functional, settle, wrap

from xai_widgets.concepts import class_concepts
from xai_widgets.core import batching
from xai_widgets.core.image_source import ImageSource
from xai_widgets.features import top_activations
from xai_widgets.similarity import activation_grids, similarity_index
from xai_widgets.studies.class_channels import ClassChannelKey, ClassChannelStudy

IMAGES, FEW = 7, 3


@pytest.fixture
def model():
    return wrap(settle(Functional()))


@pytest.fixture
def x():
    return torch.rand(IMAGES, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def largest(monkeypatch, model):
    """Bound the batches to ``FEW`` images; return the numbers of images of all later passes."""
    model.default_layer()
    monkeypatch.setattr(batching, "CPU_IMAGES", FEW)
    monkeypatch.setattr(batching, "OTHER_IMAGES", FEW)
    numbers = []
    model.module.register_forward_pre_hook(lambda _module, given: numbers.append(len(given[0])))
    return numbers


def test_the_default_is_the_one_rule_and_a_given_number_is_kept(model, x, largest):
    source = ImageSource(model, x)
    assert source.batch_size(None) == FEW
    assert source.batch_size(5) == 5
    with pytest.raises(ValueError, match="batch_size"):
        source.batch_size(0)


@pytest.mark.parametrize(
    "compute",
    [
        lambda model, x: top_activations(model, x, layer="conv2", side=2),
        lambda model, x: activation_grids(model, x, "conv2"),
        lambda model, x: similarity_index(model, x, "conv2", side=2),
        lambda model, x: class_concepts(model, x, layer="conv2", count=2, kind="pca", scored=1, design=2),
        lambda model, x: ClassChannelStudy(model, x, patches=1).run(ClassChannelKey("preserve", "conv2")),
    ],
    ids=["top activations", "grids", "index", "concepts of a class", "channels of classes"],
)
@pytest.mark.filterwarnings("ignore")
def test_no_pass_has_more_images_than_the_rule_gives(model, x, largest, compute):
    run = compute(model, x)
    largest.clear()
    next(iter(run))
    assert 0 < max(largest) <= FEW
