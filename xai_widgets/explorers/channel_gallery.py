"""The list of channels with their patches: those that an image needs, or the first one of each class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.perturbation.channel import ChannelExtremal, ClassChannels
from xai_widgets.studies.masks import ChannelKey, ChannelStudy, Patches
from xai_widgets.views import GalleryView

#: Explanation of the list of channels, and of that of classes.
LEGEND = (
    "Switch a channel off by its name. In color: in the chosen set. \u00b1 number (share): effect on the score, "
    "gradient \u00d7 activation, and its share of the effects of all channels. Click a patch to see its position."
)
CLASS_LEGEND = (
    "k*: the channel that the smallest sufficient sets of most images of a class contain (mean mask, in %). "
    "Patches: where it responds most in all images."
)


def clear(gallery: GalleryView) -> None:
    """Show nothing."""
    with gallery.hold_sync():
        gallery.active = gallery.present = gallery.images = None
        gallery.labels, gallery.row_labels, gallery.off = [], [], []


def draw_channels(
    gallery: GalleryView,
    model: ImageModel,
    study: ChannelStudy,
    key: ChannelKey,
    result: ChannelExtremal,
    rows: int,
) -> list[int]:
    """Show the channels that an image needs most, each with its patches; return them."""
    listed = result.order[0, :rows]
    inside = result.masks[0][:, listed] > 0
    columns = study.patches(key.layer)
    every = study.effects(key)
    effects = every[listed]
    shares = effects.abs() / every.abs().sum().clamp(min=torch.finfo(every.dtype).tiny)
    counts = result.channels.tolist()
    first = [
        next((count for count, held in zip(counts, column, strict=True) if held), None)
        for column in inside.T.tolist()
    ]
    heads = [
        " \u00b7 ".join(
            [
                f"channel {channel}",
                *([] if count is None else [f"in the best {count}"]),
                _effect(effect, share),
            ]
        )
        for channel, count, effect, share in zip(
            listed.tolist(), first, effects.tolist(), shares.tolist(), strict=True
        )
    ]
    with gallery.hold_sync():
        _draw_patches(gallery, model, columns, listed.tolist(), ["here ", *[""] * len(columns)])
        gallery.title = "The channels that are needed most"
        gallery.row_labels = heads
        gallery.active = inside.repeat_interleave(gallery.columns, dim=1).byte().cpu().numpy()
    return [int(channel) for channel in listed]


def draw_classes(
    gallery: GalleryView, model: ImageModel, found: ClassChannels, patches: Patches, target: int
) -> list[int]:
    """Show the channel k* of each class, that of `target` first, with its patches; return the channels."""
    classes = found.classes.tolist()
    order = sorted(range(len(classes)), key=lambda row: (classes[row] != target, row))
    channels = [int(found.top()[row, 0]) for row in order]
    with gallery.hold_sync():
        _draw_patches(gallery, model, [patches], channels, [""])
        gallery.title = "The channel that each class needs"
        gallery.row_labels = [
            f"{model.labels[classes[row]]}: k* = {channel} \u00b7 {100 * float(found.means[row, channel]):.0f} % of "
            f"{int(found.counts[row])} image{'s' if found.counts[row] > 1 else ''}"
            for row, channel in zip(order, channels, strict=True)
        ]
        gallery.active = None
    return channels


def _draw_patches(
    gallery: GalleryView,
    model: ImageModel,
    columns: Sequence[Patches],
    channels: list[int],
    words: Sequence[str],
) -> None:
    """Show the patches of channels, one row for each, with the activations as captions."""
    images = torch.cat([column.of(channels) for column in columns], 1)
    values = torch.cat([column.top.values[channels] for column in columns], 1)
    gallery.columns = images.shape[1]
    flat: Tensor = images.flatten(0, 1)
    gallery.images = model.to_rgb(flat.nan_to_num(0.5))
    gallery.present = (~flat.isnan().flatten(1).all(1)).cpu().numpy()
    before = [*words, *[""] * values.shape[1]]
    gallery.labels = [
        "" if math.isnan(value) else f"{before[column]}{value:.3g}"
        for row in values.tolist()
        for column, value in enumerate(row)
    ]


def _effect(effect: float, share: float) -> str:
    """Return the effect of a channel on the score and its share of all effects, in words."""
    return f"{effect:+.2g} ({100 * share:.0f} %)".replace("-", "\u2212")
