"""Photographs at low resolution: the split, luminance, bicubic interpolation as PIL has it, PSNR."""

import socket
import sys

import numpy as np
import pytest
import torch
from closeness import assert_close
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xai_widgets.data import low_resolution as data
from xai_widgets.ops import color

pytest.importorskip("skimage")
pytest.importorskip("sklearn")


def test_no_photograph_serves_training_and_test():
    assert not set(data.TRAINING) & set(data.TEST)
    assert len(data.TRAINING) >= 10
    assert len(data.TEST) >= 4
    # Nor under another name.
    pixels = [data.load_photograph(name) for name in (*data.TRAINING, *data.TEST)]
    small = [data.bicubic(color.luminance(image), (32, 32)).flatten() for image in pixels]
    similar = torch.corrcoef(torch.stack(small)).abs()
    assert similar[: len(data.TRAINING), len(data.TRAINING) :].max() < 0.8


def test_photographs_need_no_network(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    data._pixels.cache_clear()
    for name in (*data.TRAINING, *data.TEST):
        image = data.load_photograph(name)
        assert image.dtype == torch.float32
        assert image.shape[0] == 1
        assert image.shape[1] in (1, 3)
        assert min(image.shape[2:]) >= 150
        assert 0 <= image.min() <= image.max() <= 1
        assert image.max() - image.min() > 0.5


def test_an_image_can_be_written_to():
    data.load_photograph("camera").zero_()
    assert data.load_photograph("camera").max() > 0


def test_unknown_and_missing_photographs_name_a_remedy(monkeypatch):
    with pytest.raises(ValueError, match="'china'"):
        data.load_photograph("chine")
    data._pixels.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"scikit-learn.*xai-widgets\[components\]"):
        data.load_photograph("china")
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ImportError, match="scikit-image"):
        data.load_photograph("camera")


def test_luminance_is_that_of_pil():
    pixels = (data.load_photograph("coffee")[0].permute(1, 2, 0) * 255).round().byte().numpy()
    expected = np.asarray(Image.fromarray(pixels).convert("L"), np.float32)
    made = color.luminance(data.load_photograph("coffee"))[0, 0] * 255
    # PIL rounds to whole numbers.
    assert np.abs(made.numpy() - expected).max() <= 0.51
    gray = data.load_photograph("camera")
    assert color.luminance(gray) is gray


def test_recolor_keeps_the_chrominance_of_pil():
    generator = torch.Generator().manual_seed(0)
    x = 0.3 + 0.4 * torch.rand(1, 3, 20, 30, generator=generator)
    y = color.luminance(x) + 0.1 * torch.randn(1, 1, 20, 30, generator=generator).clamp(-2, 2)
    made = color.recolor(y, x)
    assert_close(color.luminance(made), y)

    def chrominance(image):
        pixels = (image[0].permute(1, 2, 0) * 255).round().byte().numpy()
        return np.asarray(Image.fromarray(pixels).convert("YCbCr"), np.float32)[..., 1:]

    assert np.abs(chrominance(made) - chrominance(x)).max() <= 2
    assert 0 <= color.recolor(torch.ones(1, 1, 20, 30), x).max() <= 1
    with pytest.raises(ValueError, match=r"expected y of shape \(1, 1, 20, 30\), got \(1, 1, 20, 20\)"):
        color.recolor(torch.zeros(1, 1, 20, 20), x)


@given(st.integers(5, 40), st.integers(5, 40), st.integers(3, 60), st.integers(3, 60), st.integers(0, 99))
def test_bicubic_is_that_of_pil_both_ways(height, width, new_height, new_width, seed):
    x = torch.rand(height, width, generator=torch.Generator().manual_seed(seed))
    resized = Image.fromarray(x.numpy(), mode="F").resize((new_width, new_height), Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.array(resized)).clamp(0, 1)
    made = data.bicubic(x[None, None], (new_height, new_width))[0, 0]
    assert_close(made, expected)


@pytest.mark.parametrize("scale", data.SCALES)
def test_a_pair_has_the_size_that_the_scale_divides(scale):
    g = color.luminance(data.load_photograph("china"))
    x, cut = data.blurred_pair(g, scale)
    assert x.shape == cut.shape
    for side, whole in zip(x.shape[2:], g.shape[2:], strict=True):
        assert side % scale == 0
        assert 0 <= whole - side < scale
    assert torch.equal(cut, g[:, :, : x.shape[2], : x.shape[3]])
    assert 0 <= x.min() <= x.max() <= 1
    # Detail is lost, not brightness; no rounding, so the bound is one of the method.
    torch.testing.assert_close(x.mean(), cut.mean(), atol=2e-3, rtol=0)
    assert x.diff(dim=3).abs().mean() < cut.diff(dim=3).abs().mean()


def test_the_larger_the_scale_the_more_is_lost():
    g = color.luminance(data.load_photograph("camera"))[:, :, :252, :252]
    values = [data.psnr(*data.blurred_pair(g, scale), border=4).item() for scale in data.SCALES]
    assert values == sorted(values, reverse=True)


def test_what_has_no_detail_loses_none():
    flat = torch.full((2, 1, 24, 36), 0.4)
    for scale in data.SCALES:
        assert_close(data.blurred_pair(flat, scale)[0], flat)


@given(st.integers(0, 99), st.integers(0, 3))
def test_psnr_is_that_of_scikit_image(seed, border):
    from skimage.metrics import peak_signal_noise_ratio

    a, b = torch.rand(2, 3, 1, 9, 11, generator=torch.Generator().manual_seed(seed))
    inner = (..., slice(border, 9 - border), slice(border, 11 - border))
    images = zip(a[inner].numpy(), b[inner].numpy(), strict=True)
    expected = torch.tensor([peak_signal_noise_ratio(one, other, data_range=1) for one, other in images])
    assert_close(data.psnr(a, b, border=border), expected.float())


def test_psnr_of_what_is_equal_is_infinite():
    x = torch.rand(2, 5, 6)
    assert torch.isinf(data.psnr(x, x)).all()


def test_wrong_arguments_are_named():
    x = torch.rand(1, 1, 12, 12)
    with pytest.raises(ValueError, match=r"expected scale to be an integer from 2 to 4, got 5"):
        data.blurred_pair(x, 5)
    with pytest.raises(ValueError, match="expected images of at least 3 pixels each way, got 12 x 2"):
        data.blurred_pair(x[..., :2], 3)
    with pytest.raises(ValueError, match=r"shape \(N, C, H, W\), got \(12, 12\)"):
        color.luminance(x[0, 0])
    with pytest.raises(ValueError, match="expected images of the same shape"):
        data.psnr(x, x[..., :3])
    with pytest.raises(ValueError, match="expected border to be an integer from 0 to 5, got 6"):
        data.psnr(x, x, border=6)
