"""The tabs of the inverse explorer, the color of an empty pixel, and the start of an inverse."""

import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from closeness import near
from ipywidgets.embed import dependency_state
from small_inverse import LAM, PATIENCE, QUICK, classifier, explorer_of, inverted, other, standing

from xai_widgets.core.images import to_uint8
from xai_widgets.explorers.inverse_settings import _caption
from xai_widgets.explorers.page_states import leave_out_tabs
from xai_widgets.inverse import (
    SolverSettings,
    feature_patterns,
    layer_wise,
    reidentification,
    reproduce_integrated_gradients,
    uniform,
    weighted,
)
from xai_widgets.inverse.layer_wise import Regularizer
from xai_widgets.methods import get
from xai_widgets.metrics.agreement import pearson
from xai_widgets.studies.inverse import InverseKey
from xai_widgets.studies.inverse_curves import InverseCurvesStudy
from xai_widgets.studies.reproductions import Original, ReproductionKey
from xai_widgets.views.static_repr import visible_views

pytestmark = pytest.mark.filterwarnings("ignore:.*did not converge")


@pytest.fixture(autouse=True)
def every_snapshot_is_drawn(monkeypatch):
    monkeypatch.setattr("xai_widgets.explorers.explorer.INTERVAL", -math.inf)


@pytest.fixture
def model():
    return classifier()


@pytest.fixture
def photos():
    return list(np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8))


def test_limits_are_noted_on_the_images(model, image):
    explorer = explorer_of(model, image, target=1, settings=SolverSettings(steps=2, window=2))
    assert explorer.wait(PATIENCE)
    assert "converged" not in explorer.run_bar.message
    words = "Empty: it keeps nothing of the image."
    result = explorer.result
    wrong = sum(not bool(unit.converged[0, 1]) for unit in result.layer_wise.units)
    assert wrong > 1
    assert explorer.inverse_view.notes[1] == f"Not converged: {wrong} units."
    empty = model.mean.flatten()[:, None, None]
    x = result.layer_wise.x.clone()
    x[0, 1] = empty
    units = (*result.layer_wise.units[:-1], replace(result.layer_wise.units[-1], x=x))
    layers = replace(result.layer_wise, units=units, notes=("one limit",))
    explorer._draw_result(explorer._key(), replace(result, layer_wise=layers))
    assert explorer.inverse_view.notes[1] == f"{words} One limit. Not converged: {wrong} units."
    explorer._draw_result(explorer._key(), None)
    assert explorer.inverse_view.notes == explorer.operation_view.notes == []


def test_a_class_of_a_score_below_0_is_noted(model, image):
    scores = model.scores(image)[0]
    for target in (int(scores.argmin()), int(scores.argmax())):
        explorer = explorer_of(model, image, target=target, methods=())
        assert explorer.wait(PATIENCE)
        noted = "pulls it down" in explorer.operation_view.notes[0]
        assert noted == (scores[target] < 0)


def test_the_images_of_all_methods_have_the_look_of_their_curves(model, image):
    explorer = explorer_of(model, image, target=2)
    assert explorer.wait(PATIENCE)
    made, second = inverted(model, image, 2), other(model, image, 2)
    kept = reidentification(model, image, get("gradient")(model, image, 2), 2)
    shown = max(0, explorer.slider.marked)
    gallery = explorer.gallery
    assert gallery.looks == [entry["frame"] for entry in explorer.curves.series] == [0, 1, 2, 3]
    assert np.array_equal(gallery.images[0], to_uint8(made.x[0, shown]))
    assert np.array_equal(gallery.images[2], to_uint8(second.x[0, 0]))
    assert np.array_equal(gallery.images[3], to_uint8(kept.x[0]))
    alphas = uniform(model, image, 2).alpha
    share = alphas[(alphas - made.mean_alpha[0, shown]).abs().argmin()]
    assert np.array_equal(
        gallery.images[1], to_uint8(weighted(model.images(image), float(share), model.mean.flatten())[0])
    )
    assert (
        gallery.labels[3]
        == f"{get('gradient').title}\nα\u00a0{kept.mean_alpha.item():.2f}, p\u00a0{kept.probability.item():.2f}"
    )
    assert gallery.columns == 4
    assert gallery._channels["frame"] == explorer.curves._channels["frame"]


