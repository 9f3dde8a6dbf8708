"""Train the explainers of the bundled networks, and keep them in the cache folder.

    python scripts/train_learned.py                    all: some minutes each on two idle cores
    python scripts/train_learned.py scenes_vgg         one of them

A weight file that is there is not trained again. `XAI_WIDGETS_CACHE` names another folder.
"""

from __future__ import annotations

import argparse
import time

import xai_widgets as xw
from xai_widgets.learned import real_time_saliency
from xai_widgets.learned.caching import cache_folder

NETWORKS = ("scenes_vgg", "scenes_resnet")


def main() -> None:
    """Train what is missing, with a progress bar."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=f"of {NETWORKS}")
    for name in parser.parse_args().networks:
        began = time.monotonic()
        explainer = real_time_saliency(xw.load(name)).result()
        print(f"{name}: {explainer}, {time.monotonic() - began:.0f} s, in {cache_folder()}")


if __name__ == "__main__":
    main()
