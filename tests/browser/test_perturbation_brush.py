"""The perturbation brush as a person meets it, in JupyterLab."""

from itertools import pairwise

import numpy as np
import pytest
from hosts import choose
from playwright.sync_api import expect
from test_mask_views import PIXELS, settle

SETUP = """
import copy, threading
import numpy as np, torch
import xai_widgets as xw
from xai_widgets.data import scenes
from xai_widgets.explorers.brush import FILLS
from xai_widgets.perturbation.extremal import ExtremalSettings, extremal
model = xw.load("scenes_vgg")
network = copy.deepcopy(model.module).eval()
image = scenes.scene(2, split="test").image
settings = ExtremalSettings(steps=12, scan=3)

def painted():
    mask = explorer.brush.mask
    return np.zeros(explorer.image.shape[2:], "f4") if mask is None else mask / np.float32(255)

def expected():
    "The output of the network for the drawn image: the image and the fill as the kernel has them, mixed by the mask."
    x, mask = explorer.image, torch.from_numpy(painted())
    fill = explorer._fill(FILLS[explorer.brush.fill], mask)
    with torch.no_grad():
        probs = network((x + mask * (fill - x) - model.mean) / model.std).softmax(1)[0]
    best = probs.topk(5).indices.tolist()
    # The target has a bar of its own where it is not among the best.
    shown = best if explorer.target in best else [*best, explorer.target]
    return [model.labels[i] for i in shown], [round(float(probs[i]), 3) for i in shown]

def resting():
    return explorer.brush._seen == explorer.brush._stroke and explorer._scorer.status != "running"
"""
SHOW = "explorer = xw.PerturbationBrush(model, image, settings=settings)\nexplorer"


class Hand:
    """Pointer events on the brush, and the displayed values."""

    def __init__(self, page):
        self.page, self.mouse = page, page.page.mouse
        self.el = page.output(1)
        self.stage = self.el.locator(".xw-brush-view .xw-stage")
        expect(self.stage).to_be_visible()
        self.size = page.kernel_eval("explorer.image.shape[-1]")

    def place(self, x, y):
        """From shares of the sides to a position on the screen, wherever the page is scrolled to now."""
        self.stage.scroll_into_view_if_needed()
        box = self.stage.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def paint(self, *points, button="left"):
        self.mouse.move(*self.place(*points[0]))
        self.mouse.down(button=button)
        for point in points[1:]:
            self.mouse.move(*self.place(*point), steps=5)
        self.mouse.up(button=button)

    def rest(self):
        """Wait until the kernel has what is painted, and the page its scores."""
        settle(self.page.page)
        amount = self.el.locator(".xw-brush-view .xw-amount").inner_text()
        # The page may have sent all but the end of a stroke, and go on in a moment.
        self.page.wait_for_kernel("f'{round(100 * float(painted().mean()), 1):g} % painted'", amount)
        for _ in range(3):
            settle(self.page.page)
            self.page.wait_for_kernel("resting()")
        settle(self.page.page)

    def mask(self):
        return np.array(self.page.kernel_eval("painted().tolist()"))

    def pixels(self):
        canvas = self.stage.locator("canvas").first.element_handle()
        found = self.page.page.evaluate(PIXELS, [canvas, self.size])
        return np.array(found).reshape(self.size, self.size, 3)

    def check_picture(self):
        """The pixels are numpy's: image + m (fill - image)."""
        image, fills = (
            np.array(self.page.kernel_eval(f"explorer.brush.{name}.tolist()"), float)
            for name in ("image", "fills")
        )
        fill = fills[self.page.kernel_eval("explorer.brush.fill")]
        wanted = image + self.mask()[..., None] * (fill - image)
        np.testing.assert_allclose(self.pixels(), wanted, atol=1)

    def check_scores(self):
        """The bars show the output of the network for exactly what is drawn."""
        names, values = self.page.kernel_eval("expected()")
        rows = self.el.locator(".xw-score")
        # Bars that change their order are moved on the screen, not in the page: each is found by its name.
        for name, value in zip(names, values, strict=True):
            row = rows.filter(has_text=name)
            expect(row.locator(".xw-score-number")).to_have_text(f"{value:.3f}")
        expect(rows).to_have_count(len(names))


@pytest.fixture
def hand(lab):
    return Hand(lab.open([SETUP, SHOW], width=1300, height=1400))


