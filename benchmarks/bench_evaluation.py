"""Pixel flipping beside Quantus, and an evaluation beside the bare passes it is made of, in turn on one thread.

    OMP_NUM_THREADS=1 python benchmarks/bench_evaluation.py [--images 1 8 64] [--rounds 3]

Both are given the same network, images, maps, steps and baseline, and make the same number of passes; the largest
difference of the curves is printed. What is timed is CPU time. Quantus gets the network on normalized pixels, and all
images in one batch, as it is called by default. Its check that a step divides H x W is switched off: no step of whole
pixels passes it at 224 x 224 pixels and three channels. "Bare" is the plain torch module on images made beforehand, in
the batches of the evaluation.

For correlations over random sets, of several maps of one image, Quantus has as many sets for each map; ours pass the
sets of an image once for all of its maps. Of ROAD the imputation is compared, since quantus.ROAD 0.6 repeats a map over
channels and then refuses images with several.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import quantus
import torch
from torch import Tensor

import xai_widgets as xw
from xai_widgets.core.batching import fast_batch_size
from xai_widgets.data import photograph, scenes
from xai_widgets.metrics import METRICS, Explanation, deletion, impute, ordering
from xai_widgets.studies import evaluate

NETWORKS = ("efficientnet_lite0", "scenes_vgg")


def images_of(name: str, model: xw.ImageModel, number: int) -> Tensor:
    """Return photographs of several brightnesses, or scenes."""
    if name.startswith("scenes"):
        return model.images([scenes.scene(n, split="test").image for n in range(number)])
    photographs = model.images([photograph(each) for each in ("cat", "coffee", "rocket", "astronaut")])
    factors = torch.linspace(1, 0.5, number).view(-1, 1, 1, 1)
    return photographs.repeat(-(-number // 4), 1, 1, 1)[:number] * factors


def seconds(work: Callable[[], Any]) -> float:
    """Return the CPU time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def ratios(
    first: Callable[[], Any], second: Callable[[], Any], rounds: int
) -> tuple[list[float], list[float]]:
    """Return the CPU times of two calls in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            times[which].append(seconds((first, second)[which]))
    return times


def report(title: str, times: tuple[list[float], list[float]], passes: int, more: str = "") -> None:
    """Print the ratio of the second to the first."""
    each = [theirs / own for own, theirs in zip(*times, strict=True)]
    own, theirs = (1e3 * statistics.median(part) / passes for part in times)
    print(
        f"{title}: {own:.2f} and {theirs:.2f} ms per image and map; ratio {statistics.median(each):.2f} "
        f"({min(each):.2f} to {max(each):.2f}){more}",
        flush=True,
    )


def against_quantus(name: str, number: int, steps: int, rounds: int) -> None:
    """Compare a deletion curve with that of Quantus, for several images at once."""
    model = xw.load(name, device="cpu")
    x = images_of(name, model, number)
    side, target = x.shape[-1], model.scores(x).argmax(1)
    generator = torch.Generator().manual_seed(0)
    # Without ties, which both break in their own order.
    maps = torch.stack([torch.randperm(side * side, generator=generator) for _ in range(number)])
    maps = maps.view(number, side, side).float()
    pixels = side * side // steps
    metric = quantus.PixelFlipping(
        features_in_step=3 * pixels, perturb_baseline=0.0, normalise=False, disable_warnings=True
    )
    normalized = ((x - model.mean) / model.std).numpy()

    def theirs() -> Any:
        return metric(
            model=model.module, x_batch=normalized, y_batch=target.numpy(), a_batch=maps[:, None].numpy(),
            device="cpu", softmax=True,
        )  # fmt: skip

    def own() -> Tensor:
        return deletion(model, x, maps, target, steps=steps).result(progress=False).scores[:, 1:]

    apart = np.abs(np.array(theirs()) - own().numpy()).max()
    title = f"{name}, {number} images, {steps} steps, deletion and quantus.PixelFlipping"
    report(title, ratios(own, theirs, rounds), number * steps, f"; apart by at most {apart:.0e}")


def of_maps(name: str, rounds: int, number: int = 4) -> None:
    """Compare the imputation of ROAD, and correlations over random sets for several maps of one image."""
    model = xw.load(name, device="cpu")
    x = images_of(name, model, 1)
    side, target = x.shape[-1], int(model.scores(x).argmax())
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(number, 1, 12, 12, generator=generator)
    maps = torch.nn.functional.interpolate(small, (side, side), mode="bilinear")
    explanations = [Explanation(model, x, target, each) for each in maps]
    given = {
        "model": model.module, "x_batch": ((x - model.mean) / model.std).repeat(number, 1, 1, 1).numpy(),
        "y_batch": np.full(number, target), "device": "cpu", "softmax": True,
    }  # fmt: skip
    options: dict[str, Any] = {"normalise": False, "disable_warnings": True}
    ranks = ordering(maps[:1, 0])
    counts = [round(share * side * side / 10) for share in range(1, 10)]
    masks = ranks < torch.tensor(counts).view(-1, 1, 1)
    indices = [np.flatnonzero(mask.numpy()) for mask in masks]

    def theirs() -> None:
        for each in indices:
            quantus.perturb_func.noisy_linear_imputation(x[0].numpy(), each)

    times = ratios(lambda: impute(x.expand(len(counts), -1, -1, -1), masks), theirs, rounds)
    report(f"{name}, imputation of ROAD and quantus.perturb_func.noisy_linear_imputation", times, len(counts))
    sets = 20
    correlation = quantus.FaithfulnessCorrelation(
        nr_runs=7 * sets,
        subset_size=side * side // 10,
        perturb_baseline=0.0,
        return_aggregate=False,
        **options,
    )
    metric = METRICS["sensitivity_n"].with_options(sets=sets)
    times = ratios(
        lambda: metric.score_several(explanations),
        lambda: correlation(a_batch=maps.numpy(), **given),
        rounds,
    )
    title = f"{name}, {number} maps of an image, sensitivity-n and quantus.FaithfulnessCorrelation"
    report(title, times, number * 7 * sets)


def against_bare(name: str, methods: list[str], rounds: int) -> None:
    """Compare an evaluation by deletion with the bare passes of its images."""
    model = xw.load(name, device="cpu")
    examples = list(images_of(name, model, 2))
    metrics = [METRICS[each].with_options(steps=56) for each in ("deletion", "insertion")]
    total = len(examples) * len(metrics) * (len(methods) + 3) * 57
    batch = fast_batch_size(model, model.size)
    images = torch.rand(batch, *examples[0].shape).contiguous(memory_format=torch.channels_last)
    network = model.module
    pixels = (images - model.mean) / model.std

    def bare() -> None:
        with torch.no_grad():
            for _ in range(total // batch):
                network(pixels)

    def whole() -> None:
        evaluate(model, examples, methods, metrics, progress=False)

    bare()
    times = ratios(whole, bare, rounds)
    report(f"{name}, evaluate and its bare passes in batches of {batch}", times, total)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    quantus.helpers.asserts.assert_features_in_step = lambda **_: None
    for name in given.networks:
        against_bare(name, ["grad_cam"], given.rounds)
        of_maps(name, given.rounds)
        for number in given.images:
            against_quantus(name, number, given.steps, given.rounds)


if __name__ == "__main__":
    main()
