"""The similarity explorer without a browser: what its views are given, and what the kernel finds."""

import numpy as np
import pytest
import torch
from closeness import assert_close
from networks import Tokens, images, settle, wrap
from PIL import Image
from torch import nn

from xai_widgets.core.images import to_uint8
from xai_widgets.core.model import ImageModel
from xai_widgets.explorers import SimilarityExplorer
from xai_widgets.features import effective_receptive_field, theoretical_receptive_field, top_activations
from xai_widgets.similarity import (
    activation_grids,
    factorize,
    pack,
    rotations,
    scalings,
    similarity_index,
)
from xai_widgets.similarity.measure import distinctive_position
from xai_widgets.studies.similarity import SimilarityKey

PATIENCE = 60


def network(name="net", seed=0, before=()):
    torch.manual_seed(seed)
    return ImageModel(
        nn.Sequential(
            *before,
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 4),
        ),
        size=16,
        name=name,
    )


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def photos():
    return list(torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)))


def done(explorer):
    assert explorer.wait(PATIENCE)
    assert (explorer.run_bar.status, explorer.run_bar.error) == ("done", "")
    return explorer


def test_the_view_has_every_layer_of_every_network(model, photos):
    other = network("other", 1)
    explorer = done(
        SimilarityExplorer(
            [model, other], photos, layers={"other": "4", "net": ["1", "4"]}, names=list("abcd")
        )
    )
    view = explorer.view
    assert view.layer_labels == ["net 1", "net 4", "other 4"]
    assert view.labels == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(view.images, to_uint8(torch.stack(photos)))
    grids = [
        *activation_grids(model, photos, ["1", "4"]).result(progress=False),
        *activation_grids(other, photos, "4").result(progress=False),
    ]
    for made, wanted in zip(view.activations, pack(grids), strict=True):
        np.testing.assert_array_equal(made, wanted.codes)
    assert [explorer.result.label(column) for column in range(3)] == view.layer_labels
    assert explorer.panel.channels.title.startswith("Strongest channels of net 1 at row ")
    assert explorer.curves is None
    assert explorer.panel.matches.layout.display == "none"
    assert explorer.patches.layout.display == "none"
    explorer.close()


def test_components_are_found_shown_and_taken_away(model, photos):
    explorer = done(SimilarityExplorer(model, photos, layers=["1", "4"], components=2, seed=3))
    members = activation_grids(model, photos, "1").result(progress=False)
    wanted = factorize(members, 2, seed=3).result(progress=False)
    assert_close(explorer.result.components.weights, wanted.weights)
    scaled = np.round(255 * wanted.weights / wanted.weights.max((0, 1, 2)))
    assert np.abs(explorer.view.components.astype(int) - scaled).max() <= 1
    assert (explorer.view.component_layer, explorer.patches.columns) == (0, 4)
    assert explorer.patches.images.shape[0] == 8
    assert f"error {wanted.error:.1%}" in explorer.view.title
    codes = explorer.view.activations
    explorer.layer_picker.value = "4"
    done(explorer)
    assert explorer.view.components.shape == (4, 8, 8, 2)
    assert explorer.view.component_layer == 1
    # What is there already is not computed or sent again.
    assert explorer.view.activations is codes
    explorer.component_picker.value = "0"
    done(explorer)
    assert explorer.view.components is None
    assert explorer.patches.layout.display == "none"
    explorer.close()


