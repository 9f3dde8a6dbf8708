"""The deletion explorer without a browser: the arrays of its views."""

import math

import numpy as np
import pytest
import torch
from closeness import assert_close, near
from torch import nn
from traitlets import TraitError

from xai_widgets.attribution import gradient
from xai_widgets.core.model import ImageModel
from xai_widgets.errors import warn
from xai_widgets.explorers import DeletionExplorer
from xai_widgets.methods import METHODS
from xai_widgets.metrics import deletion, insertion, ordering, random_order
from xai_widgets.ops.resize import resize_map

PATIENCE = 60


@pytest.fixture(autouse=True)
def every_snapshot_is_drawn(monkeypatch):
    monkeypatch.setattr("xai_widgets.explorers.explorer.INTERVAL", -math.inf)


def explorer_of(*arguments, **options):
    return DeletionExplorer(*arguments, steps=20, batch_size=6, **options)


def curves_of(model, image, method, target):
    x = model.images(image)
    saliency = METHODS[method].saliency(model, x, target)
    games = (
        game(model, x, saliency, target, steps=20).result(progress=False) for game in (deletion, insertion)
    )
    return [curve.scores[0].numpy() for curve in games]


def known_points(explorer):
    return int(np.isfinite(explorer.curves.y).sum())


def let_pass_until(explorer, gate, count):
    """Let the network run pass by pass until so many points of the curves are known."""
    gate.stopped()
    while known_points(explorer) < count:
        gate.permits.release()
        gate.stopped()


def test_views_get_curves_maps_orders_and_scores(model, image):
    explorer = explorer_of(model, image, ["gradient", "grad_cam"], target="c")
    assert explorer.wait(PATIENCE)
    assert (explorer.run_bar.status, explorer.run_bar.error, explorer.run_bar.progress) == ("done", "", 1.0)
    expected = np.stack([*curves_of(model, image, "gradient", 2), *curves_of(model, image, "grad_cam", 2)])
    assert explorer.curves.y[:4] == near(expected)
    assert [s["label"] for s in explorer.curves.series][:3:2] == ["Gradient, deletion", "Grad-CAM, deletion"]
    assert [(s["frame"], s["mode"]) for s in explorer.curves.series] == [
        (0, "deletion"), (0, "insertion"), (1, "deletion"), (1, "insertion"), (2, "deletion"), (2, "insertion"),
    ]  # fmt: skip
    area = np.trapezoid(expected[0], explorer.curves.x)
    assert explorer.curves.series[0]["auc"] == near(area)
    assert [entry["name"] for entry in explorer.curves.series][::2] == [
        "Gradient",
        "Grad-CAM",
        "Random order",
    ]
    assert explorer.scores.target_values[:4] == near(expected)
    assert explorer.scores.values[0, 0] == near(model.probs(image)[0].topk(5).values.numpy())
    saliency = gradient.saliency(model, image, 2)
    assert explorer.heatmap.maps[0] == near(saliency[0].numpy())
    assert (explorer.masked.ranks[0] == ordering(saliency)[0].numpy()).all()
    assert (explorer.masked.image == image).all()
    # The network has no normalization, so the color that it maps to 0 is black.
    assert (explorer.masked.baselines[0] == 0).all()


def test_a_random_order_is_drawn_in_gray_beside_the_methods(model, image):
    explorer = explorer_of(model, image, ["gradient"], target=2)
    assert explorer.wait(PATIENCE)
    for row, mode in ((2, "deletion"), (3, "insertion")):
        curve = random_order(model, image, 2, mode=mode, orders=10, steps=20).result(progress=False)
        assert explorer.curves.y[row] == near(curve.resampled(20).scores[0].numpy())
        series = explorer.curves.series[row]
        assert series["label"] == f"Random order, {mode}"
        assert series["color"] == "#808080"
        assert 0 < series["auc"] < 1
        assert "flip" not in series
        low, high = explorer.curves.band[:, row]
        expected = np.quantile(curve.resampled(20).draws[:, 0].numpy(), [0.05, 0.95], axis=0)
        assert np.stack([low, high]) == near(expected)
        assert (high > low).any()
    assert np.isnan(explorer.curves.band[:, :2]).all(), "a method has one curve, and no band"
    # Its image is the last row, whatever the number of maps that are sent.
    assert explorer.masked.ranks.shape[0] == len(explorer.heatmap.labels) == 2
    assert sorted(explorer.masked.ranks[1].ravel().tolist()) == list(range(256))


