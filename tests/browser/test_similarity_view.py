"""The similarity view in Chromium, compared with numpy: pointer and keys, links, and no kernel."""

import contextlib
import io
import re

import numpy as np
import pytest
import torch
from hosts import choose
from PIL import Image
from playwright.sync_api import expect

from xai_widgets import SimilarityExplorer, load
from xai_widgets.data import scenes
from xai_widgets.similarity import ActivationGrid, pack, rotations, same_position, similarity
from xai_widgets.views import SimilarityView
from xai_widgets.views.colors import color_table

#: Images of 24 x 40, a layer of 4 x 5 cells and one of 6 x 8, the first vector of the first image is a zero vector.
PICTURES, SHAPES, CHANNELS = 3, {"coarse": (4, 5), "fine": (6, 8)}, 12


@pytest.fixture(scope="module")
def grids():
    generator = torch.Generator().manual_seed(0)
    made = []
    for layer, shape in SHAPES.items():
        z = torch.randn(PICTURES, *shape, CHANNELS, generator=generator)
        z[0, 0, 0] = z[2, -1, -1] = 0
        made += [ActivationGrid("net", layer, n, z[n]) for n in range(PICTURES)]
    return made


@pytest.fixture(scope="module")
def view(grids):
    images = np.random.default_rng(0).integers(0, 255, (PICTURES, 24, 40, 3), dtype=np.uint8)
    look = {"opacity": 1, "fade": False, "interpolation": "pixelated", "colormap": "blue_orange"}
    return SimilarityView.of(pack(grids), images=images, size=260, **look)


def colors(values, signed):
    """The colors of the map "blue_orange" for values from -1 to 1, or from 0, in 257 steps."""
    steps = 128.5 + 128 * np.clip(values, -1, 1) if signed else 0.5 + 256 * np.clip(values, 0, 1)
    return color_table("blue_orange", "both" if signed else "positive")[steps.astype(int), :3].astype(float)


def stage_of(mounted, picture, layer):
    return mounted.el.locator(f'[data-frame="{picture}"][data-layer="{layer}"] > .xw-patch-stage')


def expect_drawn(stage, values, *, signed=True):
    """Check the pixels on the screen: each is of its cell, up to the border; those beside marks are left out."""
    # The sentence on the first view covers some.
    stage.page.add_style_tag(content=".xw-hint { visibility: hidden; }")
    box = stage.bounding_box()
    pixels = np.asarray(Image.open(io.BytesIO(stage.screenshot())).convert("RGB")).astype(float)
    left, top = box["x"] - np.floor(box["x"]), box["y"] - np.floor(box["y"])
    seen = np.zeros(values.shape, int)
    marks = [mark.bounding_box() for mark in stage.locator(".xw-mark:visible").all()]
    expected = colors(values, signed)
    for (y, x), _ in np.ndenumerate(pixels[..., 0]):
        # The middle of the pixel, in cells; one on the border of two may be of either.
        row = (y + 0.5 - top) / box["height"] * values.shape[0]
        column = (x + 0.5 - left) / box["width"] * values.shape[1]
        near = 0.51 * values.shape[0] / box["height"], 0.51 * values.shape[1] / box["width"]
        if abs(row - round(row)) < near[0] or abs(column - round(column)) < near[1]:
            continue
        place = x + np.floor(box["x"]), y + np.floor(box["y"])
        if any(_covers(mark, place) for mark in marks):
            continue
        at = int(row), int(column)
        assert np.abs(pixels[y, x] - expected[at]).max() <= 1, (at, pixels[y, x], expected[at])
        seen[at] += 1
    assert (seen > 0).sum() >= values.size - len(marks)


def _covers(mark, place):
    return all(
        mark[axis] - 5 <= at <= mark[axis] + mark[extent] + 5
        for axis, extent, at in zip("xy", ("width", "height"), place, strict=True)
    )


