"""The attribution explorer without a browser: the table that is shown, and the order in which it is computed."""

import warnings

import numpy as np
import pytest
from captum.attr import Saliency
from closeness import near
from PIL import Image
from torch import nn
from traitlets import TraitError

from xai_widgets.core.model import ImageModel
from xai_widgets.errors import warn
from xai_widgets.explorers import AttributionExplorer
from xai_widgets.explorers.attribution import DEFAULTS
from xai_widgets.methods import METHODS, Method

PATIENCE = 60


@pytest.fixture
def photos():
    return np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)


def finished(*arguments, **options):
    explorer = AttributionExplorer(*arguments, **options)
    assert explorer.wait(PATIENCE)
    return explorer


def expect_map(explorer, cell, method, image, target, **options):
    made = METHODS[method].saliency(explorer.model, explorer.images[image : image + 1], target, **options)
    assert explorer.view.map_at(*cell) == near(made[0].detach().numpy())


def states_of(explorer):
    return [" ".join(row) for row in explorer.view.states]


def test_methods_by_images_each_for_its_predicted_class(model, photos):
    explorer = finished(model, photos, ["gradient", "grad_cam"])
    assert (explorer.run_bar.status, explorer.run_bar.error, explorer.run_bar.progress) == ("done", "", 1.0)
    own = model.scores(photos).argmax(1).tolist()
    for image, target in enumerate(own):
        expect_map(explorer, (0, image), "gradient", image, target)
        expect_map(explorer, (1, image), "grad_cam", image, target)
        label, probability = model.labels[target], model.probs(photos)[image, target].item()
        assert explorer.view.column_captions[image] == f"{label} {100 * probability:.0f} %"
    assert states_of(explorer) == ["done done done"] * 2
    assert (explorer.view.row_labels, explorer.view.column_labels[1]) == (["Gradient", "Grad-CAM"], "image 2")
    assert (explorer.view.images == photos).all()
    assert explorer.target is None
    assert explorer.own_picker.value
    assert explorer.class_picker.target == own[0]


def test_one_class_of_all_or_one_of_each(model, photos):
    explorer = finished(model, photos, ["gradient"], target="c")
    assert (explorer.target, explorer.class_picker.target, explorer.own_picker.value) == (2, 2, False)
    for image in range(3):
        expect_map(explorer, (0, image), "gradient", image, 2)
    explorer = finished(model, photos, ["gradient"], target=["a", 1, 5], names=["x", "y", "z"])
    assert explorer.target is None
    for image, target in enumerate((0, 1, 5)):
        expect_map(explorer, (0, image), "gradient", image, target)
    assert [words.split()[0] for words in explorer.view.column_captions] == ["a", "b", "f"]
    assert explorer.view.column_labels == ["x", "y", "z"]


def test_the_class_is_chosen_by_the_picker_the_box_or_the_trait(model, photos):
    explorer = finished(model, photos, ["gradient"], target=[0, 1, 2])
    explorer.class_picker.target = 4
    assert (explorer.target, explorer.own_picker.value) == (4, False)
    explorer.own_picker.value = True
    assert (explorer.target, explorer.class_picker.target) == (None, 0)
    explorer.own_picker.value = False
    assert (explorer.target, explorer.class_picker.target) == (0, 0)
    explorer.target = 5
    assert (explorer.class_picker.target, explorer.own_picker.value) == (5, False)
    explorer.target = None
    assert (explorer.class_picker.target, explorer.own_picker.value) == (0, True)
    assert explorer.wait(PATIENCE)
    expect_map(explorer, (0, 2), "gradient", 2, 2)


def test_columns_may_be_layers(model, photos):
    names = ["grad_cam", "gradient_x_input", "gradient"]
    explorer = finished(model, photos, names, ["1", "2"], across="layers", target=3)
    explorer.image_picker.frame = 1
    assert explorer.wait(PATIENCE)
    assert explorer.view.column_labels == ["own layer", "1", "2"]
    assert explorer.view.column_captions[1] == "4 × 16 × 16"
    expect_map(explorer, (0, 0), "grad_cam", 1, 3)
    expect_map(explorer, (0, 1), "grad_cam", 1, 3, layer="1")
    expect_map(explorer, (1, 0), "gradient_x_input", 1, 3)
    # Without a layer, the gradient is that of the pixels.
    expect_map(explorer, (2, 0), "gradient", 1, 3)
    expect_map(explorer, (2, 2), "gradient", 1, 3, layer="2")
    assert states_of(explorer) == ["done done done", "done absent absent", "done done done"]
    assert explorer.view.notes[1] == ["", "not layer-wise", "not layer-wise"]
    assert (explorer.view.images == photos[1:2]).all()
    assert explorer.layer_picker.layout.display == "none"
    assert explorer.image_picker.layout.display is None


