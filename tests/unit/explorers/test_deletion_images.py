"""The deletion explorer with several images, their means, other kinds of curves and other fills."""

import math

import numpy as np
import pytest
from closeness import near
from traitlets import TraitError

from xai_widgets.data.base import Example
from xai_widgets.explorers import DeletionExplorer
from xai_widgets.methods import METHODS
from xai_widgets.metrics import METRICS, Explanation, deletion, lerf
from xai_widgets.metrics.deletion import curve_fill
from xai_widgets.metrics.pixel_flipping import random_colors
from xai_widgets.studies.deletion import FILLS

PATIENCE = 60


@pytest.fixture(autouse=True)
def every_snapshot_is_drawn(monkeypatch):
    monkeypatch.setattr("xai_widgets.explorers.explorer.INTERVAL", -math.inf)


@pytest.fixture
def images():
    return np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)


def explorer_of(model, images, **options):
    given = {"methods": ["gradient"], "steps": 20, "batch_size": 6, "orders": 3, **options}
    return DeletionExplorer(model, images, **given)


def rows(explorer, **values):
    """The rows of curves whose entries have these values."""
    series = explorer.curves.series
    return [
        row
        for row, entry in enumerate(series)
        if all(entry.get(key) == value for key, value in values.items())
    ]


def expected_curve(model, image, target=None, **options):
    x = model.images(image)
    target = model.scores(x)[0].argmax() if target is None else target
    saliency = METHODS["gradient"].saliency(model, x, target)
    return deletion(model, x, saliency, target, steps=20, **options).result(progress=False).scores[0].numpy()


def test_one_image_has_neither_a_strip_nor_a_mean(model, images):
    explorer = explorer_of(model, images[:1])
    assert explorer.wait(PATIENCE)
    assert explorer.image_picker.layout.display == "none"
    assert all("scope" not in entry for entry in explorer.curves.series)
    assert explorer.curves.scope_notes == {}


def test_another_image_of_the_strip_has_its_own_class_curves_and_maps(model, images):
    explorer = explorer_of(model, images)
    assert explorer.wait(PATIENCE)
    assert explorer.image_picker.layout.display is None
    assert explorer.image_picker.labels == ["image 1", "image 2", "image 3"]
    first = explorer.target
    explorer.target = (first + 1) % 6
    explorer.image_picker.frame = 2
    assert explorer.frame == 2
    assert explorer.target == model.scores(images[2:])[0].argmax().item()
    assert (explorer.masked.image == images[2]).all()
    assert explorer.wait(PATIENCE)
    (row,) = rows(explorer, scope="image", name="Gradient", mode="deletion")
    assert explorer.curves.y[row] == near(expected_curve(model, images[2:]))
    # Escape chooses no image of the strip: the shown one stays. The class that was chosen before is kept.
    explorer.image_picker.frame = -1
    assert explorer.frame == explorer.image_picker.frame == 2
    explorer.frame = 0
    assert explorer.target == (first + 1) % 6
    with pytest.raises(TraitError, match="expected frame from 0 to 2, got 3"):
        explorer.frame = 3


def test_means_stream_in_after_the_shown_image_and_their_intervals_narrow(model, images):
    explorer = explorer_of(model, images, start=False)
    counts = []

    def note(_change):
        counts.append(explorer.curves.scope_notes["mean"].split(" images")[0])

    explorer.curves.observe(note, "scope_notes")
    explorer.compute()
    assert explorer.wait(PATIENCE)
    # The method and the random order have as many images, or one of them has one more.
    steps = ["0", "0 to 1", "1", "1 to 2", "2", "2 to 3", "3"]
    assert counts == [f"Mean of {step} of 3" for step in steps]
    curves = np.stack([expected_curve(model, image[None]) for image in images])
    (row,) = rows(explorer, scope="mean", name="Gradient", mode="deletion")
    assert explorer.curves.y[row] == near(curves.mean(0))
    low, high = explorer.curves.band[:, row]
    half = 4.302653 * curves.std(0, ddof=1) / np.sqrt(3)
    assert (high - low) / 2 == pytest.approx(half, abs=1e-4)
    areas = np.trapezoid(curves, explorer.curves.x)
    assert explorer.curves.series[row]["auc"] == near(areas.mean())
    assert explorer.curves.series[row]["note"].endswith(", 3 images")


