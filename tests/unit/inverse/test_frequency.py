"""Power spectra of patches: the transform, the order of JPEG, the groups, and the image of many frequencies."""

import math

import pytest
import torch
from closeness import assert_close, near, rounding
from hypothesis import given
from hypothesis import strategies as st

from xai_widgets.inverse import frequency

# ITU-T T.81, figure A.6: the index in the sequence of each coefficient.
JPEG = [
    [0, 1, 5, 6, 14, 15, 27, 28],
    [2, 4, 7, 13, 16, 26, 29, 42],
    [3, 8, 12, 17, 25, 30, 41, 43],
    [9, 11, 18, 24, 31, 40, 44, 53],
    [10, 19, 23, 32, 39, 45, 52, 54],
    [20, 22, 33, 38, 46, 51, 55, 60],
    [21, 34, 37, 47, 50, 56, 59, 61],
    [35, 36, 48, 49, 57, 58, 62, 63],
]


def test_zigzag_is_that_of_jpeg():
    assert torch.tensor(JPEG).flatten()[frequency.zigzag()].tolist() == list(range(64))


@given(st.integers(0, 99))
def test_the_transform_is_that_of_scipy_and_keeps_the_energy(seed):
    fft = pytest.importorskip("scipy.fft")
    x = torch.rand(5, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    made = frequency.dct(x)
    assert_close(made, fft.dctn(x.numpy(), type=2, norm="ortho", axes=(1, 2)))
    # Parseval.
    assert_close(made.square().sum((1, 2)), x.square().sum((1, 2)))


def test_patches_tile_the_image():
    x = torch.arange(2 * 19 * 26, dtype=torch.float64).view(2, 19, 26)
    made = frequency.patches(x)
    assert made.shape == (2 * 2 * 3, 8, 8)
    assert torch.equal(made[0], x[0, :8, :8])
    assert torch.equal(made[1], x[0, :8, 8:16])
    assert torch.equal(made[3], x[0, 8:16, :8])
    assert torch.equal(made[6 + 5], x[1, 8:16, 16:24])


def test_a_basis_function_has_power_at_its_index_only():
    index = torch.arange(8, dtype=torch.float64)

    def wave(k):
        return (math.pi * (2 * index + 1) * k / 16).cos()

    for row, column in ((0, 0), (0, 1), (3, 2), (7, 7)):
        x = 0.5 * wave(row)[:, None] * wave(column)
        made = frequency.spectra(x[None, None].float(), torch.ones(1, 8, 8)).every
        assert made.argmax() == JPEG[row][column]
        assert_close(made.max(), made.sum())


@given(st.integers(0, 99))
def test_all_patches_are_the_groups_weighted_by_their_numbers(seed):
    generator = torch.Generator().manual_seed(seed)
    x, alpha = torch.rand(2, 1, 33, 40, generator=generator), torch.rand(2, 33, 40, generator=generator)
    made = frequency.spectra(x, alpha)
    focused, unfocused = made.patches
    assert focused + unfocused == 2 * 4 * 5
    together = (focused * made.focused + unfocused * made.unfocused) / 40
    assert_close(together, made.every)
    cut = x[:, 0, :32].double()
    assert_close(made.every.sum(), cut.square().sum() / 40)
    assert made.level == near(alpha[:, :32].mean().item())


def test_focused_are_the_patches_above_the_mean():
    x = torch.full((1, 1, 16, 16), 0.5)
    x[0, 0, :8, :8] += 0.3 * torch.tensor([1.0, -1.0]).repeat(4)
    alpha = torch.full((1, 16, 16), 0.1)
    alpha[0, :8, :8] = 0.9
    made = frequency.spectra(x, alpha)
    assert made.patches == (1, 3)
    assert made.level == near(0.3)
    # The same brightness, but only one of the groups has details.
    assert_close(made.focused[0], made.unfocused[0])
    assert made.focused[1:].sum() == near(64 * 0.09)
    assert made.unfocused[1:].sum() < rounding(made.unfocused[0])


def test_images_of_several_sizes_and_color_make_one_set():
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(1, 3, 16, 24, generator=generator), torch.rand(2, 3, 8, 9, generator=generator)]
    maps = [torch.rand(1, 16, 24, generator=generator), torch.rand(2, 8, 9, generator=generator)]
    made = frequency.spectra(images, maps)
    assert sum(made.patches) == 6 + 2
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    gray = frequency.spectra([(image * weights).sum(1, keepdim=True) for image in images], maps)
    assert_close(made.focused, gray.focused)


