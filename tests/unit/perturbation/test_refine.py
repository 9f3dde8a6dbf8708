"""Refined masks: never worse than the paint nor than a disc, also where the painted mask is a local optimum."""

import numpy as np
import pytest
import torch
from closeness import near
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.ops.fill import fill_image, inpaint
from xai_widgets.perturbation.area_search import AreaSettings, discs
from xai_widgets.perturbation.mask_search import binarize
from xai_widgets.perturbation.refine import refine

SIZE = 24
QUICK = AreaSettings(steps=12, scan=5, grid=12)


class TwoSpots(nn.Module):
    """Scores the brightness of the right spot five times as much as that of the left one; all else is ignored.

    The gradient of a mask over the left spot does not lead to the right one, as nothing lies between them.
    """

    def forward(self, x):
        left, right = x[:, :, 8:16, 0:6].mean((1, 2, 3)), x[:, :, 8:16, 18:24].mean((1, 2, 3))
        return torch.stack([left + 5 * right, torch.full_like(left, 2.0)], dim=1)


@pytest.fixture
def spots():
    return ImageModel(TwoSpots(), size=SIZE, mean=[0.0], std=[1.0], labels=["bright", "other"])


@pytest.fixture
def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 6, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96, 5)
    return ImageModel(nn.Sequential(*layers), size=SIZE)


def white():
    return np.full((SIZE, SIZE, 3), 255, np.uint8)


def noise():
    return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def stroke():
    """A mask over the left spot."""
    mask = torch.zeros(SIZE, SIZE)
    mask[8:16, 0:6] = 1
    return mask


def drain(*arguments, **options):
    run = refine(*arguments, **{"settings": QUICK, **options})
    found = list(run)
    assert len(found) <= run.total
    return found


def test_a_stroke_is_left_for_a_better_spot(spots):
    mask = stroke()
    *_, last = drain(spots, white(), mask, 0, fill=0.0)
    assert last.origin != "painted"
    assert last.mask[8:16, 18:24].mean() > last.mask[8:16, 0:6].mean()
    assert int(last.mask.sum()) == int(mask.sum())
    assert last.before.score == near(5.0)
    # Half of the right spot is worth more than all of the left one.
    assert last.after.score < 4
    assert last.after.probability < last.before.probability


@pytest.mark.parametrize("fill", ["blur", 0.0, "function"])
@pytest.mark.parametrize("target", [0, 3])
def test_no_snapshot_is_worse_than_the_one_before_nor_the_last_than_any_disc(network, fill, target):
    x = network.images(noise())
    of = (lambda mask: inpaint(x, mask)) if fill == "function" else lambda _mask: fill_image(fill, x)
    generator = torch.Generator().manual_seed(1)
    # Soft, as a brush paints.
    painted = torch.rand(SIZE, SIZE, generator=generator) * stroke()
    found = drain(network, noise(), painted, target, fill=of if fill == "function" else fill)
    probabilities = [each.after.probability for each in found]
    assert probabilities == sorted(probabilities, reverse=True)
    area = float(painted.mean())
    for field in discs((SIZE, SIZE), QUICK.scan, painted):
        disc = binarize(field[None, None], [area])[0, 0]
        probability = float(network.probs(torch.lerp(x, of(disc), disc))[0, target])
        assert probabilities[-1] <= probability + 1e-6
    last = found[-1]
    shown = network.scores(torch.lerp(x, of(last.mask), last.mask))
    assert last.after.score == near(float(shown[0, target]))
    assert last.after.probability == near(float(network.probabilities(shown)[0, target]))
    # The area is that of the paint, to half a pixel.
    assert abs(float(last.mask.sum()) - float(painted.sum())) <= 0.5 or last.origin == "painted"


def test_what_cannot_be_improved_stays(spots):
    """Nothing but the right spot counts more, and it is painted already."""
    mask = torch.zeros(SIZE, SIZE)
    mask[8:16, 18:24] = 1
    *_, last = drain(spots, white(), mask, 0, fill=0.0)
    assert last.origin == "painted"
    assert torch.equal(last.mask, mask)
    assert last.after == last.before


def test_all_of_the_image_is_its_only_mask(spots):
    (only,) = drain(spots, white(), torch.ones(SIZE, SIZE), 0)
    assert only.origin == "painted"


def test_a_network_without_probabilities_is_judged_by_its_score():
    model = ImageModel(TwoSpots(), size=SIZE, mean=[0.0], std=[1.0], activation=None)
    *_, last = drain(model, white(), stroke(), 0, fill=0.0)
    assert last.after.score == last.after.probability < last.before.score


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.zeros(3, 3), "mask"),
        (2 * torch.ones(SIZE, SIZE), r"values in \[0, 1\]"),
        (torch.full((SIZE, SIZE), torch.nan), "mask"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(spots, mask, words):
    with pytest.raises(ValueError, match=words):
        refine(spots, white(), mask, 0)


def test_one_image_at_a_time(spots):
    with pytest.raises(ValueError, match="expected one image, got 2"):
        refine(spots, np.stack([white(), white()]), stroke(), 0)
