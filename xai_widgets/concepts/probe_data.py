"""A probed concept data set: where each channel of a layer is above its threshold, and where each concept is.

For N images, K channels, a layer of h x w positions, and C concepts with label masks of H x W pixels, a probe holds

    bits     1[A_k(x) > T_k]                    (N, K, h, w)   on disk, eight to the byte
    masks    L_c(x) of the (image, concept) pairs with pixels  (P, H, W)      on disk, eight to the byte
    pooled   mean over the positions of A_k(x)  (N, K)         in memory
    present  whether x contains c               (N, C)         in memory
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.concepts.packed import PackedRows
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import choice, instance, integer
from xai_widgets.data.base import Concept

#: Concepts with fewer positive images than this are reported, not trained.
FEWEST = 10
#: Images whose bits are unpacked together.
IMAGES = 32


@dataclass(frozen=True, eq=False, repr=False)
class Probe(ShortRepr):
    """Thresholded and averaged activations of a layer over a concept data set.

    The files of a probe without a folder are removed when the probe is garbage-collected.

    Attributes
    ----------
    network : str
        Name of the network.
    layer : str
        Name of the layer.
    concepts : tuple of Concept
        The C concepts.
    grid : (int, int)
        Rows h and columns w of the layer.
    label_size : (int, int)
        Height H and width W of the label masks, in pixels.
    count : int
        Number of images so far.
    total : int
        Number of images N of the data set.
    quantile : float or None
        Share tau of the activations above the threshold; None for given thresholds.
    error : float
        Standard error of the share of activations above a threshold; 0 for exact and for given thresholds.
    thresholds : Tensor, (K,)
        T_k; empty before the last image.
    pooled : Tensor, (N, K)
        Activations averaged over the positions, float32.
    present : Tensor, (N, C)
        Whether an image contains a concept, bool.
    pairs : Tensor, (P, 2)
        Image and concept of each label mask, by ascending image.
    pixels : Tensor, (P,)
        Number of pixels of each label mask.
    folder : Path or None
        Folder of the files.
    """

    network: str
    layer: str
    concepts: tuple[Concept, ...]
    grid: tuple[int, int]
    label_size: tuple[int, int] = field(repr=False)
    count: int
    total: int
    quantile: float | None
    error: float
    thresholds: Tensor
    pooled: Tensor
    present: Tensor
    pairs: Tensor = field(repr=False)
    pixels: Tensor = field(repr=False)
    folder: Path | None
    _bits: PackedRows | None = field(default=None)
    _masks: PackedRows | None = field(default=None)
    _temporary: TemporaryDirectory[str] | None = field(default=None)

    @property
    def complete(self) -> bool:
        """Whether all images were probed."""
        return self._bits is not None

    @property
    def channels(self) -> int:
        """Number of channels K."""
        return self.pooled.shape[1]

    @property
    def positives(self) -> Tensor:
        """Number of images that contain each concept, (C,)."""
        return self.present.sum(0)

    @property
    def segmented(self) -> Tensor:
        """Number of images with a label mask of each concept, (C,)."""
        return torch.bincount(self.pairs[:, 1], minlength=len(self.concepts))

    def concept(self, concept: int | str | Concept) -> int:
        """Return the index of a concept.

        Parameters
        ----------
        concept : int, str or Concept
            Index, name, or concept; of concepts with one name in several categories, the first.

        Raises
        ------
        ValueError
            For an unknown concept, with the nearest name.
        """
        return concept_index(self.concepts, concept)

    def bits(self, begin: int = 0, end: int | None = None) -> Tensor:
        """Return where the activations are above the thresholds, 1[A_k > T_k], for a range of images.

        Returns
        -------
        Tensor of bool, (n, K, h, w)
        """
        files = self._files()[0]
        return torch.from_numpy(files.read(range(*slice(begin, end).indices(len(files)))))

    def bits_of(self, images: Sequence[int] | NDArray[Any]) -> Tensor:
        """Return :meth:`bits` of some images in the given order, (n, K, h, w)."""
        return torch.from_numpy(self._files()[0].read(images))

    def masks(self, begin: int = 0, end: int | None = None) -> Tensor:
        """Return the label masks of a range of :attr:`pairs`, bool, (n, H, W)."""
        files = self._files()[1]
        return torch.from_numpy(files.read(range(*slice(begin, end).indices(len(files)))))

    def masks_of(self, pairs: Sequence[int] | NDArray[Any]) -> Tensor:
        """Return the label masks of some :attr:`pairs` in the given order, bool, (n, H, W)."""
        return torch.from_numpy(self._files()[1].read(pairs))

    def pair_ranges(self) -> NDArray[np.int64]:
        """Return the index of the first pair of each image, and the number of pairs at the end, (N + 1,)."""
        images = self.pairs[:, 0].numpy()
        return np.searchsorted(images, np.arange(self.count + 1)).astype(np.int64)

    def label_masks(self, image: int) -> dict[int, NDArray[np.bool_]]:
        """Return the label masks (H, W) of an image by the index of their concept."""
        image = integer(image, "image", low=0, high=self.count - 1)
        begin, end = self.pair_ranges()[image : image + 2].tolist()
        masks = self.masks(begin, end).numpy()
        return {int(c): mask for c, mask in zip(self.pairs[begin:end, 1], masks, strict=True)}

    def images_of(self, concept: int | str | Concept) -> Tensor:
        """Return the indices of the images that contain a concept, (n,)."""
        return self.present[:, self.concept(concept)].nonzero()[:, 0]

    def _files(self) -> tuple[PackedRows, PackedRows]:
        if self._bits is None or self._masks is None:
            raise RuntimeError(
                f"expected a complete probe, got {self.count} of {self.total} images; run `probe` again"
            )
        return self._bits, self._masks

    def __reduce__(self) -> Any:
        self._files()
        if self._temporary is not None:
            raise TypeError("expected a probe with a folder to pickle, got temporary files; pass `folder`")
        return load_probe, (self.folder,)


def concept_index(concepts: Sequence[Concept], concept: int | str | Concept) -> int:
    """Return the index of a concept given by index, name or itself; ValueError for an unknown one."""
    if isinstance(concept, Concept):
        if concept in concepts:
            return list(concepts).index(concept)
        concept = concept.name
    names = [each.name for each in concepts]
    if isinstance(concept, str):
        choice(concept, "concept", names)
        return names.index(concept)
    return integer(concept, "concept", low=0, high=len(names) - 1, hint="or the name of a concept")


def check_probes(train: Any, val: Any) -> tuple[Probe, Probe]:
    """Return two complete probes of one layer with the same concepts and thresholds; ValueError for others."""
    for name, each in (("train", train), ("val", val)):
        instance(each, name, Probe)._files()
    if train.concepts != val.concepts:
        raise ValueError("expected train and val with the same concepts, got different ones")
    if (train.network, train.layer) != (val.network, val.layer):
        raise ValueError(
            f"expected train and val of one layer, got {train.layer!r} of {train.network} and {val.layer!r} of "
            f"{val.network}"
        )
    if not torch.equal(train.thresholds, val.thresholds):
        raise ValueError(
            "expected val with the thresholds of train, got others; pass `thresholds=train.thresholds` to `probe`"
        )
    return train, val


# -- files ------------------------------------------------------------------------------------------------------

_ARRAYS = ("thresholds", "pooled", "present", "pairs", "pixels")
_PLAIN = ("network", "layer", "count", "total", "quantile", "error")


def bits_path(folder: Path) -> Path:
    """Return the file of the bits."""
    return folder / "bits.bin"


def masks_path(folder: Path) -> Path:
    """Return the file of the label masks."""
    return folder / "masks.bin"


def save_probe(probe: Probe, folder: Path) -> None:
    """Write the arrays and facts of a probe beside its bits and masks; the facts come last."""
    np.savez(folder / "arrays.npz", **{name: getattr(probe, name).numpy() for name in _ARRAYS})
    facts = {name: getattr(probe, name) for name in _PLAIN} | {
        "grid": list(probe.grid),
        "label_size": list(probe.label_size),
        "concepts": [[concept.name, concept.category] for concept in probe.concepts],
    }
    (folder / "probe.json").write_text(json.dumps(facts), encoding="utf-8")


def load_probe(folder: str | os.PathLike[str]) -> Probe:
    """Open a probe that was written to a folder.

    Parameters
    ----------
    folder : path
        The ``folder`` that was passed to :func:`~xai_widgets.concepts.probe`.

    Returns
    -------
    Probe

    Raises
    ------
    FileNotFoundError
        If the folder has no complete probe.
    """
    folder = Path(folder)
    path = folder / "probe.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"expected the folder of a complete probe, got {folder.name!r} without probe.json"
        )
    facts = json.loads(path.read_text(encoding="utf-8"))
    with np.load(folder / "arrays.npz") as arrays:
        tensors: dict[str, Any] = {name: torch.from_numpy(arrays[name]) for name in _ARRAYS}
    grid, label_size = tuple(facts["grid"]), tuple(facts["label_size"])
    channels = tensors["pooled"].shape[1]
    return Probe(
        **{name: facts[name] for name in _PLAIN},
        **tensors,
        concepts=tuple(Concept(*each) for each in facts["concepts"]),
        grid=grid,
        label_size=label_size,
        folder=folder,
        _bits=PackedRows(bits_path(folder), (channels, *grid), facts["count"]),
        _masks=PackedRows(masks_path(folder), label_size, len(tensors["pairs"])),
    )
