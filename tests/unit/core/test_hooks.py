import threading

import pytest
import torch
from closeness import assert_close
from networks import Functional, SharedInPlace, images, settle
from torch import nn
from torch.nn.modules import module as torch_module

from xai_widgets.core.hooks import (
    call_of,
    forward_hooks,
    layer_name,
    main_tensor,
    record_inputs,
    record_outputs,
    with_main_tensor,
)
from xai_widgets.core.replica import replica


def hooks(network):
    every = {name: len(found) for name, found in vars(torch_module).items() if "hooks" in name and found}
    own = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in network.modules()]
    return every, own


def test_a_recorded_layer_is_what_a_hook_sees_at_that_moment():
    network, x = settle(SharedInPlace()), images(2)
    seen = {}
    handle = network.conv1.register_forward_hook(lambda m, i, o: seen.update(conv1=o.detach().clone()))
    with record_outputs({"conv1": network.conv1, "bn": network.block1.bn1}) as kept:
        scores = replica(network)(x)
    handle.remove()
    assert torch.equal(kept["conv1"], seen["conv1"])
    assert (kept["conv1"] < 0).any(), "the in-place ReLU that follows must not have changed it"
    assert torch.equal(scores, network(x))


def test_gradients_reach_what_was_recorded():
    network, x = settle(SharedInPlace()), images(1).requires_grad_()
    with record_outputs({"conv1": network.conv1}) as kept:
        score = replica(network)(x)[0, 0]
    (gradient,) = torch.autograd.grad(score, kept["conv1"])
    relu = torch.relu(kept["conv1"].detach()).requires_grad_()
    rest = network.fc(network.average(network.block2(network.block1(network.pool(relu)))).flatten(1))
    (expected,) = torch.autograd.grad(rest[0, 0], relu)
    assert_close(gradient, expected * (kept["conv1"] > 0))


def test_a_layer_that_returns_no_tensor_is_refused():
    class Pair(nn.Module):
        def forward(self, x):
            return {"x": x}

    pair = Pair()
    with (
        pytest.raises(ValueError, match="got 'pair', which returns dict"),
        record_outputs({"pair": pair}),
    ):
        replica(pair)(images())


def test_of_a_tuple_the_first_tensor_is_recorded_and_the_rest_stays():
    class Pair(nn.Module):
        def forward(self, x):
            return 2 * x, "rest"

    pair, x = Pair(), images()
    with record_outputs({"pair": pair}) as kept:
        first, rest = replica(pair)(x)
    assert torch.equal(kept["pair"], 2 * x)
    assert torch.equal(first, 2 * x)
    assert rest == "rest"
    assert with_main_tensor((x, 1, 2), x + 1)[1:] == (1, 2)
    assert main_tensor([x]) is main_tensor(()) is None


def test_every_call_of_a_module_is_a_layer():
    network, x = settle(SharedInPlace()), images(1)
    names = [layer_name("relu", call) for call in range(5)]
    assert [call_of(name) for name in names] == [("relu", call) for call in range(5)]
    with record_outputs(dict.fromkeys(names, network.relu)) as kept:
        replica(network)(x)
    assert [tuple(kept[name].shape[2:]) for name in names] == [(8, 8), *[(4, 4)] * 4]
    calls = []
    with forward_hooks(
        {"relu": network.relu}, lambda name, module, output: calls.append(name), every_call=True
    ):
        replica(network)(x)
    assert calls == ["relu"] * 5
    with record_inputs({"fc": network.fc}) as given:
        scores = replica(network)(x)
    assert torch.equal(network.fc(given["fc"]), scores)


def test_a_watcher_may_replace_an_output_and_watches_add_up():
    network, x = settle(Functional()), images(1)
    with (
        forward_hooks({"fc": network.fc}, lambda name, module, output: output + 1),
        forward_hooks({"fc": network.fc}, lambda name, module, output: output * 2),
    ):
        made = replica(network)(x)
    assert torch.equal(made, (network(x) + 1) * 2)


def test_only_replicas_made_in_this_thread_and_block_are_watched():
    network, other, calls = settle(Functional()), settle(Functional()), []
    with forward_hooks({"conv1": network.conv1}, lambda name, module, output: calls.append(name)):
        replica(other)(images())
        network(images())
        thread = threading.Thread(target=lambda: replica(network)(images()))
        thread.start()
        thread.join(30)
        assert calls == []
        replica(network)(images())
    replica(network)(images())
    assert calls == ["conv1"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_network_has_no_hook_of_ours_at_any_moment(error):
    network = settle(Functional())
    before = hooks(network)

    def leave():
        with record_outputs({"conv1": network.conv1}):
            replica(network)(images())
            assert hooks(network) == before
            raise error

    with pytest.raises(error):
        leave()
    assert hooks(network) == before
