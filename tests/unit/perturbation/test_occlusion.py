"""Occlusion against its formula, spelled out window by window."""

import math
import re

import pytest
import torch
from closeness import assert_close, near
from hypothesis import given
from hypothesis import strategies as st
from networks import SIZE, Functional, Linear, images, settle, wrap

from xai_widgets.ops.blur import gaussian_blur
from xai_widgets.perturbation.occlusion import occlusion, smallest_disc, variable_occlusion


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def spelled_out(model, image, target, masks, fill, output=lambda scores: scores):
    """The map and the drops, one pass per window."""
    with torch.no_grad():
        whole = output(model(image[None]))[0, target]
        drops = [whole - output(model((image * (1 - m) + fill * m)[None]))[0, target] for m in masks]
    total = sum(drop * mask for drop, mask in zip(drops, masks, strict=True))
    return total / sum(masks), torch.stack(drops)


def patches(window, stride):
    starts = range(0, math.ceil((SIZE - window) / stride) * stride + 1, stride)
    for row in starts:
        for column in starts:
            mask = torch.zeros(SIZE, SIZE)
            mask[row : row + window, column : column + window] = 1
            yield mask


@pytest.mark.parametrize("output", ["score", "probability"])
@pytest.mark.parametrize(("window", "stride"), [(3, 2), (2, 2), (4, 3), (1, 1), (8, 8)])
def test_patches_are_the_formula_spelled_out(model, window, stride, output):
    x = images(2)
    run = occlusion(model, x, [1, 3], window=window, stride=stride, output=output, batch_size=5)
    made = run.result(progress=False)
    after = (lambda scores: scores) if output == "score" else (lambda scores: scores.softmax(1))
    for n, target in enumerate([1, 3]):
        expected, drops = spelled_out(model, x[n], target, list(patches(window, stride)), 0.5, after)
        # A drop is the difference of two scores.
        size = after(model.scores(x)).abs().max()
        assert_close(made.saliency()[n], expected, scale=size)
        assert_close(made.drops[n].flatten(), drops, scale=size)
    assert run.done == run.total


def test_a_soft_disc_is_a_disc_blurred_by_a_gaussian_far_from_any_border(model):
    x, softness = images(1), 1.5
    made = occlusion(model, x, 2, window=3, stride=2, shape="disc", softness=softness).result(progress=False)
    assert made.drops.shape == (1, 4, 4)
    at = torch.arange(-20.0, 29)
    masks = []
    for row in range(0, SIZE, 2):
        for column in range(0, SIZE, 2):
            # Rows 0, 2, 4 and 6: one line of pixels is left over, at the far side.
            disc = torch.hypot(at[:, None] - row, at - column) <= 1.5
            masks.append(gaussian_blur(disc.float(), softness)[20:28, 20:28])
    expected, drops = spelled_out(model, x[0], 2, masks, 0.5)
    size = model.scores(x).abs().max()
    assert_close(made.drops.flatten(), drops, scale=size)
    assert_close(made.map[0], expected, scale=size)


def test_the_fills_are_those_of_their_names(model):
    x = images(1)
    own = images(1, seed=9)
    for fill, expected in {
        "gray": torch.full_like(x, 0.5),
        "mean": x.mean((2, 3), keepdim=True).expand_as(x),
        "blur": gaussian_blur(x, 10 / 224 * SIZE),
        0.25: torch.full_like(x, 0.25),
        own: own,
    }.items():
        made = occlusion(model, x, 0, window=4, stride=4, fill=fill).result(progress=False)
        drops = spelled_out(model, x[0], 0, list(patches(4, 4)), expected[0])[1]
        assert_close(made.drops.flatten(), drops, scale=model.scores(x).abs().max())


def test_of_a_linear_network_disjoint_windows_add_up_to_the_whole_change():
    model, x = wrap(settle(Linear())), images(1)
    made = occlusion(model, x, 1, window=2, stride=2, fill=0.0).result(progress=False)
    change = (model.scores(x) - model.scores(x * 0))[0, 1]
    assert made.drops.sum().item() == near(change.item(), scale=model.scores(x).abs().max())
    # Each pixel is covered once: the map is the drop of its window.
    assert_close(made.map[0], made.drops[0].repeat_interleave(2, 0).repeat_interleave(2, 1))


@given(st.integers(1, 40), st.integers(1, 40))
def test_by_default_every_pixel_is_covered_at_every_size(height, width):
    model = wrap(
        torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 4))
    )
    x = torch.ones(1, 3, height, width)
    for shape in ("patch", "disc"):
        made = occlusion(model, x, 0, shape=shape, fill=0.0).result(progress=False)
        assert (made.map != 0).all()


