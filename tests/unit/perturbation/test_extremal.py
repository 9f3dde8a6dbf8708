"""Extremal perturbations on networks whose best masks are known, and properties of every search."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from closeness import assert_close, near, rounding
from examples import fewer_examples
from hypothesis import given
from hypothesis import strategies as st
from networks import CLASSES, LABELS, SIZE, Concat, Functional, images, one_sentence, settle, wrap
from snapshot import Broken, everything
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.ops.blur import gaussian_blur
from xai_widgets.ops.perturb import perturb, pyramid
from xai_widgets.perturbation.extremal import Extremal, ExtremalSettings, extremal
from xai_widgets.perturbation.mask_search import binarize

#: Quick, with several snapshots of starts and steps and an exchange.
QUICK = ExtremalSettings(steps=8, neighbor_exchange_every=2, scan=2)
TORCHRAY = dataclasses.replace(ExtremalSettings.torchray(), steps=4, grid=2, sigma=3.0, every=2)
AREAS = (0.1, 0.25, 0.5)
VARIANTS = ["preserve", "delete", "hybrid", "contrastive"]
SIDE = 32


class Weighted(nn.Module):
    """The score of class 0 is a sum of the pixels by weights, that of class 1 the opposite."""

    def __init__(self, weights):
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, x):
        score = (self.weights * x).sum((1, 2, 3))
        return torch.stack([score, -score], 1)


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


@pytest.fixture(scope="module")
def hills():
    """Weights with two hills that a disc does not cover both of, and a hollow; the network of them."""
    index = (torch.arange(SIDE) + 0.5) / SIDE

    def hill(row, column, width):
        return torch.exp(-((index[:, None] - row) ** 2 + (index - column) ** 2) / (2 * width**2))

    weights = hill(0.25, 0.3, 0.08) + 0.8 * hill(0.75, 0.7, 0.1) - hill(0.5, 0.5, 0.1)
    return weights, ImageModel(Weighted(weights), size=SIDE)


def run(*args, **options):
    options = {"areas": AREAS, "settings": QUICK} | options
    return extremal(*args, **options).result(progress=False)


def best_sum(weights, area):
    """The sum of the highest weights of an area."""
    return weights.flatten().sort(descending=True).values[: round(area * weights.numel())].sum()


@pytest.mark.parametrize("variant", VARIANTS)
def test_where_the_score_is_a_sum_of_pixels_the_best_pixels_are_found(variant, hills):
    """Under fading a white image, preserved or deleted, scores the weights of its pixels."""
    weights, model = hills
    x = torch.ones(1, 3, SIDE, SIDE) / 3
    areas = (0.05, 0.1, 0.2)
    made = extremal(model, x, 0, areas=areas, variant=variant, perturbation="fade").result(progress=False)
    best = torch.stack([best_sum(weights, area) for area in areas])
    assert (made.scores[0] >= 0.95 * best).all()
    assert (made.complement_scores[0] <= weights.sum() - 0.95 * best).all()


def test_a_disc_is_beaten(hills):
    weights, model = hills
    x = torch.ones(1, 3, SIDE, SIDE) / 3
    made = extremal(model, x, 0, areas=[0.1], perturbation="fade").result(progress=False)
    index = torch.arange(SIDE) + 0.5
    scores = []
    for row in range(0, SIDE, 2):
        for column in range(0, SIDE, 2):
            near = -((index[:, None] - row) ** 2 + (index - column) ** 2)
            scores.append((binarize(near[None, None], [0.1])[0, 0] * weights).sum().item())
    assert made.scores.item() > max(scores) + 0.05


def margin(result):
    """The score of the class minus the largest other one, (N, A), where the masks are preserved."""
    own = torch.arange(CLASSES) == result.target.view(-1, 1, 1)
    return result.scores - result.class_scores[:, :, 0].masked_fill(own, -math.inf).amax(2)


@pytest.mark.parametrize("settings", [QUICK, TORCHRAY], ids=["ours", "torchray"])
@pytest.mark.parametrize("perturbation", ["blur", "fade"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_scores_are_those_of_the_masks_and_the_masks_have_their_area(
    model, variant, perturbation, settings
):
    x = images(2)
    before = torch.full((2, 3), -math.inf)
    for shot in extremal(
        model, x, [0, 3], areas=AREAS, variant=variant, perturbation=perturbation, settings=settings
    ):
        assert shot.masks.shape == shot.smooth.shape == (2, 3, SIZE, SIZE)
        counts = torch.tensor([round(area * SIZE**2) for area in AREAS])
        assert torch.equal(shot.masks.sum((2, 3)), counts.expand(2, 3).float())
        assert set(shot.masks.unique().tolist()) <= {0.0, 1.0}
        assert ((shot.smooth >= 0) & (shot.smooth <= 1)).all()
        levels = pyramid(x, perturbation)
        for index, masks in enumerate((shot.masks, 1 - shot.masks)):
            with torch.no_grad():
                expected = model(perturb(levels, masks).flatten(0, 1)).view(2, 3, CLASSES)
            assert_close(shot.class_scores[:, :, index], expected)
            own = (shot.scores, shot.complement_scores)[index]
            assert_close(own[0], expected[0, :, 0])
            assert_close(own[1], expected[1, :, 3])
        value = {
            "preserve": shot.scores,
            "delete": -shot.complement_scores,
            "hybrid": shot.scores - shot.complement_scores,
            "contrastive": margin(shot),
        }[variant]
        assert (value >= before - rounding(shot.class_scores)).all()
        before = value
        assert_close(shot.whole, model(x)[[0, 1], [0, 3]])
        assert_close(shot.perturbed, model(levels[:, 0])[[0, 1], [0, 3]])
        assert not shot.class_scores.requires_grad
    assert not torch.isnan(shot.class_scores).any()


def test_smooth_masks_of_our_search_have_their_area(model):
    assert run(model, images(2)).area_errors.abs().max() < 1e-3


def test_the_default_is_the_predicted_class_and_a_label_names_one(model):
    x = images(2)
    predicted = model(x).argmax(1)
    assert torch.equal(run(model, x).target, predicted)
    assert torch.equal(run(model, x, LABELS[2]).masks, run(model, x, 2).masks)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_layer_is_masked_in_its_own_resolution(variant):
    model = wrap(settle(Functional()))
    x, layer = images(2), "conv2"
    made = run(model, x, 1, layer=layer, variant=variant, areas=[0.25, 0.5])
    assert made.masks.shape == (2, 2, 4, 4)
    assert torch.equal(made.masks.sum((2, 3)), torch.tensor([[4.0, 8.0]] * 2))
    levels = pyramid(model.activations(x, layer)[layer])
    with torch.no_grad():
        shown = perturb(levels, made.masks).flatten(0, 1)
        expected = model.forward_from(layer, shown)[:, 1].view(2, 2)
    assert_close(made.scores, expected)
    assert_close(made.whole, model(x)[:, 1])
    assert made.saliency().shape == (2, SIZE, SIZE)


@pytest.mark.parametrize("variant", VARIANTS)
def test_resuming_from_a_result_is_never_worse(model, variant):
    first = run(model, images(2), variant=variant)
    for settings in (QUICK, dataclasses.replace(QUICK, steps=1, softness=(0.3, 0.3))):
        more = run(model, images(2), variant=variant, settings=settings, start=first)
        value = {"preserve": 1, "delete": 0, "hybrid": 1, "contrastive": 0}[variant] * (
            more.scores - first.scores
        )
        value = value - {"preserve": 0, "delete": 1, "hybrid": 1, "contrastive": 0}[variant] * (
            more.complement_scores - first.complement_scores
        )
        value = value + (variant == "contrastive") * (margin(more) - margin(first))
        assert (value >= -rounding(first.scores, first.complement_scores)).all()


def test_the_masks_of_a_result_are_kept_even_if_its_parameters_lead_elsewhere(model):
    options = dataclasses.replace(QUICK, steps=1, lengths=[1e-9])
    first = run(model, images(1))
    lost = dataclasses.replace(first, parameters=-first.parameters)
    made = run(model, images(1), first.target, settings=options, start=lost)
    assert torch.equal(made.masks, first.masks)


def test_a_result_for_other_areas_gives_only_the_start(model):
    first = run(model, images(1))
    made = run(model, images(1), start=first, areas=(0.2, 0.4, 0.6))
    assert torch.equal(made.masks.sum((2, 3)), torch.tensor([[13.0, 26.0, 38.0]]))


def test_a_mask_is_a_start(hills):
    """Without steps the search stays at its start."""
    _, model = hills
    x = torch.ones(1, 3, SIDE, SIDE) / 3
    mask = torch.zeros(SIDE, SIDE)
    mask[20:28, 19:27] = 1
    options = ExtremalSettings(steps=1, lengths=[1e-6])
    for start in (mask, mask[None], mask.numpy(), 1e-9 * mask):
        made = extremal(model, x, 0, areas=[64 / SIDE**2], settings=options, start=start, perturbation="fade")
        found = made.result(progress=False).masks[0, 0]
        assert (found * mask).sum() > 0.85 * 64


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_mask_is_replaced_by_a_disc(value):
    index = (torch.arange(SIDE) + 0.5) / SIDE
    weights = torch.exp(-((index[:, None] - 0.4) ** 2) / 0.0128 - (index - 0.5) ** 2 / 0.18)
    model = ImageModel(Weighted(weights), size=SIDE)
    x = torch.ones(1, 3, SIDE, SIDE) / 3
    made = extremal(model, x, 0, areas=[0.1], start=torch.full((SIDE, SIDE), value), perturbation="fade")
    found = made.result(progress=False)
    assert torch.isfinite(found.parameters).all()
    assert found.scores.item() > 0.97 * best_sum(weights, 0.1)


@pytest.mark.parametrize(
    ("start", "kind", "message"),
    [
        (torch.zeros(3, 8, 8), ValueError, r"expected a start \(h, w\), or one for each of 2 images, got 3"),
        (torch.full((8, 8), math.nan), ValueError, "expected finite start, got NaN or infinite values"),
        (torch.zeros(2, 1, 8, 8), ValueError, r"expected start of shape \(N, h, w\), got \(2, 1, 8, 8\)"),
        ("mask", TypeError, r"expected start as numbers of shape \(N, h, w\), got 'mask'"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(model, start, kind, message):
    with pytest.raises(kind, match=message) as error:
        run(model, images(2), start=start)
    one_sentence(error)


def test_a_result_that_does_not_fit_is_refused(model):
    with pytest.raises(ValueError, match="a result for the same images, areas, layer and grid") as error:
        run(model, images(2), start=run(model, images(1)))
    one_sentence(error)
    with pytest.raises(ValueError, match="leave it out") as error:
        run(model, images(1), start=torch.ones(8, 8), settings=TORCHRAY)


def result(scores, outside, *, whole, perturbed, tau=1.0, variant="preserve"):
    """An Extremal with given scores of class 0."""
    scores, outside = torch.tensor(scores), torch.tensor(outside)
    count = len(scores)
    return Extremal(
        areas=torch.tensor([0.1, 0.2, 0.4, 0.8])[:count],
        masks=torch.zeros(1, count, 4, 4),
        smooth=torch.zeros(1, count, 4, 4),
        class_scores=torch.stack([scores, outside], 1)[None, :, :, None],
        target=torch.zeros(1, dtype=torch.long),
        end_scores=torch.tensor([[[perturbed], [whole]]]),
        variant=variant,
        tau=tau,
        size=(4, 4),
        parameters=torch.zeros(1, count, 4, 4),
    )


@pytest.mark.parametrize(
    ("tau", "variant", "expected"),
    [
        (1.0, "preserve", 0.4),
        (0.5, "preserve", 0.2),
        (0.1, "preserve", 0.1),
        (2.0, "preserve", math.nan),
        (1.0, "hybrid", 0.4),
        (1.0, "contrastive", 0.4),
        # Deleted: at or below the score of the perturbed image.
        (1.0, "delete", 0.8),
        (9.0, "delete", 0.8),
    ],
)
def test_the_best_area_is_the_smallest_sufficient_one(tau, variant, expected):
    made = result(
        [1.0, 5.0, 8.0, 9.0], [7.0, 3.0, 2.0, 1.0], whole=8.0, perturbed=1.5, tau=tau, variant=variant
    )
    assert made.best_area.item() == near(expected)


@given(st.lists(st.floats(-10, 10, width=32), min_size=4, max_size=4), st.floats(-10, 10, width=32))
def test_the_best_area_is_equation_3(scores, whole):
    made = result(scores, scores, whole=whole, perturbed=0.0)
    sufficient = [area for area, score in zip((0.1, 0.2, 0.4, 0.8), scores, strict=True) if score >= whole]
    assert made.best_area.item() == near(min(sufficient, default=math.nan))


def test_the_saliency_is_the_blurred_sum_of_the_masks(model):
    made = run(model, images(2))
    assert_close(made.saliency(), gaussian_blur(made.masks.sum(1), 0.09 * SIZE))


def test_an_area_of_everything_and_one_of_a_pixel(model):
    made = run(model, images(2), areas=[1 / SIZE**2, 1.0])
    assert torch.equal(made.masks.sum((2, 3)), torch.tensor([[1.0, SIZE**2]] * 2))
    assert_close(made.scores[:, 1], made.whole)
    assert_close(made.complement_scores[:, 1], made.perturbed)
    assert torch.isfinite(made.parameters).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_image_that_the_blur_does_not_change_ends_early(model, variant):
    options = ExtremalSettings(steps=400, scan=2, patience=3)
    begun = extremal(
        model, torch.full((1, 3, SIZE, SIZE), 0.5), variant=variant, areas=AREAS, settings=options
    )
    made = begun.result(progress=False)
    assert begun.done < begun.total / 2
    assert torch.isfinite(made.class_scores).all()
    assert torch.isfinite(made.smooth).all()
    assert_close(made.scores, made.whole[:, None].expand_as(made.scores))


@pytest.mark.parametrize("layer", [None, "conv2"])
@pytest.mark.parametrize("settings", [QUICK, TORCHRAY], ids=["ours", "torchray"])
def test_the_same_call_gives_the_same_bits_in_any_mode(model, settings, layer):
    x = images(2)
    expected = run(model, x, settings=settings, layer=layer)
    torch.manual_seed(99)
    made = [run(model, x, settings=settings, layer=layer)]
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            made.append(run(model, x.clone(), settings=settings, layer=layer))
    with torch.inference_mode():
        begun = extremal(model, x, areas=AREAS, settings=settings, layer=layer)
        steps = iter(begun)
        next(steps)
    for _ in steps:
        pass
    for one in (*made, begun.latest):
        for name in ("masks", "smooth", "class_scores", "parameters", "whole", "perturbed"):
            assert torch.equal(getattr(one, name), getattr(expected, name)), name


def test_a_result_of_inference_mode_can_be_resumed_outside_of_it(model):
    with torch.inference_mode():
        first = run(model, images(1))
    assert torch.isfinite(run(model, images(1), start=first).scores).all()


@pytest.mark.parametrize("settings", [QUICK, TORCHRAY], ids=["ours", "torchray"])
def test_results_do_not_depend_on_the_batch(model, settings):
    x = images(3)
    together = run(model, x, settings=settings)
    for size in (1, 4):
        other = run(model, x, settings=settings, batch_size=size)
        assert_close(other.scores, together.scores)
    for index in range(3):
        alone = run(model, x[index : index + 1], settings=settings)
        assert_close(alone.scores[0], together.scores[index])


@fewer_examples(4)
@given(st.floats(1e-2, 1e3))
def test_results_do_not_depend_on_the_scale_of_the_scores(scale):
    network = settle(Functional())
    expected = run(wrap(network), images(1), 1)
    other = settle(Functional())
    with torch.no_grad():
        other.fc.weight.mul_(scale)
        other.fc.bias.mul_(scale)
    made = run(wrap(other), images(1), 1)
    torch.testing.assert_close(made.scores / scale, expected.scores, atol=5e-2, rtol=1e-2)


def test_gray_images_that_are_not_square_and_arrays_are_accepted(model):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    gray = wrap(settle(network), mean=[0.5], std=[0.25], size=(10, 7), labels=None)
    x = torch.rand(2, 1, 10, 7, generator=torch.Generator().manual_seed(0))
    for settings in (QUICK, TORCHRAY):
        made = run(gray, x, settings=settings)
        assert made.masks.shape == (2, 3, 10, 7)
        assert torch.equal(made.masks.sum((2, 3)), torch.tensor([[7.0, 18.0, 35.0]] * 2))
    array = np.random.default_rng(3).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    assert run(model, array).saliency().shape == (1, SIZE, SIZE)


@pytest.mark.parametrize("event", ["normal", "forward", "backward", "interrupted"])
@pytest.mark.parametrize("settings", [QUICK, TORCHRAY], ids=["ours", "torchray"])
def test_the_network_of_the_caller_is_unchanged_and_the_latest_result_is_kept(settings, event):
    network = settle(Broken())
    model, x = wrap(network), images(2)
    model.layers()
    network.train()
    for parameter in list(network.parameters())[::2]:
        parameter.requires_grad_(False)
    before, pixels = everything(network), x.clone()
    begun = extremal(model, x, areas=AREAS, settings=settings)
    if event == "normal":
        begun.result(progress=False)
    else:
        error = KeyboardInterrupt() if event == "interrupted" else RuntimeError("it broke")
        steps = iter(begun)
        next(steps)
        network.fuse[:] = ["backward" if event == "backward" else "forward", error, 1]
        with pytest.raises(type(error)):
            list(steps)
        assert begun.latest.masks.shape == (2, 3, SIZE, SIZE)
        network.fuse[:] = [None, None, 0]
    after = everything(network)
    for what in before:
        assert after[what] == before[what], what
    assert torch.equal(x, pixels)


def test_a_cancelled_search_keeps_its_latest_result(model):
    begun = extremal(model, images(2), areas=AREAS, settings=QUICK)
    for _ in begun:
        begun.cancel()
    assert begun.done == 1
    made = begun.result(progress=False)
    assert torch.isfinite(made.class_scores).all()


def test_the_total_is_the_number_of_snapshots(model):
    for settings, count in ((dataclasses.replace(QUICK, patience=99, steps=7), 2 + 7), (TORCHRAY, 2)):
        begun = extremal(model, images(1), areas=AREAS, settings=settings)
        begun.result(progress=False)
        assert begun.done == begun.total == count


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"variant": "preserved"}, ValueError, "preserve"),
        ({"perturbation": "blurr"}, ValueError, "blur"),
        ({"layer": "conv22"}, ValueError, "conv2"),
        (
            {"layer": "fc"},
            ValueError,
            r"with spatial positions, .* got 'fc' with an output of shape \(4,\); try 'conv2'",
        ),
        ({"areas": [0.2, 0.1]}, ValueError, r"expected ascending areas, got \[0\.2, 0\.1\]"),
        ({"areas": [0.001]}, ValueError, "one of 64 pixels"),
        ({"settings": {"steps": 3}}, TypeError, "ExtremalSettings"),
        ({"batch_size": 0}, ValueError, "batch_size"),
    ],
)
def test_bad_arguments_are_refused(model, options, kind, message):
    with pytest.raises(kind, match=message) as error:
        run(model, images(1), **options)
    one_sentence(error)


def test_a_bare_network_is_refused():
    with pytest.raises(TypeError, match="expected an ImageModel"):
        extremal(Concat(), images(1))
