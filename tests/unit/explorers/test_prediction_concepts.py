"""The concepts of one prediction: the result, the choice of a concept, layers and images."""

import numpy as np
import pytest
from closeness import assert_close
from stamped import CUE, plain, stamped, toadstools
from traitlets import TraitError

import xai_widgets as xw
from xai_widgets import data
from xai_widgets.concepts import concept_directions, prediction_concepts

pytestmark = pytest.mark.filterwarnings("ignore::xai_widgets.errors.ExplanationWarning")
PATIENCE = 120


@pytest.fixture(scope="module")
def model():
    return xw.load("scenes_resnet")


@pytest.fixture(scope="module")
def directions(model):
    return concept_directions(model, data.scene_concepts(80)).result(progress=False)


@pytest.fixture
def explorer(model, directions):
    explorer = xw.PredictionConceptsExplorer(model, toadstools(1)[0], directions, without=["object"])
    assert explorer.wait(PATIENCE)
    yield explorer
    explorer.close()


def test_the_flows_are_those_of_the_decomposition(explorer, model, directions):
    made = prediction_concepts(model, toadstools(1)[0], directions.without("object"), CUE)
    assert explorer.target == CUE
    assert explorer.flows.names == list(made.names)
    assert made.names[0] == "stamp"
    assert_close(explorer.flows.values, made.contributions)
    assert_close(explorer.flows.values.sum() + explorer.flows.residual + explorer.flows.remainder, made.score)
    assert_close(explorer.heatmap.maps[:-1], made.maps)
    assert_close(explorer.heatmap.maps[-1], made.residual_map)
    assert explorer.heatmap.labels == [*made.names, "no concept"]


def test_the_chosen_concept_has_its_map(explorer):
    explorer.selected = 1
    assert explorer.flows.selected == 1
    explorer.flows.selected = 0
    assert explorer.selected == 0
    with pytest.raises(TraitError, match="selected"):
        explorer.selected = 99


def test_another_class_and_image(explorer, model):
    explorer.target = 3
    assert explorer.wait(PATIENCE)
    assert explorer.flows.target_label == model.labels[3]
    explorer.image = plain(1)[0]
    assert explorer.wait(PATIENCE)
    assert explorer.target == int(model.scores(plain(1)[0]).argmax())
    assert explorer.result.target == explorer.target


def test_concepts_of_images_are_learned_in_the_background(model):
    explorer = xw.PredictionConceptsExplorer(
        model,
        toadstools(1)[0],
        {"stamp": stamped(30), "no stamp": plain(30)},
        layers=["stage3", "stage4"],
    )
    try:
        assert explorer.wait(PATIENCE)
        assert explorer.run_bar.status == "done"
        assert explorer.layer_picker.value == "stage4"
        assert explorer.flows.names[0] == "stamp"
        explorer.layer_picker.value = "stage3"
        assert explorer.wait(PATIENCE)
        assert explorer.result.layer == "stage3"
        assert explorer.result.decomposed == "features"
        assert explorer.flows.remainder_label == "bias, nonlinear"
        assert np.isfinite(explorer.flows.values).all()
    finally:
        explorer.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"layers": ["stage9"]}, "stage"), ({"most": 0}, "most"), ({"layers": ["head"]}, "spatial")],
)
def test_wrong_arguments_are_refused(model, options, message):
    concepts = {"a": plain(10), "b": plain(10, 50)}
    with pytest.raises(ValueError, match=message):
        xw.PredictionConceptsExplorer(model, plain(1)[0], concepts, start=False, **options)


def test_directions_have_their_layer(model, directions):
    with pytest.raises(ValueError, match="that of the directions"):
        xw.PredictionConceptsExplorer(model, plain(1)[0], directions, layers=["stage3"], start=False)
