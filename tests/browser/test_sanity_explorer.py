"""The sanity explorer as a person meets it, in JupyterLab."""

from playwright.sync_api import expect

SETUP = """
import torch
import xai_widgets as xw
from xai_widgets.data import scenes
model = xw.load("scenes_vgg")
image = scenes.scene(2, split="test").image
depth = []
def rows(model, x, target):
    # One more row of the map is 1 at each depth.
    depth.append(None)
    return (torch.arange(8) < len(depth)).float()[None, :, None].expand(1, -1, 8)
"""
SHOW = """
explorer = xw.SanityExplorer(model, image, [rows, "edges"], layers=["head", "stage5", "stage4"])
explorer
"""
#: How many of eight rows of the map, which covers the gray image at the left, are colored.
COLORED = """(canvases) => {
    const small = new OffscreenCanvas(8, 8), context = small.getContext("2d");
    context.imageSmoothingEnabled = false;
    for (const canvas of canvases) context.drawImage(canvas, 0, 0, 8, 8);
    const { data } = context.getImageData(0, 0, 8, 8);
    const spread = (at) => Math.max(...data.slice(at, at + 3)) - Math.min(...data.slice(at, at + 3));
    return Array.from({ length: 8 }, (_, row) => spread(row * 32) > 60).filter(Boolean).length;
}"""


def wait_for_rows(page, view, count):
    canvases = view.locator(".xw-stage canvas").element_handles()
    page.page.wait_for_function(
        f"([canvases, count]) => ({COLORED})(canvases) === count", arg=[canvases, count]
    )


def test_the_slider_moves_maps_cursors_and_numbers_without_a_kernel(lab):
    page = lab.open([SETUP, SHOW], width=1300, height=1400)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    page.kernel_exec("explorer.display.opacity = 1; explorer.display.interpolation = 'pixelated'")
    explorer = page.page.locator(".xw-explorer")
    heatmaps = explorer.locator(".xw-heatmap-view:visible")
    expect(heatmaps).to_have_count(4)
    trained, moved, _, edges = (heatmaps.nth(index) for index in range(4))
    page.wait_for_kernel("explorer.maps['rows'].opacity", 1)
    page.shutdown_kernel()

    slider = explorer.get_by_role("slider", name="Random down to")
    slider.focus()
    names = ["none", "head", "stage5", "stage4"]
    for at, name in [(0, "none"), (1, "head"), (2, "stage5"), (3, "stage4"), (2, "stage5")]:
        slider.press("Home")
        for _ in range(at):
            slider.press("ArrowRight")
        expect(explorer.locator(".xw-slider-view")).to_contain_text(name)
        expect(explorer.locator(".xw-cursor-handle")).to_have_text([str(names.index(name))] * 2)
        wait_for_rows(page, moved, at + 1)
        wait_for_rows(page, trained, 1)
    expect(edges).to_contain_text("rank corr. 1.00")
    slider.press("End")
    expect(edges).to_contain_text("hardly changes: 1.00 with all layers random")
    expect(explorer.locator(".xw-legend").first).to_contain_text("hardly changes: 1.00")

    # Another measure needs no kernel either.
    values = explorer.locator(".xw-curve-view").first.locator(".xw-legend-value")
    before = values.all_inner_texts()
    explorer.get_by_role("combobox", name="Agreement").click()
    page.page.get_by_role("option", name="Pearson correlation").click()
    expect(values.first).not_to_have_text(before[0])
    expect(values.nth(1)).to_have_text("1.000")
