"""The inverse explorer without a browser: what the views are given, and what they are never given."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from closeness import near
from small_inverse import LAM, PATIENCE, QUICK, classifier, explorer_of, inverted, other, standing
from torch import nn

from xai_widgets.core.images import to_uint8
from xai_widgets.core.model import ImageModel
from xai_widgets.explorers import InverseExplorer
from xai_widgets.explorers import inverse_plots as module
from xai_widgets.inverse import (
    reidentification,
    uniform,
)
from xai_widgets.inverse.layer_wise import Regularizer
from xai_widgets.methods import METHODS, get
from xai_widgets.studies.inverse import InverseKey, InverseStudy

pytestmark = pytest.mark.filterwarnings("ignore:.*did not converge")

#: Rounding grows over the iterations of a search: two searches differ by more than a step of single precision.
ROUNDING = 1e-3


@pytest.fixture(autouse=True)
def every_snapshot_is_drawn(monkeypatch):
    monkeypatch.setattr("xai_widgets.explorers.explorer.INTERVAL", -math.inf)


@pytest.fixture
def model():
    return classifier()


@pytest.mark.parametrize("regularizer", get_args(Regularizer))
def test_images_scores_and_plot_are_those_of_the_inverses(model, image, regularizer):
    explorer = explorer_of(model, image, target="c", regularizer=regularizer)
    assert explorer.wait(PATIENCE)
    bar = explorer.run_bar
    assert (bar.status, bar.error, bar.progress, bar.label) == ("done", "", 1.0, "Run")
    made, second = inverted(model, image, 2, regularizer=regularizer), other(model, image, 2)
    assert explorer.slider.values == list(LAM)
    assert np.array_equal(explorer.image_view.image, image)
    assert np.array_equal(explorer.inverse_view.images, to_uint8(made.x[0]))
    assert np.array_equal(explorer.operation_view.image, to_uint8(second.x[0, 0]))

    probs = model.scores(made.x[0]).softmax(-1)
    assert explorer.scores.target == 2
    assert explorer.scores.x == pytest.approx(LAM)
    assert explorer.scores.values[0] == near(probs.topk(5).values.numpy())
    assert explorer.scores.target_values[0] == near(probs[:, 2].numpy())
    assert explorer.scores.reference == near(model.probs(image)[0].numpy())

    method = get("gradient")
    kept = reidentification(model, image, method(model, image, 2), 2)
    faded = uniform(model, image, 2)
    assert explorer.curves.steps == pytest.approx(made.mean_alpha[0].numpy(), abs=ROUNDING)
    assert [entry["label"] for entry in explorer.curves.series] == [
        "layer-wise, over λ",
        "uniform fading",
        "operation-wise",
        method.title,
    ]
    drawn = [
        {(float(x), float(y)) for x, y in zip(explorer.curves.x, row, strict=True) if not math.isnan(y)}
        for row in explorer.curves.y
    ]
    expected = [
        zip(made.mean_alpha[0].tolist(), probs[:, 2].tolist(), strict=True),
        zip(faded.alpha.tolist(), faded.probability[0].tolist(), strict=True),
        [(second.mean_alpha.item(), model.scores(second.x[0]).softmax(-1)[0, 2].item())],
        [(kept.mean_alpha.item(), kept.probability.item())],
    ]
    for have, want in zip(drawn, expected, strict=True):
        assert np.array(sorted(have)) == pytest.approx(np.array(sorted(want)), abs=ROUNDING)


@pytest.mark.parametrize("largest", [64, 8])
def test_every_depth_has_its_maps_in_one_resolution(model, image, monkeypatch, largest):
    monkeypatch.setattr(module, "MAP_SIDE", largest)
    explorer = explorer_of(model, image, target=1)
    assert explorer.wait(PATIENCE)
    side = min(largest, 16)

    def resized(value):
        own = value.shape[-1]
        if own > side:
            return value.reshape(side, own // side, side, own // side).mean((1, 3))
        return value.repeat(side // own, 0).repeat(side // own, 1)

    for view, made in (
        (explorer.layer_map, inverted(model, image, 1)),
        (explorer.operation_map, other(model, image, 1)),
    ):
        units = [unit for unit in reversed(made.units) if unit.x.ndim == 5]
        assert [unit.map.shape[-1] for unit in units] == [16, 16, 8, 8, 4]
        expected = [resized(summed) for unit in units for summed in unit.map[0].numpy()]
        assert view.groups == len(units)
        assert view.maps == pytest.approx(np.stack(expected), abs=ROUNDING)
    assert len(explorer.depth.values) == 5
    names = [label.removesuffix(" (not converged)") for label in explorer.depth.labels]
    assert names == ["image", *(f"input of {unit.unit}" for unit in units[1:])]
    unconverged = [
        not bool(a.converged.all() and b.converged.all())
        for a, b in zip(reversed(inverted(model, image, 1).units), reversed(made.units), strict=True)
    ]
    assert [label.endswith("(not converged)") for label in explorer.depth.labels] == unconverged[:5]
    assert any(unconverged[:5])


def test_the_star_is_at_the_last_lambda_up_to_which_the_class_is_kept(model, image):
    seen = set()
    for target in range(6):
        explorer = explorer_of(model, image, target=target, methods=())
        assert explorer.wait(PATIENCE)
        best = model.scores(inverted(model, image, target).x[0]).argmax(1).tolist()
        last = next((i for i, index in enumerate(best) if index != target), len(best)) - 1
        label = f"kept up to λ = {LAM[last]:g}" if last >= 0 else ""
        assert (explorer.slider.marked, explorer.slider.mark_label) == (last, label)
        places = [] if last < 0 else [{"x": float(explorer.curves.steps[last]), "label": label}]
        assert explorer.curves.marks == places
        seen.add(last)
        if len(seen) > 1:
            break
    assert len(seen) > 1


def test_sliders_pictures_maps_plot_and_bars_are_joined_in_the_page(model, image):
    explorer = explorer_of(model, image, start=False)
    joined = [
        [
            (explorer.slider, "frame"),
            (explorer.inverse_view, "frame"),
            (explorer.layer_map, "frame"),
            (explorer.curves, "step"),
        ],
        [(explorer.depth, "frame"), (explorer.layer_map, "group"), (explorer.operation_map, "group")],
        [(explorer.slider, "fraction"), (explorer.scores, "fraction")],
    ]
    channels = [{view._channels[name] for view, name in ends} for ends in joined]
    assert [len(names) for names in channels] == [1, 1, 1]
    assert len(set.union(*channels)) == 3


def test_units_appear_one_by_one_and_the_depth_goes_down_with_them(model, image, gated):
    explorer = explorer_of(model, image, target=1, start=False)
    assert explorer.depth.ready == [False] * 5
    standing(explorer, gated, 4)
    assert explorer.depth.ready == [False, False, True, True, True]
    assert explorer.depth.frame == 2
    assert np.isnan(explorer.layer_map.maps[: 2 * len(LAM)]).all()
    assert np.isfinite(explorer.layer_map.maps[2 * len(LAM) :]).all()
    assert explorer.run_bar.message == "layer-wise: unit 5 of 6"
    assert explorer.inverse_view.images is explorer.curves.y is explorer.scores.values is None
    gated.open()
    assert explorer.wait(PATIENCE)
    assert explorer.depth.frame == 0


def test_a_depth_that_was_chosen_stays(model, image, gated):
    explorer = explorer_of(model, image, target=1, start=False)
    standing(explorer, gated, 4)
    explorer.depth.frame = 4
    gated.open()
    assert explorer.wait(PATIENCE)
    assert explorer.depth.frame == 4


def test_cancel_keeps_what_is_there_and_the_button_goes_on(model, image, gated):
    explorer = explorer_of(model, image, target=0, start=False)
    standing(explorer, gated, 4)
    explorer.cancel()
    before, maps = explorer.result, explorer.layer_map.maps.copy()
    assert (explorer.run_bar.status, explorer.run_bar.label) == ("cancelled", "Resume")
    gated.open()
    assert explorer.wait(PATIENCE)
    assert explorer.result is before
    assert np.array_equal(explorer.layer_map.maps, maps, equal_nan=True)
    drawn = []
    explorer.layer_map.observe(lambda change: drawn.append(np.isfinite(change["new"]).sum()), "maps")
    explorer.compute(again=True)
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.status == "done"
    assert explorer.study.outcome(InverseKey(0)).complete
    # It is never drawn with less than it had.
    assert drawn == sorted(drawn)
    assert drawn[0] > np.isfinite(maps).sum()


def test_what_is_done_is_not_computed_again_unless_all_is(model, image, monkeypatch):
    explorer = explorer_of(model, image, target=0)
    assert explorer.wait(PATIENCE)
    first = explorer.result
    explorer.regularizer_picker.value = "l2"
    assert explorer.wait(PATIENCE)
    assert explorer.result.layer_wise.regularizer == "l2"
    explorer.regularizer_picker.value = "activation"
    assert explorer.wait(PATIENCE)
    assert explorer.result is first
    # All: as after the network was trained further.
    with torch.no_grad():
        model.module[-1].weight.mul_(2)
    explorer.compute(again=True)
    assert explorer.wait(PATIENCE)
    assert np.array_equal(explorer.inverse_view.images, to_uint8(inverted(model, image, 0).x[0]))
    assert not torch.equal(explorer.result.layer_wise.output, first.layer_wise.output)


def test_going_on_leaves_out_what_is_done(model, image):
    options = {"lam": LAM, "settings": QUICK, "batch_size": 64}
    methods = [get("gradient"), get("gradient_x_input")]
    x = model.images(image)
    study, key = InverseStudy(model, x, methods=methods, **options), InverseKey(0, "l2")
    whole = list(study.run(key))
    stopped = next(made for made in whole if len(made.points) == 1)
    rest = list(study.run(key, stopped))
    assert [len(made.points) for made in rest] == [2, 2]
    assert rest[-1].layer_wise is stopped.layer_wise
    assert rest[-1].operation_wise is stopped.operation_wise
    assert rest[-1].points == whole[-1].points


def change_class(explorer):
    explorer.target = 3


def change_regularizer(explorer):
    explorer.regularizer_picker.value = "l1"


@pytest.mark.parametrize("change", [change_class, change_regularizer])
def test_a_change_in_mid_run_empties_the_views(model, image, gated, change):
    explorer = explorer_of(model, image, target=0, start=False)
    standing(explorer, gated, 4)
    assert explorer.layer_map.maps is not None
    change(explorer)
    assert_empty(explorer)
    gated.open()
    assert explorer.wait(PATIENCE)
    expected = inverted(model, image, explorer.target, regularizer=explorer.regularizer_picker.value)
    assert np.array_equal(explorer.inverse_view.images, to_uint8(expected.x[0]))


def test_a_change_after_the_end_empties_the_views(model, image, gated):
    explorer = explorer_of(model, image, target=0)
    assert explorer.wait(PATIENCE)
    gated.shut = True
    explorer.target = 2
    assert_empty(explorer)
    gated.open()
    assert explorer.wait(PATIENCE)


def assert_empty(explorer):
    views = explorer.layer_map, explorer.operation_map, explorer.inverse_view, explorer.operation_view
    arrays = "maps", "maps", "images", "image"
    assert [getattr(view, name) for view, name in zip(views, arrays, strict=True)] == [None] * 4
    assert explorer.result is explorer.scores.values is explorer.curves.y is explorer.curves.steps is None
    assert explorer.curves.marks == explorer.curves.series == []
    assert explorer.slider.marked == -1
    assert not any(explorer.depth.ready)


def test_a_new_image_in_mid_run_begins_anew(model, image, gated):
    explorer = explorer_of(model, image, target=0, start=False)
    standing(explorer, gated, 4)
    explorer.image = 255 - image
    assert_empty(explorer)
    for view in (explorer.image_view, explorer.layer_map, explorer.operation_map):
        assert np.array_equal(view.image, 255 - image)
    gated.open()
    assert explorer.wait(PATIENCE)
    assert explorer.target == model.scores(255 - image).argmax().item()
    expected = inverted(model, 255 - image, explorer.target)
    assert np.array_equal(explorer.inverse_view.images, to_uint8(expected.x[0]))


def test_an_image_of_zeros_has_one_position_for_all_lambda(model):
    explorer = explorer_of(model, np.zeros((16, 16, 3), np.uint8))
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.error == ""
    assert not explorer.inverse_view.images.any()
    # Nothing is kept of nothing: the stops are apart by less than can be seen.
    assert len(set(explorer.curves.steps.tolist())) == len(LAM)
    assert explorer.curves.steps == pytest.approx(0, abs=1e-30)


def test_a_refused_method_has_its_reason_below_its_image_and_the_others_go_on(model, image):
    def broken(model, x, target):
        raise RuntimeError("this method is broken")

    explorer = explorer_of(model, image, target=0, methods=[("broken", broken), "gradient_x_input"])
    assert explorer.wait(PATIENCE)
    assert (explorer.run_bar.status, explorer.run_bar.error) == ("done", "")
    assert explorer.run_bar.message == "done, 1 failed: broken"
    assert [entry["label"] for entry in explorer.curves.series[-2:]] == [
        "broken",
        METHODS["gradient_x_input"].title,
    ]
    assert explorer.gallery.labels[-2] == "broken\nthis method is broken"
    assert np.isnan(explorer.curves.y[-2]).all()
    assert explorer.inverse_view.images is not None
    assert explorer.operation_view.image is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": "g"}, "unknown label 'g'"),
        ({"regularizer": "l3"}, "unknown regularizer 'l3'"),
        ({"lam": [-1]}, "expected lam as finite numbers of at least 0"),
        ({"lam": [1, 0]}, "expected lam as ascending numbers"),
        ({"lam": []}, "expected lam as finite numbers"),
        ({"methods": ["gradeint_x_input"]}, "did you mean 'gradient_x_input'"),
        ({"settings": 7}, "expected settings as SolverSettings"),
        ({"batch_size": 0}, "expected batch_size to be"),
        ({"image": np.zeros((2, 16, 16, 3), np.uint8)}, "expected one image, got 2"),
        ({"model": nn.Linear(2, 2)}, "expected an ImageModel"),
    ],
)
def test_bad_input_is_named_in_one_sentence(model, image, change, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        InverseExplorer(**{"model": model, "image": image, **change})
    assert "\n" not in str(caught.value)


def test_a_network_without_units_is_refused_with_the_reason(image):
    layers = nn.Conv2d(3, 4, 3), nn.LayerNorm(14), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6)
    with pytest.raises(
        ValueError, match="a single unit of 2 weighted operations, since it has no activation"
    ):
        InverseExplorer(ImageModel(nn.Sequential(*layers), size=16), image)


def test_close_stops_and_closes_every_part(model, image, gated):
    explorer = explorer_of(model, image, start=False)
    standing(explorer, gated, 2)
    explorer.close()
    gated.open()
    assert explorer.wait(PATIENCE)
    parts = explorer.slider, explorer.depth, explorer.curves, explorer.scores, *explorer._image_views()
    assert all(part.comm is None for part in (explorer, explorer.run_bar, *parts))


class TwoPaths(nn.Module):
    """Two paths from the image to the scores, which are one unit."""

    def __init__(self):
        super().__init__()
        self.all, self.means = nn.Linear(3 * 16 * 16, 6), nn.Linear(3, 6)

    def forward(self, x):
        return self.all(x.flatten(1)) + self.means(x.mean((2, 3)))


def test_one_unit_in_which_lambda_changes_nothing_has_a_note_on_the_image(image):
    torch.manual_seed(0)
    single = ImageModel(TwoPaths(), size=16, labels=list("abcdef"))
    explorer = explorer_of(single, image, target=1)
    assert explorer.wait(PATIENCE)
    assert len(explorer.result.layer_wise.units) == 1
    shown = explorer.inverse_view.images
    assert all(np.array_equal(one, shown[0]) for one in shown)
    notes = explorer.inverse_view.notes
    assert len(notes) == len(LAM)
    assert all(note.startswith("The network is one unit: λ changes nothing.") for note in notes)