def test_columns_may_be_classes_the_best_and_the_chosen(model, photos):
    explorer = finished(model, photos[0], ["gradient"], across="classes", top=3)
    best = model.probs(photos[0])[0].topk(3).indices.tolist()
    assert explorer.view.column_labels == [model.labels[index] for index in best]
    other = model.probs(photos[0])[0].argmin().item()
    explorer.target = other
    assert explorer.wait(PATIENCE)
    assert explorer.view.column_labels == [model.labels[index] for index in [*best, other]]
    for column, target in enumerate([*best, other]):
        expect_map(explorer, (0, column), "gradient", 0, target)
    assert explorer.image_picker.layout.display == "none"


def test_the_picker_sets_the_layer_of_methods_that_take_one(model, photos):
    explorer = finished(model, photos[0], ["gradient", "grad_cam"], ["1", "3"], target=0)
    assert explorer.layer_picker.options == ["", "1", "3"]
    gradient = explorer.view.map_at(0, 0)
    explorer.layer_picker.value = "3"
    assert explorer.wait(PATIENCE)
    assert explorer.view.map_at(0, 0) is gradient
    expect_map(explorer, (1, 0), "grad_cam", 0, 0, layer="3")
    explorer.method_picker.selected = ["gradient"]
    assert explorer.layer_picker.layout.display == "none"


def test_default_methods_are_few_of_all_that_are_registered(model, photos):
    explorer = AttributionExplorer(model, photos[0], start=False)
    assert set(METHODS) == set(explorer.method_picker.options)
    assert "rise" in explorer.method_picker.options
    assert set(explorer.method_picker.selected) == set(DEFAULTS.names)
    assert explorer.run_bar.status == "idle"
    assert "1" in explorer.layer_picker.options


def test_defaults_that_the_network_does_not_allow_are_replaced_with_the_reasons_on_demand(photos):
    smooth = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6)
    )
    explorer = AttributionExplorer(ImageModel(smooth.eval(), size=16), photos)
    while explorer.wait(PATIENCE) and explorer.run_bar.status == "running":
        pass
    chosen = explorer.method_picker.selected
    assert not {"guided_backprop", "excitation_backprop", "attention_rollout"} & set(chosen)
    assert {"gradient", "integrated_gradients", "grad_cam", "gradient_x_input"} <= set(chosen)
    assert len(chosen) == len(DEFAULTS.names)
    states = {state for row in explorer.view.states for state in row}
    assert states == {"done"}
    notes = explorer.method_picker.notes
    assert {"guided_backprop", "attention_rollout"} <= set(notes)
    assert "ReLU" in notes["guided_backprop"]


def test_methods_of_many_passes_come_last(model, photos):
    explorer = AttributionExplorer(model, photos[:1], ["integrated_gradients", "gradient"], start=False)
    slow = {"integrated_gradients"}
    keys = explorer._keys()
    assert explorer._board.first(keys, (-1, -1), (), slow).method == "gradient"
    assert explorer._board.first(keys, (0, 0), (), slow).method == "integrated_gradients"


def test_cells_come_one_by_one_and_only_new_maps_are_sent(model, photos):
    explorer = AttributionExplorer(model, photos, ["gradient"], target=0, start=False)
    shown, sent = [], []
    explorer.view.observe(lambda change: shown.append(" ".join(change["new"][0])), "states")
    explorer.view.comm.send = lambda data=None, buffers=None, **_rest: sent.append(
        [name for name in data["state"] if name.startswith("_map_")]
    )
    explorer.compute()
    assert explorer.wait(PATIENCE)
    assert shown == [
        "waiting waiting waiting",
        "computing waiting waiting",
        "done computing waiting",
        "done done computing",
        "done done done",
    ]
    assert [names for names in sent if names] == [["_map_0_0"], ["_map_0_1"], ["_map_0_2"]]


def test_the_cell_under_the_pointer_comes_first_then_rows_on_the_screen(model, gate, photos):
    explorer = AttributionExplorer(
        model, photos, ["gradient", "deconvnet", "grad_cam"], target=0, start=False
    )
    begun = []

    def note(change):
        begun.extend(
            (r, c)
            for r, row in enumerate(change["new"])
            for c, state in enumerate(row)
            if state == "computing"
        )

    explorer.view.observe(note, "states")
    explorer.view._visible_rows = [1, 2]
    gate.shut = True
    explorer.compute()
    gate.stopped()
    # While the first is computed the pointer moves on.
    explorer.view.row, explorer.view.column = 2, 1
    gate.open()
    assert explorer.wait(PATIENCE)
    assert begun == [(1, 0), (2, 1), (1, 1), (1, 2), (2, 0), (2, 2), (0, 0), (0, 1), (0, 2)]


