"""Channels that the images of each class need: the mean mask of a class and its first channel, k_c*."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.features import top_activations
from xai_widgets.perturbation.area_search import AreaSettings
from xai_widgets.perturbation.channel import (
    ChannelExtremal,
    ClassChannels,
    channel_extremal,
    class_channels,
)
from xai_widgets.perturbation.scored_masks import Variant
from xai_widgets.studies.masks import ACTIVATIONS, Patches
from xai_widgets.studies.study import Study

#: Settings of the search by default: a class needs its sets on average only.
SETTINGS = AreaSettings(steps=6)
#: Images that are searched at once.
AT_ONCE = 4


class ClassChannelKey(NamedTuple):
    """The choices that the channels of classes depend on."""

    variant: Variant
    layer: str


class ClassChannelStudy(Study[ClassChannelKey, ClassChannels]):
    """The mean mask of each class over its images, and the patches to which its channels respond most.

    The smallest sufficient set of channels of each image is searched, for the class that the network predicts; the mean
    over the images of a class shows which channels the class needs (Fong et al. 2019, section 5.2 and figure 10). One
    snapshot for each four images.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind.
    channels : sequence of int, optional
        Ascending numbers of channels. Default: two per octave, and all.
    patches : int, default 5
        Patches of each channel.
    patch_size : int, default 64
        Largest side of a patch in pixels.
    known : dict, optional
        Patches of ``images`` by layer, shared with a :class:`~xai_widgets.studies.masks.ChannelStudy`. Default: a new
        dict.
    settings : AreaSettings, optional
        Settings of the search. Default: 20 steps.
    tau, batch_size
        See :func:`~xai_widgets.perturbation.channel_extremal`.
    """

    def __init__(
        self,
        model: ImageModel,
        images: Any,
        *,
        channels: Sequence[int] | None = None,
        patches: int = 5,
        patch_size: int = 64,
        known: dict[str, Patches] | None = None,
        settings: AreaSettings | None = None,
        tau: float = 1.0,
        batch_size: int | None = None,
    ) -> None:
        super().__init__()
        self.model, self.source, self.images = model, ImageSource(model, images), images
        self.channels, self.count, self.patch_size = channels, patches, patch_size
        self.settings, self.tau, self.batch_size = settings or SETTINGS, tau, batch_size
        self.known = {} if known is None else known

    def run(self, key: ClassChannelKey, start: ClassChannels | None = None) -> Run[ClassChannels]:
        """Return the search for a key, after the search for patches if its layer has none yet."""
        collect = None
        if key.layer not in self.known:
            count = min(self.count, len(self.source))
            collect = top_activations(
                self.model, self.images, layer=key.layer, k=count, batch_size=self.batch_size
            )

        def steps() -> Iterator[Any]:
            for _ in collect or ():
                yield None
            if collect is not None and collect.latest is not None:
                self.known[key.layer] = Patches(collect.latest, self.patch_size)
            results: list[ChannelExtremal] = []
            for begin in range(0, len(self.source), AT_ONCE):
                x = self.source.batch(begin, begin + AT_ONCE)
                search = channel_extremal(
                    self.model,
                    x,
                    layer=key.layer,
                    channels=self.channels,
                    variant=key.variant,
                    settings=self.settings,
                    tau=self.tau,
                    batch_size=ACTIVATIONS if self.batch_size is None else self.batch_size,
                )
                for found in search:
                    yield class_channels([*results, found])
                # The activations of all images need not stay in memory.
                results.append(replace(found, activation=found.activation[:0]))

        searches = -(-len(self.source) // AT_ONCE)
        total = searches * self._snapshots() + (collect.total if collect is not None else 0)
        return Run(steps(), total=total, name=f"channels of classes in {key.layer}")

    def title(self, key: ClassChannelKey) -> str:
        """Return the title of a key for messages."""
        return f"classes of {len(self.source)} images, channels of {key.layer}"

    def steps(self, key: ClassChannelKey) -> int:
        """Return how many snapshots the computation of a key has."""
        return -(-len(self.source) // AT_ONCE) * self._snapshots()

    def _snapshots(self) -> int:
        """Return the largest number of snapshots of one search."""
        return 1 + self.settings.steps

    def patches(self, layer: str) -> Patches | None:
        """Return the patches of a layer; None before they are known."""
        return self.known.get(layer)
