"""Real-time saliency: a network that draws the mask of any class in one pass, trained once (Dabkowski and Gal 2017).

The mask is that of :mod:`~xai_widgets.learned.masking_loss`, drawn by :mod:`~xai_widgets.learned.masking_network`. In
two phases, as in the source: first the vectors of the classes learn whether a class is present, then the whole decoder
learns the mask. The explained network is never changed.

The masks are learned on the images that it was trained on: on images of another kind they mean little, however certain
they look.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.caching import cache_folder, digest_of, fingerprint, read_weights, save_weights
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, Target, check_model, prepare
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import boolean, instance
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.data import scenes
from xai_widgets.learned.masking_loss import MaskingSettings, empty_images, masking_loss
from xai_widgets.learned.masking_network import MaskingNetwork, feature_layers, features_of

#: Steps between two snapshots.
EVERY = 10
#: Number of scenes to train on by default.
SCENES = 600
#: Classes less probable than this are absent.
ABSENT = 0.05


class RealTimeSaliency:
    """A trained explainer: ``explainer(model, x, target)`` returns masks in one pass.

    It is accepted wherever a method is, such as in ``xw.AttributionExplorer(model, image, [explainer, "grad_cam"])``.

    Attributes
    ----------
    layers : list of str
        Layers of the network whose outputs it reads.
    step, total : int
        Steps of training so far and in all.
    loss : float
        Mean loss of the last steps.
    """

    def __init__(
        self, network: MaskingNetwork, layers: list[str], key: str, *, step: int, total: int, loss: float
    ) -> None:
        self.network, self.layers, self._key = network, layers, key
        self.step, self.total, self.loss = step, total, loss
        self._known: weakref.ref[ImageModel] | None = None
        self.__name__ = "real_time_saliency"

    def __repr__(self) -> str:
        count = sum(each.numel() for each in self.network.parameters())
        return (
            f"RealTimeSaliency({count} parameters, {self.step} of {self.total} steps, loss {self.loss:.3g})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None}

    def __call__(self, model: ImageModel, x: Any, target: Target = None) -> Tensor:
        """Return the masks of classes, (N, 1, h, w) in [0, 1].

        Parameters
        ----------
        model : ImageModel
            The network that it was trained for.
        x
            Images of any kind.
        target : int, str, sequence or Tensor, optional
            The class, or one per image. Default: the predicted class.

        Raises
        ------
        ValueError
            For another network, or other weights of it.
        """
        return self._draw(model, x, target)[0][:, None]

    def presence(self, model: ImageModel, x: Any, target: Target = None) -> Tensor:
        """Return the probability that the class is in the image, as the masking network sees it, (N,)."""
        return self._draw(model, x, target)[1].sigmoid()

    @without_inference_mode
    def _draw(self, model: ImageModel, x: Any, target: Target) -> tuple[Tensor, Tensor]:
        check_model(model)
        if (None if self._known is None else self._known()) is not model:
            if model.target_scores is not None or fingerprint(model) != self._key:
                raise ValueError(
                    f"expected the network that this explainer was trained for, got {model.name} with other weights "
                    "or targets; real_time_saliency(model) trains another one"
                )
            self._known = weakref.ref(model)
        model, x, target = prepare(model, x, target)
        masks, logits = self.network.to(x.device)(features_of(model, x, self.layers), target)
        return masks, logits


@without_inference_mode
def real_time_saliency(
    model: ImageModel,
    images: Any = None,
    targets: Target = None,
    *,
    settings: MaskingSettings | None = None,
    start: RealTimeSaliency | None = None,
    seed: int = 0,
    cache: bool = True,
) -> Run[RealTimeSaliency]:
    """Train a masking network for a model, or load it from the cache folder.

    Parameters
    ----------
    model : ImageModel
        The network to explain, with probabilities.
    images
        Images of any kind to train on, some hundreds. Default: generated scenes, for the bundled networks.
    targets : int, str, sequence or Tensor, optional
        A class that is in each image. Default: the predicted class, for scenes that of the first object.
    settings : MaskingSettings, optional
        Default: ``MaskingSettings()``, some minutes on two cores for a bundled network.
    start : RealTimeSaliency, optional
        Continue the training of this explainer, such as ``run.latest`` of a canceled run.
    seed : int, default 0
        Seed of weights, order and fills, which are drawn on the CPU.
    cache : bool, default True
        Whether to keep the trained weights in the cache folder, and to load them if they are there
        (:mod:`xai_widgets.core.caching`).

    Returns
    -------
    Run of RealTimeSaliency
        One snapshot for each 10 steps; a single one if the weights are in the cache folder.

    Raises
    ------
    ValueError
        For a model without probabilities or spatial layers, and without ``images`` for one that has other classes
        than the scenes.
    """
    check_model(model)
    settings = MaskingSettings() if settings is None else instance(settings, "settings", MaskingSettings)
    seed, cache = check_seed(seed), boolean(cache, "cache")
    if not model.has_probabilities or len(model.labels) < 2:
        raise ValueError(f"expected a model with probabilities of several classes, got {model.name}")
    if images is None and list(model.labels) != list(scenes.CLASSES):
        raise ValueError(
            f"expected images to train on for {model.name}, whose classes are not those of scenes, got None"
        )
    given = None if images is None else model.prepare(images, targets)
    key = fingerprint(model)
    path = _path(key, settings, seed, given, start) if cache else None
    if path is not None and (held := _load(path, model, key)) is not None:
        return Run(iter([held]), total=1, name="real-time saliency, from the cache")
    total = settings.selector_steps + settings.steps
    first = 0 if start is None else instance(start, "start", RealTimeSaliency).step

    def fit() -> Iterator[RealTimeSaliency]:
        x, classes = _scenes(model, seed) if given is None else given
        trainer = _Trainer(model, x, classes, settings, start, seed)
        for step in range(first, total):
            trainer.step(step)
            if (step + 1) % EVERY == 0 or step + 1 == total:
                yield trainer.snapshot(key, step + 1, total)
        if path is not None:
            explainer = trainer.snapshot(key, total, total)
            save_weights(
                path, explainer.network, {"layers": explainer.layers, "loss": explainer.loss, "total": total}
            )

    return Run(fit(), total=math.ceil(total / EVERY) - first // EVERY, name="real-time saliency")


class _Trainer:
    """The masking network and its optimizer."""

    def __init__(
        self,
        model: ImageModel,
        x: Tensor,
        classes: Tensor,
        settings: MaskingSettings,
        start: RealTimeSaliency | None,
        seed: int,
    ) -> None:
        self.model, self.x, self.classes, self.settings = model, x, classes, settings
        self.layers = feature_layers(model)
        self.generator = torch.Generator().manual_seed(seed)
        if start is None:
            channels = [each.shape[1] for each in features_of(model, x[:1], self.layers)]
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.network = MaskingNetwork(channels, len(model.labels), width=settings.width)
        else:
            self.network = deepcopy(start.network)
        self.network.to(x.device).requires_grad_()
        self.absent = self._absent()
        self.losses: list[float] = []
        self._optimizer: torch.optim.Optimizer | None = None

    def _absent(self) -> Tensor:
        """Return which classes are absent from each image, (N, classes) bool; never the class of the image."""
        with torch.no_grad():
            probabilities = torch.cat(
                [self.model.probabilities(self.model(part)) for part in self.x.split(32)]
            )
        mine = F.one_hot(self.classes, probabilities.shape[1]).bool()
        return ((probabilities < ABSENT) & ~mine).cpu()

    def step(self, step: int) -> None:
        """Make one step of Adam."""
        selecting = step < self.settings.selector_steps
        if self._optimizer is None or step == self.settings.selector_steps:
            self.losses = []
            kept = [self.network.selector] if selecting else [
                self.network.laterals, self.network.blocks, self.network.out
            ]  # fmt: skip
            parameters = [each for part in kept for each in part.parameters()]
            rate = self.settings.learning_rate * (3 if selecting else 1)
            self._optimizer = torch.optim.Adam(parameters, lr=rate)
        rows = torch.randint(len(self.x), (self.settings.batch,), generator=self.generator)
        target, present = self._targets(rows, 0.5 if selecting else self.settings.absent)
        x = self.x[rows.to(self.x.device)]
        with outside_inference(), torch.no_grad():
            features = features_of(self.model, x, self.layers)
        with outside_inference(), torch.enable_grad():
            masks, logits = self.network([each.clone() for each in features], target)
            if selecting:
                loss = F.binary_cross_entropy_with_logits(logits, present.to(logits.dtype))
            else:
                empty = empty_images(x, self.generator)
                loss = masking_loss(self.model, x, masks, target, present, self.settings, empty).mean()
            self.network.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
        self.losses.append(loss.item())

    def _targets(self, rows: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Return the class of each row, an absent one for a share of them, and whether it is present."""
        absent = self.absent[rows]
        replaced = (torch.rand(len(rows), generator=self.generator) < share) & absent.any(1)
        weights = torch.where(absent.any(1, keepdim=True), absent.float(), 1.0)
        others = torch.multinomial(weights, 1, generator=self.generator)[:, 0]
        device = self.x.device
        classes = self.classes.cpu()[rows]
        return torch.where(replaced, others, classes).to(device), ~replaced.to(device)

    def snapshot(self, key: str, step: int, total: int) -> RealTimeSaliency:
        """Return the explainer so far, which later steps do not change."""
        network = deepcopy(self.network).requires_grad_(False)
        for parameter in network.parameters():
            parameter.grad = None
        loss = sum(self.losses[-50:]) / len(self.losses[-50:])
        return RealTimeSaliency(network, list(self.layers), key, step=step, total=total, loss=loss)


