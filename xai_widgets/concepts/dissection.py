"""Network dissection: the filters of a layer that are detectors of a concept (Bau et al. 2017).

With T_k the 99.5 % quantile of the activations of filter k, and

    IoU_k,c = sum_x |M_k(x) and L_c(x)| / sum_x |M_k(x) or L_c(x)|

over the images with a label mask of any concept of the category of c, not only those of c itself, filter k detects
the concept with the largest IoU_k,c if that is above 0.04. The number of *unique* detectors, concepts that some filter
detects, measures how far the filters are aligned with concepts. A random rotation of the representation keeps
all that a linear layer can read from it, so a lower number after the rotation shows that the alignment belongs to the
filters and not to the space that they span.

Masks of filters are interpolated after the threshold, as for single filters (Fong and Vedaldi 2018, section 3.1.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_widgets.concepts.overlap import overlaps
from xai_widgets.concepts.probe_data import FEWEST, Probe, concept_index
from xai_widgets.concepts.probing import QUANTILE, grid_channel, probe
from xai_widgets.core.figures import Curves, draw_with_matplotlib, draw_with_plotly
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import boolean, instance, integer, items, number
from xai_widgets.data.base import Concept, ConceptData

#: IoU above which a filter is a detector.
THRESHOLD = 0.04


@dataclass(frozen=True, eq=False, repr=False)
class Dissection(ShortRepr):
    """The concept of each filter.

    Attributes
    ----------
    layer : str
        Name of the layer.
    concepts : tuple of Concept
        The C concepts.
    iou : Tensor, (C, K)
        IoU of each filter with each concept; NaN for concepts with fewer than ten labeled images.
    threshold : float
        IoU above which a filter is a detector.
    """

    layer: str
    concepts: tuple[Concept, ...]
    iou: Tensor
    threshold: float = THRESHOLD

    @property
    def best(self) -> Tensor:
        """Index of the concept with the largest IoU of each filter, (K,)."""
        return self.iou.nan_to_num(nan=-1).argmax(0)

    @property
    def best_iou(self) -> Tensor:
        """IoU of each filter with its best concept, (K,)."""
        return self.iou.nan_to_num(nan=-1).amax(0)

    @property
    def detectors(self) -> Tensor:
        """Whether each filter is a detector, (K,)."""
        return self.best_iou > self.threshold

    @property
    def unique(self) -> tuple[Concept, ...]:
        """The concepts that at least one filter detects."""
        return tuple(self.concepts[c] for c in sorted(set(self.best[self.detectors].tolist())))

    def filters_of(self, concept: int | str | Concept) -> Tensor:
        """Return the detectors of a concept, the largest IoU first, (n,)."""
        index = concept_index(self.concepts, concept)
        found = (self.detectors & (self.best == index)).nonzero()[:, 0]
        return found[self.best_iou[found].argsort(descending=True, stable=True)]

    def by_category(self) -> dict[str, tuple[int, int]]:
        """Return the number of unique detectors and of detectors in each category."""
        names = dict.fromkeys(concept.category for concept in self.concepts)
        unique = [concept.category for concept in self.unique]
        every = [self.concepts[c].category for c in self.best[self.detectors].tolist()]
        return {name: (unique.count(name), every.count(name)) for name in names}

    def table(self) -> list[dict[str, Any]]:
        """Return one row per detector, the largest IoU first."""
        found = self.detectors.nonzero()[:, 0]
        return [
            {
                "filter": k,
                "concept": self.concepts[int(self.best[k])].name,
                "category": self.concepts[int(self.best[k])].category,
                "iou": float(self.best_iou[k]),
            }
            for k in found[self.best_iou[found].argsort(descending=True, stable=True)].tolist()
        ]


@without_inference_mode
def dissect(probe: Probe, *, threshold: float = THRESHOLD, complete: bool = False) -> Dissection:
    """Find the concept that each filter detects.

    Parameters
    ----------
    probe : Probe
        A probe with the default quantile of 0.005, so that the thresholds are 99.5 % quantiles.
    threshold : float, default 0.04
        IoU above which a filter is a detector, in [0, 1].
    complete : bool, default False
        Whether every image is labeled for every category, as generated scenes are. The sums then run over all images;
        otherwise a category with one concept, such as a stamp, is judged on the images that contain it.

    Returns
    -------
    Dissection
    """
    instance(probe, "probe", Probe)
    threshold, complete = number(threshold, "threshold", low=0, high=1), boolean(complete, "complete")
    categories = list(dict.fromkeys(concept.category for concept in probe.concepts))
    group = torch.tensor([categories.index(concept.category) for concept in probe.concepts])
    shared = torch.zeros(len(probe.concepts), probe.channels, dtype=torch.float64)
    areas = torch.zeros(len(categories), probe.channels, dtype=torch.float64)
    pixels = torch.zeros(len(probe.concepts), dtype=torch.float64)
    pixels.index_add_(0, probe.pairs[:, 1], probe.pixels.double())
    for pairs, both, area in overlaps(probe):
        concepts = probe.pairs[pairs, 1]
        shared[concepts] += both.double()
        areas[slice(None) if complete else group[concepts].unique()] += area.double()
    iou = shared / (areas[group] + pixels[:, None] - shared)
    iou[probe.segmented < FEWEST] = torch.nan
    return Dissection(probe.layer, probe.concepts, iou.float(), threshold)


def random_rotation(channels: int, power: float = 1.0, seed: int = 0) -> Tensor:
    """Return a random rotation, or a power of it.

    Parameters
    ----------
    channels : int
        Number of channels K.
    power : float, default 1.0
        Exponent a of R^a, which rotates by the angles of R times a; 0 is the identity.
    seed : int, default 0
        Seed of R, which is uniform among the rotations.

    Returns
    -------
    Tensor, (K, K)
        Orthogonal with determinant 1, float32.
    """
    channels = integer(channels, "channels", low=1)
    power = number(power, "power")
    generator = torch.Generator().manual_seed(integer(seed, "seed"))
    normal = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(normal)
    # Signs that make the distribution uniform; then, one that makes the determinant 1.
    q = q * r.diagonal().sign()
    q[:, 0] *= torch.linalg.det(q).sign()
    values, vectors = torch.linalg.eig(q)
    # Eigenvalues come in conjugate pairs e^(+-i t); those that are -1 come in pairs too, and need opposite angles.
    angles = values.angle()
    flipped = (angles.abs() > torch.pi - 1e-9).nonzero()[:, 0]
    angles[flipped] = torch.pi * (1 - 2 * (torch.arange(len(flipped)) % 2)).double()
    turned = vectors * torch.exp(1j * power * angles)
    return torch.linalg.solve(vectors.mT, turned.mT).mT.real.float()


@dataclass(frozen=True, eq=False, repr=False)
class RotationControl(ShortRepr):
    """Dissections of rotated representations.

    Attributes
    ----------
    powers : tuple of float
        Powers of the random rotation; 0 is the representation itself.
    dissections : tuple of Dissection
        One for each power.
    """

    powers: tuple[float, ...]
    dissections: tuple[Dissection, ...]

    @property
    def unique(self) -> Tensor:
        """Number of unique detectors for each power, (n,)."""
        return torch.tensor([len(each.unique) for each in self.dissections])

    @property
    def detectors(self) -> Tensor:
        """Number of filters that are detectors for each power, (n,)."""
        return torch.tensor([int(each.detectors.sum()) for each in self.dissections])

    @property
    def iou(self) -> Tensor:
        """Mean IoU of the filters with their best concepts for each power, (n,)."""
        return torch.stack([each.best_iou.mean() for each in self.dissections])

    def plot(self) -> Any:
        """Return a figure of matplotlib: the number of unique detectors over the rotation."""
        return draw_with_matplotlib([self._curves()])

    def figure(self) -> Any:
        """Return a figure of plotly: the number of unique detectors over the rotation."""
        return draw_with_plotly([self._curves()])

    def _curves(self) -> Curves:
        return Curves(
            title=self.dissections[0].layer,
            x=np.array(self.powers),
            y=torch.stack([self.unique, self.detectors]).double().numpy(),
            labels=("unique detectors", "detectors"),
            x_label="power of the rotation",
            y_label="number",
        )


@without_inference_mode
def rotation_control(
    model: ImageModel,
    data: ConceptData,
    *,
    layer: str | None = None,
    powers: Sequence[float] = (0.0, 1.0),
    seed: int = 0,
    quantile: float = QUANTILE,
    threshold: float = THRESHOLD,
    complete: bool = False,
    batch_size: int = 32,
) -> Run[RotationControl]:
    """Dissect a layer before and after random rotations, each with thresholds of its own.

    Parameters
    ----------
    model : ImageModel
        The network.
    data : ConceptData
        A concept data set.
    layer : str, optional
        A spatial layer, by its name in ``model.layers()``. Default: the last one before pooling.
    powers : sequence of float, default (0, 1)
        Powers of the rotation.
    seed : int, default 0
        Seed of the rotation.
    quantile : float, default 0.005
        Share of the activations of each filter above its threshold.
    threshold : float, default 0.04
        IoU above which a filter is a detector.
    complete : bool, default False
        Whether every image is labeled for every category, see :func:`dissect`.
    batch_size : int, default 32
        Images per pass.

    Returns
    -------
    Run of RotationControl
        One snapshot per power; each is a pass over the data set.
    """
    check_model(model)
    chosen = tuple(number(power, "each of powers") for power in items(powers, "powers"))
    name = model.default_layer() if layer is None else model.layer(layer).name
    channels = model.layer(name).shape[grid_channel(model.grid(name))]

    def play() -> Iterator[RotationControl]:
        found: tuple[Dissection, ...] = ()
        for power in chosen:
            rotation = None if power == 0 else random_rotation(channels, power, seed)
            run = probe(model, data, layer=name, rotation=rotation, quantile=quantile, batch_size=batch_size)
            found += (dissect(run.result(progress=False), threshold=threshold, complete=complete),)
            yield RotationControl(chosen[: len(found)], found)

    return Run(play(), total=len(chosen), name=f"dissection of {name}")
