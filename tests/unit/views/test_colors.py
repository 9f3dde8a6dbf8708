"""Colors of values; tests/browser/test_static_images.py compares them with those of the page."""

import re
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xai_widgets.views.colors import STEPS, color_table, magnitude_limit, resolve_sign, shade
from xai_widgets.views.plot import LOOKS, MARKERS, PALETTE, curve_look, series_color

ROOT = Path(__file__).resolve().parents[3]
FLOATS = st.floats(-1e6, 1e6, width=32)
MAPS = arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=FLOATS)


def test_curves_have_the_palette_of_the_page():
    text = (ROOT / "js" / "src" / "lib" / "palette.css").read_text(encoding="utf-8")
    found = re.findall(r"--xw-series-\d: color-mix\(in srgb, (#\w{6}) (\d+)%, var\(--xw-fg\)\)", text)
    assert tuple((base, int(share)) for base, share in found) == PALETTE


def test_curves_have_the_markers_of_the_page():
    text = (ROOT / "js" / "src" / "lib" / "palette.js").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^const MARKERS = \[(.*)\];$", text, re.MULTILINE)
    assert tuple(re.findall(r'"(\w*)"', listed)) == MARKERS


@given(st.sets(st.integers(0, LOOKS - 1), min_size=2))
def test_no_two_looks_are_alike(looks):
    assert len({curve_look({"look": look}, 0) for look in looks}) == len(looks)


@given(st.integers(0, 2000))
def test_a_class_has_one_color_everywhere(index):
    assert series_color(index) == curve_look({}, index)[0]


@given(MAPS)
def test_zero_has_the_middle_and_the_ends_have_the_ends(values):
    limit = magnitude_limit(values, 100)
    table = color_table("blue_orange", "both")
    colors = shade(values, limit, "both", table)
    assert np.array_equal(colors[values == 0], np.tile(table[STEPS // 2], ((values == 0).sum(), 1)))
    if limit > 0:
        largest = np.abs(values) == np.float32(limit)
        assert largest.any()
        expected = np.where((values[largest] > 0)[:, None], table[-1], table[0])
        assert np.array_equal(colors[largest], expected)


@given(MAPS, st.floats(1, 100))
def test_the_scale_ends_at_the_percentile_or_the_largest(values, percentile):
    limit = magnitude_limit(values, percentile)
    assert limit <= np.abs(values).max() * (1 + 1e-6)
    assert (limit == 0) == (not values.any())


def test_what_is_not_finite_is_transparent():
    values = np.array([[np.nan, np.inf, 1.0]], np.float32)
    assert magnitude_limit(values, 99) == 1
    colors = shade(values, 1, "both", color_table("auto", "both"))
    assert colors[0, :2].max() == 0
    assert colors[0, 2, 3] == 255


def test_auto_is_both_signs_only_where_there_are_both():
    assert resolve_sign("auto", np.zeros(3), np.array([-1.0])) == "both"
    assert resolve_sign("auto", np.zeros(3)) == "positive"
    assert resolve_sign("absolute", np.array([-1.0])) == "absolute"