def test_of_all_methods_only_the_computed_maps_are_sent(model, image):
    explorer = explorer_of(model, image)
    assert explorer.wait(PATIENCE)
    assert len(explorer.method_picker.options) > 30
    assert len(explorer.heatmap.maps) == len(explorer.masked.ranks) == 5


def test_a_chosen_method_without_a_map_is_not_shown_as_the_random_order(model, gate, image):
    explorer = explorer_of(model, image, ["gradient", "occlusion"], target=2, start=False)
    gate.shut = True
    explorer.compute()
    let_pass_until(explorer, gate, 1)
    explorer.heatmap.frame = 1
    random = len(explorer.masked.ranks) - 1
    assert (len(explorer.heatmap.maps), random) == (3, 2)
    assert np.isfinite(explorer.heatmap.maps[0]).all()
    assert np.isnan(explorer.heatmap.maps[1]).all(), "a map of NaN is veiled"
    assert (explorer.masked.ranks[1] == image[..., 0].size).all(), "ranks that no fraction reaches are veiled"
    gate.open()
    assert explorer.wait(PATIENCE)
    assert sorted(explorer.masked.ranks[random].ravel().tolist()) == list(range(image[..., 0].size))


def test_a_coarse_map_is_sent_at_its_own_resolution_and_orders_all_pixels(model, image):
    def coarse(_model, x, _target):
        return torch.arange(12.0).reshape(1, 3, 4).expand(len(x), 3, 4)

    explorer = explorer_of(model, image, ["gradient", ("coarse", coarse)], target=2)
    assert explorer.wait(PATIENCE)
    assert explorer.heatmap.sizes[:2] == [[16, 16], [3, 4]]
    assert (explorer.heatmap.maps[1, :3, :4] == np.arange(12).reshape(3, 4)).all()
    assert np.isfinite(explorer.heatmap.maps[1]).sum() == 12
    expected = ordering(resize_map(coarse(None, model.images(image), 2), (16, 16)))[0]
    assert (explorer.masked.ranks[1] == expected.numpy()).all()


def test_the_best_classes_of_the_image_are_shown_before_anything_is_computed(model, gate, image):
    explorer = explorer_of(model, image, ["gradient"], target=2, start=False)
    gate.shut = True
    explorer.compute()
    gate.stopped()
    assert explorer.scores.values[0, 0] == near(model.probs(image)[0].topk(5).values.numpy())
    assert explorer.scores.indices[0, 0].tolist() == model.probs(image)[0].topk(5).indices.tolist()
    gate.open()
    assert explorer.wait(PATIENCE)


def test_default_class_is_the_predicted_one_and_labels_are_the_models(model, image):
    explorer = explorer_of(model, image, ["gradient"], start=False)
    assert explorer.target == model.scores(image).argmax().item()
    assert explorer.class_picker.labels == list("abcdef")
    assert explorer.class_picker.probabilities == pytest.approx(model.probs(image)[0].tolist())
    assert explorer.run_bar.status == "idle"


def test_curves_grow_batch_by_batch(model, image):
    explorer = explorer_of(model, image, ["gradient"], target=0, start=False)
    known = []
    explorer.curves.observe(lambda change: known.append(int(np.isfinite(change["new"]).sum())), "y")
    explorer.compute()
    assert explorer.wait(PATIENCE)
    assert known == sorted(known)
    # Nothing, the map, the first batch of both curves, the map of the random order, its first order, the batches that
    # are left, and once more with the notes; then the other orders, and the end.
    rough = [0, 0, 6, 12, 12, 33, 54]
    fine = [60, 66, 69, 75, 81, 84, 84]
    assert known == [*rough, *fine, *[84] * 19]


def test_change_of_class_in_mid_run_leaves_no_stale_point(model, gate, image):
    explorer = explorer_of(model, image, ["gradient"], target=0, start=False)
    drawn = []
    explorer.curves.observe(lambda change: drawn.append((explorer.target, change["new"].copy())), "y")
    gate.shut = True
    explorer.compute()
    for _ in range(2):  # the pass of the map, then the first batch of the curve stands at the gate
        gate.stopped()
        gate.permits.release()
    gate.stopped()
    explorer.target = 3
    assert np.isnan(explorer.curves.y).all(), "points of the old class are still shown"
    gate.open()
    assert explorer.wait(PATIENCE)
    expected = {target: np.stack(curves_of(model, image, "gradient", target)) for target in (0, 3)}
    assert {target for target, _ in drawn} == {0, 3}
    for target, drawn_curves in drawn:
        y = drawn_curves[:2]
        at = np.isfinite(y)
        assert y[at] == near(expected[target][at])
    assert explorer.curves.y[:2] == near(expected[3])
    assert explorer.scores.target == 3


