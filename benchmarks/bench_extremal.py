"""Extremal perturbations: our search against that of TorchRay, in turn in one process.

    python benchmarks/bench_extremal.py [--scenes 20] [--steps-scale 1] [--minutes 10]

The benchmark compares the score of each mask, binarized at exactly its area, under the same blur, on held-out scenes
and both bundled networks. The lengths of TorchRay are pixels of a 224-pixel image; "scaled" uses the same lengths in
proportion to the size of the scenes. The mask of TorchRay is that of its last step, as published; ours is the best of
its snapshots, as by default. The area of both smooth masks is reported too. All 20 scenes take hours on two cores,
hence the limit of ten minutes; ``--minutes 0`` lifts it.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time

import torch

import xai_widgets as xw
from xai_widgets.data import scenes
from xai_widgets.perturbation.extremal import Extremal, ExtremalSettings, extremal

AREAS = (0.05, 0.1, 0.2, 0.4)
NETWORKS = ("scenes_resnet", "scenes_vgg")
OURS = "ours"


def rivals(size: int, scale: float) -> dict[str, object]:
    """Return the searches by name, with a share of their steps."""
    torchray = ExtremalSettings.torchray()
    steps = max(1, round(scale * torchray.steps))
    # One snapshot, at the end.
    torchray = dataclasses.replace(torchray, steps=steps, every=steps)
    grid, sigma = round(torchray.grid * size / 224), torchray.sigma * size / 224
    ours = ExtremalSettings()
    return {
        OURS: dataclasses.replace(ours, steps=max(1, round(scale * ours.steps))),
        "torchray": torchray,
        "scaled": dataclasses.replace(torchray, grid=grid, sigma=sigma),
    }


def timed(model: xw.ImageModel, x: torch.Tensor, target: int, settings: object) -> tuple[Extremal, float]:
    """Return the result of a search and its seconds."""
    start = time.perf_counter()
    found = extremal(model, x, target, areas=AREAS, settings=settings).result(progress=False)
    return found, time.perf_counter() - start


def compare(count: int, scale: float, minutes: float, names: list[str]) -> None:
    """Print scores and times on the scenes; networks and searches take turns."""
    models = {name: xw.load(name, device="cpu") for name in NETWORKS}
    made: dict[str, list[dict[str, tuple[Extremal, float]]]] = {name: [] for name in NETWORKS}
    begin = time.perf_counter()
    for number in range(count):
        scene = scenes.scene(number, split="test")
        for name, model in models.items():
            if minutes and time.perf_counter() - begin > 60 * minutes:
                continue
            x, target = model.images(scene.image), scene.labels[0]
            searches = rivals(x.shape[-1], scale)
            order = [OURS, *names] if number % 2 else [*names, OURS]
            found = {each: timed(model, x, target, searches[each]) for each in order}
            made[name].append(found)
            print(
                f"  {name} {scene.name}: whole {found[OURS][0].whole.item():.2f}; "
                + "; ".join(
                    f"{each} {' '.join(f'{score:.2f}' for score in one.scores[0].tolist())} ({seconds:.1f} s)"
                    for each, (one, seconds) in found.items()
                ),
                flush=True,
            )
    for name, runs in made.items():
        for rival in names if runs else []:
            report(f"{name}, ours against {rival}, {len(runs)} scenes", runs, rival)
    for rival in names:
        report(f"both networks, ours against {rival}", [run for runs in made.values() for run in runs], rival)


def report(title: str, runs: list[dict[str, tuple[Extremal, float]]], rival: str) -> None:
    """Print the scores of both for each area, how often ours is at least as good, and the times."""
    ours, theirs = (torch.cat([run[each][0].scores for run in runs]) for each in (OURS, rival))
    smooth = torch.cat([run[rival][0].area_errors for run in runs])
    own = torch.cat([run[OURS][0].area_errors for run in runs])
    print(title)
    for index, area in enumerate(AREAS):
        print(
            f"  area {area:g}: mean {ours[:, index].mean():.3f} against {theirs[:, index].mean():.3f}, median "
            f"{ours[:, index].quantile(0.5):.3f} against {theirs[:, index].quantile(0.5):.3f}; area of the smooth "
            f"masks off by {own[:, index].mean():+.4f} and {smooth[:, index].mean():+.4f} on average"
        )
    pairs = (ours >= theirs).float()
    times = [run[rival][1] / run[OURS][1] for run in runs]
    each = [statistics.median(run[search][1] for run in runs) for search in (OURS, rival)]
    print(
        f"  at least as good in {pairs.mean():.0%} of {pairs.numel()} pairs of scene and area, score per pair "
        f"higher by {(ours - theirs).quantile(0.5):+.3f} in the median; {each[0]:.1f} s against {each[1]:.1f} s, the "
        f"search of TorchRay takes {statistics.median(times):.1f} times as long (median, {min(times):.1f} to "
        f"{max(times):.1f})",
        flush=True,
    )


def steps_of_resnet50() -> None:
    """Print the seconds of one step, snapshots included, on torchvision's resnet50 at 224 pixels; random weights."""
    from torchvision.models import resnet50

    torch.manual_seed(0)
    model = xw.ImageModel(resnet50(weights=None).eval(), size=224)
    x = torch.rand(1, 3, 224, 224)
    ours, torchray = ExtremalSettings(), ExtremalSettings.torchray()
    took = {}
    for name, settings, skipped in ((OURS, ours, ours.scan), ("torchray", torchray, 0)):
        run = iter(extremal(model, x, 0, areas=AREAS, settings=settings))
        start = time.perf_counter()
        for _ in range(skipped):
            next(run)
        scanned = time.perf_counter() - start
        # Twenty steps of each: four snapshots of ours, one of them with an exchange, and two of theirs.
        next(run)
        start = time.perf_counter()
        for _ in range(20 // settings.every):
            next(run)
        took[name] = (scanned, (time.perf_counter() - start) / 20)
    print(
        f"resnet50, {len(AREAS)} areas at 224 pixels: a step takes {took[OURS][1] * 1e3:.0f} ms and "
        f"{took['torchray'][1] * 1e3:.0f} ms in the search of TorchRay; the {ours.scan**2} starts "
        f"{took[OURS][0]:.1f} s; steps: at most {ours.steps} against {torchray.steps}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--scenes", type=int, default=20, help="held-out scenes for each network (default 20)"
    )
    parser.add_argument(
        "--steps-scale", type=float, default=1.0, help="share of the steps of both, to try it"
    )
    parser.add_argument(
        "--minutes", type=float, default=10, help="begin no scene after so many (0: no limit)"
    )
    parser.add_argument("--rivals", nargs="+", choices=["torchray", "scaled"], default=["torchray", "scaled"])
    given = parser.parse_args()
    compare(given.scenes, given.steps_scale, given.minutes, given.rivals)
    steps_of_resnet50()


if __name__ == "__main__":
    main()
