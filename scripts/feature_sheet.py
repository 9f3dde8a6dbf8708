"""Write docs/images/feature_sheet.jpg: images of channels and classes of EfficientNet-Lite0, by the defaults.

    python scripts/feature_sheet.py

It takes a quarter of an hour on one core. The images are those of any run with the same seed, up to rounding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import xai_widgets as xw
from xai_widgets.features import objectives, visualize

TARGET = Path(__file__).resolve().parent.parent / "docs" / "images" / "feature_sheet.jpg"
STEPS = 128
#: The index of an owl among the classes of ImageNet.
OWL = 24
#: Channels of layers, and classes, from top to bottom.
CHANNELS = {"blocks.2": range(6), "blocks.4": (0, 1, 3, 4, 9, 11), "blocks.6": range(6)}
CLASSES = ("sports car", "mountain bike", "golden retriever", OWL, "espresso", "Egyptian cat")
#: Side of an image, and the space between two, in pixels.
SIDE, SPACE = 128, 4


def sheet(rows: list[list[NDArray[np.uint8]]]) -> Image.Image:
    """Return rows of images (H, W, 3) as one image."""
    columns = max(map(len, rows))
    step = SIDE + SPACE
    whole = Image.new("RGB", (columns * step - SPACE, len(rows) * step - SPACE), "white")
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            small = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            whole.paste(small, (column * step, row * step))
    return whole


def main() -> None:
    """Make the images and write the sheet."""
    torch.set_num_threads(1)
    model = xw.load("efficientnet_lite0")
    chosen: list[objectives.Objective] = [
        *(objectives.Channel(layer, channels) for layer, channels in CHANNELS.items()),
        objectives.ClassScore(list(CLASSES)),
    ]
    results = [visualize(model, one, steps=STEPS).result() for one in chosen]
    sheet([list(model.to_rgb(result.images)) for result in results]).save(TARGET, quality=88)
    print(f"{TARGET.name}: {sum(int(result.rose.sum()) for result in results)} of 24 objectives rose")


if __name__ == "__main__":
    main()
