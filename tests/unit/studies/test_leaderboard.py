"""Paired comparisons from their formula: intervals of differences, marks, and the images that decide."""

import math

import numpy as np
import pytest
from closeness import assert_close

from xai_widgets.metrics import METRICS
from xai_widgets.studies import Cell, Evaluation, Outcome, Score
from xai_widgets.studies.leaderboard import leaderboard, reasons
from xai_widgets.studies.paired import BEST, TIED, Row, least_images, paired_intervals

LOWER, HIGHER = METRICS["deletion"], METRICS["insertion"]


def evaluation_of(scores, metric=HIGHER, targets=None):
    """Return an evaluation of one metric, from scores by method; None is an image without one."""
    outcomes = {}
    for image in range(len(next(iter(scores.values())))):
        for method, values in scores.items():
            if values[image] is not None:
                target = 0 if targets is None else targets[image]
                cell = Cell(method, None, image, target, metric.name)
                outcomes[cell] = Outcome(Score(values[image], target), complete=True)
    return Evaluation({metric.name: metric}, {"model": outcomes})


def board_of(scores, metric=HIGHER, **options):
    return leaderboard(evaluation_of(scores, metric, **options), "model", [Row(name) for name in scores])


def test_the_interval_of_a_difference_is_that_of_the_differences_on_the_same_draws():
    generator = np.random.default_rng(0)
    scores = generator.random((2, 9))
    draws = generator.multinomial(9, np.full(9, 1 / 9), size=200)
    ends = paired_intervals(scores, np.arange(9), None, draws, level=0.9)
    drawn = [(count * (scores[0] - scores[1])).sum() / 9 for count in draws]
    low, high = np.quantile(drawn, [0.05, 0.95])
    assert_close(ends[0, 1], [low, high])
    assert_close(ends[1, 0], [-high, -low])
    assert ends[0, 0].tolist() == ends[1, 1].tolist() == [0, 0]


def test_rows_are_compared_on_the_images_that_both_have():
    generator = np.random.default_rng(1)
    scores = generator.random((3, 8))
    scores[1, 6:] = np.nan
    draws = generator.multinomial(8, np.full(8, 1 / 8), size=100)
    ends = paired_intervals(scores, np.arange(8), None, draws)
    with np.errstate(invalid="ignore"):
        drawn = (draws[:, :6] @ (scores[0] - scores[1])[:6]) / draws[:, :6].sum(1)
    assert_close(ends[0, 1], np.nanquantile(drawn, [0.025, 0.975]))
    whole = draws @ (scores[0] - scores[2]) / 8
    assert_close(ends[0, 2], np.quantile(whole, [0.025, 0.975]))


def test_a_mean_over_classes_weights_each_class_alike():
    scores = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    draws = np.array([[1, 1, 1], [2, 0, 1], [1, 1, 1]])
    ends = paired_intervals(scores, np.arange(3), np.array([4, 4, 7]), draws, level=0.5)
    # (mean of class 4, which is 1, + mean of class 7, which is 0) / 2 in each draw.
    assert_close(ends[0, 1], [0.5, 0.5])


@pytest.mark.parametrize(("metric", "sign"), [(HIGHER, 1), (LOWER, -1)])
def test_the_best_mean_is_marked_and_what_is_not_separated_from_it(metric, sign):
    good = np.linspace(0.6, 0.9, 20)
    noise = np.resize([0.3, -0.31], 20)
    board = board_of(
        {"worst": (0.5 - sign * good / 2).tolist(), "near": (0.5 + sign * (good + noise) / 4).tolist(),
         "best": (0.5 + sign * good / 4).tolist()},
        metric,
    )  # fmt: skip
    assert board.marks[:, 0].tolist() == [0, TIED, BEST]
    means = [line[0].mean for line in board.intervals]
    assert means[2] == (max if sign > 0 else min)(means)


