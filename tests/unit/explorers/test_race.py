"""The race of masks without a browser: equal areas, one judge, and nothing of what has not run."""

import numpy as np
import pytest
import torch
from closeness import near
from torch import nn

from xai_widgets.explorers import MaskRace
from xai_widgets.ops.perturb import perturb, pyramid
from xai_widgets.perturbation.areas import counts_of
from xai_widgets.perturbation.extremal import ExtremalSettings, extremal

PATIENCE = 60
AREAS = (0.1, 0.25, 0.5)
QUICK = ExtremalSettings(steps=4, every=2, exchange=2, scan=2)


def mine(model, x, target):
    """A map whose order of the pixels is that of their places."""
    return torch.arange(256.0).reshape(1, 16, 16)


def race_of(model, image, methods=("gradient", mine, "extremal"), **options):
    if "extremal" in methods:
        options.setdefault("options", {"extremal": {"settings": QUICK}})
    return MaskRace(model, image, list(methods), areas=AREAS, batch_size=6, **options)


@pytest.mark.parametrize("perturbation", ["blur", "fade"])
def test_every_lane_has_exactly_the_area_and_the_same_judge(model, image, perturbation):
    race = race_of(model, image, target=2, perturbation=perturbation)
    assert race.wait(PATIENCE)
    assert (race.run_bar.status, race.run_bar.error, race.run_bar.progress) == ("done", "", 1.0)
    levels = pyramid(model.images(image), perturbation)
    wholly, whole = model.scores(levels[0, [0, -1]])[:, 2].tolist()
    rows = []
    for lane in race.lanes.values():
        assert (lane.masks == 255).sum((1, 2)).tolist() == [counts_of(area, 256) for area in AREAS]
        assert set(np.unique(lane.masks)) == {0, 255}
        masks = torch.from_numpy(lane.masks // 255).float()[None]
        for part, ends in ((masks, (wholly, whole)), (1 - masks, (whole, wholly))):
            scores = model.scores(perturb(pyramid(model.images(image), perturbation), part)[0])[:, 2].tolist()
            rows.append([ends[0], *scores, ends[1]])
    assert race.curves.x == pytest.approx([0, *AREAS, 1])
    assert race.curves.y == near(np.array(rows))
    assert [(s["frame"], s["game"]) for s in race.curves.series] == [
        (frame, game) for frame in range(3) for game in ("insertion", "deletion")
    ]
    expected = extremal(model, image, 2, areas=AREAS, perturbation=perturbation, settings=QUICK).result(
        progress=False
    )
    assert np.array_equal(race.lanes["extremal"].masks, (255 * expected.masks[0]).byte().numpy())
    # The highest values first: the last places of the image.
    assert (race.lanes["mine"].masks[0].reshape(-1)[-26:] == 255).all()


def test_lanes_and_cursor_are_joined_to_controls_of_their_own(model, image):
    race = race_of(model, image, ["gradient", mine], start=False)
    gradient, own = race.lanes.values()
    views = gradient, own, race.controls
    assert len({*(view.channels["area"] for view in views), race.curves.channels["fraction"]}) == 1
    for name in ("display", "position"):
        assert len({view.channels[name] for view in views}) == 1
    assert [(view.picture, view.controls) for view in views] == [(True, False), (True, False), (False, True)]
    race.compute()
    assert race.wait(PATIENCE)
    assert race.controls.areas == pytest.approx(AREAS)
    assert len(race.controls.masks) == 3
    race.method_picker.selected = ["mine"]
    assert race.wait(PATIENCE)
    assert (gradient.layout.display, own.layout.display) == ("none", None)
    assert gradient.masks is None
    assert race.controls.masks is not None
    assert len(race.curves.y) == 2
    assert {s["frame"] for s in race.curves.series} == {1}
    race.method_picker.selected = []
    assert race.wait(PATIENCE)
    assert race.controls.masks is None
    assert race.run_bar.error == ""


def test_what_has_run_is_drawn_again_without_the_network(model, image):
    race = race_of(model, image, ["gradient", mine])
    assert race.wait(PATIENCE)
    y, lines = race.curves.y, race.curves.lines
    low, high = model.scores(pyramid(model.images(image), "blur")[0, [0, -1]])[:, race.target].tolist()
    assert [line["y"] for line in lines] == near([high, low])
    passes = []
    handle = model.module.register_forward_hook(lambda *call: passes.append(call[0]))
    race.method_picker.selected = ["mine"]
    assert race.wait(PATIENCE)
    handle.remove()
    assert race.run_bar.status == "done"
    assert np.array_equal(race.curves.y, y[2:])
    assert race.curves.lines == lines
    assert passes == []


def test_the_last_area_may_be_everything(model, image):
    race = MaskRace(model, image, [mine], areas=(0.25, 1.0))
    assert race.wait(PATIENCE)
    assert race.curves.x == pytest.approx([0, 0.25, 1])
    assert race.lanes["mine"].areas == pytest.approx([0.25, 1])
    low, high = model.scores(pyramid(model.images(image), "blur")[0, [0, -1]])[:, race.target].tolist()
    assert race.curves.y[:, [0, -1]] == near(np.array([[low, high], [high, low]]))


def test_a_change_of_class_in_mid_run_leaves_nothing_of_before(model, gate, image):
    race = race_of(model, image, [mine, "gradient"], target=0, start=False)
    gate.shut = gate.only_gradients = True
    race.compute()
    gate.stopped()
    assert race.lanes["mine"].masks is not None
    race.target = 3
    assert all(lane.masks is None for lane in race.lanes.values())
    assert np.isnan(race.curves.y).all()
    gate.open()
    assert race.wait(PATIENCE)
    again = race_of(model, image, [mine, "gradient"], target=3)
    assert again.wait(PATIENCE)
    assert race.curves.y == near(again.curves.y)


def test_cancel_keeps_the_lanes_that_have_run(model, gate, image):
    race = race_of(model, image, [mine, "gradient"], target=0, start=False)
    gate.shut = gate.only_gradients = True
    race.compute()
    gate.stopped()
    race.cancel()
    gate.open()
    assert race.wait(PATIENCE)
    assert race.run_bar.status == "cancelled"
    assert race.lanes["mine"].masks is not None
    assert race.lanes["gradient"].masks is None


def test_options_reach_their_method_and_a_refusal_stands_above_its_lane(model, image):
    def scaled(model, x, target, *, fail):
        if fail:
            raise RuntimeError("no map today")
        return x.mean(1)

    options = {"scaled": {"fail": True}}
    race = race_of(model, image, [scaled, "gradient"], options=options)
    assert race.wait(PATIENCE)
    assert (race.run_bar.status, race.run_bar.message) == ("done", "done, 1 failed: scaled")
    assert race.lanes["scaled"].title == "scaled: no map today"
    assert len(race.curves.y) == 2
    assert np.isfinite(race.curves.y).all()
    options["scaled"]["fail"] = False
    race.compute()
    assert race.wait(PATIENCE)
    assert (race.run_bar.status, race.run_bar.message) == ("done", "")
    assert race.lanes["scaled"].title == "scaled"
    assert np.isfinite(race.curves.y).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": ["gradeint"]}, "unknown method 'gradeint'"),
        ({"methods": []}, "expected at least one method, got none"),
        ({"options": {"rise": {}}}, "options are given for 'rise'"),
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
        MaskRace(**arguments)
    assert "\n" not in str(caught.value)


def test_close_stops_and_closes_every_part(model, gate, image):
    race = race_of(model, image, ["gradient"], start=False)
    gate.shut = gate.only_gradients = True
    race.compute()
    gate.stopped()
    race.close()
    gate.open()
    assert race.wait(PATIENCE)
    assert all(
        part.comm is None for part in (race, race.curves, race.controls, race.run_bar, *race.lanes.values())
    )