def stroke_of(points, size, radius, softness):
    """A stroke on nothing by its definition: the brush at the distance from the nearest segment."""
    yy, xx = (np.mgrid[:size, :size] + 0.5) / size
    distance = np.full((size, size), np.inf)
    for (ax, ay), (bx, by) in pairwise(points):
        along = ((xx - ax) * (bx - ax) + (yy - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)
        t = np.clip(along, 0, 1)
        distance = np.minimum(distance, np.hypot(xx - ax - t * (bx - ax), yy - ay - t * (by - ay)))
    t = np.clip((radius + 0.5 - distance * size) / max(radius * softness, 1), 0, 1)
    return np.round(255 * t * t * (3 - 2 * t)) / 255


LINE = [(0.3, 0.3), (0.6, 0.5), (0.4, 0.7)]


def test_paint_every_fill_erase_undo_and_softness(hand):
    hand.rest()
    hand.check_scores()
    before = hand.page.kernel_eval("expected()")
    hand.paint(*LINE)
    hand.rest()
    radius = 0.15 * hand.size / 2
    # A mouse stops at whole pixels of the screen.
    np.testing.assert_allclose(hand.mask(), stroke_of(LINE, hand.size, radius, 0.5), atol=0.1)
    first = hand.mask()
    seen = []
    for name in ("blur", "gray", "noise", "inpaint"):
        choose(hand.el, "Fill", name)
        hand.page.wait_for_kernel("FILLS[explorer.brush.fill]", name)
        hand.rest()
        hand.check_scores()
        hand.check_picture()
        seen.append(hand.page.kernel_eval("expected()"))
    assert all(one != before for one in seen)
    assert len({str(one) for one in seen}) == 4

    hand.paint((0.45, 0.4), (0.5, 0.45), button="right")
    hand.rest()
    erased = stroke_of([(0.45, 0.4), (0.5, 0.45)], hand.size, radius, 0.5)
    np.testing.assert_allclose(hand.mask(), np.minimum(first, 1 - erased), atol=0.1)
    assert hand.mask().sum() < first.sum() - 10
    hand.check_scores()
    hand.el.get_by_role("button", name="Undo", exact=True).click()
    hand.rest()
    np.testing.assert_array_equal(hand.mask(), first)
    hand.check_scores()
    hand.check_picture()
    hand.el.get_by_role("button", name="Redo").click()
    hand.rest()
    np.testing.assert_allclose(hand.mask(), np.minimum(first, 1 - erased), atol=0.1)

    hand.el.get_by_role("button", name="Clear").click()
    hand.el.locator(".xw-brush-view").get_by_label("Softness").press("Home")
    hand.paint(*LINE)
    hand.rest()
    hard = stroke_of(LINE, hand.size, radius, 0)
    # Steep: a position on the screen moves its edge by a part of a pixel.
    assert np.abs(hand.mask() - hard).mean() < 0.005
    assert ((hand.mask() > 0) & (hand.mask() < 1)).sum() < ((first > 0) & (first < 1)).sum() / 2
    hand.check_scores()
    hand.check_picture()


def test_boxes_of_two_edits_side_by_side(hand):
    hand.rest()
    hand.el.get_by_text("Two edits").click()
    hand.page.wait_for_kernel("explorer.pair_check.value")
    panes = hand.el.locator(".xw-brush-view")
    expect(panes).to_have_count(2)
    panes.first.get_by_role("button", name="Box").click()
    # The tools are those of both.
    expect(panes.nth(1).get_by_role("button", name="Box")).to_have_attribute("aria-pressed", "true")
    corners = ((0.2, 0.3), (0.55, 0.7)), ((0.5, 0.1), (0.9, 0.4))
    for pane, box, name in zip(panes.all(), corners, ("brush", "other"), strict=True):
        hand.stage = pane.locator(".xw-stage")
        hand.paint(*box)
        hand.page.wait_for_kernel(f"explorer.{name}.mask is not None and explorer.{name}._seen > 0")
    hand.page.wait_for_kernel("explorer.edit_picker.value", "B")
    for (start, end), name in zip(corners, ("brush", "other"), strict=True):
        mask = np.array(hand.page.kernel_eval(f"explorer.{name}.mask.tolist()"))
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert set(np.unique(mask)) == {0, 255}
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        # A mouse stops at whole pixels of the screen.
        found = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / hand.size
        np.testing.assert_allclose(found, [*start, *end], atol=1.5 / hand.size)
    hand.page.wait_for_kernel("explorer._scorer.wait(0)")
    bars = hand.el.locator(".xw-scores-view")
    for pane, scores in zip(bars.all(), ("scores", "other_scores"), strict=True):
        value = hand.page.kernel_eval(f"float(explorer.{scores}.values[0, 0, 0])")
        expect(pane.locator(".xw-score-number").first).to_have_text(f"{value:.3f}")
    first, second = (
        hand.page.kernel_eval(f"float(explorer.{name}.target_values[0, 0])")
        for name in ("scores", "other_scores")
    )
    assert first != second
    assert hand.el.bounding_box()["height"] <= 640
    # A copy is one step of the other edit, and the pixels are its own.
    panes.first.get_by_role("button", name="Copy to B").click()
    hand.page.wait_for_kernel("bool((explorer.other.mask == explorer.brush.mask).all())")
    settle(hand.page.page)
    canvases = [pane.locator(".xw-stage canvas").first.evaluate("c => c.toDataURL()") for pane in panes.all()]
    assert canvases[0] == canvases[1]
    panes.nth(1).get_by_role("button", name="Undo", exact=True).click()
    hand.page.wait_for_kernel("not (explorer.other.mask == explorer.brush.mask).all()")


def test_a_finger_paints(hand):
    hand.rest()
    session = hand.page.page.context.new_cdp_session(hand.page.page)

    def touch(kind, *places):
        points = [dict(zip("xy", hand.place(*place), strict=True)) for place in places]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (0.3, 0.3))
    for y in range(35, 75, 5):
        touch("touchMove", (0.3, y / 100))
    touch("touchEnd")
    hand.page.wait_for_kernel("explorer.brush._stroke > 0")
    hand.rest()
    wanted = stroke_of([(0.3, 0.3), (0.3, 0.7)], hand.size, 0.15 * hand.size / 2, 0.5)
    np.testing.assert_allclose(hand.mask(), wanted, atol=0.1)
    hand.check_scores()
    hand.check_picture()


