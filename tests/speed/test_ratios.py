"""A regression gate on CPU time: methods over the bare passes that they are made of.

The noise is measured first. In each round the bare passes run twice, in turns like any other work; on an idle machine
both would take the same time, and the median of how far they differ is the noise, at least 1.15. The bound of a method
is its factor times the noise. A factor is a fifth above what was measured on two cores that six other processes used
(0.96 gradient, 1.12 guided backprop, 2.00 DeepLIFT), as processors differ, or the aim where that is higher, which is so
where the batches of the package are faster than those here. A method above its bound is measured once more in three
times as many rounds, and fails if it is above it again. CPU time in turns, as other processes slow all alike.
"""

import statistics
import time

import pytest
import torch
from torch import Tensor

import xai_widgets as xw
from xai_widgets import perturbation
from xai_widgets.data import scenes
from xai_widgets.methods import METHODS
from xai_widgets.metrics import deletion

ROUNDS, IMAGES, STEPS = 9, 4, 16

#: Largest CPU time of a method, in that of its bare passes, without noise.
FACTORS = {
    "gradient": 1.15,
    "guided_backprop": 1.35,
    "grad_cam": 1.05,
    "deep_lift": 2.4,
    "integrated_gradients": 1.1,
    "smoothgrad": 1.1,
    "occlusion": 1.1,
    "deletion": 1.1,
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model():
    return xw.load("scenes_vgg", device="cpu")


@pytest.fixture(scope="module")
def x(model):
    return model.images([scenes.scene(number, split="test").image for number in range(IMAGES)])


def bare(model, x: Tensor, number: int, gradient: bool):
    """Return passes of ``number`` images by the torch module, in batches of the size of ``x``."""

    def work():
        for _ in range(number // len(x)):
            if gradient:
                given = ((x - model.mean) / model.std).requires_grad_()
                torch.autograd.grad(model.module(given)[:, 1].sum(), given)
            else:
                with torch.no_grad():
                    model.module((x - model.mean) / model.std)

    return work


def works(model, x):
    """Return each method with its bare passes."""
    target, one = torch.ones(IMAGES, dtype=torch.long), x[:1]
    pair = {
        name: (lambda name=name: METHODS[name](model, x, target), bare(model, x, IMAGES, True))
        for name in ("gradient", "guided_backprop", "grad_cam", "deep_lift")
    }
    many = bare(model, x, IMAGES * STEPS, True)
    pair["integrated_gradients"] = (
        lambda: METHODS["integrated_gradients"](model, x, target, steps=STEPS), many
    )  # fmt: skip
    pair["smoothgrad"] = (lambda: METHODS["smoothgrad"](model, x, target, samples=STEPS), many)
    pair["occlusion"] = (
        lambda: perturbation.occlusion(model, one, 1, window=12, stride=12).result(progress=False),
        bare(model, x, 64, False),
    )
    order = torch.randperm(96 * 96, generator=torch.Generator().manual_seed(0)).view(1, 96, 96).float()
    pair["deletion"] = (
        lambda: deletion(model, one, order, 1, steps=63).result(progress=False), bare(model, x, 64, False)
    )  # fmt: skip
    return pair


def medians(turns, rounds: int) -> tuple[float, float]:
    """Return the ratio of the method to its bare passes, and that of the bare passes to themselves."""
    ours, passes = turns
    contenders = {"ours": ours, "bare": passes, "again": passes}
    for work in contenders.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in list(contenders)[:: -1 if number % 2 else 1]:
            start = time.process_time()
            contenders[name]()
            times[name].append(time.process_time() - start)
    noise = [one / other for one, other in zip(times["bare"], times["again"], strict=True)]
    each = [
        2 * mine / (one + other)
        for mine, one, other in zip(times["ours"], times["bare"], times["again"], strict=True)
    ]
    # Half of the rounds deviate by less than this.
    deviation = statistics.median(max(value, 1 / value) for value in noise)
    return statistics.median(each), max(1.15, deviation)


@pytest.mark.parametrize("name", FACTORS)
def test_a_method_takes_hardly_longer_than_its_passes(model, x, name):
    turns = works(model, x)[name]
    for rounds in (ROUNDS, 3 * ROUNDS):
        ratio, noise = medians(turns, rounds)
        print(f"{name}: {ratio:.3f} of the bare passes, noise {noise:.3f}")
        if ratio <= FACTORS[name] * noise:
            return
    pytest.fail(
        f"{name} took {ratio:.2f} times its bare passes, above {FACTORS[name]:g} x {noise:.2f} of noise"
    )


def test_the_gate_notices_a_pass_too_many(model, x):
    ours, passes = works(model, x)["gradient"]
    ratio, noise = medians((lambda: (ours(), ours()), passes), ROUNDS)
    assert ratio > FACTORS["gradient"] * noise
