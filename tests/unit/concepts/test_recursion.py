"""Sub-concepts in the layer below."""

import pytest
import torch
from closeness import assert_close
from torch import nn

import xai_widgets as xw
from xai_widgets.concepts import class_concepts, sub_concepts
from xai_widgets.concepts.concept_scores import ConceptScores
from xai_widgets.concepts.recursion import layer_below
from xai_widgets.core.model import ImageModel


class Two(nn.Module):
    """Its upper layer is yellow = red + green; blue is in no upper channel but the second."""

    def __init__(self):
        super().__init__()
        self.colors = nn.ReLU()
        self.mix = nn.Conv2d(3, 2, 1, bias=False)
        self.upper = nn.ReLU()
        self.pool = nn.AvgPool2d(2)
        self.last = nn.ReLU()
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.mix.weight.copy_(torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])[..., None, None])
            self.head.weight.copy_(torch.tensor([[2.0, 1.0], [-9.0, -9.0]]))

    def forward(self, x):
        x = self.upper(self.mix(self.colors(x)))
        return self.head(self.last(self.pool(x)).mean((2, 3)))


def striped(count=20):
    light = 0.5 + 0.5 * torch.rand(count, 12, 1, 1, generator=torch.Generator().manual_seed(1))
    columns = torch.eye(3)[torch.arange(12) // 4].T[None, :, None]
    return (columns * light.permute(0, 2, 3, 1)).expand(-1, -1, 12, -1).contiguous()


@pytest.fixture(scope="module")
def model():
    return ImageModel(Two().eval(), size=12, mean=(0, 0, 0), std=(1, 1, 1))


@pytest.fixture(scope="module")
def found(model):
    return class_concepts(model, striped(), 0, layer="last", count=2, side=4).result(progress=False)


def test_a_concept_is_made_of_those_of_the_layer_below(model, found):
    yellow = int(found.directions[:, 0].argmax())
    parts = sub_concepts(model, found, yellow, count=2, layer="colors").result(progress=False)
    assert parts.layer == "colors"
    assert parts.parent == yellow
    # Both parts are red or green; blue takes no part in the concept.
    assert parts.components.directions[:, 2].max() < 0.1
    assert parts.importance.sum() == pytest.approx(1, abs=0.1)
    assert (parts.importance.diff() <= 0).all()
    assert parts.top.patches([0]).shape[1] == min(6, len(parts.crops))


def test_the_layer_below_is_the_last_finer_one():
    model = ImageModel(Two().eval(), size=12, mean=(0, 0, 0), std=(1, 1, 1))
    assert layer_below(model, "last") == "upper"
    assert layer_below(xw.load("scenes_resnet"), "stage4") == "stage3"
    with pytest.raises(ValueError, match="with a spatial layer before it"):
        layer_below(model, "colors")


@pytest.mark.parametrize("layer", ["last", "head"])
def test_a_layer_that_is_not_below_is_refused(model, found, layer):
    with pytest.raises(ValueError, match="expected a layer"):
        sub_concepts(model, found, 0, layer=layer)


def test_the_score_with_all_concepts_is_that_of_the_image(model, found):
    part = found.scored(model, 0)
    assert isinstance(part, ConceptScores)
    assert_close(part.scores(torch.ones(1, len(found))), found.scores[:1])
