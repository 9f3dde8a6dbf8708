"""Probing: the activations of a layer over a concept data set, thresholded at a quantile (Fong and Vedaldi 2018).

For every channel k, the threshold T_k is chosen so that

    P(a_k > T_k) = tau

over all images and all positions of the data set (tau = .005, section 3.1.1). The bits 1[A_k(x) > T_k] and the label
masks L_c(x) are written to disk, so that memory does not grow with them. See :mod:`xai_widgets.concepts.quantiles` for
the thresholds in one pass, and :class:`Probe` for the results.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.concepts.packed import PackedRows
from xai_widgets.concepts.probe_data import IMAGES, Probe, bits_path, masks_path, save_probe
from xai_widgets.concepts.quantiles import SampledValues, TopValues, exact_bytes, kept_values
from xai_widgets.core.arguments import check_batch_size, check_size
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.resizing import Resizing
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import brief, check_finite, number, tensor
from xai_widgets.data.base import ConceptData

#: Default share of the activations of a channel that are above its threshold.
QUANTILE = 0.005
#: Default limit of the memory for exact thresholds, in bytes.
MEMORY = 2**30
#: Deviation of R R^T from the identity up to which R is a rotation.
ORTHOGONAL = 1e-3


class Collector(Protocol):
    """Keeps of a stream of activations what decides the thresholds."""

    def add(self, values: Tensor, first: int) -> None:
        """Add values (K, n), whose indices in the stream begin with ``first``."""
        ...


@without_inference_mode
def probe(
    model: ImageModel,
    data: ConceptData,
    *,
    layer: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    thresholds: Tensor | None = None,
    quantile: float = QUANTILE,
    rotation: Tensor | None = None,
    label_size: int | tuple[int, int] | None = None,
    batch_size: int = 32,
    memory: int = MEMORY,
) -> Run[Probe]:
    """Compute and store the thresholded activations of a layer over a concept data set.

    Parameters
    ----------
    model : ImageModel
        The network.
    data : ConceptData
        A sequence of examples with an attribute ``concepts``, such as ``data.scene_concepts()``. Its masks are resized
        and cropped like the images.
    layer : str, optional
        A spatial layer, by its name in ``model.layers()``. Default: the last one before pooling.
    folder : path, optional
        An empty or new folder for the files, of about N K h w / 8 bytes and P H W / 8 bytes for P label masks;
        :func:`load_probe` opens it again. Default: a temporary folder, removed with the probe.
    thresholds : Tensor, (K,), optional
        Thresholds of the channels; pass those of the training split for the validation split. Default: from `quantile`.
    quantile : float, default 0.005
        Share of the activations of each channel above its threshold, in (0, 1).
    rotation : Tensor, (K, K), optional
        An orthogonal matrix R; the vector of activations at each position is replaced by R times it. Default: none.
    label_size : int or (int, int), optional
        Height and width of the label masks, in pixels. Default: those of the network's images.
    batch_size : int, default 32
        Images per pass.
    memory : int, default 2**30
        Bytes for the values that decide the thresholds. If exact thresholds need more, they are those of random
        positions, whose standard error is `Probe.error`, and the images are passed through the network twice.

    Returns
    -------
    Run of Probe
        One snapshot per batch; only the last one is complete.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, a layer that is not spatial, a data set without images or concepts,
        a folder that is not empty, thresholds of another number of channels, or a rotation that is not orthogonal.

    Examples
    --------
    >>> model = xw.load("scenes_vgg")
    >>> train = probe(model, xw.data.scene_concepts(3000)).result()
    >>> val = probe(model, xw.data.scene_concepts(1000, "test"), thresholds=train.thresholds).result()
    >>> single_filters(train, val).table()
    """
    check_model(model)
    if not isinstance(data, ConceptData):
        raise TypeError(
            f"expected a concept data set, with an attribute concepts, got {brief(data)}; for instance "
            "xai_widgets.data.scene_concepts()"
        )
    if len(data) == 0 or len(data.concepts) == 0:
        raise ValueError(
            f"expected images and concepts, got {len(data)} images, {len(data.concepts)} concepts"
        )
    name = model.default_layer() if layer is None else model.layer(layer).name
    grid = model.grid(name)
    share = number(quantile, "quantile", above=0, below=1)
    reader = _Reader(model, data, name, rotation, check_batch_size(batch_size))
    size = None if label_size is None else check_size(label_size)
    given = None if thresholds is None else tensor(thresholds, "thresholds", ("K",)).float()
    target = None if folder is None else _new_folder(Path(folder))

    def play() -> Iterator[Probe]:
        temporary = TemporaryDirectory(prefix="xai-widgets-probe-") if target is None else None
        home = target if temporary is None else Path(temporary.name)
        assert home is not None
        snapshot: Probe | None = None
        try:
            recording = _Recording(reader, home, size, given, share, int(memory))
            for snapshot in recording.play():
                yield snapshot if not snapshot.complete else replace(snapshot, _temporary=temporary)
        finally:
            if temporary is not None and (snapshot is None or not snapshot.complete):
                temporary.cleanup()

    channels, positions = model.layer(name).shape[grid_channel(grid)], grid.positions
    needed = exact_bytes(channels, len(data) * positions, share, reader.batch_size * positions)
    passes = 1 if given is not None or needed <= memory else 2
    return Run(play(), total=passes * reader.batches, name=f"probe of {name}")


def grid_channel(grid: Any) -> int:
    """Return the dimension of the channels in the output of a layer for one image."""
    return 0 if grid.layout == "channels_first" else -1


def _new_folder(folder: Path) -> Path:
    """Create a folder; ValueError for one that is not empty."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(
            f"expected an empty folder, got {folder.name!r} with files; `load_probe` opens a finished probe"
        )
    return folder


