"""Explorers of a network of a thousand classes, some of the same name, and images of 224 pixels."""

import numpy as np
import pytest
import torch
from torch import nn

import xai_widgets as xw
from xai_widgets.explorers.parts import search_settings
from xai_widgets.inverse import SolverSettings
from xai_widgets.perturbation import ExtremalSettings
from xai_widgets.studies.layers import fine_and_deep
from xai_widgets.studies.masks import MaskKey

PATIENCE = 120
LABELS = [f"label {number // 2}" for number in range(1000)]
QUICK = ExtremalSettings(steps=2, scan=1)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    stem = nn.Conv2d(3, 6, 7, stride=16, padding=3), nn.ReLU()
    head = nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return xw.ImageModel(nn.Sequential(*stem, *head, nn.Linear(8, 1000)).eval(), labels=LABELS, size=224)


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)


MADE = {
    "deletion": lambda model, photo: xw.DeletionExplorer(model, photo, ["gradient"], steps=4),
    "attribution": lambda model, photo: xw.AttributionExplorer(model, [photo], ["gradient"]),
    "extremal": lambda model, photo: xw.ExtremalExplorer(model, photo, areas=(0.1, 0.5), settings=QUICK),
    "masks": lambda model, photo: xw.MaskComparison(model, photo, ["gradient"], areas=(0.1, 0.5)),
    "brush": lambda model, photo: xw.PerturbationBrush(model, photo, start="gradient"),
    "channel": lambda model, photo: xw.ChannelExplorer(model, photo, channels=(1, 4), settings=QUICK),
    "inverse": lambda model, photo: xw.InverseExplorer(
        model, photo, lam=(0.0, 0.5), methods=[], settings=SolverSettings(steps=2)
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_every_class_can_be_chosen_and_the_best_five_are_shown(model, photo, name):
    explorer = MADE[name](model, photo)
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.status in ("done", "idle")
    assert explorer.class_picker.labels == LABELS
    assert len(explorer.class_picker.probabilities) == 1000
    predicted = model.predict(photo, k=1)[0][0].target
    assert explorer.class_picker.target == predicted
    if hasattr(explorer, "scores"):
        assert explorer.scores.values.shape[-1] == 5
    # Two classes have the same label: they differ by their index.
    explorer.target = predicted ^ 1
    assert explorer.class_picker.target == predicted ^ 1
    assert explorer.wait(PATIENCE)
    assert "400 x 300" in explorer.caption.value
    explorer.close()


def test_defaults_are_smaller_for_large_images(model, photo):
    small, large = torch.rand(1, 3, 96, 96), model.images(photo)
    assert search_settings(small) == ExtremalSettings()
    assert search_settings(large).steps < ExtremalSettings().steps
    deletion = xw.DeletionExplorer(model, photo, start=False)
    assert deletion.study.curve_steps == 56
    inverse = xw.InverseExplorer(model, photo, start=False)
    assert len(inverse.slider.values) == 5
    comparison = xw.MaskComparison(model, photo, start=False)
    assert comparison.study.options["extremal"]["settings"] == search_settings(large)
    given = xw.MaskComparison(model, photo, options={"extremal": {"settings": QUICK}}, start=False)
    assert given.study.options["extremal"]["settings"] == QUICK


def test_an_explorer_is_shown_before_the_network_runs(model, photo, monkeypatch):
    passes = []
    forward = type(model).forward
    monkeypatch.setattr(
        type(model),
        "forward",
        lambda self, x, **options: passes.append(len(x)) or forward(self, x, **options),
    )
    model.default_layer()
    for explorer in (xw.DeletionExplorer, xw.ExtremalExplorer, xw.MaskComparison, xw.AttributionExplorer):
        passes.clear()
        explorer(model, photo, start=False)
        assert sum(passes) == 1, "the scores of the image, and nothing else"


def test_the_search_within_a_comparison_shows_its_best_masks_so_far(model, photo):
    options = {"extremal": {"settings": QUICK}}
    explorer = xw.MaskComparison(model, photo, ["extremal"], areas=(0.1, 0.5), options=options, start=False)
    snapshots = list(explorer.study.run(MaskKey("extremal", 3)))
    assert len(snapshots) == 3 == explorer.study.steps(MaskKey("extremal", 3))
    assert all(each.masks.shape == (2, 224, 224) for each in snapshots)
    assert all(each.preserved.shape == (4,) for each in snapshots)
    assert (snapshots[-1].preserved >= snapshots[0].preserved).all()


def test_a_coarse_layer_is_compared_beside_a_finer_one(model, photo):
    assert fine_and_deep(model) == ["1", "3"]
    explorer = xw.SimilarityExplorer(model, [photo, photo])
    assert explorer.wait(PATIENCE)
    assert [packed.norms.shape[1:] for packed in explorer.result.packed] == [(14, 14), (7, 7)]
    # One patch for each image.
    assert {top.values.shape[1] for top in explorer.result.channels} == {2}


def test_a_deep_transformer_is_compared_in_the_block_that_distinguishes_parts_and_in_the_last_one():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Linear(8, 8)

        def forward(self, tokens):
            return tokens + self.mix(tokens)

    class Transformer(nn.Module):
        def __init__(self, depth):
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 8, 8)
            self.blocks = nn.ModuleList(Residual() for _ in range(depth))
            self.head = nn.Linear(8, 5)

        def forward(self, x):
            tokens = self.patches(x).flatten(2).transpose(1, 2)
            for block in self.blocks:
                tokens = block(tokens)
            return self.head(tokens.mean(1))

    torch.manual_seed(0)
    assert fine_and_deep(xw.ImageModel(Transformer(12).eval(), size=32)) == ["blocks.8", "blocks.11"]
    assert fine_and_deep(xw.ImageModel(Transformer(4).eval(), size=32)) == ["blocks.3"]


def test_channels_and_positions_of_tokens_are_counted_as_such(photo):
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 16, stride=16)
            self.norm = nn.LayerNorm(8)
            self.head = nn.Linear(8, 1000)

        def forward(self, x):
            return self.head(self.norm(self.patches(x).flatten(2).transpose(1, 2)).mean(1))

    torch.manual_seed(0)
    model = xw.ImageModel(Tokens().eval(), size=32)
    study = xw.ChannelExplorer(model, photo, layer="norm", start=False).study
    assert study.counts("norm") == [1, 2, 3, 4, 6, 8]
    explorer = xw.ExtremalExplorer(model, photo, layer="norm", settings=QUICK)
    assert explorer.wait(PATIENCE)
    # One, two or three of the four positions: smaller areas have no position.
    assert (explorer.result.areas * 4).round().int().tolist() == [1, 2, 3]


def test_the_sizes_of_several_images_are_named_once(model, photo):
    explorer = xw.AttributionExplorer(model, [photo, photo[:280], photo], ["gradient"], start=False)
    assert "Images: 400 x 300 and 400 x 280, resized until it covers 224 x 224" in explorer.caption.value
    explorer.images = torch.rand(1, 3, 224, 224)
    assert (explorer.caption.value, explorer.caption.layout.display) == ("", "none")


def test_a_dashboard_shows_images_in_their_own_resolution(model, photo):
    board = xw.dashboard(model, [photo, photo[::-1]], explorers=["brush", "channels"], options={})
    board.frame = 1
    channels = board.show("channels")
    assert channels.heatmap.image.shape == (300, 300, 3)
    assert "400 x 300" in channels.caption.value
    board.frame = 0
    assert channels.heatmap.image.shape == (300, 300, 3)
    assert channels.image.equal(model.images(photo))
    board.wait(PATIENCE)
    board.close()