def test_black_or_the_mean_color_is_what_nothing_looks_like(model, image):
    explorer = explorer_of(model, image, target=2, empty="black")
    assert explorer.wait(PATIENCE)
    black = inverted(model, image, 2, empty="black")
    assert np.array_equal(explorer.inverse_view.images, to_uint8(black.x[0]))
    explorer.empty = "mean"
    assert explorer.empty_picker.value == "mean"
    assert explorer.wait(PATIENCE)
    assert np.array_equal(explorer.inverse_view.images, to_uint8(inverted(model, image, 2).x[0]))
    explorer.empty_picker.value = "black"
    assert explorer.empty == "black"
    assert explorer.wait(PATIENCE)
    assert np.array_equal(explorer.inverse_view.images, to_uint8(black.x[0]))


def test_a_unit_channel_and_position_are_inverted_in_place_of_the_class(model, image):
    explorer = explorer_of(model, image, target=2)
    assert explorer.wait(PATIENCE)
    assert explorer.start_picker.options[0] == "class"
    assert explorer.channel_picker.options == ["all"]
    unit = explorer.start_picker.options[2]
    explorer.start_picker.value = unit
    explorer.channel_picker.value = explorer.channel_picker.options[1]
    assert explorer.wait(PATIENCE)
    channel = int(explorer.channel_picker.value)
    activation = explorer.start_map.maps[0]
    row, column = np.unravel_index(activation.argmax(), activation.shape)
    explorer.start_map.position = [
        (column + 0.5) / activation.shape[1],
        (row + 0.5) / activation.shape[0],
    ]
    assert explorer.wait(PATIENCE)
    start = (unit, channel, (int(row), int(column)))
    assert explorer.study.outcome(InverseKey(2, start=start)).complete
    made = layer_wise(model, image, start=start, lam=LAM, settings=QUICK).result(progress=False)
    assert np.array_equal(explorer.inverse_view.images, to_uint8(made.x[0]))
    # Units behind the start are not inverted.
    depths = [depth.after for depth in explorer._depths]
    skipped = explorer._skipped()
    assert explorer.depth.ready == [after >= skipped for after in depths]
    finite = np.isfinite(explorer.layer_map.maps.reshape(len(depths), len(LAM), -1)).all((1, 2))
    assert finite.tolist() == explorer.depth.ready
    explorer.start_picker.value = "class"
    assert explorer.wait(PATIENCE)
    assert explorer.result.layer_wise.target.tolist() == [2]


def test_a_click_on_the_image_chooses_nothing_while_a_class_is_inverted(model, image, gated):
    explorer = explorer_of(model, image, target=2, start=False)
    standing(explorer, gated, 2)
    explorer.start_map.position = [0.5, 0.5]
    assert explorer.result is not None
    gated.open()
    assert explorer.wait(PATIENCE)


def test_a_tab_is_computed_when_it_is_opened_and_follows_the_class(model, image):
    explorer = explorer_of(model, image, target=2)
    assert explorer.wait(PATIENCE)
    assert explorer.parts == {}
    explorer.tabs.selected_index = list(explorer._pages).index("settings")
    part = explorer.parts["settings"]
    assert explorer.wait(PATIENCE)
    assert part.run_bar.status == "done"
    assert explorer.is_filled("settings")
    assert not explorer.is_filled("patterns")
    assert {key.original for key in part.study.store} == set(get_args(Original))
    explorer.show("inverse")
    assert part.hidden
    explorer.target = 3
    assert explorer.wait(PATIENCE)
    # It is computed when it is opened again.
    assert {key.target for key in part.study.store} == {2}
    explorer.show("settings")
    assert not part.hidden
    assert explorer.wait(PATIENCE)
    assert {key.target for key in part.study.store} == {2, 3}
    explorer.image = 255 - image
    assert explorer.wait(PATIENCE)
    assert {key.target for key in part.study.store} == {explorer.target}
    assert torch.equal(part.study.x, explorer.image)
    explorer.close()
    assert part.comm is None


