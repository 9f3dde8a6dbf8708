"""Units: their names and kinds, their composition, and refused networks."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torchvision
from closeness import assert_close
from networks import Concat, Functional, SharedInPlace, Stream, images, one_sentence, settle, wrap
from snapshot import everything
from torch import nn

import xai_widgets as xw
from xai_widgets.core.model import ImageModel
from xai_widgets.inverse.units import find_units, units_after
from xai_widgets.methods import METHODS


def passes(units, x):
    made = [x]
    for unit in units:
        made.append(unit.run(made[-1]).detach())
    return made


@pytest.mark.parametrize("network", [Functional, SharedInPlace, Concat])
def test_the_chain_is_the_network_and_is_not_negative_within(network):
    model, x = wrap(settle(network())), images(3)
    units = find_units(model)
    made = passes(units, x)
    assert_close(made[-1], model(x))
    assert all((between >= 0).all() for between in made[:-1])


def test_a_chain_of_functions_is_cut_at_every_relu_and_pool():
    units = find_units(wrap(settle(Functional())))
    assert [unit.kind for unit in units] == ["convolution", "pool", "convolution", "reshape", "scores"]
    assert [unit.relu for unit in units] == [True, False, True, False, False]
    assert [unit.bias for unit in units] == [True, False, True, False, True]


def test_a_residual_block_is_one_unit():
    units = find_units(wrap(settle(SharedInPlace())))
    # One ReLU serves the whole network: its first call ends the first unit, and blocks have names of their own.
    assert [unit.name for unit in units][:4] == ["relu", "pool", "block1", "block2"]
    assert [unit.kind for unit in units] == [
        "convolution", "pool", "convolution", "convolution", "average", "reshape", "scores",
    ]  # fmt: skip
    assert [unit.affine for unit in units[:4]] == [True, False, False, False]


def test_each_call_of_a_module_is_a_layer_of_its_own():
    relu = nn.ReLU()
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 4, 3), relu, nn.Flatten(), nn.Linear(64, 2)
    )
    assert [unit.name for unit in find_units(ImageModel(network, size=8))] == ["1", "1:1", "4", "5"]


def test_branches_that_are_joined_are_one_unit():
    units = find_units(wrap(settle(Concat())))
    # The two branches end with ReLUs of their own, which are joined.
    assert [unit.kind for unit in units] == ["convolution", "convolution", "average", "scores"]


@pytest.mark.parametrize("network", [Functional, SharedInPlace])
def test_before_its_relu_a_unit_is_itself(network):
    model, x = wrap(settle(network())), images(2)
    units = find_units(model)
    for unit, given in zip(units, passes(units, x), strict=False):
        if unit.relu:
            assert_close(unit.before_relu(given).relu(), unit.run(given))
            assert (unit.before_relu(given) < 0).any()


@pytest.mark.parametrize(
    ("name", "options", "some", "count"),
    [
        ("alexnet", {}, ["features.2", "classifier.6"], 15),
        ("vgg11", {"init_weights": False}, ["features.1", "features.4"], 20),
        ("resnet50", {}, ["maxpool", "layer1.0", "layer4.2", "fc"], 21),
        ("googlenet", {"init_weights": False}, ["inception3a", "inception5b", "maxpool4"], 20),
        ("densenet121", {}, ["features.pool0", "features.transition1.relu", "classifier"], 9),
    ],
)
def test_the_networks_of_torchvision_are_chains(name, options, some, count):
    torch.manual_seed(0)
    model = ImageModel(getattr(torchvision.models, name)(weights=None, **options).eval(), size=64)
    before = everything(model.module)
    units = find_units(model)
    assert everything(model.module) == before
    assert len(units) == count
    assert set(some) <= {unit.name for unit in units}
    assert len({unit.name for unit in units}) == count
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        made = passes(units, x)
        assert_close(made[-1], model(x))
    assert all((between >= 0).all() for between in made[:-1])


@pytest.mark.parametrize("name", ["scenes_vgg", "scenes_resnet"])
def test_the_bundled_networks_are_chains(name):
    model = xw.load(name, device="cpu")
    x = torch.rand(2, 3, 96, 96)
    assert_close(passes(find_units(model), x)[-1], model(x).detach())


def test_normalization_belongs_to_the_first_unit():
    model = wrap(settle(Functional()), mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4])
    x = images(2)
    assert_close(passes(find_units(model), x)[-1], model(x).detach())


def test_units_share_the_parameters_of_the_network_and_run_in_eval_mode():
    network = settle(SharedInPlace())
    units = find_units(wrap(network))
    network.train()
    x = images(2)
    expected = wrap(network)(x)
    assert_close(passes(units, x)[-1], expected.detach())
    assert all(part.training for part in network.modules())
    with torch.no_grad():
        network.fc.bias += 1
    assert_close(passes(units, x)[-1], expected.detach() + 1)


def test_other_threads_run_networks_while_one_is_traced():
    other, x, seen = settle(Functional()), images(2), []
    expected = other(x)

    class Threaded(nn.Module):
        def forward(self, x):
            with ThreadPoolExecutor(1) as thread:
                seen.append(thread.submit(other, images(2)).result())
            return x.relu()

    assert [unit.relu for unit in find_units(Threaded())] == [True]
    assert_close(seen[0], expected)


def test_two_networks_are_traced_at_once():
    called, found = nn.Module.__call__, nn.Module.__getattr__
    with ThreadPoolExecutor(8) as threads:
        chains = list(threads.map(lambda _: find_units(settle(SharedInPlace())), range(24)))
    assert [[unit.name for unit in chain] for chain in chains] == [[unit.name for unit in chains[0]]] * 24
    assert (nn.Module.__call__, nn.Module.__getattr__) == (called, found)


def test_a_unit_does_not_change_what_it_is_given():
    x = images(2)
    given = x.clone()
    for unit in find_units(wrap(settle(SharedInPlace()))):
        before = given.clone()
        made = unit.run(given)
        assert torch.equal(given, before)
        given = made.detach()


class Data(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)) if x.sum() > 0 else -x.mean((2, 3))


class Two(nn.Module):
    def forward(self, x):
        return {"scores": x.mean((2, 3))}


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            Stream(),
            "a single unit of 4 weighted operations, since the output of 'stem' is used again behind .*'act'",
        ),
        (Data(), "its path depends on values, read by 'bool'"),
        (Two(), "expected a network that returns one tensor"),
    ],
)
def test_networks_that_are_not_chains_are_refused_with_the_reason(network, message):
    with pytest.raises(ValueError, match=message) as error:
        find_units(network)
    one_sentence(error)


def test_a_refused_network_has_an_alternative():
    with pytest.raises(ValueError, match="use another method, such as 'integrated_gradients'") as error:
        find_units(Stream())
    words = one_sentence(error)
    named = re.findall(r"'(\w+)'", words.partition("use another method")[2])
    assert named
    assert set(named) <= set(METHODS)
    with pytest.raises(TypeError, match="expected an ImageModel or a torch module, got int"):
        find_units(3)


def test_units_between_the_output_and_another():
    units = find_units(wrap(settle(Functional())))
    names = [unit.name for unit in units]
    assert units_after(units, None) == 5
    assert units_after(units, names[0]) == 4
    assert units_after(units, names[3]) == 1
    with pytest.raises(ValueError, match="unknown unit"):
        units_after(units, names[4])
