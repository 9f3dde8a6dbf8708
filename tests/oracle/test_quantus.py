"""Metrics against Quantus on the same network, images, maps and masks."""

import warnings

import numpy as np
import pytest
import torch
from closeness import assert_close
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.metrics import (
    completeness,
    deletion,
    impute,
    mask_auc,
    pearson,
    relevance_mass,
    relevance_rank,
    sensitivity_n,
    spearman,
    ssim,
)
from xai_widgets.ops.normalize import unit_range

quantus = pytest.importorskip("quantus", exc_type=ImportError)

SIDE = 12


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 5)
    )
    model = ImageModel(network.eval(), size=SIDE, channels=1)
    x = torch.rand(3, 1, SIDE, SIDE)
    maps = torch.rand(3, SIDE, SIDE)
    masks = torch.zeros(3, SIDE, SIDE, dtype=torch.bool)
    for row, (top, left) in enumerate(((0, 0), (2, 5), (6, 3))):
        masks[row, top : top + 4, left : left + 5] = True
    return model, x, maps, masks


def scored(metric, case, **options):
    """Return the scores of a metric of Quantus for given maps."""
    model, x, maps, masks = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric(
            model=model.module,
            x_batch=x.numpy(),
            y_batch=np.array([0, 1, 2]),
            a_batch=maps[:, None].numpy(),
            s_batch=masks[:, None].numpy(),
            device="cpu",
            **options,
        )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (relevance_mass, "RelevanceMassAccuracy"),
        (relevance_rank, "RelevanceRankAccuracy"),
        (mask_auc, "AUC"),
    ],
)
def test_localization(case, ours, theirs):
    metric = getattr(quantus, theirs)(abs=False, normalise=False, disable_warnings=True)
    expected = torch.tensor(np.array(scored(metric, case), dtype=np.float64)).float()
    assert_close(ours(case[2], case[3]), expected)


def test_pixel_flipping_is_deletion_to_black(case):
    model, x, maps, _ = case
    metric = quantus.PixelFlipping(
        features_in_step=12, perturb_baseline=0.0, normalise=False, disable_warnings=True
    )
    expected = torch.tensor(np.array(scored(metric, case, softmax=True), dtype=np.float64)).float()
    curve = deletion(model, x, maps, [0, 1, 2], steps=SIDE, fill="black").result(progress=False)
    assert_close(curve.scores[:, 1:], expected)


def test_regions_are_pixels_with_the_mean_of_their_square(case):
    model, x, maps, _ = case
    means = nn.functional.avg_pool2d(maps[:, None], 3)
    squares = nn.functional.interpolate(means, scale_factor=3)[:, 0]
    options = {"patch_size": 3, "perturb_baseline": 0.0, "normalise": False, "disable_warnings": True}
    scores = deletion(model, x, squares, [0, 1, 2], steps=16, fill="black").result(progress=False).scores
    left = scored(quantus.Selectivity(**options), case, softmax=True)
    assert_close(scores[:, 1:], torch.tensor(np.array(left)).float())
    falls = scored(quantus.RegionPerturbation(**options, regions_evaluation=16), case, softmax=True)
    assert_close(scores[:, :1] - scores[:, 1:], torch.tensor(np.array(falls)).float(), scale=1.0)


def test_faithfulness_correlation_is_sensitivity_n_of_one_size(case, monkeypatch):
    model, x, maps, _ = case
    sets, size = 30, 36
    chosen = completeness._random_sets(x, [size / SIDE**2], sets, 0)
    drawn = iter([np.flatnonzero(some) for some in chosen.numpy() for _ in range(len(x))])
    monkeypatch.setattr(np.random, "choice", lambda *_, **__: next(drawn))
    metric = quantus.FaithfulnessCorrelation(
        nr_runs=sets, subset_size=size, perturb_baseline=0.0, normalise=False, return_aggregate=False,
        disable_warnings=True,
    )  # fmt: skip
    expected = torch.tensor(np.array(scored(metric, case))).float()
    found = sensitivity_n(model, x, maps, [0, 1, 2], shares=[size / SIDE**2], sets=sets, fill="black")
    # Changes of a score of about 0.1 are rounded like the score.
    assert_close(found[:, 0], expected, scale=10.0)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_imputation_of_road(share):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(1, 3, 20, 24, generator=generator, dtype=torch.float64)
    gone = torch.rand(20, 24, generator=generator) < share
    indices = np.flatnonzero(gone.numpy())
    expected = quantus.perturb_func.noisy_linear_imputation(x[0].numpy(), indices, noise=0.0)
    # Iterations end at a residual of 3e-6; the condition of the system multiplies it.
    np.testing.assert_allclose(impute(x, gone[None], noise=0)[0].numpy(), expected, atol=2e-3)


def test_agreement(case):
    _, _, maps, _ = case
    other = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
    for ours, theirs in ((pearson, "correlation_pearson"), (spearman, "correlation_spearman")):
        function = getattr(quantus.similarity_func, theirs)
        expected = [
            function(a.flatten().numpy(), b.flatten().numpy()) for a, b in zip(maps, other, strict=True)
        ]
        assert_close(ours(maps, other), torch.tensor(expected, dtype=torch.float32))
    scaled = [unit_range(part) for part in (maps, other)]
    from skimage.metrics import structural_similarity

    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    inner = [
        structural_similarity(a.numpy(), b.numpy(), full=True, **window)[1][5:-5, 5:-5].mean()
        for a, b in zip(*scaled, strict=True)
    ]
    assert_close(ssim(maps, other), torch.tensor(inner, dtype=torch.float32), steps=2048)