def _scenes(model: ImageModel, seed: int) -> tuple[Tensor, Tensor]:
    """Return scenes of one or two objects, (N, 3, H, W), and the class of the first object."""
    made = scenes.generate(SCENES, objects=(1, 2), size=model.size[0], seed=seed + 7)
    return model.images(np.stack([scene.image for scene in made])), torch.tensor(
        [scene.label for scene in made], device=model.device
    )


def _path(
    key: str,
    settings: MaskingSettings,
    seed: int,
    given: tuple[Tensor, Tensor] | None,
    start: RealTimeSaliency | None,
) -> Path | None:
    """Return the file of the weights; None if the training starts from others."""
    if start is not None:
        return None
    data: tuple[Any, ...] = ("scenes", SCENES) if given is None else given
    return (
        cache_folder()
        / f"real_time_{digest_of(key, sorted(asdict(settings).items()), seed, *data)}.safetensors"
    )


def _load(path: Path, model: ImageModel, key: str) -> RealTimeSaliency | None:
    held = read_weights(path)
    if held is None:
        return None
    state, facts = held
    channels = [state[f"laterals.{n}.weight"].shape[1] for n in range(len(facts["layers"]))]
    network = MaskingNetwork(channels, len(model.labels), width=state["out.weight"].shape[1])
    network.load_state_dict(state)
    network.requires_grad_(False)
    return RealTimeSaliency(
        network, facts["layers"], key, step=facts["total"], total=facts["total"], loss=facts["loss"]
    )
