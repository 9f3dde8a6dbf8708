"""The static image and text of a widget: the same image as on the page, and it never covers the widget."""

import json
import re

import nbclient
import nbformat
import numpy as np
import pytest
from hosts import ROOT
from nbconvert import HTMLExporter, MarkdownExporter
from notebook_server import notebook
from playwright.sync_api import expect

from xai_widgets.views import BrushView, HeatmapView, MaskView, OrderedMaskView
from xai_widgets.views.colors import STEPS, color_table
from xai_widgets.views.heatmap_view import DIVERGING, SEQUENTIAL
from xai_widgets.views.mask_view import VISIBLE

SIGNS = ["both", "positive", "negative", "absolute"]
#: Images of 12 x 20, each pixel a rectangle on the screen and in the static image.
HEIGHT, WIDTH = 12, 20
LOOKS = {"interpolation": "pixelated", "controls": False}


def test_color_tables_are_those_of_the_page_to_the_bit(offline):
    page = offline.new_page()
    source = (ROOT / "js" / "src" / "lib" / "colormaps.js").read_text(encoding="utf-8")
    made = page.evaluate(
        """async ([source, signs]) => {
            const address = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
            const {colorTable, KNOTS} = await import(address);
            const made = [];
            for (const name of [...Object.keys(KNOTS), "auto"]) for (const sign of signs)
                for (const fade of [true, false]) made.push([name, sign, fade, [...colorTable(name, sign, fade)]]);
            return made;
        }""",
        [source, SIGNS],
    )
    page.close()
    assert {name for name, *_ in made} == {*DIVERGING, *SEQUENTIAL, "similarity", "auto"}
    for name, sign, fade, words in made:
        table = color_table(name, sign, fade)
        assert table.shape == (STEPS, 4)
        assert np.ascontiguousarray(table).view("<u4")[:, 0].tolist() == words, (name, sign, fade)


