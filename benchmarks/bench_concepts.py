"""Peak memory and time of probing concepts: 10,000 images at a layer of 28 x 28 positions and 512 channels.

python benchmarks/bench_concepts.py [--images 10000] [--channels 512] [--epochs 1]

A process of its own probes a synthetic network, finds the best filters, and learns combinations; the peak of its
resident memory is printed after each step, with its CPU time over that of the bare passes of the same images.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from xai_widgets.concepts import (
    Descent,
    classification_concepts,
    probe,
    segmentation_concepts,
    single_filters,
)
from xai_widgets.core.model import ImageModel
from xai_widgets.data.base import Concept, ConceptImages, Example

SIZE, STRIDE, CONCEPTS, MASKS = 112, 4, 40, 8
#: Number of images by which the bare passes are timed.
TIMED = 640
#: Memory that the run may take, in bytes.
LIMIT = 4 * 2**30


class Rectangles(ConceptImages):
    """Images of random colors with eight rectangles, each of a random concept."""

    concepts = tuple(Concept(f"concept {number}", f"category {number % 4}") for number in range(CONCEPTS))

    def __init__(self, count: int) -> None:
        self.images = count

    def __len__(self) -> int:
        return self.images

    def _read(self, index: int) -> Example:
        rng = np.random.default_rng(index)
        image = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        masks: dict[int, NDArray[np.bool_]] = {}
        for concept in rng.permutation(CONCEPTS)[:MASKS].tolist():
            top, left = rng.integers(0, SIZE - 20, 2)
            masks[concept] = np.zeros((SIZE, SIZE), bool)
            masks[concept][top : top + 20, left : left + 20] = True
            image[top : top + 20, left : left + 20] = np.random.default_rng(concept).integers(0, 256, 3)
        return Example(image, masks=masks)


def network(channels: int) -> ImageModel:
    torch.manual_seed(0)
    layers: list[nn.Module] = [
        nn.Conv2d(3, channels, STRIDE, STRIDE),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ]
    return ImageModel(nn.Sequential(*layers, nn.Linear(channels, 2)), size=SIZE, device="cpu")


def peak() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    # Linux counts in kilobytes, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def child(images: int, channels: int, epochs: int) -> None:
    model, data = network(channels), Rectangles(images)
    print(f"before: {peak() / 2**20:.0f} MiB", flush=True)
    begun, timed = time.process_time(), min(images, TIMED)
    for begin in range(0, timed, 32):
        x = model.images([data[n].image for n in range(begin, min(begin + 32, timed))])
        model.activations(x, "1")
    bare = (time.process_time() - begun) * images / timed
    print(
        f"bare passes, images read: {bare:.1f} s by {timed} images, peak {peak() / 2**20:.0f} MiB", flush=True
    )

    def step(name: str, function: Callable[[], Any]) -> Any:
        begun = time.process_time()
        result = function()
        seconds = time.process_time() - begun
        print(
            f"{name}: {seconds:.1f} s, {seconds / bare:.2f} x bare, peak {peak() / 2**20:.0f} MiB", flush=True
        )
        return result

    made = step("probe", lambda: probe(model, data, layer="1").result(progress=False))
    files = sum(path.stat().st_size for path in made.folder.iterdir())
    above = made.bits(0, 64).float().mean().item()
    print(f"files: {files / 2**20:.0f} MiB; share of bits in 64 images: {above:.5f}", flush=True)
    step("single filters", lambda: single_filters(made, made))
    step("classification", lambda: classification_concepts(made, made).result(progress=False))
    settings = Descent(epochs=epochs)
    name = f"segmentation, {epochs} epoch{'s' * (epochs != 1)}, two evaluations"
    step(name, lambda: segmentation_concepts(made, made, settings=settings).result(progress=False))
    print(
        f"{peak() / 2**30:.2f} GiB of {LIMIT / 2**30:.0f}: {'fits' if peak() < LIMIT else 'DOES NOT FIT'}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--child", action="store_true", help="measure in this process")
    given = parser.parse_args()
    if given.child:
        child(given.images, given.channels, given.epochs)
        return
    print(f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}", flush=True)
    subprocess.run([sys.executable, __file__, "--child", *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()
