import threading

import pytest
import torch
from networks import Dropping, Functional, SharedInPlace, images, settle
from torch import nn
from torch.nn.modules import module as torch_module

from xai_widgets.recording import evaluating, recording, watching


def flags(network):
    return {name: part.training for name, part in network.named_modules()}


def global_hooks():
    return {
        name: len(hooks)
        for name, hooks in vars(torch_module).items()
        if name.startswith("_global_") and "hooks" in name
    }


def test_a_recorded_layer_is_what_a_hook_sees_at_that_moment():
    network, x = settle(SharedInPlace()), images(2)
    seen = {}
    handle = network.conv1.register_forward_hook(lambda m, i, o: seen.update(conv1=o.detach().clone()))
    with recording({"conv1": network.conv1, "bn": network.block1.bn1}) as kept:
        scores = network(x)
    handle.remove()
    assert torch.equal(kept["conv1"], seen["conv1"])
    assert (kept["conv1"] < 0).any(), "the in-place ReLU that follows must not have changed it"
    assert torch.equal(scores, network(x))


def test_gradients_reach_what_was_recorded():
    network, x = settle(SharedInPlace()), images(1).requires_grad_()
    with recording({"conv1": network.conv1}) as kept:
        score = network(x)[0, 0]
    (gradient,) = torch.autograd.grad(score, kept["conv1"])
    relu = torch.relu(kept["conv1"].detach()).requires_grad_()
    rest = network.fc(network.average(network.block2(network.block1(network.pool(relu)))).flatten(1))
    (expected,) = torch.autograd.grad(rest[0, 0], relu)
    torch.testing.assert_close(gradient, expected * (kept["conv1"] > 0))


def test_a_layer_that_returns_no_tensor_is_refused():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    pair = Pair()
    with pytest.raises(ValueError, match="layer 'pair' returns tuple, wanted"), recording({"pair": pair}):
        pair(images())


def test_only_this_thread_and_these_layers_are_watched():
    network, other, calls = settle(Functional()), settle(Functional()), []
    with watching({"conv1": network.conv1}, lambda name, module, output: calls.append(name)):
        other(images())
        thread = threading.Thread(target=lambda: network(images()))
        thread.start()
        thread.join(30)
        assert calls == []
        network(images())
    network(images())
    assert calls == ["conv1"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_no_hook_is_left_behind(error):
    before = global_hooks()
    assert before["_global_forward_hooks"] == 0

    def leave():
        with recording({}):
            assert global_hooks() != before
            raise error

    with pytest.raises(error):
        leave()
    assert global_hooks() == before


def mixed():
    network = Dropping().train()
    network.features[1].eval()
    return network


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_every_flag_is_as_before(error):
    network = mixed()
    before = flags(network)

    def leave():
        with evaluating(network), evaluating(network.features):
            assert not any(flags(network).values())
            if error is not None:
                raise error

    if error is None:
        leave()
    else:
        with pytest.raises(error):
            leave()
    assert flags(network) == before


def test_a_mode_set_between_two_blocks_stays():
    network = Dropping().train()
    with evaluating(network):
        pass
    network.eval()
    with evaluating(network):
        pass
    assert not any(flags(network).values())


def test_whoever_leaves_first_does_not_end_eval_mode_for_the_other():
    network = mixed()
    before = flags(network)
    both_in, first_out = threading.Barrier(2), threading.Event()
    seen = []

    def second():
        # A part of the network first, then all of it: the blocks overlap and neither holds the other.
        with evaluating(network.features), evaluating(network):
            both_in.wait(30)
            first_out.wait(30)
            seen.append(any(flags(network).values()))

    thread = threading.Thread(target=second)
    with evaluating(network):
        thread.start()
        both_in.wait(30)
    first_out.set()
    thread.join(30)
    assert seen == [False]
    assert flags(network) == before


def test_many_threads_leave_no_trace():
    network = settle(Dropping()).train()
    before, state = flags(network), {key: value.clone() for key, value in network.state_dict().items()}
    expected, start, wrong = None, threading.Barrier(4), []
    with evaluating(network):
        expected = network(images())

    def work():
        start.wait(30)
        for _ in range(50):
            with evaluating(network), torch.no_grad():
                if not torch.equal(network(images()), expected):
                    wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert flags(network) == before
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