def test_reproductions_have_their_correlation_and_that_of_a_class_blind_map(model, image):
    explorer = explorer_of(model, image, target=2)
    part = explorer.show("settings")
    assert explorer.wait(PATIENCE)
    (result,) = part.study.result(ReproductionKey("integrated_gradients", 2))
    made = reproduce_integrated_gradients(model, image, 2, settings=QUICK).result(progress=False)
    assert result.correlation == near(made.correlation().item())
    blind = made.class_blind_map()
    assert result.class_blind_correlation == near(pearson(blind, made.original_map()).item())
    column = part.grid.column_labels.index("Integr. grad.")
    assert part.grid.map_at(0, column) == near(made.map[0].numpy())
    assert part.grid.map_at(1, column) == near(made.original_map()[0].numpy())
    assert part.grid.map_at(2, column) == near(blind[0].numpy())

    def caption(*correlations):
        own, blind = (f"{each:.2f}".replace("-", "−") for each in correlations)
        return f"r {own} ({blind})"

    assert part.grid.column_captions[column] == caption(result.correlation, result.class_blind_correlation)
    part.blur.value = True
    blurred = result.blurred_correlation, result.blurred_class_blind_correlation
    assert part.grid.column_captions[column] == caption(*blurred)
    assert _caption(replace(result, correlation=math.nan), blurred=False).startswith("r – (")


def test_patterns_of_a_channel_are_searched_in_the_images(model, image, photos):
    explorer = explorer_of(model, image, target=2, images=photos)
    part = explorer.show("patterns")
    assert explorer.wait(PATIENCE)
    assert part.run_bar.status == "done"
    unit, channel = part.unit_picker.value, int(part.channel_picker.value)
    made = feature_patterns(model, photos, unit, channel, k=len(photos), settings=QUICK).result(
        progress=False
    )
    assert part.gallery.columns == len(photos)
    assert part.gallery.row_labels == ["patches", "patterns"]
    known = ~made.patterns[0].isnan().flatten(1).any(1)
    assert known.any()
    expected = to_uint8(made.patterns[0][known])
    assert np.array_equal(part.gallery.images[len(photos) :][known.numpy()], expected)


def test_a_state_opens_its_tab(model, image, photos):
    first = explorer_of(model, image, target=2, images=photos)
    part = first.show("patterns")
    part.unit_picker.value = part.unit_picker.options[0]
    first.empty = "black"
    assert first.wait(PATIENCE)
    state = first.state()
    assert state["patterns.unit_picker.value"] == part.unit_picker.options[0]
    second = explorer_of(model, image, images=photos, state=state)
    assert second.wait(PATIENCE)
    assert second.state() == state
    assert second._open_tab() == "patterns"
    assert second.parts["patterns"].study.store
    assert second.empty == "black"


def test_an_unknown_tab_is_refused(model, image):
    explorer = explorer_of(model, image, start=False)
    with pytest.raises(ValueError, match="unknown tab 'setings'; did you mean 'settings'"):
        explorer.show("setings")


def test_curves_over_images_are_the_means_of_what_the_inverse_keeps(model, image, photos):
    explorer = explorer_of(model, image, target=2, images=photos)
    part = explorer.show("images")
    assert explorer.wait(PATIENCE)
    assert part.run_bar.status == "done"
    study = InverseCurvesStudy(model, photos, lam=LAM, settings=QUICK, methods=[get("gradient")])
    study.compute(study.keys(["activation", "uniform", "gradient"]), progress=False)
    mean, count = study.mean("activation")
    assert count == len(photos)
    assert part.kept.y == near(torch.stack([mean.top1, mean.top5, mean.mean_alpha]).float().numpy())
    assert part.ranked.y == near(torch.stack([mean.deletion, mean.insertion]).float().numpy())
    assert part.kept.x == near(np.array(LAM))
    assert part.kept.x_label == "λ, mean over 3 of 3 images"
    labels = [entry["label"] for entry in part.simplicity.series]
    assert labels == ["layer-wise, activation", "uniform fading", get("gradient").title]
    point, _ = study.mean("gradient")
    drawn = ~np.isnan(part.simplicity.y[2])
    assert part.simplicity.x[drawn] == near(point.mean_alpha.float().numpy())
    assert part.simplicity.y[2][drawn] == near(point.top1.float().numpy())
    # The cursor of each plot is at the lambda of the slider.
    channels = {view._channels["step"] for view in (part.kept, part.ranked, part.simplicity)}
    assert channels == {explorer.slider._channels["frame"]}


