"""Training and use of the pair of generators of :mod:`~xai_widgets.learned.generators`."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.caching import cache_folder, digest_of, fingerprint, read_weights, save_weights
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, Target, check_model
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import boolean, check_finite, instance, items
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.learned.generators import Generator, GeneratorSettings, pair_loss, parameter_distance

#: Steps between two snapshots.
EVERY = 10


class AdversarialExplanation:
    """A trained pair of generators: ``explainer(model, x)`` returns |g_s(x) - g_a(x)|.

    It is accepted wherever a method is; the class is always the predicted one of the two.

    Attributes
    ----------
    classes : (int, int)
        The classes of the binary task.
    step, total : int
        Steps of training so far and in all.
    loss : float
        Mean loss of the last steps.
    """

    def __init__(
        self,
        similar: Generator,
        adversarial: Generator,
        classes: tuple[int, int],
        key: str,
        *,
        step: int,
        total: int,
        loss: float,
    ) -> None:
        self.similar, self.adversarial, self.classes, self._key = similar, adversarial, classes, key
        self.step, self.total, self.loss = step, total, loss
        self._known: weakref.ref[ImageModel] | None = None
        self.__name__ = "adversarial_explanation"

    def __repr__(self) -> str:
        return (
            f"AdversarialExplanation(classes {self.classes}, {self.step} of {self.total} steps, "
            f"loss {self.loss:.3g})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None}

    def __call__(self, model: ImageModel, x: Any, target: Target = None) -> Tensor:
        """Return R = |g_s(x) - g_a(x)|, (N, C, H, W); ``target`` is ignored.

        Raises
        ------
        ValueError
            For another network than the one that it was trained for.
        """
        similar, adversarial = self.images(model, x)
        return (similar - adversarial).abs()

    def single(self, model: ImageModel, x: Any, target: Target = None) -> Tensor:
        """Return |x - g_a(x)|, (N, C, H, W), the explanation by the adversarial generator alone."""
        return (model.images(x) - self.images(model, x)[1]).abs()

    @without_inference_mode
    def images(self, model: ImageModel, x: Any) -> tuple[Tensor, Tensor]:
        """Return g_s(x) and g_a(x), each (N, C, H, W)."""
        check_model(model)
        if (None if self._known is None else self._known()) is not model:
            if model.target_scores is not None or fingerprint(model) != self._key:
                raise ValueError(
                    f"expected the network that this explainer was trained for, got {model.name} with other weights "
                    "or targets; adversarial_explanation(model, images) trains another one"
                )
            self._known = weakref.ref(model)
        x = model.images(x)
        return self.similar.to(x.device)(x), self.adversarial.to(x.device)(x)


@without_inference_mode
def adversarial_explanation(
    model: ImageModel,
    images: Any,
    classes: Sequence[int | str] = (0, 1),
    *,
    settings: GeneratorSettings | None = None,
    seed: int = 0,
    cache: bool = True,
) -> Run[AdversarialExplanation]:
    """Train two generators for the binary task of two classes, or load them from the cache folder.

    Parameters
    ----------
    model : ImageModel
        The network to explain, which is never changed.
    images
        Images of any kind to train on, of both classes.
    classes : (int or str, int or str), default (0, 1)
        The two classes; the scores of all others are ignored.
    settings : GeneratorSettings, optional
        Default: ``GeneratorSettings()``.
    seed : int, default 0
        Seed of weights and order, which are drawn on the CPU.
    cache : bool, default True
        Whether to keep the trained weights in the cache folder, and to load them if they are there.

    Returns
    -------
    Run of AdversarialExplanation
        One snapshot for each 10 steps; a single one if the weights are in the cache folder.

    Raises
    ------
    ValueError
        For other than two different classes.
    """
    check_model(model)
    settings = GeneratorSettings() if settings is None else instance(settings, "settings", GeneratorSettings)
    seed, cache = check_seed(seed), boolean(cache, "cache")
    first, second = (model.class_index(each) for each in items(classes, "classes", 2, what="classes"))
    if first == second:
        raise ValueError(f"expected two different classes, got {model.labels[first]!r} twice")
    x = model.images(images)
    key = fingerprint(model)
    options = sorted(asdict(settings).items())
    path = cache_folder() / f"generators_{digest_of(key, options, seed, (first, second), x)}.safetensors"
    if cache and (held := read_weights(path)) is not None:
        made = _pair(x, settings, seed)
        for name, each in zip(("similar", "adversarial"), made, strict=True):
            each.load_state_dict(
                {k.removeprefix(f"{name}."): v for k, v in held[0].items() if k.startswith(f"{name}.")}
            )
            each.requires_grad_(False)
        facts = {"step": settings.steps, "total": settings.steps, "loss": held[1]["loss"]}
        explainer = AdversarialExplanation(*made, (first, second), key, **facts)
        return Run(iter([explainer]), total=1, name="adversarial explanation, from the cache")

    def fit() -> Iterator[AdversarialExplanation]:
        similar, adversarial = _pair(x, settings, seed)
        optimizer = torch.optim.Adam(
            [*similar.parameters(), *adversarial.parameters()], lr=settings.learning_rate
        )
        generator = torch.Generator().manual_seed(seed)
        losses: list[float] = []
        for step in range(1, settings.steps + 1):
            rows = torch.randint(len(x), (settings.batch,), generator=generator).to(x.device)
            losses.append(_step(model, x[rows], (similar, adversarial), (first, second), settings, optimizer))
            if step % EVERY == 0 or step == settings.steps:
                copies = [deepcopy(each).requires_grad_(False) for each in (similar, adversarial)]
                loss = sum(losses[-50:]) / len(losses[-50:])
                yield AdversarialExplanation(
                    copies[0], copies[1], (first, second), key, step=step, total=settings.steps, loss=loss
                )
        if cache:
            save_weights(
                path,
                torch.nn.ModuleDict({"similar": similar, "adversarial": adversarial}),
                {"loss": sum(losses[-50:]) / len(losses[-50:])},
            )

    return Run(fit(), total=math.ceil(settings.steps / EVERY), name="adversarial explanation")


def _pair(x: Tensor, settings: GeneratorSettings, seed: int) -> tuple[Generator, Generator]:
    """Return two generators with the same weights."""
    with outside_inference(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        similar = Generator(x.shape[1], width=settings.width).to(x.device).requires_grad_()
        return similar, deepcopy(similar)


def _step(
    model: ImageModel,
    x: Tensor,
    pair: tuple[Generator, Generator],
    classes: tuple[int, int],
    settings: GeneratorSettings,
    optimizer: torch.optim.Optimizer,
) -> float:
    """Make one step of Adam and return the loss."""
    with outside_inference(), torch.no_grad():
        scores = check_finite(model(x), model.name)
        sign = torch.where(scores[:, classes[0]] >= scores[:, classes[1]], 1.0, -1.0)
    with outside_inference(), torch.enable_grad():
        made = pair[0](x.clone()), pair[1](x.clone())
        scores = model(torch.cat(made), frozen=True)
        margin = (scores[:, classes[0]] - scores[:, classes[1]]) * sign.clone().repeat(2)
        similar, adversarial = margin.chunk(2)
        loss = pair_loss(x, *made, (similar, adversarial), parameter_distance(*pair), settings)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return loss.item()
