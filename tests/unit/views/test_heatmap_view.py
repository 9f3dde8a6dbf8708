"""HeatmapView: traits, errors, and that its colors are matplotlib's."""

import re
from pathlib import Path

import numpy as np
import pytest
from traitlets import TraitError

from xai_widgets.views import HeatmapView
from xai_widgets.views.heatmap_view import DIVERGING, SEQUENTIAL

COLORMAPS = Path(__file__).parents[3] / "js" / "src" / "lib" / "colormaps.js"


def test_defaults():
    view = HeatmapView()
    assert view.image is None
    assert view.maps is view.images is None
    assert (view.groups, view.group) == (1, 0)
    assert (view.frame, view.colormap, view.opacity, view.sign) == (0, "auto", 0.7, "auto")
    assert (view.percentile, view.interpolation, view.position) == (99.0, "bicubic", None)
    assert (view.fade, view.gray, view.smoothing, view.veil) == (True, True, 0, "")
    assert view.signs == view.notes == []


def test_one_map_is_a_stack_of_one_and_is_sent_as_floats():
    view = HeatmapView(maps=np.arange(6).reshape(2, 3))
    message = view.get_state("maps")["maps"]
    assert message["dtype"] == "float32"
    assert message["shape"] == [1, 2, 3]
    np.testing.assert_array_equal(np.frombuffer(message["data"], np.float32), np.arange(6))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("colormap", "virdis", r"HeatmapView\.colormap: unknown choice 'virdis'; did you mean 'viridis'"),
        ("sign", "postive", "did you mean 'positive'"),
        ("interpolation", "smoth", "did you mean 'smooth'"),
        ("percentile", 0, r"percentile to be above 0 and at most 100, got 0"),
        ("percentile", float("nan"), "above 0"),
        ("percentile", 100.1, "at most 100"),
        ("limit", 0, "limit to be a number above 0, or None, got 0"),
        ("limit", float("inf"), "a number above 0"),
        ("limit", float("nan"), "a number above 0"),
        ("opacity", 1.1, r"opacity to be a number from 0 to 1, got 1\.1"),
        ("position", [0.5], r"position to be a position \[x, y\] .*, got \[0\.5\]"),
        ("position", [0.5, 1.5], "both from 0 to 1, or None"),
        ("position", "ab", "a position"),
        ("frame", -1, "should not be less than 0"),
        ("groups", 0, "should not be less than 1"),
        ("group", -1, "should not be less than 0"),
        (
            "images",
            np.zeros((4, 4, 3), np.uint8),
            r"images to be of shape \(any, any, any, 3\), got shape \(4, 4, 3\)",
        ),
        ("maps", np.zeros(4), r"maps to be of shape \(any, any, any\), got shape \(4,\)"),
    ],
)
def test_bad_values_are_refused_and_the_view_stays_usable(name, value, words):
    view = HeatmapView()
    before = getattr(view, name)
    with pytest.raises(TraitError, match=words):
        setattr(view, name, value)
    assert getattr(view, name) is before or getattr(view, name) == before


def test_images_of_frames_are_sent_as_bytes():
    view = HeatmapView(images=np.linspace(0, 1, 24).reshape(2, 2, 2, 3), groups=3, group=2)
    message = view.get_state("images")["images"]
    assert (message["dtype"], message["shape"]) == ("uint8", [2, 2, 2, 3])
    expected = np.round(np.linspace(0, 255, 24))
    np.testing.assert_array_equal(np.frombuffer(message["data"], np.uint8), expected)
    assert (view.groups, view.group) == (3, 2)


@pytest.mark.parametrize("value", [(0, 1), np.array([0.25, 1.0], np.float32), [0.5, 0.5]])
def test_positions_are_lists_of_floats(value):
    position = HeatmapView(position=value).position
    assert type(position) is list
    assert all(type(part) is float for part in position)


def knots() -> dict[str, np.ndarray]:
    """Read the color maps of the browser's table."""
    text = COLORMAPS.read_text(encoding="utf-8")
    found = re.findall(r'(\w+):\s*((?:"[0-9a-f]{6,}"[\s+]*)+),', text)
    return {
        name: np.array(
            [list(bytes.fromhex(color)) for color in re.findall("[0-9a-f]{6}", re.sub(r'[\s"+]', "", body))]
        )
        for name, body in found
    }


def test_the_names_are_those_of_the_browser():
    assert set(knots()) == {*DIVERGING, *SEQUENTIAL, "similarity"}


@pytest.mark.parametrize(("name", "error"), [("viridis", 1), ("inferno", 1), ("magma", 1), ("cividis", 4)])
def test_colors_are_those_of_matplotlib(name, error):
    matplotlib = pytest.importorskip("matplotlib")
    want = np.round(matplotlib.colormaps[name](np.arange(256))[:, :3] * 255)
    table = knots()[name]
    positions = np.linspace(0, 255, len(table))
    np.testing.assert_array_equal(want[positions.round().astype(int)], table)
    have = np.stack([np.interp(np.arange(256), positions, table[:, channel]) for channel in range(3)], axis=1)
    assert np.abs(have.round() - want).max() <= error


#: Colors as seen with a full color blindness, in linear sRGB (Machado, Oliveira and Fernandes, 2009).
BLINDNESS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE Lab (D65) of linear sRGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    f = np.cbrt(rgb @ to_xyz.T / [0.9505, 1.0, 1.089])
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


@pytest.mark.parametrize("kind", BLINDNESS)
@pytest.mark.parametrize("name", DIVERGING)
def test_signs_differ_for_every_eye(name, kind):
    """At half strength and more, the two sides are at least 15 apart in Lab (2.3 is just noticeable)."""
    table = knots()[name] / 255
    linear = np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)
    seen = lab(np.clip(linear @ np.array(BLINDNESS[kind]).T, 0, 1))
    half = len(seen) // 4
    apart = np.linalg.norm(seen[: half + 1] - seen[::-1][: half + 1], axis=1)
    assert apart.min() >= 15


def test_a_method_has_one_look():
    view = HeatmapView(image=np.zeros((4, 4, 3)), maps=np.array([[[1.0, 2.0]], [[-1.0, 2.0]]]))
    assert [view._current_sign()] == ["both"], "by all maps, not by the one that is shown"
    view.signs = ["positive", "auto"]
    assert view._current_sign() == "positive"
    view.frame = 1
    assert view._current_sign() == "both"
    view.sign = "absolute"
    assert view._current_sign() == "absolute"


def test_small_values_do_not_cover_the_image():
    photo = np.full((8, 8, 3), 200, np.uint8)
    drawn = HeatmapView(image=photo, maps=np.eye(8), width=8).static_image()
    assert (drawn[0, 7] == 200).all()
    assert (drawn[0, 0] != 200).any()