def test_cancel_keeps_what_is_there_and_nothing_comes_after(model, gate, image):
    explorer = explorer_of(model, image, ["gradient"], target=0, start=False)
    gate.shut = True
    explorer.compute()
    let_pass_until(explorer, gate, 6)
    explorer.cancel()
    before = explorer.curves.y.copy()
    assert explorer.run_bar.status == "cancelled"
    assert np.isfinite(before).sum() == 6
    gate.open()
    assert explorer.wait(PATIENCE)
    assert np.array_equal(before, explorer.curves.y, equal_nan=True)
    explorer.compute()
    assert explorer.wait(PATIENCE)
    assert np.isfinite(explorer.curves.y).all()


def test_a_known_result_is_not_computed_again_unless_asked(model, image):
    calls = []

    def mine(model, x, target):
        calls.append(int(target[0]))
        return x.mean(1)

    explorer = explorer_of(model, image, ["gradient", mine], target=0)
    assert explorer.wait(PATIENCE)
    explorer.method_picker.selected = ["gradient"]
    assert explorer.wait(PATIENCE)
    assert len(explorer.curves.y) == 4
    explorer.method_picker.selected = ["gradient", "mine"]
    explorer.target = 1
    explorer.target = 0
    assert explorer.wait(PATIENCE)
    assert calls.count(0) == 1
    assert np.isfinite(explorer.curves.y).all()
    explorer.compute(again=True)
    assert explorer.wait(PATIENCE)
    assert calls.count(0) == 2


def test_a_refused_method_has_its_reason_in_the_legend_and_the_others_go_on(model, image):
    wrong = True

    def mine(model, x, target):
        if wrong:
            raise RuntimeError("the map is upside down")
        return x.mean(1)

    explorer = explorer_of(model, image, [mine, "gradient"], target=0)
    assert explorer.wait(PATIENCE)
    assert (explorer.run_bar.status, explorer.run_bar.error) == ("done", "")
    assert explorer.run_bar.message == "done, 1 failed: mine"
    labels = [entry["label"] for entry in explorer.curves.series]
    assert labels[:2] == ["Gradient, deletion", "Gradient, insertion"]
    assert labels[4:] == ["mine: the map is upside down"]
    assert (explorer.curves.series[4]["name"], explorer.curves.series[4]["warning"]) == (
        "mine",
        "the map is upside down",
    )
    assert explorer.method_picker.notes == {"mine": "the map is upside down"}
    assert np.isfinite(explorer.curves.y[:4]).all()
    assert np.isnan(explorer.curves.y[4]).all()
    assert explorer.curves.frame == 1, "the active method is one that has a map"
    wrong = False
    explorer.compute(again=True)
    assert explorer.wait(PATIENCE)
    assert (explorer.run_bar.status, explorer.run_bar.message) == ("done", "")
    assert np.isfinite(explorer.curves.y).all()


def test_if_no_method_is_defined_the_bar_says_why(model, image):
    def mine(model, x, target):
        raise MemoryError

    explorer = explorer_of(model, image, [mine], target=0)
    assert explorer.wait(PATIENCE)
    assert (explorer.run_bar.status, explorer.run_bar.error) == ("error", "mine: MemoryError")


def test_a_default_that_the_network_does_not_allow_is_replaced(image):
    smooth = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6)
    )
    explorer = explorer_of(ImageModel(smooth.eval(), size=16), image, None)
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.status == "done"
    chosen = ["gradient", "integrated_gradients", "grad_cam", "gradient_x_input"]
    assert explorer.method_picker.selected == chosen
    assert explorer.run_bar.message == "done, 1 failed: Guided backprop"
    assert np.isfinite(explorer.curves.y).all()
    assert explorer.curves.y.shape[0] == 2 * (len(chosen) + 1)
    assert list(explorer.method_picker.notes) == ["guided_backprop", "gradient_x_attention"]
    # A user who chooses it sees the reason.
    explorer.method_picker.selected = ["guided_backprop", "gradient"]
    assert explorer.wait(PATIENCE)
    assert explorer.method_picker.selected == ["gradient", "guided_backprop"]
    assert "guided" in explorer.curves.series[-1]["label"].lower()


def test_a_warning_of_a_method_stands_behind_its_curves(model, image):
    def mine(model, x, target):
        warn("the sum is off by 3")
        return x.mean(1)

    explorer = explorer_of(model, image, [mine], target=0)
    assert explorer.wait(PATIENCE)
    assert all(entry["warning"].startswith("the sum is off by 3") for entry in explorer.curves.series[:2])
    assert all("sum" not in entry["note"] for entry in explorer.curves.series[:2])


