"""The explorer of noise masks without a browser: the arrays of its views, and the masks computed for a choice."""

import numpy as np
import pytest
import torch
from closeness import near
from small_explorers import Network, classifier, photos

from xai_widgets.explorers import NoiseMaskExplorer
from xai_widgets.perturbation.noise_mask import NoiseMaskSettings, masked_input, noise_mask
from xai_widgets.studies.noise_mask import NoiseMaskKey

PATIENCE = 120
SETTINGS = NoiseMaskSettings(max_steps=8, learning_rate=0.1)
BETAS = (0.5, 1, 2)


def explorer_of(model=None, **options):
    options = {"layers": ["relu", "scores"], "betas": BETAS, "settings": SETTINGS, **options}
    return NoiseMaskExplorer(model or classifier(), photos(1)[0], **options)


def made(layer, beta):
    settings = NoiseMaskSettings(max_steps=8, learning_rate=0.1, beta=beta)
    return noise_mask(classifier(), photos(1)[0], layer=layer, settings=settings).result(progress=False)


@pytest.fixture
def explorer():
    explorer = explorer_of()
    assert explorer.wait(PATIENCE)
    yield explorer
    explorer.close()


def test_the_views_show_the_masks_of_the_layer_for_each_beta(explorer):
    assert (explorer.run_bar.status, explorer.run_bar.error) == ("done", "")
    # The scores, at beta_0, are shown first.
    assert (explorer.layer_picker.value, explorer.slider.frame) == ("2", 1)
    x = explorer.image
    for frame, beta in enumerate(BETAS):
        mask = made(None, beta).masks
        assert explorer.mask.maps[frame] == near(mask[0, 0].numpy())
        expected = (255 * masked_input(x, mask)[0].movedim(0, 2)).numpy()
        assert np.abs(explorer.masked.images[frame] - expected).max() < 1
    assert explorer.result.masks == near(made(None, 1).masks)
    assert explorer.slider._channels["frame"] == explorer.mask._channels["frame"]
    percent = float(explorer.result.loss_percent[0])
    kept = 100 * float(explorer.result.masks.mean())
    assert explorer.mask.labels[1] == f"keeps {kept:.0f} %, loss {percent:.0f}\u00a0%"


def test_the_table_has_the_loss_of_each_layer(explorer):
    percents = [float(made(layer, 1).loss_percent[0]) for layer in ("relu", None)]
    assert explorer.losses.y[0] == near(percents)
    assert explorer.gallery.labels == [f"relu {percents[0]:.0f}\u00a0%", f"scores {percents[1]:.0f}\u00a0%"]
    assert explorer.gallery.present.tolist() == [1, 1]
    assert explorer.gallery.frame == 1
    assert "β = 1 β₀" in explorer.gallery.title
    assert explorer.steps.y[1] == near(100 * explorer.result.losses[:, 0].numpy())


def test_a_click_on_the_table_shows_its_mask(explorer):
    explorer.gallery.frame = 0
    assert explorer.layer_picker.value == "1"
    assert explorer.wait(PATIENCE)
    assert explorer.mask.maps[1] == near(made("relu", 1).masks[0, 0].numpy())
    assert explorer.mask.maps[2] == near(made("relu", 2).masks[0, 0].numpy())


def test_the_cursor_of_the_losses_is_at_the_layer_and_chooses_it(explorer):
    assert (explorer.losses.step, explorer.losses.fraction) == (1, 1)
    explorer.losses.fraction = 0.2
    assert (explorer.layer_picker.value, explorer.losses.step) == ("1", 0)
    explorer.layer_picker.value = "2"
    assert (explorer.losses.step, explorer.losses.fraction) == (1, 1)


def test_another_beta_computes_the_table_at_it(explorer):
    explorer.slider.frame = 2
    assert explorer.wait(PATIENCE)
    assert explorer.losses.y[0] == near([float(made(layer, 2).loss_percent[0]) for layer in ("relu", None)])
    assert "β = 2 β₀" in explorer.gallery.title


def test_a_mask_that_has_not_converged_is_marked_and_resume_searches_on(explorer):
    assert "Not converged after 8 steps" in explorer.mask.notes[1]
    assert "0 of 4 masks converged; Resume searches further" in explorer.run_bar.message
    assert explorer.run_bar.label == "Resume"
    explorer.run_bar._handle(None, {"type": "run"}, None)
    assert explorer.wait(PATIENCE)
    assert explorer.result.step == 16
    assert "Not converged after 16 steps" in explorer.mask.notes[1]


def test_a_mask_that_has_converged_has_no_note():
    settings = NoiseMaskSettings(max_steps=40, window=2, tolerance=0.5)
    explorer = explorer_of(settings=settings)
    assert explorer.wait(PATIENCE)
    assert explorer.mask.notes == ["", "", ""]
    assert explorer.result.step < 40
    assert "4 of 4 masks converged" in explorer.run_bar.message
    explorer.close()


def test_several_networks_have_a_row_and_a_curve_each():
    torch.manual_seed(1)
    other = classifier(Network())
    explorer = explorer_of([classifier(), other], layers=[["relu", "scores"], ["pool", "scores"]])
    assert explorer.wait(PATIENCE)
    assert explorer.losses.y.shape == (2, 2)
    assert len(explorer.gallery.images) == 4
    assert explorer.gallery.row_labels == [other.name, other.name]
    explorer.gallery.frame = 2
    assert explorer.model_picker.index == 1
    assert explorer.layer_picker.labels == {"1": "pool", "2": "scores"}
    assert explorer._key() == NoiseMaskKey(1, "pool", 1)
    assert explorer.wait(PATIENCE)
    assert np.isfinite(explorer.mask.maps).all()
    explorer.close()


def test_another_image_is_searched_anew(explorer):
    other = np.full((16, 16, 3), 90, dtype=np.uint8)
    before = explorer.mask.maps.copy()
    explorer.image = other
    assert explorer.wait(PATIENCE)
    assert torch.equal(
        (explorer.image * 255).round().byte(), torch.full((1, 3, 16, 16), 90, dtype=torch.uint8)
    )
    assert not np.allclose(explorer.mask.maps, before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers": ["rellu"]}, "did you mean 'relu'"),
        ({"layers": [["relu"], ["relu"]]}, "expected as many layers for each of 1 networks"),
        ({"layers": []}, "expected layers"),
        ({"betas": (2, 1)}, "expected betas as ascending"),
        ({"betas": (0, 1)}, "expected betas as ascending"),
        ({"model": []}, "expected at least one network"),
        ({"model": 3}, "expected model to be ImageModel, got 3"),
        ({"settings": 3}, "expected settings to be NoiseMaskSettings"),
    ],
)
def test_bad_input_is_named_in_one_sentence(change, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        NoiseMaskExplorer(**{"model": classifier(), "image": photos(1)[0], **change})
    assert "\n" not in str(caught.value)
