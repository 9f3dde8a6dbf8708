"""The channel explorer without a browser: what the views are given, and what they are never given."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from closeness import near, rounding
from torch import nn

from xai_widgets.core.images import to_uint8
from xai_widgets.explorers import ChannelExplorer
from xai_widgets.features import effective_receptive_field, top_activations
from xai_widgets.perturbation.area_search import AreaSettings
from xai_widgets.perturbation.channel import channel_extremal
from xai_widgets.perturbation.scored_masks import Variant

PATIENCE = 60
QUICK = AreaSettings(steps=8, neighbor_exchange_every=2)


@pytest.fixture(autouse=True)
def every_snapshot_is_drawn(monkeypatch):
    monkeypatch.setattr("xai_widgets.explorers.explorer.INTERVAL", -math.inf)


@pytest.fixture
def others():
    return list(np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8))


def explorer_of(model, *arguments, **options):
    # The layers are known before a gate can stop the pass that lists them.
    model.layers()
    return ChannelExplorer(model, *arguments, **{"settings": QUICK, "batch_size": 6, **options})


def found(model, image, target, layer="2", **options):
    run = channel_extremal(model, image, target, layer=layer, settings=QUICK, batch_size=6, **options)
    return run.result(progress=False)


def standing(explorer, gate):
    """The search in mid-run, with the sets of its first snapshot drawn."""
    gate.shut = True
    explorer.compute()
    gate.stopped()
    while explorer.result is None:
        gate.permits.release()
        gate.stopped()


@pytest.mark.parametrize("variant", get_args(Variant))
def test_maps_curves_and_bars_are_the_networks(model, image, variant):
    explorer = explorer_of(model, image, target="c", variant=variant)
    assert explorer.wait(PATIENCE)
    bar = explorer.run_bar
    assert (bar.status, bar.error, bar.progress, bar.label) == ("done", "", 1.0, "Resume")
    made = found(model, image, 2, variant=variant)
    assert explorer.slider.values == made.channels.tolist() == [1, 2, 3, 4]
    activation = model.activations(image, "2")["2"]
    maps = (made.masks[0, :, :, None, None] * activation).sum(1)
    assert explorer.heatmap.maps == near(maps.numpy())
    assert np.array_equal(explorer.heatmap.image, image)

    shown = made.masks[0, :, :, None, None] * activation
    inside = model.forward_from("2", shown).detach()
    outside = model.forward_from("2", activation - shown).detach()
    assert explorer.curves.x == pytest.approx([1, 2, 3, 4])
    assert explorer.curves.y == near(torch.stack([inside, outside])[..., 2].numpy())
    whole, none = float(model.scores(image)[0, 2]), model.forward_from("2", 0 * activation)[0, 2].item()
    assert [line["y"] for line in explorer.curves.lines] == near([whole, none])
    assert [s.get("style", "solid") for s in explorer.curves.series] == ["solid", "dashed"]
    probs = torch.stack([inside, outside]).softmax(-1)
    assert explorer.scores.target == 2
    assert explorer.scores.target_values == near(probs[..., 2].numpy())
    assert explorer.scores.values == near(probs.topk(5).values.numpy())
    assert explorer.scores.reference == near(model.probs(image)[0].numpy())


def test_channels_are_listed_in_order_with_patches_of_the_image_and_of_others(model, image, others):
    explorer = explorer_of(model, image, target=2, images=others, rows=3, patches=2)
    assert explorer.wait(PATIENCE)
    made = found(model, image, 2)
    listed = made.order[0, :3]
    side = effective_receptive_field(model, "2", image)
    own = top_activations(model, image, layer="2", k=1, side=side).result(progress=False)
    top = top_activations(model, others, layer="2", k=2, side=side).result(progress=False)
    patches = torch.cat([own.patches(listed), top.patches(listed)], 1)
    gallery = explorer.gallery
    assert gallery.columns == 3
    assert np.array_equal(gallery.images, to_uint8(patches.flatten(0, 1)))
    values = torch.cat([own.values[listed], top.values[listed]], 1)
    assert gallery.labels[0] == f"here {values[0, 0]:.3g}"
    assert gallery.labels[1:3] == [f"{value:.3g}" for value in values[0, 1:].tolist()]
    first = [
        next(count for count, held in zip([1, 2, 3, 4], made.masks[0, :, channel], strict=True) if held)
        for channel in listed
    ]
    activation = model.activations(image, "2")["2"].detach().requires_grad_()
    score = model.forward_from("2", activation)[0, 2]
    (gradient,) = torch.autograd.grad(score, activation)
    effects = (activation * gradient).sum((2, 3))[0]
    shares = 100 * effects.abs() / effects.abs().sum()
    assert gallery.row_labels == [
        f"channel {channel} · in the best {count} · {effects[channel]:+.2g} ({shares[channel]:.0f} %)".replace(
            "-", "\N{MINUS SIGN}"
        )
        for channel, count in zip(listed.tolist(), first, strict=True)
    ]
    assert np.array_equal(
        gallery.active.astype(bool), (made.masks[0][:, listed] > 0).repeat_interleave(3, 1).numpy()
    )


def test_a_patch_leads_to_its_position_and_to_its_image(model, image, others):
    explorer = explorer_of(model, image, target=2, images=others, patches=2)
    assert explorer.wait(PATIENCE)
    (own, other), channel = explorer.study.patches("2"), int(explorer.result.order[0, 1])
    explorer.gallery.frame = 3
    row, column = own.top.positions[channel, 0].tolist()
    grid = own.top.grid
    assert explorer.heatmap.position == [(column + 0.5) / grid[1], (row + 0.5) / grid[0]]
    assert explorer.gallery.frame == -1
    explorer.gallery.frame = 4
    assert explorer.wait(PATIENCE)
    index = int(other.top.images[channel, 0])
    assert explorer.image_picker.value == f"image {index + 1}"
    assert np.array_equal(explorer.heatmap.image, others[index])
    row, column = other.top.positions[channel, 0].tolist()
    assert explorer.heatmap.position == [(column + 0.5) / grid[1], (row + 0.5) / grid[0]]
    # The list leads back, and an image from Python is the given one.
    explorer.image_picker.value = "given"
    assert explorer.wait(PATIENCE)
    assert np.array_equal(explorer.heatmap.image, image)
    explorer.image_picker.value = "image 2"
    explorer.image = others[4]
    assert explorer.image_picker.value == "given"
    assert np.array_equal(explorer.heatmap.image, others[4])
    assert explorer.wait(PATIENCE)
    explorer.close()


def test_signed_activations_have_a_map_of_both_signs(model, image):
    signed, positive = (explorer_of(model, image, layer=layer) for layer in ("1", "2"))
    for explorer in (signed, positive):
        assert explorer.wait(PATIENCE)
    least = [float(explorer.result.activation.min()) for explorer in (signed, positive)]
    assert least[0] < 0 <= least[1]
    assert (signed.heatmap.sign, positive.heatmap.sign) == ("both", "positive")


def test_without_other_images_there_is_one_patch_for_each_channel(model, image):
    explorer = explorer_of(model, image, target=2)
    assert explorer.wait(PATIENCE)
    assert explorer.gallery.columns == 1
    assert len(explorer.gallery.images) == len(explorer.gallery.row_labels) == 4


def test_the_smallest_number_that_is_enough_is_marked(model, image):
    made = next(result for result in (found(model, image, target) for target in range(6)) if result.whole > 0)
    tau = float((made.scores[0, 1] - 1e-4) / made.whole[0])
    expected = next(
        i for i, score in enumerate(made.scores[0].tolist()) if score >= tau * float(made.whole[0])
    )
    explorer = explorer_of(model, image, target=int(made.target), tau=tau)
    assert explorer.wait(PATIENCE)
    count = expected + 1
    assert explorer.slider.marked == expected
    assert explorer.slider.mark_label == f"a* = {count}"
    assert explorer.curves.marks == [{"x": float(count), "label": f"a* = {count}"}]


def test_where_no_number_is_enough_nothing_is_marked(model, image):
    made = found(model, image, 2)
    tau = float((made.scores.max() + 1) / made.whole[0])
    if made.whole[0] < 0:
        tau = float((made.scores.max() + 1) / made.whole[0].abs())
    explorer = explorer_of(model, image, target=2, tau=tau)
    assert explorer.wait(PATIENCE)
    if math.isnan(float(explorer.result.best_channels[0])):
        assert explorer.slider.marked == -1
        assert explorer.curves.marks == []


def test_a_class_that_scores_no_more_than_without_channels_has_a_note(model, image):
    scores = model.scores(image)[0]
    seen = set()
    for target in range(len(scores)):
        explorer = explorer_of(model, image, target=target)
        assert explorer.wait(PATIENCE)
        void = bool(explorer.result.whole[0] <= explorer.result.perturbed[0])
        notes = explorer.heatmap.notes
        assert len(notes) == (len(explorer.heatmap.maps) if void else 0)
        assert all(note.startswith("Sets of channels mean little here") for note in notes)
        seen.add(void)
    assert seen == {True, False}


def test_slider_cursor_bars_map_and_channels_are_joined_in_the_page(model, image):
    explorer = explorer_of(model, image, start=False)
    ends = (explorer.curves, "fraction"), (explorer.scores, "fraction"), (explorer.slider, "fraction")
    assert len({view._channels[name] for view, name in ends}) == 1
    ends = (explorer.slider, "frame"), (explorer.heatmap, "frame"), (explorer.gallery, "step")
    assert len({view._channels[name] for view, name in ends}) == 1


def test_sets_appear_while_they_are_searched_and_never_get_worse(model, image):
    explorer = explorer_of(model, image, target=1, layer="1", start=False)
    drawn = []
    explorer.curves.observe(lambda change: drawn.append(change["new"]), "y")
    explorer.compute()
    assert explorer.wait(PATIENCE)
    scores = np.stack([y[0] for y in drawn if y is not None])
    assert len(scores) >= 1
    assert (np.diff(scores, axis=0) >= -rounding(1)).all()


def test_cancel_keeps_the_sets_and_the_button_goes_on(model, gate, image, others):
    explorer = explorer_of(model, image, target=0, images=others, start=False)
    standing(explorer, gate)
    explorer.cancel()
    before, maps = explorer.result, explorer.heatmap.maps.copy()
    assert (explorer.run_bar.status, explorer.run_bar.label) == ("cancelled", "Resume")
    gate.open()
    assert explorer.wait(PATIENCE)
    assert explorer.result is before
    assert np.array_equal(explorer.heatmap.maps, maps)
    assert explorer.gallery.columns == 1
    explorer.compute(again=True)
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.status == "done"
    assert (explorer.result.scores >= before.scores - rounding(1)).all()
    # The look through the other images, which had not begun, is made now.
    assert explorer.gallery.columns == 6


def change_class(explorer):
    explorer.target = 3


def change_variant(explorer):
    explorer.variant_picker.value = "delete"


def change_layer(explorer):
    explorer.layer_picker.value = "3"


@pytest.mark.parametrize("change", [change_class, change_variant, change_layer])
def test_a_change_in_mid_run_empties_the_views(model, gate, image, change):
    explorer = explorer_of(model, image, target=0, start=False)
    standing(explorer, gate)
    assert explorer.heatmap.maps is not None
    change(explorer)
    assert_empty(explorer)
    gate.open()
    assert explorer.wait(PATIENCE)
    layer, variant = explorer.layer_picker.value, explorer.variant_picker.value
    expected = found(model, image, explorer.target, layer=layer, variant=variant)
    assert explorer.heatmap.maps == near(expected.maps()[0].numpy())
    assert explorer.curves.y[0] == near(expected.scores[0].numpy())
    assert (explorer.result.layer, explorer.result.variant) == (layer, variant)


def assert_empty(explorer):
    views = explorer.heatmap, explorer.curves, explorer.gallery, explorer.scores
    arrays = "maps", "y", "images", "values"
    assert [getattr(view, name) for view, name in zip(views, arrays, strict=True)] == [None] * 4
    assert explorer.result is explorer.gallery.active is None
    assert explorer.curves.marks == explorer.curves.lines == explorer.gallery.row_labels == []
    assert explorer.slider.marked == -1


def test_a_new_image_in_mid_run_begins_anew(model, gate, image, others):
    explorer = explorer_of(model, image, target=0, images=others, start=False)
    standing(explorer, gate)
    # The places of the new image are looked for as it is drawn, by whoever draws.
    gate.only_gradients = True
    explorer.image = 255 - image
    assert explorer.result is explorer.heatmap.maps is None
    assert np.array_equal(explorer.heatmap.image, 255 - image)
    gate.open()
    assert explorer.wait(PATIENCE)
    assert explorer.target == model.scores(255 - image).argmax().item()
    expected = found(model, 255 - image, explorer.target)
    assert explorer.heatmap.maps == near(expected.maps()[0].numpy())
    own = top_activations(
        model, 255 - image, layer="2", k=1, side=explorer.study.patches("2")[0].top.side
    ).result(progress=False)
    patch = to_uint8(own.patches(expected.order[0, :1]))[0, 0]
    assert np.array_equal(explorer.gallery.images[0], patch)


def test_every_choice_keeps_its_result_and_the_other_images_are_looked_through_once(
    model, image, others, monkeypatch
):
    looks = []

    def counted(*arguments, **options):
        looks.append(options["k"])
        return top_activations(*arguments, **options)

    monkeypatch.setattr("xai_widgets.studies.masks.top_activations", counted)
    explorer = explorer_of(model, image, target=0, images=others, patches=2)
    assert explorer.wait(PATIENCE)
    result = explorer.result
    explorer.variant_picker.value = "delete"
    assert explorer.wait(PATIENCE)
    assert explorer.result.variant == "delete"
    explorer.variant_picker.value = "preserve"
    assert explorer.wait(PATIENCE)
    assert explorer.result is result
    # Made once to be refused early if need be, once to be run; of the image itself once.
    assert looks.count(2) == 2
    assert looks.count(1) == 1


def test_an_error_is_shown_and_the_widget_stays_usable(model, image):
    explorer = explorer_of(model, image, target=0, start=False)
    explorer.layer_picker.options = (*explorer.layer_picker.options, "nowhere")
    explorer.layer_picker.value = "nowhere"
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.status == "error"
    assert "nowhere" in explorer.run_bar.error
    assert_empty(explorer)
    explorer.layer_picker.value = "2"
    assert explorer.wait(PATIENCE)
    assert (explorer.run_bar.status, explorer.run_bar.error) == ("done", "")
    assert explorer.heatmap.maps is not None


def test_numbers_above_the_channels_of_a_layer_are_left_out(model, image):
    explorer = explorer_of(model, image, channels=[1, 3, 9])
    assert explorer.wait(PATIENCE)
    assert explorer.slider.values == [1, 3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": "g"}, "unknown label 'g'"),
        ({"variant": "presrve"}, "did you mean 'preserve'"),
        ({"layer": "nowhere"}, "nowhere"),
        ({"layer": "5"}, "expected a layer with spatial positions"),
        ({"channels": [9]}, "expected each of channels to be an integer from 1 to 4, got 9"),
        ({"channels": [2, 1]}, "expected ascending channels"),
        ({"rows": 0}, "expected rows of at least 1, got 0"),
        ({"patches": 0}, "expected patches of at least 1, got 0"),
        ({"settings": 7}, "expected settings to be AreaSettings"),
        ({"batch_size": 0}, "expected batch_size to be"),
        ({"images": []}, "got an empty batch"),
        ({"image": np.zeros((2, 16, 16, 3), np.uint8)}, "expected one image, got 2"),
        ({"model": nn.Linear(2, 2)}, "expected an ImageModel"),
    ],
)
def test_bad_input_is_named_in_one_sentence(model, image, change, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        ChannelExplorer(**{"model": model, "image": image, **change})
    assert "\n" not in str(caught.value)


def test_close_stops_and_closes_every_part(model, gate, image):
    explorer = explorer_of(model, image, start=False)
    standing(explorer, gate)
    explorer.close()
    gate.open()
    assert explorer.wait(PATIENCE)
    parts = explorer.slider, explorer.heatmap, explorer.curves, explorer.scores, explorer.gallery
    assert all(part.comm is None for part in (explorer, explorer.run_bar, *parts))
