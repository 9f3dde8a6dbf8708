"""SliderView in real notebooks and with a real mouse and finger: joined to a heat map, a curve and a strip."""

from io import BytesIO

import numpy as np
import pytest
from playwright.sync_api import expect
from skimage import io

from xai_widgets.views import CurveView, GalleryView, MaskView, SliderView, link

CELLS = [
    """
import numpy as np
from ipywidgets import VBox
from xai_widgets.views import CurveView, HeatmapView, SliderView, link

counts = [1, 2, 4, 8, 17]
places = np.zeros((5, 3, 5))
for frame in range(5):
    places[frame, 1, frame] = 1
heat = HeatmapView(image=np.ones((3, 5, 3)), maps=places, width=300, position=[0.1, 0.5])
curve = CurveView(x=counts, y=[np.sqrt(counts)], series=[{"label": "score"}], x_label="channels", height=140)
slider = SliderView(values=counts, label="Channels", marked=3, mark_label="a* = 8")
link((slider, "frame"), (heat, "frame"))
link((slider, "fraction"), (curve, "fraction"))
VBox([slider, heat, curve])
""",
]


def expect_state(page, text, cursor, value):
    output = page.output(0)
    expect(output.locator(".xw-slider-view .xw-number")).to_have_text(text)
    expect(output.locator(".xw-cursor-handle")).to_have_text(cursor)
    expect(output.locator(".xw-heatmap-view .xw-value")).to_have_text(value)


def test_a_heat_map_and_a_curve_follow_in_the_page_without_a_kernel(lab):
    page = lab.open(CELLS)
    output = page.output(0)
    slider = output.get_by_label("Channels", exact=True).and_(output.locator("input"))
    expect(slider).to_be_visible()
    expect_state(page, "1", "1", "1.00")
    page.shutdown_kernel()
    slider.focus()
    page.page.keyboard.press("ArrowRight")
    expect_state(page, "2", "2", "0")
    page.page.keyboard.press("End")
    expect_state(page, "17", "17", "0")
    page.page.keyboard.press("b")
    expect_state(page, "8", "8", "0")
    page.page.keyboard.press("Home")
    expect_state(page, "1", "1", "1.00")
    output.get_by_role("button", name="a* = 8").click()
    expect_state(page, "8", "8", "0")

    # The cursor chooses the nearest stop and stays where the user has put it.
    plot = output.locator(".u-over")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.page.mouse.click(box["x"] + box["width"] * (5 - 1) / 16, box["y"] + box["height"] / 2)
    expect(output.locator(".xw-slider-view .xw-number")).to_have_text("4")
    assert abs(float(output.locator(".xw-cursor-handle").inner_text()) - 5) < 0.1


def test_the_kernel_hears_of_both(lab):
    page = lab.open(CELLS)
    slider = page.output(0).locator(".xw-slider-view input")
    expect(slider).to_be_visible()
    slider.focus()
    page.page.keyboard.press("End")
    page.wait_for_kernel("[slider.frame, slider.fraction, heat.frame, curve.fraction]", [4, 1.0, 4, 1.0])
    page.kernel_exec("slider.ready = [True, True, False]; slider.fraction = 3 / 16")
    expect(page.output(0).locator(".xw-slider-view .xw-number")).to_have_text("2")
    page.wait_for_kernel("[slider.frame, heat.frame, curve.fraction]", [1, 1, 3 / 16])


def rail(mounted):
    """Where the middle of the knob stands at the first stop, and how far it goes, in CSS px of the page."""
    box = mounted.el.locator("input").bounding_box()
    return box["x"] + 8, box["width"] - 16, box["y"] + box["height"] / 2


@pytest.mark.parametrize("spacing", ["even", "proportional"])
def test_the_mouse_drags_to_stops_that_are_ready(afm_page, spacing):
    values = [0, 1, 2, 4, 10]
    view = SliderView(values=values, ready=[True, True, False, True, True], spacing=spacing)
    strip = GalleryView(images=np.zeros((5, 8, 8, 3), "uint8"), labels=list("abcde"))
    link((view, "frame"), (strip, "frame"))
    slider, gallery = afm_page.mount(view), afm_page.mount(strip)
    start, length, y = rail(slider)
    places = np.arange(5) / 4 if spacing == "even" else np.array(values) / 10
    mouse = afm_page.page.mouse
    mouse.move(start, y)
    mouse.down()
    for frame in (3, 1, 4):
        mouse.move(start + length * places[frame], y, steps=4)
        slider.wait_for("frame", frame)
        slider.wait_for("fraction", values[frame] / 10)
        gallery.wait_for("frame", frame)
    # Nearer to the stop that is not ready than to any other.
    mouse.move(start + length * (places[2] + 0.01), y)
    mouse.up()
    assert slider.get("frame") in (1, 3)
    gallery.el.get_by_role("option", name="c").click()
    gallery.wait_for("frame", slider.get("frame"))
    gallery.el.get_by_role("option", name="e").click()
    slider.wait_for("frame", 4)
    slider.wait_for("fraction", 1)


