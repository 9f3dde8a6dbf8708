"""Growing salient regions under several perturbations, and windows around the points of parts."""

import math

import pytest
import torch
from closeness import assert_close, near
from networks import SIZE, Functional, images, settle, wrap

from xai_widgets.metrics import METRICS, Explanation, part_means, region_curves
from xai_widgets.metrics.regions import window_means
from xai_widgets.ops.fill import fill_image


def test_curves_are_normalized_by_the_image_and_its_blur():
    model, x, target = wrap(settle(Functional())), images(1), 1
    saliency = torch.rand(1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    found = region_curves(model, x, saliency, target, alphas=(0.0, 0.4, 1.0), sigma=0)
    scaled = (saliency - saliency.min()) / (saliency.max() - saliency.min())
    blurred = fill_image("blur", x)
    mean = model.mean.expand_as(x)
    whole, gone = (model.probs(each)[0, target] for each in (x, blurred))
    assert found.areas[0].tolist() == near([(scaled >= 1 - a).float().mean().item() for a in (0.0, 0.4, 1.0)])
    if whole <= gone:
        assert found.change.isnan().all()
        return
    for row, fill in enumerate((mean, fill_image("noise", x), blurred)):
        for at, a in enumerate((0.0, 0.4, 1.0)):
            p = model.probs(torch.where(scaled[:, None] >= 1 - a, fill, x))[0, target]
            assert_close(
                found.change[0, row, at], (p - whole) / (whole - gone), scale=1 / (whole - gone).item()
            )


def test_the_whole_image_blurred_is_minus_one():
    model, saliency = wrap(settle(Functional())), torch.rand(3, SIZE, SIZE)
    found = region_curves(model, images(3), saliency, alphas=(1.0,), fills=("blur",), sigma=0)
    known = ~found.change.isnan()
    assert known.any()
    assert_close(found.change[known], -torch.ones(int(known.sum())), scale=10.0)


def test_windows_end_at_the_border():
    maps = torch.arange(20.0).view(4, 5)
    points = torch.tensor([[0, 0], [2, 2]])
    assert window_means(maps, points, side=3).tolist() == near(
        [(0 + 1 + 5 + 6) / 4, maps[1:4, 1:4].mean().item()]
    )
    with pytest.raises(ValueError, match="within a map of 4 x 5"):
        window_means(maps, torch.tensor([[4, 0]]))


def test_parts_are_compared_by_their_windows():
    saliency = torch.zeros(16, 16)
    saliency[2:7, 2:7] = 3.0
    parts = {"eye": torch.tensor([[4, 4]]), "foot": torch.tensor([[12, 12]]), "tail": torch.zeros(0, 2)}
    found = part_means(saliency, parts, (16, 16))
    assert (found["eye"], found["foot"]) == (1, 0)
    assert math.isnan(found["tail"])
    model = wrap(settle(Functional()))
    explanation = Explanation(
        model, images(1), 1, torch.nn.functional.pad(torch.ones(1, 2, 2), (0, 6, 0, 6)), parts=parts
    )
    metric = METRICS["part_salience"]
    explanation = Explanation(model, images(1, size=16), 1, saliency[None], parts=parts)
    assert metric(explanation) == near(1 / (25 / 256))
    assert metric(explanation, part="foot") == 0
    with pytest.raises(ValueError, match="did you mean 'eye'"):
        metric(explanation, part="eyes")
