"""The harness itself, with a plain slider and a few lines of JavaScript: what other browser tests rest on."""

import json
import os
import sys

import anywidget
import numpy as np
import pytest
import traitlets
from afm import AfmPage
from hosts import CellError, NotebookHost
from notebook_server import notebook
from playwright.sync_api import expect

SLIDER = """
import ipywidgets
slider = ipywidgets.IntSlider(value=3, min=0, max=100, description='area')
seen = []
slider.observe(lambda change: seen.append(change.new), 'value')
slider
"""


def drag(page, handle, pixels):
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + pixels, y, steps=5)
    page.mouse.up()


def test_a_slider_travels_both_ways(jupyter):
    page = jupyter.open(["import os", SLIDER])
    readout = page.output(1).locator(".widget-readout")
    expect(readout).to_have_text("3")
    assert page.kernel_eval("slider.value") == 3

    # By mouse: in Notebook 7 the arrow keys of a focused slider go to the notebook.
    drag(page.page, page.output(1).locator(".noUi-handle"), 60)
    expect(readout).not_to_have_text("3")
    value = int(readout.inner_text())
    assert value > 20
    page.wait_for_kernel("slider.value", value)

    page.kernel_exec("slider.value = 12")
    expect(readout).to_have_text("12")
    assert page.kernel_eval("seen[-1]") == 12


def test_a_failing_cell_raises_with_its_traceback(jupyter):
    with pytest.raises(CellError, match=r"cell 2 of .*(.|\n)*ZeroDivisionError: division by zero"):
        jupyter.open(["a = 0", "1 / a"])


def test_the_page_outlives_its_kernel(lab):
    page = lab.open([SLIDER])
    readout = page.output(0).locator(".widget-readout")
    page.shutdown_kernel()
    drag(page.page, page.output(0).locator(".noUi-handle"), 60)
    expect(readout).not_to_have_text("3")
    with pytest.raises(Exception, match="has no kernel"):
        page.kernel_eval("slider.value")


def test_themes_and_pictures(jupyter):
    page = jupyter.open(["1"], theme="dark", width=800, height=600)
    assert page.page.evaluate("() => document.body.dataset.jpThemeLight") == "false"
    dark = page.screenshot("harness-dark").read_bytes()
    page.theme("light")
    assert page.page.evaluate("() => document.body.dataset.jpThemeLight") == "true"
    assert page.screenshot("harness-light").read_bytes() != dark


def test_the_kernel_is_this_environment_and_not_the_users(jupyter, tmp_path):
    path = tmp_path / "given.ipynb"
    path.write_text(json.dumps(notebook(["import sys, os"])))
    page = jupyter.open(path)
    assert page.kernel_eval("sys.prefix") == sys.prefix
    assert page.kernel_eval("os.environ['HOME']") != os.environ["HOME"]
    assert page.kernel_eval("{'text': 'ä' * 5000, 'numbers': [1, 2.5, None]}") == {
        "text": "ä" * 5000,
        "numbers": [1, 2.5, None],
    }
    with pytest.raises(CellError, match="NameError"):
        page.kernel_eval("nothing_of_this_name")
    with pytest.raises(CellError, match="ValueError: no"):
        page.kernel_exec("raise ValueError('no')")


def test_closing_a_page_ends_its_kernel(chromium, lab_server):
    host = NotebookHost(chromium, lab_server)
    before = len(lab_server.request("GET", "api/kernels"))
    host.open(["1"])
    assert len(lab_server.request("GET", "api/kernels")) == before + 1
    host.close()
    assert len(lab_server.request("GET", "api/kernels")) == before


def test_a_page_that_asks_elsewhere_is_refused(chromium, lab_server):
    host = NotebookHost(chromium, lab_server)
    page = host.open(["1"], run=False)
    # A port of this machine on which nothing listens: the request must be seen, not succeed.
    page.page.evaluate("() => fetch('http://127.0.0.1:9/x.js', {mode: 'no-cors'}).catch(() => null)")
    with pytest.raises(AssertionError, match=r"127\.0\.0\.1:9"):
        host.close()


class Square(anywidget.AnyWidget):
    """Shows the sum of an array and sends back its double; the wire is what it tests."""

    _esm = """
    export default {
      initialize({ model }) {
        model.on("msg:custom", (content, buffers) => {
          model.set("heard", [content, buffers[0].getUint8(1)]);
          model.save_changes();
        });
        return () => { document.body.dataset.stopped = "yes"; };
      },
      render({ model, el }) {
        const show = () => {
          const { data } = model.get("array");
          let sum = 0;
          for (let i = 0; i < data.byteLength; i += 4) sum += data.getFloat32(i, true);
          el.textContent = `sum ${sum}`;
        };
        model.on("change:array", show);
        el.addEventListener("click", () => {
          model.set("clicks", model.get("clicks") + 1);
          model.save_changes();
          model.send({ kind: "click" }, undefined, [new Uint8Array([7, 8])]);
        });
        el.addEventListener("dblclick", () => { throw new Error("on purpose"); });
        show();
        return () => model.off("change:array", show);
      },
    };
    """
    array = traitlets.Any(np.arange(4, dtype=np.float32)).tag(
        sync=True, to_json=lambda value, widget: {"dtype": "float32", "shape": [4], "data": memoryview(value)}
    )
    clicks = traitlets.Int(0).tag(sync=True)
    heard = traitlets.List([]).tag(sync=True)


def test_a_widget_on_a_bare_page(afm_page):
    mounted = afm_page.mount(Square())
    expect(mounted.el).to_have_text("sum 6")
    mounted.el.locator(".afm-view").click()
    mounted.wait_for("clicks", 1)
    assert mounted.saved == [{"clicks": 1}]
    assert mounted.sent == [{"content": {"kind": "click"}, "buffers": [b"\x07\x08"]}]

    mounted.update(array=np.full(3, 5, np.float32))
    expect(mounted.el).to_have_text("sum 15")
    assert mounted.get("array") == {
        "dtype": "float32",
        "shape": [3],
        "data": np.full(3, 5, np.float32).tobytes(),
    }
    assert mounted.saved == [{"clicks": 1}], "what the kernel sent goes back to it"

    mounted.receive({"kind": "hello"}, [b"\x01\x02"])
    assert mounted.get("heard") == [{"kind": "hello"}, 2]


def test_a_bare_page_cleans_up(afm_page):
    mounted = afm_page.mount(Square(), {"clicks": 5})
    assert mounted.get("clicks") == 5
    mounted.render()
    expect(mounted.el.locator(".afm-view")).to_have_count(2)
    assert mounted.listening == 3
    mounted.close()
    expect(mounted.el.locator(".afm-view")).to_have_count(0)
    assert mounted.listening == 1
    expect(afm_page.page.locator("body")).to_have_attribute("data-stopped", "yes")


def test_a_bare_page_has_themes(afm_page):
    background = "() => getComputedStyle(document.body).backgroundColor"
    assert afm_page.page.evaluate(background) == "rgb(255, 255, 255)"
    afm_page.theme("dark")
    assert afm_page.page.evaluate(background) == "rgb(17, 17, 17)"


def test_a_bare_page_hides_no_error(offline):
    page = AfmPage(offline)
    page.mount(Square()).el.locator(".afm-view").dblclick()
    with pytest.raises(AssertionError, match="on purpose"):
        page.close()


def test_a_bare_page_asks_nowhere(offline):
    page = AfmPage(offline)
    page.page.evaluate("() => fetch('https://example.invalid/x.js').catch(() => null)")
    with pytest.raises(AssertionError, match=r"example\.invalid"):
        page.close()
