"""Contract of every registered method: accepted arguments, errors, and contexts of calls."""

import inspect

import numpy as np
import pytest
import torch
from attending import Transformer, attends
from closeness import assert_close
from networks import (
    LABELS,
    RELU_NETWORKS,
    SIZE,
    Functional,
    Linear,
    SharedInPlace,
    Smooth,
    images,
    one_sentence,
    quick,
    settle,
    wrap,
)
from torch import nn

from xai_widgets.methods import Method, as_method, family, get

METHODS = family("attribution")

EVERY = METHODS | family("perturbation")
#: Several batches.
OPTIONS = {name: quick(method, batch_size=2) for name, method in EVERY.items()}


def parameters(method):
    return set(inspect.signature(METHODS[method]).parameters)


def needing(*facts):
    """Return the methods that require any of these."""
    return [name for name, method in METHODS.items() if set(facts) & set(method.requires)]


def not_needing(*facts):
    return [name for name in METHODS if name not in needing(*facts)]


WITH_LAYER = [name for name in METHODS if "layer" in parameters(name)]
ANYWHERE = not_needing("global_average", "attention")
IN_PIXELS = [name for name in ANYWHERE if not {"layer", "layers"} & parameters(name)]


@pytest.fixture
def model(request):
    """Return a network on which the method of a test works."""
    method = METHODS.get(
        getattr(request.node, "callspec", None) and request.node.callspec.params.get("method")
    )
    return wrap(settle(Transformer() if method and attends(method) else SharedInPlace()))


def run(method, model, x, target=1, **options):
    return EVERY[method](model, x, target, **OPTIONS[method], **options)


# -- what is returned -------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", RELU_NETWORKS)
@pytest.mark.parametrize("method", ANYWHERE)
def test_a_batch_is_its_images_one_by_one(method, network):
    model, x = wrap(settle(RELU_NETWORKS[network]())), images(3)
    batch = run(method, model, x, [0, 1, 2])
    assert batch.dtype == torch.float32
    assert not batch.requires_grad
    assert batch.abs().sum() > 0
    assert batch.ndim == 4
    if method in IN_PIXELS:
        assert batch.shape == x.shape
    # In float64: Grad-CAM++ divides by sums that cancel, so float32 shows rounding alone.
    model, x = wrap(settle(RELU_NETWORKS[network]()).double()), x.double()
    options = {
        name: value.double() if isinstance(value, torch.Tensor) else value
        for name, value in OPTIONS[method].items()
    }

    def precise(numbers):
        return METHODS[method].function(model, x[numbers], torch.tensor(numbers), **options)

    assert_close(precise([0, 1, 2]), torch.cat([precise([n]) for n in range(3)]))


@pytest.mark.parametrize("method", METHODS)
def test_targets_are_indices_labels_or_the_predicted_class(method, model):
    x = images(3)
    predicted = model.scores(x).argmax(1)
    expected = run(method, model, x, predicted)
    assert torch.equal(run(method, model, x, None), expected)
    assert torch.equal(run(method, model, x, predicted.tolist()), expected)
    assert torch.equal(run(method, model, x, [LABELS[i] for i in predicted]), expected)
    assert torch.equal(run(method, model, x, LABELS[2].upper()), run(method, model, x, 2))
    assert torch.equal(run(method, model, x, 0), run(method, model, x, 1)) == (not METHODS[method].uses_class)


