"""Explorers of one notebook share a queue: what is on the screen is computed first, and an interrupt stops all."""

SETUP = """
import threading
import time
import xai_widgets as xw
from IPython.display import HTML, display
from xai_widgets.data import scenes
model = xw.load("scenes_resnet")
image = scenes.scene(2, split="test").image
released, counts = threading.Event(), {"first": 0, "second": 0}
def method(name):
    def explain(model, x, target):
        while not released.is_set():
            model(x)
            counts[name] += 1
        return x.mean(1)
    return name, explain
def make(name):
    return xw.DeletionExplorer(model, image, [method(name)], steps=8)
def passes():
    # Passes of each within a while, after the pass that was running.
    time.sleep(0.5)
    before = dict(counts)
    time.sleep(1)
    return [counts[name] > before[name] for name in ("first", "second")]
"""
FIRST = "first = make('first')\nfirst"
SPACE = "display(HTML('<div style=\"height: 4000px\"></div>'))"
SECOND = "second = make('second')\nsecond"
VISIBILITY = "[each.run_bar.visibility for each in (first, second)]"
STATUS = "[each.run_bar.status for each in (first, second)]"


def command(page, name):
    page.page.evaluate("(name) => window.jupyterapp.commands.execute(name)", name)


def test_what_is_visible_is_computed_an_interrupt_stops_all_and_cleared_outputs_pause(lab):
    page = lab.open([SETUP, FIRST, SPACE, SECOND], width=1300, height=900)
    bars = page.page.locator(".xw-run-bar")
    bars.first.scroll_into_view_if_needed()
    page.wait_for_kernel(VISIBILITY, ["visible", "unseen"])
    assert page.kernel_eval("passes()") == [True, False]
    bars.last.scroll_into_view_if_needed()
    page.wait_for_kernel(VISIBILITY, ["unseen", "visible"])
    assert page.kernel_eval("passes()") == [False, True]
    command(page, "notebook:interrupt-kernel")
    page.wait_for_kernel(STATUS, ["cancelled", "cancelled"])
    assert page.kernel_eval("passes()") == [False, False]
    bars.last.get_by_role("button", name="Resume").or_(
        bars.last.get_by_role("button", name="Run")
    ).first.click()
    page.wait_for_kernel(STATUS, ["cancelled", "running"])
    assert page.kernel_eval("passes()") == [False, True]
    command(page, "notebook:clear-all-cell-outputs")
    page.wait_for_kernel(VISIBILITY, ["gone", "gone"])
    assert page.kernel_eval("passes()") == [False, False]
    page.kernel_exec("released.set()")
    assert page.kernel_eval("[each.wait(60) for each in (first, second)]") == [True, True]


AGAIN = "explorer = make('first')\nexplorer"


def test_a_cell_that_is_run_again_cancels_and_frees_its_explorer(lab):
    page = lab.open([SETUP, AGAIN], width=1300, height=900)
    page.wait_for_kernel("explorer.run_bar.visibility", "visible")
    page.kernel_exec("import weakref\nold, worker = weakref.ref(explorer), explorer._worker")
    rerun(page, 1)
    page.wait_for_kernel("old() is None", True)
    assert page.kernel_eval("worker.status") == "cancelled"
    page.wait_for_kernel("explorer.run_bar.visibility", "visible")
    # One with another name pauses, and goes on where it is shown again.
    page.kernel_exec("kept, counts['first'] = explorer, 0")
    rerun(page, 1)
    page.wait_for_kernel("kept.menu.visibility", "gone")
    page.kernel_exec("explorer.close()\ntime.sleep(4)")
    before = page.kernel_eval("counts['first']")
    assert page.kernel_eval("(time.sleep(1), counts['first'])[1]") == before
    assert page.kernel_eval("kept.run_bar.status") == "running"
    page.kernel_exec("released.set()")
    assert page.kernel_eval("kept.wait(60)") is True


def rerun(page, index):
    """Run one cell again."""
    page.page.evaluate(
        """async (index) => {
  const { content } = window.notebookPanel;
  content.activeCellIndex = index;
  content.deselectAll();
  await window.jupyterapp.commands.execute('notebook:run-cell');
}""",
        index,
    )