class _Reader:
    """Reads the examples of a data set in batches and computes the activations of a layer."""

    def __init__(
        self, model: ImageModel, data: ConceptData, layer: str, rotation: Tensor | None, batch_size: int
    ) -> None:
        self.model, self.data, self.layer, self.batch_size = model, data, layer, batch_size
        self.rotation: Tensor | None = None
        if rotation is not None:
            channels = model.layer(layer).shape[grid_channel(model.grid(layer))]
            matrix = tensor(rotation, "rotation", (channels, channels), finite=True).float()
            deviation = (matrix @ matrix.T - torch.eye(channels, device=matrix.device)).abs().max().item()
            if deviation > ORTHOGONAL:
                raise ValueError(
                    f"expected an orthogonal rotation, got R R^T off the identity by {deviation:.2g}"
                )
            self.rotation = matrix.to(model.device)

    @property
    def batches(self) -> int:
        """Number of batches."""
        return -(-len(self.data) // self.batch_size)

    def batch(self, begin: int) -> tuple[list[Any], Tensor, Tensor]:
        """Return the examples of a batch, their images (n, C, H, W), and their activations (n, K, h, w)."""
        examples = [self.data[n] for n in range(begin, min(begin + self.batch_size, len(self.data)))]
        x = self.model.images([example.image for example in examples])
        output = self.model.activations(x, self.layer)[self.layer].float()
        spatial = check_finite(
            self.model.spatial(self.layer, output), self.model.name, f"outputs of {self.layer!r}"
        )
        if self.rotation is not None:
            spatial = torch.einsum("ij,njhw->nihw", self.rotation, spatial)
        return examples, x, spatial

    def label_mask(self, mask: Any, image_size: tuple[int, int], size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return a mask of an example as the label mask of the part of the image that the network sees."""
        whole = tensor(mask, "a mask", ("H", "W")).to(torch.uint8)[None, None]
        if tuple(whole.shape[2:]) != image_size:
            resizing = self.model.resizing
            whole = Resizing(resizing.size, resizing.resize, "nearest", resizing.rounding)(whole)
        if tuple(whole.shape[2:]) != size:
            whole = F.interpolate(whole, size, mode="nearest-exact")
        return whole[0, 0].bool().numpy()


class _Recording:
    """One probe that is being recorded."""

    def __init__(
        self,
        reader: _Reader,
        folder: Path,
        label_size: tuple[int, int] | None,
        thresholds: Tensor | None,
        share: float,
        memory: int,
    ) -> None:
        self.reader, self.folder, self.label_size = reader, folder, label_size
        self.given, self.share, self.memory = thresholds, share, memory
        self.quantile = share if thresholds is None else None
        self.count = 0
        self.pooled: list[Tensor] = []
        self.present = np.zeros((len(reader.data), len(reader.data.concepts)), bool)
        self.pairs: list[tuple[int, int]] = []
        self.pixels: list[int] = []
        self.masks: PackedRows | None = None
        self.bits: PackedRows | None = None
        self.grid = (0, 0)
        self.error = 0.0

    def play(self) -> Iterator[Probe]:
        """Yield a snapshot after every batch; the last one is complete."""
        total = len(self.reader.data)
        collector: TopValues | SampledValues | None = None
        for begin in range(0, total, self.reader.batch_size):
            examples, x, activation = self.reader.batch(begin)
            self._record(begin, examples, (x.shape[2], x.shape[3]), activation)
            values = activation.movedim(1, 0).flatten(1)
            if self.given is not None:
                self._write(activation, self.given)
            else:
                collector = self._collector(values, total) if collector is None else collector
                collector.add(values, begin * self.grid[0] * self.grid[1])
            if begin + len(examples) < total:
                yield self._snapshot()
        if isinstance(collector, SampledValues):
            yield self._snapshot()
            self.given = collector.thresholds(self.share)
            for begin in range(0, total, self.reader.batch_size):
                self._write(self.reader.batch(begin)[2], self.given)
                if begin + self.reader.batch_size < total:
                    yield self._snapshot()
        elif collector is not None:
            self.given = collector.thresholds()
            self._write_entries(*collector.above())
        made = self._snapshot(complete=True)
        save_probe(made, self.folder)
        yield made

    def _collector(self, values: Tensor, total: int) -> TopValues | SampledValues:
        """Return what keeps the values that decide the thresholds, within the memory."""
        channels, batch = values.shape
        length = total * self.grid[0] * self.grid[1]
        if exact_bytes(channels, length, self.share, batch) <= self.memory:
            return TopValues(channels, kept_values(length, self.share), batch, values.device)
        size = max(1, min(length, self.memory // (8 * channels)))
        self.error = float(np.sqrt(self.share * (1 - self.share) / size))
        return SampledValues(channels, length, size, values.device)

    def _record(
        self, begin: int, examples: list[Any], image_size: tuple[int, int], activation: Tensor
    ) -> None:
        """Record the averaged activations and the concepts of a batch."""
        grid = (activation.shape[2], activation.shape[3])
        if self.masks is None:
            self.grid = grid
            self.label_size = self.label_size or image_size
            self.masks = PackedRows(masks_path(self.folder), self.label_size)
            masks_path(self.folder).touch()
            self.bits = PackedRows(bits_path(self.folder), (activation.shape[1], *grid))
            if self.given is not None:
                self.given = tensor(self.given, "thresholds", (activation.shape[1],)).to(activation)
        assert self.label_size is not None
        if grid != self.grid:
            raise ValueError(
                f"expected images of one size, got a layer of {self.grid} and of {grid} positions"
            )
        self.pooled.append(activation.mean((2, 3)).cpu())
        rows = []
        for number_of, example in enumerate(examples, start=begin):
            self.present[number_of, list(example.labels)] = True
            for concept, mask in sorted(example.masks.items()):
                row = self.reader.label_mask(mask, image_size, self.label_size)
                # A concept outside of the part that the network sees is not in the image.
                if row.any():
                    self.present[number_of, concept] = True
                    self.pairs.append((number_of, concept))
                    self.pixels.append(int(row.sum()))
                    rows.append(row)
        if rows:
            self.masks.append(np.stack(rows))
        self.count += len(examples)

    def _write(self, activation: Tensor, thresholds: Tensor) -> None:
        """Write the bits of a batch."""
        assert self.bits is not None
        self.bits.append((activation > thresholds[:, None, None]).cpu().numpy())

    def _write_entries(self, channels: Tensor, indices: Tensor) -> None:
        """Write all bits, given the channels and the sorted indices of the values above the thresholds."""
        assert self.bits is not None
        assert self.given is not None
        positions = self.grid[0] * self.grid[1]
        for begin in range(0, self.count, IMAGES):
            end = min(begin + IMAGES, self.count)
            first, last = torch.searchsorted(
                indices, torch.tensor([begin * positions, end * positions], device=indices.device)
            ).tolist()
            rows = torch.zeros(end - begin, len(self.given), positions, dtype=torch.bool)
            here = indices[first:last].cpu() - begin * positions
            rows[here // positions, channels[first:last].cpu(), here % positions] = True
            self.bits.append(rows.numpy())

    def _snapshot(self, *, complete: bool = False) -> Probe:
        """Return the probe of the images so far."""
        assert self.label_size is not None
        empty = torch.empty(0)
        return Probe(
            network=self.reader.model.name,
            layer=self.reader.layer,
            concepts=tuple(self.reader.data.concepts),
            grid=self.grid,
            label_size=self.label_size,
            count=self.count,
            total=len(self.reader.data),
            quantile=self.quantile,
            error=self.error,
            thresholds=self.given.cpu() if complete and self.given is not None else empty,
            pooled=torch.cat(self.pooled) if complete else empty.reshape(0, self.pooled[0].shape[1]),
            present=torch.from_numpy(self.present if complete else self.present[: self.count]),
            pairs=torch.tensor(self.pairs if complete else [], dtype=torch.int64).reshape(-1, 2),
            pixels=torch.tensor(self.pixels if complete else [], dtype=torch.int64),
            folder=self.folder,
            _bits=self.bits if complete else None,
            _masks=self.masks if complete else None,
        )
