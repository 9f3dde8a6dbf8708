"""Objects of Captum, zennit and pytorch-grad-cam return the same as methods and when called directly."""

import copy

import captum.attr
import pytest
import pytorch_grad_cam
import torch
import zennit.attribution
from closeness import assert_close
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from zennit.composites import EpsilonGammaBox, EpsilonPlusFlat, GuidedBackprop
from zennit.rules import Epsilon
from zennit.torchvision import ResNetCanonizer

import xai_widgets.attribution
from xai_widgets.attribution import smoothgrad
from xai_widgets.core.model import ImageModel
from xai_widgets.methods import as_method

# Captum warns that it sets hooks, all of which it removes, and zennit's hooks and pytorch-grad-cam's meet.
pytestmark = pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")

SIZE = (12, 16)
CLASSES = 5


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()

    def forward(self, x):
        return self.relu(self.norm(self.conv(x)) + x)


class Network(nn.Module):
    """A residual network in which each module is used once, as the others want it."""

    def __init__(self):
        super().__init__()
        self.stem, self.relu, self.pool = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        self.block, self.average, self.fc = Block(), nn.AdaptiveAvgPool2d(1), nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.fc(self.average(self.block(self.pool(self.relu(self.stem(x))))).flatten(1))


@pytest.fixture
def model():
    generator = torch.Generator().manual_seed(0)
    network = Network()
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.block.norm.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.3)
        network.block.norm.running_var.add_(1)
    return ImageModel(network.eval(), size=SIZE, mean=[0.4, 0.5, 0.45], std=[0.2, 0.3, 0.25], device="cpu")


@pytest.fixture
def x():
    return torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(1))


TARGET = torch.tensor([1, 0, 4])


def normalized(model, x):
    return (x - model.mean) / model.std


def inside(model, of_module):
    """Return the network that an object is created for, and the function from pixels to its input."""
    return (model.module, lambda x: normalized(model, x)) if of_module else (model, lambda x: x.clone())


# -- Captum -----------------------------------------------------------------------------------------------

CAPTUM = {
    "Saliency": (captum.attr.Saliency, {}),
    "InputXGradient": (captum.attr.InputXGradient, {}),
    "IntegratedGradients": (captum.attr.IntegratedGradients, {"n_steps": 5}),
    "GuidedBackprop": (captum.attr.GuidedBackprop, {}),
    "DeepLift": (captum.attr.DeepLift, {}),
    "Occlusion": (captum.attr.Occlusion, {"sliding_window_shapes": (3, 4, 4), "strides": (3, 4, 4)}),
    "NoiseTunnel of Saliency": (lambda n: captum.attr.NoiseTunnel(captum.attr.Saliency(n)), {"nt_samples": 2}),
    "LayerGradCam": (lambda n: captum.attr.LayerGradCam(n, layer_of(n)), {}),
    "LayerActivation": (lambda n: captum.attr.LayerActivation(n, layer_of(n)), {}),
    "LayerIntegratedGradients": (
        lambda n: captum.attr.LayerIntegratedGradients(n, layer_of(n)), {"n_steps": 3}
    ),
    "GuidedGradCam": (lambda n: captum.attr.GuidedGradCam(n, layer_of(n)), {}),
    "KernelShap": (
        captum.attr.KernelShap,
        {"n_samples": 8, "feature_mask": torch.arange(12 * 16).view(1, 1, 12, 16).div(48).long()},
    ),
}  # fmt: skip


def layer_of(network):
    return getattr(network, "module", network).block


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("of_module", [False, True], ids=["of the model", "of its module"])
@pytest.mark.parametrize("name", CAPTUM)
def test_captum(name, of_module, model, x):
    make, options = CAPTUM[name]
    network, inputs = inside(model, of_module)
    directly = {} if name == "LayerActivation" else {"target": TARGET}
    torch.manual_seed(0)
    reference = make(network).attribute(inputs(x), **directly, **options)
    reference = reference[0] if isinstance(reference, tuple) else reference
    method = as_method(make(network))
    torch.manual_seed(0)
    made = method(model, x, TARGET, **options)
    assert_close(made, reference.detach().float())
    assert method.title == f"{name} (Captum)"
    assert made.abs().sum() > 0


def test_a_network_without_its_own_gradients_gives_no_warning(model, x, recwarn):
    as_method(captum.attr.Saliency(model))(model, x, TARGET)
    assert not [each for each in recwarn if "gradient" in str(each.message)]


def test_a_layer_without_positions_is_refused(model, x):
    method = as_method(captum.attr.LayerActivation(model, model.module.fc))
    with pytest.raises(ValueError, match=r"of LayerActivation \(Captum\), .* got \(3, 5\) for 3 images"):
        method(model, x, TARGET)


