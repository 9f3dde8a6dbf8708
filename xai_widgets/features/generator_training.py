"""Training of a generator that inverts the features of a network (Dosovitskiy and Brox 2016).

With z the standardized activation of a layer for an image x (:mod:`~xai_widgets.features.generator_network`), Phi_l the
layers l that are compared, and v_l the variance of each, the loss is a sum of two terms of the source:

    L(G) = l_x mean (G(z) - x)^2 + l_f mean_l mean (Phi_l(G(z)) - Phi_l(x))^2 / v_l

The layers are the last of each resolution up to that of the code, and the layer of the code. The source adds a third,
adversarial term; it is left out, so that details which the code does not determine are blurred or regular patterns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.caching import cache_folder, digest_of, fingerprint, read_weights, save_weights
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.layers import last_of_each_grid
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.partial_pass import outputs_up_to
from xai_widgets.core.precision import double
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import boolean, check_fields, check_finite, instance, integer, number
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.data import scenes
from xai_widgets.features.generator_network import FeatureGenerator, activation_of, arranged

#: Steps between two snapshots.
EVERY = 10
#: Number of scenes to train on by default.
SCENES = 1200
#: Number of images in a pass without gradients, and largest number whose variance of the layers is measured.
PASS, MEASURED = 32, 64
#: Largest height of a layer that is compared, as a fraction of the image's, and largest number of such layers.
FINEST, MOST_COMPARED = 0.5, 4
#: Least height and width of the layer that is the code by default: coarser ones have lost the shapes.
LEAST_SIDE = 4
#: Decay rates of Adam, and share of the steps in which the learning rate rises.
BETAS, WARM_UP = (0.9, 0.99), 0.1
#: Distance of the seeds of two runs, so that their steps do not share seeds.
SEED_STRIDE = 1_000_003


@dataclass(frozen=True)
class FeatureGeneratorSettings:
    """Settings of :func:`feature_generator`; the weights are ours.

    Attributes
    ----------
    steps : int, default 800
        Steps of Adam.
    batch : int, default 12
        Images in a step.
    learning_rate : float, default 4e-3
        Largest learning rate of Adam; it rises in the first tenth of the steps, then falls to 0.
    pixels, features : float, default 20.0, 2.0
        l_x and l_f.
    width : int, default 16
        Number of channels of the generator in the resolution of the image; up to four times as many below.
    """

    steps: int = 800
    batch: int = 12
    learning_rate: float = 4e-3
    pixels: float = 20.0
    features: float = 2.0
    width: int = 16

    def __post_init__(self) -> None:
        check_fields(self, integer, "steps", "batch", "width", low=1)
        check_fields(self, number, "pixels", "features", low=0)
        check_fields(self, number, "learning_rate", above=0)


@without_inference_mode
def feature_generator(
    model: ImageModel,
    layer: str | None = None,
    images: Any = None,
    *,
    settings: FeatureGeneratorSettings | None = None,
    start: FeatureGenerator | None = None,
    seed: int = 0,
    cache: bool = True,
) -> Run[FeatureGenerator]:
    """Train a generator that draws images from the activation of a layer, or load it from the cache folder.

    Parameters
    ----------
    model : ImageModel
        The network, which is not changed.
    layer : str, optional
        The layer whose activation is the code. Default: the last one of 4 x 4 positions or more.
    images : optional
        Images of any kind to train on, some hundreds. Default: generated scenes, for the bundled networks.
    settings : FeatureGeneratorSettings, optional
        Default: ``FeatureGeneratorSettings()``, some minutes on one core for a bundled network.
    start : FeatureGenerator, optional
        Continue the training of this generator, such as ``run.latest`` of a canceled run; with the same arguments, it
        continues as if it had not been interrupted.
    seed : int, default 0
        Seed of weights and order, which are drawn on the CPU.
    cache : bool, default True
        Whether to keep the trained weights in the cache folder, and to load them if they are there
        (:mod:`xai_widgets.core.caching`).

    Returns
    -------
    Run of FeatureGenerator
        One snapshot for each 10 steps; a single one if the weights are in the cache folder.

    Raises
    ------
    ValueError
        For an unknown layer, a start of another layer, and without ``images`` for a network that has other classes
        than the scenes.

    Examples
    --------
    >>> generator = feature_generator(load("scenes_vgg")).result()  # doctest: +SKIP
    >>> visualize(model, ClassScore(3), parameterization=Generated(generator))  # doctest: +SKIP
    """
    check_model(model)
    settings = (
        FeatureGeneratorSettings()
        if settings is None
        else instance(settings, "settings", FeatureGeneratorSettings)
    )
    seed, cache = check_seed(seed), boolean(cache, "cache")
    name = code_layer(model) if layer is None else model.layer(layer).name
    if images is None and list(model.labels) != list(scenes.CLASSES):
        raise ValueError(
            f"expected images to train on for {model.name}, whose classes are not those of scenes, got None"
        )
    x = None if images is None else model.images(images)
    if start is not None and instance(start, "start", FeatureGenerator).layer != name:
        raise ValueError(
            f"expected a start of layer {name!r}, got one of {start.layer!r}; pass layer={start.layer!r}"
        )
    first = 0 if start is None else start.step
    if first >= settings.steps:
        raise ValueError(f"expected more steps than the {first} of start, got {settings.steps}")
    path = _path(model, name, settings, seed, x) if cache else None
    if path is not None and start is None and (held := _load(path, model, name, settings)) is not None:
        return Run(iter([held]), total=1, name="feature generator, from the cache")

    def fit() -> Iterator[FeatureGenerator]:
        trainer = _Trainer(model, name, _scenes(model, seed) if x is None else x, settings, start, seed)
        for step in range(first, settings.steps):
            trainer.step(step)
            if (step + 1) % EVERY == 0 or step + 1 == settings.steps:
                yield trainer.snapshot(step + 1)
        if path is not None:
            save_weights(path, trainer.network, {"loss": trainer.loss()})

    total = math.ceil(settings.steps / EVERY) - first // EVERY
    return Run(fit(), total=total, name="feature generator")


class _Trainer:
    """The generator and its optimizer."""

    def __init__(
        self,
        model: ImageModel,
        layer: str,
        x: Tensor,
        settings: FeatureGeneratorSettings,
        start: FeatureGenerator | None,
        seed: int,
    ) -> None:
        self.model, self.layer, self.x, self.settings, self.seed = model, layer, x, settings, seed
        self.compared = compared_layers(model, layer)
        self.variances = self._variances()
        if start is None:
            mean, std = self._spread()
            self.network = _network(model, layer, tuple(mean.shape), settings, seed)
            self.network.standardize(mean, std)
        else:
            self.network = deepcopy(start)
        self.network.to(x.device).requires_grad_()
        self.optimizer = torch.optim.Adam(self.network.parameters(), betas=BETAS)
        self.losses: list[float] = []
        if start is not None and start.training_state is not None:
            moments, losses = start.training_state
            self.optimizer.load_state_dict(deepcopy(moments))
            self.losses = list(losses)

    @torch.no_grad()
    def _spread(self) -> tuple[Tensor, Tensor]:
        """Return the mean and the standard deviation of the activations, each (*code_shape)."""
        total = squares = double(torch.zeros((), device=self.x.device))
        for part in self.x.split(PASS):
            found = double(activation_of(self.model, part, self.layer))
            total, squares = total + found.sum(0), squares + found.square().sum(0)
        mean = check_finite(total / len(self.x), self.model.name, "activations")
        std = (squares / len(self.x) - mean.square()).clamp(min=0).sqrt()
        return mean, std

    @torch.no_grad()
    def _variances(self) -> dict[str, Tensor]:
        """Return the mean variance of the channels of each layer; 1 for a layer that is constant."""
        outputs = outputs_up_to(self.model, self.x[:MEASURED], self.compared)
        found = {}
        for name, output in outputs.items():
            channels = arranged(self.model, name, output).transpose(0, 1).flatten(1)
            variance = channels.var(1, unbiased=False).mean()
            found[name] = torch.where(variance > 0, variance, 1.0)
        return found

    def step(self, step: int) -> None:
        """Make one step of Adam."""
        # A seed of its own for each step, so that a resumed training draws what an uninterrupted one does.
        generator = torch.Generator().manual_seed((self.seed * SEED_STRIDE + step) % 2**63)
        rows = torch.randint(len(self.x), (self.settings.batch,), generator=generator).to(self.x.device)
        x = self.x[rows]
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * pace(step, self.settings.steps)
        with outside_inference(), torch.no_grad():
            expected = outputs_up_to(self.model, x, self.compared)
        with outside_inference(), torch.enable_grad():
            z = self.network.standardized(arranged(self.model, self.layer, expected[self.layer]).clone())
            drawn = self.network(z)
            found = outputs_up_to(self.model, drawn, self.compared)
            distances = [
                F.mse_loss(found[name].float(), expected[name].float().clone()) / self.variances[name]
                for name in self.compared
            ]
            loss = self.settings.pixels * F.mse_loss(drawn, x)
            loss = loss + self.settings.features * torch.stack(distances).mean()
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
        self.losses = [*self.losses[-49:], loss.item()]

    def loss(self) -> float:
        """Return the mean loss of the last steps."""
        return sum(self.losses) / len(self.losses)

    def snapshot(self, step: int) -> FeatureGenerator:
        """Return the generator so far, which later steps do not change."""
        self.optimizer.zero_grad(set_to_none=True)
        network = deepcopy(self.network).requires_grad_(False)
        network.step, network.total, network.loss = step, self.settings.steps, self.loss()
        network.training_state = deepcopy(self.optimizer.state_dict()), tuple(self.losses)
        return network


def pace(step: int, steps: int) -> float:
    """Return the learning rate of a step as a fraction of the largest one: a linear rise, then half a cosine."""
    return min(1.0, (step + 1) / max(WARM_UP * steps, 1)) * (1 + math.cos(math.pi * step / steps)) / 2


def code_layer(model: ImageModel) -> str:
    """Return the last layer of 4 x 4 positions or more, or of fewer if there is none; ValueError for no positions."""
    layers = model.layers()
    found = last_of_each_grid(layers)
    if not found:
        raise ValueError(f"expected layer= for {model.name}, which has no spatial layer, got None")
    sides = {each.name: min(each.grid.height, each.grid.width) for each in layers if each.grid is not None}
    return [name for name in found if sides[name] >= LEAST_SIDE or name == found[0]][-1]


def compared_layers(model: ImageModel, layer: str) -> tuple[str, ...]:
    """Return the last layer of each resolution up to a layer, and the layer itself."""
    layers = model.layers()
    until = layers[: [each.name for each in layers].index(layer) + 1]
    heights = {each.name: each.grid.height for each in until if each.grid is not None}
    coarse = [name for name in last_of_each_grid(until) if heights[name] <= FINEST * model.size[0]]
    return tuple(dict.fromkeys([*coarse[-MOST_COMPARED:], layer]))


def _network(
    model: ImageModel, layer: str, shape: tuple[int, ...], settings: FeatureGeneratorSettings, seed: int
) -> FeatureGenerator:
    with outside_inference(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FeatureGenerator(layer, shape, model.size, model.channels, width=settings.width)


def _scenes(model: ImageModel, seed: int) -> Tensor:
    """Return scenes of one object, (N, 3, H, W)."""
    made = scenes.generate(SCENES, size=model.size[0], seed=seed + 7)
    return model.images(np.stack([scene.image for scene in made]))


def _path(
    model: ImageModel, layer: str, settings: FeatureGeneratorSettings, seed: int, x: Tensor | None
) -> Path:
    """Return the file of the weights."""
    data = ("scenes", SCENES) if x is None else (x,)
    digest = digest_of(fingerprint(model), layer, sorted(asdict(settings).items()), seed, *data)
    return cache_folder() / f"feature_generator_{digest}.safetensors"


def _load(
    path: Path, model: ImageModel, layer: str, settings: FeatureGeneratorSettings
) -> FeatureGenerator | None:
    held = read_weights(path)
    if held is None:
        return None
    state, facts = held
    network = _network(model, layer, tuple(state["mean"].shape), settings, 0)
    network.load_state_dict(state)
    network.step = network.total = settings.steps
    network.loss = facts["loss"]
    return network.to(model.device).requires_grad_(False)
