"""The choices of the explorer of a network that makes images: colors, scale, images, box and kind of the output."""

import warnings

import numpy as np
import pytest
import torch
from closeness import near
from small_regression import LAMBDAS, PATIENCE, QUICK, explorer_of, gray_image, inverted
from torch import nn

from xai_widgets.data.low_resolution import blurred_pair
from xai_widgets.inverse import SolverSettings, layer_wise
from xai_widgets.inverse.evaluation import reconstruction
from xai_widgets.inverse.frequency import kept_brightness, spectra
from xai_widgets.ops.color import luminance, recolor

pytestmark = pytest.mark.filterwarnings("ignore:.*did not converge")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))


@pytest.fixture
def image():
    return gray_image()


def test_the_spectra_are_those_of_the_source_by_alpha_or_by_light(network, image):
    explorer = explorer_of(network, image)
    assert explorer.wait(PATIENCE)
    made, view = explorer.result, explorer.spectrum
    assert view.x.tolist() == list(range(64))
    assert view.only_active
    for mode, kept in (("alpha", made.alpha[:, 1]), ("light", kept_brightness(image, made.x[:, 1]))):
        found = spectra(image, kept)
        powers = {"focused": found.focused, "unfocused": found.unfocused, "all": found.every}
        for label, power in powers.items():
            (row,) = [
                row
                for row, one in enumerate(view.series)
                if (one["label"], one["frame"], one["mode"]) == (label, 1, mode)
            ]
            assert view.y[row] == near((10 * power.log10()).float().numpy())
    assert view._channels["mode"] == explorer.focus_picker._channels["value"]


def test_an_image_in_color_keeps_its_chrominance(network):
    color = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(3))
    explorer = explorer_of(network, color)
    assert explorer.wait(PATIENCE)
    x, inverse = luminance(color), explorer.result.x[0]
    with torch.no_grad():
        result = x + network(x)
    for name, y in (("x", x), ("x^", inverse), ("result", result)):
        view = explorer.images[name]
        expected = recolor(y, color.expand(len(y), -1, -1, -1)).movedim(1, 3)
        assert np.abs(view.images / 255.0 - expected.numpy()).max() < 0.502 / 255
        assert view.maps == near(y[:, 0].numpy())
        assert view.opacity == 0
    assert explorer.images["residual"].images is None
    assert explorer.images["residual"].opacity == explorer.images["alpha"].opacity == 1
    # The luminance is one choice of the display menu away.
    assert explorer.display._channels["opacity"] == explorer.images["result"]._channels["opacity"]


def test_another_scale_makes_another_input_and_its_truth(network, image):
    explorer = explorer_of(network, image)
    assert explorer.wait(PATIENCE)
    explorer.scale_picker.value = "3"
    assert explorer.wait(PATIENCE)
    x, truth = blurred_pair(image, 3)
    assert explorer.images["x"].maps == near(x[0].numpy())
    assert explorer.images["truth"].maps == near(truth[0].numpy())
    assert explorer.images["truth"].veil == ""
    assert len(explorer.similarity.y) == 6
    assert explorer.images["x^"].maps.shape == (len(LAMBDAS), 24, 30)
    # Results of a scale are kept.
    explorer.scale_picker.value = "as given"
    assert explorer.images["x"].maps == near(image[0].numpy())
    assert explorer.run_bar.status == "done"
    assert explorer.images["truth"].maps is None
    assert explorer.images["x^"].maps.shape == (len(LAMBDAS), 24, 32)
    with_truth = explorer_of(network, image, truth=image, start=False)
    assert with_truth.scale_picker.layout.display == "none"


