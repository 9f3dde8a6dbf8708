"""Minimal images and greedy regions against their rules, spelled out step by step."""

import re

import pytest
import torch
from closeness import assert_close, near
from hypothesis import given
from hypothesis import strategies as st
from networks import GRID, SIZE, Functional, images, settle, wrap

from xai_widgets.core.images import to_images
from xai_widgets.data import scenes
from xai_widgets.methods import METHODS
from xai_widgets.ops.blur import gaussian_blur
from xai_widgets.perturbation.regions import greedy_order, greedy_regions, minimal_image
from xai_widgets.perturbation.segments import oversegmentations


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def deleted_one_by_one(model, image, fill, target):
    """Delete by the rule of the paper: the order of the segments, the probabilities, and the segments left."""
    left, order = set(range(16)), []
    scores = [model.probs(image[None])[0, target].item()]
    while left:
        tried = {}
        for segment in sorted(left):
            shown = torch.isin(GRID, torch.tensor(sorted(left - {segment}), dtype=torch.long))
            tried[segment] = model.probs(torch.where(shown, image, fill)[None])[0]
        best = max(tried, key=lambda segment: tried[segment][target].item())
        if tried[best].argmax() != target:
            break
        left.remove(best)
        order.append(best)
        scores.append(tried[best][target].item())
    return order, scores, left


@pytest.mark.parametrize("fill", ["blur", "mean", 0.0])
def test_segments_go_by_the_rule_until_the_label_changes(model, fill):
    x = images(3, seed=4)
    targets = model.probs(x).argmax(1)
    made = minimal_image(model, x, segments=GRID, fill=fill, batch_size=5).result(progress=False)
    fills = {"blur": gaussian_blur(x, 10 / 224 * SIZE), "mean": x.mean((2, 3), keepdim=True).expand_as(x)}
    hidden = fills.get(fill, torch.zeros_like(x))
    lengths = set()
    for n in range(3):
        order, scores, left = deleted_one_by_one(model, x[n], hidden[n], targets[n])
        lengths.add(len(order))
        assert made.order[n].tolist() == order + [-1] * (16 - len(order))
        assert made.scores[n, : len(scores)].tolist() == near(scores)
        assert torch.isnan(made.scores[n, len(scores) :]).all()
        mask = torch.isin(GRID, torch.tensor(sorted(left), dtype=torch.long))
        assert torch.equal(made.masks[n], mask)
        assert torch.equal(made.images[n], torch.where(mask, x[n], hidden[n]))
        assert model.probs(made.images)[n].argmax() == targets[n]
        # Segments that are deleted first have the lowest values, those that remain the highest.
        saliency = made.saliency()[n]
        for rank, segment in enumerate(order):
            assert (saliency[segment == GRID] == rank / 16).all()
        assert (saliency[mask] == 1).all()
    # Nothing remains only if the fill has the label; this holds for some images at most.
    assert fill != 0.0 or min(lengths) < 16


