"""The methods from their formulas, on networks small enough to work out by hand."""

import warnings

import numpy as np
import pytest
import torch
from closeness import assert_close, near
from hypothesis import given
from hypothesis import strategies as st
from networks import (
    CLASSES,
    RELU_NETWORKS,
    SIZE,
    Concat,
    Functional,
    Linear,
    SharedInPlace,
    images,
    settle,
    wrap,
)
from torch import nn

import xai_widgets.attribution as attribution
from xai_widgets.attribution.noise import noisy_copies
from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS, as_method
from xai_widgets.methods.path_integral import nodes


def differences(model, x, target, step=1e-6):
    """Central differences of the score by each pixel, in double precision."""
    steps = torch.eye(x.numel(), dtype=x.dtype).view(-1, *x.shape[1:]) * step

    def score(pixels):
        return model.module((pixels - model.mean) / model.std)[:, target]

    with torch.no_grad():
        return ((score(x + steps) - score(x - steps)) / (2 * step)).view(x.shape)


@pytest.mark.parametrize("network", RELU_NETWORKS.values())
def test_the_gradient_is_the_slope_of_the_score(network):
    model = wrap(settle(network()).double())
    x = images(1).double()
    made = attribution.gradient(model, x, 2)
    assert_close(made, differences(model, x, 2).float())


def test_gradient_x_input_is_the_product():
    model, x = wrap(settle(Functional())), images(2)
    assert_close(attribution.gradient_x_input(model, x, 1), x * attribution.gradient(model, x, 1))


def test_saliency_maps_are_those_of_the_sources():
    values = torch.tensor([[-3.0, 1.0], [2.0, -1.0], [0.5, -4.0]]).view(1, 3, 1, 2)
    largest, total, size = [3, 4], [-0.5, -4], [0.5, 4]
    reference = {
        "gradient": largest, "gradient_x_input": total, "deconvnet": largest, "guided_backprop": largest,
        "integrated_gradients": total, "guided_nonlinearity": size, "smoothgrad": largest, "smoothgrad_squared": total,
        "grad_cam": total,
        "excitation_backprop": total, "contrastive_excitation_backprop": total, "lrp": total,
    }  # fmt: skip
    assert {name: METHODS[name].reduce(values).flatten().tolist() for name in reference} == reference


# -- a network of two ReLUs, by hand ----------------------------------------------------------------------