def test_a_table_has_the_means_over_all_images(network):
    images = [torch.rand(1, 24, 32, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    explorer = explorer_of(network, images, scale=2, names=["a", "b", "b"])
    assert explorer.wait(PATIENCE)
    assert explorer.image_picker.options == ["a", "b", "b (3)"]
    rows = []
    for image in images:
        x, truth = blurred_pair(image[None], 2)
        made = inverted(network, x)
        three = [each.expand(3, -1, -1, -1) for each in (x, truth)]
        rows.append(reconstruction(network, three[0], made.x[0], three[1]))
    for frame in (1, 2):
        explorer.slider.frame = frame
        means = explorer.means()
        for index, name in enumerate("ABCDE"):
            for kind in ("mse", "psnr", "ssim"):
                expected = sum(float(getattr(row, kind)[frame, index]) for row in rows) / 3
                assert means[name][kind] == pytest.approx(expected, rel=1e-4)
        assert f"{1000 * means['A']['mse']:.3f}" in explorer.table.value
        assert f"Mean of 3 images at λ = {LAMBDAS[frame]:g}" in explorer.table.value
    # Only what is drawn is kept: no activations of the units inside.
    kept = [outcome.result.inverse.units for outcome in explorer.study.store.values()]
    assert [len(units) for units in kept] == [1, 1, 1]
    explorer.image_picker.value = "b"
    assert explorer.run_bar.status == "done"
    assert explorer.images["x"].maps[0] == near(blurred_pair(images[1][None], 2)[0][0, 0].numpy())
    assert explorer.means() == means


def test_a_box_of_the_output_is_inverted_alone(network, image):
    box = (4, 6, 10, 12)
    explorer = explorer_of(network, image, box=box)
    assert explorer.wait(PATIENCE)
    with torch.no_grad():
        residual = network(image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = layer_wise(network, image, box=box, lam=LAMBDAS, settings=QUICK).result(progress=False)
    assert explorer.images["x^"].maps == near(made.x[0, :, 0].numpy())
    shown = explorer.images["residual"].maps[0]
    assert np.isfinite(shown).sum() == 120
    assert shown[4:14, 6:18] == near(residual[0, 0, 4:14, 6:18].numpy())
    # The distances are those inside the box.
    inside = [each[..., 4:14, 6:18] for each in (image.expand(3, -1, -1, -1), made.x[0])]
    expected = (inside[0] - inside[1]).square().mean((1, 2, 3))
    assert explorer.mse.y[0] == near(1000 * expected.numpy())
    explorer.box_picker.value = "whole"
    assert explorer.wait(PATIENCE)
    assert np.isfinite(explorer.images["residual"].maps).all()


def test_a_box_goes_with_the_marked_position(network, image):
    explorer = explorer_of(network, image)
    assert explorer.wait(PATIENCE)
    assert explorer.box_picker.options == ["whole", "8", "16"]
    explorer.box_picker.value = "8"
    assert explorer.wait(PATIENCE)
    assert set(zip(*np.nonzero(np.isfinite(explorer.images["residual"].maps[0])), strict=True)) == {
        (row, column) for row in range(8, 16) for column in range(12, 20)
    }
    explorer.images["x"].position = [0.0, 1.0]
    assert explorer.wait(PATIENCE)
    assert explorer._key().box == (16, 0, 8, 8)
    assert np.isfinite(explorer.images["residual"].maps[0, 16:, :8]).all()
    assert np.isfinite(explorer.images["residual"].maps[0]).sum() == 64


def test_an_output_that_is_the_image_is_found_and_reported(image):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))
    with torch.no_grad():
        for part in (network[0], network[2]):
            part.weight.mul_(0.02)
            part.bias.zero_()
        network[0].weight[0, 0, 1, 1] = network[2].weight[0, 0, 1, 1] = 1
    explorer = explorer_of(network, image)
    assert explorer.wait(PATIENCE)
    assert "returns the image" in explorer.facts.value
    inverse = explorer.result.x[0]
    with torch.no_grad():
        output, of_inverse = network(image), network(inverse)
    assert explorer.images["residual"].maps == near((output - image)[:, 0].numpy(), scale=image)
    assert explorer.images["result"].maps == near(output[:, 0].numpy())
    assert explorer.images["result of x^"].maps == near(of_inverse[:, 0].numpy())
    given = explorer_of(network, image, returns="residual", start=False)
    assert given.study.returns == "residual"
    assert given.study.run(given._key()).total > 0


class Skip(nn.Module):
    """Adds its residual to its input, like the published VDSR, or subtracts it."""

    def __init__(self, body, sign):
        super().__init__()
        self.body, self.sign = body, sign

    def forward(self, x):
        return x + self.body(x) if self.sign > 0 else x - self.body(x)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_skip_inside_forward_is_found_and_its_residual_inverted(network, image, sign):
    explorer = explorer_of(Skip(network, sign), image)
    assert explorer.wait(PATIENCE)
    plain = inverted(network, image)
    assert explorer.images["x^"].maps == near(plain.x[0, :, 0].numpy())
    with torch.no_grad():
        residual, of_inverse = sign * network(image), sign * network(plain.x[0])
    assert explorer.images["residual"].maps == near(residual[:, 0].numpy())
    assert explorer.images["result of x^"].maps == near((image + of_inverse)[:, 0].numpy())
    assert "its residual is inverted" in explorer.facts.value
    with pytest.raises(ValueError, match="expected returns='image'"):
        explorer_of(Skip(network, sign), image, returns="residual")


def test_a_network_of_one_unit_is_reported(image):
    torch.manual_seed(0)
    explorer = explorer_of(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)), image)
    assert explorer.wait(PATIENCE)
    assert "one unit" in explorer.facts.value


def test_units_that_did_not_converge_are_named(network, image):
    explorer = explorer_of(network, image, settings=SolverSettings(steps=1))
    assert explorer.wait(PATIENCE)
    assert explorer.study.result(explorer._key()).unconverged
    assert "did not converge" in explorer.facts.value