def test_each_snapshot_is_a_valid_part_and_is_not_changed_later(model):
    x = images(2)
    run = occlusion(model, x, window=2, stride=2, batch_size=8)
    shots, copies = [], []
    for shot in run:
        shots.append(shot)
        copies.append((shot.map.clone(), shot.drops.clone()))
    assert [int(shot.drops.isfinite().sum()) for shot in shots] == [8, 16, 24, 32]
    assert all(torch.equal(shot.map, map) for shot, (map, _) in zip(shots, copies, strict=True))
    last = shots[-1]
    for shot in shots:
        known = shot.drops.isfinite()
        assert torch.equal(shot.drops[known], last.drops[known])
        assert (shot.map.nonzero().shape[0]) == 4 * int(known.sum())


def test_the_smallest_disc_is_chosen_among_the_most_suppressive():
    drops = torch.tensor([[0.1, 0.8, 0.2, 0.3], [0.9, 0.7, 0.0, 0.1], [1.0, 0.95, 0.9, torch.nan]])
    radii = [1.0, 2.0, 3.0]
    # The best 1 of 11; the best 3; the best 6, in which the smallest radius has one disc.
    assert smallest_disc(drops, radii, 0.1) == (2, 0)
    assert smallest_disc(drops, radii, 0.37) == (1, 0)
    assert smallest_disc(drops, radii, 0.55) == (0, 1)
    assert smallest_disc(drops, radii, 1.0) == (0, 1)


def test_variable_occlusion_finds_a_small_spot():
    """The network depends on one position: the smallest disc over it suppresses the score as much as larger ones."""
    network = Linear()
    with torch.no_grad():
        network.fc.weight.zero_()
        network.fc.bias.zero_()
        network.fc.weight[0].view(3, SIZE, SIZE)[:, 5, 2] = 1.0
    model = wrap(network)
    run = variable_occlusion(
        model, torch.ones(1, 3, SIZE, SIZE), 0, radii=(1.0, 2.0, 3.0), stride=1, fill=0.0
    )
    made = run.result(progress=False)
    assert made.drops.shape == (1, 3, 8, 8)
    assert made.radii.tolist() == [1.0]
    row, column = (made.saliency()[0] == made.saliency().max()).nonzero().float().mean(0).tolist()
    assert abs(row - 5) <= 1
    assert abs(column - 2) <= 1
    assert (made.points[0] - torch.tensor([5.0, 2.0])).abs().max() <= 1
    assert made.suppressions[0] in made.drops[0, 0]


def test_variable_occlusion_has_a_result_after_every_batch(model):
    run = variable_occlusion(model, images(2), batch_size=32)
    count = 0
    for shot in run:
        assert torch.isfinite(shot.points[0]).all()
        assert torch.isfinite(shot.saliency()).all()
        count += 1
    assert count == run.total
    assert torch.isfinite(shot.radii).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 9}, "expected window to be an integer from 1 to 8, got 9"),
        ({"window": 0}, "expected window to be an integer from 1 to 8, got 0"),
        ({"window": 2, "stride": 3}, "expected stride to be an integer from 1 to 2"),
        ({"window": 4, "stride": 3, "shape": "disc"}, "expected stride to be an integer from 1 to 2"),
        ({"fill": "grey"}, "did you mean 'gray'"),
        ({"fill": 2.0}, "expected fill to be a number from 0 to 1, got 2.0"),
        ({"shape": "disk"}, "did you mean 'disc'"),
        ({"output": "scores"}, "did you mean 'score'"),
        ({"softness": -1.0}, "expected softness to be a number from 0 to 8, got -1.0"),
        ({"batch_size": 0}, "expected batch_size to be an integer of at least 1, got 0"),
    ],
)
def test_bad_options_are_refused(model, options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        occlusion(model, images(1), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"radii": ()}, "expected radii to be a sequence of numbers, got ()"),
        ({"radii": (0.0,)}, "above 0"),
        ({"stride": 0}, "expected stride to be an integer of at least 1, got 0"),
        ({"share": 0.0}, "expected share to be a number above 0 and at most 1, got 0.0"),
        ({"share": 1.1}, "expected share to be a number above 0 and at most 1, got 1.1"),
    ],
)
def test_bad_options_of_variable_occlusion_are_refused(model, options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        variable_occlusion(model, images(1), **options)


def test_a_bare_module_is_refused():
    with pytest.raises(TypeError, match="expected an ImageModel"):
        occlusion(Functional(), images(1))
