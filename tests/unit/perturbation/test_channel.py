"""Extremal channels against all sets of channels, and properties of every search."""

import itertools
import math

import pytest
import torch
from closeness import assert_close, near, rounding
from hypothesis import given
from hypothesis import strategies as st
from networks import CLASSES, Concat, Functional, SharedInPlace, images, one_sentence, settle, wrap
from snapshot import Broken, everything

from xai_widgets.perturbation.area_search import AreaSettings
from xai_widgets.perturbation.channel import (
    ChannelExtremal,
    channel_extremal,
    check_channels,
    class_channels,
    octaves,
)

QUICK = AreaSettings(steps=8, neighbor_exchange_every=2)
VARIANTS = ["preserve", "delete", "hybrid", "contrastive"]
COUNTS = (1, 3, 5)


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def run(*args, **options):
    options = {"channels": COUNTS, "settings": QUICK, "layer": "conv2"} | options
    return channel_extremal(*args, **options).result(progress=False)


def scores_of(model, x, layer, masks):
    """Class scores (E, classes) where a layer is multiplied by masks (E, K), by an ordinary hook."""

    def multiply(_module, _inputs, output):
        return output * masks.view(*masks.shape, *[1] * (output.ndim - 2))

    handle = model.module.get_submodule(layer).register_forward_hook(multiply)
    try:
        with torch.no_grad():
            return model(x.expand(len(masks), *x.shape[1:]))
    finally:
        handle.remove()


def values_of(inside, outside, variant, target):
    """The value of an objective for scores (..., classes) where masks are preserved and deleted."""
    others = [c for c in range(inside.shape[-1]) if c != target]
    margin = inside[..., target] - inside[..., others].amax(-1)
    inside, outside = inside[..., target], outside[..., target]
    return {"preserve": inside, "delete": -outside, "hybrid": inside - outside, "contrastive": margin}[
        variant
    ]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_the_best_of_all_sets_is_found(model, layer, variant):
    """Every set of 1, 3 or 5 channels, tried one by one; at most one in a hundred is better than the result."""
    x, target = images(1), 2
    made = run(model, x, target, layer=layer, variant=variant, settings=AreaSettings())
    width = made.masks.shape[2]
    for index, count in enumerate(COUNTS):
        masks = torch.zeros(math.comb(width, count), width)
        for row, chosen in zip(masks, itertools.combinations(range(width), count), strict=True):
            row[list(chosen)] = 1
        inside, outside = (scores_of(model, x, layer, each) for each in (masks, 1 - masks))
        values = values_of(inside, outside, variant, target)
        found = values_of(*made.class_scores[0, index], variant, target)
        assert (values > found + rounding(inside, outside)).float().mean() <= 0.01


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("network", "layer"),
    [(Functional, "conv2"), (Functional, "conv1"), (Concat, "left"), (SharedInPlace, "block1.conv2")],
    ids=["cut", "first", "branch", "inside a block"],
)
def test_the_scores_are_those_of_the_masks_on_any_layer(network, layer, variant):
    model, x = wrap(settle(network())), images(2)
    before = torch.full((2, 2), -math.inf)
    for shot in channel_extremal(
        model, x, [0, 3], layer=layer, channels=[1, 2], variant=variant, settings=QUICK
    ):
        width = model.activations(x, layer)[layer].shape[1]
        assert shot.masks.shape == shot.smooth.shape == (2, 2, width)
        assert torch.equal(shot.masks.sum(2), torch.tensor([[1.0, 2.0]] * 2))
        assert set(shot.masks.unique().tolist()) == {0.0, 1.0}
        for image in range(2):
            for side, masks in enumerate((shot.masks[image], 1 - shot.masks[image])):
                expected = scores_of(model, x[image : image + 1], layer, masks)
                assert_close(shot.class_scores[image, :, side], expected)
            ends = torch.stack([torch.zeros(width), torch.ones(width)])
            expected = scores_of(model, x[image : image + 1], layer, ends)
            assert_close(shot.end_scores[image], expected)
        assert_close(shot.whole, model(x)[[0, 1], [0, 3]])
        value = torch.stack(
            [
                values_of(*shot.class_scores[n].unbind(1), variant, target)
                for n, target in enumerate(shot.target)
            ]
        )
        assert (value >= before - rounding(shot.class_scores)).all()
        before = value
        assert not shot.class_scores.requires_grad
        assert not torch.isnan(shot.class_scores).any()


def test_a_layer_that_is_not_spatial_has_masks_but_no_map():
    model = wrap(settle(Functional()))
    made = run(model, images(1), 0, layer="fc", channels=[1, 2])
    # The class score is one of the channels: keeping it is keeping the score.
    assert made.masks[0, 0].tolist() == [1.0, 0.0, 0.0, 0.0] or made.whole[0] < 0
    with pytest.raises(
        ValueError, match="expected a layer with spatial positions for a map, got 'fc'"
    ) as error:
        made.saliency()
    one_sentence(error)