def test_the_maps_of_all_channels_are_those_of_the_layer_in_the_order_of_the_position(model, photos):
    explorer = done(SimilarityExplorer(model, photos, layers=["1", "4"]))
    panel = explorer.panel
    assert (panel.maps.layout.display, panel.maps.images) == ("none", None)
    explorer.view.set_state({"frame": 2, "layer": 1, "position": [2.5 / 8, 5.5 / 8]})
    panel.all_channels.value = True
    done(explorer)
    activation = model.activations(photos[2], "4")["4"][0]
    order = activation[:, 5, 2].argsort(descending=True, stable=True)
    assert panel.maps.labels == [str(channel) for channel in order.tolist()]
    assert panel.maps.images.shape == (len(order), 8, 8, 3)
    # The brightest cell of a map is where the channel is strongest.
    for image, channel in zip(panel.maps.images, order.tolist(), strict=True):
        if activation[channel].amax() > 0:
            assert image.astype(int).sum(2).argmax() == int(activation[channel].argmax())
    # The weakest channel is chosen: its patches are shown first.
    panel.maps.frame = len(order) - 1
    done(explorer)
    assert panel.details.channels[0] == order[-1]
    assert panel.channels.row_labels[0].startswith(f"channel {order[-1]}: ")
    assert len(panel.channels.row_labels) == min(5, len(order))
    explorer.view.layer = 0
    done(explorer)
    assert panel.maps.frame == -1
    panel.all_channels.value = False
    assert panel.maps.layout.display == "none"
    explorer.close()


def test_components_of_many_images_are_shown_on_few(model, photos):
    many = list(torch.rand(7, 3, 16, 16, generator=torch.Generator().manual_seed(2)))
    options = {"layers": "4", "components": 2, "component_images": many}
    explorer = done(SimilarityExplorer(model, photos, **options))
    grids = activation_grids(model, many, "4").result(progress=False)
    fitted = factorize(list(grids), 2).result(progress=False)
    made = explorer.result.components
    assert_close(made.directions, fitted.directions)
    shown = activation_grids(model, photos, "4").result(progress=False)
    assert_close(made.weights, fitted.on(list(shown)).weights)
    # The patches are those of the images of the fit, which are not shown: a click moves nowhere.
    assert torch.equal(explorer.result.top.images, fitted.top(model, many, k=6).images)
    before = explorer.view.frame, explorer.view.position
    explorer.patches.frame = 3
    assert (explorer.view.frame, explorer.view.position) == before
    explorer.close()


def test_a_layer_with_negative_values_has_components_of_pca_or_colors(model, photos):
    explorer = done(SimilarityExplorer(model, photos, layers="3", components=2))
    made = explorer.result.components
    assert made.kind == "pca"
    assert explorer.view.component_names == ["1+", "1\N{MINUS SIGN}", "2+", "2\N{MINUS SIGN}"]
    assert explorer.patches.row_labels == explorer.view.component_names
    assert made.summary in explorer.view.title
    assert "of the variance" in made.summary
    assert np.abs(explorer.view.components.astype(int) - np.round(255 * made.shades)).max() <= 1
    explorer.kind_picker.value = "colors"
    done(explorer)
    colors = explorer.result.components.colors()
    assert np.abs(explorer.view.components.astype(int) - np.round(255 * colors)).max() <= 1
    assert (explorer.view.component_mode, explorer.view.component_opacity) == ("rgb", 1)
    explorer.kind_picker.value = "pca"
    explorer.component_picker.value = "3"
    done(explorer)
    # The same components, drawn in another way.
    assert (explorer.view.component_mode, explorer.view.components.shape[-1]) == ("mix", 6)
    explorer.kind_picker.value = "nmf"
    assert explorer.wait(PATIENCE)
    assert "components (expected activations of at least 0" in explorer.run_bar.message
    assert len(explorer.view.activations) == 1
    explorer.close()


def test_a_series_has_a_chart(model, photos):
    series = rotations(photos[0], [-30, 0, 45])
    explorer = done(SimilarityExplorer(model, series, layers=["1", "4"]))
    curves = explorer.curves
    assert curves.x.tolist() == curves.steps.tolist() == [-30, 0, 45]
    assert [entry["label"] for entry in curves.series] == ["1", "4"]
    assert curves.x_label == "degrees"
    assert explorer.view.labels == ["−30°", "0°", "45°"]
    assert_close(explorer.view.transforms, series.transforms)
    assert explorer.view.frame == 1
    assert explorer.view._channels["_profile"] == curves._channels["y"]
    assert explorer.view._channels["marked"] == curves._channels["step"]
    explorer.close()
    assert done(SimilarityExplorer(model, scalings(photos[0], [0.5, 1]))).curves.x_label == "scale"