def test_begin_with_a_map_or_an_extremal_mask(lab):
    start = "explorer = xw.PerturbationBrush(model, image, start='grad_cam', area=0.2)\nexplorer"
    hand = Hand(lab.open([SETUP, start], width=1300, height=1400))
    hand.rest()
    assert hand.mask().sum() == round(0.2 * hand.size**2)
    hand.check_scores()
    hand.check_picture()
    # Nothing was painted by hand: nothing to undo.
    expect(hand.el.get_by_role("button", name="Undo", exact=True)).to_have_attribute("aria-disabled", "true")
    hand.page.kernel_exec(
        "found = extremal(model, image, areas=[0.05, 0.1], variant='delete', settings=settings)"
        ".result(progress=False)\nexplorer.paint(found, area=0.1)"
    )
    expect(hand.el.locator(".xw-brush-view .xw-amount")).to_have_text("10 % painted")
    hand.rest()
    assert hand.page.kernel_eval("bool((painted() == found.masks[0, 1].numpy()).all())")
    hand.check_scores()
    hand.check_picture()
    hand.paint((0.1, 0.1), (0.2, 0.2))
    hand.rest()
    assert hand.mask().sum() > 0.1 * hand.size**2
    hand.check_scores()


def test_while_the_network_is_slow_strokes_are_merged_and_the_last_one_wins(hand):
    hand.rest()
    hand.page.kernel_exec("""
permits, shown, masks = threading.Semaphore(0), [], []
def stand(module, given):
    assert permits.acquire(timeout=600)
gate = model.module.register_forward_pre_hook(stand)
explorer.brush.observe(lambda change: masks.append(change.new), "mask")
explorer.scores.observe(lambda change: shown.append(float(change.new[0, 0])), "target_values")
""")
    lines = [[(0.1, y), (0.9, y)] for y in (0.2, 0.4, 0.6, 0.8)]
    for line in lines:
        hand.paint(*line)
        # Each stroke is in the kernel while the pass of the first still stands.
        hand.page.wait_for_kernel("explorer.brush._seen == explorer.brush._stroke > 0")
        settle(hand.page.page)
    hand.page.wait_for_kernel("explorer.brush._seen == explorer.brush._stroke > 0")
    assert hand.page.kernel_eval("len(masks)") >= len(lines)
    assert hand.page.kernel_eval("len(shown)") == 0
    hand.page.kernel_exec("permits.release(2)")
    hand.page.wait_for_kernel("explorer._scorer.status", "done")
    # Two passes, not one a stroke: no more were permitted.
    hand.page.kernel_exec("gate.remove()")
    assert hand.page.kernel_eval("len(shown)") == 2
    hand.rest()
    union = np.max([stroke_of(line, hand.size, 0.15 * hand.size / 2, 0.5) for line in lines], axis=0)
    np.testing.assert_allclose(hand.mask(), union, atol=0.1)
    hand.check_scores()
    hand.check_picture()


