"""Figures of matplotlib and plotly of every explorer, of views, and of the outcomes of studies."""

import io
import sys

import numpy as np
import pytest
from explorers.test_contract import PATIENCE, classifier, photos
from explorers.test_state import MAKERS

import xai_widgets as xw
from xai_widgets.studies import AttributionKey, AttributionStudy
from xai_widgets.studies.result_panels import result_panels
from xai_widgets.views import CurveView, HeatmapView, RunBar, ScoresView


@pytest.fixture
def explorer(request):
    made = MAKERS[request.param](classifier())
    assert made.wait(PATIENCE)
    yield made
    made.close()


@pytest.mark.parametrize("explorer", MAKERS, indirect=True)
def test_every_explorer_is_drawn_as_vectors(explorer):
    pytest.importorskip("matplotlib")
    figure = explorer.plot()
    assert len(figure.axes) >= 1
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    assert b"<svg" in file.getvalue()


@pytest.mark.parametrize("explorer", MAKERS, indirect=True)
def test_every_explorer_is_drawn_by_plotly(explorer):
    pytest.importorskip("plotly")
    figure = explorer.figure()
    assert len(figure.data) >= 1
    assert figure.to_json()


def test_curves_have_their_values_names_and_colors():
    pytest.importorskip("matplotlib")
    x = np.linspace(0, 1, 5, dtype=np.float32)
    view = CurveView(
        x=x,
        y=np.stack([x, 1 - x, x**2]),
        series=[{"label": "up"}, {"label": "down", "style": "dashed"}, {"label": "hidden"}],
        hidden=[2],
        lines=[{"y": 0.5, "label": "half"}],
        x_label="share",
    )
    (axes,) = view.plot().axes
    up, down, half = axes.get_lines()
    assert np.array_equal(up.get_ydata(), x)
    assert (up.get_label(), down.get_label(), half.get_label()) == ("up", "down", "half")
    assert (up.get_linestyle(), down.get_linestyle()) == ("-", "--")
    assert axes.get_xlabel() == "share"


def test_bars_are_the_values_at_the_cursor():
    view = ScoresView(
        labels=["cat", "dog"], x=[0, 1], indices=[[[0], [1]]], values=[[[0.7], [0.4]]], fraction=1.0, target=1
    )
    (panel,) = figures_of(view)
    # The explained class is marked, as in the view.
    assert (list(panel.labels), list(panel.values)) == (["▸ dog"], [pytest.approx(0.4)])


def figures_of(view):
    from xai_widgets.views.figures import view_panels

    return list(view_panels(view))


def test_a_map_has_its_scale():
    values = np.array([[-1.0, 2.0], [0.0, 4.0]], dtype=np.float32)
    (panel,) = figures_of(HeatmapView(maps=values[None], percentile=100, labels=["mine"], title="Map"))
    assert panel.limits == (-4.0, 4.0)
    assert panel.title == "Map: mine"
    assert panel.values.shape == (640, 640, 3)


def test_an_outcome_is_drawn():
    pytest.importorskip("matplotlib")
    study = AttributionStudy(classifier(), photos(1), ["gradient", "integrated_gradients"])
    key = AttributionKey("gradient", 0, 1)
    study.compute([key])
    (axes, _colorbar) = study.outcome(key).plot().axes
    assert axes.images[0].get_array().shape == tuple(study.result(key).shape[-2:])
    with pytest.raises(ValueError, match="expected a result to draw, got none"):
        study.outcome(AttributionKey("gradient", 0, 2)).plot()


def test_missing_results_and_packages_are_errors(monkeypatch):
    with pytest.raises(ValueError, match="expected results to draw, got none"):
        RunBar().plot()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"plots need matplotlib.*xai-widgets\[plot\]"):
        HeatmapView(maps=np.zeros((1, 2, 2))).plot()
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ImportError, match=r"interactive figures need plotly.*xai-widgets\[plot\]"):
        HeatmapView(maps=np.zeros((1, 2, 2))).figure()


def test_arrays_of_a_result_are_panels_by_their_axes():
    panels = list(
        result_panels(
            {
                "map": np.zeros((6, 6)),
                "images": np.zeros((2, 3, 6, 6)),
                "curve": np.arange(5.0),
                "words": "no",
                "one": 3,
            }
        )
    )
    assert [type(panel).__name__ for panel in panels] == ["Pixels", "Pixels", "Pixels", "Curves"]
    assert [panel.title for panel in panels] == ["map", "images 0", "images 1", "curve"]


def test_a_dashboard_without_an_open_explorer_has_nothing_to_draw(monkeypatch):
    board = xw.dashboard(classifier(), photos(1), explorers=["attribution"])
    board.explorers.pop("attribution").close()
    with pytest.raises(ValueError, match="expected results to draw"):
        board.plot()
    board.close()