class Two(nn.Module):
    """S = 3 relu(u) - 2 relu(v), u = 2a - b, v = a + b - 0.5, with a and b the pixels of a 1 x 2 gray image."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.outer = nn.Linear(2, 1)
        with torch.no_grad():
            self.inner.weight.copy_(torch.tensor([[2.0, -1.0], [1.0, 1.0]]))
            self.inner.bias.copy_(torch.tensor([0.0, -0.5]))
            self.outer.weight.copy_(torch.tensor([[3.0, -2.0]]))
            self.outer.bias.zero_()

    def forward(self, x):
        return self.outer(self.inner(x.flatten(1)).relu())


@pytest.fixture
def two():
    return ImageModel(Two(), size=(1, 2), mean=[0.0], std=[1.0])


#: a = 0.8, b = 0.4: u = 1.2 and v = 0.7 are both positive.
X = torch.tensor([0.8, 0.4]).view(1, 1, 1, 2)
#: a = 0.2, b = 0.1: u = 0.3 is positive, v = -0.2 is not.
LOW = torch.tensor([0.2, 0.1]).view(1, 1, 1, 2)
#: a = 0.2, b = 0.6: u = -0.2 is not positive, v = 0.3 is.
NEGATIVE = torch.tensor([0.2, 0.6]).view(1, 1, 1, 2)


@pytest.mark.parametrize(
    ("method", "x", "expected"),
    [
        ("gradient", X, [3 * 2 - 2, -3 - 2]),
        ("gradient", LOW, [6, -3]),
        ("gradient", NEGATIVE, [-2, -2]),
        ("guided_backprop", X, [6, -3]),
        ("guided_backprop", NEGATIVE, [0, 0]),
        ("deconvnet", X, [6, -3]),
        # The forward mask is ignored: 3 comes back through a ReLU that was off.
        ("deconvnet", NEGATIVE, [6, -3]),
        ("gradient_x_input", X, [4 * 0.8, -5 * 0.4]),
    ],
)
def test_two_relus_by_hand(two, method, x, expected):
    assert_close(METHODS[method](two, x, 0).flatten(), torch.tensor(expected, dtype=torch.float32))


def test_integrated_gradients_by_hand(two):
    # Along alpha * x, u is positive throughout and v = 1.2 alpha - 0.5 from alpha = 5/12 on: at 7 of 12 points.
    made = attribution.integrated_gradients(two, X, 0, steps=12, quadrature="midpoint").flatten()
    assert_close(made, torch.tensor([0.8 * (6 - 2 * 7 / 12), 0.4 * (-3 - 2 * 7 / 12)]))
    gap = attribution.completeness_gap(two, made.view(1, 1, 1, 2), X, 0)
    assert_close(gap, torch.zeros(1), scale=made)


def test_the_completeness_gap_of_gnl_by_hand(two):
    made = attribution.guided_nonlinearity(two, X, 0, steps=12, quadrature="midpoint")
    # The way over v comes back negative and is cut at every point: what is left is 3 u.
    assert_close(made.flatten(), torch.tensor([0.8 * 6, 0.4 * -3]))
    # S(x) - S(0) = 3 * 1.2 - 2 * 0.7 = 2.2; the attribution sums to 3 * 1.2 = 3.6.
    gap = attribution.completeness_gap(two, made, X, 0)
    assert_close(gap, torch.tensor([1.4]))


def test_the_gap_against_another_baseline(two):
    # S(LOW) = 3 * 0.3; on the way from LOW to X u stays positive, and GNL gives 3 (u(X) - u(LOW)) = 2.7.
    made = attribution.guided_nonlinearity(two, X, 0, baseline=LOW[0])
    assert_close(made.sum(), torch.tensor(2.7))
    gap = attribution.completeness_gap(two, made, X, 0, baseline=LOW[0])
    assert_close(gap, torch.tensor([2.7 - (2.2 - 0.9)]))


# -- completeness -----------------------------------------------------------------------------------------


@given(
    baseline=st.floats(0, 1, width=32),
    steps=st.integers(1, 20),
    quadrature=st.sampled_from(["right", "midpoint"]),
)
def test_integrated_gradients_of_a_linear_network_leave_no_gap(baseline, steps, quadrature):
    model, x = wrap(settle(Linear())), images(2)
    made = attribution.integrated_gradients(
        model, x, [0, 3], baseline=baseline, steps=steps, quadrature=quadrature
    )
    gap = attribution.completeness_gap(model, made, x, [0, 3], baseline=baseline)
    assert_close(gap, torch.zeros(2), scale=made.abs().sum())
    assert_close(made, (x - baseline) * attribution.gradient(model, x, [0, 3]))


@pytest.mark.parametrize("network", RELU_NETWORKS.values())
def test_the_gap_of_integrated_gradients_goes_with_the_steps(network):
    model, x = wrap(settle(network())), images(2)
    gaps = []
    for steps in (4, 400):
        made = attribution.integrated_gradients(model, x, 1, steps=steps, quadrature="midpoint")
        gaps.append(attribution.completeness_gap(model, made, x, 1).abs().max())
    change = (model.scores(x) - model.scores(torch.zeros_like(x)))[:, 1].abs().max()
    assert gaps[1] < 0.01 * change
    assert gaps[1] < gaps[0]


def test_a_gap_gives_a_warning_with_both_numbers():
    model, x = wrap(settle(Concat())), images(1)
    # The network is steep far from its kinks: one point at the end of the path is not enough.
    with torch.no_grad():
        model.module.stem.bias -= 2
    change = (model.scores(x) - model.scores(torch.zeros_like(x)))[0, 1].item()
    with pytest.warns(UserWarning, match="increase steps=1") as caught:
        made = attribution.integrated_gradients(model, x, 1, steps=1)
    assert f"(sum {made.sum().item():.3g}, expected {change:.3g})" in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attribution.integrated_gradients(model, x, 1, steps=400, quadrature="midpoint")


def test_baselines_of_every_kind_agree():
    model, x = wrap(settle(Concat())), images(2)
    expected = attribution.integrated_gradients(model, x, 1, baseline=0.25, steps=3)
    gray = torch.full((3, SIZE, SIZE), 0.25)
    for baseline in (
        gray,
        gray[None],
        gray.expand(2, 3, SIZE, SIZE),
        gray.permute(1, 2, 0).numpy(),
        np.float32(0.25),
        torch.tensor(0.25),
    ):
        assert torch.equal(
            attribution.integrated_gradients(model, x, 1, baseline=baseline, steps=3), expected
        )
    one_each = attribution.integrated_gradients(model, x, 1, baseline=torch.stack([gray, 1 - gray]), steps=3)
    assert torch.equal(one_each[:1], expected[:1])
    assert torch.equal(
        one_each[1:], attribution.integrated_gradients(model, x[1:], 1, baseline=0.75, steps=3)
    )
    trained = gray.clone().requires_grad_()
    assert not attribution.integrated_gradients(model, x, 1, baseline=trained, steps=3).requires_grad


@pytest.mark.parametrize("method", ["integrated_gradients", "guided_nonlinearity"])
def test_a_path_of_one_point_is_the_gradient_there(method):
    model, x = wrap(settle(SharedInPlace())), images(2)
    inner = {"integrated_gradients": "gradient"}.get(method)
    made = METHODS[method](model, x, 1, steps=1)
    if inner:
        assert_close(made, x * METHODS[inner](model, x, 1))
    half = METHODS[method](model, x, 1, steps=2)
    middle = METHODS[method](model, x / 2, 1, steps=1) * 2
    assert_close(half, (made + middle) / 2)


@given(steps=st.integers(1, 60), degree=st.integers(0, 3))
def test_nodes_integrate_what_they_promise(steps, degree):
    def integral(quadrature):
        points, weights = nodes(quadrature, steps)
        assert len(points) == steps
        assert all(0 <= point <= 1 for point in points)
        assert sum(weights) == near(1)
        return sum(weight * point**degree for point, weight in zip(points, weights, strict=True))

    assert abs(integral("right") - 1 / (degree + 1)) <= 1 / steps + 1e-9
    assert abs(integral("midpoint") - 1 / (degree + 1)) <= degree / (steps**2) + 1e-9
    if 2 * steps - 1 >= degree:
        assert integral("gauss_legendre") == near(1 / (degree + 1))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
@pytest.mark.parametrize("method", ["integrated_gradients", "guided_nonlinearity", "smoothgrad"])
def test_the_batch_size_does_not_matter(method, batch_size):
    model, x = wrap(settle(SharedInPlace())), images(2)
    count = {"samples": 7} if method == "smoothgrad" else {"steps": 7}
    expected = METHODS[method](model, x, 1, **count)
    made = METHODS[method](model, x, 1, batch_size=batch_size, **count)
    assert_close(made, expected)


# -- guided nonlinearity ----------------------------------------------------------------------------------


def make_positive(network):
    """Every weight after the first ReLU at least 0: no gradient that comes back to a nonlinearity is negative."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "weight" in name and "conv1" not in name.split(".")[:1] and "stem" not in name:
                parameter.abs_()
    return network


