"""Searches of masks, and masks of several methods compared at equal area."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.features import TopActivations, effective_receptive_field, top_activations
from xai_widgets.methods import METHODS, Method
from xai_widgets.ops.perturb import Perturbation
from xai_widgets.ops.resize import resize_map, shrink
from xai_widgets.perturbation.area_search import AreaSettings
from xai_widgets.perturbation.channel import ChannelExtremal, channel_effects, channel_extremal, octaves
from xai_widgets.perturbation.extremal import Extremal, extremal
from xai_widgets.perturbation.mask_search import SearchSettings, binarize, pixel_count
from xai_widgets.perturbation.objective import score_masks
from xai_widgets.perturbation.scored_masks import ScoredMasks, Variant
from xai_widgets.studies.study import Study

#: Passes of each area for a snapshot of a search: five steps with gradients, and those that score the masks.
SNAPSHOT_PASSES = 17
#: Areas of the image, dense where most networks change their prediction.
AREAS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)
#: Masked activations at once by default: those behind a layer are small, and larger batches are faster.
ACTIVATIONS = 32


class ExtremalKey(NamedTuple):
    """The choices that an extremal perturbation depends on; the image is masked if ``layer`` is None."""

    target: int
    variant: Variant = "preserve"
    perturbation: Perturbation = "blur"
    layer: str | None = None


class ExtremalStudy(Study[ExtremalKey, Extremal]):
    """Extremal perturbations of one image; a complete search can be continued.

    Parameters
    ----------
    model : ImageModel
        The network.
    x : Tensor, (1, C, H, W)
        The image.
    areas : sequence of float, optional
        Ascending shares of the image below 1. Default: ten from 0.01 to 0.8, without those below one pixel.
    settings, tau, batch_size
        See :func:`~xai_widgets.perturbation.extremal`.
    """

    resumable = True

    def __init__(
        self,
        model: ImageModel,
        x: Tensor,
        *,
        areas: Sequence[float] | None = None,
        settings: SearchSettings | None = None,
        tau: float = 1.0,
        batch_size: int | None = None,
    ) -> None:
        super().__init__()
        self.model, self.x, self.areas = model, x, areas
        self.settings, self.tau, self.batch_size = settings, tau, batch_size

    def run(self, key: ExtremalKey, start: Extremal | None = None) -> Run[Extremal]:
        """Return the search for a key."""
        return extremal(
            self.model,
            self.x,
            key.target,
            areas=self._areas(key.layer) if self.areas is None else self.areas,
            variant=key.variant,
            perturbation=key.perturbation,
            layer=key.layer,
            settings=self.settings,
            start=start,
            tau=self.tau,
            batch_size=self.batch_size,
        )

    def steps(self, key: ExtremalKey) -> int:
        """Return the number of snapshots of the search, or of its continuation."""
        return self.run(key, self.result(key)).total

    def _areas(self, layer: str | None) -> tuple[float, ...]:
        """Return the default areas that differ by at least one position of the image or the layer."""
        grids = {each.name: each.grid for each in self.model.layers()} if layer is not None else {}
        grid = grids.get(layer or "")
        positions = self.x.shape[2] * self.x.shape[3] if grid is None else grid.positions
        # The smallest area of each number of positions.
        areas = {pixel_count(area, positions): area for area in reversed(AREAS) if area * positions >= 1}
        return tuple(sorted(areas.values()))


class ChannelKey(NamedTuple):
    """The choices that extremal channels depend on."""

    target: int
    variant: Variant
    layer: str


class ChannelStudy(Study[ChannelKey, ChannelExtremal]):
    """Extremal channels of one image, and the patches to which the channels of a layer respond most.

    Parameters
    ----------
    model : ImageModel
        The network.
    x : Tensor, (1, C, H, W)
        The image.
    channels : sequence of int, optional
        Ascending numbers of channels. Default: two per octave, and all.
    images : optional
        Images of any kind in which patches are searched for, too.
    patches : int, default 5
        Patches of ``images`` for each channel.
    patch_size : int, default 64
        Largest side of a patch in pixels.
    other_patches : dict, optional
        Patches of ``images`` by layer, shared by the studies of several images. Default: a new dict.
    settings, tau, batch_size
        See :func:`~xai_widgets.perturbation.channel_extremal`.
    """

    resumable = True

    def __init__(
        self,
        model: ImageModel,
        x: Tensor,
        *,
        channels: Sequence[int] | None = None,
        images: Any = None,
        patches: int = 5,
        patch_size: int = 64,
        other_patches: dict[str, Patches] | None = None,
        settings: AreaSettings | None = None,
        tau: float = 1.0,
        batch_size: int | None = None,
    ) -> None:
        super().__init__()
        self.model, self.x, self.channels, self.images = model, x, channels, images
        if hasattr(images, "__len__") and not len(images):
            raise ValueError("expected at least one image to search for patches, got an empty batch")
        self.count, self.patch_size = patches, patch_size
        self.settings, self.tau, self.batch_size = settings, tau, batch_size
        self.other_patches = {} if other_patches is None else other_patches
        self._own_patches: dict[str, Patches] = {}
        self._effects: dict[tuple[int, str], Tensor] = {}
        #: The search for channels in each run that searches for patches, too.
        self._searches: WeakKeyDictionary[Run[ChannelExtremal], Run[ChannelExtremal]] = WeakKeyDictionary()

    def run(self, key: ChannelKey, start: ChannelExtremal | None = None) -> Run[ChannelExtremal]:
        """Return the search for a key, followed by the search for patches if its layer has none yet."""
        search = channel_extremal(
            self.model,
            self.x,
            key.target,
            layer=key.layer,
            channels=self.counts(key.layer),
            variant=key.variant,
            settings=self.settings,
            start=start,
            tau=self.tau,
            batch_size=ACTIVATIONS if self.batch_size is None else self.batch_size,
        )

        def with_own_patches() -> Iterator[ChannelExtremal]:
            # Before the first result, as drawing, which locks the worker, must not wait for a pass of the network.
            self.patches(key.layer)
            self._find_effects(key)
            yield from search

        if self.images is None or key.layer in self.other_patches:
            return Run(with_own_patches(), total=search.total, name=search.name)
        collect = top_activations(
            self.model,
            self.images,
            layer=key.layer,
            # No more than there are images: each gives one patch.
            k=min(self.count, len(self.images)) if hasattr(self.images, "__len__") else self.count,
            side=self.patches(key.layer)[0].top.side,
            batch_size=self.batch_size,
        )

        def steps() -> Iterator[ChannelExtremal]:
            result: ChannelExtremal | None = None
            self._find_effects(key)
            for result in search:
                yield result
            assert result is not None
            for _ in collect:
                yield result
            assert collect.latest is not None
            # Only a complete search for patches is kept; one that was stopped starts over.
            self.other_patches[key.layer] = Patches(collect.latest, self.patch_size)
            yield result

        run = Run(steps(), total=search.total + collect.total + 1, name=search.name)
        self._searches[run] = search
        return run

    def _steps_taken(self, run: Run[ChannelExtremal]) -> tuple[int, int]:
        return super()._steps_taken(self._searches.get(run, run))

    def clear(self) -> None:
        """Drop everything that was computed, the patches too."""
        super().clear()
        self.other_patches.clear()
        self._own_patches.clear()

    def counts(self, layer: str) -> Sequence[int] | None:
        """Return the numbers of channels to search in a layer; None for a layer that does not exist."""
        width = next((each.channels for each in self.model.layers() if each.name == layer), None)
        if width is None or self.channels is None:
            return None if width is None else octaves(width)
        # If none fits, the search refuses them.
        return [count for count in self.channels if count <= width] or self.channels

    def effects(self, key: ChannelKey) -> Tensor:
        """Return the effect (K,) of each channel on the score: gradient x activation, see `channel_effects`."""
        if (key.target, key.layer) not in self._effects:
            self._find_effects(key)
        return self._effects[key.target, key.layer]

    def _find_effects(self, key: ChannelKey) -> None:
        effects = channel_effects(self.model, self.x, key.target, layer=key.layer)
        self._effects[key.target, key.layer] = effects[0]

    def patches(self, layer: str) -> list[Patches]:
        """Return the patches of a layer: those of the image, then those of the other images once they are known."""
        own = self._own_patches.get(layer)
        if own is None:
            others = self.other_patches.get(layer)
            # One size for all images, so that their patches fit each other.
            side = others.top.side if others else effective_receptive_field(self.model, layer, self.x)
            top = top_activations(self.model, self.x, layer=layer, k=1, side=side)
            own = self._own_patches[layer] = Patches(top.result(progress=False), self.patch_size)
        return [own, self.other_patches[layer]] if layer in self.other_patches else [own]


class Patches:
    """Small patches to which the channels of a layer respond most, each cut out once.

    Parameters
    ----------
    top : TopActivations
        The positions of the patches.
    size : int
        Largest side of a patch in pixels.
    """

    def __init__(self, top: TopActivations, size: int) -> None:
        self.top, self.size = top, size
        self._patches: dict[int, Tensor] = {}

    def of(self, channels: list[int]) -> Tensor:
        """Return the patches (M, k, C, s, s) of some channels."""
        missing = [channel for channel in channels if channel not in self._patches]
        if missing:
            self._patches |= zip(missing, shrink(self.top.patches(missing), self.size), strict=True)
        return torch.stack([self._patches[channel] for channel in channels])


class MaskKey(NamedTuple):
    """A method and the class that it explains."""

    method: str
    target: int


class MethodMasks(NamedTuple):
    """Masks of one method, and the scores of the class under them.

    Attributes
    ----------
    masks : Tensor, (A, H, W)
        The masks, by area.
    preserved, deleted : Tensor, (A + 2,)
        Scores of the inside and of the outside of an empty mask, of each mask, and of a full mask.
    """

    masks: Tensor
    preserved: Tensor
    deleted: Tensor


class MaskStudy(Study[MaskKey, MethodMasks]):
    """Masks of several methods on one image at equal areas.

    The map of a method is binarized at each area; extremal perturbations are searched for each area.

    Parameters
    ----------
    model : ImageModel
        The network.
    x : Tensor, (1, C, H, W)
        The image.
    methods : mapping of str to Method
        The methods by name.
    areas : sequence of float
        Ascending shares of the image.
    perturbation : {"blur", "fade"}
        What the image becomes outside of a mask.
    options : mapping of str to dict
        Options of methods by name.
    batch_size : int, optional
        Masked images per pass. Default: those of the best throughput.
    """

    def __init__(
        self,
        model: ImageModel,
        x: Tensor,
        methods: Mapping[str, Method],
        *,
        areas: Sequence[float],
        perturbation: Perturbation = "blur",
        options: Mapping[str, Mapping[str, Any]] | None = None,
        batch_size: int | None = None,
    ) -> None:
        super().__init__()
        self.model, self.x, self.methods, self.areas = model, x, methods, areas
        self.perturbation, self.options, self.batch_size = perturbation, options or {}, batch_size

    def title(self, key: MaskKey) -> str:
        """Return the title of the method."""
        return self.methods[key.method].title

    def run(self, key: MaskKey, start: MethodMasks | None = None) -> Run[MethodMasks]:
        """Return the computation of the masks and scores of a method."""
        if self.methods[key.method] is METHODS["extremal"]:
            return self._search(key)

        def steps() -> Iterator[MethodMasks]:
            masks = self._masks(key)
            scored = score_masks(
                self.model,
                self.x,
                masks[None],
                key.target,
                perturbation=self.perturbation,
                batch_size=self.batch_size,
            )
            yield _method_masks(masks, scored)

        return Run(steps(), total=1, name=self.title(key))

    def steps(self, key: MaskKey) -> int:
        """Return the number of snapshots: one, or those of a search."""
        return self.run(key).total if self.methods[key.method] is METHODS["extremal"] else 1

    def weight(self, key: MaskKey, steps: int) -> float:
        """Return the number of images that pass through the network, a backward pass as two."""
        if self.methods[key.method] is METHODS["extremal"]:
            return steps * len(self.areas) * SNAPSHOT_PASSES
        return self.methods[key.method].work() + 2 * len(self.areas)

    def _search(self, key: MaskKey) -> Run[MethodMasks]:
        """Return the search for extremal perturbations, with its best masks so far."""
        search = extremal(
            self.model,
            self.x,
            key.target,
            areas=self.areas,
            perturbation=self.perturbation,
            **{"batch_size": self.batch_size, **self.options.get(key.method, {})},
        )
        return Run(
            (_method_masks(each.masks[0], each) for each in search), total=search.total, name=search.name
        )

    def _masks(self, key: MaskKey) -> Tensor:
        """Return the masks (A, H, W) of a method."""
        method, options = self.methods[key.method], self.options.get(key.method, {})
        saliency = method.saliency(self.model, self.x, key.target, **options)
        saliency = resize_map(saliency, (self.x.shape[2], self.x.shape[3])).to(self.x.device)
        return binarize(saliency[:, None].expand(-1, len(self.areas), -1, -1), self.areas)[0]


def _method_masks(masks: Tensor, scored: ScoredMasks) -> MethodMasks:
    """Return the masks (A, H, W) of a method with their scores, between those of both ends."""
    return MethodMasks(
        masks,
        preserved=torch.cat([scored.perturbed, scored.scores[0], scored.whole]),
        deleted=torch.cat([scored.whole, scored.complement_scores[0], scored.perturbed]),
    )
