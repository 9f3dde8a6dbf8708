"""Methods and metrics hold few images at a time, counted in the passes of the network and in the tensors they make."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from xai_widgets import metrics, perturbation
from xai_widgets.core.batching import CPU_LAYER, pass_batch_size
from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS

SIDE, CHANNELS = 64, 256


class Wide(nn.Module):
    """A network whose layer returns 4 MB for each image; it records the number of images of each pass."""

    seen: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.linear = nn.Conv2d(3, CHANNELS, 1), nn.Linear(CHANNELS, 4)
        self.__dict__["seen"] = Seen()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.counts.append(len(x))
        return self.linear(self.convolution(x).relu().mean((2, 3)))


class Seen:
    """Numbers of images, shared by the copies of a network."""

    def __init__(self) -> None:
        self.counts: list[int] = []


class Largest(TorchDispatchMode):
    """Records the bytes of the largest tensor that an operation returns in memory of its own."""

    bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        # Empty memory takes none until it is written to, by an operation that returns it.
        if isinstance(result, Tensor) and function._overloadpacket is not torch.ops.aten.empty:
            # The storage of an expanded tensor is that of the small one.
            self.bytes = max(self.bytes, result.untyped_storage().nbytes())
        return result


@pytest.fixture(scope="module")
def model() -> ImageModel:
    torch.manual_seed(0)
    return ImageModel(Wide(), size=SIDE, device="cpu")


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


SEGMENTS = (torch.arange(SIDE)[:, None] // 8 * 8 + torch.arange(SIDE) // 8)[None]
#: Many passes without gradients, as functions of the model, the image and its class.
FORWARD = {
    "occlusion": lambda m, x, c: perturbation.occlusion(m, x, c, window=8).result(progress=False),
    "variable_occlusion": lambda m, x, c: perturbation.variable_occlusion(m, x, c, stride=16).result(progress=False),
    "rise": lambda m, x, c: perturbation.rise(m, x, c, masks=64).result(progress=False),
    "lime": lambda m, x, c: perturbation.lime(m, x, c, segments=SEGMENTS, samples=64).result(progress=False),
    "kernel_shap": lambda m, x, c: perturbation.kernel_shap(m, x, c, segments=SEGMENTS, samples=64).result(
        progress=False
    ),
    "minimal_image": lambda m, x, c: list(
        islice(perturbation.minimal_image(m, x, c, segments=SEGMENTS), 2)
    ),
    "prediction_difference": lambda m, x, c: perturbation.prediction_difference(
        m, x, c, patch=8, stride=8, samples=5
    ).result(progress=False),
    "score_masks": lambda m, x, c: perturbation.score_masks(m, x, torch.rand(1, 40, SIDE, SIDE).round(), c),
    "deletion": lambda m, x, c: metrics.deletion(m, x, x.mean(1), c, steps=40).result(progress=False),
    "insertion": lambda m, x, c: metrics.insertion(m, x, x.mean(1), c, steps=40).result(progress=False),
    "sensitivity_n": lambda m, x, c: metrics.sensitivity_n(m, x, x.mean(1), c, sets=40),
    "infidelity": lambda m, x, c: metrics.infidelity(m, x, x.mean(1), c, squares=40),
}  # fmt: skip
#: Those with gradients.
GRADIENTS = {
    "integrated_gradients": {"steps": 40}, "smoothgrad": {"samples": 40}, "smoothgrad_squared": {"samples": 40},
    "expected_gradients": {"samples": 40}, "gradient_shap": {"samples": 40},
}  # fmt: skip


@pytest.mark.parametrize("name", FORWARD)
def test_passes_without_gradients_hold_as_many_images_as_fit_into_one_fast_batch(name, model, x):
    most = pass_batch_size(model, (SIDE, SIDE))
    target = int(model.scores(x).argmax())
    model.module.seen.counts.clear()
    with Largest() as largest:
        FORWARD[name](model, x, target)
    assert 1 < max(model.module.seen.counts) <= most
    assert largest.bytes <= CPU_LAYER


@pytest.mark.parametrize("name", GRADIENTS)
def test_passes_with_gradients_hold_as_many_images_as_fit_into_their_memory(name, model, x):
    most = pass_batch_size(model, (SIDE, SIDE), gradient=True)
    model.module.seen.counts.clear()
    with Largest() as largest:
        METHODS[name](model, x, 1, **GRADIENTS[name])
    assert max(model.module.seen.counts) <= most
    # The images of a batch, or the result of its largest layer.
    assert largest.bytes <= 4 * most * CHANNELS * SIDE * SIDE


def test_the_last_pass_of_a_snapshot_is_no_smaller_than_the_others(model, x):
    model.module.seen.counts.clear()
    perturbation.rise(model, x, 1, masks=32).result(progress=False)
    assert sum(model.module.seen.counts) == 32
    assert max(model.module.seen.counts) - min(model.module.seen.counts) <= 1
