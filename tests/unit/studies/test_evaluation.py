"""Evaluation of methods on a data set: cells, shared maps, resuming, failures, masks and the table."""

import csv
import json
import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
import torch
from closeness import assert_close, near
from networks import Functional, images, settle, wrap
from torch import nn

from xai_widgets import load
from xai_widgets.core.batching import CPU_IMAGES
from xai_widgets.core.images import to_uint8
from xai_widgets.core.model import ImageModel
from xai_widgets.data import Example, scenes
from xai_widgets.errors import warn
from xai_widgets.methods import METHODS
from xai_widgets.metrics import METRICS, Explanation, deletion
from xai_widgets.studies import Cell, DiskStore, EvaluationStudy, ScoreStore

QUICK = METRICS["deletion"].with_options(steps=4)


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def test_scores_are_those_of_the_metrics_for_the_predicted_class(model):
    study = EvaluationStudy(model, images(2), ["gradient", "grad_cam"], [QUICK, "monotonicity"])
    study.compute(study.cells(), progress=False)
    scores = dict(study.scores())
    assert len(scores) == 8
    for image, target in enumerate(model.scores(images(2)).argmax(1).tolist()):
        x = images(2)[image : image + 1]
        saliency = METHODS["gradient"].saliency(model, x, target)
        value, explained = scores[Cell("gradient", None, image, None, "deletion")]
        assert value == near(deletion(model, x, saliency, target, steps=4).result(progress=False).auc.item())
        assert explained == target


def test_classes_and_layers_may_be_chosen(model):
    study = EvaluationStudy(
        model, images(2), ["gradient", "grad_cam"], QUICK, targets=[1, 2], layers=["conv1", "conv2"]
    )
    assert [(cell.method, cell.layer, cell.image, cell.target) for cell in study.cells()] == [
        (name, layer, image, image + 1)
        for image in range(2)
        for name, layer in (("gradient", None), ("grad_cam", "conv1"), ("grad_cam", "conv2"))
    ]
    study.compute(study.cells(), progress=False)
    assert [(entry.method, entry.layer, entry.n) for entry in study.table()] == [
        ("gradient", None, 2),
        ("grad_cam", "conv1", 2),
        ("grad_cam", "conv2", 2),
    ]


def test_one_map_serves_all_metrics_and_its_warning_reaches_each(model):
    calls = []

    def mine(model, x, target):
        calls.append(int(target[0]))
        warn("doubtful")
        return x.mean(1)

    study = EvaluationStudy(model, images(1), mine, [QUICK, "monotonicity"], targets=1)
    outcomes = study.compute(study.cells(), progress=False)
    assert calls == [1]
    assert [outcome.warnings for outcome in outcomes.values()] == [("doubtful",)] * 2


def test_an_evaluation_on_disk_continues_where_it_ended(model, tmp_path):
    calls = []

    def mine(model, x, target):
        calls.append(len(calls))
        return x.mean(1)

    def study():
        return EvaluationStudy(model, images(3), mine, QUICK, targets=1, store=DiskStore(tmp_path))

    first = study()
    run = first.missing(first.cells())
    for _ in run:
        if len(calls) == 2:
            run.cancel()
    whole = study()
    whole.compute(whole.cells(), progress=False)
    assert len(calls) <= 4
    uninterrupted = EvaluationStudy(model, images(3), mine, QUICK, targets=1)
    uninterrupted.compute(uninterrupted.cells(), progress=False)
    assert whole.table() == uninterrupted.table()
    count = len(calls)
    study().compute(study().cells(), progress=False)
    assert len(calls) == count


