"""The text and the static image that a notebook stores for a widget."""

import base64
import io
import logging
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from examples import fewer_examples
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from ipywidgets import HBox, IntSlider
from PIL import Image

from xai_widgets.explorers.panel import Panel
from xai_widgets.views import CurveView, GalleryView, HeatmapView, MapGridView, RunBar, SimilarityView
from xai_widgets.views.preview import (
    MAX_BYTES,
    MAX_SHEET_WIDTH,
    MAX_SIZE,
    MAX_TABLE_SIZE,
    SHEET_GAP,
    add_captions,
    encode_png,
    fit_size,
    sheet,
)
from xai_widgets.views.static_repr import WIDGET

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3)).astype(np.uint8)


def opened(bundle):
    return Image.open(io.BytesIO(base64.b64decode(bundle[0]["image/png"])))


@given(
    st.tuples(*[st.integers(1, 500)] * 2),
    st.sampled_from(["noise", "flat"]),
)
@fewer_examples(2)
def test_every_file_is_small_and_of_its_shape(shape, kind):
    noise = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    pixels = noise if kind == "noise" else np.full_like(noise, 7)
    text = encode_png(pixels)
    made = Image.open(io.BytesIO(base64.b64decode(text)))
    assert len(text) <= 120_000
    assert len(base64.b64decode(text)) <= MAX_BYTES
    assert made.width <= shape[1]
    assert made.height == max(1, round(shape[0] * made.width / shape[1]))
    if kind == "flat":
        assert np.array_equal(np.asarray(made.convert("RGB")), pixels)


@given(array_shapes(min_dims=2, max_dims=2, max_side=2000), st.integers(0, 3000))
def test_a_fitting_size_keeps_the_shape_and_the_bounds(shape, width):
    made = fit_size(shape, width)
    assert max(made) <= MAX_SIZE
    assert made[1] <= (width or MAX_SIZE)
    scale = made[1] / shape[1] if made[1] > 1 else made[0] / shape[0]
    assert abs(made[0] - max(1, shape[0] * scale)) <= 1 + shape[0] / shape[1]


def test_a_bundle_holds_widget_text_and_image():
    view = HeatmapView(image=PIXELS, maps=np.ones((2, 3, 4)), title="a map")
    data, metadata = view._repr_mimebundle_()
    assert data[WIDGET]["model_id"] == view.model_id
    assert data["text/plain"].startswith("HeatmapView a map: image 12 × 20, maps 2 × 3 × 4\n")
    made = opened((data, metadata))
    assert (made.width, made.height) == (
        metadata["image/png"]["width"],
        metadata["image/png"]["height"],
    )
    assert made.width <= MAX_TABLE_SIZE
    assert metadata["image/png"]["alt"] == view.summary()


@pytest.mark.parametrize("view", [HeatmapView, CurveView, GalleryView, MapGridView, SimilarityView, RunBar])
def test_a_view_of_nothing_has_words_alone(view):
    data, _ = view()._repr_mimebundle_()
    assert set(data) == {WIDGET, "text/plain"}
    assert data["text/plain"].startswith(view.__name__)


def test_a_failing_image_is_logged_and_breaks_nothing(caplog):
    class Broken(HeatmapView):
        def static_image(self):
            raise RuntimeError("no ink")

    with caplog.at_level(logging.WARNING):
        data, _ = Broken(image=PIXELS)._repr_mimebundle_()
    assert set(data) == {WIDGET, "text/plain"}
    assert "Broken" in caplog.text
    assert "no ink" in caplog.text


def test_a_box_shows_the_images_of_its_parts_in_rows():
    small = HeatmapView(image=PIXELS, width=60)
    large = GalleryView(images=[PIXELS] * 3, title="three")
    hidden = HeatmapView(image=PIXELS, title="hidden")
    hidden.layout.display = "none"
    box = Panel([HBox([small, IntSlider(), hidden]), large, RunBar()])
    left, right, both = small.static_image(), large.static_image(), box.static_image()
    assert both.shape[1] == left.shape[1] + SHEET_GAP + right.shape[1]
    assert np.array_equal(both[: left.shape[0], : left.shape[1]], left)
    assert np.array_equal(both[: right.shape[0], -right.shape[1] :], right)
    assert (both[:, left.shape[1] : -right.shape[1]] == 255).all()
    assert box.summary().splitlines() == [
        "Panel",
        "  HeatmapView: image 12 × 20",
        "  GalleryView three: images 3 × 12 × 20",
    ]
    large.images = None
    assert np.array_equal(box.static_image(), left)
    small.image = None
    assert box.static_image() is None


@given(st.lists(st.tuples(*[st.integers(1, 500)] * 2), min_size=1, max_size=6))
@fewer_examples(2)
def test_a_sheet_holds_every_image_once(shapes):
    made = sheet([np.full((*shape, 3), 1 + number, np.uint8) for number, shape in enumerate(shapes)])
    assert made.shape[1] <= MAX_SHEET_WIDTH
    for number, shape in enumerate(shapes):
        assert (made == 1 + number).all(2).sum() == shape[0] * shape[1]


