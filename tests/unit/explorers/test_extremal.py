"""The extremal explorer without a browser: what the views are given, and what they are never given."""

import math
import re
from typing import get_args

import numpy as np
import pytest
import torch
from closeness import near, rounding
from torch import nn

from xai_widgets.core.images import to_uint8
from xai_widgets.core.model import ImageModel
from xai_widgets.explorers import ExtremalExplorer
from xai_widgets.explorers import extremal as module
from xai_widgets.ops.perturb import perturb, pyramid
from xai_widgets.perturbation.extremal import ExtremalSettings, extremal
from xai_widgets.perturbation.scored_masks import Variant

PATIENCE = 60
AREAS = (0.1, 0.25, 0.5)
QUICK = ExtremalSettings(steps=8, neighbor_exchange_every=2, scan=2)


@pytest.fixture(autouse=True)
def every_snapshot_is_drawn(monkeypatch):
    monkeypatch.setattr("xai_widgets.explorers.explorer.INTERVAL", -math.inf)


def explorer_of(*arguments, **options):
    return ExtremalExplorer(*arguments, **{"areas": AREAS, "settings": QUICK, "batch_size": 6, **options})


def found(model, image, target, **options):
    run = extremal(model, image, target, areas=AREAS, settings=QUICK, batch_size=6, **options)
    return run.result(progress=False)


def standing(explorer, gate):
    """The search at its first gradient step, with the masks of the discs drawn."""
    gate.shut = gate.only_gradients = True
    explorer.compute()
    gate.stopped()


@pytest.mark.parametrize("variant", get_args(Variant))
@pytest.mark.parametrize("perturbation", ["blur", "fade"])
def test_masks_levels_curves_and_bars_are_the_networks(model, image, variant, perturbation):
    explorer = explorer_of(model, image, target="c", variant=variant, perturbation=perturbation)
    assert explorer.wait(PATIENCE)
    bar = explorer.run_bar
    assert (bar.status, bar.error, bar.progress, bar.label) == ("done", "", 1.0, "Resume")
    masks = found(model, image, 2, variant=variant, perturbation=perturbation).masks
    assert np.array_equal(explorer.mask.masks, (255 * masks[0]).byte().numpy())
    assert explorer.mask.areas == pytest.approx(AREAS)
    assert [round(256 * area) for area in AREAS] == (explorer.mask.masks > 0).sum((1, 2)).tolist()
    levels = pyramid(model.images(image), perturbation)
    assert np.array_equal(explorer.mask.levels, to_uint8(levels[0]))
    assert np.array_equal(explorer.mask.levels[-1], image)

    wholly, whole = model.scores(levels[0, [0, -1]])
    inside = model.scores(perturb(levels, masks)[0])
    outside = model.scores(perturb(levels, 1 - masks)[0])
    preserved = torch.cat([wholly[None], inside, whole[None]])
    deleted = torch.cat([whole[None], outside, wholly[None]])
    assert explorer.curves.x == pytest.approx([0, *AREAS, 1])
    assert explorer.curves.y == near(torch.stack([preserved, deleted])[..., 2].numpy())
    assert [line["y"] for line in explorer.curves.lines] == near([float(whole[2]), float(wholly[2])])
    assert [s.get("style", "solid") for s in explorer.curves.series] == ["solid", "dashed"]
    probs = torch.stack([preserved, deleted]).softmax(-1)
    assert explorer.scores.target == 2
    assert explorer.scores.target_values == near(probs[..., 2].numpy())
    assert explorer.scores.values == near(probs.topk(5).values.numpy())
    assert explorer.scores.reference == near(model.probs(image)[0].numpy())

    shown = perturb(levels, 1 - masks if variant == "delete" else masks)[0]
    assert np.array_equal(explorer.strip.images, to_uint8(shown))
    assert explorer.strip.labels == ["10 %", "25 %", "50 %"]
    # A share of the change of a probability: its rounding is larger by as much as the change is small.
    change = max(float(whole[2] - wholly[2]), 1e-6)
    share = ((outside if variant == "delete" else inside)[:, 2] - wholly[2]) / change
    assert explorer.strip.values == near(share.clamp(0, 1.25).numpy(), scale=1 / change)


