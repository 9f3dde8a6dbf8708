"""Output reconstruction against input simplicity, information curves, and the look of maps."""

import io

import numpy as np
import pytest
import torch
from closeness import assert_close, near
from networks import SIZE, Functional, images, settle, wrap
from PIL import Image

from xai_widgets.metrics import (
    image_similarity,
    information_curve,
    ordering,
    output_reconstruction,
    png_bytes,
)
from xai_widgets.metrics.agreement import structural_similarity
from xai_widgets.metrics.information import InformationCurve
from xai_widgets.ops.fill import fill_image


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def test_images_are_weighted_by_the_magnitudes_of_the_map(model):
    x, target = images(2), torch.tensor([1, 2])
    saliency = torch.randn(2, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    found = output_reconstruction(model, x, saliency, target)
    low, high = saliency.abs().amin((1, 2), keepdim=True), saliency.abs().amax((1, 2), keepdim=True)
    alpha = (saliency.abs() - low) / (high - low)
    m = model.mean
    left = model.probs(m + alpha[:, None] * (x - m)).gather(1, target[:, None])[:, 0]
    share = alpha.mean((1, 2))
    faded = model.probs(m + share.view(-1, 1, 1, 1) * (x - m)).gather(1, target[:, None])[:, 0]
    assert_close(found.mean_alpha, share)
    assert_close(found.probability, left)
    assert_close(found.gain, left - faded, scale=1.0)


def test_a_map_of_ones_and_zeros_at_full_share_leaves_the_image(model):
    x = images(1)
    saliency = torch.ones(1, SIZE, SIZE)
    saliency[0, 0, 0] = 0
    found = output_reconstruction(model, x, saliency, 1)
    assert found.mean_alpha.item() == near(1 - 1 / SIZE**2)


@pytest.mark.parametrize("mode", ["insertion", "deletion"])
def test_information_is_the_size_of_the_file(model, mode):
    x, target = images(1), 1
    saliency = torch.rand(1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    found = information_curve(model, x, saliency, target, mode=mode)
    blurred = fill_image("blur", x)
    start, end = (blurred, x) if mode == "insertion" else (x, blurred)
    ranks = ordering(saliency)

    def size(image):
        file = io.BytesIO()
        Image.fromarray(model.to_rgb(image[0])).save(file, format="PNG")
        return file.tell()

    low, high = size(blurred), size(x)
    for at, share in enumerate(found.fractions.tolist()):
        shown = torch.where(ranks[:, None] < round(share * SIZE**2), end, start)
        expected = min(max((size(shown) - low) / (high - low), 0), 1) if high > low else np.nan
        assert found.information[0, at].item() == near(expected) or np.isnan(expected)


def test_areas_of_monotone_curves():
    x, y = torch.tensor([[0.0, 0.5, 0.4, 1.0]]), torch.tensor([[0.0, 0.2, 0.8, 1.0]])
    up = InformationCurve("insertion", torch.arange(4) / 3, x, y)
    # In order of the information: 0, 0.4, 0.5, 1 with the best score so far 0, 0.8, 0.8, 1.
    assert up.auc.item() == near(0.4 * 0.4 + 0.1 * 0.8 + 0.5 * 0.9)
    down = InformationCurve("deletion", torch.arange(4) / 3, x.flip(1), y.flip(1))
    # The worst score so far on the way down: 1, 0.2, 0.2, 0.
    assert down.auc.item() == near(0.4 * 0.1 + 0.1 * 0.2 + 0.5 * 0.6)


def test_noise_makes_a_larger_file_and_a_map_like_the_image_is_similar():
    generator = torch.Generator().manual_seed(0)
    noise, smooth = torch.rand(1, 64, 64, generator=generator), torch.linspace(0, 1, 64).expand(1, 64, 64)
    assert png_bytes(noise) > 5 * png_bytes(smooth)
    assert torch.equal(png_bytes(noise), png_bytes(3 * noise + 1))
    x = torch.rand(1, 3, 64, 64, generator=generator)
    gray = (x * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1)
    scaled = (gray - gray.min()) / (gray.max() - gray.min())
    assert_close(image_similarity(gray, x), structural_similarity(scaled, gray))
    assert image_similarity(gray, x) > 0.9 > image_similarity(noise, x)
