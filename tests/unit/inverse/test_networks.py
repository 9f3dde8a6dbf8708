"""Inverses on networks as they are written elsewhere: what the units are, other outputs and precisions, and notes."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from networks import Functional, SharedInPlace, images, one_sentence, settle, wrap
from snapshot import everything
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.errors import ExplanationWarning
from xai_widgets.inverse import SolverSettings, find_units, layer_wise, operation_wise, reidentification

QUICK = SolverSettings(steps=10)
#: For comparisons: each further step of the solver amplifies the rounding of the one before.
ONE_STEP = SolverSettings(steps=1)
METHODS = [layer_wise, operation_wise]


def inverse_of(method, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return method(*arguments, **{"settings": QUICK, **options}).result(progress=False)


class Written(nn.Module):
    """Two convolutions with ReLU, a pool and scores, written in one of many ways."""

    def __init__(self, activation=F.relu, flat=lambda x: x.flatten(1), before=lambda x: x):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.fc = nn.Linear(6 * 16, 4)
        self.activation, self.flat, self.before = activation, flat, before

    def forward(self, x):
        batch = x.size(0)
        x = F.max_pool2d(self.activation(self.conv1(self.before(x))), 2)
        return self.fc(self.flat(self.activation(self.conv2(x))).view(batch, -1))


WRITTEN = {
    "view of the size": {"flat": lambda x: x.view(x.size(0), -1)},
    "reshape of the shape": {"flat": lambda x: x.reshape(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3])},
    "if on the shape": {"before": lambda x: x.contiguous() if x.shape[0] > 1 else x},
    "clamp": {"activation": lambda x: x.clamp(min=0)},
    "clamp to a tensor": {"activation": lambda x: x.clamp(min=torch.zeros(()))},
    "threshold": {"activation": nn.Threshold(0, 0)},
    "maximum": {"activation": lambda x: torch.maximum(x, torch.zeros_like(x))},
    "max": {"activation": lambda x: torch.max(torch.zeros(1), x)},
    "where": {"activation": lambda x: torch.where(x > 0, x, 0.0)},
    "product": {"activation": lambda x: x * (x > 0)},
    "masked_fill": {"activation": lambda x: x.masked_fill(x < 0, 0)},
    "aten": {"activation": torch.ops.aten.relu},
}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_same_network_has_the_same_units_however_it_is_written(name):
    network, plain = (settle(Written(**options)) for options in (WRITTEN[name], {}))
    model, x = wrap(network), images(2)
    units, expected = find_units(model), find_units(wrap(plain))

    def working(chain):
        return [(unit.kind, unit.relu, unit.affine, unit.depth) for unit in chain if unit.kind != "reshape"]

    assert [kind for kind, *_ in working(expected)] == ["convolution", "pool", "convolution", "scores"]
    assert working(units) == working(expected)
    for method in METHODS:
        expected = inverse_of(method, wrap(plain), x, [1, 3], settings=ONE_STEP)
        assert_close(inverse_of(method, model, x, [1, 3], settings=ONE_STEP).x, expected.x)


def exported(network):
    """Export a network for any number of images."""
    return torch.export.export(network, (images(2),), dynamic_shapes=({0: torch.export.Dim("N")},))


@pytest.mark.parametrize(
    "network",
    [
        lambda net: torch.compile(net, backend="eager"),
        nn.DataParallel,
        torch.optim.swa_utils.AveragedModel,
        lambda net: net.to(memory_format=torch.channels_last),
        lambda net: nn.utils.parametrizations.weight_norm(net.conv1) and net,
        lambda net: net.requires_grad_(False),
        lambda net: exported(net).module(),
        lambda net: exported(net).run_decompositions().module(),
        torch.fx.symbolic_trace,
    ],
    ids=[
        "compiled",
        "data parallel",
        "averaged",
        "channels last",
        "weight norm",
        "frozen",
        "exported",
        "decomposed",
        "graph",
    ],
)
def test_wrapped_networks_have_the_inverses_of_the_network(network):
    plain, x = settle(SharedInPlace()), images(2)
    model = wrap(network(copy.deepcopy(plain)))
    for method in METHODS:
        expected = inverse_of(method, wrap(plain), x, 1, settings=ONE_STEP)
        found = inverse_of(method, model, x, 1, settings=ONE_STEP)
        assert_close(found.x, expected.x)


def test_modules_that_cannot_be_replayed_have_an_alternative():
    plain = settle(Functional())
    with pytest.raises(
        ValueError, match=r"accepts one image but not two .*; export it with a dynamic number of images"
    ):
        find_units(wrap(torch.export.export(plain, (images(1),)).module()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(plain, images(2))
    with pytest.raises(ValueError, match=r"is a scripted module, .*; use the module before scripting"):
        find_units(wrap(traced))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("method", METHODS)
def test_networks_of_other_precisions_are_inverted_in_float32(method, dtype):
    network, x = settle(SharedInPlace()).to(dtype), images(2)
    made = inverse_of(method, wrap(network), x, 1, settings=ONE_STEP)
    single = inverse_of(method, wrap(copy.deepcopy(network).float()), x, 1, settings=ONE_STEP)
    assert made.x.dtype == torch.float32
    assert_close(made.x, single.x)
    assert {parameter.dtype for parameter in network.parameters()} == {dtype}


@pytest.mark.parametrize("method", METHODS)
def test_the_callers_autocast_changes_nothing(method):
    model, x = wrap(settle(SharedInPlace())), images(2)
    expected = inverse_of(method, model, x, 1, settings=ONE_STEP)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = inverse_of(method, model, x, 1, settings=ONE_STEP)
    assert_close(made.x, expected.x)


class Same(nn.Module):
    """Padding computed from the shape, and a max-pool that pads with the lowest value, as in timm's 'same'."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2)
        self.fc = nn.Linear(6 * 4, 4)

    @staticmethod
    def pad(x, value):
        total = max((-(-x.shape[-1] // 2) - 1) * 2 + 3 - x.shape[-1], 0)
        return F.pad(x, (total // 2, total - total // 2) * 2, value=value)

    def forward(self, x):
        x = self.conv(self.pad(x, 0.0)).relu()
        return self.fc(F.max_pool2d(self.pad(x, -torch.inf), 3, 2).flatten(1))


def test_padding_computed_from_the_shape_is_part_of_its_unit():
    units = find_units(wrap(settle(Same())))
    assert [unit.kind for unit in units] == ["convolution", "pool", "reshape", "scores"]
    assert inverse_of(layer_wise, wrap(settle(Same())), images(1), 1).output.isfinite().all()


class Shuffled(nn.Module):
    """Channels are shuffled through five dimensions, as in ShuffleNet."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.fc = nn.Linear(6 * 64, 4)

    def forward(self, x):
        x = self.conv(x).relu()
        x = x.view(x.shape[0], 2, 3, *x.shape[2:]).transpose(1, 2).reshape(x.shape)
        return self.fc(x.flatten(1))


def test_a_permutation_is_undone_exactly():
    model, x = wrap(settle(Shuffled())), images(1)
    units = find_units(model)
    assert [unit.kind for unit in units] == ["convolution", "reshape", "reshape", "scores"]
    made = inverse_of(operation_wise, model, x, 1)
    assert_close(units[1].run(made.units[2].x[:, 0]), made.units[1].x[:, 0])


def test_negative_factors_and_numbers_end_no_unit():
    class Factors(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3, padding=1)
            self.factor = nn.Parameter(torch.linspace(-1, 1, 6).view(1, 6, 1, 1))
            self.fc = nn.Linear(6, 4)

        def forward(self, x):
            x = self.conv(x).relu() * self.factor
            return self.fc((x + -0.1).mean((2, 3)))

    model, x = wrap(settle(Factors())), images(3)
    units = find_units(model)
    assert [unit.kind for unit in units] == ["convolution", "scores"]
    for unit in units[:-1]:
        x = unit.run(x)
        assert (x >= 0).all()


def test_a_pool_of_a_normalized_image_ends_no_unit():
    network = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 4))
    units = find_units(wrap(settle(network)))
    assert [unit.kind for unit in units] == ["convolution", "reshape", "scores"]


class Skips(nn.Module):
    """A pre-activation network in small: the output of a convolution is used before and after three others."""

    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList(nn.Conv2d(3 if k == 0 else 4, 4, 3, padding=1) for k in range(4))
        self.up = nn.Conv2d(8, 4, 3, padding=1)
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        first = x = self.down[0](x)
        for conv in self.down[1:]:
            x = conv(x.relu())
        return self.fc(self.up(torch.cat([x, first], 1)).relu().mean((2, 3)))


@pytest.mark.parametrize("method", METHODS)
def test_a_unit_that_spans_most_of_the_network_is_noted(method):
    with pytest.warns(ExplanationWarning, match=r"the unit 'relu_3' spans 5 of 6 weighted operations"):
        run = method(wrap(settle(Skips())), images(1), 1, settings=QUICK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        note = run.result(progress=False).notes[0]
    assert "'relu_3' spans 5 of 6" in note
    assert "as the output of 'down.0', which is not an activation, crosses it" in note
    assert "methods such as 'integrated_gradients' need no units" in note
    notes = inverse_of(method, wrap(settle(Functional())), images(1), 1).notes
    assert not any("spans" in note for note in notes)


def test_a_network_that_is_a_single_unit_is_refused():
    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 4)

        def forward(self, x):
            return self.fc(self.body(x).sin().mean((2, 3)))

    with pytest.raises(ValueError, match="a single unit of 2 weighted operations") as error:
        find_units(wrap(settle(One())))
    one_sentence(error)


@pytest.mark.parametrize("method", METHODS)
def test_a_network_without_its_scores_being_finite_is_refused(method):
    network = settle(Functional())
    model = wrap(network)
    with torch.no_grad():
        network.fc.bias[1] = torch.nan
    with pytest.raises(ValueError, match="expected finite scores, got NaN"):
        method(model, images(1), 1)


class Outputs(Functional):
    """Some outputs, with an activation at the end."""

    def __init__(self, count=1, end=lambda x: x):
        super().__init__()
        self.fc = nn.Linear(8 * 16, count)
        self.end = end

    def forward(self, x):
        return self.end(super().forward(x))


def outputs(activation, count=1, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return ImageModel(settle(Outputs(count)), size=8, activation=activation, **options)


def test_one_logit_is_inverted_towards_its_class():
    model, x = outputs("sigmoid"), images(2)
    made = inverse_of(layer_wise, model, x, lam=0.0)
    assert_close(made.probability[..., 0], made.output[:, 0, 0].sigmoid())
    assert torch.equal(made.reidentified, made.probability > 0.5)
    # The scores keep what speaks for the class: no worse than the image itself.
    head = made.units[0]
    run = find_units(model)[-1].run
    assert (run(head.x[:, 0])[:, 0] >= made.original_output[:, 0] - 1e-4).all()
    assert made.x.isfinite().all()


def test_labels_are_inverted_one_by_one():
    made = inverse_of(layer_wise, outputs("sigmoid", 3), images(2), [0, 2], lam=(0.0, 0.4))
    expected = torch.stack([made.output[0, :, 0].sigmoid(), made.output[1, :, 2].sigmoid()])
    assert_close(made.probability, expected)


@pytest.mark.parametrize("method", METHODS)
def test_plain_numbers_stay_as_they_are(method):
    model, x = outputs(None), images(2)
    made = inverse_of(method, model, x)
    assert not made.has_probabilities
    assert_close(made.probability, made.output[..., 0])
    with pytest.raises(ValueError, match="expected a network with probabilities"):
        _ = made.reidentified
    if method is layer_wise:
        head = made.units[0]
        run = find_units(model)[-1].run
        assert (run(head.x[:, 0])[:, 0] - made.original_output[:, 0]).abs().max() < 1e-3


def test_images_of_another_size_have_units_of_their_own():
    network = settle(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
    )
    before = everything(network)
    made = inverse_of(layer_wise, wrap(network), images(1, size=12), 1)
    assert made.x.shape[-2:] == (12, 12)
    assert everything(network) == before


def test_a_plain_module_is_traced_with_the_images_that_it_takes():
    network = settle(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 7 * 7, 4)))
    with pytest.raises(ValueError, match="pass images of the right size as x"):
        find_units(network)
    assert [unit.kind for unit in find_units(network, images(1, size=9))] == [
        "convolution",
        "reshape",
        "scores",
    ]
    assert inverse_of(layer_wise, network, images(2, size=9)).output.shape == (2, 4, 4)


def test_what_is_kept_of_labels_and_plain_numbers_is_no_softmax_over_one_class():
    x, whole = images(3), torch.ones(3, 8, 8)
    model = outputs("sigmoid")
    made = reidentification(model, x, whole, 0)
    expected = model(x)[:, 0].sigmoid().detach()
    assert_close(made.probability, expected)
    assert torch.equal(made.top1, expected > 0.5)
    numbers = reidentification(outputs(None), x, whole, 0)
    assert_close(numbers.probability, outputs(None)(x)[:, 0].detach())
    assert not numbers.top1.any()