@pytest.mark.parametrize("network", RELU_NETWORKS)
def test_gnl_is_integrated_gradients_where_no_gradient_is_negative(network):
    network = settle(RELU_NETWORKS[network]())
    model = wrap(make_positive(network), mean=[0.4, 0.45, 0.5], std=[0.25, 0.2, 0.3])
    x = images(2)
    made = attribution.guided_nonlinearity(model, x, 1, steps=9)
    assert_close(made, attribution.integrated_gradients(model, x, 1, steps=9))
    assert made.abs().sum() > 0


@pytest.mark.parametrize("network", RELU_NETWORKS)
def test_gnl_differs_from_integrated_gradients_where_some_are(network):
    model, x = wrap(settle(RELU_NETWORKS[network]())), images(2)
    made = attribution.guided_nonlinearity(model, x, 1, steps=9)
    assert not torch.allclose(
        made, attribution.integrated_gradients(model, x, 1, steps=9), rtol=0.1, atol=1e-3
    )


def test_gnl_cuts_at_max_pooling_too():
    class Pooled(nn.Module):
        """S = relu(a) + sum of maxima with signs; a ReLU elsewhere, so that GNL takes the network."""

        def forward(self, x):
            pooled = torch.nn.functional.max_pool2d(x, (1, 2))[:, :, 0]
            return (pooled[..., :1] - 2 * pooled[..., 1:] + 0 * x[:, :, 0, :1].relu()).flatten(1)

    model = ImageModel(Pooled(), size=(1, 4), mean=[0.0], std=[1.0])
    x = torch.tensor([0.3, 0.9, 0.2, 0.7]).view(1, 1, 1, 4)
    assert_close(attribution.integrated_gradients(model, x, 0).flatten(), torch.tensor([0, 0.9, 0, -1.4]))
    assert_close(attribution.guided_nonlinearity(model, x, 0).flatten(), torch.tensor([0, 0.9, 0, 0]))


