"""Concepts against Captum."""

import pytest
import torch
from captum.concept import TCAV, Classifier, Concept
from torch.utils.data import DataLoader

from xai_widgets import load
from xai_widgets.concepts import tcav
from xai_widgets.data import scenes


class Fixed(Classifier):
    """Returns vectors that were learned elsewhere."""

    def __init__(self, vector):
        self.vector = vector

    def train_and_eval(self, dataloader, **options):
        return {"accs": torch.tensor(1.0)}

    def weights(self):
        return torch.stack([self.vector, -self.vector])

    def classes(self):
        return [0, 1]


@pytest.mark.filterwarnings("ignore::xai_widgets.errors.ExplanationWarning")
@pytest.mark.parametrize(
    ("name", "layer"), [("scenes_vgg", "stage5.relu1"), ("scenes_resnet", "stage4.0.conv2")]
)
def test_scores_and_derivatives_are_those_of_captum(name, layer, tmp_path):
    model = load(name)
    some = [scenes.scene(index, background="texture").image for index in range(70)]
    shown = model.images([scenes.scene(index, label=2, background="texture").image for index in range(9)])
    made = tcav(model, {"first": some[:12]}, some[12:], list(shown), 2, layer=layer, sets=2).result(
        progress=False
    )
    x = model.images(some[:4])
    for index, vector in enumerate(made.vectors.vectors[0]):
        folder = tmp_path / str(index)
        other = TCAV(model, [f"module.{layer}"], classifier=Fixed(vector), save_path=str(folder))
        concepts = [Concept(number, str(number), DataLoader(x, batch_size=4)) for number in (0, 1)]
        found = other.interpret(shown, [concepts], target=2)["0-1"][f"module.{layer}"]
        assert found["sign_count"][0].item() == pytest.approx(made.scores[0, index].item(), abs=1e-6)
        size = made.derivatives.abs().max().item()
        assert found["magnitude"][0].item() == pytest.approx(
            made.derivatives[0, index].item(), abs=1e-4 * size
        )