def test_the_similarity_to_a_position_is_drawn():
    vectors = np.zeros((2, 2, 2, 3), np.float32)
    vectors[..., 0] = 1
    vectors[1, 1, 1] = [0, 1, 0]
    view = SimilarityView(
        images=np.full((2, 8, 8, 3), 90, np.uint8),
        activations=[vectors],
        columns=1,
        size=80,
        interpolation="pixelated",
    )
    plain = view.static_image()
    view.position = [0.25, 0.25]
    still = view.static_image()
    assert still.shape == plain.shape
    # Orange where the vectors are the same, and the gray of the image where they are orthogonal.
    first, second = still[:80].astype(int), still[-80:].astype(int)
    assert first[60, 60, 0] > first[60, 60, 2] + 50
    assert second[20, 20, 0] > second[20, 20, 2] + 50
    assert np.ptp(second[60, 60]) <= 1
    # The frame around the position is in its own image only.
    assert first[20, 20].tolist() == [255, 255, 255]


def test_a_table_has_an_image_for_each_cell_and_shares_its_scale():
    maps = [[np.full((2, 2), 1.0), np.full((2, 2), 4.0)], [None, np.full((2, 2), 2.0)]]
    look = {"opacity": 1, "fade": False, "gray": False, "percentile": 100, "colormap": "gray", "size": 40}
    images = np.full((1, 4, 4, 3), 30, np.uint8)
    middles = {}
    for scale in ("cell", "row", "all"):
        still = MapGridView.of(maps, images=images, scale=scale, **look).static_image()
        step = (still.shape[0] + 4) // 2
        middles[scale] = [int(still[r * step + 20, c * step + 20, 0]) for r in range(2) for c in range(2)]
    assert middles == {"cell": [255, 255, 30, 255], "row": [64, 255, 30, 255], "all": [64, 255, 30, 128]}


def test_curves_are_drawn_where_they_are():
    look = {"x_label": "", "series": [{"color": "#ff0000"}, {"color": "#0000ff", "style": "dashed"}]}
    view = CurveView(x=[0, 1], y=[[0, 1], [1, 0]], **look)
    still = view.static_image().astype(int)
    red = (still[..., 0] > 200) & (still[..., 1:].max(-1) < 80)
    blue = (still[..., 2] > 200) & (still[..., :2].max(-1) < 80)
    area = slice(22, 210), slice(44, 388)
    rows, columns = np.nonzero(red[area])
    assert np.abs((1 - rows / 188) - columns / 344).max() < 0.03
    rows, columns = np.nonzero(blue[area])
    assert np.abs(rows / 188 - columns / 344).max() < 0.03
    # Dashes leave gaps.
    assert 0.4 < blue[area].any(0).mean() < 0.8 < red[area].any(0).mean()
    view.hidden = [0, 1]
    assert view.static_image() is None


def test_curves_with_gaps_one_point_logarithms_and_odd_words_can_be_drawn():
    for view in (
        CurveView(x=[1, 10, 100], y=[[1, np.nan, 3]], x_scale="log", series=[{"label": "ᾱ of λ, 漢字"}]),
        CurveView(x=[2], y=[[5]], lines=[{"y": 5, "label": "same"}]),
        CurveView(x=[0, 1, 2], y=[[1, 1]], series=[{"color": "var(--unknown)"}]),
    ):
        still = view.static_image()
        assert still.shape[1] == MAX_TABLE_SIZE
        assert (still.min(2) < 200).sum() > 50
    assert CurveView(x=[0, 1], y=[[np.nan, np.nan]]).static_image() is None


def test_a_caption_is_below_the_image():
    made = add_captions(PIXELS, "words", "ᾱ × λ")
    assert np.array_equal(made[:12, :20], PIXELS)
    assert made.shape[1] >= MAX_SIZE
    assert all((made[12 + 15 * line : 27 + 15 * line] < 128).any() for line in range(2))


def test_colab_gets_the_url_of_its_widget_manager_for_boxes_too(monkeypatch):
    url = "https://example.invalid/manager.js"
    output = ModuleType("google.colab.output")
    output._widgets = SimpleNamespace(_installed_url=None)
    output.enable_custom_widget_manager = lambda: setattr(output._widgets, "_installed_url", url)
    monkeypatch.setitem(sys.modules, "google.colab.output", output)
    view = HeatmapView(image=PIXELS)
    for widget in (view, Panel([HBox([view])])):
        _, metadata = widget._repr_mimebundle_()
        assert metadata[WIDGET] == {"colab": {"custom_widget_manager": {"url": url}}}


def test_the_static_image_connects_the_known_values_of_a_curve():
    x = np.linspace(0, 1, 21)
    whole = CurveView(x=x, y=x[None], width=300)
    few = CurveView(x=x, y=np.where(np.arange(21) % 5 == 0, x, np.nan)[None], width=300)
    # Apart from the last bits at the ends of strokes, a straight line is the same.
    few, whole = (np.asarray(view.static_image(), dtype=float) for view in (few, whole))
    assert np.abs(few - whole).mean() < 0.5
    gap = CurveView(x=x, y=np.full((1, 21), np.nan), width=300)
    assert gap.static_image() is None
