"""The dashboard: explorers made when their tab is opened, that share image, class, layer, place and colors."""

import ipywidgets as widgets
import numpy as np
import pytest
from networks import CLASSES, Concat, SharedInPlace, Stream, images, one_sentence, settle, wrap
from traitlets import TraitError

import xai_widgets as xw
from xai_widgets.views import HeatmapView, SliderView, View
from xai_widgets.views.static_repr import walk_widgets

OPTIONS = {
    "attribution": {"methods": ["gradient", "grad_cam"]},
    "deletion": {"methods": ["gradient"], "steps": 2},
}


@pytest.fixture
def model():
    return wrap(settle(SharedInPlace()))


@pytest.fixture
def board(model):
    board = xw.dashboard(
        model,
        images(3),
        explorers=["attribution", "deletion", "similarity"],
        names=["a", "b", "c"],
        options=OPTIONS,
    )
    assert board.wait(60)
    yield board
    board.close()


def shown(board):
    return [page.children[0] for page in board.tabs.children]


def test_an_explorer_is_made_when_its_tab_is_opened(board):
    assert list(board.explorers) == ["attribution"]
    # As long as nothing else is chosen each image has its own class.
    assert board.explorers["attribution"].target is None
    board.tabs.selected_index = 1
    assert list(board.explorers) == ["attribution", "deletion"]
    assert shown(board)[1] is board.explorers["deletion"]
    assert isinstance(shown(board)[2], widgets.HTML)
    # Opened again it is the same.
    assert board.show("deletion") is board.explorers["deletion"]
    assert board.show("similarity") is shown(board)[2]
    assert board.tabs.selected_index == 2


def test_image_and_class_hold_for_what_is_opened_later(board, model):
    board.frame = 2
    predicted = int(model.targets(None, board.image)[0])
    assert board.target == board.class_picker.target == predicted
    board.class_picker.target = other = (predicted + 1) % CLASSES
    deletion = board.show("deletion")
    assert deletion.image.equal(board.image)
    assert deletion.target == other
    assert board.show("similarity").view.frame == 2
    assert board.show("attribution").target == other


def test_a_class_that_is_chosen_in_an_explorer_holds_for_all(board):
    deletion = board.show("deletion")
    deletion.target = other = (board.target + 1) % CLASSES
    assert board.target == board.class_picker.target == other
    assert board.show("attribution").target == other


def test_behind_a_tab_nothing_of_the_choice_before_is_left(board):
    deletion = board.show("deletion")
    board.show("attribution")
    assert shown(board)[1] is deletion
    board.image_picker.frame = 1
    assert not isinstance(shown(board)[1], xw.DeletionExplorer)
    assert not deletion.image.equal(board.image)
    board.tabs.selected_index = 1
    assert shown(board)[1] is deletion
    assert deletion.image.equal(board.image)


def test_escape_in_the_gallery_leaves_the_image(board):
    board.image_picker.frame = 1
    board.image_picker.frame = -1
    assert board.frame == 1


def test_place_and_colors_are_joined_over_all_explorers(board):
    for name in ("deletion", "similarity"):
        board.show(name)
    views = [view for view in walk_widgets(board) if isinstance(view, View)]
    for trait in ("position", "colormap"):
        joined = [view._channels.get(trait) for view in views if view.has_trait(trait)]
        assert len(joined) > 2
        assert len(set(joined)) == 1
        assert joined[0] is not None


def test_a_layer_that_is_chosen_holds_for_all(model):
    board = xw.dashboard(model, images(2), explorers=["similarity", "channels"], layer="block1")
    assert "block1" in board.explorers["similarity"].layer_picker.options
    board.layer_picker.value = "block2"
    channels = board.show("channels")
    assert channels.layer_picker.value == "block2"
    channels.layer_picker.value = "block1"
    assert board.layer == board.layer_picker.value == "block1"
    board.close()


def test_what_an_explorer_cannot_take_is_said_in_its_tab():
    model = wrap(settle(Stream()))
    board = xw.dashboard(model, images(1), explorers=["similarity", "inverse"])
    assert board.show("inverse") is None
    assert "Inverse: " in shown(board)[1].value
    assert "a single unit of 4 weighted operations" in shown(board)[1].value
    board.close()


