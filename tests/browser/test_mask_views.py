"""MaskView, CurveView and GalleryView with real pixels, and joined in the page."""

import csv

import numpy as np
import pytest
from playwright.sync_api import expect

from xai_widgets.views import CurveView, GalleryView, MaskView, link

AREAS = [0.05, 0.1, 0.2, 0.4, 0.8]
SIZE = 48

#: The colors at the middles of all pixels of an image that is shown larger.
PIXELS = """([canvas, size]) => {
  const context = canvas.getContext('2d');
  const found = [];
  for (let row = 0; row < size; row++) for (let column = 0; column < size; column++) {
    const x = Math.floor((column + 0.5) / size * canvas.width), y = Math.floor((row + 0.5) / size * canvas.height);
    found.push(...context.getImageData(x, y, 1, 1).data.subarray(0, 3));
  }
  return found;
}"""


@pytest.fixture(scope="module")
def family():
    """A pyramid of four levels, and soft discs of growing area."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (SIZE, SIZE, 3))
    levels = np.stack([image * level // 3 + 40 * (3 - level) for level in range(4)]).astype("uint8")
    yy, xx = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    distance = np.hypot(xx, yy)
    edges = [np.quantile(distance, area) for area in AREAS]
    masks = np.stack([1 / (1 + np.exp((distance - edge) / 0.03)) for edge in edges])
    return levels, np.round(255 * masks).astype("uint8")


def seen(levels, mask):
    """The definition: the levels at m (L - 1), linearly between two."""
    place = mask / 255 * (len(levels) - 1)
    below = np.minimum(np.floor(place).astype(int), len(levels) - 2)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    low, high = (levels[below + k, rows, columns].astype(float) for k in (0, 1))
    return np.floor(low + (place - below)[..., None] * (high - low) + 0.5)


def pixels(mounted):
    canvas = mounted.el.locator(".xw-stage canvas").first.element_handle()
    values = mounted.el.page.evaluate(PIXELS, [canvas, SIZE])
    return np.array(values).reshape(SIZE, SIZE, 3)


def settle(page):
    """Two frames: what was drawn on the next one is on the canvas."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def mask_view(family, **state):
    levels, masks = family
    return MaskView(levels=levels, masks=masks, areas=AREAS, **{"area": 0.2, "best": 0.1, **state})


def test_the_picture_is_what_the_network_sees(afm_page, family):
    levels, masks = family
    mounted = afm_page.mount(mask_view(family))
    for index, area in enumerate(AREAS):
        mounted.update(area=area, display="preserved")
        settle(afm_page.page)
        np.testing.assert_allclose(pixels(mounted), seen(levels, masks[index]), atol=1)
        mounted.update(display="deleted")
        settle(afm_page.page)
        np.testing.assert_allclose(pixels(mounted), seen(levels, 255 - masks[index]), atol=1)
    mounted.update(display="mask")
    settle(afm_page.page)
    np.testing.assert_array_equal(pixels(mounted), np.repeat(masks[-1][..., None], 3, axis=2))


def test_the_outline_is_drawn_where_the_mask_is_a_half(afm_page, family):
    levels, masks = family
    mounted = afm_page.mount(mask_view(family, display="outline"))
    settle(afm_page.page)
    shown = pixels(mounted)
    sure = np.abs(masks[2].astype(int) - 127) > 120
    light = 1 - 0.45 * (1 - masks[2][..., None] / 255)
    np.testing.assert_allclose(shown[sure], (light * levels[-1])[sure], atol=1)
    # On the middle row the line is white where the mask crosses a half between two middles of pixels.
    row = SIZE // 2
    values = masks[2][row].astype(float)
    column = int(np.flatnonzero(values > 127)[0])
    crossing = column - 0.5 + (127.5 - values[column - 1]) / (values[column] - values[column - 1])
    canvas = mounted.el.locator(".xw-stage canvas").first
    color = canvas.evaluate(
        "(c, [x, y]) => [...c.getContext('2d').getImageData(x * c.width, y * c.height, 1, 1).data]",
        [crossing / SIZE, (row + 0.5) / SIZE],
    )
    assert min(color) > 200


def test_the_slider_is_dragged_and_stops_at_what_is_there(afm_page, family):
    mounted = afm_page.mount(mask_view(family, ready=[True, True, True, True, False]))
    slider = mounted.el.get_by_label("Area", exact=True)
    box = slider.bounding_box()
    mouse = afm_page.page.mouse
    mouse.move(box["x"] + 8 + (box["width"] - 16) * 0.2 / 0.8, box["y"] + box["height"] / 2)
    mouse.down()
    mouse.move(box["x"] + 8 + (box["width"] - 16) * 0.38 / 0.8, box["y"] + box["height"] / 2, steps=5)
    mounted.wait_for("area", 0.4)
    mouse.move(box["x"] + box["width"], box["y"], steps=5)
    mouse.up()
    mounted.wait_for("area", 0.4)
    expect(mounted.el.locator(".xw-amount")).to_have_text("area 40 % preserved")
    mounted.el.get_by_label("Smallest sufficient area").click()
    mounted.wait_for("area", 0.1)
    afm_page.page.wait_for_function(
        "([mount]) => mount.model.saved.at(-1).area === 0.1", arg=[mounted._handle]
    )