def test_the_map_is_the_sum_of_the_activations_of_the_best_channels(model):
    """Equation 11."""
    x = images(2)
    made = run(model, x, 1, channels=[1, 2, 8], tau=0.5)
    activation = model.activations(x, "conv2")["conv2"]
    expected = torch.zeros(2, 3, 4, 4)
    for n, a, k in itertools.product(range(2), range(3), range(8)):
        expected[n, a] += made.masks[n, a, k] * activation[n, k]
    assert_close(made.maps(), expected)
    counts = [1, 2, 8]
    for n in range(2):
        best = made.best_channels[n].item()
        chosen = 2 if math.isnan(best) else counts.index(best)
        assert torch.equal(made.best_masks[n], made.masks[n, chosen])
        expected_map = torch.nn.functional.interpolate(
            expected[n, chosen][None, None], (8, 8), mode="bilinear"
        )
        assert_close(made.saliency()[n], expected_map[0, 0])


def result(masks, scores, whole, *, target=0, variant="preserve", tau=1.0, layer="conv2"):
    """A result of given masks (A, K) and scores (A,) of one image."""
    masks, scores = torch.tensor(masks, dtype=torch.float32)[None], torch.tensor(scores)
    class_scores = torch.zeros(1, len(scores), 2, CLASSES)
    class_scores[0, :, 0, target] = scores
    class_scores[0, :, 1, target] = scores.flip(0)
    ends = torch.zeros(1, 2, CLASSES)
    ends[0, 1, target] = whole
    return ChannelExtremal(
        masks=masks,
        smooth=masks,
        class_scores=class_scores,
        end_scores=ends,
        target=torch.tensor([target]),
        variant=variant,
        tau=tau,
        parameters=masks,
        channels=masks[0].sum(1).long(),
        areas=masks[0].mean(1),
        layer=layer,
        activation=torch.ones(1, masks.shape[2], 2, 2),
        size=(4, 4),
    )


NESTED = [[0, 0, 1, 0], [0, 1, 1, 0], [1, 1, 1, 0]]


@pytest.mark.parametrize(
    ("scores", "tau", "variant", "best"),
    [
        ([1.0, 2.0, 3.0], 1.0, "preserve", 2.0),
        ([1.0, 2.0, 3.0], 0.5, "preserve", 1.0),
        ([1.0, 1.5, 3.0], 2.0, "preserve", math.nan),
        ([0.0, 2.0, 3.0], 1.0, "delete", 3.0),
        ([1.0, -2.0, 3.0], 1.0, "delete", 2.0),
    ],
)
def test_a_star_is_the_smallest_sufficient_number(scores, tau, variant, best):
    made = result(NESTED, scores, 2.0, tau=tau, variant=variant)
    assert made.best_channels[0].item() == near(best)


def test_channels_are_ordered_by_how_many_masks_hold_them():
    assert result(NESTED, [1.0, 2.0, 3.0], 2.0).order.tolist() == [[2, 1, 0, 3]]


def test_the_mean_masks_of_a_class_are_over_its_images():
    first = result(NESTED, [1.0, 2.0, 3.0], 2.0, target=1)
    second = result([[0, 0, 0, 1], [0, 0, 1, 1]], [5.0, 5.0], 2.0, target=1)
    other = result([[1, 0, 0, 0]], [0.0], 9.0, target=3)
    made = class_channels([first, second, other])
    assert made.classes.tolist() == [1, 3]
    assert made.counts.tolist() == [2, 1]
    assert made.means.tolist() == [[0.0, 0.5, 0.5, 0.5], [1.0, 0.0, 0.0, 0.0]]
    assert made.shares[1].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert made.shares[0] == near([1 / 6, 1 / 3, 3 / 4, 1 / 2])
    # Three channels are in half of the sets of a*: those in more sets of all sizes come first.
    assert made.top().tolist() == [[2], [0]]
    assert made.top(3).tolist() == [[2, 3, 1], [0, 1, 2]]
    with pytest.raises(ValueError, match="expected k to be an integer from 1 to 4, got 5"):
        made.top(5)
    with pytest.raises(ValueError, match=r"expected results to be a sequence of ChannelExtremal, got \[\]"):
        class_channels([])
    with pytest.raises(ValueError, match=r"expected results of one layer, got \['conv1', 'conv2'\]") as error:
        class_channels([first, result(NESTED, [1.0, 2.0, 3.0], 2.0, layer="conv1")])
    one_sentence(error)


def test_one_result_of_many_images_has_class_means(model):
    made = run(model, images(3), [0, 2, 0], tau=-10)
    means = class_channels(made)
    assert means.classes.tolist() == [0, 2]
    assert_close(means.means[0], (made.best_masks[0] + made.best_masks[2]) / 2)


@given(st.integers(1, 3000))
def test_octaves_end_with_all_and_never_jump_by_more_than_a_half(width):
    counts = octaves(width)
    assert counts == sorted(set(counts))
    assert (counts[0], counts[-1]) == (1, width)
    assert all(second <= max(first + 1, first * 1.5) for first, second in itertools.pairwise(counts))


