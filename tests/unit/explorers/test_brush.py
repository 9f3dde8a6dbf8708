"""The brush without a browser: what the network is asked, and what is shown of its answer."""

import re
import threading

import numpy as np
import pytest
import torch
from closeness import assert_close

from xai_widgets.attribution import gradient
from xai_widgets.explorers.brush import FILLS, PerturbationBrush
from xai_widgets.ops.blur import gaussian_blur
from xai_widgets.ops.fill import inpaint
from xai_widgets.perturbation import ExtremalSettings, extremal
from xai_widgets.perturbation.area_search import discs
from xai_widgets.perturbation.mask_search import binarize
from xai_widgets.similarity import activation_grids, pack

PATIENCE = 60


@pytest.fixture
def model(ungated):
    return ungated


def settle(brush):
    assert brush.wait(PATIENCE)
    assert brush._scorer.wait(PATIENCE)


def painting(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)


def shown(brush):
    """The probability that is shown of each of the best classes."""
    return dict(zip(brush.scores.indices[0, 0].tolist(), brush.scores.values[0, 0].tolist(), strict=True))


@pytest.mark.parametrize("name", FILLS)
def test_the_network_sees_the_image_with_the_fill_where_it_is_painted(brush, name):
    brush.brush.fill = FILLS.index(name)
    brush.brush.mask = mask = painting()
    settle(brush)
    x = brush.image
    m = torch.from_numpy(mask / np.float32(255))
    fills = {
        "gray": torch.full_like(x, 0.5),
        "noise": brush._fill("noise", None),
        "inpaint": inpaint(x, m),
        "blur": gaussian_blur(x, 20 / 224 * 16),
    }
    probs = brush.model.probs(x + m * (fills[name] - x))[0]
    made = shown(brush)
    assert list(made) == probs.topk(5).indices.tolist()
    assert_close(list(made.values()), probs.topk(5).values)
    assert_close(brush.scores.target_values, probs[brush.target].item())
    # What the browser draws is what the network saw, but for the rounding to bytes.
    drawn = brush.brush.fills[FILLS.index(name)] / 255
    # Drawn in 256 steps.
    np.testing.assert_allclose(drawn, fills[name][0].permute(1, 2, 0), atol=0.51 / 255)


def test_the_last_of_many_strokes_is_the_one_that_is_shown(brush):
    for seed in range(20):
        brush.brush.mask = painting(seed)
    settle(brush)
    x, m = brush.image, torch.from_numpy(painting(19) / np.float32(255))
    probs = brush.model.probs(x + m * (gaussian_blur(x, 20 / 224 * 16) - x))[0]
    assert_close(brush.scores.target_values, probs[brush.target].item())


def test_a_pass_under_way_is_shown_and_then_the_newest_mask(brush):
    settle(brush)
    permits, passes, seen = threading.Semaphore(0), threading.Semaphore(0), []

    def stand(_module, _given):
        passes.release()
        assert permits.acquire(timeout=PATIENCE)

    brush.scores.observe(lambda change: seen.append(float(change.new[0, 0])), "target_values")
    gate = brush.model.module.register_forward_pre_hook(stand)
    brush.brush.mask = painting(0)
    assert passes.acquire(timeout=PATIENCE)
    for seed in range(1, 20):
        brush.brush.mask = painting(seed)
    permits.release(2)
    settle(brush)
    gate.remove()
    # Two passes for twenty masks: the first was taken above.
    assert passes.acquire(blocking=False)
    assert not passes.acquire(blocking=False)
    x, made = brush.image, gaussian_blur(brush.image, 20 / 224 * 16)
    masks = [torch.from_numpy(painting(seed) / np.float32(255)) for seed in (0, 19)]
    wanted = [brush.model.probs(x + m * (made - x))[0, brush.target].item() for m in masks]
    assert_close(seen, wanted)


def test_a_pass_that_fails_says_so_and_the_next_mask_is_scored(brush):
    settle(brush)

    def fail(_module, _given):
        raise RuntimeError("no memory left")

    gate = brush.model.module.register_forward_pre_hook(fail)
    brush.brush.mask = painting(0)
    settle(brush)
    gate.remove()
    assert brush.run_bar.error == "no memory left"
    brush.brush.mask = painting(1)
    settle(brush)
    x, m = brush.image, torch.from_numpy(painting(1) / np.float32(255))
    probs = brush.model.probs(x + m * (gaussian_blur(x, 20 / 224 * 16) - x))[0]
    assert_close(brush.scores.target_values, probs[brush.target].item())


def test_a_stroke_changes_the_overlays_of_a_layer(model, image):
    brush = PerturbationBrush(model, image, layers="1")
    try:
        settle(brush)
        view = brush.similarity
        assert view.layer_labels == ["1"]
        assert view.labels == ["image", "painted"]
        # Without paint both images are the same.
        assert np.array_equal(view.images[0], view.images[1])
        assert np.array_equal(view.activations[0][0], view.activations[0][1])
        brush.brush.mask = painting()
        settle(brush)
        mask = torch.from_numpy(painting() / np.float32(255))
        x = model.images(image)
        painted = torch.lerp(x, brush._fill(FILLS[0], mask), mask)
        grids = activation_grids(model, torch.cat([x, painted]), ["1"]).result(progress=False)
        expected = pack(grids)[0]
        assert np.array_equal(view.images, model.to_rgb(torch.cat([x, painted])))
        assert np.array_equal(view.activations[0], expected.codes)
        assert not np.array_equal(view.activations[0][0], view.activations[0][1])
        position = view.position
        brush.brush.mask = None
        settle(brush)
        assert np.array_equal(view.activations[0][0], view.activations[0][1])
        assert view.position == position
    finally:
        brush.close()
    with pytest.raises(ValueError, match="expected a layer with spatial positions"):
        PerturbationBrush(model, image, layers="4")


