"""A 224-step deletion curve against the bare passes it is made of, in turn in one process.

    python benchmarks/bench_deletion.py

Bare: the same 225 images, made beforehand, through the same model in the same batches, with the softmax left out.
"""

from __future__ import annotations

import statistics
import time

import torch

import xai_widgets as xw
from xai_widgets.attribution import gradient
from xai_widgets.data import scenes
from xai_widgets.metrics import deletion, ordering

STEPS, BATCH, ROUNDS = 224, 32, 40


def main() -> None:
    for name in ("scenes_resnet", "scenes_vgg"):
        model = xw.load(name, device="cpu")
        x = model.images(scenes.scene(0, split="test").image)
        saliency = gradient.saliency(model, x)
        ranks = ordering(saliency)[:, None]
        counts = torch.tensor([round(k * ranks.numel() / STEPS) for k in range(STEPS + 1)])
        images = torch.where(ranks < counts.view(-1, 1, 1, 1), torch.zeros(()), x)
        batches = [part.contiguous(memory_format=torch.channels_last) for part in images.split(BATCH)]

        def bare(model: xw.ImageModel = model, batches: list[torch.Tensor] = batches) -> None:
            with torch.no_grad():
                for batch in batches:
                    model(batch)

        def curve(
            model: xw.ImageModel = model, x: torch.Tensor = x, saliency: torch.Tensor = saliency
        ) -> None:
            deletion(model, x, saliency, 0, steps=STEPS, batch_size=BATCH).result(progress=False)

        ratios, times = [], {bare: [], curve: []}
        for number in range(ROUNDS + 2):
            for work in (bare, curve) if number % 2 else (curve, bare):
                start = time.perf_counter()
                work()
                times[work].append(time.perf_counter() - start)
            ratios.append(times[curve][-1] / times[bare][-1])
        del ratios[:2]
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        print(
            f"{name}: bare {statistics.median(times[bare]) * 1e3:.0f} ms, curve "
            f"{statistics.median(times[curve]) * 1e3:.0f} ms; ratio {middle:.3f} (median of {ROUNDS}, "
            f"{low:.3f} to {high:.3f})"
        )


if __name__ == "__main__":
    main()