@given(st.sets(st.integers(1, 40), min_size=1))
def test_ascending_numbers_are_accepted(counts):
    assert check_channels(sorted(counts), 40) == sorted(counts)


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ([], r"expected channels to be a sequence of numbers, got \[\]"),
        ([0, 1], "expected each of channels to be an integer from 1 to 8, got 0"),
        ([1, 9], "expected each of channels to be an integer from 1 to 8, got 9"),
        ([3, 1], r"expected ascending channels, got \[3, 1\]"),
        ([1, 1], r"expected ascending channels, got \[1, 1\]"),
        ([1.5], r"expected each of channels to be an integer from 1 to 8, got 1\.5"),
        ("12", "expected channels to be a sequence of numbers, got '12'"),
        (3, "expected channels to be a sequence of numbers, got 3"),
        ([math.nan], "integer from 1 to 8, got nan"),
    ],
)
def test_bad_numbers_of_channels_are_refused(model, channels, message):
    with pytest.raises((TypeError, ValueError), match=message) as error:
        run(model, images(1), channels=channels)
    one_sentence(error)


def test_bad_arguments_are_refused(model):
    x = images(1)
    for options, kind, message in [
        ({"layer": "conv3"}, ValueError, "conv2"),
        ({"variant": "keep"}, ValueError, "preserve"),
        ({"settings": 3}, TypeError, "expected settings to be AreaSettings, got 3"),
        ({"start": torch.ones(4)}, TypeError, "expected start to be ChannelExtremal, got a tensor"),
        ({"start": run(model, x, channels=[2])}, ValueError, "for the same images, layer and numbers"),
    ]:
        with pytest.raises(kind, match=message) as error:
            run(model, x, **options)
        one_sentence(error)
    with pytest.raises(TypeError, match="expected an ImageModel"):
        run(torch.nn.Identity(), x)


def test_a_call_of_a_shared_module_is_a_layer():
    model, x = wrap(settle(SharedInPlace())), images(1)
    made = run(model, x, layer="relu:2", channels=[1, 6])
    # With all channels nothing is masked.
    assert_close(made.class_scores[:, 1, 0], model.scores(x))
    assert not torch.equal(made.class_scores[:, 0, 0], model.scores(x))


def test_it_resumes_from_an_earlier_result_and_never_gets_worse(model):
    x = images(2)
    first = run(model, x, 1, settings=AreaSettings(steps=2))
    second = run(model, x, 1, start=first)
    assert (second.scores >= first.scores - rounding(first.scores)).all()
    # For another class the masks are scored anew.
    other = run(model, x, 2, start=first, settings=AreaSettings(steps=1))
    expected = scores_of(model, x[:1], "conv2", other.masks[0])[:, 2]
    assert_close(other.scores[0], expected)


def test_the_same_call_gives_the_same_bits_in_any_grad_mode_and_batch(model):
    x = images(2)
    first = run(model, x, 1)
    torch.manual_seed(7)
    with torch.inference_mode():
        second = run(model, x, 1)
    with torch.no_grad():
        third = run(model, x, 1, batch_size=1)
    assert torch.equal(first.masks, second.masks)
    assert torch.equal(first.scores, second.scores)
    assert_close(first.scores, third.scores)


@pytest.mark.parametrize("event", ["normal", "forward", "backward", "interrupted"])
@pytest.mark.parametrize("layer", ["block1", "block1.conv2"])
def test_the_network_of_the_caller_is_unchanged_and_the_latest_result_is_kept(layer, event):
    network = settle(Broken())
    model, x = wrap(network), images(2)
    model.layers()
    network.train()
    for parameter in list(network.parameters())[::2]:
        parameter.requires_grad_(False)
    before, pixels = everything(network), x.clone()
    begun = channel_extremal(model, x, layer=layer, channels=COUNTS, settings=QUICK)
    if event == "normal":
        begun.result(progress=False)
    else:
        error = KeyboardInterrupt() if event == "interrupted" else RuntimeError("it broke")
        steps = iter(begun)
        next(steps)
        network.fuse[:] = ["backward" if event == "backward" else "forward", error, 1]
        with pytest.raises(type(error)):
            list(steps)
        assert begun.latest.masks.shape == (2, 3, 6)
        network.fuse[:] = [None, None, 0]
    after = everything(network)
    for what in before:
        assert after[what] == before[what], what
    assert torch.equal(x, pixels)


def test_a_cancel_keeps_what_was_found_and_the_total_is_the_number_of_snapshots(model):
    begun = channel_extremal(model, images(2), channels=COUNTS, settings=QUICK)
    for _ in begun:
        begun.cancel()
    assert begun.done == 1
    assert torch.isfinite(begun.result(progress=False).class_scores).all()
    begun = channel_extremal(model, images(2), settings=AreaSettings(steps=7, patience=99))
    begun.result(progress=False)
    assert begun.done == begun.total == 1 + 7


@given(st.integers(0, 1000), st.sampled_from(VARIANTS))
def test_all_channels_are_the_image_itself(seed, variant):
    model = wrap(settle(Functional(), seed))
    made = run(model, images(1), 1, channels=[8], variant=variant, settings=AreaSettings(steps=1))
    assert_close(made.scores[:, 0], made.whole)
    assert_close(made.complement_scores[:, 0], made.perturbed)
