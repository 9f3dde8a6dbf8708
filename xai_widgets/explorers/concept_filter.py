"""One filter of a layer: its images, its concepts, and its overlays on an example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import torch
from ipywidgets import HTML, Layout
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run, Status
from xai_widgets.core.worker import Worker
from xai_widgets.data.base import Concept
from xai_widgets.errors import as_sentence
from xai_widgets.explorers.layout import column, stage
from xai_widgets.explorers.parts import THUMBNAIL, small_html
from xai_widgets.ops.resize import shrink
from xai_widgets.studies.concepts import LayerConcepts
from xai_widgets.views import GalleryView, HeatmapView, RunBar, SliderView, link

#: The overlays, in their order.
OVERLAYS = ("activation", "cosine", "mask")
HELP = (
    "Activation of the filter; cosine between the activations at each position and this filter; positions above the "
    "threshold of the filter"
)


class FilterPanel:
    """The images to which a filter responds most, the concepts that it segments best, and its overlays.

    Parameters
    ----------
    model : ImageModel
        The network.
    run_bar : RunBar
        Where errors are shown.

    Attributes
    ----------
    patches : GalleryView
    heatmap : HeatmapView
        Three overlays on an image: the activation, the cosine similarity, and the mask.
    slider : SliderView
        Chooses the overlay.
    label : ipywidgets.HTML
    worker : Worker
    """

    def __init__(self, model: ImageModel, run_bar: RunBar) -> None:
        self.model, self._run_bar = model, run_bar
        self.worker = Worker(urgent=True)
        self.label = HTML(layout=Layout(margin="0 8px"))
        self.patches = GalleryView(size=THUMBNAIL, columns=2, title="Where it responds most")
        self.heatmap = HeatmapView(width=210, help=HELP, controls=False)
        self.slider = SliderView(label="Overlay", values=[0, 1, 2], labels=list(OVERLAYS), width=210)
        link((self.slider, "frame"), (self.heatmap, "frame"))

    @property
    def parts(self) -> list[Any]:
        """The views, from top to bottom."""
        overlays = column(self.heatmap, self.slider, weight=1.6, width=170)
        return [self.label, stage(overlays, column(self.patches, width=110))]

    def clear(self) -> None:
        """Show nothing."""
        self.worker.cancel()
        self.label.value = ""
        self.patches.images, self.patches.labels = None, []
        self.heatmap.maps = None

    def show(
        self, result: LayerConcepts, index: int, concepts: Sequence[tuple[Concept, float]], image: Any
    ) -> None:
        """Show a filter, and its overlays on an image."""
        named = ", ".join(f"{escape(one.name)} {iou:.2f}" for one, iou in concepts)
        self.label.value = small_html(f"<b>Filter {index}</b> \u00b7 IoU with concepts: {named}")
        patches = shrink(result.top.patches([index]), THUMBNAIL)[0]
        present = ~patches.isnan().flatten(1).all(1)
        with self.patches.hold_sync():
            self.patches.images = self.model.to_rgb(patches[present])
            self.patches.labels = [f"{value:.3g}" for value in result.top.values[index][present].tolist()]
        if image is None:
            self.worker.cancel()
            self.heatmap.maps = None
            return
        x = self.model.images(image)
        layer, threshold = result.train.layer, float(result.train.thresholds[index])

        def steps() -> Iterator[Tensor]:
            activation = self.model.spatial(layer, self.model.activations(x, layer)[layer].float())[
                0
            ].detach()
            lengths = activation.norm(dim=0).clamp(min=torch.finfo(torch.float32).tiny)
            one = activation[index]
            yield torch.stack([one, one / lengths, (one > threshold).float()])

        def on_snapshot(run: Run[Tensor]) -> None:
            if run.latest is None:
                return
            with self.heatmap.hold_sync():
                self.heatmap.title = f"Filter {index}"
                self.heatmap.image = self.model.to_rgb(x[0])
                self.heatmap.labels = list(OVERLAYS)
                self.heatmap.maps = run.latest.cpu().numpy()

        self.worker.submit(
            lambda: Run(steps(), total=1, name="overlay"), on_snapshot=on_snapshot, on_end=self._ended
        )

    def _ended(self, _status: Status, error: BaseException | None) -> None:
        if error is not None:
            self.heatmap.maps = None
            self._run_bar.error = as_sentence(error)
