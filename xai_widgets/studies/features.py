"""Visualizations of channels, classes and other objectives, small images of many channels, and real examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import check_fields, instance, integer, number
from xai_widgets.features.objectives import Channel, ClassScore, Objective, evaluate
from xai_widgets.features.objectives.base import check_objective
from xai_widgets.features.parameterizations import (
    CPPN,
    DeepPrior,
    Fourier,
    MagnitudeConstrained,
    Parameterization,
    Pixels,
)
from xai_widgets.features.regularizers import L2, AlphaNorm, TotalVariation
from xai_widgets.features.top_activations import top_activations
from xai_widgets.features.transforms import Compose
from xai_widgets.features.visualization import Visualization, default_transforms, visualize
from xai_widgets.methods.checks import unsupported_error
from xai_widgets.methods.gradients import no_gradient_error
from xai_widgets.studies.feature_examples import BATCH, DetailKey, Details, ExamplesKey, details
from xai_widgets.studies.store import Outcome, ResultStore
from xai_widgets.studies.study import Study

#: Kinds of objectives besides named ones.
CHANNEL, CLASS = "channel", "class"
#: Parameterizations by name.
PARAMETERIZATIONS: dict[str, Parameterization] = {
    "fourier": Fourier(),
    "maco": MagnitudeConstrained(),
    "deep prior": DeepPrior(),
    "cppn": CPPN(),
    "pixels": Pixels(),
}
#: Side of small images, in pixels.
SMALL = 64
#: Largest number of frames of an animation; then every other one is dropped.
MOST_FRAMES = 120
#: Number of animations that are kept.
MOST_FILMS = 4
#: Memory of images of earlier choices and their optimizers, bytes: about fifty of 224 x 224 pixels.
MOST_BYTES = 2**27


class FeatureKey(NamedTuple):
    """The objective of an image and how the image is drawn.

    Attributes
    ----------
    kind : str
        "channel", "class", or the name of an objective.
    layer : str
        Layer of a channel, else "".
    number : int
        Channel or class; 0 for a named objective.
    parameterization : str
        A name of the study's parameterizations.
    """

    kind: str
    layer: str = ""
    number: int = 0
    parameterization: str = "fourier"


class WallKey(NamedTuple):
    """Successive channels of a layer that are drawn in one batch, in small."""

    layer: str
    first: int
    size: int


@dataclass(frozen=True)
class FeatureSettings:
    """Regularizers and transforms of an optimization, which may change between two steps.

    Parameters
    ----------
    total_variation, alpha_norm, l2 : float, default 0
        Weights, at least 0.
    transforms : bool, default True
        Whether the image is cropped, rotated and disturbed at random before each pass.
    """

    total_variation: float = 0.0
    alpha_norm: float = 0.0
    l2: float = 0.0
    transforms: bool = True

    def __post_init__(self) -> None:
        check_fields(self, number, "total_variation", "alpha_norm", "l2", low=0)

    def penalty(self, x: Tensor) -> Tensor:
        """Return the sum of the penalties of images, (N,)."""
        return TotalVariation(self.total_variation)(x) + AlphaNorm(self.alpha_norm)(x) + L2(self.l2)(x)


@dataclass(frozen=True, repr=False)
class Wall(ShortRepr):
    """Small images of several channels.

    Attributes
    ----------
    images : Tensor, (N, C, h, w)
        In [0, 1]; h and w are at most 64.
    rose : Tensor, (N,)
        Whether the activation is larger than at the start.
    steps : int
        Number of steps so far.
    latest : Visualization or None
        What an interrupted optimization continues from.
    """

    images: Tensor
    rose: Tensor
    steps: int
    latest: Visualization | None = field(default=None, repr=False)


class Film:
    """Frames of an optimization, evenly spaced in its steps: every other one is dropped when there are many."""

    def __init__(self, most: int = MOST_FRAMES) -> None:
        self.most, self.stride = most, 1
        self.frames: dict[int, NDArray[np.uint8]] = {}

    def add(self, step: int, image: NDArray[np.uint8]) -> None:
        """Keep the image (H, W, 3) of a step, unless steps are skipped."""
        if step % self.stride:
            return
        self.frames[step] = image
        while len(self.frames) > self.most:
            self.stride *= 2
            self.frames = {step: kept for step, kept in self.frames.items() if step % self.stride == 0}


class FeatureStudy(Study[Any, Any]):
    """Visualizations by objective, walls of small images by layer, and patches of images by layer.

    An image continues from its latest snapshot. Its settings are read anew at each step, so that assigning ``settings``
    acts on a running optimization. Walls are drawn with the defaults of
    :func:`~xai_widgets.features.visualize`.

    Parameters
    ----------
    model : ImageModel
        The network.
    objectives : mapping of str to Objective, optional
        Further objectives, by name.
    parameterizations : mapping of str to Parameterization, optional
        Further parameterizations, by name.
    images : optional
        Images of any kind in which patches are searched for.
    steps : int, default 256
        Steps of an image, at least 1; it can be continued.
    wall_steps : int, default 48
        Steps of small images.
    patches : int, default 6
        Patches of each channel.
    seed : int, default 0
        Seed of the first images and of the transforms.
    store : mutable mapping, optional
        Where outcomes are kept. Default: a store of at most 128 MB, which drops the oldest.

    Attributes
    ----------
    settings : FeatureSettings
        Regularizers and transforms of the images.
    single : bool
        Whether images continue by a single step.
    films : dict of FeatureKey to Film
        Frames of each image so far.
    """

    resumable = True
    #: An explorer makes small images and real examples while an image forms.
    interleaved = True
    early_is_converged = False

    def __init__(
        self,
        model: ImageModel,
        *,
        objectives: Mapping[str, Objective] | None = None,
        parameterizations: Mapping[str, Parameterization] | None = None,
        images: Any = None,
        steps: int = 256,
        wall_steps: int = 48,
        patches: int = 6,
        seed: int = 0,
        store: MutableMapping[Any, Outcome[Any]] | None = None,
    ) -> None:
        super().__init__(ResultStore(MOST_BYTES) if store is None else store)
        self.model, self.images = model, images
        given = dict(objectives or {})
        for name in given:
            if name in (CHANNEL, CLASS):
                raise ValueError(
                    f"expected names of objectives other than 'channel' and 'class', got {name!r}"
                )
        self.objectives = {str(name): check_objective(one).bind(model) for name, one in given.items()}
        further = {str(name): one for name, one in dict(parameterizations or {}).items()}
        for name, one in further.items():
            instance(one, "each of the parameterizations", (Parameterization,))
            if name in PARAMETERIZATIONS:
                raise ValueError(f"expected names of further parameterizations, got {name!r}, which is known")
        self.parameterizations = {**PARAMETERIZATIONS, **further}
        self.length = integer(steps, "steps", low=1)
        self.wall_length = integer(wall_steps, "wall_steps", low=1)
        self.patches, self.seed = integer(patches, "patches", low=1), seed
        self.settings = FeatureSettings()
        self.single = False
        self.films: dict[FeatureKey, Film] = {}

    @property
    def small_size(self) -> tuple[int, int]:
        """Height and width of small images."""
        height, width = self.model.size
        scale = min(1.0, SMALL / max(height, width))
        return max(1, round(scale * height)), max(1, round(scale * width))

    def objective(self, key: FeatureKey) -> Objective:
        """Return the objective of a key; ValueError if it does not fit the network."""
        if key.kind == CHANNEL:
            return Channel(key.layer, key.number).bind(self.model)
        if key.kind == CLASS:
            return ClassScore(key.number).bind(self.model)
        return self.objectives[key.kind]

    def run(self, key: Any, start: Any = None) -> Run[Any]:
        """Return the optimization, wall or search of a key, or its continuation."""
        if isinstance(key, ExamplesKey):
            return top_activations(self.model, self.images, layer=key.layer, k=self.patches, batch_size=BATCH)
        if isinstance(key, DetailKey):
            return self._details(key)
        if isinstance(key, WallKey):
            return self._wall(key, start)
        objective = self.objective(key)
        moved = Compose(default_transforms(objective))
        run = visualize(
            self.model,
            objective,
            parameterization=self.parameterizations[key.parameterization],
            transforms=lambda x, generator: moved(x, generator) if self.settings.transforms else x,
            regularizers=lambda x: self.settings.penalty(x),
            steps=1 if self.single else _left(self.length, start),
            seed=self.seed,
            start=start,
        )
        return Run(self._filmed(key, objective, run, start), total=run.total, name=run.name)

    def _details(self, key: DetailKey) -> Run[Details | None]:
        """Return the maps of the patches of a channel, which are searched for if they are not known."""
        examples = ExamplesKey(key.layer)
        known = self.outcome(examples)
        top = known.result if known.complete else None
        return details(self.model, top or self.run(examples).result(progress=False), key)

    def _filmed(
        self, key: FeatureKey, objective: Objective, run: Run[Visualization], start: Visualization | None
    ) -> Iterator[Visualization]:
        """Yield the snapshots of a run, whose images become frames of a film."""
        if start is None:
            self._check_gradient(objective)
            self.films.pop(key, None)
        film = self.films.setdefault(key, Film())
        while len(self.films) > MOST_FILMS:
            self.films.pop(next(one for one in self.films if one != key))
        for snapshot in run:
            film.add(snapshot.step, self.model.to_rgb(snapshot.images[0]))
            yield snapshot

    def _check_gradient(self, objective: Objective) -> None:
        """Raise ValueError, with the name of the network, if no gradient of the objective reaches the pixels."""
        model = self.model
        with outside_inference(), torch.enable_grad():
            x = torch.full((1, model.channels, *model.size), 0.5, device=model.device, requires_grad=True)
            values = evaluate(model, objective, x)
            gradient = None
            if values.requires_grad:
                try:
                    (gradient,) = torch.autograd.grad(values.sum(), x, allow_unused=True)
                except RuntimeError as error:
                    raise unsupported_error(error, "visualizations", model) or error from error
        if gradient is None:
            raise no_gradient_error(model)

    def _wall(self, key: WallKey, start: Wall | None) -> Run[Wall]:
        latest = None if start is None else start.latest
        run = visualize(
            self.model,
            Channel(key.layer, range(key.first, key.first + key.size)),
            steps=_left(self.wall_length, latest),
            seed=self.seed,
            start=latest,
        )

        def walls() -> Iterator[Wall]:
            if latest is None:
                self._check_gradient(Channel(key.layer, key.first).bind(self.model))
            for snapshot in run:
                # Their size on the screen; what a complete wall would continue from takes much memory.
                small = F.interpolate(snapshot.images, self.small_size, mode="area")
                kept = None if run.done == run.total else snapshot
                yield Wall(small, snapshot.rose, snapshot.step, kept)

        return Run(walls(), total=run.total, name=run.name)

    def reopen(self, key: FeatureKey) -> None:
        """Let an image that is complete be continued."""
        outcome = self.outcome(key)
        if outcome.complete:
            self.store[key] = Outcome(outcome.result)

    def forget(self, keys: Any) -> None:
        """Drop the outcomes of some keys, and their films."""
        keys = list(keys)
        for key in keys:
            self.films.pop(key, None)
        super().forget(keys)

    def steps(self, key: Any) -> int:
        """Return the number of snapshots of an image, wall or search, or of its continuation."""
        result = self.result(key)
        if isinstance(key, ExamplesKey | DetailKey):
            return 1
        if isinstance(key, WallKey):
            return 1 + _left(self.wall_length, None if result is None else result.latest)
        return 2 if self.single else 1 + _left(self.length, result)

    def weight(self, key: Any, steps: int) -> float:
        """Return the number of passes of one image that a key takes."""
        return steps * (key.size if isinstance(key, WallKey) else 1)

    def title(self, key: Any) -> str:
        """Return the title of a key."""
        if isinstance(key, ExamplesKey):
            return f"patches of {key.layer}"
        if isinstance(key, DetailKey):
            return f"{key.kind.replace('_', ' ')} of channel {key.channel} of {key.layer}"
        if isinstance(key, WallKey):
            last = key.first + key.size - 1
            return f"channels {key.first} to {last} of {key.layer}"
        if key.kind == CHANNEL:
            return f"channel {key.number} of {key.layer}"
        return f"class {self.model.labels[key.number]}" if key.kind == CLASS else key.kind


def _left(length: int, start: Visualization | None) -> int:
    """Return the number of steps up to the next multiple of a length."""
    return length if start is None else length - start.step % length