def test_a_series_has_a_chart_of_the_change_of_features_and_probability(model, photos):
    series = rotations(photos[0], [-30, 0, 45])
    explorer = done(SimilarityExplorer(model, series, layers=["1", "4"]))
    x = model.images(series.images)
    activations = model.activations(x, ["1", "4"])
    predicted = int(model.scores(x[1:2]).argmax())
    expected = [(a - a[1]).flatten(1).norm(dim=1) / a[1].norm() for a in activations.values()]
    expected.append(model.probs(x)[:, predicted])
    assert_close(torch.from_numpy(explorer.changes.y), torch.stack(expected), steps=100)
    labels = [entry["label"] for entry in explorer.changes.series]
    assert labels == ["distance, 1", "distance, 4", f"probability of {model.labels[predicted]}"]
    assert explorer.changes.x.tolist() == [-30, 0, 45]
    assert explorer.view._channels["marked"] == explorer.changes._channels["step"]
    explorer.close()


def test_the_corpus_is_searched_for_the_hovered_and_the_pinned_place(model, photos):
    corpus = list(torch.rand(7, 3, 16, 16, generator=torch.Generator().manual_seed(2)))
    explorer = done(SimilarityExplorer(model, photos, layers=["1", "4"], corpus=corpus))
    indexes = {layer: similarity_index(model, corpus, layer).result(progress=False) for layer in ("1", "4")}

    def wanted(frame, layer, place):
        grids = activation_grids(model, photos, layer).result(progress=False)
        return indexes[layer].search(grids[frame].raw[place])

    # At first, the middle, in the first layer only.
    assert_close(explorer.panel.details.matches.values, wanted(0, "1", (8, 8)).values)
    assert list(explorer.result.indexes) == [0]
    first = explorer.result.indexes[0]
    codes = explorer.view.activations
    # Another layer is indexed when it is hovered, and nothing else is computed again.
    explorer.view.set_state({"frame": 2, "layer": 1, "position": [2.5 / 8, 5.5 / 8]})
    done(explorer)
    found = wanted(2, "4", (5, 2))
    assert_close(explorer.panel.details.matches.values, found.values)
    assert torch.equal(explorer.panel.details.matches.images, found.images)
    assert explorer.panel.matches.labels[0] == f"{found.values[0]:.3f}"
    np.testing.assert_array_equal(explorer.panel.matches.images, to_uint8(found.patches))
    assert "7 images in 4" in explorer.panel.matches.title
    assert explorer.view.activations is codes
    explorer.view.pins = [{"frame": 1, "layer": 0, "position": [1, 0]}]
    explorer.view.position = [0.1, 0.1]
    done(explorer)
    assert_close(explorer.panel.details.matches.values, wanted(1, "1", (0, 15)).values)
    assert explorer.result.indexes[0] is first
    explorer.close()


def test_of_a_place_is_told_by_all_that_is_known_when_its_turn_comes(model, photos, monkeypatch):
    """One that was asked for before the corpus was indexed, and after the index was shown, must not show without it."""
    explorer = done(SimilarityExplorer(model, photos, layers="1", corpus=photos))
    key, asked = SimilarityKey("index", 0), []
    known = explorer.study.store[key]
    monkeypatch.setattr(explorer.panel._worker, "submit", lambda make_run, **_rest: asked.append(make_run))
    explorer.study.forget([key])
    explorer.look()
    explorer.study.store[key] = known
    explorer.view.unobserve_all()
    explorer.view.position = [0.1, 0.9]
    told = asked[0]().result(progress=False)
    assert told.matches is not None
    assert "row 14, col 1" in told.title
    explorer.close()


