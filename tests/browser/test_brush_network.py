"""The network of a brush in the browser, in JupyterLab: it answers strokes, with the scores of torch."""

import pytest
from hosts import choose
from playwright.sync_api import expect

pytest.importorskip("onnxscript")
#: Largest difference of a probability.
CLOSE = 1e-5

SETUP = """
import copy, os, time
import numpy as np, torch
import xai_widgets as xw
from xai_widgets.data import scenes
from xai_widgets.explorers.brush import FILLS
model = xw.load("scenes_resnet")
network = copy.deepcopy(model.module).eval()
passes = []
model.module.register_forward_hook(lambda *_: passes.append(1))
image, other = (scenes.scene(n, split="test", background="photograph").image for n in (2, 3))

def error():
    "Largest difference of the shown scores from those of the network for the painted mask, 1 if one is missing."
    x, mask = explorer.image, explorer.brush.mask
    mask = torch.zeros(x.shape[2:]) if mask is None else torch.from_numpy(mask / np.float32(255))
    fill = explorer._fill(FILLS[explorer.brush.fill], mask)
    with torch.no_grad():
        probs = network((torch.lerp(x, fill, mask) - model.mean) / model.std).softmax(1)[0]
    if explorer.scores.values is None:
        return 1.0
    indices = torch.from_numpy(explorer.scores.indices.ravel()).long()
    differences = probs[indices] - torch.from_numpy(explorer.scores.values.ravel())
    missing = probs.topk(5).values.min() - probs[indices].min()
    own = probs[explorer.target] - float(explorer.scores.target_values.ravel()[0])
    return float(max(differences.abs().max(), abs(missing), abs(own)))
"""
SHOW = "explorer = xw.PerturbationBrush(model, image, network=True)\nexplorer"
NOTE = ".xw-network-line"


class Painter:
    """Strokes on the brush of a notebook."""

    def __init__(self, page):
        self.page, self.mouse = page, page.page.mouse
        self.el = page.output(1)
        self.stage = self.el.locator(".xw-brush-view .xw-stage").first
        self.note = self.el.locator(NOTE)

    def at(self, x, y):
        box = self.stage.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def stroke(self, *points):
        self.stage.scroll_into_view_if_needed()
        self.mouse.move(*self.at(*points[0]))
        self.mouse.down()
        for point in points[1:]:
            self.mouse.move(*self.at(*point), steps=5)
        self.mouse.up()

    def check(self):
        """The kernel has the scores of the browser for the mask that it has."""
        amount = self.el.locator(".xw-brush-view .xw-amount").first.inner_text()
        share = "(0 if explorer.brush.mask is None else explorer.brush.mask.mean() / 2.55)"
        self.page.wait_for_kernel(f"f'{{round(float({share}), 1):g}} % painted'", amount, timeout=120)
        self.page.wait_for_kernel(f"error() < {CLOSE}", timeout=120)


@pytest.fixture
def painter(lab):
    painter = Painter(lab.open([SETUP, SHOW], width=1300, height=1400))
    expect(painter.note).to_contain_text("Scored in this browser: scenes_resnet", timeout=60_000)
    painter.page.wait_for_kernel("explorer.wait(0) and explorer.network_view.status", "running")
    painter.page.kernel_exec("passes.clear()")
    return painter


OBJECT = [(0.55, 0.25), (0.75, 0.3), (0.6, 0.4)]