@pytest.mark.parametrize("method", METHODS)
def test_the_saliency_map_is_one_number_per_position(method, model):
    attribution = run(method, model, images(2))
    made = METHODS[method].saliency(model, images(2), 1, **OPTIONS[method])
    assert made.shape == (2, *attribution.shape[2:])
    assert torch.equal(made, METHODS[method].reduce(attribution))
    if METHODS[method].sign == "positive":
        assert (made >= 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_calls_repeat_bit_for_bit(method, model):
    torch.manual_seed(1)
    first = run(method, model, images(2))
    torch.manual_seed(2)
    assert torch.equal(run(method, model, images(2)), first)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("method", METHODS)
def test_the_callers_grad_mode_does_not_matter(method, mode, model):
    expected = run(method, model, images(2), None)
    with mode():
        x = images(2)
        torch.testing.assert_close(run(method, model, x, None), expected, rtol=0, atol=0)
        assert_close(run(method, model, x, torch.tensor([1, 2])), run(method, model, images(2), [1, 2]))


@pytest.mark.parametrize("method", METHODS)
def test_frozen_parameters_train_mode_and_pixels_with_gradient_do_not_matter(method, model):
    expected = run(method, model, images(2))
    model.module.requires_grad_(False)
    model.module.train()
    x = images(2).requires_grad_()
    made = run(method, model, x)
    assert torch.equal(made, expected)
    assert not made.requires_grad
    assert x.grad is None


@pytest.mark.parametrize("method", ANYWHERE)
def test_half_precision_and_grey_networks_work(method):
    half = wrap(settle(SharedInPlace()).to(torch.bfloat16))
    assert run(method, half, images(1)).dtype == torch.float32
    gray = wrap(settle(Functional(channels=1)), mean=[0.5], std=[0.25])
    assert run(method, gray, images(1, channels=1)).abs().sum() > 0


# -- what is refused --------------------------------------------------------------------------------------

NAN = images(1)
NAN[0, 0, 0, 0] = float("nan")
BAD_IMAGES = {
    "wrong shape": (torch.rand(1, SIZE, SIZE, 3), ValueError, "channels come first"),
    "too few dimensions": (torch.rand(SIZE, SIZE), ValueError, r"got \(8, 8\)"),
    "another size": (
        torch.rand(1, 3, 5, 5),
        ValueError,
        "that Functional accepts, such as 8 x 8, got 5 x 5",
    ),
    "NaN": (NAN, ValueError, "NaN"),
    "empty batch": (torch.rand(0, 3, SIZE, SIZE), ValueError, "empty"),
    "empty list": ([], ValueError, "empty"),
    "0 to 255": (np.full((SIZE, SIZE, 3), 200.0), ValueError, "divide by 255"),
    "no such file": ("no/such/file.png", FileNotFoundError, "no/such/file.png"),
    "no image": (None, TypeError, "got None"),
}
BAD_TARGETS = {
    "class out of range": (4, ValueError, "expected a class from 0 to 3, got 4"),
    "negative class": (-1, ValueError, "expected a class from 0 to 3, got -1"),
    "unknown label": ("hammer head", ValueError, "unknown label 'hammer head'; did you mean 'hammerhead'"),
    "too many": ([1, 2, 3], ValueError, "expected one target, or one per image, got 3 for 2 images"),
    "a float": (1.5, TypeError, "target.*got 1.5"),
}


@pytest.fixture(scope="module")
def stub():
    """Return a method whose function no bad call reaches."""

    def function(model, x, target):
        raise AssertionError("it was called")

    return Method(function, "stub", "Stub")


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_images_are_refused(stub, case):
    x, kind, message = BAD_IMAGES[case]
    with pytest.raises(kind, match=message) as error:
        stub(wrap(settle(Functional())), x)
    one_sentence(error)


@pytest.mark.parametrize("case", BAD_TARGETS)
def test_bad_targets_are_refused(stub, case, model):
    target, kind, message = BAD_TARGETS[case]
    with pytest.raises(kind, match=message) as error:
        stub(model, images(2), target)
    one_sentence(error)


@pytest.mark.parametrize("method", EVERY)
def test_every_method_refuses_a_bad_call(method):
    """Each goes through the checks of ``Method``, which the tests above take apart."""
    assert type(EVERY[method]) is Method
    model = wrap(settle(Functional()))
    cases = [
        (model, NAN, 1, ValueError, "NaN"),
        (model, images(2), 4, ValueError, "expected a class from 0 to 3, got 4"),
        (
            Functional(),
            images(1),
            1,
            TypeError,
            r"expected an ImageModel\(module, mean=, std=\), got Functional",
        ),
    ]
    for network, x, target, kind, message in cases:
        with pytest.raises(kind, match=message) as error:
            run(method, network, x, target)
        one_sentence(error)


@pytest.mark.parametrize("method", WITH_LAYER)
def test_bad_layers_are_refused(method, model):
    for layer, message in (
        ("blok1", "unknown layer 'blok1'; did you mean 'block1'"),
        ("???", r"unknown layer '\?\?\?'; expected one of conv1"),
        (3, "unknown layer 3"),
        (
            "fc",
            r"expected a layer with spatial positions, .* got 'fc' with an output of shape \(4,\); try .block2.",
        ),
    ):
        with pytest.raises(ValueError, match=message) as error:
            run(method, model, images(1), layer=layer)
        one_sentence(error)


@pytest.mark.parametrize("method", [name for name in WITH_LAYER if METHODS[name].uses_class])
def test_a_layer_off_the_way_to_the_scores_is_refused(method):
    class Aside(Functional):
        def __init__(self):
            super().__init__()
            self.aside = nn.Conv2d(3, 2, 3)
            self.constant = nn.Identity()

        def forward(self, x):
            self.aside(x)
            self.constant(torch.ones(1, 1, 2, 2))
            return super().forward(x)

    model = wrap(settle(Aside()))
    for layer in ("aside", "constant"):
        with pytest.raises(
            ValueError, match=f"expected a layer that the scores depend on, got '{layer}'"
        ) as error:
            run(method, model, images(1), layer=layer)
        one_sentence(error)


@pytest.mark.parametrize("method", needing("relu"))
@pytest.mark.parametrize("network", [Smooth, Linear])
def test_a_network_without_relu_is_refused_by_what_changes_relu(method, network):
    with pytest.raises(
        ValueError, match=f"expected a network with ReLU, .* got {network.__name__}; .* 'gradient'"
    ) as error:
        run(method, wrap(settle(network())), images(1))
    one_sentence(error)


class Attending(nn.Module):
    """Weights positions by a softmax over them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.weigh = nn.Softmax(-1)
        self.fc = nn.Linear(6, 4)

    def forward(self, x):
        x = self.conv(x).flatten(2)
        return self.fc((self.weigh(x) * 2).sum(-1))


@pytest.mark.parametrize(
    ("method", "network", "operation", "layer"),
    [(method, Attending, "softmax", "weigh") for method in needing("rules") if method != "lrp"]
    + [(method, Smooth, "gelu", "Smooth") for method in needing("piecewise_linear")],
)
def test_an_operation_without_a_rule_is_refused_by_its_name_and_that_of_its_layer(
    method, network, operation, layer
):
    with pytest.raises(
        ValueError, match=f"got '{operation}' in '{layer}', for which .* has no rule"
    ) as error:
        run(method, wrap(settle(network())), images(1))
    one_sentence(error)


@pytest.mark.parametrize("method", not_needing("relu", "piecewise_linear", "global_average", "attention"))
def test_a_network_without_relu_is_fine_for_the_others(method):
    assert run(method, wrap(settle(Smooth())), images(1)).abs().sum() > 0


@pytest.mark.parametrize("method", IN_PIXELS)
def test_a_network_that_stops_the_gradient_is_refused(method):
    class Stopped(Functional):
        def forward(self, x):
            return super().forward(x).detach()

    with pytest.raises(ValueError, match="got Stopped, through which no gradient passes") as error:
        run(method, wrap(settle(Stopped())), images(1))
    one_sentence(error)


@pytest.mark.parametrize(
    ("method", "options", "kind", "message"),
    [
        ("smoothgrad", {"samples": 0}, ValueError, "expected samples to be an integer"),
        ("smoothgrad", {"sigma": -0.1}, ValueError, "expected sigma to be a number of at least 0, got -0.1"),
        ("smoothgrad", {"batch_size": 0}, ValueError, "batch_size.*got 0"),
        ("smoothgrad", {"batch_size": -2}, ValueError, "batch_size.*got -2"),
        (
            "smoothgrad",
            {"method": "guided_backprob"},
            ValueError,
            "unknown method 'guided_backprob'; did you mean",
        ),
        ("smoothgrad", {"method": 3}, TypeError, "expected a method as a name .* got 3"),
        ("expected_gradients", {"samples": 0}, ValueError, "expected samples to be an integer"),
        (
            "expected_gradients",
            {"references": torch.zeros(2, 3, 5, 5)},
            ValueError,
            "expected references of shape",
        ),
        (
            "gradient_shap",
            {"sigma": -0.1},
            ValueError,
            "expected sigma to be a number of at least 0, got -0.1",
        ),
        ("gradient_shap", {"batch_size": 0}, ValueError, "batch_size.*got 0"),
        *(
            (method, options, kind, message)
            for method in ("integrated_gradients", "guided_nonlinearity")
            for options, kind, message in (
                ({"steps": 0}, ValueError, "expected steps to be an integer"),
                ({"batch_size": 0}, ValueError, "batch_size.*got 0"),
                ({"quadrature": "left"}, ValueError, "unknown quadrature 'left'"),
                ({"baseline": 1.5}, ValueError, "baseline.*got 1.5"),
                ({"baseline": float("nan")}, ValueError, "baseline.*got nan"),
                (
                    {"baseline": torch.zeros(3, 5, 5)},
                    ValueError,
                    r"\(1, 3, 8, 8\), got \(1, 3, 5, 5\)",
                ),
                ({"baseline": "black"}, TypeError, "gray value.*got 'black'"),
            )
        ),
    ],
)
def test_settings_out_of_range_are_refused(method, options, kind, message, model):
    with pytest.raises(kind, match=message) as error:
        METHODS[method](model, images(1), 1, **options)
    one_sentence(error)


# -- the registry -----------------------------------------------------------------------------------------


def test_methods_are_found_by_name():
    for name, method in METHODS.items():
        assert get(name) is method is as_method(name) is as_method(method)
        assert method.name == name
        assert method.title
        assert "Parameters" in method.__doc__
        assert list(inspect.signature(method).parameters)[:3] == ["model", "x", "target"]
    with pytest.raises(ValueError, match="unknown method 'grad_cm'; did you mean 'grad_cam'") as error:
        get("grad_cm")
    one_sentence(error)


@pytest.mark.parametrize(
    "explain",
    [
        lambda model, x, target: x.sum(1),
        lambda model, x, target: x.sum(1, keepdim=True),
        lambda model, x, target: x.sum(1).numpy().astype(np.float64),
        lambda model, x, target: x.sum(1)[0],
        lambda model, x, target: x.sum(1).requires_grad_(),
    ],
    ids=["(N, H, W)", "(N, 1, H, W)", "array", "(H, W)", "with gradient"],
)
def test_your_own_callable_is_a_method(explain, model):
    x = images(1)
    made = as_method(explain)(model, x)
    assert made.dtype == torch.float32
    assert not made.requires_grad
    assert_close(made, x.sum(1, keepdim=True))


def test_your_own_method_has_a_name_and_gets_indices(model):
    def my_map(model, x, target, scale=1):
        return x.mean(1) * target.view(-1, 1, 1) * scale

    assert (as_method(my_map).name, as_method(my_map).title) == ("my_map", "my map")
    assert as_method(("Mine", my_map)).title == "Mine"
    x = images(2)
    made = as_method(my_map)(model, x, ["goldfish", 3], scale=2)
    assert_close(made[:, 0], x.mean(1) * torch.tensor([2, 6]).view(2, 1, 1))


@pytest.mark.parametrize("shape", [(3, 8, 8), (8,), (2, 1, 1, 8, 8)])
def test_a_map_of_the_wrong_shape_is_refused(shape, model):
    with pytest.raises(ValueError, match=r"got one of shape .* for 2 images") as error:
        as_method(lambda model, x, target: torch.zeros(shape))(model, images(2))
    one_sentence(error)


def test_what_is_no_method_is_refused():
    for given in (3, None, ("title", 3)):
        with pytest.raises(TypeError, match="expected a method as a name or a callable") as error:
            as_method(given)
        one_sentence(error)


def test_methods_are_frozen():
    with pytest.raises(AttributeError):
        METHODS["gradient"].title = "other"
    assert isinstance(METHODS["gradient"], Method)
