"""BrushView by mouse, finger and key: its pixels, its messages, and the way of a mask to Python and back."""

import time

import numpy as np
import pytest
from afm import AfmPage, decode
from playwright.sync_api import expect
from test_mask_views import PIXELS, settle

from xai_widgets.views import BrushView

SIZE = 48
#: Time after which the view sends again without an answer, in seconds.
SILENCE = 0.5


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype("uint8")


def stroke_of(start, end, radius, softness):
    """A stroke on an empty mask by its definition: the brush at the distance from a line."""
    yy, xx = np.mgrid[:SIZE, :SIZE] + 0.5
    (ax, ay), (bx, by) = start, end
    along = ((xx - ax) * (bx - ax) + (yy - ay) * (by - ay)) / max((bx - ax) ** 2 + (by - ay) ** 2, 1e-9)
    t = np.clip(along, 0, 1)
    distance = np.hypot(xx - ax - t * (bx - ax), yy - ay - t * (by - ay))
    t = np.clip((radius + 0.5 - distance) / max(radius * softness, 1), 0, 1)
    return np.round(255 * t * t * (3 - 2 * t))


def paint(page, stage, points, button="left"):
    """Drag along points in pixels of the image."""
    box = stage.bounding_box()
    places = [(box["x"] + x / SIZE * box["width"], box["y"] + y / SIZE * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down(button=button)
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up(button=button)


def mask_of(mounted):
    message = mounted.get("mask")
    return np.frombuffer(decode(message["data"]), "uint8").reshape(message["shape"]).astype(float)


def pixels(mounted):
    canvas = mounted.el.locator(".xw-stage canvas").first.element_handle()
    return np.array(mounted.el.page.evaluate(PIXELS, [canvas, SIZE])).reshape(SIZE, SIZE, 3)


def test_a_stroke_and_its_picture(afm_page, image):
    gray = np.full_like(image, 128)
    mounted = afm_page.mount(BrushView(image=image, fills=[255 - image, gray], brush_size=0.25))
    stage = mounted.el.locator(".xw-stage")
    paint(afm_page.page, stage, [(10, 12), (34, 30)])
    settle(afm_page.page)
    mask = mask_of(mounted)
    # A mouse stops at whole pixels of the screen: an eighth of one of the image.
    np.testing.assert_allclose(mask, stroke_of((10, 12), (34, 30), 6, 0.5), atol=16)
    for fill, other in enumerate([255 - image, gray]):
        mounted.update(fill=fill)
        settle(afm_page.page)
        expected = image + mask[..., None] / 255 * (other.astype(float) - image)
        np.testing.assert_allclose(pixels(mounted), expected, atol=1)
    expect(mounted.el.locator(".xw-amount")).to_contain_text("% painted")

    paint(afm_page.page, stage, [(22, 21)], button="right")
    erased = mask_of(mounted)
    np.testing.assert_allclose(erased, np.minimum(mask, 255 - stroke_of((22, 21), (22, 21), 6, 0.5)), atol=16)
    afm_page.page.keyboard.press("Control+z")
    settle(afm_page.page)
    np.testing.assert_array_equal(mask_of(mounted), mask)


def test_one_message_is_on_its_way_and_the_last_one_arrives(afm_page, image):
    mounted = afm_page.mount(BrushView(image=image))
    stage = mounted.el.locator(".xw-stage")
    begin = time.monotonic()
    paint(afm_page.page, stage, [(5, 5), (40, 40), (5, 40)])
    painting = time.monotonic() - begin
    # Nobody acknowledges: on a slow machine the stroke takes longer than the view waits, and more messages are sent.
    most = 2 + int(painting / SILENCE)
    afm_page.page.wait_for_function(
        "([{ model }]) => model.saved.findLast((one) => 'mask' in one)?.mask === model.get('mask')",
        arg=[mounted._handle],
    )
    strokes = [one["_stroke"] for one in mounted.saved]
    assert strokes == list(range(1, len(strokes) + 1))
    assert 2 <= len(strokes) <= most
    mounted.update(_seen=len(strokes))
    last = next(one["mask"] for one in reversed(mounted.saved) if "mask" in one)
    np.testing.assert_array_equal(
        np.frombuffer(decode(last["data"]), "uint8").reshape(SIZE, SIZE), mask_of(mounted)
    )


def test_a_finger_paints_and_does_not_scroll(offline, image):
    page = AfmPage(offline)
    mounted = page.mount(BrushView(image=image, brush_size=0.25))
    stage = mounted.el.locator(".xw-stage")
    box = stage.bounding_box()
    session = page.page.context.new_cdp_session(page.page)

    def touch(kind, *places):
        scale = box["width"] / SIZE
        points = [{"x": box["x"] + scale * x, "y": box["y"] + scale * y} for x, y in places]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (12, 10))
    for y in range(12, 40, 4):
        touch("touchMove", (12, y))
    touch("touchEnd")
    page.page.wait_for_function("([mount]) => mount.get('mask') !== null", arg=[mounted._handle])
    settle(page.page)
    np.testing.assert_allclose(mask_of(mounted), stroke_of((12, 10), (12, 36), 6, 0.5), atol=16)
    assert page.page.evaluate("() => scrollY") == 0
    page.close()


CELLS = [
    """
import numpy as np
from xai_widgets.views import BrushView

rng = np.random.default_rng(0)
image = rng.integers(0, 256, (48, 48, 3)).astype("uint8")
brush = BrushView(image=image, fills=[255 - image], brush_size=0.25)
heard = []
brush.observe(lambda change: heard.append((brush._stroke, change.new)), "mask")
brush
""",
    "b = 2",
]


def test_the_way_of_a_mask_to_python_and_back(lab, image):
    page = lab.open(CELLS)
    stage = page.output(0).locator(".xw-stage")
    expect(stage).to_be_visible()
    paint(page.page, stage, [(10, 12), (34, 30), (20, 40)])
    # The last message is taken up and _acknowledged, whatever came between.
    page.wait_for_kernel("brush._seen == brush._stroke > 0")
    settle(page.page)
    page.wait_for_kernel("brush._seen == brush._stroke > 0")
    painted = page.output(0).locator(".xw-amount").inner_text()
    page.wait_for_kernel("f'{round(100 * brush.mask.mean() / 255, 1):g} % painted'", painted)
    mask = np.array(page.kernel_eval("brush.mask.tolist()"), float)
    first = stroke_of((10, 12), (34, 30), 6, 0.5)
    np.testing.assert_allclose(mask, np.maximum(first, stroke_of((34, 30), (20, 40), 6, 0.5)), atol=16)
    assert page.kernel_eval("[str(brush.mask.dtype), brush.mask.flags.writeable]") == ["uint8", True]
    # Each mask came once: neither was sent back, nor did anything queue up.
    numbers = page.kernel_eval("[number for number, _ in heard]")
    assert numbers == sorted(set(numbers))

    # Python replaces the paint; that is one step, and undoing it comes back to Python.
    page.kernel_exec("brush.mask = np.eye(48)")
    expect(page.output(0).locator(".xw-amount")).to_have_text("2.1 % painted")
    before = page.kernel_eval("brush._stroke")
    stage.focus()
    page.page.keyboard.press("Control+z")
    expect(page.output(0).locator(".xw-amount")).to_have_text(painted)
    page.wait_for_kernel(f"brush._seen > {before}")
    assert np.array_equal(page.kernel_eval("brush.mask.tolist()"), mask)
    # The notebook heard nothing of it.
    assert page.page.evaluate("() => window.notebookPanel.content.widgets.length") == 2

    page.shutdown_kernel()
    page.output(0).get_by_role("button", name="Invert").click()
    share = 100 - float(painted.split()[0])
    expect(page.output(0).locator(".xw-amount")).to_have_text(f"{share:.1f} % painted")