@pytest.mark.parametrize("scope", ["across", "within"])
@pytest.mark.parametrize(
    ("picture", "layer", "place"),
    [(1, 0, (0, 4)), (1, 1, (5, 0)), (0, 1, (0, 0)), (2, 0, (3, 4))],
    ids=["corner", "other corner", "zero vector", "zero vector of the coarse layer"],
)
def test_the_pixels_are_those_of_numpy(afm_page, view, grids, scope, picture, layer, place):
    shapes = list(SHAPES.values())
    rows, columns = shapes[layer]
    # The very corner of the cell that is nearest to the middle of the image.
    position = [
        (place[1] + (0.001 if place[1] else 0.999)) / columns,
        (place[0] + (0.001 if place[0] else 0.999)) / rows,
    ]
    mounted = afm_page.mount(view, {"scope": scope, "frame": picture, "layer": layer, "position": position})
    expect(mounted.el.locator(".xw-mark.xw-here")).to_have_count(1)
    packed = pack(grids)
    for column, shape in enumerate(shapes):
        at = same_position(place, (rows, columns), shape)
        for number in range(PICTURES):
            source = picture if scope == "across" else number
            values = packed[column].similarity(source, at)[number]
            exact = similarity(
                grids[column * PICTURES + source], at, grids[column * PICTURES + number]
            ).numpy()
            assert np.abs(values - exact).max() <= packed[column].bound + 1e-6
            expect_drawn(stage_of(mounted, number, column), values)
    if place == (0, 0):
        assert not packed[1].similarity(0, (0, 0)).any()
        expect(mounted.el.locator(".xw-patch-value").first).to_have_text("0")


def test_a_class_token_is_chosen_as_the_source_and_compared_with_every_patch(afm_page):
    names = ("class token", "register 1")
    generator = torch.Generator().manual_seed(1)
    tokens = [
        ActivationGrid(
            "net",
            "blocks.11",
            n,
            torch.randn(4, 5, CHANNELS, generator=generator),
            torch.randn(2, CHANNELS, generator=generator),
            names,
        )
        for n in range(PICTURES)
    ]
    (packed,) = pack(tokens)
    images = np.zeros((PICTURES, 24, 40, 3), np.uint8)
    look = {"opacity": 1, "fade": False, "interpolation": "pixelated", "colormap": "blue_orange"}
    mounted = afm_page.mount(
        SimilarityView.of([packed], images=images, size=260, position=[0.5, 0.5], frame=1, **look)
    )
    source = mounted.el.get_by_label("Source")
    source.click()
    assert mounted.el.get_by_role("option").all_inner_texts() == ["hovered patch", *names]
    source.click()
    for name in names:
        choose(mounted.el, "Source", name)
        expect(mounted.el.locator(".xw-more")).to_contain_text(f"{name} of image 2")
        values = packed.similarity(1, name)
        for number in range(PICTURES):
            expect_drawn(stage_of(mounted, number, 0), values[number])
            assert (
                np.abs(values[number] - similarity(tokens[1], name, tokens[number]).numpy()).max()
                <= packed.bound
            )


def test_the_mouse_takes_the_cell_that_it_is_over_up_to_its_border(afm_page, view):
    mounted = afm_page.mount(view)
    stage = stage_of(mounted, 1, 0)
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    rows, columns = SHAPES["coarse"]
    for column in range(1, columns):
        for shift, expected in ((-1, column - 1), (1, column)):
            x = box["x"] + column * box["width"] / columns + shift
            afm_page.page.mouse.move(x, box["y"] + 2 * box["height"] / rows + shift)
            expect(mounted.el.locator(".xw-cell")).to_have_text(
                f"image 2, coarse, row {1 if shift < 0 else 2}, col {expected}"
            )
    # Beside the images it takes none, and the last one stays.
    afm_page.page.mouse.move(1, 1)
    expect(mounted.el.locator(".xw-cell")).to_have_text("image 2, coarse, row 2, col 4")