@pytest.mark.parametrize(
    "name", ["NeuronGradient", "NeuronIntegratedGradients", "NeuronConductance", "NeuronGuidedBackprop"]
)
def test_a_single_neuron_is_refused(name, model):
    kind = getattr(captum.attr, name)
    with_layer = (model, model.module.block)
    with pytest.raises(TypeError, match=f"such as Saliency, got {name} of Captum, which explains a neuron"):
        as_method(kind(*with_layer))


# -- zennit -----------------------------------------------------------------------------------------------


def composites(model):
    low, high = (normalized(model, torch.full((1, 3, *SIZE), end)) for end in (0.0, 1.0))
    return {
        "EpsilonPlusFlat": EpsilonPlusFlat(canonizers=[ResNetCanonizer()]),
        "EpsilonGammaBox": EpsilonGammaBox(low=low, high=high),
        "GuidedBackprop": GuidedBackprop(),
    }


NAMES = ["EpsilonPlusFlat", "EpsilonGammaBox", "GuidedBackprop"]


@pytest.mark.parametrize("name", NAMES)
def test_a_composite_of_zennit(name, model, x):
    inputs = normalized(model, x).requires_grad_()
    with composites(model)[name].context(model.module) as modified:
        (reference,) = torch.autograd.grad(modified(inputs), inputs, torch.eye(CLASSES)[TARGET])
    composite = composites(model)[name]
    method = as_method(composite)
    assert_close(method(model, x, TARGET), reference)
    assert method.title == f"{name} (zennit)"
    # Once more: nothing of the first time is left on it.
    assert_close(method(model, x, TARGET), reference)
    assert not composite.handles


def test_a_composite_in_use_is_refused_and_stays_in_use(model, x):
    composite = GuidedBackprop()
    with composite.context(model.module):
        handles = len(composite.handles)
        with pytest.raises(
            ValueError, match=r"expected a composite that is not in use, .* registered to a network already"
        ):
            as_method(composite)(model, x, TARGET)
        assert len(composite.handles) == handles > 0


@pytest.mark.parametrize("of_module", [False, True], ids=["of the model", "of its module"])
@pytest.mark.parametrize("name", [None, *NAMES[:2]])
def test_an_attributor_of_zennit(name, of_module, model, x):
    network, inputs = inside(model, of_module)
    composite = None if name is None else composites(model)[name]
    attributor = zennit.attribution.Gradient(network, composite)
    _, reference = attributor(inputs(x), torch.eye(CLASSES)[TARGET])
    method = as_method(attributor)
    assert_close(method(model, x, TARGET), reference)
    assert method.title == ("Gradient (zennit)" if name is None else f"Gradient by {name} (zennit)")


def test_an_occlusion_of_zennit_is_of_the_score_of_the_class(model, x):
    attributor = zennit.attribution.Occlusion(model, window=(4, 4), stride=(4, 4))
    _, reference = attributor(x.clone(), lambda output: output * torch.eye(CLASSES)[TARGET])
    made = as_method(attributor)(model, x, TARGET)
    assert_close(made, reference.detach())
    assert made[0].std() > 0


# -- pytorch-grad-cam -------------------------------------------------------------------------------------