def test_failures_of_images_methods_and_metrics_stop_no_other(model):
    def broken(model, x, target):
        raise RuntimeError("no map today")

    def failing(explanation):
        raise RuntimeError("no score today")

    some = [to_uint8(images(1))[0], "nowhere.png"]
    metrics = [QUICK, replace(METRICS["monotonicity"], function=failing, several=None)]
    study = EvaluationStudy(model, some, [broken, "gradient"], metrics)
    study.compute(study.cells(), progress=False)
    errors = {
        (cell.image, cell.method, cell.metric): error for cell, error in study.failures(study.cells()).items()
    }
    assert errors[0, "broken", "deletion"] == "no map today"
    assert errors[0, "gradient", "monotonicity"] == "no score today"
    assert (0, "gradient", "deletion") not in errors
    assert set(study.unreadable) == {1}
    assert "nowhere.png" in study.unreadable[1]
    assert [(entry.n, entry.failed) for entry in study.table()] == [(0, 2), (0, 2), (1, 1), (0, 2)]


def test_masks_give_the_classes_and_are_cropped_like_the_image():
    network = load("scenes_vgg", device="cpu")
    scene = scenes.scene(2, split="test", background="texture")
    study = EvaluationStudy(network, [Example(scene.image, "scene", scene.masks)], "gradient", "pointing")
    assert [cell.target for cell in study.cells()] == list(scene.labels)
    for label in scene.labels:
        assert (study._mask(0, label).numpy() == (scene.category == label)).all()
    absent = next(k for k in range(12) if k not in scene.labels)
    assert EvaluationStudy(network, [scene.image], "gradient", "pointing").cells() == []
    without = EvaluationStudy(
        network, [Example(scene.image, "scene", scene.masks)], "gradient", "pointing", targets=absent
    )
    assert without.cells() == []
    explicit = EvaluationStudy(network, [scene.image], "gradient", "pointing", masks=[scene.masks])
    assert explicit.cells() == study.cells()
    study.compute(study.cells(), progress=False)
    assert {score.value for _, score in study.scores()} <= {0.0, 1.0}


def test_the_masks_of_a_tensor_have_its_size():
    """A tensor is not resized to the 96 pixels of the network, so its masks may not be cropped to a square."""
    mask = np.zeros((60, 120), bool)
    mask[:20, 90:] = True
    model, x = load("scenes_resnet", device="cpu"), torch.rand(3, 48, 96)
    study = EvaluationStudy(model, [Example(x, "wide", {1: mask})], "gradient", "pointing")
    found = study._mask(0, 1)
    assert found.shape == (48, 96)
    assert found.sum() == 16 * 24
    assert found[:16, 72:].all()
    batch = EvaluationStudy(model, x[None], "gradient", "pointing", masks=[{1: mask}], targets=1)
    assert torch.equal(batch._mask(0, 1), found)


def test_the_table_is_written_as_csv_and_json(model, tmp_path):
    study = EvaluationStudy(model, images(3), ["gradient"], [QUICK, "monotonicity"], targets=1)
    study.compute(study.cells(), progress=False)
    table = study.table()
    values = [score.value for cell, score in study.scores() if cell.metric == "deletion"]
    assert table[0].mean == near(statistics.fmean(values))
    assert table[0].spread == near(statistics.stdev(values))
    assert math.isnan(table[1].spread)
    table.to_csv(tmp_path / "table.csv")
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert float(rows[0]["mean"]) == table[0].mean
    assert (rows[1]["spread"], rows[1]["layer"], rows[1]["n"]) == ("", "", "3")
    table.to_json(tmp_path / "table.json")
    assert json.loads((tmp_path / "table.json").read_text())[1]["spread"] is None
    assert repr(table).startswith("Table:\n  gradient, deletion: 0.")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"metrics": ["delition"]}, "did you mean 'deletion'"),
        ({"metrics": ["ssim"]}, "'ssim', which compares two maps"),
        ({"methods": ["gradeint"]}, "did you mean 'gradient'"),
        ({"targets": [1]}, "expected targets for each of 2 images, got 1"),
        ({"masks": []}, "expected masks for each of 2 images, got 0"),
    ],
)
def test_bad_arguments_are_named(model, change, text):
    arguments = {"images": images(2), "methods": ["gradient"], "metrics": ["deletion"], **change}
    with pytest.raises(ValueError, match=text):
        EvaluationStudy(model, **arguments)