@pytest.mark.parametrize("perturbation", ["blur", "fade"])
def test_with_a_layer_the_bars_of_every_class_end_where_the_activation_does(
    model, image, perturbation, monkeypatch
):
    """Perturbed is the activation, not the image: that is another score of every class."""
    monkeypatch.setattr(module, "TOP", 6)
    explorer = explorer_of(model, image, target=2, layer="2", perturbation=perturbation)
    assert explorer.wait(PATIENCE)
    levels = pyramid(model.activations(image, "2")["2"], perturbation)
    wholly, whole = model.forward_from("2", levels[0, [0, -1]]).softmax(1).detach().numpy()
    of_image = model.probs(pyramid(model.images(image), perturbation)[0, :1])[0].numpy()
    assert np.abs(wholly - of_image).max() > 1e-3
    shown = np.zeros((2, len(AREAS) + 2, 6), np.float32)
    np.put_along_axis(shown, explorer.scores.indices, explorer.scores.values, axis=2)
    preserved, deleted = shown
    assert preserved[0] == near(wholly)
    assert preserved[-1] == near(whole)
    assert deleted[0] == near(whole)
    assert deleted[-1] == near(wholly)
    assert whole == near(model.probs(image)[0].numpy())
    masks = found(model, image, 2, layer="2", perturbation=perturbation).masks
    inside = model.forward_from("2", perturb(levels, masks)[0]).softmax(1).detach().numpy()
    assert preserved[1:-1] == near(inside)
    assert explorer.scores.target_values == near(shown[..., 2])


@pytest.mark.parametrize("layer", [None, "2"])
def test_drawing_asks_the_network_nothing(model, gate, image, layer):
    explorer = explorer_of(model, image, target=2, layer=layer)
    assert explorer.wait(PATIENCE)
    values = explorer.scores.values.copy()
    explorer.variant_picker.value = "delete"
    assert explorer.wait(PATIENCE)
    passes = []
    handles = [
        part.register_forward_hook(lambda *call: passes.append(call[0])) for part in model.module.modules()
    ]
    explorer.variant_picker.value = "preserve"
    assert explorer.wait(PATIENCE)
    for handle in handles:
        handle.remove()
    assert explorer.result.variant == "preserve"
    assert np.array_equal(explorer.scores.values, values)
    assert passes == []


def test_the_best_area_is_marked_on_slider_curve_and_strip(model, image):
    results = (found(model, image, target) for target in range(6))
    made = next(result for result in results if result.scores[0, 0] < result.scores[0, 1])
    first, second = made.scores[0, :2].tolist()
    tau = (first + second) / 2 / float(made.whole[0])
    explorer = explorer_of(model, image, target=int(made.target), tau=tau)
    assert explorer.wait(PATIENCE)
    assert explorer.mask.best == 0.25
    assert explorer.curves.marks == [{"x": 0.25, "label": "a* = 25 %"}]
    assert explorer.strip.marked == 1
    assert explorer.curves.lines[0]["y"] == near((first + second) / 2)
    assert explorer.mask.caption == "\u2605 smallest sufficient area (a*): 25 %"


def test_where_no_area_is_enough_nothing_is_marked(model, image):
    made = found(model, image, 2)
    explorer = explorer_of(model, image, target=2, tau=float((made.scores.max() + 1) / made.whole[0]))
    assert explorer.wait(PATIENCE)
    assert explorer.mask.best is None
    assert explorer.curves.marks == []
    assert explorer.strip.marked == -1
    assert explorer.mask.caption == "smallest sufficient area (a*): not reached"


def test_slider_cursor_bars_and_strip_are_joined_in_the_page(model, image):
    explorer = explorer_of(model, image, start=False)
    ends = (explorer.mask, "area"), (explorer.curves, "fraction"), (explorer.scores, "fraction")
    assert len({view._channels[name] for view, name in ends}) == 1
    assert explorer.strip._channels["frame"] == explorer.mask._channels["frame"]


def test_image_curves_and_bars_are_named_by_the_variant(model, image):
    explorer = explorer_of(model, image, target=1, variant="delete")
    assert explorer.wait(PATIENCE)
    views = explorer.mask, explorer.curves, explorer.scores
    assert [view.mode for view in views] == ["deleted"] * 3
    assert (explorer.mask.display, explorer.mask.title) == ("deleted", "Mask that removes the class")
    assert len({view._channels["mode"] for view in views}) == 1
    for view in (explorer.curves, explorer.scores):
        assert [(entry["frame"], entry["mode"]) for entry in view.series] == [
            (0, "preserved"),
            (0, "deleted"),
        ]
    explorer.mask.display = "outline"
    explorer.variant_picker.value = "preserve"
    assert explorer.wait(PATIENCE)
    assert [view.mode for view in views] == ["preserved"] * 3
    # A display that shows both parts stays.
    assert (explorer.mask.display, explorer.mask.title) == ("outline", "Mask that keeps the class")
    explorer.layer_picker.value = "2"
    assert explorer.wait(PATIENCE)
    assert explorer.mask.title == "Mask that keeps the class, on 2"