CAMS = ["GradCAM", "GradCAMPlusPlus", "HiResCAM", "EigenCAM", "LayerCAM", "ScoreCAM", "AblationCAM", "FEM"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("of_module", [False, True], ids=["of the model", "of its module"])
@pytest.mark.parametrize("name", CAMS)
def test_a_cam_of_pytorch_grad_cam(name, of_module, model, x):
    network, inputs = inside(model, of_module)
    with getattr(pytorch_grad_cam, name)(network, [model.module.block]) as cam:
        reference = cam(inputs(x), targets=[ClassifierOutputTarget(each) for each in TARGET.tolist()])
        method = as_method(cam)
        made = method(model, x, TARGET)
    assert_close(made[:, 0], torch.from_numpy(reference))
    assert made.shape == (3, 1, *SIZE)
    assert method.title == f"{name} (pytorch-grad-cam)"


def test_a_frozen_network_has_a_cam_too(model, x):
    with pytorch_grad_cam.GradCAM(model, [model.module.block]) as cam:
        reference = as_method(cam)(model, x, TARGET)
        model.module.requires_grad_(False)
        assert torch.equal(as_method(cam)(model, x, TARGET), reference)


# -- what is left -----------------------------------------------------------------------------------------


def objects(model):
    return {
        "Saliency": captum.attr.Saliency(model.module),
        "GuidedBackprop": captum.attr.GuidedBackprop(model),
        "DeepLift": captum.attr.DeepLift(model),
        "EpsilonPlusFlat": EpsilonPlusFlat(canonizers=[ResNetCanonizer()]),
        "Gradient": zennit.attribution.Gradient(model.module, GuidedBackprop()),
        "GradCAM": pytorch_grad_cam.GradCAM(model, [model.module.block]),
        "AblationCAM": pytorch_grad_cam.AblationCAM(model, [model.module.block]),
    }


OBJECTS = ["Saliency", "GuidedBackprop", "DeepLift", "EpsilonPlusFlat", "Gradient", "GradCAM", "AblationCAM"]


def all_of(network):
    """Return the visible state of a network: hooks, modes, values and their gradients."""
    return {
        "hooks": {
            name: {key: list(value) for key, value in vars(part).items() if "hooks" in key and value}
            for name, part in network.named_modules()
        },
        "training": {name: part.training for name, part in network.named_modules()},
        "classes": {name: type(part) for name, part in network.named_modules()},
        "numbers": {
            name: (id(each), each.tolist()) for name, each in network.state_dict(keep_vars=True).items()
        },
        "requires_grad": {name: each.requires_grad for name, each in network.named_parameters()},
        "gradients": {
            name: None if each.grad is None else (id(each.grad), each.grad.tolist())
            for name, each in network.named_parameters()
        },
        "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
    }


@pytest.mark.parametrize("broken", [False, True], ids=["normal", "interrupted"])
@pytest.mark.parametrize("name", OBJECTS)
def test_the_network_is_left_as_it_was(name, broken, model, x, monkeypatch):
    given = objects(model)[name]
    network = model.module
    for number, parameter in enumerate(network.parameters()):
        parameter.requires_grad_(number % 2 == 0)
        parameter.grad = torch.full_like(parameter, 2.0)
    # A CAM sets eval mode where it is made, zennit takes hooks off in any mode.
    network.train()
    before = all_of(network)
    if broken:
        forward = Block.forward

        def stop(self, x):
            forward(self, x)
            raise KeyboardInterrupt

        monkeypatch.setattr(Block, "forward", stop)
        with pytest.raises(KeyboardInterrupt):
            as_method(given)(model, x, TARGET)
    else:
        as_method(given)(model, x, TARGET)
    assert all_of(network) == before


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", OBJECTS)
def test_the_callers_grad_mode_does_not_matter(name, mode, model, x):
    method = as_method(objects(model)[name])
    reference = method(model, x, TARGET)
    with mode():
        torch.testing.assert_close(method(model, x.clone(), None), method(model, x, None), rtol=0, atol=0)
        assert_close(method(model, x.clone(), TARGET.clone()), reference)
    assert not reference.requires_grad
    assert reference.dtype == torch.float32


@pytest.mark.parametrize("name", [each for each in OBJECTS if each != "EpsilonPlusFlat"])
def test_an_object_made_for_another_network_is_refused(name, model, x):
    other = copy.deepcopy(model)
    with pytest.raises(
        ValueError, match=r"for the ImageModel of Network or its \.module, got one created for"
    ):
        as_method(objects(other)[name])(model, x, TARGET)


def test_a_function_inside_is_refused_by_its_kind(model, x):
    method = as_method(captum.attr.Saliency(lambda x: model(x)))
    with pytest.raises(ValueError, match="got one created for a function"):
        method(model, x, TARGET)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (captum.attr.Saliency, r"the class Saliency of Captum; try Saliency\(\.\.\.\)"),
        (
            pytorch_grad_cam.GradCAM,
            "expected a method as an object, got the class GradCAM of pytorch-grad-cam",
        ),
        (
            pytorch_grad_cam.GuidedBackpropReLUModel(nn.Linear(2, 2)),
            "got GuidedBackpropReLUModel of ",
        ),
        (Epsilon(), "expected a method as an attribution of Captum, a composite .* got Epsilon of zennit"),
    ],
)
def test_what_is_no_explainer_is_refused(given, message):
    with pytest.raises(TypeError, match=message):
        as_method(given)


# -- beside ours ------------------------------------------------------------------------------------------


def test_a_title_of_your_own_and_objects_inside_of_methods(model, x):
    mine = as_method(("Theirs", captum.attr.Saliency(model)))
    assert mine.title == mine.name == "Theirs"
    smooth = smoothgrad(model, x, TARGET, method=captum.attr.Saliency(model), samples=3)
    assert smooth.shape == x.shape


def test_a_subclass_of_your_own_is_one_of_theirs(model, x):
    class Mine(captum.attr.Saliency):
        pass

    method = as_method(Mine(model))
    assert method.title == "Mine (Captum)"
    assert_close(method(model, x, TARGET, abs=False), xai_widgets.attribution.gradient(model, x, TARGET))


def test_their_maps_agree_with_ours(model, x):
    ours = xai_widgets.attribution.grad_cam.saliency(model, x, TARGET, layer="block")
    theirs = as_method(captum.attr.LayerGradCam(model, model.module.block)).saliency(
        model, x, TARGET, relu_attributions=True
    )
    assert_close(theirs, ours)
