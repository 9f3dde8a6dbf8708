"""The menus of views and explorers: saved files are read back by numpy and Pillow."""

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from xai_widgets.views import CurveView, ExplorerMenu, HeatmapView, MapGridView, ScoresView
from xai_widgets.views.map_grid_view import MapCell


@pytest.fixture(scope="module")
def generator():
    return np.random.default_rng(0)


def choose(part, text):
    """Open the menu of a view as a mouse does, and choose an entry."""
    part.hover()
    part.locator(".xw-menu-button").first.click()
    part.get_by_role("menuitem", name=text, exact=True).click()


def saved(mounted, text):
    """Return the name and the bytes of the file that an entry of the menu saves."""
    with mounted.el.page.expect_download() as download:
        choose(mounted.el.locator(".xw").first, text)
    return download.value.suggested_filename, download.value.path().read_bytes()


def heatmap(generator, **options):
    return HeatmapView(
        image=generator.integers(0, 255, (20, 30, 3), dtype=np.uint8),
        maps=generator.normal(size=(3, 4, 6)).astype(np.float32),
        title="Where it looks",
        **options,
    )


def test_arrays_are_read_back_as_they_were(afm_page, generator):
    view = heatmap(generator)
    name, data = saved(afm_page.mount(view), "Save arrays")
    assert name == "where-it-looks.npz"
    with np.load(io.BytesIO(data)) as arrays:
        assert set(arrays) == {"image", "maps"}
        for key in arrays:
            assert arrays[key].dtype == getattr(view, key).dtype
            assert np.array_equal(arrays[key], getattr(view, key))


def test_the_maps_of_a_table_keep_their_types(afm_page, generator):
    view = MapGridView()
    maps = generator.random((2, 3, 3)).astype(np.float16)
    view.show([[MapCell("done", one)] for one in maps], row_labels=["a", "b"], column_labels=["c"])
    _, data = saved(afm_page.mount(view), "Save arrays")
    with np.load(io.BytesIO(data)) as arrays:
        assert arrays["map_1_0"].dtype == np.float16
        assert np.array_equal(arrays["map_1_0"], maps[1])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_saved_image_is_the_view_at_two_pixels_per_pixel(afm_page, generator, theme):
    afm_page.theme(theme)
    mounted = afm_page.mount(heatmap(generator, opacity=0, width=300))
    name, data = saved(mounted, "Save PNG")
    assert name == "where-it-looks.png"
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    box = mounted.el.locator(".xw").first.bounding_box()
    assert abs(pixels.shape[1] - 2 * (box["width"] + 16)) <= 2
    shown = mounted.el.locator(".xw").first.evaluate("(root) => getComputedStyle(root).backgroundColor")
    background = [int(part) for part in shown.removeprefix("rgb(").removesuffix(")").split(",")]
    assert np.abs(pixels[2, 2] - background).max() <= 1
    # The image is in it in its own colors, and the title above it in text.
    stage = mounted.el.locator(".xw-stage").first.bounding_box()
    top, left = (2 * (stage[name] - box[name] + 8) for name in ("y", "x"))
    middle = pixels[int(top + stage["height"]), int(left + stage["width"])]
    assert np.abs(pixels[16 : int(top), 16:300] - background).max() > 100
    assert np.abs(middle - background).max() > 0
    assert pixels[int(top) :, int(left) : int(left + 2 * stage["width"])].std() > 20


def test_curves_and_bars_are_saved_with_their_words(afm_page, generator):
    x = np.linspace(0, 1, 9, dtype=np.float32)
    curves = CurveView(x=x, y=np.stack([x, 1 - x]), series=[{"label": "up"}, {"label": "down"}])
    _, data = saved(afm_page.mount(curves), "Save PNG")
    assert np.asarray(Image.open(io.BytesIO(data)).convert("L")).std() > 5
    scores = ScoresView(labels=["cat", "dog"], indices=[[[0, 1]]], values=[[[0.7, 0.3]]], target=0)
    _, data = saved(afm_page.mount(scores), "Save PNG")
    assert np.asarray(Image.open(io.BytesIO(data)).convert("L")).std() > 5


def test_an_image_is_copied(afm_page, generator):
    afm_page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    mounted = afm_page.mount(heatmap(generator))
    choose(mounted.el.locator(".xw").first, "Copy PNG")
    expect(mounted.el.locator(".xw-menu-notice")).to_have_text("Copied.")
    kinds = afm_page.page.evaluate(
        "async () => (await navigator.clipboard.read()).flatMap(({ types }) => types)"
    )
    assert "image/png" in kinds


# -- the menu of an explorer -------------------------------------------------------------------------------------


@pytest.fixture
def menu(afm_page):
    """The menu of an explorer on a page, in a box that stands for the explorer."""
    afm_page.page.evaluate(
        """() => { const box = document.querySelector("main"); box.classList.add("xw-explorer");
                   box.style.height = "300px"; }"""
    )
    mounted = afm_page.mount(ExplorerMenu({}, opens=True, undos=1, name="explorer"))
    return mounted