def test_a_network_without_probabilities_has_score_curves(image):
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6)
    )
    model = ImageModel(network.eval(), size=16, activation=None)
    explorer = explorer_of(model, image, ["gradient"])
    assert explorer.wait(PATIENCE)
    assert explorer.curves.y_label == "score"
    scores = model.scores(image)[0]
    assert_close(explorer.class_picker.probabilities, scores)
    assert_close(explorer.curves.y[0, 0], scores.max())


def test_a_new_image_begins_anew(model, image):
    explorer = explorer_of(model, image, ["gradient"])
    assert explorer.wait(PATIENCE)
    explorer.image = 255 - image
    assert explorer.wait(PATIENCE)
    assert (explorer.masked.image == 255 - image).all()
    assert explorer.target == model.scores(255 - image).argmax().item()
    expected = np.stack(curves_of(model, 255 - image, "gradient", explorer.target))
    assert explorer.curves.y[:2] == near(expected)


def test_a_run_of_the_old_image_draws_nothing_on_the_new_one(model, gate, image):
    explorer = explorer_of(model, image, ["gradient"], target=0, start=False)
    gate.shut = True
    explorer.compute()
    let_pass_until(explorer, gate, 6)
    known = []

    def let_the_old_run_end(_change):
        gate.open()
        assert explorer.wait(PATIENCE)
        known.append(int(np.isfinite(explorer.curves.y).sum()))

    explorer.masked.observe(let_the_old_run_end, "image")
    explorer.image = 255 - image
    assert known == [6], "points of the old image came after the new one"
    assert explorer.wait(PATIENCE)
    assert np.isfinite(explorer.curves.y).all()


def test_a_hidden_curve_stays_hidden_when_others_come_and_go(model, image):
    explorer = explorer_of(model, image, ["gradient", "deconvnet", "grad_cam"])
    assert explorer.wait(PATIENCE)
    explorer.curves.hidden = [4]
    explorer.method_picker.selected = ["deconvnet", "grad_cam"]
    assert explorer.wait(PATIENCE)
    assert [explorer.curves.series[row]["label"] for row in explorer.curves.hidden] == ["Grad-CAM, deletion"]


def test_no_method_chosen_is_an_empty_plot(model, image):
    explorer = explorer_of(model, image, ["gradient"])
    explorer.method_picker.selected = []
    assert explorer.wait(PATIENCE)
    assert explorer.curves.y.shape == (0, 21)
    assert explorer.run_bar.status == "done"


@pytest.mark.parametrize("target", [-1, 6])
def test_a_class_that_does_not_exist_is_refused_and_nothing_changes(model, image, target):
    explorer = explorer_of(model, image, ["gradient"], target=2, start=False)
    with pytest.raises(TraitError, match="expected a class from 0 to 5"):
        explorer.target = target
    assert explorer.target == explorer.class_picker.target == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": ["gradeint"]}, "unknown method 'gradeint'; did you mean 'gradient'"),
        ({"methods": []}, "expected at least one method, got none"),
        (
            {"methods": ["gradient", "gradient"]},
            "expected methods with different names, got 'gradient' twice",
        ),
        ({"methods": [7]}, "expected each of methods to be a name, a method or a callable, got 7"),
        ({"target": "g"}, "unknown label 'g'"),
        ({"target": 6}, "expected a class from 0 to .*, got 6"),
        ({"kind": "delition"}, "unknown kind 'delition'; did you mean 'deletion'"),
        ({"fill": "blakc"}, "unknown fill 'blakc'; did you mean 'black'"),
        ({"orders": 0}, "expected orders to be an integer"),
        ({"image": np.full((16, 16, 3), np.nan)}, "NaN"),
        ({"steps": 0}, "steps to be an integer from 1 to 256, got 0"),
        ({"steps": 257}, "from 1 to 256, got 257"),
        ({"batch_size": 0}, "expected batch_size to be an integer"),
        ({"model": nn.Linear(2, 2)}, "expected an ImageModel"),
    ],
)
def test_bad_input_is_named_in_one_sentence(model, image, change, words):
    arguments = {"model": model, "image": image, "methods": ["gradient"], **change}
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        DeletionExplorer(**arguments)
    assert "\n" not in str(caught.value)


def test_close_stops_and_closes_every_part(model, gate, image):
    explorer = explorer_of(model, image, ["gradient"], start=False)
    gate.shut = True
    explorer.compute()
    gate.stopped()
    explorer.close()
    gate.open()
    assert explorer.wait(PATIENCE)
    assert all(part.comm is None for part in (explorer, explorer.curves, explorer.masked, explorer.run_bar))