def test_what_is_known_is_shown_at_once_and_not_computed_again(model, photos):
    calls = []

    def mine(model, x, target):
        calls.append(int(target[0]))
        return x.mean(1) * (1 + target[0])

    explorer = finished(model, photos[0], [mine, "gradient"], target=0)
    first = explorer.view.map_at(0, 0)
    explorer.target = 1
    assert explorer.wait(PATIENCE)
    explorer.target = 0
    assert states_of(explorer) == ["done", "done"]
    assert explorer.view.map_at(0, 0) is first
    explorer.method_picker.selected = ["gradient"]
    explorer.method_picker.selected = ["gradient", "mine"]
    assert explorer.view.row_labels == ["mine", "Gradient"]
    assert explorer.wait(PATIENCE)
    assert calls == [0, 1]
    explorer.compute(again=True)
    assert explorer.wait(PATIENCE)
    assert calls == [0, 1, 0]


def test_a_change_of_class_in_mid_run_leaves_no_stale_map_and_wastes_none(model, gate, photos):
    explorer = AttributionExplorer(model, photos, ["gradient"], target=0, start=False)
    drawn = []

    def note(_change):
        drawn.append((explorer.target, [explorer.view.map_at(0, image) for image in range(3)]))

    explorer.view.observe(note, "states")
    gate.shut = True
    explorer.compute()
    gate.stopped()
    explorer.target = 3
    assert states_of(explorer) == ["waiting waiting waiting"]
    gate.open()
    assert explorer.wait(PATIENCE)
    for target, maps in drawn:
        for image, made in enumerate(maps):
            if made is not None:
                expected = METHODS["gradient"].saliency(model, photos[image], target)
                assert made == near(expected[0].numpy())
    # The map that was being computed when the class changed was kept.
    gate.close_again()
    explorer.target = 0
    gate.stopped()
    assert states_of(explorer) == ["done computing waiting"]


def test_cancel_keeps_what_is_there_and_the_button_goes_on(model, gate, photos):
    explorer = AttributionExplorer(model, photos, ["gradient"], target=0, start=False)
    gate.shut = True
    explorer.compute()
    gate.stopped()
    gate.permits.release()
    gate.stopped()
    explorer.cancel()
    assert states_of(explorer) == ["done waiting waiting"]
    assert (explorer.run_bar.status, explorer.run_bar.label) == ("cancelled", "Resume")
    first = explorer.view.map_at(0, 0)
    gate.open()
    assert explorer.wait(PATIENCE)
    assert states_of(explorer) == ["done waiting waiting"]
    explorer.run_bar._handle(None, {"type": "run"}, None)
    assert explorer.wait(PATIENCE)
    assert states_of(explorer) == ["done done done"]
    assert explorer.view.map_at(0, 0) is first
    assert (explorer.run_bar.label, explorer.run_bar.runnable) == ("Run", False)
    explorer.run_bar._handle(None, {"type": "run"}, None)
    assert explorer.wait(PATIENCE)
    assert explorer.view.map_at(0, 0) is not first


def test_a_method_that_fails_shows_the_reason_and_the_others_continue(model, photos):
    def wrong(model, x, target):
        raise RuntimeError("the map is upside down\nand more")

    def silent(model, x, target):
        raise KeyError

    explorer = finished(model, photos[0], [wrong, silent, "cam", "gradient"])
    assert states_of(explorer) == ["failed", "failed", "failed", "done"]
    assert [row[0] for row in explorer.view.notes][:2] == ["the map is upside down", "KeyError"]
    assert explorer.view.notes[2][0]
    assert explorer.run_bar.status == "done"


def test_a_warning_of_a_method_belongs_to_its_cell_and_that_of_others_does_not(model, photos):
    def ours(model, x, target):
        warn("the sum is off by 3")
        return x.mean(1)

    def theirs(model, x, target):
        warnings.warn("something of yours", UserWarning, stacklevel=1)
        return x.mean(1)

    with pytest.warns(UserWarning, match="something of yours") as caught:
        explorer = finished(model, photos[0], [ours, theirs])
    assert explorer.view.notes == [["the sum is off by 3"], [""]]
    assert states_of(explorer) == ["done", "done"]
    assert not any("the sum is off" in str(one.message) for one in caught)