def test_a_map_at_a_layer_is_randomized_at_that_layer(model):
    metric = METRICS["randomization"].with_options(layers=["fc"])
    study = EvaluationStudy(model, images(1), "grad_cam", metric, targets=1, layers=["conv1"])
    study.compute(study.cells(), progress=False)
    ((_, score),) = study.scores()
    assert 0 <= score.value <= 1
    assert np.isfinite(score.value)
    assert_close(
        study.maps.result(study.map_key(study.cells()[0])),
        METHODS["grad_cam"].saliency(model, images(1), 1, layer="conv1")[0],
    )


def test_maps_of_images_are_scored_in_common_passes():
    """Each score is that of the metric for its map alone; a map that fails or misses leaves the others alone."""
    model = wrap(settle(Functional()))
    groups = []
    several = METRICS["deletion"].several

    def counted(explanations, **options):
        groups.append(len(explanations))
        return several(explanations, **options)

    def flat(model, x, target):
        return torch.ones(len(x), 8, 8)

    def refusing(model, x, target):
        raise ValueError("not this network")

    metric = replace(METRICS["deletion"].with_options(steps=4), several=counted)
    study = EvaluationStudy(model, images(2), ["gradient", flat, "grad_cam", refusing], [metric, "png_size"])
    study.compute(study.cells(), progress=False)
    assert groups == [4]
    found = dict(study.scores())
    for cell, score in found.items():
        if cell.method in ("gradient", "grad_cam") and cell.metric == "deletion":
            saliency = study.maps.result(study.map_key(cell))[None]
            x = images(2)[cell.image : cell.image + 1]
            alone = METRICS["deletion"](Explanation(model, x, score.target, saliency), steps=4)
            assert score.value == alone
    assert study.outcome(Cell("flat", None, 0, None, "deletion")).warnings
    assert "not this network" in study.outcome(Cell("refusing", None, 1, None, "deletion")).error


def passed_batches(model, work):
    """Return the sizes of the batches that pass through a network while something is done."""
    sizes = []
    hook = model.module.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    try:
        work()
    finally:
        hook.remove()
    return sizes


@pytest.mark.parametrize("name", ["deletion", "lerf", "monotonicity", "road"])
def test_passes_of_all_methods_and_images_fill_whole_batches(name):
    """Two methods on eight images: not a batch for each map or image, but as few as hold all images."""
    model, count = wrap(settle(Functional())), 8
    metric = METRICS[name] if name in ("monotonicity", "road") else METRICS[name].with_options(steps=4)
    study = EvaluationStudy(model, images(count), ["gradient", "gradient_x_input"], metric, targets=1)
    for key in {study.map_key(cell) for cell in study.cells()}:
        study.maps.explain(key)
    sizes = passed_batches(model, lambda: study.compute(study.cells(), progress=False))
    assert metric.passes is not None
    each = metric.passes(Explanation(model, images(1), 1, torch.zeros(1, 8, 8)), **metric.options)
    # Both maps of an image share the images without a replaced pixel, and without any other.
    shared = {"deletion": 2, "monotonicity": 2, "lerf": 1, "road": 0}[name]
    # Single images are those by which the network is recorded.
    assert [size for size in sizes if size > 1] == [CPU_IMAGES] * -(
        -count * (2 * each - shared) // CPU_IMAGES
    )


def grouped(metric):
    """Return a metric that notes the widths of the images that it scores together, and the notes."""
    groups = []

    def several(explanations, **options):
        groups.append([each.x.shape[-1] for each in explanations])
        return metric.several(explanations, **options)

    return replace(metric, several=several), groups


def test_only_cells_that_are_due_pass_together():
    """A worker that is given some images does not score those of others."""
    metric, groups = grouped(QUICK)
    study = EvaluationStudy(
        wrap(settle(Functional())), images(4), ["gradient", "grad_cam"], metric, targets=1
    )
    cells = study.cells()
    study.compute([cell for cell in cells if cell.image in (0, 2)], progress=False)
    assert groups == [[8] * 4]
    study.compute(cells, progress=False)
    assert groups == [[8] * 4] * 2