def test_the_cursor_of_a_curve_moves_the_slider_and_the_slider_the_cursor(afm_page, family):
    view = mask_view(family)
    x = np.array([0, *AREAS, 1])
    curve = CurveView(
        x=x,
        y=[x**0.5],
        series=[{"label": "preserved"}],
        marks=[{"x": 0.1, "label": "a* = 10 %"}],
        lines=[{"y": 0.5, "label": "half"}],
    )
    link((view, "area"), (curve, "fraction"))
    mask, plot = afm_page.mount(view), afm_page.mount(curve)
    plot.wait_for("fraction", 0.2)
    box = plot.el.locator(".u-over").bounding_box()
    afm_page.page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + box["height"] / 2)
    expect(mask.el.locator(".xw-amount")).to_have_text("area 40 % preserved")
    plot.el.get_by_role("button", name="a* = 10 %").click()
    expect(mask.el.locator(".xw-amount")).to_have_text("area 10 % preserved")
    mask.el.locator(".xw-stage").focus()
    afm_page.page.keyboard.press("ArrowRight")
    plot.wait_for("fraction", 0.2)


def test_the_downloaded_values_are_a_plain_table(afm_page):
    x, y = np.array([0, 0.1, 0.4, 1]), np.array([[0, 0.25, 1 / 3, 1], [1, np.nan, 0.5, 0]])
    view = CurveView(
        x=x,
        y=y,
        series=[{"label": "preserved"}, {"label": "what is left, blurred"}],
        lines=[{"y": 0.75, "label": "\u03a6\u2080, the image"}],
        marks=[{"x": 0.1, "label": "a* = 10 %"}, {"x": 0.2, "label": "beside"}],
    )
    mounted = afm_page.mount(view)
    # The menu shows itself to a pointer over the view.
    mounted.el.locator(".xw-curve-view").hover()
    with afm_page.page.expect_download() as download:
        mounted.el.get_by_role("button", name="Save or copy this view").click()
        mounted.el.get_by_role("menuitem", name="Save CSV").click()
    text = download.value.path().read_text(encoding="utf-8")
    head, *rows = csv.reader(text.splitlines())
    assert head == ["fraction", "preserved", "what is left, blurred", "\u03a6\u2080, the image", "mark"]
    assert {len(row) for row in rows} == {5}
    assert [row[-1] for row in rows] == ["", "a* = 10 %", "beside", "", ""]
    numbers = np.array([[float(field or "nan") for field in row[:-1]] for row in rows])
    # Where only a mark is, no curve is sampled.
    samples = [0, 1, 3, 4]
    np.testing.assert_allclose(numbers[:, 0], [0, 0.1, 0.2, 0.4, 1], atol=1e-7)
    np.testing.assert_allclose(numbers[samples, 1:3], y.T, atol=1e-7)
    assert np.isnan(numbers[2, 1:3]).all()
    assert (numbers[:, 3] == 0.75).all()


def test_a_gallery_shows_its_pictures_and_one_is_chosen(afm_page, family):
    levels, masks = family
    pictures = np.stack([seen(levels, mask) for mask in masks]).astype("uint8")
    mounted = afm_page.mount(GalleryView(images=pictures, labels=[f"{100 * area:g} %" for area in AREAS]))
    settle(afm_page.page)
    for picture, canvas in zip(pictures, mounted.el.locator("canvas").element_handles(), strict=True):
        drawn = np.array(afm_page.page.evaluate(PIXELS, [canvas, SIZE])).reshape(picture.shape)
        np.testing.assert_array_equal(drawn, picture)
    mounted.el.get_by_role("option", name="20 %").click()
    mounted.wait_for("frame", 2)
    afm_page.page.keyboard.press("ArrowRight")
    mounted.wait_for("frame", 3)
    expect(mounted.el.locator("[aria-selected=true]")).to_have_attribute("aria-label", "40 %")


def test_escape_in_a_strip_leaves_the_mask_that_is_drawn_chosen(afm_page, family):
    view = mask_view(family)
    strip = GalleryView(images=np.zeros((len(AREAS), 8, 8, 3), "uint8"), labels=[f"{a:g}" for a in AREAS])
    link((strip, "frame"), (view, "frame"))
    gallery, mask = afm_page.mount(strip), afm_page.mount(view)
    gallery.wait_for("frame", 2)
    gallery.el.get_by_role("option", name="0.4").click()
    expect(mask.el.locator(".xw-amount")).to_have_text("area 40 % preserved")
    before = pixels(mask)
    afm_page.page.keyboard.press("Escape")
    gallery.wait_for("frame", 3)
    mask.wait_for("frame", 3)
    expect(gallery.el.locator("[aria-selected=true]")).to_have_attribute("aria-label", "0.4")
    settle(afm_page.page)
    np.testing.assert_array_equal(pixels(mask), before)
