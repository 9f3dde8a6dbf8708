"""The facts of methods are complete, and their costs are true."""

import inspect
import re
import warnings

import pytest
import torch
from attending import Transformer, attends
from networks import GRID, SharedInPlace, images, settle, wrap

from xai_widgets import attribution, inverse, perturbation
from xai_widgets.attribution import estimate_patterns
from xai_widgets.errors import ExplanationWarning
from xai_widgets.methods import METHODS as EVERY
from xai_widgets.methods import Cost, as_method, family, method
from xai_widgets.methods.registry import check_map

METHODS = family("attribution")
#: Value of the option that the cost names, so that loops are short.
FEW = 3
#: Passes of other images than the explained ones, such as references, which the note of the cost names.
BESIDES = {
    "cam": 1,
    "integrated_gradients": 1,
    "expected_gradients": 3,
    "gradient_shap": 3,
    "deep_lift": 1,
    "lrp": 2,
    "legrad": 2,
}


class Counter:
    """Counts the images that go through a network and the gradients that come back, through its copies too."""

    def __init__(self):
        self.forward = self.backward = 0

    def __deepcopy__(self, memo):
        return self

    def see(self, gradient):
        self.backward += len(gradient)


class Counting:
    """Counts passes."""

    def __init__(self):
        super().__init__()
        self.counter = Counter()

    def forward(self, x):
        self.counter.forward += len(x)
        scores = super().forward(x)
        if scores.requires_grad:
            scores.register_hook(self.counter.see)
        return scores


class CountingNetwork(Counting, SharedInPlace):
    pass


class CountingTransformer(Counting, Transformer):
    pass


def counted(name, n, **options):
    """Passes of a call for ``n`` images, when all that is found once about the network is known."""
    network = settle(CountingTransformer() if attends(EVERY[name]) else CountingNetwork())
    model, method = wrap(network), EVERY[name]
    # Before counting, as the first call runs the network.
    model.layers()
    if "patterns" in inspect.signature(method).parameters:
        options["patterns"] = estimate_patterns(model, images(4)).result(progress=False)
    if name == "combine":
        options["layers"] = ["block1"]
    if name in METHODS and method.cost.each:
        options.setdefault(method.cost.each, FEW)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        method(model, images(n), 1, **options)
        network.counter.forward = network.counter.backward = 0
        method(model, images(n), 1, **options)
    return network.counter.forward, network.counter.backward


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("name", METHODS)
def test_a_method_makes_as_many_passes_as_its_cost(name, n):
    forward, backward = METHODS[name].cost.passes(FEW)
    assert counted(name, n) == (n * forward + BESIDES.get(name, 0), n * backward)
    assert (name in BESIDES) == METHODS[name].cost.note.startswith("plus ")


#: Options that make loops of perturbations short, and the number of masks.
LOOPS = {
    "occlusion": ({"window": 4, "stride": 2}, 9),
    "variable_occlusion": ({"radii": [1.0, 2.0], "stride": 4}, 8),
    "rise": ({"masks": 20, "tolerance": 0.0}, 20),
    "lime": ({"samples": 30, "segments": GRID}, 30),
    "kernel_shap": ({"samples": 30, "segments": GRID}, 30),
    "greedy_regions": ({"steps": 3}, 3),
    "prediction_difference": ({"patch": 4, "surround": 2, "stride": 4, "samples": 2}, 8),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_perturbation_makes_as_many_passes_as_its_cost(name):
    options, times = LOOPS[name]
    assert counted(name, 2, **options) == tuple(2 * each for each in EVERY[name].cost.passes(times))


def test_another_method_inside_costs_its_own():
    assert counted("smoothgrad", 1, method="contrastive_excitation_backprop") == (FEW + 4, 2 * FEW)
    assert counted("meta_saliency", 1, method="fem") == (2, 1)


def test_all_that_pass_once_pass_once():
    many = {name for name in METHODS if METHODS[name].cost.each}
    single = (
        set(METHODS)
        - many
        - {"contrastive_excitation_backprop", "guided_grad_cam", "meta_saliency", "fem", "combine"}
    )
    assert len(single) > 10
    assert {METHODS[name].cost.passes() for name in single} == {(1, 1)}
    assert METHODS["contrastive_excitation_backprop"].cost.passes() == (1, 2)
    assert METHODS["fem"].cost.passes() == (1, 0)


@pytest.mark.parametrize("name", EVERY)
def test_a_method_has_all_facts(name):
    """If this fails for a new method: give its decorator formula=, cost=, guarantees= and limits=."""
    method = EVERY[name]
    for text in (method.title, method.source, method.formula, method.guarantees, method.limits):
        assert text == text.strip() != ""
        # One line of a page, as code.
        assert not re.search(r"[\n`]", text)
    assert method.limits.endswith(".")
    assert method.limits.count(". ") <= method.limits.count("al. ")
    assert method.cost is not None


@pytest.mark.parametrize("name", METHODS)
def test_what_a_cost_counts_is_an_option(name):
    each = METHODS[name].cost.each
    assert not each or each in inspect.signature(METHODS[name]).parameters


@pytest.mark.parametrize(
    ("cost", "words", "passes"),
    [
        (Cost(), "1 forward, 1 backward", (1, 1)),
        (Cost(1, 0), "1 forward, 0 backward", (1, 0)),
        (Cost(2, 0, "steps", 1, 1), "steps + 2 forward, steps backward", (7, 5)),
        (Cost(0, 0, "masks", 2, 0), "2 x masks forward, 0 backward", (10, 0)),
        (Cost(1, 2, note="at least"), "1 forward, 2 backward; at least", (1, 2)),
    ],
)
def test_a_cost_in_words_and_in_numbers(cost, words, passes):
    assert str(cost) == words
    assert cost.passes(5) == passes


def test_a_custom_method_has_no_cost():
    made = as_method(lambda model, x, target: x)
    assert (made.cost, made.guarantees, made.formula) == (None, "none", "")


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        (torch.zeros(2, 1, 3, 3), "the map of my map for SharedInPlace is 0 everywhere"),
        (torch.stack([torch.rand(1, 3, 3), torch.zeros(1, 3, 3)]), "SharedInPlace, image 2 of 2, is 0 everywhere"),
        (torch.stack([torch.full((2, 3, 3), 5.0), torch.rand(2, 3, 3)]), "image 1 of 2, is the same at every position"),
        (torch.rand(2, 4, 1, 1), "has a single position"),
    ],
)  # fmt: skip
def test_a_constant_map_gives_a_warning_for_its_image(maps, words):
    with pytest.warns(ExplanationWarning, match=words):
        check_map(maps, "my map", wrap(settle(SharedInPlace())))


def test_a_valid_map_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_map(torch.rand(2, 1, 3, 3), "my map", wrap(settle(SharedInPlace())))


def test_a_family_lists_its_methods():
    assert dict(attribution.METHODS) == family("attribution")
    assert dict(perturbation.METHODS) == family("perturbation")
    assert dict(inverse.METHODS) == family("inverse")


def test_your_own_method_is_registered_behind_the_others(monkeypatch):
    monkeypatch.setattr(EVERY, "_methods", dict(EVERY._methods))

    @method(title="Mine")
    def mine(model, x, target):
        return x

    assert list(EVERY)[-1] == "mine"
    assert EVERY["mine"].family == ""