def test_your_own_methods_stand_beside_ours(model, photos):
    def mine(model, x, target):
        return x.mean(1)

    def layered(model, x, target, layer=None):
        return x.new_full((len(x), 1, 2, 2), 7.0 if layer == "2" else 3.0)

    methods = [("mean of colors", mine), Method(layered, "layered", "My layers"), METHODS["gradient"]]
    explorer = finished(model, photos[0], methods, ["1", "2"], across="layers")
    assert explorer.view.row_labels == ["mean of colors", "My layers", "Gradient"]
    assert explorer.view.map_at(0, 0) == near(photos[0].mean(-1) / 255)
    assert [explorer.view.map_at(1, column)[0, 0] for column in range(3)] == [3, 3, 7]


def test_an_object_of_captum_stands_beside_ours(model, photos):
    explorer = finished(model, photos, [Saliency(model), "gradient"], target=1)
    assert explorer.view.row_labels == ["Saliency (Captum)", "Gradient"]
    for image in range(3):
        expect_map(explorer, (1, image), "gradient", image, 1)
        gradient = METHODS["gradient"](model, photos[image], 1)
        assert explorer.view.map_at(0, image) == near(gradient.abs().sum(1)[0].numpy())


def test_other_images_begin_anew(model, photos):
    explorer = finished(model, photos[0], ["gradient"], target=2, across="classes")
    explorer.images = 255 - photos
    assert explorer.wait(PATIENCE)
    assert (explorer.image_picker.images == 255 - photos).all()
    explorer.across_picker.value = "images"
    assert explorer.wait(PATIENCE)
    for image in range(3):
        expect_map(explorer, (0, image), "gradient", image, 2)


def test_no_method_chosen_is_an_empty_table(model, photos):
    explorer = finished(model, photos[0], ["gradient"])
    explorer.method_picker.selected = []
    assert explorer.wait(PATIENCE)
    assert explorer.view.states == []
    assert explorer.run_bar.status == "done"


@pytest.mark.parametrize("target", [-1, 6])
def test_a_class_that_does_not_exist_is_refused_and_nothing_changes(model, photos, target):
    explorer = AttributionExplorer(model, photos, ["gradient"], target=2, start=False)
    with pytest.raises(TraitError, match="expected a class from 0 to 5"):
        explorer.target = target
    assert explorer.target == explorer.class_picker.target == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": ["gradeint"]}, "unknown method 'gradeint'; did you mean 'gradient'"),
        ({"methods": []}, "expected at least one method, got none"),
        (
            {"methods": ["gradient", "gradient"]},
            "expected methods with different names, got 'gradient' twice",
        ),
        ({"layers": ["7"]}, "unknown layer '7'"),
        ({"layers": "5"}, r"got '5' with an output of shape \(6,\)"),
        ({"target": "g"}, "unknown label 'g'"),
        ({"target": [0, 1]}, "expected one target, or one per image, got 2 for 3 images"),
        ({"across": "rows"}, "unknown across 'rows'; .* images, layers, classes"),
        ({"top": 0}, "expected top to be an integer of at least 1, got 0"),
        ({"images": np.full((16, 16, 3), np.nan)}, "NaN"),
        ({"model": nn.Linear(2, 2)}, "expected an ImageModel"),
    ],
)
def test_bad_input_is_named_in_one_sentence(model, photos, change, words):
    arguments = {"model": model, "images": photos, "methods": ["gradient"], **change}
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        AttributionExplorer(**arguments)
    assert "\n" not in str(caught.value)


def test_close_stops_and_closes_every_part(model, gate, photos):
    explorer = AttributionExplorer(model, photos, ["gradient"], start=False)
    gate.shut = True
    explorer.compute()
    gate.stopped()
    explorer.close()
    gate.open()
    assert explorer.wait(PATIENCE)
    assert all(part.comm is None for part in (explorer, explorer.view, explorer.run_bar))


def test_images_are_named_after_their_files(model, photos, tmp_path):
    paths = [tmp_path / "tabby.png", tmp_path / "espresso.png"]
    for path, photo in zip(paths, photos, strict=False):
        Image.fromarray(photo).save(path)
    explorer = AttributionExplorer(model, [paths[0], Image.open(paths[1]), photos[2]], start=False)
    assert explorer.image_picker.labels == ["tabby", "espresso", "image 3"]
    explorer = AttributionExplorer(model, paths, names=["mine"], start=False)
    assert explorer.image_picker.labels == ["mine", "espresso"]
