"""MoRF and LeRF spelled out pixel by pixel, and the area between them."""

import pytest
import torch
from closeness import assert_close, near
from networks import SIZE, Functional, images, settle, wrap

from xai_widgets.metrics import abpc, deletion, lerf, morf


def test_curves_are_the_protocol_spelled_out():
    model, x, target = wrap(settle(Functional())), images(2), [1, 2]
    saliency = torch.randn(2, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    colors = torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(5))
    replaced = round(800 / 299**2 * 100 * SIZE**2)
    for order, sign in ((morf, 1), (lerf, -1)):
        curve = order(model, x, saliency, target, steps=7, seed=5).result(progress=False)
        assert curve.value_name == "score"
        assert curve.fractions[-1].item() == near(replaced / SIZE**2)
        for n in range(2):
            ranked = (-sign * saliency[n]).flatten().argsort(stable=True)
            for step in range(8):
                changed = x[n].clone().flatten(1)
                some = ranked[: round(step * replaced / 7)]
                changed[:, some] = colors.flatten(1)[:, some]
                expected = model(changed.view_as(x[n])[None])[0, target[n]]
                assert_close(curve.scores[n, step], expected, scale=10.0)


def test_at_299_pixels_a_step_is_100_pixels():
    from xai_widgets.metrics.pixel_flipping import SHARE, STEPS

    assert round(STEPS * SHARE * 299**2) == 100 * 800


def test_the_area_is_the_sum_over_the_steps():
    model, x = wrap(settle(Functional())), images(2)
    saliency = torch.rand(2, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    most, least = (f(model, x, saliency, 1, steps=5).result(progress=False) for f in (morf, lerf))
    assert_close(abpc(most, least), (least.scores - most.scores)[:, 1:].sum(1), scale=10.0)
    assert_close(abpc(most, most), torch.zeros(2), scale=1.0)
    with pytest.raises(ValueError, match="curves of one shape"):
        abpc(most, deletion(model, x, saliency, 1, steps=4).result(progress=False))


def test_another_fill_replaces_the_random_colors():
    model, x = wrap(settle(Functional())), images(1)
    saliency = torch.rand(1, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    own, black = (
        morf(model, x, saliency, 1, steps=5, fill=fill).result(progress=False) for fill in (None, 0.0)
    )
    assert torch.equal(own.scores[:, 0], black.scores[:, 0])
    changed = x.clone().flatten(2)
    changed[..., saliency.flatten().argsort(descending=True)[: round(800 / 299**2 * 100 * SIZE**2)]] = 0
    assert_close(black.scores[0, -1], model(changed.view_as(x))[0, 1], scale=10.0)
    assert not torch.equal(own.scores[:, -1], black.scores[:, -1])
