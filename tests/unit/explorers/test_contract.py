"""What holds for every explorer: closed it frees everything, and its run bar tells how each computation ended."""

import gc
import importlib
import io
import json
import threading
import time
import weakref

import ipywidgets
import pytest
import torch
from closeness import assert_close
from small_explorers import COMPUTING, EXPLORERS, METHODS, Network, classifier, photos, residual
from traitlets import TraitError

import xai_widgets as xw
from xai_widgets.explorers import joining
from xai_widgets.views import RunBar, View
from xai_widgets.views.control import Control
from xai_widgets.views.static_repr import walk_widgets

PATIENCE = 120
REGISTERED = ipywidgets.widgets.widget._instances


def registered():
    gc.collect()
    return set(REGISTERED)


def check_freed(before, *references):
    # A pass that has begun ends first.
    end = time.monotonic() + 10
    gc.collect()
    while any(reference() is not None for reference in references) and time.monotonic() < end:
        time.sleep(0.02)
        gc.collect()
    assert [reference() for reference in references] == [None] * len(references)
    left = [type(REGISTERED[key]).__name__ for key in registered() - before]
    assert left == []


@pytest.fixture(params=["done", "in mid run"])
def when(request):
    return request.param


@pytest.mark.parametrize("name", EXPLORERS)
def test_a_closed_explorer_frees_itself_its_network_and_every_widget(name, when):
    before = registered()
    network = Network()
    model = classifier(network)
    explorer = EXPLORERS[name](model)
    if name == "dashboard":
        for other in list(explorer._pages):
            explorer.show(other)
        explorer.frame = 1
    if when == "done":
        assert explorer.wait(PATIENCE)
    explorer.close()
    assert explorer.wait(PATIENCE)
    references = weakref.ref(explorer), weakref.ref(network), weakref.ref(model)
    del explorer, network, model
    check_freed(before, *references)


def test_a_closed_regression_explorer_frees_everything(when):
    before = registered()
    network = residual()
    explorer = xw.RegressionInverseExplorer(network, torch.rand(1, 1, 24, 24), lam=(0.0, 0.2))
    if when == "done":
        assert explorer.wait(PATIENCE)
    explorer.close()
    assert explorer.wait(PATIENCE)
    references = weakref.ref(explorer), weakref.ref(network)
    del explorer, network
    check_freed(before, *references)


def test_a_part_that_somebody_holds_does_not_hold_the_network():
    network = Network()
    explorer = EXPLORERS["deletion"](classifier(network))
    held = [part for part in walk_widgets(explorer) if part is not explorer]
    assert explorer.wait(PATIENCE)
    explorer.close()
    assert explorer.wait(PATIENCE)
    reference = weakref.ref(network)
    del explorer, network
    gc.collect()
    assert reference() is None
    assert held


def test_a_link_goes_with_either_of_its_ends():
    before = registered()
    explorer = EXPLORERS["deletion"](classifier())
    slider = ipywidgets.FloatSlider()
    joining.link((explorer.heatmap, "opacity"), (slider, "value"))
    explorer.close()
    assert explorer.wait(PATIENCE)
    for part in (slider.layout, slider.style, slider):
        part.close()
    reference = weakref.ref(explorer)
    del explorer
    check_freed(before, reference)


def test_a_layout_of_the_caller_is_left_alone():
    layout = ipywidgets.Layout(width="50%")
    view = xw.HeatmapView(layout=layout)
    view.close()
    assert layout.comm is not None
    layout.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda model: xw.DeletionExplorer(model, photos(1)[0], steps=0),
        lambda model: xw.MaskComparison(model, photos(1)[0], METHODS, areas=(0.5, 0.2)),
        lambda model: xw.SanityExplorer(model, photos(1)[0], METHODS, layers=["none"]),
        lambda model: xw.LeaderboardExplorer(model, photos(2), METHODS, ["deletoin"]),
        lambda model: xw.ExtremalExplorer(model, photos(1)[0], layer="none"),
        lambda model: xw.ChannelExplorer(model, photos(1)[0], rows=0),
        lambda model: xw.ClassExplorer(model, photos(2), count=99),
        lambda model: xw.ConceptExplorer(model, images=0),
        lambda model: xw.FeatureExplorer(model, layer="none"),
        lambda model: xw.InverseExplorer(model, photos(1)[0], lam=(1, 0)),
        lambda model: xw.NoiseMaskExplorer(model, photos(1)[0], betas=(1, 0)),
        lambda model: xw.PredictionConceptsExplorer(model, photos(1)[0], {}),
        lambda model: xw.PerturbationBrush(model, photos(1)[0], start="gradeint"),
        lambda model: xw.SimilarityExplorer(model, photos(2), components=99),
        lambda model: xw.AttributionExplorer(model, photos(2), top=0),
        lambda model: xw.dashboard(model, photos(2), layer="none"),
        lambda model: xw.DeletionExplorer(model, photos(1)[0], layout=3),
    ],
)
def test_a_constructor_that_raises_leaves_nothing_behind(make):
    before = registered()
    network = Network()
    model = classifier(network)
    with pytest.raises((ValueError, TypeError, TraitError)):
        make(model)
    references = weakref.ref(network), weakref.ref(model)
    del network, model
    check_freed(before, *references)


