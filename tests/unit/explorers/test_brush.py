"""The brush without a browser: what the network is asked, and what is shown of its answer."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from xai_widgets.attribution import gradient
from xai_widgets.explorers.brush import FILLS, PerturbationBrush, inpaint
from xai_widgets.model import ImageModel
from xai_widgets.perturbation import ExtremalSettings, extremal
from xai_widgets.perturbation.perturb import gaussian_blur

PATIENCE = 60


@pytest.fixture
def model():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 6)
    return ImageModel(nn.Sequential(*layers), size=16, labels=list("abcdef"))


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


@pytest.fixture
def brush(model, image):
    made = PerturbationBrush(model, image, settings=ExtremalSettings(steps=10, scan=3))
    yield made
    made.close()


def settle(brush):
    assert brush.wait(PATIENCE)
    assert brush._scorer.wait(PATIENCE)


def painting(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)


def shown(brush):
    """The probability that is shown of each of the best classes."""
    return dict(
        zip(brush.scores.indices[0, 0, 0].tolist(), brush.scores.values[0, 0, 0].tolist(), strict=True)
    )


@pytest.mark.parametrize("name", FILLS)
def test_the_network_sees_the_image_with_the_fill_where_it_is_painted(brush, name):
    brush.brush.fill = FILLS.index(name)
    brush.brush.mask = mask = painting()
    settle(brush)
    x = brush.image
    m = torch.from_numpy(mask / np.float32(255))
    fills = {
        "grey": torch.full_like(x, 0.5),
        "noise": brush._fill("noise", None),
        "inpaint": inpaint(x, m),
        "blur": gaussian_blur(x, 20 / 224 * 16),
    }
    probs = brush.model.probs(x + m * (fills[name] - x))[0]
    made = shown(brush)
    assert list(made) == probs.topk(5).indices.tolist()
    np.testing.assert_allclose(list(made.values()), probs.topk(5).values, rtol=1e-5)
    np.testing.assert_allclose(brush.scores.target_values, probs[brush.target].item(), rtol=1e-5)
    # What the browser draws is what the network saw, but for the rounding to bytes.
    drawn = brush.brush.fills[FILLS.index(name)] / 255
    np.testing.assert_allclose(drawn, fills[name][0].permute(1, 2, 0), atol=0.51 / 255)


def test_the_last_of_many_strokes_is_the_one_that_is_shown(brush):
    for seed in range(20):
        brush.brush.mask = painting(seed)
    settle(brush)
    x, m = brush.image, torch.from_numpy(painting(19) / np.float32(255))
    probs = brush.model.probs(x + m * (gaussian_blur(x, 20 / 224 * 16) - x))[0]
    np.testing.assert_allclose(brush.scores.target_values, probs[brush.target].item(), rtol=1e-5)


def test_another_image_forgets_the_paint(brush):
    brush.brush.mask = painting()
    brush.image = other = np.random.default_rng(9).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    settle(brush)
    assert brush.brush.mask is None
    probs = brush.model.probs(other)[0]
    np.testing.assert_allclose(brush.scores.values[0, 0, 0], probs.topk(5).values, rtol=1e-5)
    np.testing.assert_allclose(brush.scores.reference, probs, rtol=1e-5)
    assert brush.scores.target == brush.target == int(probs.argmax())


def test_the_optimiser_keeps_the_area_and_lowers_the_score(brush):
    start = np.zeros((16, 16), dtype=np.uint8)
    start[:4, :8] = 255
    brush.brush.mask = start
    settle(brush)
    before = float(brush.scores.target_values[0, 0, 0])
    brush.compute(again=True)
    settle(brush)
    assert brush.run_bar.status == "done"
    assert (brush.brush.mask == 255).sum() == 32
    assert float(brush.scores.target_values[0, 0, 0]) < before


def test_the_optimiser_asks_for_paint(brush):
    brush.compute(again=True)
    assert brush.run_bar.error == "nothing is painted: paint what the optimiser is to begin with"
    assert brush.run_bar.status == "idle"


def test_a_map_or_a_result_can_be_painted(brush):
    brush.paint("gradient", area=0.25)
    mask = brush.brush.mask == 255
    assert mask.sum() == 64
    saliency = gradient.saliency(brush.model, brush.image, brush.target)[0].numpy()
    assert saliency[mask].min() >= saliency[~mask].max()
    found = extremal(
        brush.model, brush.image, areas=[0.1, 0.5], settings=ExtremalSettings(steps=5, scan=2)
    ).result(progress=False)
    brush.paint(found, area=0.45)
    assert ((brush.brush.mask == 255) == found.masks[0, 1].numpy()).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(3, 4, 4),), "the mask has shape (3, 4, 4), wanted (h, w)"),
        (("gradient", 0.0), "area is 0.0, wanted a share of the image above 0 and at most 1"),
        (("gradientt",), "did you mean 'gradient'"),
    ],
)
def test_what_cannot_be_painted_is_refused(brush, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        brush.paint(*arguments)


def test_inpainting_leaves_out_what_is_painted():
    x = torch.rand(1, 3, 16, 16)
    mask = torch.zeros(16, 16)
    mask[4:9, 4:9] = 1
    other = x.clone()
    other[..., 4:9, 4:9] = 0
    # A wholly painted place takes nothing from what is under the paint but the mean of the image, which all else hides.
    torch.testing.assert_close(inpaint(x, mask)[..., 4:9, 4:9], inpaint(other, mask)[..., 4:9, 4:9])