def test_another_image_forgets_the_paint(brush):
    brush.brush.mask = painting()
    brush.image = other = np.random.default_rng(9).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    settle(brush)
    assert brush.brush.mask is None
    probs = brush.model.probs(other)[0]
    assert_close(brush.scores.values[0, 0], probs.topk(5).values)
    assert_close(brush.scores.reference, probs)
    assert brush.scores.target == brush.target == int(probs.argmax())


@pytest.mark.parametrize("name", FILLS)
def test_refine_keeps_area_and_fill_and_is_no_worse_than_any_disc(brush, name):
    start = np.zeros((16, 16), dtype=np.uint8)
    start[:4, :8] = 255
    brush.brush.fill = FILLS.index(name)
    brush.brush.mask = start
    settle(brush)
    before = float(brush.scores.target_values[0, 0])
    brush.compute(again=True)
    settle(brush)
    assert brush.run_bar.status == "done"
    assert brush.brush.fill == FILLS.index(name)
    assert (brush.brush.mask == 255).sum() == 32
    after = float(brush.scores.target_values[0, 0])
    assert after < before
    assert f"p {before:.3f} \u2192 {after:.3f}" in brush.run_bar.message
    x = brush.image
    for field in discs((16, 16), 3, torch.ones(1)):
        mask = binarize(field[None, None], [32 / 256])[0, 0]
        fill = brush._fill(name, mask)
        probability = brush.model.probs(torch.lerp(x, fill, mask))[0, brush.target].item()
        assert after <= probability + 1e-6


def test_refine_that_finds_nothing_better_leaves_the_paint(brush):
    brush.brush.mask = np.full((16, 16), 255, np.uint8)
    settle(brush)
    sent = []
    brush.brush.observe(sent.append, "mask")
    brush.compute(again=True)
    settle(brush)
    assert sent == []
    assert brush.run_bar.status == "done"
    assert brush.run_bar.message.startswith("no better mask of this area was found: score ")


def test_each_search_is_one_step_and_a_stroke_stops_it(brush):
    settle(brush)
    brush.brush.mask = painting()
    permits, passes = threading.Semaphore(0), threading.Semaphore(0)

    def stand(_module, given):
        if given[0].requires_grad:
            passes.release()
            assert permits.acquire(timeout=PATIENCE)

    gate = brush.model.module.register_forward_pre_hook(stand)
    steps = []
    brush.brush.observe(lambda _change: steps.append(brush.brush._step), "mask")
    brush.compute(again=True)
    assert passes.acquire(timeout=PATIENCE)
    assert brush.run_bar.status == "running"
    # As the browser sends it.
    mine = np.zeros((16, 16), dtype=np.uint8)
    mine[2:5] = 255
    brush.brush.set_state(
        {"mask": {"dtype": "uint8", "shape": [16, 16], "data": mine.tobytes()}, "_stroke": 1}
    )
    assert brush.run_bar.status == "cancelled"
    permits.release(1000)
    settle(brush)
    np.testing.assert_array_equal(brush.brush.mask, mine)
    brush.compute(again=True)
    settle(brush)
    gate.remove()
    assert brush.run_bar.status == "done"
    assert set(steps) == {1, 2}


def test_refine_asks_for_paint(brush):
    brush.compute(again=True)
    assert brush.run_bar.error == "nothing is painted: paint the mask to start from"
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
        ((torch.zeros(3, 4, 4),), "expected a mask of shape (h, w), got (3, 4, 4)"),
        (("gradient", 0.0), "expected area above 0 and at most 1, got 0.0"),
        (("gradientt",), "did you mean 'gradient'"),
    ],
)
def test_what_cannot_be_painted_is_refused(brush, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        brush.paint(*arguments)


def test_after_many_changes_the_scores_are_those_of_the_last(brush):
    """Fifty changes of mask and fill, as fast as they come, from two threads."""

    def paint(start):
        for number in range(start, 50, 2):
            brush.brush.mask = painting(number)
            brush.brush.fill = number % len(FILLS)

    other = threading.Thread(target=paint, args=(1,))
    other.start()
    paint(0)
    other.join(PATIENCE)
    assert brush.wait(PATIENCE)
    x, mask = brush.image, torch.from_numpy(brush.brush.mask / np.float32(255))
    fill = brush._fill(FILLS[brush.brush.fill], mask)
    probs = brush.model.probs(torch.lerp(x, fill, mask))[0]
    assert_close(brush.scores.values[0, 0], probs.topk(5).values)


def test_wait_ends_with_the_scores_of_what_is_painted(brush):
    assert brush.wait(PATIENCE)
    before = brush.scores.values.copy()
    entered, resume = threading.Event(), threading.Event()

    def stand(*_):
        entered.set()
        assert resume.wait(PATIENCE)

    hook = brush.model.module.register_forward_pre_hook(stand)
    brush.brush.mask = np.ones((16, 16))
    assert entered.wait(PATIENCE)
    assert not brush.wait(0.05)
    assert np.array_equal(brush.scores.values, before)
    resume.set()
    assert brush.wait(PATIENCE)
    hook.remove()
    assert not np.array_equal(brush.scores.values, before)
