"""The explorer of inverted residuals without a browser: what the views are given, and what they are never given."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from closeness import near
from small_regression import LAMBDAS, PATIENCE, explorer_of, gray_image, inverted
from torch import nn

from xai_widgets.data.low_resolution import blurred_pair
from xai_widgets.inverse.evaluation import reconstruction

pytestmark = pytest.mark.filterwarnings("ignore:.*did not converge")


class Hold(nn.Module):
    """Stops passes of other threads until it is let go."""

    def __init__(self):
        super().__init__()
        self.go, self.stands = threading.Event(), threading.Event()
        self.go.set()

    def forward(self, x):
        if threading.current_thread() is not threading.main_thread() and not self.go.is_set():
            self.stands.set()
            assert self.go.wait(PATIENCE)
        return x


@pytest.fixture
def hold():
    hold = Hold()
    yield hold
    hold.go.set()


@pytest.fixture
def network(hold):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))
    Hold.__module__ = "torch.nn.modules.linear"
    return nn.Sequential(hold, *body)


@pytest.fixture
def image():
    return gray_image()


def test_pictures_and_curves_are_those_of_the_inverse(network, image):
    explorer = explorer_of(network, image)
    assert explorer.wait(PATIENCE)
    assert (explorer.run_bar.status, explorer.run_bar.error, explorer.run_bar.progress) == ("done", "", 1.0)
    made = inverted(network, image)
    inverse = made.x[0]
    with torch.no_grad():
        residual, of_inverse = network(image), network(inverse)
    expected = {
        "x": image,
        "x^": inverse,
        "alpha": made.alpha[0][:, None],
        "residual": residual,
        "residual of x^": of_inverse,
        "result": image + residual,
        "result of x^": image + of_inverse,
    }
    assert set(explorer.images) == {*expected, "truth"}
    assert explorer.images["truth"].maps is None
    assert explorer.images["truth"].veil
    for name, maps in expected.items():
        assert explorer.images[name].maps == near(maps[:, 0].numpy()), name
    assert explorer.images["residual"].limit == pytest.approx(float(residual.abs().max()))
    assert explorer.images["residual of x^"].limit == explorer.images["residual"].limit
    five = reconstruction(network, image.expand(3, -1, -1, -1), inverse, image.expand(3, -1, -1, -1))
    # Without a truth there is nothing to measure d_D and d_E with.
    assert explorer.similarity.x == pytest.approx(LAMBDAS)
    assert explorer.similarity.y[:3] == near(five.ssim[:, :3].T.numpy())
    assert explorer.similarity.y[3:] == near(made.mean_alpha.numpy())
    assert [one["note"] for one in explorer.similarity.series[:3]] == ["d_A", "d_B", "d_C"]
    assert explorer.psnr.y == near(five.psnr[:, :2].T.numpy())
    assert explorer.mse.y == near(1000 * five.mse[:, :2].T.numpy())
    for curves in (explorer.psnr, explorer.mse):
        assert curves.steps.tolist() == explorer.similarity.steps.tolist() == curves.x.tolist()
    assert explorer.slider.values == list(LAMBDAS)
    # The source chooses 0.15, and 0.2 is the nearest here.
    assert explorer.slider.frame == 1


def test_the_mean_squared_errors_of_the_table_are_those_of_the_plot(network, image):
    explorer = explorer_of(network, image)
    assert explorer.wait(PATIENCE)
    assert "MSE, 10⁻³" in explorer.table.value
    frame = explorer.slider.frame
    for row in explorer.mse.y:
        assert f">{row[frame]:.3f}<" in explorer.table.value


def test_with_a_scale_the_image_is_the_truth(network):
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    explorer = explorer_of(network, image, scale=2, size=32, start=False)
    gray = (image / 255 @ [0.299, 0.587, 0.114])[4:36, 9:41]
    truth = torch.tensor(gray, dtype=torch.float32)[None, None]
    x, known = blurred_pair(truth, 2)
    assert explorer.images["truth"].maps == near(known[0].numpy())
    assert explorer.images["x"].maps == near(x[0].numpy())
    assert explorer.run_bar.status == "idle"
    explorer.compute()
    assert explorer.wait(PATIENCE)
    five = explorer.reconstruction
    assert (five.mse[:, 3] > 0).all()
    assert explorer.similarity.y[:5] == pytest.approx(five.ssim.T.numpy())
    # d_C has the PSNR of d_B; a pair has one color in both plots.
    assert explorer.psnr.y == pytest.approx(five.psnr.T[[0, 1, 3, 4]].numpy())
    assert [one["frame"] for one in explorer.psnr.series] == [0, 1, 3, 4]
    assert [one["note"] for one in explorer.psnr.series] == ["d_A", "d_B", "d_D", "d_E"]


def test_frames_and_places_are_joined_in_the_page(network, image):
    explorer = explorer_of(network, image, start=False)
    views = list(explorer.images.values())
    assert len({view._channels["frame"] for view in [explorer.slider, explorer.spectrum, *views]}) == 1
    assert len({view._channels["position"] for view in views}) == 1
    curves = [explorer.similarity, explorer.psnr, explorer.mse]
    assert {view._channels["step"] for view in curves} == {explorer.slider._channels["frame"]}
    assert explorer.similarity._channels["frame"] == explorer.psnr._channels["frame"]
    assert explorer.psnr._channels["frame"] != explorer.slider._channels["frame"]


def test_a_cancel_shows_nothing_and_the_button_starts_anew(network, hold, image):
    explorer = explorer_of(network, image, start=False)
    hold.go.clear()
    explorer.compute()
    assert hold.stands.wait(PATIENCE)
    explorer.cancel()
    assert explorer.run_bar.status == "cancelled"
    hold.go.set()
    assert explorer.wait(PATIENCE)
    assert explorer.result is explorer.images["x^"].maps is explorer.psnr.y is None
    assert explorer.images["x"].maps is not None
    explorer.compute()
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.status == "done"
    first = explorer.images["x^"].maps.copy()
    hold.go.clear()
    hold.stands.clear()
    explorer.compute(again=True)
    assert hold.stands.wait(PATIENCE)
    assert explorer.images["x^"].maps is explorer.spectrum.y is explorer.reconstruction is None
    hold.go.set()
    assert explorer.wait(PATIENCE)
    assert np.array_equal(explorer.images["x^"].maps, first)


def test_what_needs_no_inverse_is_there_before_it(network, hold, image):
    explorer = explorer_of(network, image, start=False)
    with torch.no_grad():
        residual = network(image)
    inverse = explorer.images["x^"]
    seen = []
    explorer.run_bar.observe(lambda _change: seen.append(inverse.maps is None), "progress")
    explorer.images["residual"].observe(lambda change: seen.append(change.new is not None), "maps")
    explorer.compute()
    assert explorer.wait(PATIENCE)
    # The residual came while there was no inverse yet.
    assert seen[:3] == [True, True, True]
    assert explorer.images["residual"].maps == near(residual[0].numpy())


def test_pairs_without_a_difference_have_no_psnr(image):
    identity = nn.Sequential(nn.Conv2d(1, 1, 1))
    with torch.no_grad():
        for parameter in identity.parameters():
            parameter.zero_()
    explorer = explorer_of(identity, image)
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.status == "done"
    assert np.isnan(explorer.psnr.y[1]).all()
    assert (explorer.similarity.y[1] == 1).all()


def test_an_error_is_said_and_the_next_run_starts_anew(network, image):
    class Broken(RuntimeError):
        pass

    explorer = explorer_of(network, image)
    assert explorer.wait(PATIENCE)
    forward = network[1].forward

    def fail(x):
        raise Broken("out of order")

    network[1].forward = fail
    explorer.compute(again=True)
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.status == "error"
    assert "out of order" in explorer.run_bar.error
    assert explorer.result is explorer.images["x^"].maps is explorer.similarity.y is None
    network[1].forward = forward
    explorer.compute(again=True)
    assert explorer.wait(PATIENCE)
    assert (explorer.run_bar.status, explorer.run_bar.error) == ("done", "")
    assert explorer.images["x^"].maps is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": 3}, "expected network to be a torch module, got int"),
        ({"network": nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3))}, "a single unit"),
        ({"image": torch.rand(2, 1, 24, 32), "truth": torch.rand(1, 1, 24, 32)}, "expected one image with"),
        ({"image": []}, "expected at least one image"),
        ({"box": (20, 0, 8, 8)}, "expected box as .* inside 24 x 32 pixels"),
        ({"network": nn.Sequential(nn.Conv2d(1, 1, 3))}, "expected a network that returns the shape"),
        ({"scale": 5}, "expected scale to be an integer from 2 to 4, got 5"),
        ({"scale": 2, "truth": torch.rand(1, 1, 24, 32)}, "expected scale or truth, got both"),
        (
            {"truth": torch.rand(1, 1, 24, 24)},
            "expected a truth of 24 x 32 pixels, as the image, got 24 x 24",
        ),
        ({"lam": (0.3, 0.1)}, "ascending numbers"),
        ({"size": 3}, "expected size of at least 16 pixels, got 3"),
        ({"regularizer": "l3"}, "unknown regularizer"),
    ],
)
def test_bad_input_is_named_in_one_sentence(network, image, change, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        explorer_of(**{"network": network, "image": image, **change})
    assert "\n" not in str(caught.value)


def test_close_closes_every_part(network, image):
    explorer = explorer_of(network, image, start=False)
    parts = [
        explorer.slider,
        explorer.similarity,
        explorer.psnr,
        explorer.mse,
        explorer.spectrum,
        explorer.table,
        explorer.tabs,
        explorer.scale_picker,
        explorer.run_bar,
        *explorer.images.values(),
    ]
    explorer.close()
    assert all(part.comm is None for part in (explorer, *parts))


def test_a_black_inverse_has_a_note(network, image):
    explorer = explorer_of(network, image)
    assert explorer.wait(PATIENCE)
    assert explorer.images["x^"].notes == [""] * len(LAMBDAS)
    x = explorer.result.x.clone()
    x[0, 2] = 0
    units = (replace(explorer.result.units[-1], x=x),)
    key = explorer._key()
    shown = replace(explorer.study.result(key), inverse=replace(explorer.result, units=units))
    explorer._draw_result(key, shown)
    assert explorer.images["x^"].notes == ["", "", "Black: nothing of the image is kept."]


def test_an_image_of_the_user_replaces_the_first_one(network, image):
    explorer = explorer_of(network, image, scale=2)
    assert explorer.wait(PATIENCE)
    before = explorer.images["x^"].maps
    other = torch.rand(1, 1, 40, 48, generator=torch.Generator().manual_seed(2))
    explorer.image = other
    assert explorer.wait(PATIENCE)
    blurred, truth = blurred_pair(other, 2)
    assert explorer.images["x"].maps[0] == near(blurred[0, 0].numpy())
    assert explorer.images["truth"].maps[0] == near(truth[0, 0].numpy())
    assert explorer.images["residual"].maps[0] == near(network(blurred)[0, 0].detach().numpy())
    assert explorer.images["x^"].maps.shape != before.shape
    assert explorer.menu.opens


def test_an_image_with_a_truth_of_its_own_is_not_replaced(network, image):
    explorer = explorer_of(network, image, truth=image)
    assert explorer.wait(PATIENCE)
    assert not explorer.menu.opens
    with pytest.raises(ValueError, match="expected an explorer without truth"):
        explorer.image = image
