"""Noise masks of one image for layers, networks and weights beta."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.core.validation import instance
from xai_widgets.perturbation.noise_mask import (
    Noise,
    NoiseMask,
    NoiseMaskSettings,
    masked_input,
    noise_mask,
)
from xai_widgets.studies.layers import compared_layers, evenly
from xai_widgets.studies.store import Outcome
from xai_widgets.studies.study import Study

#: Blocks of a network, of whose later half the layers are chosen.
BLOCKS = 10
#: Most layers of a network besides its scores: the source compares five.
LAYERS = 5


class NoiseMaskKey(NamedTuple):
    """The choices that a noise mask depends on.

    Attributes
    ----------
    model : int
        Index of the network.
    layer : str or None
        The layer whose output is preserved; None for the scores before softmax.
    beta : float
        Weight of the loss, in units of beta_0 of this network and layer.
    """

    model: int = 0
    layer: str | None = None
    beta: float = 1.0


class NoiseMaskStudy(Study[NoiseMaskKey, NoiseMask]):
    """Noise masks of one image; a complete search can be continued (Liao 2018, section 4.3).

    Parameters
    ----------
    models : sequence of ImageModel
        The networks; each gets the image in its own size.
    image
        One image of any kind.
    settings : NoiseMaskSettings, optional
        Settings of the searches; their beta is that of the key. Default: ``NoiseMaskSettings()``.
    noise : {"uniform", "normal"}, default "uniform"
        Distribution of the noise.
    seed : int, default 0
        Seed of the noise.
    every : int, default 10
        Steps between two snapshots.
    store : mutable mapping, optional
        Where outcomes are kept; see :class:`~xai_widgets.studies.Study`.
    """

    resumable = True

    def __init__(
        self,
        models: Sequence[ImageModel],
        image: Any,
        *,
        settings: NoiseMaskSettings | None = None,
        noise: Noise = "uniform",
        seed: int = 0,
        every: int = 10,
        store: MutableMapping[NoiseMaskKey, Outcome[NoiseMask]] | None = None,
    ) -> None:
        super().__init__(store)
        self.models, self.images = list(models), [_one(model, image) for model in models]
        self.settings, self.noise, self.seed, self.every = settings, noise, seed, every

    def run(self, key: NoiseMaskKey, start: NoiseMask | None = None) -> Run[NoiseMask]:
        """Return the search for a key, or its continuation."""
        settings = NoiseMaskSettings() if self.settings is None else self.settings
        instance(settings, "settings", NoiseMaskSettings)
        return noise_mask(
            self.models[key.model],
            self.images[key.model],
            layer=key.layer,
            noise=self.noise,
            settings=replace(settings, beta=key.beta),
            start=start,
            seed=self.seed,
            every=self.every,
        )

    def steps(self, key: NoiseMaskKey) -> int:
        """Return the number of snapshots of the search, or of its continuation."""
        return self.run(key, self.result(key)).total

    def title(self, key: NoiseMaskKey) -> str:
        """Return the layer and beta of a key, with the network if there are several."""
        network = [self.models[key.model].name] if len(self.models) > 1 else []
        return f"{', '.join([*network, key.layer or 'scores'])} at β = {key.beta:g} β₀"

    def convergence(self, keys: Iterable[NoiseMaskKey]) -> str:
        """Return how many masks have converged."""
        results = [result for key in keys if (result := self.result(key)) is not None]
        flat = sum(bool(result.flat.all()) for result in results)
        return f"{flat} of {len(results)} masks converged"

    def masked(self, key: NoiseMaskKey) -> Tensor | None:
        """Return the image under the mask of a key, (1, C, H, W) in [0, 1]; None without a result."""
        result = self.result(key)
        if result is None:
            return None
        return masked_input(self.images[key.model], result.masks, noise=self.noise, seed=self.seed)


def late_layers(models: Sequence[ImageModel], most: int = LAYERS) -> list[list[str]]:
    """Return as many layers of each network, evenly spaced over the later half of its blocks.

    The source finds no balance of both terms in the first half (section 4.3).
    """
    halves = []
    for model in models:
        names = compared_layers(model, BLOCKS)
        halves.append(names[len(names) // 2 :])
    count = min(most, *map(len, halves)) if halves else 0
    return [evenly(half, count) for half in halves]


def _one(model: ImageModel, image: Any) -> Tensor:
    x = model.images(image)
    if len(x) != 1:
        raise ValueError(f"expected one image, got {len(x)}; make a study for each")
    return x
