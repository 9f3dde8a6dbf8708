"""Everything computes on an accelerator what it computes on the CPU, also on one without float64.

The simulated device runs the kernels of the CPU and is as strict as an accelerator; see ``simulated_device``.
"""

import gpu_cases
import pytest
import simulated_device
import torch
from closeness import assert_close
from small_explorers import COMPUTING, EXPLORERS, classifier
from torch import nn

import xai_widgets as xw
from xai_widgets.core import precision

pytestmark = [
    pytest.mark.skipif(not simulated_device.AVAILABLE, reason="this torch has no backends in Python"),
    pytest.mark.filterwarnings("ignore"),
]
CPU = torch.device("cpu")
CASES = dict(gpu_cases.cases())


@pytest.fixture(scope="module")
def device():
    return simulated_device.register()


@pytest.fixture
def without_float64(device, monkeypatch):
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", {device.type})
    with simulated_device.without_float64():
        yield


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_are_those_of_the_cpu(name, device, without_float64):
    expected = list(gpu_cases.numbers(CASES[name](CPU)))
    with simulated_device.recorded() as events:
        made = list(gpu_cases.numbers(CASES[name](device)))
    assert [part for part, _ in made] == [part for part, _ in expected]
    assert expected
    # Batches of an accelerator are larger, and their sums are rounded otherwise.
    for (part, one), (_, other) in zip(made, expected, strict=True):
        assert_close(one.nan_to_num(-7), other.nan_to_num(-7), msg=f"{part} differs")
    # Numbers drawn by the device would be others on another one.
    assert [where for kind, where in events if kind == "random"] == []


@pytest.mark.parametrize("name", [name for name in COMPUTING if name not in ("concept", "extremal")])
def test_every_explorer_computes(name, device, without_float64):
    explorer = EXPLORERS[name](
        xw.ImageModel(classifier().module, size=16, labels=list("abcdef"), device=device)
    )
    try:
        assert explorer.wait(120)
        assert explorer.run_bar.status == "done", explorer.run_bar.error
    finally:
        explorer.close()


def test_the_device_refuses_what_an_accelerator_refuses(device, without_float64):
    x = torch.rand(4).to(device)
    with pytest.raises(RuntimeError, match="expected all tensors on one device"):
        x + torch.rand(4)
    with pytest.raises(RuntimeError, match="generator of the device"):
        torch.rand(4, generator=torch.Generator(), device=device)
    with pytest.raises(TypeError, match="at most float32"):
        x.double()
    with pytest.raises((TypeError, RuntimeError), match="numpy"):
        x.numpy()
    with simulated_device.recorded() as events:
        bool((x * torch.tensor(2.0)).sum() > 0)
        torch.rand(4, device=device)
    assert sorted(kind for kind, _ in events) == ["random", "read"]


def test_the_gradient_and_the_parameters_are_on_the_device(device):
    network = nn.Linear(3, 2).to(device)
    x = torch.rand(1, 3).to(device).requires_grad_()
    (gradient,) = torch.autograd.grad(network(x)[0, 1], x)
    assert gradient.device == network.weight.device == device
    assert torch.equal(gradient.cpu()[0], network.weight[1].detach().cpu())


def test_doubled_numbers_stay_on_a_device_that_has_them(device, monkeypatch):
    assert precision.double(torch.rand(2).to(device)).device == device
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", {device.type})
    assert precision.double(torch.rand(2).to(device)).device == CPU


def test_global_flags_stay_as_they_are(device):
    def flags():
        backends = torch.backends
        return (
            backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32, backends.cudnn.benchmark,
            backends.cudnn.deterministic, torch.get_float32_matmul_precision(),
            torch.are_deterministic_algorithms_enabled(), torch.get_default_device(), torch.get_default_dtype(),
        )  # fmt: skip

    before, state = flags(), torch.get_rng_state()
    for name in ("method rise", "method smoothgrad", "method extremal", "method layer_wise_inverse"):
        CASES[name](device)
    assert flags() == before
    assert torch.equal(torch.get_rng_state(), state)