def last_action(mounted):
    """Return the last action that was sent; the other messages report the visibility."""
    mounted.el.page.wait_for_function(
        "([mount]) => mount.sent().some((message) => 'action' in message.content)", arg=[mounted._handle]
    )
    return [message for message in mounted.sent if "action" in message["content"]][-1]


def test_the_whole_explorer_is_saved(menu):
    with menu.el.page.expect_download() as download:
        choose(menu.el.locator(".xw").first, "Save PNG")
    assert download.value.suggested_filename == "explorer.png"
    image = Image.open(download.value.path())
    assert image.height == pytest.approx(2 * (332 + 16), abs=2)


def test_code_is_copied_and_errors_are_shown(menu):
    menu.el.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    choose(menu.el.locator(".xw").first, "Copy code")
    sent = last_action(menu)["content"]
    assert sent["action"] == "code"
    menu.receive({"id": sent["id"], "text": "import xai_widgets as xw", "error": ""})
    expect(menu.el.locator(".xw-menu-notice")).to_have_text("Copied.")
    assert menu.el.page.evaluate("() => navigator.clipboard.readText()") == "import xai_widgets as xw"
    choose(menu.el.locator(".xw").first, "Undo")
    menu.receive({"id": last_action(menu)["content"]["id"], "text": "", "error": "expected something else"})
    expect(menu.el.locator(".xw-menu-notice")).to_contain_text("expected something else")
    menu.el.locator(".xw-menu-button").click()
    expect(menu.el.get_by_role("menuitem", name="Redo")).to_be_disabled()


DROP = """([kind, bytes]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(bytes)], "cat.png", { type: "image/png" }));
    const box = document.querySelector("main");
    if (kind === "drop") {
        const over = new DragEvent("dragover", { dataTransfer: transfer, bubbles: true, cancelable: true });
        box.dispatchEvent(over);
        box.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
        return over.defaultPrevented;
    }
    const event = new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true });
    document.dispatchEvent(event);
    return event.defaultPrevented;
}"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_photograph_goes_to_the_kernel(menu, kind):
    menu.el.locator(".xw").first.hover()
    expect(menu.el.locator(".xw-menu-button")).to_be_visible()
    assert menu.el.page.evaluate(DROP, [kind, [1, 2, 3]])
    sent = last_action(menu)
    assert (sent["content"]["action"], sent["content"]["name"]) == ("image", "cat.png")
    assert sent["buffers"] == [b"\x01\x02\x03"]
    menu.receive({"id": sent["content"]["id"], "text": "", "error": "expected an image file"})
    expect(menu.el.locator(".xw-menu-notice")).to_have_text("expected an image file")


def test_without_a_way_to_open_images_a_drop_is_left_to_the_page(menu):
    menu.update(opens=False)
    menu.el.locator(".xw-menu-button").click()
    expect(menu.el.get_by_role("menuitem", name="Open image")).to_have_count(0)
    menu.el.page.keyboard.press("Escape")
    assert not menu.el.page.evaluate(DROP, ["drop", [1]])
    assert [message for message in menu.sent if "action" in message["content"]] == []


# -- in JupyterLab -----------------------------------------------------------------------------------------------

SETUP = """
import xai_widgets as xw
from xai_widgets.data import scenes
model = xw.load("scenes_resnet")
image = scenes.scene(0, split="test").image
"""
CELL = """
explorer = xw.DeletionExplorer(model, image, ["gradient"], steps=4)
explorer.wait()
explorer
"""
DROP_ON_EXPLORER = """(bytes) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(bytes)], "red.png", { type: "image/png" }));
    const box = document.querySelector(".xw-explorer");
    box.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


def test_an_explorer_is_saved_undone_and_given_an_image(lab):
    opened = lab.open([SETUP, CELL], width=1300, height=1200)
    page = opened.page
    menu = page.locator(".xw-explorer-menu").first
    expect(menu).to_be_visible()
    with page.expect_download() as download:
        choose(menu, "Save PNG")
    with Image.open(download.value.path()) as image:
        assert image.width > 2 * 600
        assert np.asarray(image.convert("L")).std() > 10
    opened.kernel_eval("setattr(explorer.heatmap, 'opacity', 0.25)")
    menu.locator(".xw-menu-button").click()
    expect(page.get_by_role("menuitem", name="Undo")).to_be_enabled()
    page.get_by_role("menuitem", name="Undo").click()
    expect(menu.locator(".xw-menu-notice")).to_be_hidden()
    red = io.BytesIO()
    Image.new("RGB", (96, 96), (255, 0, 0)).save(red, "PNG")
    page.evaluate(DROP_ON_EXPLORER, list(red.getvalue()))
    page.wait_for_function(
        """() => {
            const canvas = document.querySelector(".xw-ordered-mask-view canvas");
            const [r, g, b] = canvas.getContext("2d").getImageData(5, 5, 1, 1).data;
            return r > 240 && g < 10 && b < 10;
        }"""
    )
    assert opened.kernel_eval("float(explorer.heatmap.opacity)") != 0.25
    assert opened.kernel_eval("explorer.image[0, :, 5, 5].tolist()") == [1.0, 0.0, 0.0]