def test_a_stopped_computation_over_images_goes_on_with_the_next_one(model, image, photos, gated):
    explorer = explorer_of(model, image, target=2, images=photos, methods=())
    assert explorer.wait(PATIENCE)
    part = explorer.show("images")
    assert part.wait(PATIENCE)
    part.restart()
    part.cancel()
    assert part.run_bar.status == "cancelled"
    done = [key for key in part._keys() if part.study.outcome(key).complete]
    results = [part.study.result(key) for key in done]
    part.compute()
    assert part.wait(PATIENCE)
    assert part.run_bar.status == "done"
    assert all(part.study.result(key) is result for key, result in zip(done, results, strict=True))
    assert all(part.study.outcome(key).complete for key in part._keys())


def test_without_images_the_tab_shows_how_to_pass_them(model, image):
    explorer = explorer_of(model, image, start=False)
    assert explorer.show("images") is None
    assert "pass images=[...]" in explorer._pages["images"].children[0].value
    assert not explorer.is_filled("images")


def test_regularizers_are_compared_at_one_share_of_the_image(model, image):
    explorer = explorer_of(model, image, target=2)
    assert explorer.wait(PATIENCE)
    part = explorer.show("regularizers")
    assert explorer.wait(PATIENCE)
    (key,) = part._keys()
    found = {match.regularizer: match for match in part.study.result(key).matches}
    assert set(found) == set(part.views) == set(get_args(Regularizer))
    for name, view in part.views.items():
        match = found[name]
        assert np.array_equal(view.image, to_uint8(match.x))
        assert (
            view.title == f"{name}: λ = {match.lam:.3g}, α {match.mean_alpha:.2f}, p {match.probability:.2f}"
        )
        assert (view.notes == [""]) == match.matched
    # The inverse that is known is not computed again.
    assert [inverse.regularizer for inverse in part.study.options["known"]] == ["activation"]
    part.share.frame = 1
    assert explorer.wait(PATIENCE)
    assert len(part.study.store) == 2


def test_a_page_leaves_out_tabs_that_were_not_opened(model, image):
    explorer = explorer_of(model, image, target=2)
    explorer.show("settings")
    assert explorer.wait(PATIENCE)
    states = dependency_state([explorer], drop_defaults=False)
    notes = leave_out_tabs(explorer, states)
    assert notes == ["Left out because they were not computed: Over images, Regularizers, Feature patterns."]
    tabs = states[explorer.tabs.model_id]["state"]
    assert tabs["titles"] == ["Inverse", "At a depth", "Reproductions"]
    assert (len(tabs["children"]), tabs["selected_index"]) == (3, 2)


def test_a_hidden_explorer_pauses_its_open_tab(model, image):
    explorer = explorer_of(model, image, target=2)
    part = explorer.show("settings")
    assert explorer.wait(PATIENCE)
    explorer.hidden = True
    assert part.hidden
    explorer.hidden = False
    assert not part.hidden


def test_the_figure_is_that_of_the_open_tab(model, image):
    explorer = explorer_of(model, image, target=2)
    explorer.show("settings")
    assert explorer.wait(PATIENCE)
    assert explorer.parts["settings"].grid in list(visible_views(explorer))
    assert explorer.curves not in list(visible_views(explorer))
    explorer.show("inverse")
    assert explorer.curves in list(visible_views(explorer))
