"""Means of curves with their intervals, by hand and by the table of Student's t."""

import numpy as np
import pytest
from closeness import near

from xai_widgets.studies.mean_curves import MeanCurves, interval, t_quantile


@pytest.mark.parametrize(
    ("freedom", "value"), [(1, 12.706), (2, 4.303), (5, 2.571), (10, 2.228), (29, 2.045), (499, 1.965)]
)
def test_the_quantiles_are_those_of_the_table(freedom, value):
    assert t_quantile(freedom) == pytest.approx(value, abs=6e-4)


def test_the_interval_is_that_of_the_mean():
    values = np.array([[1.0, 5.0], [3.0, 5.0], [8.0, 5.0]])
    mean, half = interval(values)
    assert mean == near(np.array([4.0, 5.0]))
    # The deviation of 1, 3 and 8 is the root of 13.
    assert half[0] == pytest.approx(4.303 * np.sqrt(13 / 3), rel=1e-3)
    assert half[1] == 0
    assert np.isnan(interval(values[:1])[1]).all()


def test_images_are_added_and_left_out():
    fractions = np.array([0.0, 1.0], np.float32)
    curves = MeanCurves.empty(["deletion", "insertion"])
    assert (curves.count, curves.done) == (0, 0)
    for value in (1, 2):
        curves = curves.with_curves(fractions, [np.full(2, value, np.float32), np.zeros(2, np.float32)])
    curves = curves.without("no such file")
    assert (curves.count, curves.done, curves.failed) == (2, 3, ("no such file",))
    assert curves.scores["deletion"].tolist() == [[1, 1], [2, 2]]
    assert curves.scores["insertion"].shape == (2, 2)