#: Each step of the search stands at a gate until it is permitted.
GATE = """
permits, stands = threading.Semaphore(0), []
def stand(module, given):
    if given[0].requires_grad:
        stands.append(explorer.brush.mask.copy())
        assert permits.acquire(timeout=600)
gate = model.module.register_forward_pre_hook(stand)
"""


def test_refine_keeps_the_area_lowers_the_probability_and_is_one_step(hand):
    ask = hand.el.locator(".xw-run-bar button.xw-run")
    bar = hand.el.locator(".xw-run-bar")
    hand.paint(*LINE)
    hand.rest()
    painted = hand.mask()
    area = painted.mean()
    hand.page.kernel_exec("before = float(explorer.scores.target_values[0, 0]); snapshots = []")
    hand.page.kernel_exec("explorer.brush.observe(lambda change: snapshots.append(change.new), 'mask')")
    ask.click()
    hand.page.wait_for_kernel("explorer.run_bar.status", "done")
    expect(bar).to_contain_text("score ")
    hand.rest()
    assert hand.page.kernel_eval("len(snapshots)") > 0
    assert abs(hand.mask().mean() - area) <= 1 / hand.size**2
    assert hand.page.kernel_eval("float(explorer.scores.target_values[0, 0]) < before")
    hand.check_scores()
    hand.check_picture()
    hand.el.get_by_role("button", name="Undo", exact=True).click()
    hand.rest()
    np.testing.assert_array_equal(hand.mask(), painted)
    hand.check_scores()
    hand.el.get_by_role("button", name="Undo", exact=True).click()
    hand.rest()
    assert hand.mask().sum() == 0


def test_the_tools_stand_beside_the_image_and_nothing_moves_with_the_display(lab):
    hand = Hand(lab.open([SETUP, SHOW], width=1280, height=900))
    explorer = hand.el.locator(".xw-explorer")
    box = explorer.bounding_box()
    assert box["width"] < 912
    assert box["height"] <= 640
    stage, tools, bars = (
        explorer.locator(name).first.bounding_box() for name in (".xw-stage", ".xw-tools", ".xw-scores")
    )
    assert stage["x"] + stage["width"] <= tools["x"]
    assert tools["x"] + tools["width"] <= bars["x"]
    for display in ("Tint", "Outline", "Result"):
        explorer.get_by_role("button", name=display).click()
        settle(hand.page.page)
        assert explorer.locator(".xw-tools").bounding_box() == tools
    assert explorer.bounding_box()["height"] == box["height"]


def test_refine_is_stopped_by_its_button_or_by_a_stroke(hand):
    bar = hand.el.locator(".xw-run-bar")
    hand.paint(*LINE)
    hand.rest()
    for stop in ("button", "stroke"):
        hand.page.kernel_exec(GATE)
        bar.locator("button.xw-run").click()
        hand.page.wait_for_kernel("len(stands) > 0")
        hand.page.kernel_exec("permits.release()")
        hand.page.wait_for_kernel("len(stands) > 1")
        assert hand.page.kernel_eval("explorer.run_bar.status") == "running"
        if stop == "button":
            bar.locator("button.xw-run").click()
        else:
            hand.paint((0.8, 0.1), (0.85, 0.2))
        hand.page.wait_for_kernel("explorer.run_bar.status", "cancelled")
        hand.page.kernel_exec("permits.release(1000); gate.remove()")
        hand.rest()
        hand.page.wait_for_kernel("explorer._worker.wait(0)")
        # The progress stays, with the stroke on it, and the scores are those of the drawn image.
        assert hand.mask().sum() > 0
        hand.check_scores()
        hand.check_picture()
    corner = stroke_of([(0.8, 0.1), (0.85, 0.2)], hand.size, 0.15 * hand.size / 2, 0.5)
    assert (hand.mask() >= corner - 0.1).all()