def test_images_of_other_sizes_and_broken_ones_leave_the_others_together():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    model, methods = ImageModel(network.eval(), size=8), ["gradient", "grad_cam"]
    some = [images(1)[0], "nowhere.png", torch.rand(3, 10, 12), images(1, seed=5)[0]]
    metric, groups = grouped(QUICK)
    study = EvaluationStudy(model, some, methods, metric)
    study.compute(study.cells(), progress=False)
    assert groups == [[8] * 4, [12] * 2]
    assert set(study.unreadable) == {1}
    for image in (0, 2, 3):
        alone = EvaluationStudy(model, some[image : image + 1], methods, QUICK)
        alone.compute(alone.cells(), progress=False)
        found = [score for cell, score in study.scores() if cell.image == image]
        assert found == [score for _, score in alone.scores()]


def test_examples_that_cannot_be_read_are_failures_of_their_own():
    """A data set that reads when it is indexed, such as a folder of torchvision with a broken file."""

    class Broken(list):
        def __getitem__(self, index):
            if index == 1:
                raise OSError("cannot read b.jpg")
            return super().__getitem__(index)

    study = EvaluationStudy(wrap(settle(Functional())), Broken(images(3)), ["gradient", "grad_cam"], QUICK)
    study.compute(study.cells(), progress=False)
    assert len(list(study.scores())) == 4
    assert {cell.image: error for cell, error in study.failures(study.cells()).items()} == {
        1: "cannot read b.jpg"
    }


def test_scores_of_a_group_are_stored_at_once(tmp_path):
    """A run that ends after its first score has those that were computed with it, and does not repeat them."""
    metric, groups = grouped(QUICK)
    model, methods = wrap(settle(Functional())), ["gradient", "gradient_x_input"]

    def study():
        return EvaluationStudy(
            model,
            images(3),
            methods,
            [metric, "png_size"],
            targets=1,
            store=ScoreStore(tmp_path / "s", "net"),
        )

    first = study()
    run = first.missing(first.cells())
    next(iter(run))
    run.cancel()
    kept = ScoreStore(tmp_path / "s", "net").items_on_disk()
    assert len(kept) >= 5
    assert {cell.metric for cell in kept} == {"deletion"}
    second = study()
    second.compute(second.cells(), progress=False)
    whole = EvaluationStudy(model, images(3), methods, [QUICK, "png_size"], targets=1)
    whole.compute(whole.cells(), progress=False)
    assert dict(second.scores()) == dict(whole.scores())
    assert sum(map(len, groups)) == 6 + (6 - len(kept))


def test_a_group_that_fails_is_tried_once():
    """The maps of a failed group are scored one by one, and are not put together again."""
    tried = []

    def several(explanations):
        tried.append(len(explanations))
        raise ValueError("together")

    metric = replace(
        METRICS["deletion"], function=lambda _: 0.5, several=several, passes=lambda _: 1, options={}
    )
    study = EvaluationStudy(
        wrap(settle(Functional())), images(3), ["gradient", "grad_cam"], metric, targets=1
    )
    study.compute(study.cells(), progress=False)
    assert tried == [6]
    assert [score.value for _, score in study.scores()] == [0.5] * 6


def test_a_failure_of_common_passes_is_that_of_one_map():
    model = wrap(settle(Functional()))

    def several(explanations):
        raise ValueError("together")

    def alone(explanation):
        if explanation.saliency.sum() < 0:
            raise ValueError("negative")
        return 0.5

    def sign(value):
        def explain(model, x, target):
            return value * x.sum(1)

        explain.__name__ = f"sign_{value:+d}".replace("+", "up").replace("-", "down")
        return explain

    metric = replace(METRICS["deletion"], function=alone, several=several)
    study = EvaluationStudy(model, images(1), [sign(1), sign(-1)], metric)
    study.compute(study.cells(), progress=False)
    outcomes = [study.outcome(cell) for cell in study.cells()]
    assert [outcome.error for outcome in outcomes] == ["", "negative"]