def test_a_finger_moves_and_pins(offline, view):
    from afm import AfmPage

    page = AfmPage(offline)
    try:
        mounted = page.mount(view)
        box = stage_of(mounted, 0, 0).bounding_box()
        center = {"x": box["x"] + 0.5 * box["width"], "y": box["y"] + 0.4 * box["height"]}
        touch = page.page.context.new_cdp_session(page.page)
        touch.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [center]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        expect(mounted.el.locator(".xw-pin-A:visible")).to_have_count(1)
        expect(mounted.el.locator(".xw-cell")).to_have_text("image 1, coarse, row 1, col 2")
        assert [(pin["frame"], pin["layer"]) for pin in mounted.get("pins")] == [(0, 0)]
    finally:
        page.close()


ALPHAS = """canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)
    .filter((_, index) => index % 4 === 3)"""


def test_an_explorer_lives_on_in_a_page_that_has_nothing_but_its_state(afm_page):
    series = rotations(
        torch.from_numpy(scenes.scene(2, split="test").image).permute(2, 0, 1) / 255, [-30, 0, 30]
    )
    with contextlib.closing(
        SimilarityExplorer(load("scenes_resnet"), series, layers="stage3", components=2)
    ) as made:
        assert made.wait(600)
        assert made.run_bar.error == ""
        look = {"opacity": 1, "fade": False, "interpolation": "pixelated", "colormap": "blue_orange"}
        view, curves = afm_page.mount(made.view, look), afm_page.mount(made.curves)
        result, weights = made.result, made.view.components
    (packed,) = result.packed
    rows, columns = packed.norms.shape[1:]

    def move(picture, row, column):
        box = stage_of(view, picture, 0).bounding_box()
        x, y = (column + 0.5) / columns * box["width"], (row + 0.5) / rows * box["height"]
        afm_page.page.mouse.move(box["x"] + x, box["y"] + y)
        expect(view.el.locator(".xw-cell")).to_have_text(re.compile(f"row {row}, col {column}$"))

    # Around the hovered position its fields are drawn; the other images show nothing but similarities and a mark.
    move(1, 4, 7)
    answer = packed.similarity(1, (4, 7))
    for picture in (0, 2):
        expect_drawn(stage_of(view, picture, 0), answer[picture], signed=False)
    profile = series.profile(result.grids, 1, (4, 7)).numpy()
    values = np.frombuffer(curves.get("y")["data"], np.float32)
    np.testing.assert_allclose(values, profile, atol=packed.bound)
    # Two pins compare, and hovering shows a value.
    afm_page.page.mouse.down()
    afm_page.page.mouse.up()
    move(1, 8, 2)
    afm_page.page.mouse.down()
    afm_page.page.mouse.up()
    expect(view.el.locator(".xw-pin:visible")).to_have_count(2)
    move(1, 6, 6)
    for picture in (0, 2):
        expect_drawn(stage_of(view, picture, 0), answer[picture] - packed.similarity(1, (8, 2))[picture])
    # Components are as opaque as the largest of those that are drawn.
    drawn = view.el.locator(".xw-components").first
    assert drawn.evaluate(ALPHAS) == weights[0].max(-1).ravel().tolist()
    view.el.get_by_label("show component 1").uncheck()
    afm_page.page.wait_for_function(
        f"([canvas, expected]) => String(({ALPHAS})(canvas)) === String(expected)",
        arg=[drawn.element_handle(), weights[0, ..., 1].ravel().tolist()],
    )


CELLS = [
    """
import numpy as np
import xai_widgets as xw
from ipywidgets import HBox, VBox
from xai_widgets.data import scenes
from xai_widgets.similarity import activation_grids, pack, rotations
from xai_widgets.views import CurveView, HeatmapView, SimilarityView, link
from xai_widgets.views.linking import join
model = xw.load("scenes_resnet")
photo = scenes.scene(2, split="test").image
series = rotations(model.images(photo), [-40, -20, 0, 20, 40])
grids = activation_grids(model, series.images, "stage3").result(progress=False)
packed = pack(grids)
""",
    """
view = SimilarityView.of(
    packed, images=series.images.permute(0, 2, 3, 1), labels=list(series.labels), transforms=series.transforms, size=150
)
curves = CurveView(x=series.values, steps=series.values, series=[{"label": "stage3"}], x_label="degrees", width=500)
other = HeatmapView(image=photo, width=200)
join((view, "_profile"), (curves, "y"))
link((view, "marked"), (curves, "step"))
link((view, "position"), (other, "position"))
VBox([view, HBox([curves, other])])
""",
]


