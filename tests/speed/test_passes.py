"""Methods make no more passes than their formula needs: multiply-adds, which are equal on every machine.

The products that make masks, segments and weights count, too; ``//`` leaves them out where they are less than a pass.
"""

import pytest
import torch
from torch import nn

from xai_widgets import perturbation, similarity
from xai_widgets.core.cost import operations_of
from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS
from xai_widgets.metrics import deletion

SIDE, N = 32, 8


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
    ).eval()  # fmt: skip
    found = ImageModel(network, size=SIDE, mean=[0.5] * 3, std=[0.5] * 3, device="cpu")
    # The default layer is found once; finding it is not a cost of a method.
    found.default_layer()
    return found


@pytest.fixture(scope="module")
def x():
    return torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


TARGET = torch.tensor([1])


def forward(model, x):
    """Return the multiply-adds of a forward pass of one image by the bare network."""
    with torch.no_grad():
        return operations_of(lambda: model.module(x)).multiply_adds


def both(model, x):
    """Return those of a forward pass and a backward pass to the pixels."""
    x = x.clone().requires_grad_()
    return operations_of(lambda: torch.autograd.grad(model.module(x)[0, 1], x)).multiply_adds


def of(work):
    """Return the multiply-adds of the second call, which knows the network."""
    work()
    return operations_of(work).multiply_adds


@pytest.mark.parametrize("name", ["gradient", "gradient_x_input", "guided_backprop", "deconvnet"])
def test_a_gradient_is_one_forward_and_one_backward_pass(model, x, name):
    assert of(lambda: METHODS[name](model, x, TARGET)) == both(model, x)


@pytest.mark.parametrize("name", ["grad_cam", "grad_cam_plus_plus", "linear_approximation"])
def test_a_cam_goes_back_to_its_layer_only(model, x, name):
    assert of(lambda: METHODS[name](model, x, TARGET, layer="5")) < both(model, x)


def test_deep_lift_adds_a_forward_pass_of_the_reference(model, x):
    assert of(lambda: METHODS["deep_lift"](model, x, TARGET)) <= both(model, x) + forward(model, x)


def test_integrated_gradients_add_two_forward_passes_that_measure_the_change(model, x):
    made = of(lambda: METHODS["integrated_gradients"](model, x, TARGET, steps=N))
    assert made <= N * both(model, x) + 2 * forward(model, x)


def test_smoothgrad_adds_four_forward_passes(model, x):
    made = of(lambda: METHODS["smoothgrad"](model, x, TARGET, samples=N))
    assert made <= N * both(model, x) + 4 * forward(model, x)


def test_rise_is_a_forward_pass_of_each_mask(model, x):
    made = of(lambda: perturbation.rise(model, x, 1, masks=N).result(progress=False))
    assert made // forward(model, x) == N


@pytest.mark.parametrize("name", ["lime", "kernel_shap"])
def test_a_surrogate_is_a_forward_pass_of_each_coalition(model, x, name):
    segments = (torch.arange(SIDE)[:, None] // 8 * 4 + torch.arange(SIDE) // 8)[None]
    compute = getattr(perturbation, name)
    made = of(lambda: compute(model, x, 1, segments=segments, samples=2 * N).result(progress=False))
    assert made // forward(model, x) <= 2 * N


def test_occlusion_is_a_forward_pass_of_each_window_and_of_the_image(model, x):
    made = of(lambda: perturbation.occlusion(model, x, 1, window=8, stride=8).result(progress=False))
    assert made // forward(model, x) == 16 + 1


def test_a_deletion_curve_is_a_forward_pass_of_each_step_and_of_the_image(model, x):
    made = of(lambda: deletion(model, x, x.mean(1), 1, steps=N).result(progress=False))
    assert made <= (N + 1) * forward(model, x)


def test_the_similarity_of_ten_images_is_a_forward_pass_of_each(model, x):
    images = x.repeat(10, 1, 1, 1)
    made = of(lambda: similarity.activation_grids(model, images, "5").result(progress=False))
    assert made <= 10 * forward(model, x)
