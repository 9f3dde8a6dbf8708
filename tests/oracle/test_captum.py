"""Every method equals Captum's, or where Captum has none, zennit's, pytorch-grad-cam's or one by hooks written here."""

import captum.attr
import numpy as np
import pytest
import torch
import zennit_twins
from closeness import assert_close, rounding
from pytorch_grad_cam import GradCAMPlusPlus
from torch import nn
from twins import NETWORKS, MaxPool, pair_of, photographs

from xai_widgets.attribution.expected import draws
from xai_widgets.methods import family

METHODS = family("attribution")

STEPS = 7
SAMPLES = 4
SIGMA = 0.15

# Captum warns that it sets hooks, all of which it removes, and that it requires gradients.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU"),
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
]


def saliency(model, twin, x, target):
    return captum.attr.Saliency(model).attribute(x, target=target, abs=False)


def input_x_gradient(model, twin, x, target):
    return captum.attr.InputXGradient(model).attribute(x, target=target)


def deconvolution(model, twin, x, target):
    # Captum sees modules only, and each of them once: it gets the twin, and so below.
    return captum.attr.Deconvolution(twin).attribute(x, target=target)


def guided_backprop(model, twin, x, target):
    return captum.attr.GuidedBackprop(twin).attribute(x, target=target)


def integrated_gradients(model, twin, x, target, method="riemann_right", baseline=0.0):
    return captum.attr.IntegratedGradients(model).attribute(
        x, baselines=baseline, target=target, n_steps=STEPS, method=method
    )


def grad_cam(model, twin, x, target, layer=None):
    module = model.module.get_submodule(layer or model.default_layer())
    return captum.attr.LayerGradCam(model, module).attribute(x, target=target, relu_attributions=True)