def test_titles_that_a_user_sets_stay(model, image):
    explorer = explorer_of(model, image, target=1, start=False)
    explorer.mask.title, explorer.strip.title = "My title", "My strip"
    explorer.compute()
    explorer.variant_picker.value = "delete"
    assert explorer.wait(PATIENCE)
    assert (explorer.mask.title, explorer.strip.title) == ("My title", "My strip")


def test_the_cursor_stops_where_there_is_a_mask(model, image):
    explorer = explorer_of(model, image, target=1)
    assert explorer.wait(PATIENCE)
    assert explorer.curves.steps == pytest.approx(AREAS)
    explorer.curves.fraction = 0.3
    assert explorer.curves.fraction == pytest.approx(0.25)


class Brightness(nn.Module):
    """Scores of three classes: the detail of the image, minus its detail, and minus one with detail."""

    def __init__(self):
        super().__init__()
        self.layer = nn.ReLU()

    def forward(self, x):
        detail = self.layer(x).flatten(1).var(1)
        return torch.stack([detail, -detail, detail - 1], dim=1)


def test_masks_that_mean_little_are_marked_on_the_image(image):
    model = ImageModel(Brightness(), size=16, mean=[0.0], std=[1.0], labels=["detail", "smooth", "absent"])
    explorer = explorer_of(model, image, target="detail")
    assert explorer.wait(PATIENCE)
    assert explorer.mask.note == ""
    explorer.target = 1
    assert explorer.wait(PATIENCE)
    assert re.fullmatch(
        r"Masks mean little here: smooth scores -0\.\d+ for the image, and -0\.\d+ for it all blurred\.",
        explorer.mask.note,
    )
    explorer.target = 2
    assert explorer.wait(PATIENCE)
    assert "absent scores -0.9" in explorer.mask.note
    assert "below 0" in explorer.mask.note


def test_masks_appear_while_they_are_searched_and_never_get_worse(model, image):
    explorer = explorer_of(model, image, target=1, start=False)
    drawn = []
    explorer.curves.observe(lambda change: drawn.append(change["new"]), "y")
    explorer.compute()
    assert explorer.wait(PATIENCE)
    scores = np.stack([y[0, 1:-1] for y in drawn if np.isfinite(y).all()])
    assert len(scores) >= 3
    assert (np.diff(scores, axis=0) >= -rounding(1)).all()


def test_cancel_keeps_the_masks_and_the_button_goes_on(model, gate, image):
    explorer = explorer_of(model, image, target=0, start=False)
    standing(explorer, gate)
    explorer.cancel()
    before = explorer.result
    masks = explorer.mask.masks.copy()
    assert explorer.run_bar.status == "cancelled"
    assert explorer.run_bar.label == "Resume"
    gate.open()
    assert explorer.wait(PATIENCE)
    assert explorer.result is before
    assert np.array_equal(explorer.mask.masks, masks)

    drawn = []
    explorer.curves.observe(lambda change: drawn.append(change["new"]), "y")
    explorer.compute(again=True)
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.status == "done"
    assert (explorer.result.scores >= before.scores - rounding(1)).all()
    assert explorer.result.scores.sum() > before.scores.sum(), "the steps brought nothing"
    assert all((y[0, 1:-1] >= before.scores[0].numpy() - rounding(1)).all() for y in drawn)


def change_class(explorer):
    explorer.target = 3


def change_variant(explorer):
    explorer.variant_picker.value = "delete"


def change_perturbation(explorer):
    explorer.perturbation_picker.value = "fade"


def change_layer(explorer):
    explorer.layer_picker.value = "2"


@pytest.mark.parametrize("change", [change_class, change_variant, change_perturbation, change_layer])
def test_a_change_in_mid_run_empties_the_views(model, gate, image, change):
    explorer = explorer_of(model, image, target=0, start=False)
    standing(explorer, gate)
    assert explorer.mask.masks is not None
    change(explorer)
    assert_empty(explorer)
    gate.open()
    assert explorer.wait(PATIENCE)
    layer = explorer.layer_picker.value
    expected = found(
        model,
        image,
        explorer.target,
        variant=explorer.variant_picker.value,
        perturbation=explorer.perturbation_picker.value,
        layer=None if layer == module.IMAGE else layer,
    )
    assert np.array_equal(explorer.mask.masks, (255 * expected.masks[0]).byte().numpy())
    assert explorer.curves.y[0, 1:-1] == near(expected.scores[0].numpy())
    assert explorer.result.variant == explorer.variant_picker.value


