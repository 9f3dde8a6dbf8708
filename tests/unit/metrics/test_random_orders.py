"""Curves of pixels in random order, from those of random maps."""

import numpy as np
import torch
from closeness import assert_close, near

from xai_widgets.metrics import insertion, lerf, random_order
from xai_widgets.metrics.random_orders import random_curves, random_maps


def test_a_random_order_is_the_mean_of_the_curves_of_random_maps(model, images):
    maps = random_maps(images, 3, seed=5)
    curves = [insertion(model, images, each, [3, 5], steps=6).result(progress=False) for each in maps]
    snapshots = list(random_order(model, images, [3, 5], mode="insertion", orders=3, seed=5, steps=6))
    assert len(snapshots) == 3
    scores = torch.stack([curve.scores for curve in curves])
    assert_close(snapshots[-1].scores, scores.mean(0))
    assert_close(snapshots[-1].draws, scores)
    assert torch.equal(snapshots[-1].top_classes, curves[0].top_classes)
    again = random_order(model, images, [3, 5], mode="insertion", orders=3, seed=6, steps=6).result(
        progress=False
    )
    assert not torch.equal(again.scores, snapshots[-1].scores)


def test_the_band_is_from_the_5th_to_the_95th_percentile_of_the_orders(model, images):
    snapshots = list(random_order(model, images, 2, orders=5, steps=6))
    assert snapshots[0].band is None
    expected = np.quantile(snapshots[-1].draws.numpy(), [0.05, 0.95], axis=0)
    assert snapshots[-1].band.numpy() == near(expected)
    resampled = snapshots[-1].resampled(12)
    assert resampled.band[..., ::2].numpy() == near(expected)


def test_any_function_of_a_map_has_random_orders(model, images):
    curve = random_curves(lerf, model, images, 2, orders=2, seed=3, steps=5).result(progress=False)
    maps = random_maps(images, 2, seed=3)
    expected = [lerf(model, images, each, 2, steps=5).result(progress=False).scores for each in maps]
    assert_close(curve.scores, torch.stack(expected).mean(0), scale=10.0)
    # Its last fraction is below 1, and so is that of the resampled curve.
    assert curve.resampled(10).fractions[-1] == curve.fractions[-1] < 1


def test_a_random_order_takes_few_steps_and_is_resampled_to_others(model, images):
    curve = random_order(model, images, 2, orders=1).result(progress=False)
    assert len(curve.fractions) == 29
    finer = curve.resampled(144)
    assert finer.fractions.tolist() == near(torch.linspace(0, 1, 145).tolist())
    for n in range(2):
        expected = np.interp(finer.fractions.numpy(), curve.fractions.numpy(), curve.scores[n].numpy())
        assert_close(finer.scores[n], torch.tensor(expected, dtype=torch.float32))
    assert torch.equal(finer.top_classes[:, [0, -1]], curve.top_classes[:, [0, -1]])