def test_one_image_needs_no_picker(model):
    board = xw.Dashboard(model, images(1), explorers=["attribution"], options=OPTIONS)
    assert board.image_picker.layout.display == "none"
    board.close()


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"explorers": ["atribution"]}, ValueError, "did you mean 'attribution'"),
        ({"options": {"deletions": {}}}, ValueError, "did you mean 'deletion'"),
        ({"layer": "blokc1"}, ValueError, "did you mean 'block1'"),
        ({"target": "goldfihs"}, ValueError, "did you mean 'goldfish'"),
    ],
)
def test_what_is_unknown_is_named_with_the_nearest(model, options, kind, message):
    with pytest.raises(kind, match=message) as error:
        xw.dashboard(model, images(1), **options)
    one_sentence(error)


def test_what_cannot_be_set_is_a_trait_error(board):
    for trait, value in (("frame", 3), ("target", CLASSES), ("layer", "nowhere")):
        with pytest.raises(TraitError):
            setattr(board, trait, value)


def test_no_network_is_refused():
    with pytest.raises(TypeError, match="expected an ImageModel"):
        xw.dashboard(Concat(), images(1))


# -- link -------------------------------------------------------------------------------------------------


def test_two_explorers_are_joined_by_the_name_of_a_trait(model):
    first, second = (
        xw.DeletionExplorer(model, images(1), ["gradient"], steps=2, start=False) for _ in range(2)
    )
    first.heatmap.position = [0.25, 0.5]
    xw.link(first, second, "position")
    assert second.masked.position == [0.25, 0.5]
    channels = {view._channels["position"] for view in (first.heatmap, first.masked, second.heatmap)}
    assert len(channels) == 1


def test_parts_and_other_widgets_are_joined_under_names_of_their_own():
    slider, view = widgets.FloatSlider(value=0.2, max=1), HeatmapView()
    xw.link((slider, "value"), (view, "opacity"))
    assert view.opacity == pytest.approx(0.2)
    stops = SliderView(values=[1, 2])
    xw.link((view, "frame"), (stops, "frame"))
    assert stops._channels["frame"] == view._channels["frame"]


@pytest.mark.parametrize(
    ("parts", "kind", "message"),
    [
        ((), ValueError, "expected at least two widgets and the name of a trait, got 0"),
        (
            (HeatmapView(), "position"),
            ValueError,
            "expected at least two widgets and the name of a trait, got 1",
        ),
        ((HeatmapView(), HeatmapView(), "positoin"), ValueError, "did you mean 'position'"),
        ((HeatmapView(), HeatmapView()), TypeError, "expected widgets followed by the name of a trait"),
        ((3, HeatmapView(), "position"), TypeError, "expected a widget, got int"),
    ],
)
def test_what_cannot_be_joined_is_named(parts, kind, message):
    with pytest.raises(kind, match=message) as error:
        xw.link(*parts)
    one_sentence(error)


def test_features_take_layer_and_class_and_their_examples_from_all_images(model):
    quick = {"steps": 2, "wall": 2, "wall_steps": 1}
    board = xw.dashboard(
        model, images(2), explorers=["attribution", "features"], layer="block1", options={"features": quick}
    )
    explorer = board.show("features")
    assert explorer.layer_picker.value == "block1"
    assert explorer.layer_picker.layout.display == "none"
    assert explorer.target == board.target
    board.target = other = (board.target + 1) % CLASSES
    assert explorer.label_picker.value == str(other)
    explorer.target = board_target = (other + 1) % CLASSES
    assert board.target == board_target
    assert board.wait(60)
    assert explorer.run_bar.status == "done"
    board._open_image(images(1)[0])
    # It is made anew, with three images.
    assert len(board.show("features").study.images) == 3
    assert board.wait(60)
    board.close()


def test_sanity_is_that_of_the_chosen_image_and_class(model):
    board = xw.dashboard(
        model, images(2), explorers=["attribution", "sanity"], options={"sanity": {"methods": ["gradient"]}}
    )
    explorer = board.show("sanity")
    assert board.wait(60)
    assert explorer.target == board.target
    first = explorer.trained["gradient"].maps
    assert explorer.heatmap._channels["position"] == board.explorers["attribution"].view._channels["position"]
    board.target = (board.target + 1) % CLASSES
    assert board.wait(60)
    assert explorer.target == board.target
    second = explorer.trained["gradient"].maps
    assert not np.array_equal(first, second)
    board.frame = 1
    assert board.wait(60)
    np.testing.assert_array_equal(explorer._x, board._x[1:2])
    assert not np.array_equal(explorer.trained["gradient"].maps, second)
    board.close()