def test_a_data_set_of_examples_is_read_one_by_one(model, images):
    class Data:
        def __init__(self):
            self.read = []

        def __len__(self):
            return 3

        def __getitem__(self, index):
            self.read.append(index)
            return Example(images[index], f"example {index}")

    data = Data()
    explorer = explorer_of(model, images[0], data=data, start=False)
    assert data.read == []
    explorer.compute()
    assert explorer.wait(PATIENCE)
    assert set(data.read) == {0, 1, 2}
    assert explorer.image_picker.layout.display == "none"
    (row,) = rows(explorer, scope="mean", name="Gradient", mode="deletion")
    curves = np.stack([expected_curve(model, image[None]) for image in images])
    assert explorer.curves.y[row] == near(curves.mean(0))


def test_stop_keeps_the_images_so_far_and_resume_adds_the_others(model, gate, images):
    explorer = explorer_of(model, images)
    assert explorer.wait(PATIENCE)
    whole = explorer.curves.y.copy()
    explorer.restart()
    gate.close_again()
    explorer.restart()
    mean = rows(explorer, scope="mean", name="Gradient")

    def known():
        return np.isfinite(explorer.curves.y[mean]).all()

    gate.stopped()
    while not known():
        gate.permits.release()
        gate.stopped()
    explorer.cancel()
    assert explorer.run_bar.status == "cancelled"
    before = explorer.curves.y.copy()
    gate.open()
    assert explorer.wait(PATIENCE)
    assert np.array_equal(before, explorer.curves.y, equal_nan=True)
    explorer.compute()
    assert explorer.wait(PATIENCE)
    assert explorer.curves.y == near(whole)


def test_morf_and_lerf_are_the_metrics_and_the_image_shows_their_orders(model, images):
    explorer = explorer_of(model, images, kind="flipping", seed=5)
    assert explorer.wait(PATIENCE)
    assert explorer.curves.mode == explorer.masked.mode == "MoRF"
    assert (explorer.curves.area_label, explorer.curves.between_label) == ("mean change", "ABPC")
    x = model.images(images[:1])
    target = explorer.target
    explanation = Explanation(model, x, target, METHODS["gradient"].saliency(model, x, target))
    most, least = rows(explorer, scope="image", name="Gradient")
    options = {"steps": 20, "seed": 5}
    for row, name in ((most, "morf"), (least, "lerf")):
        assert explorer.curves.series[row]["auc"] == near(METRICS[name](explanation, **options))
        assert explorer.curves.series[row]["between"] == near(METRICS["abpc"](explanation, **options))
    curve = lerf(model, x, explanation.saliency, target, **options).result(progress=False)
    assert explorer.curves.x == near(curve.fractions.numpy())
    assert explorer.masked.span == near(float(curve.fractions[-1]))
    assert explorer.curves.y[least] == near(curve.scores[0].numpy())
    assert explorer.scores.target_values[1] == near(curve.scores[0].numpy())
    assert (explorer.masked.baselines[0] == model.to_rgb(random_colors(x, 5)[0])).all()
    # The pixels that the view replaces are those that the network saw.
    explorer.masked.mode, explorer.masked.fraction = "LeRF", 0.5
    count = round(0.5 * float(curve.fractions[-1]) * 256)
    assert int((explorer.masked.least[0] < count).sum()) == count
    (mean,) = rows(explorer, scope="mean", name="Gradient", mode="MoRF")
    areas = [
        METRICS["abpc"](
            Explanation(
                model,
                model.images(image[None]),
                (target := int(model.scores(image[None]).argmax())),
                METHODS["gradient"].saliency(model, model.images(image[None]), target),
            ),
            **options,
        )
        for image in images
    ]
    assert explorer.curves.series[mean]["between"] == near(np.mean(areas))