def wait_for_value(page, picture, expected):
    """Wait until the value of an image is this one, NaN for a gap."""
    text = page.page.locator(".xw-patch-value").nth(picture)
    page.page.wait_for_function(
        """([node, expected]) => expected === null
            ? node.textContent === '—'
            : Math.abs(Number(node.textContent.replace('−', '-')) - expected) < 0.006""",
        arg=[text.element_handle(), None if np.isnan(expected) else float(expected)],
    )


def test_a_series_in_a_notebook_with_its_chart_with_and_without_a_kernel(lab):
    page = lab.open(CELLS, width=1200, height=1100)
    stages = page.page.locator(".xw-patch-stage")
    expect(stages).to_have_count(5)

    def hover(picture, row, column):
        box = stages.nth(picture).bounding_box()
        page.page.mouse.move(
            box["x"] + (column + 0.5) / 12 * box["width"], box["y"] + (row + 0.5) / 12 * box["height"]
        )

    def profile(picture, row, column):
        # JSON has no NaN.
        values = page.kernel_eval(
            f"[None if v != v else v for v in series.profile(grids, {picture}, ({row}, {column})).tolist()]"
        )
        return [np.nan if value is None else value for value in values]

    expected = profile(2, 4, 6)
    corner = profile(2, 0, 0)
    turned = profile(1, 5, 7)
    assert np.isnan(corner).any()
    hover(2, 4, 6)
    for number, value in enumerate(expected):
        wait_for_value(page, number, value)
    # The kernel hears of it too, and the views that are linked.
    page.wait_for_kernel("[view.frame, [int(12 * part) for part in view.position or ()]]", [2, [6, 4]])
    page.wait_for_kernel("other.position == view.position and curves.step == 2")
    page.wait_for_kernel(
        "bool(np.allclose(curves.y, series.profile(grids, 2, (4, 6)), atol=packed[0].bound, equal_nan=True))"
    )
    page.page.mouse.down()
    page.page.mouse.up()
    page.wait_for_kernel("[(pin['frame'], pin['layer']) for pin in view.pins]", [[2, 0]])
    page.shutdown_kernel()
    page.page.locator(".xw-patches").press("Escape")
    hover(2, 0, 0)
    for number, value in enumerate(corner):
        wait_for_value(page, number, value)
    # The chart has followed, and leads: its cursor marks an image, and the position stays.
    handle = page.page.locator(".xw-curve-view .xw-cursor-handle")
    hover(1, 5, 7)
    for number, value in enumerate(turned):
        wait_for_value(page, number, value)
    handle.focus()
    handle.press("Home")
    expect(page.page.locator(".xw-patch").nth(0)).to_have_class("xw-patch xw-marked")
    expect(page.page.locator(".xw-marked")).to_have_count(1)
    for number, value in enumerate(turned):
        wait_for_value(page, number, value)
    page.screenshot("similarity-series")
    assert not [text for text in page.console if "xw" in text or "TypeError" in text]


def test_a_saved_notebook_is_opened_again_and_answers_the_hand(lab):
    page = lab.open(CELLS, width=1200, height=1100)
    expected = page.kernel_eval("[None if v != v else v for v in series.profile(grids, 3, (6, 6)).tolist()]")
    again = lab.open(page.save_with_widgets(), run=False, width=1200, height=1100)
    stages = again.page.locator(".xw-patch-stage")
    expect(stages).to_have_count(5)
    again.shutdown_kernel()
    box = stages.nth(3).bounding_box()
    again.page.mouse.move(box["x"] + 6.5 / 12 * box["width"], box["y"] + 6.5 / 12 * box["height"])
    for number, value in enumerate(expected):
        wait_for_value(again, number, np.nan if value is None else value)
