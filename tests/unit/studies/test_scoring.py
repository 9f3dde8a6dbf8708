"""Evaluation in one call: tables, intervals, resuming after a kill, reference maps, and a Dask cluster."""

import math
import multiprocessing
import os
import random
import signal
import sqlite3
import statistics
import threading
import time

import numpy as np
import pytest
import torch
from closeness import near
from networks import Functional, images, settle, wrap
from PIL import Image

import xai_widgets as xw
from xai_widgets.core.images import to_uint8
from xai_widgets.data import scenes
from xai_widgets.methods import METHODS
from xai_widgets.metrics import METRICS
from xai_widgets.studies import Cell, ScoreStore, evaluate
from xai_widgets.studies.reference_maps import reference_methods
from xai_widgets.studies.store import Outcome

QUICK = METRICS["deletion"].with_options(steps=4)


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def flat(model, x, target):
    return torch.ones(len(x), 8, 8)


def refusing(model, x, target):
    raise ValueError("not this network")


def test_a_tidy_table_with_reference_maps(model, tmp_path):
    result = evaluate(
        {"one": model, "two": wrap(settle(Functional(), seed=4))}, images(3), ["gradient", flat, refusing],
        [QUICK, "png_size"], path=tmp_path / "scores.sqlite", progress=False,
    )  # fmt: skip
    frame = result.frame()
    assert len(frame) == 2 * 3 * 6 * 2
    assert set(frame["method"]) == {"random", "center", "class_blind", "gradient", "flat", "refusing"}
    scores = frame[(frame["model"] == "one") & (frame["metric"] == "deletion")].set_index(
        ["method", "image"]
    )["score"]
    x = images(3)
    target = int(model.scores(x)[1].argmax())
    saliency = METHODS["gradient"].saliency(model, x[1:2], target)
    assert scores["gradient", 1] == near(QUICK(xw.metrics.Explanation(model, x[1:2], target, saliency)))
    rows = {(row.model, row.method, row.metric): row for row in result.intervals(resamples=50)}
    gradient = rows["one", "gradient", "deletion"]
    values = [scores["gradient", image] for image in range(3)]
    assert gradient.mean == near(statistics.fmean(values))
    assert min(values) <= gradient.low <= gradient.mean <= gradient.high <= max(values)
    assert (gradient.n, gradient.missed, gradient.failed) == (3, 0, 0)
    assert rows["one", "flat", "deletion"][4:] == (1, 1, 1, 3, 3, 0)
    broken = rows["one", "refusing", "deletion"]
    assert (math.isnan(broken.mean), broken.n, broken.failed) == (True, 0, 3)
    assert list(result.table(resamples=10).columns[:4]) == ["model", "method", "layer", "metric"]
    assert repr(result) == "Evaluation(72 scores: 2 models, 3 images, 6 methods, 2 metrics)"


