"""Zoom and pan in a real browser: what is drawn, and where the pointer is."""

import numpy as np

from xai_widgets.views import GalleryView, HeatmapView, link

PIXEL = """(canvas, [x, y]) => {
  const at = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
  return [...canvas.getContext('2d').getImageData(...at, 1, 1).data].slice(0, 3);
}"""


def test_the_wheel_zooms_at_the_pointer_and_a_drag_moves_the_image(afm_page):
    # Each pixel has a color of its own.
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(8) * 30, np.arange(8)[:, None] * 30
    mounted = afm_page.mount(HeatmapView(image=image, interpolation="pixelated", width=400, controls=False))
    stage = mounted.el.locator(".xw-stage")
    box = stage.bounding_box()
    mouse, keyboard = afm_page.page.mouse, afm_page.page.keyboard

    def to(x, y, **options):
        mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], **options)

    def drawn(x, y):
        return stage.locator("canvas").first.evaluate(PIXEL, [x, y])

    def expect_drawn(x, y, row, column):
        afm_page.page.wait_for_function(
            f"([canvas, at, color]) => String(({PIXEL})(canvas, at)) === String(color)",
            arg=[stage.locator("canvas").first.element_handle(), [x, y], image[row, column].tolist()],
        )

    assert drawn(0.3, 0.9) == image[7, 2].tolist()
    # A plain wheel is the page's.
    to(0.8125, 0.1875)
    mouse.wheel(0, -200)
    assert mounted.get("viewport") == [0.5, 0.5, 1]
    keyboard.down("Control")
    for _ in range(4):
        mouse.wheel(0, -100)
    keyboard.up("Control")
    assert abs(mounted.get("viewport")[2] - 4) < 1e-6
    # The pixel under the pointer is still there, four times as large, with sharp edges.
    expect_drawn(0.8125, 0.1875, 1, 6)
    for shift in (-0.24, 0.18):
        expect_drawn(0.8125 + shift, 0.1875, 1, 6)
    expect_drawn(0.8125 - 0.26, 0.1875, 1, 5)
    np.testing.assert_allclose(mounted.get("position"), [0.8125, 0.1875], atol=0.01)
    # A drag by half of the frame moves by one pixel of the image, and marks nothing.
    mouse.down()
    to(0.8125 - 0.5, 0.1875, steps=4)
    mouse.up()
    expect_drawn(0.8125 - 0.5, 0.1875, 1, 6)
    to(0.5, 0.5)
    afm_page.page.wait_for_function(
        "([tip]) => tip.textContent.includes('row')", arg=[stage.locator(".xw-tip").element_handle()]
    )
    # At the middle of the frame is the center of the part.
    np.testing.assert_allclose(mounted.get("position"), mounted.get("viewport")[:2], atol=0.005)
    stage.locator(".xw-zoom").click()
    mounted.wait_for("viewport", [0.5, 0.5, 1])
    expect_drawn(0.3, 0.9, 7, 2)


def test_a_gallery_and_an_image_zoom_together(afm_page):
    images = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), np.uint8)
    views = GalleryView(images=images, size=90), HeatmapView(image=images[0], width=300)
    link(*((view, "viewport") for view in views))
    gallery, heatmap = map(afm_page.mount, views)
    second = gallery.el.locator(".xw-gallery-frame").nth(1)
    second.hover()
    afm_page.page.keyboard.down("Control")
    afm_page.page.mouse.wheel(0, -200)
    afm_page.page.keyboard.up("Control")
    heatmap.wait_for("viewport", gallery.get("viewport"))
    assert heatmap.get("viewport")[2] > 1.2
    frame, image = second.bounding_box(), second.locator("canvas").bounding_box()
    assert image["width"] > 1.2 * frame["width"]
    heatmap.el.locator(".xw-zoom").click()
    gallery.wait_for("viewport", [0.5, 0.5, 1])
    assert gallery.get("frame") == -1
