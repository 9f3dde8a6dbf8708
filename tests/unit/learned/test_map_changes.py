"""Dice and correlation of maps under a probe, by hand, and beside those with noise."""

from functools import partial

import pytest
import torch
from closeness import assert_close
from networks import Functional, images, one_sentence, settle, wrap

from xai_widgets.learned import Probed, dice, fgsm, map_change
from xai_widgets.learned.map_changes import shuffled
from xai_widgets.methods import METHODS
from xai_widgets.metrics import pearson


def done(run):
    return run.result(progress=False)


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def test_dice_by_hand():
    # The four highest of sixteen values: two of them in common.
    a = torch.arange(16.0).view(1, 4, 4)
    b = a.clone()
    b[0, 3, :2], b[0, 0, :2] = torch.tensor([0.0, 1.0]), torch.tensor([12.0, 13.0])
    assert dice(a, b, area=0.25) == 0.5
    assert dice(a, a, area=0.25) == 1
    assert dice(a, -a, area=0.25) == 0


def test_dice_of_maps_with_few_values():
    a, b = torch.zeros(2, 4, 4), torch.zeros(2, 4, 4)
    a[0, 0, 0], b[0, 0, 0], b[0, 0, 1] = 1, 1, 1
    found = dice(a, b, area=0.25)
    # Regions of one and of two positions; then none at all.
    assert found[0] == 2 / 3
    assert found[1].isnan()


def test_independent_maps_have_the_dice_of_their_area():
    a, b = torch.rand(2, 40, 60, 60, generator=torch.Generator().manual_seed(0))
    assert abs(dice(a, b, area=0.2).mean() - 0.2) < 0.01


def test_the_table_is_that_of_the_maps(model):
    x = images(4)
    probe = partial(fgsm, epsilon=0.2)
    change = done(map_change(model, x, ["gradient", "grad_cam"], probe, area=0.2))
    probed = done(probe(model, x))
    assert change.methods == ("gradient", "grad_cam")
    before = METHODS["gradient"].saliency(model, x, probed.old)
    after = METHODS["gradient"].saliency(model, probed.image, probed.new)
    assert_close(change.before["gradient"], before.detach())
    assert_close(change.after["gradient"], after.detach())
    assert_close(change.dice[0], dice(before, after, area=0.2).float())
    assert_close(change.correlation[0], pearson(before, after), scale=1.0)
    row = change.table()[0]
    assert row["images"] == int(probed.reached.sum())
    assert row["dice"] == pytest.approx(change.dice[0][probed.reached].nanmean().item())


def test_the_class_that_is_explained(model):
    x = images(3)
    probe = partial(fgsm, epsilon=0.2)
    change = done(map_change(model, x, "gradient", probe, explained="original"))
    probed = done(probe(model, x))
    after = METHODS["gradient"].saliency(model, probed.image, probed.old)
    assert_close(change.after["gradient"], after.detach())


def test_the_noise_has_the_values_of_the_perturbation():
    x = torch.full((2, 3, 8, 8), 0.5)
    change = 0.1 * torch.randn(2, 3, 8, 8)
    classes = torch.zeros(2, dtype=torch.long)
    noise = shuffled(Probed("noise", x, x + change, classes, classes, None, 1), 0) - x
    assert not torch.equal(noise, change)
    for n in range(2):
        for channel in range(3):
            assert_close(
                noise[n, channel].flatten().sort().values,
                change[n, channel].flatten().sort().values,
                scale=1.0,
            )


def test_a_method_that_fails_is_reported(model):
    def broken(model, x, target):
        raise ValueError("expected nothing, got an image")

    run = map_change(model, images(2), [broken, "gradient"], fgsm)
    change = done(run)
    assert run.done == 3
    assert change.errors == {"broken": "expected nothing, got an image"}
    assert change.methods == ("gradient",)
    assert change.dice.shape == (1, 2)


def test_a_probe_that_is_not_a_callable_is_refused(model):
    with pytest.raises(TypeError, match=r"expected probe as a callable, such as .*, got 'fgsm'") as caught:
        map_change(model, images(1), "gradient", "fgsm")
    assert one_sentence(caught)


def test_a_probe_that_returns_something_else_is_an_error(model):
    with pytest.raises(TypeError, match="Probed") as caught:
        done(map_change(model, images(1), "gradient", lambda model, x: x))
    one_sentence(caught)
