"""An unknown keyword argument gets the nearest valid one, from everything that is public."""

import importlib
import inspect

import pytest
import torch

import xai_widgets as xw
from xai_widgets.errors import OTHER_NAMES, UnknownKeyword, checked_keywords, keywords
from xai_widgets.methods import METHODS, as_method
from xai_widgets.metrics import METRICS
from xai_widgets.views import View

PACKAGES = ["attribution", "features", "inverse", "learned", "metrics", "perturbation", "similarity"]


def options(function):
    """Return the parameters of a function that have a default."""
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.default is not each.empty]


def needed(function):
    """Return the names of keywords without a default."""
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.kind is each.KEYWORD_ONLY and each.default is each.empty]


def public_functions():
    """Yield every public function with options: run functions, metrics and other measures."""
    yield xw.load
    for package in PACKAGES:
        module = importlib.import_module(f"xai_widgets.{package}")
        public = (getattr(module, name) for name in module.__all__)
        yield from (each for each in public if inspect.isfunction(each) and options(each))


def classes(module, base):
    public = (getattr(module, name) for name in module.__all__)
    return [each for each in public if isinstance(each, type) and issubclass(each, base) and each is not base]


FUNCTIONS = list(public_functions())
CLASSES = [xw.ImageModel, *classes(xw.explorers, object), *classes(xw.views, View)]


def message(call, *args, **kwargs):
    with pytest.raises(TypeError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def one_letter_off(name):
    return f"{name}_"


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_every_function_names_the_nearest_keyword(function):
    name = options(function)[-1]
    # A function that passes keywords on finds out when it looks at the method.
    arguments = (xw.load("scenes_vgg"), torch.zeros(1, 3, 96, 96)) if keywords(function)[1] else ()
    text = message(
        function, *arguments, **{required: None for required in needed(function)}, **{one_letter_off(name): 1}
    )
    assert text == (
        f"{function.__name__}() got an unexpected keyword argument {one_letter_off(name)!r}; did you mean {name!r}?"
    )


@pytest.mark.parametrize("name", METHODS)
def test_every_method_names_the_nearest_option(name):
    method = METHODS[name]
    model = xw.load("scenes_vgg") if keywords(method.function)[1] else None
    for option in options(method.function)[-1:] or ["target"]:
        text = message(method, model, torch.zeros(1, 3, 96, 96), 0, **{one_letter_off(option): 1})
        assert text.startswith(
            f"{name}() got an unexpected keyword argument '{option}_'; did you mean '{option}'"
        )


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.option_names])
def test_every_metric_names_the_nearest_option(name):
    option = METRICS[name].option_names[-1]
    text = message(METRICS[name], None, **{one_letter_off(option): 1})
    assert text == f"{name}() got an unexpected keyword argument '{option}_'; did you mean {option!r}?"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_names_the_nearest_keyword(kind):
    # A view is made of its traits.
    name = options(kind)[-1] if options(kind) else "title"
    text = message(kind, **{one_letter_off(name): 1})
    assert text == (
        f"{kind.__name__}() got an unexpected keyword argument {one_letter_off(name)!r}; did you mean {name!r}?"
    )


@pytest.mark.parametrize(
    ("method", "other", "own"),
    [
        ("integrated_gradients", "n_steps", "steps"),
        ("integrated_gradients", "baselines", "baseline"),
        ("integrated_gradients", "internal_batch_size", "batch_size"),
        ("gradient_shap", "n_samples", "samples"),
        ("gradient_shap", "stdevs", "sigma"),
        ("gradient_shap", "baselines", "references"),
        ("deep_lift", "baselines", "baseline"),
        ("occlusion", "sliding_window_shapes", "window"),
        ("occlusion", "strides", "stride"),
        ("occlusion", "baselines", "fill"),
        ("occlusion", "perturbations_per_eval", "batch_size"),
        ("lime", "n_samples", "samples"),
        ("lime", "feature_mask", "segments"),
        ("kernel_shap", "nsamples", "samples"),
        ("grad_cam", "target_layers", "layer"),
        ("rise", "n_masks", "masks"),
        ("smoothgrad", "nt_samples", "samples"),
        ("smoothgrad", "noise_level", "sigma"),
    ],
)
def test_the_names_of_other_libraries_are_known(method, other, own):
    text = message(METHODS[method], xw.load("scenes_vgg"), torch.zeros(1, 3, 96, 96), 0, **{other: 1})
    assert text.endswith(f"did you mean {own!r}?")


def test_each_known_name_leads_to_a_parameter():
    everything = [*FUNCTIONS, *CLASSES, *(method.function for method in METHODS.values())]
    known = {name for each in everything for name in keywords(each)[0]}
    known |= {
        field for kind in (xw.perturbation.ExtremalSettings,) for field in inspect.signature(kind).parameters
    }
    assert {own for names in OTHER_NAMES.values() for own in names} <= known
    assert list(OTHER_NAMES) == sorted(OTHER_NAMES)


def test_without_a_near_one_the_keywords_are_listed():
    @checked_keywords
    def function(image, *, steps=1):
        return image

    text = "function() got an unexpected keyword argument 'zzz'; expected one of 'image', 'steps'"
    assert message(function, 1, zzz=1) == text
    assert function(1, steps=2) == 1
    assert list(inspect.signature(function).parameters) == ["image", "steps"]


def test_a_function_that_passes_keywords_on_adds_its_own():
    @checked_keywords
    def inner(*, depth=1):
        return depth

    @checked_keywords
    def outer(*, samples=1, **options):
        return inner(**options)

    assert outer(depth=3) == 3
    assert message(outer, n_samples=1).endswith("did you mean 'samples'?")
    assert message(outer, dept=1).startswith(
        "outer() got an unexpected keyword argument 'dept'; did you mean 'depth'"
    )


def test_options_of_the_user_s_own_explainer_pass():
    method = as_method(lambda model, x, target, n_steps=1: x * n_steps)
    model, x = xw.load("scenes_vgg"), torch.rand(1, 3, 96, 96)
    assert (method(model, x, 0, n_steps=2) == 2 * x).all()
    smooth = METHODS["smoothgrad"](model, x, 0, method=method, samples=1, sigma=0, n_steps=3)
    assert torch.allclose(smooth, 3 * x)
    with pytest.raises(TypeError) as caught:
        method(model, x, 0, zzz=2)
    assert not isinstance(caught.value, UnknownKeyword)
