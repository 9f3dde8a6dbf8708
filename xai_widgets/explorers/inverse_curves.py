"""The tab of the inverse explorer with curves over many images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from xai_widgets.explorers.inverse_tab import InverseTab
from xai_widgets.explorers.layout import stage
from xai_widgets.studies.inverse_curves import UNIFORM, CurvesKey, InverseCurvesStudy, SimplicityCurve
from xai_widgets.views import CurveView, link
from xai_widgets.views.static_repr import set_layout

#: The values of the first plots, with their names.
KEPT = {"top1": "top 1", "top5": "top 5", "mean_alpha": "share of the image"}
RANKED = {"deletion": "deletion", "insertion": "insertion"}


class CurvesTab(InverseTab):
    """Curves of the layer-wise inverse over many images, each with its predicted class (figures 5.4 and 5.6).

    The means over the images so far are drawn, image by image; a stopped computation continues with the next one.

    Attributes
    ----------
    kept : CurveView
        Over lambda, the share of images whose class is the best and among the five best, and mean(alpha).
    ranked : CurveView
        Over lambda, the areas under the curves of deletion and insertion in the order of alpha.
    simplicity : CurveView
        The share of images whose class is kept over mean(alpha): the layer-wise inverse, uniform fading and methods.
    """

    title = "Over images"
    kernel_controls: ClassVar[tuple[str, ...]] = ("run_bar",)

    study: InverseCurvesStudy

    def _make_views(self) -> None:
        if self.owner.images is None:
            raise ValueError("No images: pass images=[...] to InverseExplorer for curves over many images")
        self.kept, self.ranked, self.simplicity = (
            CurveView(height=190, x_label=x_label, y_label=y_label, title=title)
            for title, x_label, y_label in (
                ("Is the class kept?", "λ", "share"),
                ("Is the order right?", "λ", "area under the curve"),
                ("By how little?", "share of the image that is kept", "share of the images"),
            )
        )
        # All are at the lambda of the first slider.
        link((self.owner.slider, "frame"), *((view, "step") for view in self._plots()))

    def _plots(self) -> tuple[CurveView, ...]:
        return self.kept, self.ranked, self.simplicity

    def _make_study(self) -> InverseCurvesStudy:
        return InverseCurvesStudy(
            self.owner.model,
            self.owner.images,
            lam=self.owner.study.lam,
            methods=self.owner.study.methods,
            settings=self.owner.study.settings,
            batch_size=self.owner.study.batch_size,
        )

    def take_image(self) -> None:
        """Do nothing: the images stay."""

    def _stage(self) -> Iterable[Any]:
        # Keep one height before and after the first result.
        for view, curves in ((self.kept, KEPT), (self.ranked, RANKED), (self.simplicity, self._series())):
            set_layout(view, min_height=f"{290 + 26 * len(curves)}px")
        return (stage(*self._plots(), width=230),)

    def _series(self) -> list[str]:
        regularizer = self.owner.regularizer_picker.value
        return [regularizer, UNIFORM, *(method.name for method in self.owner.study.methods)]

    def _keys(self) -> list[CurvesKey]:
        return self.study.keys(self._series(), self.owner.empty)

    def _message(self, key: CurvesKey) -> str:
        return f"{self.study.series_title(key.series)}: image {key.image + 1} of {len(self.study.x)}"

    def _draw(self, changed: Any = None) -> None:
        series = self._series()
        means = {name: self.study.mean(name, self.owner.empty) for name in series}
        own, count = means[series[0]]
        for view in (self.kept, self.ranked):
            view.x_label = f"λ, mean over {count} of {len(self.study.x)} images"
        for view, names in ((self.kept, KEPT), (self.ranked, RANKED)):
            with view.hold_sync():
                view.x = view.steps = None if own is None else own.parameter.float()
                view.y = None if own is None else torch.stack([getattr(own, name) for name in names]).float()
                view.series = (
                    [] if own is None else [{"label": title, "note": ""} for title in names.values()]
                )
        self._draw_simplicity(series, {name: mean for name, (mean, _) in means.items()}, own)

    def _draw_simplicity(
        self, series: list[str], means: dict[str, SimplicityCurve | None], own: SimplicityCurve | None
    ) -> None:
        view = self.simplicity
        if own is None:
            with view.hold_sync():
                view.x = view.y = view.steps = None
                view.series = []
            return
        known = {name: mean for name, mean in means.items() if mean is not None}
        x = np.unique(np.concatenate([_array(mean.mean_alpha) for mean in known.values()]))
        y = np.full((len(series), len(x)), np.nan, np.float32)
        entries = []
        for row, name in enumerate(series):
            mean = known.get(name)
            note = ""
            if mean is not None:
                y[row, np.searchsorted(x, _array(mean.mean_alpha))] = _array(mean.top1)
                if len(mean.top1) == 1:
                    note = f"α {float(mean.mean_alpha):.2f}"
            style = "dashed" if name == UNIFORM else "solid"
            entries.append({"label": self.study.series_title(name), "note": note, "style": style})
        with view.hold_sync():
            view.x, view.y, view.series = x, y, entries
            view.steps = _array(own.mean_alpha)


def _array(values: torch.Tensor) -> NDArray[np.float32]:
    return values.float().numpy()