def assert_empty(explorer):
    assert explorer.mask.masks is explorer.scores.values is explorer.strip.values is None
    assert explorer.mask.areas is explorer.mask.best is explorer.result is None
    assert np.isnan(explorer.curves.y).all()
    # The strip keeps its room, but shows no image.
    assert explorer.strip.images is None or not explorer.strip.present.any()
    assert explorer.curves.marks == explorer.curves.lines == []
    assert explorer.strip.marked == -1


def test_a_new_image_in_mid_run_begins_anew(model, gate, image):
    explorer = explorer_of(model, image, target=0, start=False)
    standing(explorer, gate)
    explorer.image = 255 - image
    assert_empty(explorer)
    assert np.array_equal(explorer.mask.levels[-1], 255 - image)
    gate.open()
    assert explorer.wait(PATIENCE)
    assert explorer.target == model.scores(255 - image).argmax().item()
    expected = found(model, 255 - image, explorer.target)
    assert np.array_equal(explorer.mask.masks, (255 * expected.masks[0]).byte().numpy())
    assert explorer.scores.reference == near(model.probs(255 - image)[0].numpy())


def test_every_choice_keeps_its_result_until_the_image_changes(model, image, monkeypatch):
    calls = []

    def counted(*arguments, **options):
        calls.append(options["start"])
        return extremal(*arguments, **options)

    explorer = explorer_of(model, image, target=0)
    assert explorer.wait(PATIENCE)
    result = explorer.result
    monkeypatch.setattr("xai_widgets.studies.masks.extremal", counted)
    explorer.variant_picker.value = "delete"
    assert explorer.wait(PATIENCE)
    assert explorer.result.variant == "delete"
    explorer.variant_picker.value = "preserve"
    assert explorer.wait(PATIENCE)
    assert explorer.result is result
    assert explorer.run_bar.status == "done"
    assert np.array_equal(explorer.mask.masks, (255 * result.masks[0]).byte().numpy())
    assert set(calls) == {None}
    explorer.compute(again=True)
    assert explorer.wait(PATIENCE)
    assert calls[-1] is result


def test_an_error_is_shown_and_the_widget_stays_usable(model, image):
    explorer = explorer_of(model, image, target=0, start=False)
    explorer.layer_picker.options = (*explorer.layer_picker.options, "nowhere")
    explorer.layer_picker.value = "nowhere"
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.status == "error"
    assert "nowhere" in explorer.run_bar.error
    assert_empty(explorer)
    explorer.layer_picker.value = module.IMAGE
    assert explorer.wait(PATIENCE)
    assert (explorer.run_bar.status, explorer.run_bar.error) == ("done", "")
    assert explorer.mask.masks is not None


def test_default_areas_are_those_of_at_least_a_pixel(model, image):
    explorer = ExtremalExplorer(model, image, settings=QUICK, layer="3")
    assert explorer.wait(PATIENCE)
    assert explorer.mask.areas == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.6, 0.8])
    # Of 0.1 and 0.15 only one: both are two of its 16 places.
    assert (explorer.mask.masks > 0).sum((1, 2)).tolist() == [2, 3, 5, 6, 10, 13]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": "g"}, "unknown label 'g'"),
        ({"variant": "presrve"}, "did you mean 'preserve'"),
        ({"perturbation": "blurr"}, "did you mean 'blur'"),
        ({"layer": "nowhere"}, "nowhere"),
        ({"areas": (0.5, 0.1)}, "areas"),
        ({"areas": (0.0001, 0.1)}, "area"),
        ({"areas": (0.5, 1.5)}, "area"),
        ({"settings": 7}, "expected settings to be ExtremalSettings"),
        ({"batch_size": 0}, "expected batch_size to be"),
        ({"image": np.zeros((2, 16, 16, 3), np.uint8)}, "expected one image, got 2"),
        ({"model": nn.Linear(2, 2)}, "expected an ImageModel"),
    ],
)
def test_bad_input_is_named_in_one_sentence(model, image, change, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        ExtremalExplorer(**{"model": model, "image": image, **change})
    assert "\n" not in str(caught.value)


def test_close_stops_and_closes_every_part(model, gate, image):
    explorer = explorer_of(model, image, start=False)
    standing(explorer, gate)
    explorer.close()
    gate.open()
    assert explorer.wait(PATIENCE)
    parts = explorer.mask, explorer.curves, explorer.scores, explorer.strip, explorer.run_bar
    assert all(part.comm is None for part in (explorer, *parts))
