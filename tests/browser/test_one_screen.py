"""Every explorer in JupyterLab: it fits one screen, nothing jumps while it computes, and no style is out of date."""

from pathlib import Path

import pytest
from explorer_pages import EXPLORERS
from playwright.sync_api import expect

#: The greatest height of an explorer in JupyterLab as it opens in a window of 1280 px, CSS px.
HEIGHT = 640
#: That of the dashboard: its header is above an explorer.
DASHBOARD = HEIGHT + 90 + 40
#: A line of text may appear.
JUMP = 24
CELLS = [
    f"""
import sys, warnings
sys.path.insert(0, {str(Path(__file__).parent)!r})
warnings.simplefilter("ignore")
import xai_widgets as xw
from explorer_pages import EXPLORERS
from playwright.sync_api import expect
model = xw.load("scenes_resnet")
""",
    "",
]
#: Records the heights of the explorer from the frame in which all of its views are there. On a busy machine some views
#: come a second after the others; until then, their elements are empty.
RECORD = """() => {
  window.heights = [];
  let views = 0, since = 0;
  const look = (now) => {
    const box = document.querySelector('.jp-Notebook .jp-OutputArea .jupyter-widgets');
    if (box) {
      const count = box.querySelectorAll('.xw').length;
      if (count !== views) [views, since] = [count, now];
      const drawn = [...box.querySelectorAll('.lm-Widget:not(.widget-box)')].every((one) => one.childElementCount);
      if (count && drawn && now - since > 500) window.heights.push(Math.round(box.getBoundingClientRect().height));
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
STALE = """() => [...document.querySelectorAll('.xw [hidden]')]
  .filter((element) => getComputedStyle(element).display !== 'none').length"""
SPILLS = """() => {
  const box = document.querySelector('.jp-Notebook .jp-OutputArea .jupyter-widgets');
  return box.scrollWidth - box.clientWidth;
}"""


@pytest.mark.parametrize("name", EXPLORERS)
def test_it_fits_one_screen_and_nothing_jumps(lab, name):
    page = lab.open([*CELLS[:1], f"explorer = EXPLORERS[{name!r}](model)\nexplorer"], run=False)
    page.page.evaluate(RECORD)
    page.run_all()
    page.output(1)
    page.wait_for_kernel("explorer.wait(60)")
    page.page.wait_for_timeout(1200)
    heights = page.page.evaluate("() => window.heights")
    assert heights, "no view was drawn"
    assert max(heights) <= (DASHBOARD if name == "dashboard" else HEIGHT)
    assert max(heights) - min(heights) <= JUMP, f"the height changes: {sorted(set(heights))}"
    for width in (1100, 1920):
        page.page.set_viewport_size({"width": width, "height": 900})
        page.page.wait_for_timeout(300)
        assert page.page.evaluate(SPILLS) <= 0, f"wider than its column in a window of {width} px"
    assert page.page.evaluate(STALE) == 0
    assert not page.console


def test_no_style_is_out_of_date_after_cells_were_computed_off_the_screen(lab):
    """JupyterLab skips the layout of cells that are off the screen."""
    tall = "from IPython.display import HTML\nHTML('<div style=\"height: 2500px\">below</div>')"
    page = lab.open([CELLS[0], "explorer = EXPLORERS['attribution'](model)\nexplorer", tall])
    shown = page.output(1)
    scroll = "(top) => { document.querySelector('.jp-WindowedPanel-outer').scrollTop = top; }"
    for again in range(4):
        page.page.evaluate(scroll, 2000)
        expect(shown).not_to_be_in_viewport()
        page.kernel_exec("explorer.compute(again=True)")
        # Sometimes it comes into sight in mid run.
        if again % 2:
            page.page.evaluate(scroll, 0)
            page.page.evaluate(scroll, 2000)
        page.wait_for_kernel("explorer.wait(60) and explorer.run_bar.status", "done")
        page.page.evaluate(scroll, 0)
        expect(shown).to_be_in_viewport()
        cells = shown.locator(".xw-map-cell")
        expect(shown.locator(".xw-map-cell[data-state=done]")).to_have_count(cells.count())
        page.page.wait_for_timeout(200)
        assert page.page.evaluate(STALE) == 0
        assert set(
            cells.locator(".xw-base").evaluate_all("(all) => all.map((e) => getComputedStyle(e).opacity)")
        ) == {"1"}