# -- SmoothGrad and Grad-CAM ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "inner", ["gradient", "guided_backprop", "grad_cam", lambda model, x, target: x.sum(1)]
)
def test_smoothgrad_without_noise_is_the_method_itself(inner):
    model, x = wrap(settle(SharedInPlace())), images(2)
    made = attribution.smoothgrad(model, x, 1, method=inner, sigma=0, samples=3)
    assert_close(made, as_method(inner)(model, x, 1))


def test_smoothgrad_draws_normal_noise_by_the_range_of_each_image():
    model = wrap(settle(Linear()))
    x = torch.stack([images(1)[0], images(1)[0] * 0.5])
    seen = []

    def spy(model, x, target):
        seen.append(x.clone())
        return x

    attribution.smoothgrad(model, x, 1, method=spy, samples=400, sigma=0.2)
    # The copies of both take turns.
    for n, image in enumerate(x):
        noise = torch.cat(seen)[n::2] - image
        spread = 0.2 * (image.max() - image.min())
        assert noise.std().item() == pytest.approx(spread.item(), rel=0.02)
        assert abs(noise.mean().item()) < 0.01 * spread
        assert len({copy.sum().item() for copy in noise}) == 400, "every copy has noise of its own"


def test_smoothgrad_squared_is_the_mean_of_the_squares():
    model, x = wrap(settle(Linear())), images(2)
    # The gradient of a linear network is the same everywhere.
    made = attribution.smoothgrad_squared(model, x, 1, samples=3)
    assert_close(made, attribution.gradient(model, x, 1).square())
    model = wrap(settle(SharedInPlace()))
    copies = [point.pixels for point in noisy_copies(x[:1], 4, 0.3, 2)]
    squares = attribution.gradient.function(
        model, torch.stack(copies), torch.ones(4, dtype=torch.long)
    ).square()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = attribution.smoothgrad_squared(model, x[:1], 1, samples=4, sigma=0.3, seed=2)
    assert_close(made, squares.mean(0, keepdim=True))


def test_noise_in_which_the_class_is_lost_gives_a_warning():
    class Smooth(nn.Module):
        """Class 1 is a smooth image."""

        def forward(self, x):
            rough = (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))
            return torch.stack([rough * 100, 10 - rough * 100, *[0 * rough] * (CLASSES - 2)], 1)

    model, x = wrap(Smooth()), torch.linspace(0, 1, 8).expand(1, 3, 8, 8) * 0.01
    for name in ("smoothgrad", "smoothgrad_squared"):
        with pytest.warns(
            UserWarning, match=r"probability of the target for Smooth falls from 1 to .*decrease sigma"
        ):
            METHODS[name](model, x, 1, samples=2, sigma=20)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            METHODS[name](model, x, 1, samples=2, sigma=0.001)


def test_smoothgrad_hangs_on_its_seed_alone():
    model, x = wrap(settle(SharedInPlace())), images(1)
    first = attribution.smoothgrad(model, x, 1, seed=1, samples=3)
    assert torch.equal(attribution.smoothgrad(model, x, 1, seed=1, samples=3), first)
    assert not torch.equal(attribution.smoothgrad(model, x, 1, seed=2, samples=3), first)


def test_smoothgrad_keeps_the_predicted_class_of_the_clean_image():
    model, x, seen = wrap(settle(Functional())), images(1), []

    def spy(model, x, target):
        seen.extend(target.tolist())
        return x

    attribution.smoothgrad(model, x, method=spy, sigma=5, samples=30)
    assert set(seen) == {model.scores(x).argmax().item()}


def test_smoothgrad_passes_options_on():
    model, x = wrap(settle(SharedInPlace())), images(1)
    made = attribution.smoothgrad(model, x, 1, method="grad_cam", layer="conv1", samples=2)
    assert made.shape == (1, 1, SIZE, SIZE)


@pytest.mark.parametrize("layer", ["conv1", "pool", "block1", "block2", None])
def test_grad_cam_is_its_formula(layer):
    model, x = wrap(settle(SharedInPlace())), images(2)
    name = layer or "block2"
    activation = model.activations(x, name)[name].requires_grad_()
    (gradient,) = torch.autograd.grad(model.forward_from(name, activation)[:, 1].sum(), activation)
    expected = (gradient.mean((2, 3), keepdim=True) * activation).sum(1, keepdim=True).relu().detach()
    assert (expected == 0).any() or (expected > 0).all()
    assert_close(attribution.grad_cam(model, x, 1, layer=layer), expected)