# -- how a computation ends ---------------------------------------------------------------------------------------


def bars(explorer):
    return [part for part in walk_widgets(explorer) if isinstance(part, RunBar)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", [*COMPUTING, "brush"])
def test_nan_and_infinite_scores_are_an_error_that_says_so(name, value):
    if name in ("similarity", "concept", "feature"):
        pytest.skip("uses activations, which are finite here")
    network = Network()
    network.classes.bias.data[2] = value
    explorer = EXPLORERS[name](classifier(network))
    try:
        assert explorer.wait(PATIENCE)
        assert explorer.run_bar.status == "error"
        # The softmax of an infinite score is NaN.
        assert "got NaN" in explorer.run_bar.error or "got infinite" in explorer.run_bar.error
    finally:
        explorer.close()


@pytest.mark.parametrize("name", COMPUTING)
@pytest.mark.parametrize(
    "error", [RuntimeError("no luck"), MemoryError(), KeyboardInterrupt(), SystemExit(3)]
)
def test_an_error_in_mid_run_ends_the_bar(name, error, monkeypatch):
    """Whatever is raised by a pass on the thread of the worker."""
    fails = threading.Event()
    forward = Network.forward

    def failing(self, x):
        if fails.is_set() and threading.current_thread() is not threading.main_thread():
            raise error
        return forward(self, x)

    monkeypatch.setattr(Network, "forward", failing)
    fails.set()
    explorer = EXPLORERS[name](classifier())
    try:
        assert explorer.wait(PATIENCE)
        assert [bar.status for bar in bars(explorer)] == ["error"]
        words = str(error) or type(error).__name__
        assert words in explorer.run_bar.error
        fails.clear()
        explorer.compute(again=True)
        assert explorer.wait(PATIENCE)
        assert (explorer.run_bar.status, explorer.run_bar.error) == ("done", "")
    finally:
        explorer.close()


@pytest.mark.parametrize("name", COMPUTING)
def test_an_error_in_drawing_ends_the_bar(name, monkeypatch):
    """Of a snapshot or of the end, and the next computation is drawn again."""
    explorer = EXPLORERS[name](classifier())
    try:
        assert explorer.wait(PATIENCE)
        drawn = type(explorer)._draw
        calls = []

        def broken(self, *args, **kwargs):
            calls.append(args)
            if len(calls) > 1:
                raise ValueError("cannot draw")
            return drawn(self, *args, **kwargs)

        monkeypatch.setattr(type(explorer), "_draw", broken)
        explorer.compute(again=True)
        assert explorer.wait(PATIENCE)
        assert (explorer.run_bar.status, explorer.run_bar.error) == ("error", "cannot draw")
        monkeypatch.setattr(type(explorer), "_draw", drawn)
        explorer.compute(again=True)
        assert explorer.wait(PATIENCE)
        assert (explorer.run_bar.status, explorer.run_bar.error) == ("done", "")
    finally:
        explorer.close()


@pytest.mark.parametrize("name", COMPUTING)
def test_an_error_in_wiping_is_raised_and_ends_the_bar(name, monkeypatch):
    if name == "similarity":
        pytest.skip("wipes nothing")
    explorer = EXPLORERS[name](classifier())
    try:
        assert explorer.wait(PATIENCE)

        def broken(self, *args, **kwargs):
            raise ValueError("cannot draw")

        monkeypatch.setattr(type(explorer), "_draw", broken)
        with pytest.raises(ValueError, match="cannot draw"):
            explorer.compute(again=True)
        assert explorer.wait(PATIENCE)
        assert (explorer.run_bar.status, explorer.run_bar.error) == ("error", "cannot draw")
    finally:
        monkeypatch.undo()
        explorer.close()


@pytest.mark.parametrize("name", ["attribution", "deletion", "race", "sanity", "inverse"])
def test_one_refused_method_stops_no_other(name, monkeypatch):
    """A method that raises, first in the row, is named, and those after it are computed."""

    def upside_down(model, x, target):
        raise RuntimeError("the map is upside down")

    methods = [upside_down, "gradient"]
    make = {
        "attribution": lambda model: xw.AttributionExplorer(model, photos(2), methods),
        "deletion": lambda model: xw.DeletionExplorer(model, photos(1)[0], methods, steps=8),
        "race": lambda model: xw.MaskComparison(model, photos(1)[0], methods, areas=(0.2, 0.5)),
        "sanity": lambda model: xw.SanityExplorer(model, photos(1)[0], methods),
        "inverse": lambda model: xw.InverseExplorer(model, photos(1)[0], lam=(0.0, 0.5), methods=methods),
    }[name]
    explorer = make(classifier())
    try:
        assert explorer.wait(PATIENCE)
        assert (explorer.run_bar.status, explorer.run_bar.error) == ("done", "")
        assert "refused" in explorer.run_bar.message or "failed" in explorer.run_bar.message
        text = json.dumps([_words(part) for part in walk_widgets(explorer)])
        assert "the map is upside down" in text
        assert "radient" in text
    finally:
        explorer.close()


def _words(part):
    """Return the texts that a view shows."""
    names = ("title", "series", "note", "notes", "message", "row_labels")
    return {name: getattr(part, name) for name in names if part.has_trait(name)}


def test_a_dashboard_says_in_a_tab_why_an_explorer_is_none(monkeypatch):
    module = importlib.import_module("xai_widgets.explorers.dashboard")

    def broken(*args, **kwargs):
        raise RuntimeError("not for this network")

    monkeypatch.setattr(module.DeletionExplorer, "from_choice", broken)
    board = EXPLORERS["dashboard"](classifier())
    try:
        assert board.show("deletion") is None
        assert "not for this network" in board._pages["deletion"].children[0].value
        assert board.show("extremal") is not None
        assert board.wait(PATIENCE)
    finally:
        board.close()


def test_an_image_that_an_explorer_refuses_is_said_in_its_tab_and_the_next_is_shown(monkeypatch):
    board = EXPLORERS["dashboard"](classifier())
    try:
        made = board.show("deletion")
        take = type(made)._take_image

        def broken(self):
            raise RuntimeError("not of this image")

        monkeypatch.setattr(type(made), "_take_image", broken)
        board.frame = 1
        assert "not of this image" in board._pages["deletion"].children[0].value
        monkeypatch.setattr(type(made), "_take_image", take)
        board.frame = 0
        assert board._pages["deletion"].children == (made,)
        assert board.wait(PATIENCE)
    finally:
        board.close()


@pytest.mark.parametrize("name", EXPLORERS)
def test_what_the_browser_gets_is_json_even_with_nan_scores(name, tmp_path):
    network = Network()
    network.classes.bias.data[2] = float("nan")
    explorer = EXPLORERS[name](classifier(network))
    try:
        explorer.wait(PATIENCE)
        for part in walk_widgets(explorer):
            state = {key: value for key, value in part.get_state().items() if not isinstance(value, dict)}
            json.dump(state, io.StringIO(), allow_nan=False, default=str)
        path = tmp_path / "page.html"
        xw.export(explorer, path)
        assert path.stat().st_size > 0
    finally:
        explorer.close()


@pytest.mark.parametrize("name", ["deletion", "extremal", "channel", "inverse", "brush"])
def test_a_network_without_probabilities_is_shown_by_its_scores(name):
    """Bars, probabilities and the names of axes; a regression of several numbers, some of them negative."""
    network = Network().eval()
    network.classes.bias.data = torch.tensor([-30.0, 10, 20, 3, 4, 5])
    model = xw.ImageModel(network, size=16, activation=None)
    explorer = EXPLORERS[name](model)
    try:
        assert explorer.wait(PATIENCE)
        assert explorer.run_bar.error == ""
        scores = model.scores(explorer.image)[0]
        assert_close(explorer.class_picker.probabilities, scores)
        low, high = explorer.scores.value_limits
        assert low <= scores.min()
        assert high >= scores.max()
        assert not hasattr(explorer, "curves") or "probability" not in explorer.curves.y_label
    finally:
        explorer.close()


@pytest.mark.parametrize("name", EXPLORERS)
def test_controls_have_a_help_and_know_whether_they_need_python(name):
    explorer = EXPLORERS[name](classifier())
    try:
        for attribute in explorer.kernel_controls:
            control = getattr(explorer, attribute)
            assert not isinstance(control, Control) or control._needs_kernel
        controls = [part for part in walk_widgets(explorer) if isinstance(part, Control)]
        assert not [control.title for control in controls if not control.help]
    finally:
        explorer.close()


@pytest.mark.parametrize("name", EXPLORERS)
def test_views_have_their_own_width_outside_their_explorer(name):
    explorer = EXPLORERS[name](classifier())
    try:
        views = [part for part in walk_widgets(explorer) if isinstance(part, View)]
        stages = [part for part in walk_widgets(explorer) if "xw-layout-stage" in part._dom_classes]
        shared = [part for stage in stages for part in stage.children if part in views and part.layout.flex]
        assert all("xw-part" in part._dom_classes for part in shared)
        assert shared or name != "deletion"
    finally:
        explorer.close()
