"""Order, static image and checks of a leaderboard, and the images that decide between two of its rows."""

import re

import numpy as np
import pytest
from closeness import assert_close
from traitlets import TraitError

from xai_widgets.core.figures import Intervals
from xai_widgets.views import LeaderboardView, PairView, link
from xai_widgets.views.figures import view_panels

ROWS = [{"name": "cam", "label": "CAM"}, {"name": "lrp"}, {"name": "random", "label": "Random"}]
COLUMNS = [
    {"name": "deletion", "label": "Deletion", "direction": "lower"},
    {"name": "insertion", "label": "Insertion", "direction": "higher"},
]
MEAN = np.array([[0.2, 0.9], [0.1, 0.95], [0.5, np.nan]], np.float32)


def board(**traits):
    marks = np.array([[2, 2], [1, 1], [0, 0]], np.uint8)
    numbers = {"mean": MEAN, "low": MEAN - 0.05, "high": MEAN + 0.1, "marks": marks}
    return LeaderboardView(rows=ROWS, columns=COLUMNS, references=["random"], **numbers, **traits)


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("", [0, 1, 2]),
        ("deletion", [1, 0, 2]),
        ("-deletion", [2, 0, 1]),
        ("insertion", [1, 0, 2]),
        ("-insertion", [0, 1, 2]),
        ("unknown", [0, 1, 2]),
    ],
)
def test_rows_are_sorted_by_a_metric_and_those_without_a_mean_are_last(sort, order):
    assert board(sort=sort).order() == order


def test_figures_have_a_panel_for_each_metric_with_its_intervals():
    first, second = view_panels(board(sort="deletion"))
    assert isinstance(first, Intervals)
    assert (first.title, first.x_label, list(first.labels)) == (
        "Deletion",
        "lower is better",
        ["lrp", "CAM", "Random"],
    )
    assert_close(first.values, MEAN[[1, 0, 2], 0])
    assert_close(first.lengths(), np.array([[0.05] * 3, [0.1] * 3], np.float32), scale=1)
    assert first.line == pytest.approx(0.5)
    assert first.colors[0] == "#0072b2"
    assert np.isnan(second.line)
    assert list(view_panels(LeaderboardView(rows=ROWS, columns=COLUMNS))) == []


def test_matplotlib_draws_the_intervals():
    pytest.importorskip("matplotlib")
    first, second = board().plot().axes
    assert len(first.containers) == 3
    assert len(second.containers) == 2
    (mean,) = first.containers[0].lines[0].get_xdata()
    assert mean == pytest.approx(0.2)


def test_the_static_image_has_a_line_for_each_row():
    image = board().static_image()
    assert image.shape == (80, 430, 3)
    inked = (image[:, 190:270] < 200).any((1, 2))
    assert all(inked[20 * line : 20 * line + 20].any() for line in (1, 2, 3))
    assert LeaderboardView(rows=ROWS, columns=COLUMNS).static_image() is None


@pytest.mark.parametrize(
    ("traits", "words"),
    [
        ({"rows": [{"name": "a"}, {"name": "a"}]}, "expected LeaderboardView.rows to have different names"),
        ({"rows": [{"label": "a"}]}, "expected each of LeaderboardView.rows to have a name"),
        ({"columns": [{"name": "a", "direction": "up"}]}, 'to have the direction "higher" or "lower"'),
        ({"columns": [{"name": "a", "titel": "b"}]}, "unknown key 'titel'"),
        ({"pair": ["a", "b", "c"]}, "expected LeaderboardView.pair to be up to two different names"),
    ],
)
def test_bad_values_are_named(traits, words):
    with pytest.raises(TraitError, match=re.escape(words)):
        LeaderboardView(**traits)


def paired(**traits):
    scores = np.array([[[0.1, 0.5, 0.4, 0.9]], [[0.3, 0.3, 0.4, np.nan]]], np.float32)
    return PairView(rows=ROWS[:2], columns=COLUMNS[1:], scores=scores, pair=["cam", "lrp"], **traits)


def test_the_images_are_those_with_the_largest_differences():
    view = paired()
    assert view.shown() == [1, 0]
    view.columns = [{"name": "deletion", "direction": "lower"}]
    assert view.shown() == [0, 1]
    view.pair = ["cam"]
    assert view.shown() == []
    assert PairView(rows=ROWS[:2], columns=COLUMNS, pair=["cam", "lrp"]).shown() == []


def test_the_static_image_has_the_map_of_each_row_on_its_image():
    maps = np.zeros((2, 4, 4), np.float16)
    maps[0, 0, 0] = maps[1, 1, 1] = 1
    view = paired(
        images=np.full((1, 32, 32, 3), 90, np.uint8),
        image_items=[1],
        maps=maps,
        map_sizes=[[4, 4], [2, 2]],
        map_rows=[0, 1],
        map_items=[1, 1],
        interpolation="pixelated",
        opacity=1,
        fade=True,
    )
    image = view.static_image()
    height = (image.shape[0] - 4) // 2
    above, below = image[:height], image[height + 4 :]
    # The largest value is bright, where the map of each row has it.
    assert above[: height // 4, : height // 4].mean() > above[height // 2 :, height // 2 :].mean() + 50
    assert below[height // 2 :, height // 2 :].mean() > below[: height // 4, : height // 4].mean() + 50
    assert paired().static_image() is None


def test_the_choice_of_rows_is_linked():
    table, view = board(pair=["lrp", "random"]), paired()
    link((table, "pair"), (view, "pair"))
    assert view.pair == ["lrp", "random"]
    assert view._channels["pair"] == table._channels["pair"]