def test_the_browser_answers_strokes_fills_and_classes_without_a_pass_of_the_kernel(painter):
    page = painter.page
    scores = painter.el.locator(".xw-scores").first
    before = scores.inner_text()
    painter.stroke(*OBJECT)
    expect(scores).not_to_have_text(before)
    painter.check()
    for name in ("gray", "noise", "inpaint"):
        choose(painter.el, "Fill", name)
        page.wait_for_kernel("FILLS[explorer.brush.fill]", name)
        painter.check()
    assert page.kernel_eval("len(passes)") == 0
    # The fill is drawn as the network got it.
    page.wait_for_kernel("explorer.brush._filled is not None")
    drawn = page.kernel_eval(
        "np.abs(explorer.brush._filled.astype(float) - model.to_rgb(explorer._fill('inpaint', "
        "torch.from_numpy(explorer.brush.mask / np.float32(255))))[0]).max()"
    )
    assert drawn <= 1
    page.page.keyboard.press("Control+z")
    painter.check()
    bar = painter.el.locator(".xw-score[aria-disabled=false]").first
    name = bar.locator(".xw-score-label").inner_text()
    bar.click()
    page.wait_for_kernel("model.labels[explorer.target]", name)
    painter.check()
    # The kernel computes gradients.
    painter.stroke(*OBJECT)
    painter.check()
    painter.el.get_by_role("button", name="Refine").click()
    page.wait_for_kernel("explorer.run_bar.status", "done")
    painter.check()


def test_it_answers_while_the_kernel_is_busy_and_a_late_answer_is_not_shown(painter, tmp_path):
    page, end = painter.page, tmp_path / "end"
    scores = painter.el.locator(".xw-scores").first
    before = scores.inner_text()
    page.page.evaluate(
        "code => void window.notebookPanel.sessionContext.session.kernel.requestExecute({ code })",
        f"while not os.path.exists({str(end)!r}): time.sleep(0.01)",
    )
    painter.stroke(*OBJECT)
    expect(scores).not_to_have_text(before)
    end.touch()
    painter.check()
    shown = scores.inner_text()
    # An answer of the kernel to an older mask.
    page.kernel_exec(
        "with explorer.scores.hold_sync():\n"
        "    explorer.scores.values = np.linspace(0.9, 0.5, 5, dtype=np.float32).reshape(1, 1, 5)\n"
        "    explorer.scores.indices = np.arange(5, dtype=np.int32).reshape(1, 1, 5)"
    )
    painter.check()
    expect(scores).to_have_text(shown, use_inner_text=True)


def test_another_image_and_two_edits(painter):
    page = painter.page
    page.kernel_exec("explorer.image = other")
    painter.check()
    painter.stroke((0.3, 0.3), (0.6, 0.6))
    painter.check()
    painter.el.get_by_role("checkbox", name="Two edits").check()
    second = painter.el.locator(".xw-brush-view:visible").nth(1)
    expect(second).to_be_visible()
    page.wait_for_kernel("explorer.pair_check.value and explorer.wait(0) and explorer._scorer.wait(0)")
    page.kernel_exec("passes.clear()")
    second.get_by_role("button", name="Fill all").click()
    page.wait_for_kernel("bool(explorer.other.mask is not None and explorer.other.mask.all())")
    page.wait_for_kernel(
        "abs(float(explorer.other_scores.values.max()) - model.probs(explorer._fill('blur', None)).max().item()) "
        f"< {CLOSE}"
    )
    painter.check()


def test_closing_the_brush_ends_the_thread_of_the_browser(painter):
    page = painter.page.page
    # Those of notebooks that were closed end after some seconds.
    wait_for_workers(page, 1)
    painter.page.kernel_exec("explorer.close()")
    wait_for_workers(page, 0)


def wait_for_workers(page, count):
    for _ in range(300):
        if len(page.workers) == count:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{len(page.workers)} workers")


def test_where_the_browser_starts_no_worker_the_kernel_answers_and_the_line_states_why(lab):
    page = lab.open([SETUP, "None"], width=1300, height=1400)
    page.page.evaluate(
        "() => { window.Worker = class { constructor() { throw new Error('blocked by the policy of this host') } } }"
    )
    page.page.evaluate(
        "code => { const cell = window.notebookPanel.content.widgets[1]; cell.model.sharedModel.setSource(code) }",
        SHOW,
    )
    page.run_all()
    painter = Painter(page)
    expect(painter.note).to_contain_text(
        "Scored by the kernel, as the network does not run in this browser: blocked"
    )
    page.wait_for_kernel(
        "[explorer.network_view.status, explorer.network_view.reason]",
        ["failed", "blocked by the policy of this host"],
    )
    page.kernel_exec("passes.clear()")
    painter.stroke(*OBJECT)
    painter.check()
    assert page.kernel_eval("len(passes)") > 0