def smooth_grad(model, twin, x, target):
    """NoiseTunnel, fed with the noise that ours draws: seed 0, copy by copy, anew for each image."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.stack(
        [torch.randn(x.shape[1:], generator=generator, dtype=x.dtype) for _ in range(SAMPLES)]
    )
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(model))
    made = []
    for image, label in zip(x, target, strict=True):
        spread = SIGMA * (image.max() - image.min()).item()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "normal", lambda mean, std: noise * std)
            made.append(
                tunnel.attribute(
                    image[None],
                    nt_type="smoothgrad",
                    nt_samples=SAMPLES,
                    stdevs=spread,
                    target=label,
                    abs=False,
                )
            )
    return torch.cat(made)


def gradient_shap(model, twin, x, target, sigma=SIGMA):
    """Captum's, given what ours draws: seed 0, anew for each image."""
    generator = torch.Generator().manual_seed(0)
    which, alphas = draws(len(references(model)), SAMPLES, generator)
    noises = [torch.randn(x.shape[1:], generator=generator, dtype=x.dtype) for _ in range(SAMPLES)]
    made = []
    for image, label in zip(x, target, strict=True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(np.random, "choice", lambda *_a, **_k: np.array(which))
            patch.setattr(np.random, "uniform", lambda *_a, **_k: np.array(alphas))
            patch.setattr(torch, "normal", lambda mean, std: torch.stack(noises) * std)
            explain = captum.attr.GradientShap(model)
            baselines = references(model).to(x.dtype)
            made.append(
                explain.attribute(image[None], baselines, n_samples=SAMPLES, stdevs=sigma, target=label)
            )
    return torch.cat(made)


def expected_gradients(model, twin, x, target):
    return gradient_shap(model, twin, x, target, sigma=0.0)


def references(model):
    """A black image, and one that is another photograph's negative."""
    x = photographs(model.size[0])
    return torch.stack([torch.zeros_like(x[0]), 1 - x[0], 1 - x[1]])


def guided_nonlinearity(model, twin, x, target):
    """Equations 3.3, 3.6 and 3.9 by hooks on the modules of the twin, one point of the path after the other."""
    handles = []
    for part in twin.modules():
        if isinstance(part, nn.ReLU):
            handles.append(
                part.register_full_backward_hook(lambda part, inputs, outputs: (inputs[0].relu(),))
            )
        elif isinstance(part, nn.MaxPool2d | MaxPool):
            handles.append(part.register_full_backward_pre_hook(lambda part, outputs: (outputs[0].relu(),)))
    try:
        total = torch.zeros_like(x)
        for k in range(1, STEPS + 1):
            point = (x * k / STEPS).requires_grad_()
            scores = twin(point)[torch.arange(len(x)), target]
            total += torch.autograd.grad(scores.sum(), point)[0]
        return x * total / STEPS
    finally:
        for handle in handles:
            handle.remove()


def excitation_backprop(model, twin, x, target):
    return zennit_twins.excitation_backprop(twin, x, target)


def linear_approximation(model, twin, x, target):
    module = model.module.get_submodule(model.default_layer())
    return captum.attr.LayerGradientXActivation(model, module).attribute(x, target=target)


def guided_grad_cam(model, twin, x, target):
    # Like captum.attr.GuidedGradCam; the last layer of the twin is another one where branches are joined.
    where = captum.attr.LayerAttribution.interpolate(
        grad_cam(model, twin, x, target), tuple(x.shape[2:]), interpolate_mode="bilinear"
    )
    return where * guided_backprop(model, twin, x, target)


def grad_cam_plus_plus(model, twin, x, target):
    """The weights of the other one. It adds 1e-6 to a denominator that is smaller than that for most networks.

    The weights stay the same, but for a factor, where gradients grow and activations shrink alike; so the 1e-6 is made
    small beside them.
    """
    kept = []
    module = model.module.get_submodule(model.default_layer())
    handle = module.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    try:
        scores = model(x.clone().requires_grad_())
    finally:
        handle.remove()
    (activation,) = kept
    (gradient,) = torch.autograd.grad(scores[torch.arange(len(x)), target].sum(), activation)
    activation, gradient = activation.detach().double(), gradient.double()
    factor = 1e8 / gradient.abs().max()
    weights = GradCAMPlusPlus.get_cam_weights(
        None, None, None, None, (activation / factor).numpy(), (gradient * factor).numpy()
    )
    weights = torch.from_numpy(weights)[:, :, None, None] / factor
    return (weights * activation).sum(1, keepdim=True).relu()


#: Those that nobody else has in this form; tests/unit holds them to their formulas. CAM is for some networks only, and
#: DeepLIFT has a file of its own.
NO_ORACLE = {
    "attention_rollout", "cam", "combine", "deep_lift", "feedback_layers", "fem", "gradient_x_attention", "legrad",
    "meta_saliency", "norm_grad", "norm_grad_convolution", "pattern_attribution", "pattern_net", "selective_norm_grad",
    "smooth_grad_cam_plus_plus", "smoothgrad_squared",
}  # fmt: skip


def contrastive_excitation_backprop(model, twin, x, target):
    return zennit_twins.contrastive_excitation_backprop(twin, x, target)


def lrp(model, twin, x, target):
    return zennit_twins.lrp(twin, x, target)


#: By method: the other implementation, and the options for which ours is equal.
ORACLES = {
    "gradient": (saliency, {}),
    "gradient_x_input": (input_x_gradient, {}),
    "deconvnet": (deconvolution, {}),
    "guided_backprop": (guided_backprop, {}),
    "integrated_gradients": (integrated_gradients, {"steps": STEPS}),
    "guided_nonlinearity": (guided_nonlinearity, {"steps": STEPS}),
    "smoothgrad": (smooth_grad, {"samples": SAMPLES, "sigma": SIGMA}),
    "expected_gradients": (expected_gradients, {"samples": SAMPLES, "sampling": "uniform"}),
    "gradient_shap": (gradient_shap, {"samples": SAMPLES, "sigma": SIGMA, "sampling": "uniform"}),
    "grad_cam": (grad_cam, {}),
    "grad_cam_plus_plus": (grad_cam_plus_plus, {}),
    "guided_grad_cam": (guided_grad_cam, {}),
    "linear_approximation": (linear_approximation, {}),
    "excitation_backprop": (excitation_backprop, {"layer": "image"}),
    "contrastive_excitation_backprop": (
        contrastive_excitation_backprop,
        {"layer": "image", "contrast_layer": "image"},
    ),
    "lrp": (lrp, {"composite": "epsilon_plus"}),
}


#: Methods whose pixels are computed, not given. Where one of them differs in its last bit, or a batch has another
#: length, a ReLU at its kink or a tie of a max-pool tips over in single precision, and a thousandth of the gradient
#: with it: these are compared in double precision, where what is left is the method. So are the methods whose
#: other implementation folds batch-norm away, and computes activations that differ in their last bits.
COMPUTED_PIXELS = [
    "integrated_gradients", "guided_nonlinearity", "smoothgrad", "expected_gradients", "gradient_shap",
    "excitation_backprop", "contrastive_excitation_backprop", "lrp",
]  # fmt: skip
#: Those that are given images of the network beside the one that is explained.
WITH_REFERENCES = ["expected_gradients", "gradient_shap"]


def setting(name, dtype=torch.float32):
    """Model, twin, two photographs, and for each a class: the predicted one and another."""
    model, twin = pair_of(name, dtype)
    x = photographs(model.size[0])
    target = model.scores(x).argmax(1)
    target[1] = (target[1] + 1) % len(model.labels)
    return model, twin, x.to(dtype), target


def checked(expected):
    """Check that the result of another implementation is not 0 and return it."""
    assert expected.abs().max() > 0
    return expected.detach()


def test_every_method_has_an_oracle():
    assert set(ORACLES) | NO_ORACLE == set(METHODS)
    assert not set(ORACLES) & NO_ORACLE


@pytest.mark.parametrize("name", NETWORKS)
def test_the_twin_computes_the_same_with_modules_used_once(name):
    model, twin, x, _ = setting(name)
    assert torch.equal(twin.scores(x), model.scores(x))
    nonlinear = [layer for layer in twin.layers() if layer.type in ("ReLU", "MaxPool2d", "MaxPool")]
    assert len(nonlinear) > 5
    # A second call of a module has a name with its number.
    assert not any(":" in layer.name for layer in nonlinear)
    assert not any(part.inplace for part in twin.modules() if isinstance(part, nn.ReLU))
    theirs = {parameter.data_ptr() for parameter in model.module.parameters()}
    assert {parameter.data_ptr() for parameter in twin.module.parameters()} <= theirs


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", [method for method in ORACLES if method not in COMPUTED_PIXELS])
def test_methods_equal_the_other_implementation(method, name):
    model, twin, x, target = setting(name)
    oracle, options = ORACLES[method]
    made = METHODS[method](model, x, target, **options)
    assert_close(made, checked(oracle(model, twin, x, target)), dtype=torch.float32)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", COMPUTED_PIXELS)
def test_methods_that_compute_pixels_equal_the_other_implementation(method, name):
    model, twin, x, target = setting(name, torch.float64)
    oracle, options = ORACLES[method]
    if method in WITH_REFERENCES:
        options = {**options, "references": references(model)}
    # The function itself: a call of the method would bring the pixels to single precision.
    made = METHODS[method].function(model, x, target, **options)
    assert made.dtype == torch.float64
    assert_close(made, checked(oracle(model, twin, x, target)), dtype=torch.float32)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("ours", "theirs"), [("gauss_legendre", "gausslegendre"), ("midpoint", "riemann_middle")]
)
def test_other_quadratures_equal_captums(ours, theirs, name):
    model, twin, x, target = setting(name, torch.float64)
    explain = METHODS["integrated_gradients"].function
    made = explain(model, x, target, steps=STEPS, quadrature=ours, baseline=0.5)
    expected = integrated_gradients(model, twin, x, target, method=theirs, baseline=0.5)
    assert_close(made, checked(expected), dtype=torch.float32)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("vgg11_bn", "features.7"),
        ("resnet", "layer2"),
        ("resnet", "layer3.0.conv1"),
        ("googlenet", "inception4a"),
        ("googlenet", "inception3b.branch2.1.conv"),
    ],
)
def test_grad_cam_of_inner_layers_equals_captums(name, layer):
    model, twin, x, target = setting(name)
    made = METHODS["grad_cam"](model, x, target, layer=layer)
    assert_close(made, checked(grad_cam(model, twin, x, target, layer=layer)))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_comparisons_can_fail(name):
    """On these networks and images no two methods come near each other by more than a hundred times the tolerance."""
    model, _, x, target = setting(name)
    made = {method: METHODS[method](model, x, target, **ORACLES[method][1]) for method in ORACLES}
    made["saliency of another class"] = METHODS["gradient"](model, x, (target + 1) % len(model.labels))
    alike = [name for name in made if made[name].shape == x.shape]
    for first in alike:
        for second in alike:
            apart = (made[first] - made[second]).abs().max()
            assert first == second or apart > 10 * rounding(made[second]), (first, second)
    assert (made["grad_cam"] > 0).any(1).any(1).any(1).any()