def test_bands_are_the_means_over_the_diagonals():
    square = torch.rand(8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    made = frequency.bands(square.flatten()[frequency.zigzag()])
    # A turned square has the diagonals k + l for its own.
    for band in range(15):
        assert made[band] == near(square.flip(1).diagonal(7 - band).mean().item())


@given(st.integers(0, 99), st.integers(8, 20), st.integers(8, 20))
def test_light_is_the_share_that_a_patch_keeps(seed, height, width):
    generator = torch.Generator().manual_seed(seed)
    x, alpha = (torch.rand(2, 1, height, width, generator=generator) for _ in range(2))
    made = frequency.kept_brightness(x, alpha * x)
    assert made.shape == (2, height, width)
    before, after = (frequency.patches(image[:, 0]) for image in (x, alpha * x))
    shares = after.sum((1, 2)) / before.sum((1, 2))
    expected = shares[:, None, None].expand(-1, 8, 8)
    # The patches are in float64, what they are taken from is not.
    assert_close(frequency.patches(made), expected, dtype=torch.float32)
    # An alpha that is the same everywhere is the share.
    assert_close(frequency.kept_brightness(x, 0.25 * x)[:, :8, :8], torch.full((2, 8, 8), 0.25))
    assert (frequency.kept_brightness(0 * x, 0 * x) == 0).all()


def test_brightness_and_the_mean_of_alpha_differ_at_an_edge():
    x = torch.full((1, 1, 8, 16), 0.5)
    x[..., :4] = 0.01
    x_hat = x * 0.9
    # The dark side of the edge is lost, which held next to nothing.
    x_hat[..., :4] = 0
    x_hat[..., 8:] = 0.5 * 0.8
    shares = frequency.kept_brightness(x, x_hat)[0, 0]
    means = (x_hat / x)[0, 0].unflatten(1, (2, 8)).mean((0, 2))
    assert means[0] < means[1]
    assert shares[0] > shares[8]


def test_a_group_without_patches_is_nan():
    made = frequency.spectra(torch.rand(1, 1, 16, 16), torch.full((1, 16, 16), 0.5))
    assert made.patches == (0, 4)
    assert made.focused.isnan().all()
    assert_close(made.unfocused, made.every)


def test_what_does_not_fit_is_refused():
    x, alpha = torch.rand(1, 1, 16, 16), torch.rand(1, 16, 16)
    with pytest.raises(ValueError, match=r"expected alpha of shape \(1, 16, 16\), got \(1, 16, 15\)"):
        frequency.spectra(x, alpha[..., :15])
    with pytest.raises(ValueError, match="expected as many maps as images, got 2 and 1"):
        frequency.spectra(x, [alpha, alpha])
    with pytest.raises(ValueError, match="at least 8"):
        frequency.spectra(x[..., :7], alpha[..., :7])
    with pytest.raises(ValueError, match="expected alpha of at least 0, got -1"):
        frequency.spectra(x, alpha - alpha.min() - 1)
    with pytest.raises(ValueError, match=r"x_hat of \(1, 1, 16, 15\)"):
        frequency.kept_brightness(x, x[..., :15])
    with pytest.raises(ValueError, match="expected size to be an integer from 2 to 16384, got 1"):
        frequency.chirp(1)
    for extent in (0, -3, math.inf, math.nan):
        with pytest.raises(ValueError, match="expected extent to be a number"):
            frequency.chirp(8, extent)


def test_the_chirp_is_its_formula():
    made = frequency.chirp(5, extent=8)
    assert made.shape == (1, 1, 5, 5)
    for row in range(5):
        for column in range(5):
            x, y = 2 * column, 2 * row
            assert made[0, 0, row, column] == near((1 + math.sin(x**2 * y**2 / 1024)) / 2)


@pytest.mark.parametrize("size", [64, 256])
def test_the_chirp_reaches_the_highest_frequency_in_its_corner(size):
    made = frequency.chirp(size)[0, 0]
    assert 0 <= made.min() <= made.max() <= 1
    assert_close(made, made.T)
    # By the default extent, the phase grows by less than pi per pixel everywhere, by nearly that in the corner.
    extent = (512 * math.pi * (size - 1)) ** 0.25
    along = torch.linspace(0, extent, size, dtype=torch.float64)
    growth = (along.square() * along[-1] ** 2 / 1024).diff()
    assert growth.max() < math.pi
    assert growth.max() > math.pi * (1 - 3 / size)
    assert_close(made[-1], ((1 + (along**2 * along[-1] ** 2 / 1024).sin()) / 2).float())
    # More and more details from the upper left to the lower right.
    quarters = [
        made[i * size // 4 : (i + 1) * size // 4, i * size // 4 : (i + 1) * size // 4] for i in range(4)
    ]
    detail = [part.diff(dim=1).abs().mean().item() for part in quarters]
    assert detail == sorted(detail)