def test_a_change_of_kind_or_fill_shows_nothing_of_the_choice_before(model, gate, images):
    explorer = explorer_of(model, images)
    assert explorer.wait(PATIENCE)
    known = explorer.curves.y.copy()
    gate.close_again()
    explorer.fill_picker.value = "black"
    assert np.isnan(explorer.curves.y).all(), "curves of another fill are still shown"
    explorer.kind_picker.value = "flipping"
    assert np.isnan(explorer.curves.y).all(), "curves of another kind are still shown"
    assert explorer.curves.mode == "MoRF"
    explorer.kind_picker.value, explorer.fill_picker.value = "deletion", "default"
    assert np.array_equal(explorer.curves.y, known), "results of a choice are kept"
    gate.open()
    assert explorer.wait(PATIENCE)
    assert np.array_equal(explorer.curves.y, known)


@pytest.mark.parametrize("fill", FILLS[1:])
def test_a_fill_is_in_the_curves_and_in_the_image(model, images, fill):
    explorer = explorer_of(model, images[:1], fill=fill)
    assert explorer.wait(PATIENCE)
    filled = curve_fill(model, model.images(images[:1]), fill)
    for baseline in explorer.masked.baselines:
        assert (baseline == model.to_rgb(filled[0])).all()
    expected = expected_curve(model, images[:1], explorer.target, fill=fill)
    assert explorer.curves.y[0] == near(expected)
    # Insertion starts from it.
    assert explorer.curves.y[1, 0] == near(model.probs(filled)[0, explorer.target].item())


def test_methods_that_are_not_better_than_random_orders_are_named(model, images):
    def constant(model, x, target):
        return 0 * x.mean(1)

    explorer = explorer_of(model, images[:1], methods=[constant], orders=10)
    assert explorer.wait(PATIENCE)
    random = explorer.study.outcome(explorer._key("random_order")).result.curves["deletion"]
    areas = np.trapezoid(random.draws[:, 0].numpy(), random.fractions.numpy())
    low, high = np.quantile(areas, [0.05, 0.95])
    entry = explorer.curves.series[0]
    words = (
        f"deletion is not better than random orders: AUC {entry['auc']:.3f}, theirs {low:.3f} to {high:.3f}"
    )
    assert (words in entry.get("warning", "")) == (entry["auc"] >= low)


def test_the_state_has_image_kind_fill_and_scope(model, images):
    explorer = explorer_of(model, images)
    assert explorer.wait(PATIENCE)
    explorer.frame, explorer.kind_picker.value, explorer.fill_picker.value = 1, "flipping", "noise"
    explorer.curves.mode, explorer.curves.scope = "LeRF", "mean"
    state = explorer.state()
    again = explorer_of(model, images, state=state)
    assert (again.frame, again.image_picker.frame) == (1, 1)
    assert (again.kind_picker.value, again.fill_picker.value) == ("flipping", "noise")
    assert (again.curves.mode, again.curves.scope) == ("LeRF", "mean")
    assert again.wait(PATIENCE)
    assert again.state() == state


def test_other_images_replace_the_old_ones(model, images):
    explorer = explorer_of(model, images)
    explorer.frame = 2
    explorer.image = images[:2][::-1]
    assert explorer.frame == explorer.image_picker.frame == 0
    assert explorer.wait(PATIENCE)
    assert (explorer.masked.image == images[1]).all()
    assert "of 2 images" in explorer.curves.scope_notes["mean"]
    (row,) = rows(explorer, scope="image", name="Gradient", mode="deletion")
    assert explorer.curves.y[row] == near(expected_curve(model, images[1:2], explorer.target))


def test_figures_and_static_images_show_the_chosen_scope_with_its_bands(model, images):
    pytest.importorskip("plotly")
    pytest.importorskip("matplotlib")
    explorer = explorer_of(model, images)
    assert explorer.wait(PATIENCE)
    for scope, bands in (("image", 2), ("mean", 4)):
        explorer.curves.scope = scope
        names = [trace.name or "" for trace in explorer.curves.figure().data]
        assert sum(name.endswith(", spread") for name in names) == bands
        assert len(names) == 4 + bands
        (axes,) = explorer.curves.plot().axes
        assert len(axes.collections) == bands
    mean = explorer.curves.static_image()
    explorer.curves.scope = "image"
    assert not np.array_equal(mean, explorer.curves.static_image())