def test_a_hover_does_not_break_off_what_is_computed(gate, photos):
    model = network(before=[gate])
    explorer = done(SimilarityExplorer(model, photos, layers=["2", "5"], corpus=photos))
    gate.shut = True
    explorer.compute(again=True)
    gate.stopped()
    explorer.view.layer = 1
    assert explorer.run_bar.status == "running"
    gate.open()
    done(explorer)
    # The column is indexed afterwards, together with all the rest.
    assert list(explorer.result.indexes) == [0, 1]
    assert explorer.panel.details.matches is not None
    explorer.close()


def test_a_place_has_its_strongest_channels_and_its_fields(model, photos):
    explorer = done(SimilarityExplorer(model, photos, layers=["1", "4"]))
    seen = theoretical_receptive_field(model, "4")
    assert seen.size == (8, 8)
    shift, size = [part / 16 for part in seen.offset], [part / 16 for part in seen.size]
    side = effective_receptive_field(model, "4", photos) / 16
    assert explorer.view.fields[1] == [[*shift, *size], [0, 0, side, side]]
    explorer.view.set_state({"frame": 1, "layer": 1, "position": [0.99, 0.3]})
    assert explorer.wait(PATIENCE)
    vector = activation_grids(model, photos, "4").result(progress=False)[1].raw[2, 7]
    order = vector.argsort(descending=True)[:5]
    told = explorer.panel.details
    assert_close(told.values, vector[order])
    heads = [f"channel {channel}: {vector[channel]:.3g}" for channel in told.channels.tolist()]
    assert explorer.panel.channels.row_labels == heads
    # Four images have four patches of a channel.
    top = top_activations(model, photos, layer="4", k=4).result(progress=False)
    patches = top.patches(told.channels).flatten(0, 1)
    np.testing.assert_array_equal(explorer.panel.channels.images, to_uint8(patches))
    assert "of 4 at row 2, col 7" in explorer.panel.channels.title
    explorer.close()


def test_the_first_position_is_one_at_which_parts_differ_unless_the_user_chose_one(model, photos):
    explorer = done(SimilarityExplorer(model, photos, layers="1"))
    row, column = distinctive_position(explorer.result.members(0)[0])
    assert explorer.view.position == [(column + 0.5) / 16, (row + 0.5) / 16]
    explorer.close()
    explorer = SimilarityExplorer(model, photos, layers="1", start=False)
    explorer.view.position = [0.1, 0.2]
    explorer.compute()
    assert done(explorer).view.position == [0.1, 0.2]
    explorer.close()


def test_patches_lead_to_their_position(model, photos):
    explorer = done(SimilarityExplorer(model, photos, layers=["1", "4"], components=2))
    top = explorer.result.channels[0]
    channel = int(explorer.panel.details.channels[1])
    explorer.panel.channels.frame = 1 * 4 + 2
    row, column = top.positions[channel, 2].tolist()
    assert explorer.view.frame == int(top.images[channel, 2])
    assert explorer.view.position == [(column + 0.5) / 16, (row + 0.5) / 16]
    done(explorer)
    parts = explorer.result.top
    explorer.patches.frame = 5
    row, column = parts.positions[1, 1].tolist()
    assert explorer.view.frame == int(parts.images[1, 1])
    assert explorer.view.position == [(column + 0.5) / 16, (row + 0.5) / 16]
    explorer.close()


def test_layers_and_images_are_named_before_the_first_result(model, tmp_path):
    paths = []
    for name in ("cat", "dog"):
        paths.append(tmp_path / f"{name}.png")
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(paths[-1])
    explorer = SimilarityExplorer(model, paths, layers=["1", "4"], start=False)
    assert explorer.view.labels == ["cat", "dog"]
    assert explorer.view.layer_labels == ["1", "4"]
    explorer.close()


def test_the_choices_of_the_view_have_lists(model, photos):
    explorer = done(SimilarityExplorer(model, photos, layers="1"))
    explorer.range_picker.value = "relative"
    explorer.view.kind = "dot"
    assert (explorer.view.color_range, explorer.similarity_picker.value) == ("relative", "dot")
    assert explorer.component_picker.labels["0"] == "off"
    explorer.close()