def random(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def values(seed=1, shape=(4, 5)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


IMAGE = random(HEIGHT, WIDTH, 3)
MASKS = random(2, HEIGHT, WIDTH, seed=2)
ORDER = np.random.default_rng(3).permutation(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
VIEWS = {
    "both signs": HeatmapView(image=IMAGE, maps=values(), **LOOKS),
    "gaps": HeatmapView(image=IMAGE, maps=np.where(values() > 1, np.nan, values()), **LOOKS),
    "faded": HeatmapView(image=IMAGE, maps=values(), fade=True, gray=False, opacity=0.4, **LOOKS),
    "one sign": HeatmapView(image=IMAGE, maps=values(), sign="negative", percentile=80, **LOOKS),
    "magnitudes": HeatmapView(image=IMAGE, maps=abs(values()), colormap="viridis", **LOOKS),
    "a limit": HeatmapView(image=IMAGE, maps=values(), limit=0.5, colormap="red_blue", **LOOKS),
    "a group": HeatmapView(
        images=random(2, HEIGHT, WIDTH, 3, seed=5),
        maps=values(shape=(4, 4, 5)),
        groups=2,
        group=1,
        frame=1,
        **LOOKS,
    ),
    "no image": HeatmapView(maps=values(), **LOOKS),
    "preserved": MaskView(
        levels=[IMAGE // 5, IMAGE // 2, IMAGE], masks=MASKS, areas=[0.1, 0.4], area=0.5, **LOOKS
    ),
    "deleted": MaskView(
        levels=[IMAGE // 5, IMAGE], masks=MASKS, areas=[0.1, 0.4], display="deleted", **LOOKS
    ),
    "mask": MaskView(levels=[IMAGE // 5, IMAGE], masks=MASKS, areas=[0.1, 0.4], display="mask", **LOOKS),
    "no mask": MaskView(levels=[IMAGE // 5, IMAGE], **LOOKS),
    "deletion": OrderedMaskView(
        image=IMAGE, baselines=[IMAGE // 9, IMAGE // 2], ranks=ORDER, fraction=0.3, **LOOKS
    ),
    "insertion": OrderedMaskView(
        image=IMAGE, baselines=[IMAGE // 9, IMAGE // 2], ranks=ORDER, fraction=0.3, mode="insertion", **LOOKS
    ),
    "brush": BrushView(image=IMAGE, fills=[IMAGE // 4], mask=MASKS[0], **LOOKS),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_still_picture_is_what_the_view_draws(afm_page, name):
    view = VIEWS[name]
    mounted = afm_page.mount(view)
    canvas = mounted.el.locator("canvas").first
    expect(canvas).to_be_visible()
    still = view.static_image()
    # The middles of the pixels, or of the cells where there is no image.
    rows, columns = (HEIGHT, WIDTH) if name != "no image" else (4, 5)
    read = """([canvas, rows, columns]) => {
        const context = canvas.getContext("2d"), made = [];
        for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) {
            const x = (column + 0.5) / columns * canvas.width | 0, y = (row + 0.5) / rows * canvas.height | 0;
            made.push([...context.getImageData(x, y, 1, 1).data]);
        }
        return made.every((pixel) => pixel[3] === 255) ? made : null;
    }"""
    # It is drawn in the frame after it is laid out.
    drawn = afm_page.page.wait_for_function(read, arg=[canvas.element_handle(), rows, columns]).json_value()
    at = [
        ((np.arange(count) + 0.5) / count * extent).astype(int)
        for count, extent in zip((rows, columns), still.shape, strict=False)
    ]
    expected = still[at[0][:, None], at[1][None]].reshape(-1, 3).astype(int)
    pixels = np.array(drawn)[:, :3]
    if name == "no mask":
        # On the page the veil is an element over the canvas.
        pixels = 255 - VISIBLE * (255 - pixels)
    assert np.abs(pixels - expected).max() <= 3
    assert expected.std() > 10


CELLS = [
    """
import numpy as np
import xai_widgets as xw
from xai_widgets.data import scenes
image = scenes.scene(2, split="test").image
xw.HeatmapView(image=image, maps=np.random.default_rng(0).normal(size=(6, 6)), title="a map")
""",
    """
explorer = xw.DeletionExplorer(xw.load("scenes_resnet"), image, methods=["gradient"], steps=8)
explorer.wait()
explorer
""",
]


def test_a_notebook_converted_without_widgets_shows_pictures_and_words():
    book = nbformat.from_dict(notebook(CELLS))
    nbclient.NotebookClient(book, store_widget_state=False, kernel_name="python3").execute()
    outputs = [cell.outputs[0] for cell in book.cells]
    for output in outputs:
        assert len(output.data["image/png"]) <= 120_000
        assert output.metadata["image/png"]["width"] <= 820
    for template in ("lab", "classic"):
        page, _ = HTMLExporter(template_name=template).from_notebook_node(book)
        assert len(re.findall(r'<img[^>]*src="data:image/png;base64,', page)) == 2
        assert "widget-view+json" not in page
    # One of the two has words for those who do not see the image.
    assert 'alt="HeatmapView a map: image 96 × 96, maps 1 × 6 × 6"' in page
    assert 'alt="DeletionExplorer scenes_resnet for' in page
    text, resources = MarkdownExporter().from_notebook_node(book)
    assert text.count(".png)") == len(resources["outputs"]) == 2
    # The text in a terminal, or on a page without images.
    assert outputs[0].data["text/plain"].startswith("HeatmapView a map")
    assert "xai_widgets.export" in outputs[0].data["text/plain"]


def test_the_live_widget_is_shown_and_not_its_picture(jupyter):
    page = jupyter.open(CELLS)
    for number, view in enumerate(("xw-heatmap-view", "xw-curve-view")):
        expect(page.output(number).locator(f".{view}").first).to_be_visible()
        expect(page.output(number).locator("img")).to_have_count(0)
    page.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    saved = json.loads((jupyter.server.files / page.name).read_text(encoding="utf-8"))
    for cell in saved["cells"]:
        assert {"image/png", "text/plain", "application/vnd.jupyter.widget-view+json"} <= set(
            cell["outputs"][0]["data"]
        )
