"""The sanity explorer without a browser: maps and curves are those of the study, and notes mark the maps that stay."""

import re

import numpy as np
import pytest
import torch
from closeness import near
from small_explorers import classifier, photos

import xai_widgets as xw
from xai_widgets.metrics import weight_randomization

PATIENCE = 60
LAYERS = ("classes", "convolution")
METHODS = ["gradient", "gradient_x_input", "edges"]


def constant(model, x, target):
    return torch.ones(1, 16, 16)


def refused(model, x, target):
    raise ValueError("expected another network")


@pytest.fixture
def make():
    made = []

    def make(methods=METHODS, **options):
        explorer = xw.SanityExplorer(classifier(), photos(1)[0], methods, **options)
        made.append(explorer)
        assert explorer.wait(PATIENCE)
        return explorer

    yield make
    for explorer in made:
        explorer.close()


def rows_of(explorer, measure):
    series = explorer.curves.series
    return {
        entry["label"]: row
        for entry, row in zip(series, explorer.curves.y, strict=True)
        if entry["mode"] == measure
    }


@pytest.mark.parametrize("mode", ["cascading", "independent"])
def test_maps_curves_and_probability_are_those_of_the_check(make, mode):
    explorer = make(target=2, mode=mode)
    assert (explorer.run_bar.status, explorer.run_bar.error, explorer.run_bar.progress) == ("done", "", 1.0)
    assert explorer.slider.labels == ["none", *LAYERS]
    for name, title in (("gradient", "Gradient"), ("gradient_x_input", "Gradient x input")):
        expected = weight_randomization(
            explorer.model, photos(1)[0], 2, explain=name, mode=mode, layers=LAYERS
        ).result(progress=False)
        assert np.array_equal(explorer.maps[name].maps, expected.maps[:, 0].numpy())
        assert np.array_equal(explorer.trained[name].maps, expected.maps[:1, 0].numpy())
        for measure in ("spearman_abs", "spearman", "ssim", "pearson"):
            known = [1.0, *getattr(expected, measure)[0].tolist()]
            assert rows_of(explorer, measure)[title] == near(np.array(known))
        assert explorer.probability.y[0] == near(expected.scores[0].numpy())
    assert [line["y"] for line in explorer.probability.lines] == [1 / 6]
    assert rows_of(explorer, "spearman_abs")["Edges"].tolist() == near([1.0, 1.0, 1.0])


def test_the_network_is_not_changed(make):
    explorer = xw.SanityExplorer(classifier(), photos(1)[0], METHODS, start=False)
    module = explorer.model.module
    before = {name: value.clone() for name, value in module.state_dict().items()}
    explorer.compute()
    assert explorer.wait(PATIENCE)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    explorer.close()


def test_what_stays_and_what_is_constant_has_a_note_on_the_map_and_in_the_legend(make):
    explorer = make(["edges", constant, "gradient"])
    notes = {entry["label"]: entry["note"] for entry in explorer.curves.series}
    assert notes["Edges"] == "hardly changes: 1.00 with all layers random"
    assert notes["constant"] == "constant: no correlation is defined"
    assert "hardly changes: 1.00" in explorer.maps["edges"].notes[-1]
    assert explorer.maps["edges"].notes[:-1] == ["", ""]
    assert all("no correlation is defined" in note for note in explorer.maps["constant"].notes)
    assert np.isnan(rows_of(explorer, "spearman_abs")["constant"]).all()
    # One layer at a time shows no such thing.
    explorer.mode_picker.value = "independent"
    assert explorer.wait(PATIENCE)
    assert {entry["note"] for entry in explorer.curves.series if entry["label"] == "Edges"} == {""}


def test_a_method_that_refuses_shows_the_reason_over_its_maps(make):
    explorer = make([refused, "gradient"])
    assert explorer.trained["refused"].veil == explorer.maps["refused"].veil == "expected another network"
    assert explorer.run_bar.message == "done, 1 failed: refused"
    assert np.isfinite(rows_of(explorer, "ssim")["Gradient"]).all()


def test_a_depth_that_is_not_computed_is_nan_and_no_earlier_map(make):
    explorer = xw.SanityExplorer(classifier(), photos(1)[0], ["gradient"], start=False)
    assert explorer.maps["gradient"].veil == "not computed yet"
    key = explorer._keys()[0]
    next(iter(explorer.study.missing([key])))
    explorer._draw()
    finite = np.isfinite(explorer.maps["gradient"].maps).all((1, 2))
    assert finite.tolist() == [True, True, False]
    assert np.isfinite(rows_of(explorer, "ssim")["Gradient"]).tolist() == [True, True, False]
    explorer.close()


def test_slider_maps_and_both_cursors_are_one_choice(make):
    explorer = make()
    channels = {view._channels["frame"] for view in explorer.maps.values()}
    assert channels == {explorer.slider._channels["frame"]}
    assert explorer.curves._channels["fraction"] == explorer.probability._channels["fraction"]
    assert explorer.measure_picker._channels["value"] == explorer.curves._channels["mode"]
    assert "measure_picker" not in explorer.kernel_controls


def test_methods_that_are_chosen_later_get_views_that_follow(make):
    explorer = make(None, start=False)
    assert list(explorer.maps) == ["gradient", "gradient_x_input", "guided_backprop", "grad_cam", "edges"]
    explorer.display.opacity = 0.5
    explorer.method_picker.selected = ["norm_grad", "gradient"]
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.status == "done"
    view = explorer.maps["norm_grad"]
    assert np.isfinite(view.maps).all()
    assert view.image is not None
    assert view.opacity == 0.5
    assert view._channels["frame"] == explorer.slider._channels["frame"]
    assert view._channels["position"] == explorer.heatmap._channels["position"]
    shown = [lane for lane in explorer._row.children if lane.layout.display != "none"]
    assert [lane.children[0].title for lane in shown] == ["Gradient", "NormGrad"]
    other = make(None, start=False)
    other.load_state(explorer.state())
    assert other.wait(PATIENCE)
    assert other.state() == explorer.state()


def test_another_class_and_another_image_are_computed_and_the_known_class_is_kept(make):
    explorer = make(target=2)
    first = explorer.maps["gradient"].maps.copy()
    explorer.target = 3
    assert explorer.wait(PATIENCE)
    assert not np.array_equal(explorer.maps["gradient"].maps, first)
    known = explorer.study.result(explorer._keys()[0]._replace(target=2))
    explorer.target = 2
    assert explorer.study.result(explorer._keys()[0]) is known
    assert np.array_equal(explorer.maps["gradient"].maps, first)
    explorer.image = photos(2)[1]
    assert explorer.wait(PATIENCE)
    assert not np.array_equal(explorer.maps["gradient"].maps, first)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "cascade"}, "unknown mode 'cascade'; did you mean 'cascading'"),
        ({"layers": ["clases"]}, "unknown layer 'clases'; did you mean 'classes'"),
        ({"layers": ["relu"]}, "expected a layer with weights, got 'relu'"),
        ({"methods": ["gradeint"]}, "unknown method 'gradeint'; did you mean 'gradient'"),
    ],
)
def test_bad_arguments_are_named(make, options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        make(**options)
