"""The dashboard in JupyterLab: tabs are opened by hand, image, class and position are shared."""

from playwright.sync_api import expect

CELLS = [
    """
import xai_widgets as xw
from xai_widgets.data import scenes

model = xw.load("scenes_resnet")
pictures = [scenes.scene(n, split="test", background="photograph").image for n in range(3)]
board = xw.dashboard(
    model,
    pictures,
    explorers=["attribution", "deletion", "brush"],
    options={"attribution": {"methods": ["gradient", "grad_cam"]}, "deletion": {"methods": ["gradient"], "steps": 16}},
)
""",
    "board",
]


def test_tabs_are_opened_by_hand_and_share_image_class_and_place(lab):
    page = lab.open(CELLS, width=1300, height=1500)
    page.wait_for_kernel("board.wait(600) and board.explorers['attribution'].run_bar.status", "done")
    shown = page.output(1)
    assert page.kernel_eval("list(board.explorers)") == ["attribution"]

    shown.get_by_role("tab", name="Deletion").click()
    expect(shown.locator(".xw-amount").get_by_text("0.0 % deleted")).to_be_visible()
    assert page.kernel_eval("list(board.explorers)") == ["attribution", "deletion"]
    page.wait_for_kernel("board.explorers['deletion'].run_bar.status", "done")
    expect(shown.get_by_role("button", name="Gradient, insertion: AUC")).to_be_visible()

    before = page.kernel_eval("board.target")
    shown.locator(".xw-gallery [role=option]").nth(1).click()
    page.wait_for_kernel("board.frame", 1)
    page.wait_for_kernel("board.explorers['deletion'].image.equal(board.image)")
    page.wait_for_kernel("board.explorers['deletion'].run_bar.status", "done")
    assert page.kernel_eval("board.target") != before
    assert page.kernel_eval("board.explorers['deletion'].target == board.target")
    expect(shown.get_by_text(page.kernel_eval("model.labels[board.target]")).first).to_be_visible()

    shown.get_by_role("tab", name="Brush").click()
    page.wait_for_kernel("'brush' in board.explorers and board.explorers['brush'].image.equal(board.image)")

    shown.get_by_role("tab", name="Deletion").click()
    stage = shown.locator(".xw-stage:visible").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    for view in ("board.explorers['deletion'].heatmap", "board.explorers['attribution'].view"):
        page.wait_for_kernel(f"{view}.position is not None and abs({view}.position[0] - 0.25) < 0.02")


def test_the_first_map_is_on_the_first_screen(lab):
    """At the width that JupyterLab opens with, its side bar included."""
    page = lab.open(CELLS, width=1280, height=900)
    page.wait_for_kernel("board.wait(600) and board.explorers['attribution'].run_bar.status", "done")
    shown = page.output(1)
    board = shown.locator(".xw-explorer").first.bounding_box()
    head = shown.locator(".xw-explorer > .xw-layout-header").first.bounding_box()
    first = shown.locator(".xw-map-grid-view [data-state=done]").first.bounding_box()
    assert head["height"] <= 90
    assert first["y"] - board["y"] < 260
    assert board["height"] <= 640 + 90
