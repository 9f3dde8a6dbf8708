"""Computations with the same results on each device: methods, metrics, studies of layers and concepts.

Each case is a function of a device. ``tests/devices/test_devices.py`` runs them on the simulated device, and
``scripts/gpu_check.py`` on a real one.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from networks import CLASSES, SIZE, Functional, SharedInPlace, Tokens, images, quick, settle, wrap
from torch import Tensor, nn

from xai_widgets import concepts, features, learned, metrics, similarity
from xai_widgets.core.model import ImageModel
from xai_widgets.inverse import evaluation, frequency
from xai_widgets.methods import METHODS
from xai_widgets.metrics import METRICS, Explanation

Case = Callable[[torch.device], Any]
#: Methods of networks with attention, and of those that end in global pooling.
ATTENTION, POOLED = ("attention_rollout", "gradient_x_attention", "legrad"), ("cam",)
#: Methods whose result amplifies rounding: a search by comparisons may take another branch.
SEARCHES = ("minimal_image", "greedy_regions", "extremal", "channel_extremal", "noise_mask", "meaningful_perturbation",
            "variable_occlusion", "feedback_layers")  # fmt: skip


class Pooled(nn.Module):
    """A network that ends in global pooling and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.classes = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores."""
        return self.classes(self.features(x).mean((2, 3)))


@functools.cache
def model(kind: type[nn.Module], device: torch.device) -> ImageModel:
    """Return a small network with seeded weights on a device."""
    torch.manual_seed(0)
    return wrap(settle(kind()), device=device)


def method_case(name: str, **options: Any) -> Case:
    """Return the map of a method on two images with quick options, or those given."""
    kind = Tokens if name in ATTENTION else Pooled if name in POOLED else Functional
    options = quick(METHODS[name], batch_size=2) | options
    target = None if name == "minimal_image" else [1, 2]
    return lambda device: METHODS[name].saliency(model(kind, device), images(2), target, **options)


def _explanation(device: torch.device) -> Explanation:
    own, x = wrap(settle(SharedInPlace()), size=24, device=device), images(1, size=24).to(device)
    mask = torch.zeros(24, 24, dtype=torch.bool)
    mask[2:9, 2:9] = True
    saliency, other = (METHODS[name].saliency(own, x, 2) for name in ("gradient", "guided_backprop"))
    permuted = wrap(settle(SharedInPlace(), seed=3), size=24, device=device)
    return Explanation(own, x, 2, saliency, mask=mask, difficult=True, parts={"eye": torch.tensor([[3, 4]])},
                       method=METHODS["gradient"], permuted=permuted, reference=other)  # fmt: skip


def _metric(name: str) -> Case:
    return lambda device: METRICS[name](_explanation(device))


def _done(run: Any) -> Any:
    return run.result(progress=False)


def _colored(count: int, seed: int) -> tuple[list[Tensor], list[int]]:
    labels = torch.arange(count) % 2
    x = 0.3 + 0.3 * torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    x[:, 0] += 0.2 * labels[:, None, None]
    return list(x), labels.tolist()


def _layers(layer: str = "conv2") -> dict[str, Callable[[ImageModel], Any]]:
    """Computations about one layer of a model, by name."""
    x, directions = images(4), torch.eye(8)[:3]
    known = concepts.ConceptDirections(
        layer, ("a", "b", "c"), ("object",) * 3, directions, torch.ones(3), 20 * torch.ones(3).long(),
        torch.ones(3).bool(),
    )  # fmt: skip
    maps = torch.rand(4, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    population = learned.OnePixelSettings(population=20, generations=3)

    def grids(own: ImageModel) -> Any:
        return _done(similarity.activation_grids(own, x, layer))

    return {
        "ablate": lambda own: concepts.ablate(own, x, [[], [0], [2, 1]], layer=layer, fill="mean"),
        "ablate_units": lambda own: _done(concepts.ablate_units(own, x, [0, 1, 2, 3], layer=layer, fill="mean")),
        "prediction_concepts": lambda own: concepts.prediction_concepts(own, x[:1], known, 1),
        "activation_grids": lambda own: [grid.raw for grid in grids(own)],
        "similarity": lambda own: [
            similarity.similarity(grids(own)[0], (1, 1), grids(own)[1], kind=kind)
            for kind in ("cosine", "dot", "euclidean")
        ],
        "top_activations": lambda own: _done(features.top_activations(own, x, layer=layer, k=2)),
        "effective_receptive_field": lambda own: features.effective_receptive_field(own, layer, x),
        "visualize": lambda own: _done(features.visualize(own, features.objectives.Channel(layer, 1), steps=3)),
        "fgsm": lambda own: _done(learned.fgsm(own, x, epsilon=0.03)),
        "iterated_fgsm": lambda own: _done(learned.iterated_fgsm(own, x, epsilon=0.02, steps=3)),
        "deep_fool": lambda own: _done(learned.deep_fool(own, x, steps=3)),
        "one_pixel": lambda own: _done(learned.one_pixel(own, x, settings=population)),
        "deletion": lambda own: _done(metrics.deletion(own, x, maps, steps=8)),
        "insertion": lambda own: _done(metrics.insertion(own, x, maps, steps=8)),
        "sensitivity_n": lambda own: metrics.sensitivity_n(own, x, maps, sets=4),
        "infidelity": lambda own: metrics.infidelity(own, x, maps, squares=8),
        "weight_randomization": lambda own: _done(metrics.weight_randomization(own, x, explain="gradient")),
        "reidentification": lambda own: evaluation.reidentification(own, x, maps),
        "spectra": lambda own: frequency.spectra(x.to(own.device), maps.to(own.device)),
    }  # fmt: skip


def _fitted() -> dict[str, Callable[[ImageModel], Any]]:
    """Computations that need scikit-learn."""
    train, held = _colored(40, 1), _colored(24, 2)
    named = {name: images(12, seed=seed) for seed, name in enumerate(("first", "second"))}
    return {
        "linear_probes": lambda own: _done(concepts.linear_probes(own, train, held, layers=["conv2"])),
        "class_concepts": lambda own: _done(
            concepts.class_concepts(own, images(6), target=1, count=2, layer="conv2", design=4)
        ),
        "tcav": lambda own: _done(
            concepts.tcav(own, named, list(images(20, seed=5)), list(images(4, seed=6)), 1, layer="conv2")
        ),
    }


def _has(package: str) -> bool:
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


def cases() -> Iterator[tuple[str, Case]]:
    """Yield every case with its name, the most important first."""
    for name in METHODS:
        yield f"method {name}", method_case(name)
    for name, metric in METRICS.items():
        if metric.category != "cost":
            yield f"metric {name}", _metric(name)
    parts = _layers() | (_fitted() if _has("sklearn") else {})
    for name, compute in parts.items():
        yield f"study {name}", lambda device, compute=compute: compute(model(Functional, device))


def numbers(result: Any, name: str = "result") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors, arrays and numbers in a result with their names, on the CPU."""
    if isinstance(result, Tensor):
        yield name, result.detach().cpu()
    elif isinstance(result, np.ndarray | float | int | bool):
        yield name, torch.as_tensor(result)
    elif isinstance(result, Mapping):
        for key, value in result.items():
            yield from numbers(value, f"{name}[{key!r}]")
    elif isinstance(result, list | tuple):
        for index, value in enumerate(result):
            yield from numbers(value, f"{name}[{index}]")
    elif dataclasses.is_dataclass(result):
        for field in dataclasses.fields(result):
            yield from numbers(getattr(result, field.name), f"{name}.{field.name}")