def test_the_label_is_kept_in_every_snapshot_and_none_is_changed_later(model):
    x = images(2, seed=4)
    run = minimal_image(model, x, segments=GRID, fill=0.0)
    shots = list(run)
    targets = model.probs(x).argmax(1)
    gone = [int((~shot.masks).sum()) // 4 for shot in shots]
    assert gone == list(range(len(shots)))
    assert all(torch.equal(model.probs(shot.images).argmax(1), targets) for shot in shots)
    assert torch.equal(shots[0].saliency(), torch.ones(2, SIZE, SIZE))
    assert len(shots) <= run.total


def test_only_the_predicted_class_can_be_kept(model):
    x = images(1)
    other = (int(model.probs(x).argmax()) + 1) % 4
    with pytest.raises(ValueError, match="expected the predicted class as target, got class 3, 'hammerhead'"):
        minimal_image(model, x, other, segments=GRID)


def greedy(masks, values):
    """XRAI's rule with sets of pixels."""
    left = [set(mask.nonzero().flatten().tolist()) for mask in masks]
    while any(left):
        gains = [sum(values[u].item() for u in region) / len(region) if region else -1e9 for region in left]
        best = max(range(len(left)), key=lambda r: gains[r])
        fresh = left[best]
        yield sorted(fresh), gains[best]
        left = [region - fresh for region in left]


@given(st.integers(0, 2**31), st.integers(1, 8))
def test_regions_come_in_greedy_order_and_cover_all(seed, count):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(count, 20, generator=generator) < 0.4
    masks[0] |= ~masks.any(0)
    values = torch.randn(20, generator=generator)
    made = [(fresh.tolist(), gain) for fresh, gain in greedy_order(masks, values)]
    for (fresh, gain), (expected, density) in zip(made, greedy(masks, values), strict=True):
        assert fresh == expected
        assert gain == near(density, scale=values)
    assert sorted(pixel for fresh, _ in made for pixel in fresh) == list(range(20))


def test_the_map_has_the_mean_attribution_of_what_came_together(model):
    x = images(2)
    values = torch.randn(2, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    regions = torch.stack([segment == GRID for segment in range(16)] + [GRID < 8, GRID >= 4])
    made = greedy_regions(model, x, attribution=values, regions=regions).result(progress=False)
    for n in range(2):
        for rank in range(int(made.order[n].max()) + 1):
            inside = made.order[n] == rank
            assert inside.any()
            density = values[n][inside].mean().item()
            assert made.map[n][inside].tolist() == near([density] * int(inside.sum()), scale=values)
        # The best region of all is the first.
        first = max(values[n][mask].mean().item() for mask in regions)
        assert made.map[n][made.order[n] == 0][0].item() == near(first, scale=values)
        assert made.saliency()[n].max().item() == near(first, scale=values)
    assert torch.equal(made.attribution, values)


def test_the_default_is_integrated_gradients_from_black_and_white_on_regions_of_the_image():
    x = to_images([scenes.scene(i, size=32).image for i in range(2)])
    model = wrap(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
                                     torch.nn.Flatten()), size=32)  # fmt: skip
    run = greedy_regions(model, x, 1, steps=4)
    made = run.result(progress=False)
    black, white = (
        METHODS["integrated_gradients"].saliency(model, x, 1, steps=4, baseline=end) for end in (0.0, 1.0)
    )
    assert_close(made.attribution, (black + white) / 2)
    assert (made.order >= 0).all()
    for n in range(2):
        first = made.order[n] == 0
        densities = [made.attribution[n][region].mean() for region in oversegmentations(x[n])]
        assert made.map[n][first][0].item() == near(max(densities).item())


@pytest.mark.parametrize("stop", [1, 3, 5, 8])
def test_a_cancel_during_the_attribution_stops_before_the_next_pass(model, stop):
    """Black and white each take five passes: 2 of the 5 points of two images."""
    passes = []
    handle = model.module.register_forward_hook(lambda _module, given, _made: passes.append(len(given[0])))
    x, regions = images(2), torch.stack([segment == GRID for segment in range(16)])
    run = greedy_regions(model, x, 0, regions=regions, steps=5, batch_size=2)
    shots = []
    for shot in run:
        shots.append(shot)
        if run.done == stop:
            run.cancel()
    handle.remove()
    assert passes == [2] * stop
    assert len(shots) == run.done == stop
    assert run.progress == stop / (10 + 2 * 20)
    assert run.latest is shots[-1]
    assert all((shot.order == -1).all() and (shot.saliency() == 0).all() for shot in shots)
    # The black end of an image is summed up with the third pass, that of the other after five, and half of it counts.
    black = METHODS["integrated_gradients"].saliency(model, x, 0, steps=5, batch_size=2) / 2
    whole = 2 * stop // 5
    if stop <= 5:
        assert_close(run.latest.attribution[:whole], black[:whole])
        assert (run.latest.attribution[-(-2 * stop // 5) :] == 0).all()
    assert len({tuple(shot.attribution.flatten().tolist()) for shot in shots}) == stop


def test_a_run_begun_in_inference_mode_goes_on_outside_of_it(model):
    x, regions = images(2), torch.stack([segment == GRID for segment in range(16)])
    expected = greedy_regions(model, x, 0, regions=regions, steps=3).result(progress=False)
    with torch.inference_mode():
        run = greedy_regions(model, x.clone(), 0, regions=regions, steps=3, batch_size=16)
        steps = iter(run)
        next(steps)
    for _ in steps:
        pass
    assert torch.equal(run.latest.saliency(), expected.saliency())


@pytest.mark.parametrize("method", ["gradient", lambda model, x, target: x.sum(1)])
def test_any_method_in_the_resolution_of_the_image_is_accepted(model, method):
    x = images(1)
    made = greedy_regions(model, x, 0, attribution=method, regions=GRID[None] >= 0).result(progress=False)
    expected = METHODS["gradient"].saliency(model, x, 0) if method == "gradient" else x.sum(1)
    assert_close(made.saliency(), expected.mean().expand(1, SIZE, SIZE))


def test_uncovered_pixels_are_lowest_and_no_snapshot_changes_later(model):
    x, values = images(2), torch.randn(2, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    regions = torch.stack([segment == GRID for segment in range(16)])
    run = greedy_regions(model, x, 0, attribution=values, regions=regions)
    shots, covered = [], []
    for shot in run:
        shots.append(shot)
        covered.append(int((shot.order >= 0).sum()))
        saliency = shot.saliency()
        for n in range(2):
            hidden = shot.order[n] < 0
            if hidden.any():
                assert (saliency[n][hidden] == saliency[n].min()).all()
    assert covered == [4 * k for k in range(1, 33)]
    assert [int((shot.order >= 0).sum()) for shot in shots] == covered
    assert len(shots) <= run.total


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (
            {"attribution": torch.zeros(1, 4, 4)},
            ValueError,
            "expected attribution of shape (1, 8, 8), got (1, 4, 4)",
        ),
        ({"attribution": "integrated"}, ValueError, "unknown method"),
        (
            {"attribution": torch.zeros(1, 8, 8), "steps": 3},
            TypeError,
            "expected options only with a method, got steps with a map",
        ),
        ({"step": 3}, TypeError, "unexpected keyword argument 'step'; did you mean 'steps'"),
        ({"batch_size": 0}, ValueError, "expected batch_size to be an integer of at least 1, got 0"),
        ({"regions": torch.ones(2, 4, 4)}, ValueError, "expected regions of shape (R, 8, 8), got (2, 4, 4)"),
        (
            {"regions": GRID[None] > 0},
            ValueError,
            "expected every pixel in at least one of the regions, got 4 pixels in none",
        ),
    ],
)
def test_bad_maps_and_regions_are_refused(model, options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        greedy_regions(model, images(1), **options)


def test_a_map_of_a_layer_is_refused_with_an_alternative(model):
    run = greedy_regions(model, images(1), attribution="grad_cam", layer="conv2", regions=GRID[None] >= 0)
    with pytest.raises(
        ValueError,
        match=r"expected a method with maps in the resolution of the images, \(8, 8\), such as 'integrated_gradients'",
    ):
        run.result(progress=False)
