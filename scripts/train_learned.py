"""Train all that is learned about the bundled networks, and keep it in the cache folder.

    python scripts/train_learned.py                       all: a quarter of an hour or more on an idle core
    python scripts/train_learned.py masking               masking networks of real-time saliency
    python scripts/train_learned.py features              generators that invert features, for DGN-AM
    python scripts/train_learned.py pair                  both generators of the adversarial explanation

A weight file that is there is not trained again. `XAI_WIDGETS_CACHE` names another folder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import xai_widgets as xw
from xai_widgets.core.caching import cache_folder
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.data import scenes
from xai_widgets.features import feature_generator
from xai_widgets.learned import AdversarialExplanation, adversarial_explanation, real_time_saliency

NETWORKS = ("scenes_vgg", "scenes_resnet")
#: The binary task of the adversarial explanation, and number of scenes of each class to train on.
PAIR, PAIR_SCENES = ("striped kite", "checkered kite"), 200


def adversarial_pair(model: ImageModel) -> Run[AdversarialExplanation]:
    """Return the training of the two generators on scenes of one object of both classes."""
    made = [
        one
        for name in PAIR
        for one in scenes.generate(PAIR_SCENES, label=name, objects=1, size=model.size[0], seed=11)
    ]
    return adversarial_explanation(model, np.stack([one.image for one in made]), PAIR)


def masking() -> Iterator[tuple[str, Run[Any]]]:
    """Yield the masking networks."""
    yield from ((name, real_time_saliency(xw.load(name))) for name in NETWORKS)


def features() -> Iterator[tuple[str, Run[Any]]]:
    """Yield the generators that invert features."""
    yield from ((name, feature_generator(xw.load(name))) for name in NETWORKS)


def pair() -> Iterator[tuple[str, Run[Any]]]:
    """Yield the pair of generators of the adversarial explanation."""
    yield "scenes_vgg", adversarial_pair(xw.load("scenes_vgg"))


PARTS: dict[str, Callable[[], Iterator[tuple[str, Run[Any]]]]] = {
    "masking": masking,
    "features": features,
    "pair": pair,
}


def main() -> None:
    """Train what is missing, with a progress bar."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    given = parser.parse_args().parts or list(PARTS)
    if unknown := [part for part in given if part not in PARTS]:
        parser.error(f"expected parts of {', '.join(PARTS)}, got {unknown[0]}")
    for part in given:
        for name, run in PARTS[part]():
            began = time.monotonic()
            print(f"{name}: {run.result()}, {time.monotonic() - began:.0f} s, in {cache_folder()}")


if __name__ == "__main__":
    main()