def test_a_module_that_runs_several_times_is_a_layer_for_each_call():
    torch.manual_seed(0)

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.body = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
            self.swish, self.head = nn.SiLU(), nn.Linear(8, 4)

        def forward(self, x):
            return self.head(self.swish(self.body(self.swish(self.stem(x)))).mean((2, 3)))

    shared = ImageModel(Shared(), size=16, name="shared")
    explorer = done(SimilarityExplorer(shared, list(torch.rand(2, 3, 16, 16))))
    assert explorer.view.layer_labels == ["swish:1"]
    assert explorer.view.activations[0].shape == (2, 16, 16, 8)
    explorer.close()


def test_a_single_image_will_do(model, photos):
    assert done(SimilarityExplorer(model, photos[0])).view.images.shape == (1, 16, 16, 3)


def test_a_stopped_computation_goes_on(gate, photos):
    model = network(before=[gate])
    explorer = SimilarityExplorer(model, photos, layers="2", start=False, batch_size=1)
    assert explorer.run_bar.status == "idle"
    gate.shut = True
    explorer.compute()
    gate.stopped()
    explorer.cancel()
    assert explorer.run_bar.status == "cancelled"
    gate.open()
    assert explorer.wait(PATIENCE)
    assert explorer.view.activations == ()
    explorer.compute()
    done(explorer)
    assert len(explorer.view.activations) == 1
    explorer.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": "7x"}, "unknown layer"),
        ({"layers": "7"}, "with spatial positions"),
        ({"layers": {"nett": ["1"]}}, r"expected layers of \['net'\], got those of \['nett'\]"),
        ({"components": 13}, "expected components from 0 to 12, got 13"),
        ({"rank": 0}, "expected rank to be an integer"),
    ],
)
def test_refusals(model, photos, options, words):
    with pytest.raises(ValueError, match=words):
        SimilarityExplorer(model, photos, **options)


def test_refused_networks(model, photos):
    with pytest.raises(ValueError, match="expected networks of different names"):
        SimilarityExplorer([model, network()], photos)
    with pytest.raises(TypeError, match="expected an ImageModel"):
        SimilarityExplorer(nn.Identity(), photos)


def test_a_series_in_any_order_is_shown_by_ascending_values(model, photos):
    given = rotations(photos[0], [10, -20, 10, 0])
    explorer = SimilarityExplorer(model, given, start=False)
    np.testing.assert_array_equal(explorer.curves.x, [-20, 0, 10])
    assert explorer.view.labels == ["−20°", "0°", "10°"]
    assert explorer.view.frame == 1
    assert_close(explorer.view.transforms, given.transforms[[1, 3, 0]])
    images = model.images(given.images)[[1, 3, 0]].permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(explorer.view.images, 255 * images, atol=1)
    explorer.close()


def test_class_token_and_registers_are_sources():
    torch.manual_seed(0)
    model = wrap(settle(Tokens(3)))
    x = [image.permute(1, 2, 0).numpy() for image in images(2)]
    explorer = done(SimilarityExplorer(model, x, layers=["patch", "blocks.1"]))
    view = explorer.view
    names = ["class token", "register 1", "register 2"]
    assert view.token_names == [[], names]
    (_, packed) = explorer.result.packed
    np.testing.assert_array_equal(view.tokens[1], packed.token_codes)
    assert [array.shape for array in view.tokens] == [(2, 0, 8), (2, 3, 8)]
    assert [array.shape for array in view.token_scales] == [(2, 0), (2, 3)]
    assert view.source == "position"
    view.source = "register 1"
    view.show(explorer.result.packed)
    assert view.source == "register 1"
    # Other columns have no such token.
    view.show(explorer.result.packed[:1])
    assert view.source == "position"
    assert explorer.view.fields[1][0] == [0, 0, 2, 2], "every position sees the whole image"
    explorer.close()
