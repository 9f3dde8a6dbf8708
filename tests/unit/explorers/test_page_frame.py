"""A page in the output of a cell: its frame, its escapes and its formats."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from networks import one_sentence

import xai_widgets as xw
from xai_widgets.explorers.page_frame import Page
from xai_widgets.views import HeatmapView


class Frames(HTMLParser):
    """Collects the attributes of frames."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "iframe":
            self.found.append(dict(attributes))


@pytest.fixture
def view():
    maps = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    made = HeatmapView(maps=maps, title='A & "b" <script>')
    yield made
    made.close()


def test_the_frame_has_the_exported_page_itself(view, tmp_path):
    page = xw.page(view)
    exported = xw.export(view, tmp_path / "page.html")
    assert page.html == exported.path.read_text(encoding="utf-8")
    assert page.size == exported.size
    (frame,) = Frames(page.frame()).found
    assert frame["srcdoc"] == page.html
    assert frame["title"] == 'A & "b" <script>'
    assert "height: 720px" in frame["style"]


def test_what_the_frame_may_do(view):
    (frame,) = Frames(xw.page(view, title="Maps", height=300).frame()).found
    # With the origin of the notebook, a page could read it.
    assert set(frame["sandbox"].split()) == {"allow-scripts", "allow-downloads", "allow-popups"}
    assert "height: 300px" in frame["style"]
    assert frame["title"] == "Maps"


def test_a_cell_shows_html_and_no_widget(view):
    formatted, _ = DisplayFormatter().format(xw.page(view))
    assert set(formatted) == {"text/html", "text/plain"}
    assert re.fullmatch(r'A & "b" <script>: a page of \d\.\d\d MB', formatted["text/plain"])


def test_the_repr_is_short():
    page = Page("<p>" * 9999, "Maps", 720)
    assert repr(page) == "Page(title='Maps', height=720)"


def test_a_page_is_saved(tmp_path):
    Page("<p>\u00e9</p>", "Maps", 720).save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "<p>\u00e9</p>"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"height": 0}, ValueError, "height"),
        ({"tabs": "every"}, ValueError, "tabs"),
        ({"theme": "darkness"}, ValueError, "theme"),
        ({"heigth": 300}, TypeError, "height"),
    ],
)
def test_invalid_options_are_named(view, options, error, words):
    with pytest.raises(error, match=words) as caught:
        xw.page(view, **options)
    one_sentence(caught)


def test_what_is_no_widget_is_refused():
    with pytest.raises(TypeError, match="expected widget to be a view"):
        xw.page(3)


def test_a_page_has_the_licenses_of_its_libraries(view):
    text = xw.page(view).html
    for name in ("onnxruntime-web", "@lumino/widgets", "jquery", "Eigen (MPL 2.0)"):
        assert name in text
