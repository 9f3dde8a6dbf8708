"""The comparison of masks without a browser: equal areas, one judge, and nothing of what has not run."""

import numpy as np
import pytest
import torch
from closeness import near
from torch import nn

from xai_widgets.explorers import MaskComparison
from xai_widgets.ops.perturb import perturb, pyramid
from xai_widgets.perturbation.extremal import ExtremalSettings, extremal
from xai_widgets.perturbation.mask_search import pixel_count

PATIENCE = 60
AREAS = (0.1, 0.25, 0.5)
QUICK = ExtremalSettings(steps=4, neighbor_exchange_every=2, scan=2)


def mine(model, x, target):
    """A map whose order of the pixels is that of their places."""
    return torch.arange(256.0).reshape(1, 16, 16)


def comparison_of(model, image, methods=("gradient", mine, "extremal"), **options):
    if "extremal" in methods:
        options.setdefault("options", {"extremal": {"settings": QUICK}})
    return MaskComparison(model, image, list(methods), areas=AREAS, batch_size=6, **options)


@pytest.mark.parametrize("perturbation", ["blur", "fade"])
def test_every_lane_has_exactly_the_area_and_the_same_judge(model, image, perturbation):
    comparison = comparison_of(model, image, target=2, perturbation=perturbation)
    assert comparison.wait(PATIENCE)
    assert (comparison.run_bar.status, comparison.run_bar.error, comparison.run_bar.progress) == (
        "done",
        "",
        1.0,
    )
    levels = pyramid(model.images(image), perturbation)
    wholly, whole = model.scores(levels[0, [0, -1]])[:, 2].tolist()
    rows = []
    for panel in comparison.masks.values():
        assert (panel.masks == 255).sum((1, 2)).tolist() == [pixel_count(area, 256) for area in AREAS]
        assert set(np.unique(panel.masks)) == {0, 255}
        masks = torch.from_numpy(panel.masks // 255).float()[None]
        for part, ends in ((masks, (wholly, whole)), (1 - masks, (whole, wholly))):
            scores = model.scores(perturb(pyramid(model.images(image), perturbation), part)[0])[:, 2].tolist()
            rows.append([ends[0], *scores, ends[1]])
    assert comparison.curves.x == pytest.approx([0, *AREAS, 1])
    assert comparison.curves.y == near(np.array(rows))
    assert [(s["frame"], s["mode"]) for s in comparison.curves.series] == [
        (frame, mode) for frame in range(3) for mode in ("preserved", "deleted")
    ]
    expected = extremal(model, image, 2, areas=AREAS, perturbation=perturbation, settings=QUICK).result(
        progress=False
    )
    assert np.array_equal(comparison.masks["extremal"].masks, (255 * expected.masks[0]).byte().numpy())
    # The highest values first: the last positions of the image.
    assert (comparison.masks["mine"].masks[0].reshape(-1)[-26:] == 255).all()


def test_lanes_and_cursor_are_joined_to_controls_of_their_own(model, image):
    comparison = comparison_of(model, image, ["gradient", mine], start=False)
    gradient, own = comparison.masks.values()
    views = gradient, own, comparison.controls
    assert len({*(view._channels["area"] for view in views), comparison.curves._channels["fraction"]}) == 1
    for name in ("display", "position", "mode"):
        assert len({view._channels[name] for view in views}) == 1
    assert comparison.curves._channels["mode"] == own._channels["mode"]
    assert [(view.show_image, view.controls) for view in views] == [
        (True, False),
        (True, False),
        (False, True),
    ]
    comparison.compute()
    assert comparison.wait(PATIENCE)
    assert comparison.controls.areas == pytest.approx(AREAS)
    assert comparison.curves.steps == pytest.approx(AREAS)
    assert comparison.controls.ready == [True] * 3
    comparison.method_picker.selected = ["mine"]
    assert comparison.wait(PATIENCE)
    assert (gradient.layout.display, own.layout.display) == ("none", None)
    assert gradient.masks is None
    assert all(comparison.controls.ready)
    assert len(comparison.curves.y) == 2
    assert {s["frame"] for s in comparison.curves.series} == {1}
    comparison.method_picker.selected = []
    assert comparison.wait(PATIENCE)
    assert not any(comparison.controls.ready)
    assert comparison.run_bar.error == ""


def test_what_has_run_is_drawn_again_without_the_network(model, image):
    comparison = comparison_of(model, image, ["gradient", mine])
    assert comparison.wait(PATIENCE)
    y, lines = comparison.curves.y, comparison.curves.lines
    low, high = model.scores(pyramid(model.images(image), "blur")[0, [0, -1]])[:, comparison.target].tolist()
    assert [line["y"] for line in lines] == near([high, low])
    passes = []
    handle = model.module.register_forward_hook(lambda *call: passes.append(call[0]))
    comparison.method_picker.selected = ["mine"]
    assert comparison.wait(PATIENCE)
    handle.remove()
    assert comparison.run_bar.status == "done"
    assert np.array_equal(comparison.curves.y, y[2:])
    assert comparison.curves.lines == lines
    assert passes == []


def flat(model, x, target):
    """A map that is the same everywhere."""
    return torch.ones(1, 16, 16)


def test_masks_that_mean_little_are_marked(model, image):
    comparison = comparison_of(model, image, [mine, flat])
    assert comparison.wait(PATIENCE)
    assert comparison.masks["mine"].note == ""
    assert "is the same at every position" in comparison.masks["flat"].note
    void = comparison.controls.caption
    low, high = model.scores(pyramid(model.images(image), "blur")[0, [0, -1]])[:, comparison.target].tolist()
    assert void.startswith("Masks mean little here") == (high <= low or high < 0)


def test_titles_that_a_user_sets_stay(model, image):
    comparison = comparison_of(model, image, [mine, "gradient"], start=False)
    comparison.masks["mine"].title = "My title"
    comparison.compute()
    assert comparison.wait(PATIENCE)
    assert comparison.masks["mine"].title == "My title"


def test_the_last_area_may_be_everything(model, image):
    comparison = MaskComparison(model, image, [mine], areas=(0.25, 1.0))
    assert comparison.wait(PATIENCE)
    assert comparison.curves.x == pytest.approx([0, 0.25, 1])
    assert comparison.masks["mine"].areas == pytest.approx([0.25, 1])
    low, high = model.scores(pyramid(model.images(image), "blur")[0, [0, -1]])[:, comparison.target].tolist()
    assert comparison.curves.y[:, [0, -1]] == near(np.array([[low, high], [high, low]]))


def test_a_change_of_class_in_mid_run_leaves_nothing_of_before(model, gate, image):
    comparison = comparison_of(model, image, [mine, "gradient"], target=0, start=False)
    gate.shut = gate.only_gradients = True
    comparison.compute()
    gate.stopped()
    assert comparison.masks["mine"].masks is not None
    comparison.target = 3
    assert all(panel.masks is None for panel in comparison.masks.values())
    assert np.isnan(comparison.curves.y).all()
    gate.open()
    assert comparison.wait(PATIENCE)
    again = comparison_of(model, image, [mine, "gradient"], target=3)
    assert again.wait(PATIENCE)
    assert comparison.curves.y == near(again.curves.y)


def test_cancel_keeps_the_lanes_that_have_run(model, gate, image):
    comparison = comparison_of(model, image, [mine, "gradient"], target=0, start=False)
    gate.shut = gate.only_gradients = True
    comparison.compute()
    gate.stopped()
    comparison.cancel()
    gate.open()
    assert comparison.wait(PATIENCE)
    assert comparison.run_bar.status == "cancelled"
    assert comparison.masks["mine"].masks is not None
    assert comparison.masks["gradient"].masks is None


def test_options_reach_their_method_and_a_failure_is_shown_on_its_image(model, image):
    def scaled(model, x, target, *, fail):
        if fail:
            raise RuntimeError("no map today")
        return x.mean(1)

    options = {"scaled": {"fail": True}}
    comparison = comparison_of(model, image, [scaled, "gradient"], options=options)
    assert comparison.wait(PATIENCE)
    assert (comparison.run_bar.status, comparison.run_bar.message) == ("done", "done, 1 failed: scaled")
    failed = comparison.masks["scaled"]
    assert (failed.title, failed.note, failed.masks) == ("scaled", "no map today", None)
    assert len(comparison.curves.y) == 2
    assert np.isfinite(comparison.curves.y).all()
    options["scaled"]["fail"] = False
    comparison.compute(again=True)
    assert comparison.wait(PATIENCE)
    assert (comparison.run_bar.status, comparison.run_bar.message) == ("done", "")
    assert (failed.title, failed.note) == ("scaled", "")
    assert np.isfinite(comparison.curves.y).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": ["gradeint"]}, "unknown method 'gradeint'"),
        ({"methods": []}, "expected at least one method, got none"),
        ({"options": {"rise": {}}}, "unknown method of options 'rise'"),
        ({"areas": (0.5, 0.1)}, "expected ascending areas"),
        ({"perturbation": "blurr"}, "did you mean 'blur'"),
        ({"batch_size": 0}, "expected batch_size to be"),
        ({"image": np.zeros((2, 16, 16, 3), np.uint8)}, "expected one image, got 2"),
        ({"model": nn.Linear(2, 2)}, "expected an ImageModel"),
    ],
)
def test_bad_input_is_named_in_one_sentence(model, image, change, words):
    arguments = {"model": model, "image": image, "methods": ["gradient"], **change}
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        MaskComparison(**arguments)
    assert "\n" not in str(caught.value)


def test_close_stops_and_closes_every_part(model, gate, image):
    comparison = comparison_of(model, image, ["gradient"], start=False)
    gate.shut = gate.only_gradients = True
    comparison.compute()
    gate.stopped()
    comparison.close()
    gate.open()
    assert comparison.wait(PATIENCE)
    assert all(
        part.comm is None
        for part in (
            comparison,
            comparison.curves,
            comparison.controls,
            comparison.run_bar,
            *comparison.masks.values(),
        )
    )