def test_one_image_separates_nothing_and_no_score_is_no_best():
    board = board_of({"a": [0.9], "b": [0.1], "c": [math.nan]})
    assert board.marks[:, 0].tolist() == [BEST, TIED, 0]
    assert np.isnan(board.differences[0, 0, 1]).all()


@pytest.mark.parametrize(("level", "least"), [(0.5, 2), (0.9, 5), (0.95, 6), (0.99, 8)])
def test_fewer_images_than_an_exchange_needs_separate_nothing(level, least):
    assert 2 / 2**least <= 1 - level < 2 / 2 ** (least - 1)
    assert least_images(level) == least
    for count in (least - 1, least):
        better = np.stack([np.linspace(1, 2, count), np.zeros(count)])
        draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=50)
        ends = paired_intervals(better, np.arange(count), None, draws, level=level)
        assert (ends[0, 1] > 0).all() if count == least else np.isnan(ends[0, 1]).all()
        # Classes of one image are not more images.
        several = paired_intervals(better, np.zeros(count, int), None, draws, level=level)
        assert np.isnan(several[0, 1]).all()


def test_intervals_are_those_of_the_evaluation():
    scores = np.random.default_rng(2).random((3, 12)).tolist()
    evaluation = evaluation_of(dict(zip("abc", scores, strict=True)))
    board = leaderboard(evaluation, "model", [Row("c"), Row("a")], seed=3)
    expected = {each.method: each for each in evaluation.intervals(seed=3)}
    assert [line[0] for line in board.intervals] == [expected["c"], expected["a"]]
    assert_close(board.scores[:, 0], np.array([scores[2], scores[0]]))
    assert len(repr(board)) <= 300


@pytest.mark.parametrize(("metric", "better", "worse"), [(HIGHER, [3, 1], [0]), (LOWER, [0], [3, 1])])
def test_the_images_that_decide_have_the_largest_differences(metric, better, worse):
    board = board_of({"a": [0.1, 0.5, 0.4, 0.9], "b": [0.3, 0.3, 0.4, 0.2]}, metric)
    assert board.deciding("a", "b", metric.name, 2) == (better, worse)
    assert board.deciding("b", "a", metric.name, 2) == (worse, better)
    assert [len(part) for part in board.deciding("a", "b", metric.name, 1)] == [1, 1]


def test_missing_scores_have_their_reasons():
    cell = Cell("a", None, 0, 0, "insertion")
    miss = "Insertion: the map is constant, which counts as a miss"
    outcomes = {
        cell: Outcome(error="expected a layer", complete=True),
        cell._replace(image=1): Outcome(error="expected a layer", complete=True),
        cell._replace(image=2): Outcome(error="expected memory", complete=True),
        cell._replace(image=3): Outcome(Score(0.0, 0), warnings=(miss,), complete=True),
        cell._replace(image=4): Outcome(Score(math.nan, 0), complete=True),
        cell._replace(image=5): Outcome(Score(0.5, 0), complete=True),
        cell._replace(method="b"): Outcome(Score(0.5, 0), complete=True),
    }
    words, nothing = reasons(outcomes, [Row("a"), Row("b")], ["insertion"])
    assert words == [
        "3 of 6 failed: expected a layer (and 1 other reason); 1 of 6 missed: " + miss
        + "; 1 of 6 undefined: the metric has no value for this map"
    ]  # fmt: skip
    assert nothing == [""]


def test_the_latex_table_marks_the_best_and_those_not_separated_from_it():
    noise = np.tile([0.0, 0.3, -0.3, 0.1], 5)
    scores = {"first": 0.9 + noise, "second": 0.89 + noise[::-1], "last": 0.2 + noise}
    lines = evaluation_of(scores).to_latex().splitlines()
    best, tied, behind = [
        line.split(" & ")[2] for line in lines if line.startswith("model & ") and "[" in line
    ]
    assert best.startswith(r"\textbf{0.925} [")
    assert tied.startswith(r"\underline{0.915} [")
    assert behind.startswith("0.225 [")