def test_tables_are_written(model, tmp_path):
    result = evaluate(model, images(2), "gradient", QUICK, progress=False)
    text = result.to_csv(tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_text() == text
    assert text.count("\n") == 1 + 8
    latex = result.to_latex(tmp_path / "table.tex")
    assert (tmp_path / "table.tex").read_text() == latex
    assert latex.count(r"\\") == 1 + 4
    assert latex.count(r"\textbf") == 1
    assert r"class\_blind" in latex


def test_intervals_cover_the_mean_and_follow_the_metric():
    """The percentiles of resampled means, of classes for the pointing game; against a direct loop."""
    from xai_widgets.studies.paired import resampled_means

    generator = np.random.default_rng(0)
    known = [(image, float(generator.normal()), image % 3) for image in range(12)]
    draws = np.random.default_rng(1).multinomial(12, np.full(12, 1 / 12), size=7)
    for by_class in (False, True):
        found = resampled_means(known, draws, by_class=by_class)
        for draw, mean in zip(draws, found, strict=True):
            drawn = [row for row in known for _ in range(draw[row[0]])]
            groups = (
                [[row[1] for row in drawn if row[2] == k] for k in range(3)]
                if by_class
                else [[r[1] for r in drawn]]
            )
            assert mean == near(statistics.fmean(statistics.fmean(group) for group in groups if group))


def test_reference_maps_are_the_same_for_the_same_image(model):
    x, methods = images(2), reference_methods()
    whole = methods["random"].saliency(model, x, 0)
    assert torch.equal(whole[1:], methods["random"].saliency(model, x[1:], 1))
    assert not torch.equal(whole[0], whole[1])
    center = methods["center"].saliency(model, x, 0)
    assert center[0, 3, 3] == center[0, 4, 4] == center.max()
    blind = methods["class_blind"].saliency(model, x, 0)
    assert torch.equal(blind, methods["class_blind"].saliency(model, x, 2))


def test_only_missing_scores_are_computed(model, tmp_path):
    calls = []

    def counted(model, x, target):
        calls.append(len(x))
        return x.sum(1)

    path = tmp_path / "scores.sqlite"
    evaluate(model, images(2), counted, QUICK, path=path, references=False, progress=False)
    first = evaluate(model, images(2), counted, QUICK, path=path, references=False, progress=False)
    assert len(calls) == 2
    more = evaluate(
        model, images(2), counted, [QUICK, "png_size"], path=path, references=False, progress=False
    )
    assert len(calls) == 4
    old = {(row["image"], row["score"]) for row in first.rows()}
    assert old <= {(row["image"], row["score"]) for row in more.rows()}


def test_a_file_of_another_evaluation_is_refused(model, tmp_path):
    path = tmp_path / "scores.sqlite"
    evaluate({"net": model}, images(2), "gradient", QUICK, path=path, progress=False)
    with pytest.raises(ValueError, match="differs in its network"):
        evaluate({"net": wrap(settle(Functional(), seed=8))}, images(2), "gradient", QUICK, path=path)
    with pytest.raises(ValueError, match="differs in its number of images"):
        evaluate({"net": model}, images(3), "gradient", QUICK, path=path)
    with pytest.raises(ValueError, match="differs in its data set"):
        evaluate({"net": model}, images(2, seed=9), "gradient", QUICK, path=path)
    with pytest.raises(ValueError, match="differs in its options of deletion"):
        evaluate({"net": model}, images(2), "gradient", "deletion", path=path)
    other = tmp_path / "text.sqlite"
    other.write_text("no database" * 100)
    with pytest.raises(ValueError, match="file of scores or a new one"):
        ScoreStore(other, "net")


def test_a_store_is_a_mapping(tmp_path):
    store, cell = ScoreStore(tmp_path / "scores.sqlite", "net"), Cell("gradient", None, 0, None, "deletion")
    store[cell] = Outcome((math.nan, 3), "", ("a warning",), complete=True)
    assert store[cell].warnings == ("a warning",)
    assert math.isnan(store[cell].result[0])
    store[cell._replace(layer="conv", target=2)] = Outcome(None, "an error", complete=True)
    assert set(store) == {cell, cell._replace(layer="conv", target=2)}
    store[cell._replace(image=1)] = Outcome((0.5, 1))
    assert not store[cell._replace(image=1)].complete
    assert len(ScoreStore(store.path, "net")) == 2
    assert ScoreStore(store.path, "other").items_on_disk() == {}
    del store[cell]
    with pytest.raises(KeyError):
        store[cell]


def test_data_sets_are_sequences_or_folders(model, tmp_path):
    for name in ("a", "b"):
        Image.fromarray(to_uint8(images(1))[0]).save(tmp_path / f"{name}.png")
    result = evaluate(model, tmp_path, "gradient", "png_size", progress=False)
    assert {row["image"] for row in result.rows()} == {0, 1}
    assert all(not row["error"] for row in result.rows())
    with pytest.raises(ValueError, match="sequence of images or a folder, got 'nowhere'"):
        evaluate(model, "nowhere", "gradient", "png_size")
    with pytest.raises(ValueError, match="at least one image"):
        evaluate(model, [], "gradient", "png_size")
    with pytest.raises(TypeError, match="a sequence of images"):
        evaluate(model, np.zeros((8, 8, 3), np.uint8), "gradient", "png_size")
    with pytest.raises(ValueError, match="at least one score, got none: expected the path of an image"):
        evaluate(model, ["nothing.jpg"], "gradient", "png_size", progress=False)


def test_masks_of_scenes_and_permuted_labels():
    network = xw.load("scenes_vgg")
    examples = scenes.generate(2, split="test")
    metrics = ["relevance_mass", "data_randomization"]
    result = evaluate(network, examples, "grad_cam", metrics, permuted=network, progress=False)
    rows = {(row.method, row.metric): row for row in result.intervals(resamples=20)}
    assert 0 < rows["grad_cam", "relevance_mass"].mean <= 1
    assert rows["grad_cam", "data_randomization"].mean == near(1)
    other = xw.load("scenes_vgg_permuted")
    result = evaluate(
        network, examples, "grad_cam", metrics[1], permuted=other, references=False, progress=False
    )
    assert result.intervals(resamples=20)[0].mean < 0.9
    assert {row["target"] for row in result.rows()} == {label for one in examples for label in one.masks}
    with pytest.raises(ValueError, match="expected permuted"):
        evaluate(network, examples, "grad_cam", "data_randomization", progress=False)


def test_one_seed_reaches_all_that_draws_random_numbers(model, tmp_path):
    methods = ["smoothgrad", "gradient"]
    metrics = [
        METRICS["infidelity"].with_options(squares=20),
        METRICS["morf"].with_options(steps=4),
        METRICS["sensitivity_n"].with_options(sets=5, seed=3),
        QUICK,
    ]

    def scores(seed):
        return _scores(evaluate({"net": model}, images(1), methods, metrics, seed=seed, progress=False))

    first, again, other = scores(1), scores(1), scores(2)
    assert first == again
    fixed = {key for key in first if first[key] == other[key]}
    for name in ("infidelity", "morf"):
        assert ("net", "gradient", 0, name) not in fixed
    assert ("net", "smoothgrad", 0, "deletion") not in fixed
    assert ("net", "random", 0, "deletion") not in fixed
    # A seed among the options stays, and so does the order of a gradient.
    assert {("net", "gradient", 0, "sensitivity_n"), ("net", "gradient", 0, "deletion")} <= fixed
    path = tmp_path / "scores.sqlite"
    evaluate({"net": model}, images(1), methods, QUICK, seed=1, path=path, progress=False)
    with pytest.raises(ValueError, match="differs in its seed"):
        evaluate({"net": model}, images(1), methods, QUICK, seed=2, path=path, progress=False)


def test_ten_kills_at_random_moments_lose_and_repeat_nothing(tmp_path):
    """Each row is there once, is never written again, and is that of a run that nobody interrupts."""
    path, whole = tmp_path / "scores.sqlite", tmp_path / "whole.sqlite"

    def rows(file):
        try:
            with sqlite3.connect(file) as connection:
                return connection.execute("select rowid, * from scores").fetchall()
        except sqlite3.OperationalError:
            return []

    # Children that have imported everything: what is killed is the evaluation.
    context = multiprocessing.get_context("fork")
    generator = random.Random(0)
    kept: set = set()
    for _ in range(10):
        before = len(rows(path))
        process = context.Process(target=_evaluate_slowly, args=(str(path),))
        process.start()
        deadline = time.monotonic() + 60
        while len(rows(path)) == before and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(generator.uniform(0, 0.15))
        process.kill()
        process.join()
        now = set(rows(path))
        assert kept <= now
        kept = now
    assert len(kept) >= 10
    threads = torch.get_num_threads()
    try:
        _evaluate_slowly(str(path))
        _evaluate_slowly(str(whole))
    finally:
        torch.set_num_threads(threads)
    found, expected = ([row[1:] for row in rows(file)] for file in (path, whole))
    assert kept <= set(rows(path))
    assert len(found) == len(set(row[:6] for row in found)) == 24 * 5 * 2
    assert sorted(map(repr, found)) == sorted(map(repr, expected))


def _evaluate_slowly(path):
    torch.set_num_threads(1)

    def slow(model, x, target):
        time.sleep(0.02)
        return x.sum(1)

    metrics = [QUICK, "png_size"]
    network = wrap(settle(Functional()))
    evaluate({"net": network}, images(24), ["gradient", slow], metrics, path=path, progress=False)


def test_a_cluster_gives_the_same_numbers_and_survives_the_loss_of_a_worker(model, tmp_path):
    distributed = pytest.importorskip("distributed")
    methods, metrics = ["gradient", "grad_cam"], [QUICK, METRICS["infidelity"].with_options(squares=20)]
    here = evaluate({"net": model}, images(8), methods, metrics, progress=False)

    def fatal(model, x, target):
        # One worker of the two dies once, in the middle of the run.
        mark = tmp_path / "died"
        if distributed_worker() and not mark.exists() and len(list(tmp_path.glob("*.sqlite"))) == 1:
            mark.touch()
            os._exit(1)
        return x.sum(1)

    def distributed_worker():
        try:
            distributed.get_worker()
        except ValueError:
            return False
        return True

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        there = evaluate({"net": model}, images(8), methods, metrics, client=client, progress=False)
        assert _scores(there) == _scores(here)
        path = tmp_path / "scores.sqlite"
        survived = evaluate(
            {"net": model}, images(8), [*methods, fatal], metrics, client=client, path=path, progress=False
        )
        _kill_workers_at_random(cluster, client, model, tmp_path / "killed.sqlite")
    assert (tmp_path / "died").exists()
    found = _scores(survived)
    assert {key: value for key, value in found.items() if key[1] != "fatal"} == _scores(here)
    assert len([key for key in found if key[1] == "fatal"]) == 16
    with sqlite3.connect(path) as connection:
        assert connection.execute("select count(*) from scores").fetchone()[0] == len(found) == 8 * 6 * 2


def _kill_workers_at_random(cluster, client, model, path):
    """Evaluate while one worker after the other is killed; each row is there once, and that of a local run."""

    def slow(model, x, target):
        time.sleep(0.1)
        return x.sum(1)

    killed: list = []
    ended = threading.Event()

    def kill():
        generator = random.Random(1)
        while len(killed) < 3 and not ended.wait(generator.uniform(0.3, 1.0)):
            pids = [worker.pid for worker in cluster.workers.values() if worker.pid]
            if pids:
                os.kill(pid := generator.choice(pids), signal.SIGKILL)
                killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        found = evaluate(
            {"net": model}, images(24), ["gradient", slow], QUICK, client=client, path=path, progress=False
        )
    finally:
        ended.set()
        thread.join()
    assert killed
    expected = evaluate({"net": model}, images(24), ["gradient", slow], QUICK, progress=False)
    assert _scores(found) == _scores(expected)
    with sqlite3.connect(path) as connection:
        assert connection.execute("select count(*) from scores").fetchone()[0] == 24 * 5


def test_an_evaluation_whose_workers_are_all_lost_ends_and_can_be_continued(model, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    from xai_widgets.studies import scoring

    monkeypatch.setattr(scoring, "PATIENCE", 2.0)
    monkeypatch.setattr(scoring, "POLL", 0.5)
    started, ended, path = threading.Event(), threading.Event(), tmp_path / "scores.sqlite"

    def slow(model, x, target):
        started.set()
        ended.wait(60)
        return x.sum(1)

    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    )
    with cluster, distributed.Client(cluster) as client:
        thread = threading.Thread(target=lambda: started.wait(60) and cluster.scale(0))
        thread.start()
        try:
            with pytest.raises(RuntimeError, match="to score 2 more images, got no worker for 2 s"):
                evaluate(
                    model, images(2), ["gradient", slow], QUICK, client=client, path=path, progress=False
                )
        finally:
            ended.set()
            thread.join()
    found = evaluate(model, images(2), ["gradient", slow], QUICK, path=path, progress=False)
    assert _scores(found) == _scores(evaluate(model, images(2), ["gradient", slow], QUICK, progress=False))


def _scores(result):
    return {
        (row["model"], row["method"], row["image"], row["metric"]): (row["score"], row["error"])
        for row in result.rows()
    }
