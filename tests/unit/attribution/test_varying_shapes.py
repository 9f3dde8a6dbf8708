"""Methods that need the same pass for all images refuse a network that handles them one by one, as detectors do."""

import pytest
import torch
from networks import CLASSES, images, settle, wrap
from torch import nn

from xai_widgets.methods import METHODS


class OneByOne(nn.Module):
    """Passes each image on its own, and one more copy of its features in each pass."""

    passes = 0

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.hidden = nn.Linear(6, 6)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x):
        scores, OneByOne.passes = [], OneByOne.passes + 1
        for image in x.unbind():
            features = self.conv(image[None]).relu()
            rows = features.mean((2, 3)).expand(OneByOne.passes, -1)
            scores.append(self.fc(self.hidden(rows).relu()).amax(0))
        return torch.stack(scores)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lrp", {"composite": "epsilon_gamma_box"}, "passes all images to its first layer in one call"),
        ("feedback_layers", {}, "activations of the same shape in every pass"),
    ],
)
def test_a_pass_that_depends_on_the_images_is_refused_in_one_sentence(name, options, message):
    model = wrap(settle(OneByOne()))
    with pytest.raises(ValueError, match=message):
        METHODS[name](model, images(1), 0, **options)