def test_a_finger_drags_it_and_hits_the_star(afm_page):
    slider = afm_page.mount(SliderView(values=[1, 2, 3, 4], marked=1))
    session = afm_page.page.context.new_cdp_session(afm_page.page)

    def touch(kind, *places):
        points = [{"x": x, "y": y} for x, y in places]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    start, length, y = rail(slider)
    touch("touchStart", (start, y))
    for share in (0.2, 0.5, 0.7):
        touch("touchMove", (start + length * share, y))
    touch("touchEnd")
    slider.wait_for("frame", 2)
    star = slider.el.get_by_role("button").bounding_box()
    # A little below it: a finger needs more than the eye.
    place = (star["x"] + star["width"] / 2, star["y"] + star["height"] + 5)
    touch("touchStart", place)
    touch("touchEnd")
    slider.wait_for("frame", 1)


def test_one_slider_serves_areas_too(afm_page):
    """The rail of a MaskView begins at 0, that of a SliderView at its first value."""
    areas = [0.1, 0.2, 0.4]
    masks = afm_page.mount(MaskView(areas=areas, masks=np.ones((3, 4, 4)), levels=np.zeros((2, 4, 4, 3))))
    values = afm_page.mount(SliderView(values=areas, spacing="proportional", width=400))
    shares = []
    for mounted in (masks, values):
        start, length, _ = rail(mounted)
        boxes = [tick.bounding_box() for tick in mounted.el.locator(".xw-tick").all()]
        shares.append([(box["x"] + box["width"] / 2 - start) / length for box in boxes])
    np.testing.assert_allclose(shares, [[0.25, 0.5, 1], [0, 1 / 3, 1]], atol=0.01)


def test_a_strip_is_lit_where_the_slider_says(afm_page):
    lit = np.array([[1, 0, 0], [1, 0, 1], [1, 1, 1]], "uint8")
    view = SliderView(values=[1, 2, 3])
    strip = GalleryView(
        images=np.full((3, 8, 8, 3), (255, 0, 0), "uint8"), labels=list("abc"), active=lit, frame=1
    )
    link((view, "frame"), (strip, "step"))
    slider, gallery = afm_page.mount(view), afm_page.mount(strip)
    for frame, names in enumerate(
        (["a", "b, dimmed", "c, dimmed"], ["a", "b, dimmed", "c"], ["a", "b", "c"])
    ):
        slider.update(frame=frame)
        for option, name in zip(gallery.el.get_by_role("option").all(), names, strict=True):
            expect(option).to_have_attribute("aria-label", name)
            # As displayed: red, or a light gray.
            seen = io.imread(BytesIO(option.locator("canvas").screenshot()))[20, 20, :3].astype(int)
            assert np.ptp(seen) == (0 if "dimmed" in name else 255)
    assert gallery.get("frame") == 1


def test_a_curve_on_a_logarithmic_axis_is_joined_by_the_fraction(afm_page):
    counts = 2.0 ** np.arange(10)
    view = SliderView(values=counts, spacing="even")
    curve = CurveView(x=counts, y=[np.arange(10) / 9], x_scale="log", marks=[{"x": 12, "label": "a* = 12"}])
    link((view, "fraction"), (curve, "fraction"))
    slider, plot = afm_page.mount(view), afm_page.mount(curve)
    expect(plot.el.locator(".xw-cursor-handle")).to_have_text("1")

    def share():
        """Where the cursor is drawn, as a part of the plotting area."""
        over, line = (plot.el.locator(name).bounding_box() for name in (".u-over", ".xw-cursor"))
        return (line["x"] + line["width"] / 2 - over["x"]) / over["width"]

    # Even stops of a slider and a logarithmic axis are the same scale.
    for frame in (3, 9, 1):
        slider.update(frame=frame)
        expect(plot.el.locator(".xw-cursor-handle")).to_have_text(f"{counts[frame]:g}")
        assert abs(share() - frame / 9) < 0.01
    box = plot.el.locator(".u-over").bounding_box()
    afm_page.page.mouse.click(box["x"] + box["width"] * 7 / 9, box["y"] + box["height"] / 2)
    slider.wait_for("frame", 7)
    plot.el.get_by_role("button", name="a* = 12").click()
    slider.wait_for("frame", 3)
    expect(plot.el.locator(".xw-cursor-handle")).to_have_text("12")
