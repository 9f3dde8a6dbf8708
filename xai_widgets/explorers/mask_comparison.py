"""Masks of several methods on one image at equal area."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from ipywidgets import HBox, Layout

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target
from xai_widgets.errors import unknown_name
from xai_widgets.explorers.image_explorer import ImageExplorer
from xai_widgets.explorers.layout import column, header, stage
from xai_widgets.explorers.looks import Looks
from xai_widgets.explorers.method_choice import method_picker
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import ENDS, score_name, search_settings, void_scores
from xai_widgets.methods.registry import MethodLike, methods_by_name
from xai_widgets.ops.perturb import Perturbation, pyramid
from xai_widgets.perturbation.mask_search import check_areas
from xai_widgets.studies.masks import MaskKey, MaskStudy, MethodMasks
from xai_widgets.views import CurveView, MaskView, link
from xai_widgets.views.static_repr import set_layout

AREAS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)

#: Default methods.
METHODS = ("gradient", "grad_cam", "occlusion", "meaningful_perturbation", "extremal")

#: Largest width of an image and its margins, in pixels.
LANE = 296


class MaskComparison(ImageExplorer):
    """Compare methods on one image at equal area, to see whose mask preserves the score.

    The map of each method is binarized at the same areas; extremal perturbations are searched for each area. The image
    outside of a mask is blurred or faded, in the same way for all methods, and the score before softmax is measured.
    The area is dragged in all images and in the curves at once, without a kernel. If a method is not defined for the
    network, the reason is shown above its image and the others continue.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    image
        One image of any kind.
    methods : sequence, optional
        Names of attribution or perturbation methods, :class:`~xai_widgets.methods.Method` objects, or your own
        ``explain(model, x, target)``, with a title as ``(title, explain)``. Default: gradient, Grad-CAM, occlusion,
        meaningful and extremal perturbation.
    target : int, str or callable, optional
        The class or a target (see :mod:`xai_widgets.targets`). Default: the predicted class.
    areas : sequence of float, optional
        Ascending shares of the image, below 1. Default: eight from 0.025 to 0.6.
    perturbation : {"blur", "fade"}, default "blur"
        The perturbation outside of a mask.
    options : dict of str to dict, optional
        Options of methods by name.
    batch_size : int, optional
        Masked images per pass. Default: those of the best throughput.
    start : bool, default True
        Whether to compute at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    target : int
        The class; assign an index to change it.
    masks : dict of str to MaskView
        The image under the mask of each method.
    controls : MaskView
        Area and display of all masks.
    curves : CurveView
        Scores of the preserved part (solid) and of the rest (dashed), over the area.
    method_picker : MethodPicker
    class_picker : ClassPicker
    run_bar : RunBar

    Raises
    ------
    ValueError
        For an unknown method or class, with the nearest one, areas that no mask can have, or a bad image.
    TypeError
        If ``model`` is not an ImageModel, or a method cannot be called.

    Examples
    --------
    >>> MaskComparison(model, "photo.jpg", ["grad_cam", "rise", "extremal"])  # doctest: +SKIP
    """

    question: ClassVar[str] = "Whose mask preserves the score with the least of the image?"
    hint: ClassVar[str] = "Drag the area."
    kernel_controls: ClassVar[tuple[str, ...]] = (*ImageExplorer.kernel_controls, "method_picker")

    study: MaskStudy

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        image: Any,
        methods: Sequence[MethodLike] | None = None,
        *,
        target: Target = None,
        areas: Sequence[float] = AREAS,
        perturbation: Perturbation = "blur",
        options: dict[str, dict[str, Any]] | None = None,
        batch_size: int | None = None,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, image, target=target, **kwargs)
        self._methods = methods_by_name(METHODS if methods is None else methods)
        self._options = dict(options or {})
        for name in self._options:
            if name not in self._methods:
                raise ValueError(unknown_name("method of options", name, self._methods))
        if "extremal" in self._methods:
            self._options["extremal"] = {
                "settings": search_settings(self._x),
                **self._options.get("extremal", {}),
            }
        self._areas = check_areas(areas, self._x[0, 0].numel())
        if batch_size is not None:
            batch_size = check_batch_size(batch_size)
        self._perturbation, self._batch_size = perturbation, batch_size
        # An unknown perturbation is refused here.
        pyramid(self._x, perturbation, levels=2)
        self.study = self._make_study()
        titles = {name: method.title for name, method in self._methods.items()}
        self._looks = Looks()
        self.method_picker = method_picker(self._methods, titles, self.model)
        self.masks = {
            name: MaskView(title=title, width=LANE, area=0.1, controls=False)
            for name, title in titles.items()
        }
        self.controls = MaskView(show_image=False, width=0, area=0.1)
        self.curves = CurveView(
            x_label="area",
            y_label=score_name(self.model),
            x_percent=True,
            fraction=0.1,
            mode="preserved",
            height=200,
            # The buttons of the images choose it.
            mode_buttons=False,
        )
        masks = self.controls, *self.masks.values()
        link((self.curves, "fraction"), *((view, "area") for view in masks))
        for name in ("display", "position", "viewport"):
            link(*((view, name) for view in masks))
        # The curves of the part that is shown are bold.
        link((self.curves, "mode"), *((view, "mode") for view in masks))
        # Aligned at the bottom, where a title of two lines does not move an image.
        row = Layout(display="grid", grid_gap="4px 0", align_items="flex-end", overflow="hidden")
        self._row = HBox(list(self.masks.values()), layout=row)
        self._compute_on_change((self.method_picker, "selected"))
        self._assemble(self._layout())
        if start:
            self.compute()
        else:
            # Lay out images and legend before the first result.
            self._draw()

    def _layout(self) -> list[Any]:
        set_layout(*self.masks.values(), min_width="0", margin="0")
        controls = header(self.class_picker, self.method_picker, self.run_bar)
        # The slider and all images that it changes are side by side.
        self._images = column(self._row, width=330)
        return [controls, stage(self._images, column(self.controls, self.curves, width=300))]

    def _show_image(self) -> None:
        levels = self.model.to_rgb(pyramid(self._x, self._perturbation, levels=2)[0])
        for view in self.masks.values():
            view.masks, view.levels = None, levels

    # -- the computation ------------------------------------------------------------------------------------

    def _make_study(self) -> MaskStudy:
        return MaskStudy(
            self.model,
            self._x,
            self._methods,
            areas=self._areas,
            perturbation=self._perturbation,
            options=self._options,
            batch_size=self._batch_size,
        )

    def _keys(self) -> list[MaskKey]:
        return [MaskKey(name, self.target) for name in self.method_picker.selected]

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, changed: MaskKey | None = None) -> None:
        outcomes = {key.method: self.study.outcome(key) for key in self._keys()}
        self._row.layout.grid_template_columns = _tracks(len(outcomes))
        self._images.layout.max_width = f"{_columns(len(outcomes)) * LANE}px"
        self.method_picker.looks = self._looks.take(outcomes)
        for name, view in self.masks.items():
            outcome = outcomes.get(name)
            result = None if outcome is None else outcome.result
            view.layout.display = "none" if outcome is None else None
            with view.hold_sync():
                view.look = self.method_picker.looks.get(name, -1)
                view.note = "" if outcome is None else outcome.error or "; ".join(outcome.warnings)
                view.masks = None
                view.areas = None if result is None else np.array(self._areas, dtype=np.float32)
                view.masks = None if result is None else result.masks
        results = [outcome.result for outcome in outcomes.values() if outcome.result is not None]
        known = bool(results)
        with self.controls.hold_sync():
            self.controls.areas = np.array(self._areas, dtype=np.float32)
            self.controls.ready = [known] * len(self._areas)
            self.controls.caption = self._void(results)
        self._draw_curves()

    def _draw_curves(self) -> None:
        # The last area may be the whole image, which is an end of the curve already.
        inner = [index for index, area in enumerate(self._areas) if area < 1]
        x = [0.0, *(self._areas[index] for index in inner), 1.0]
        columns = [0, *(index + 1 for index in inner), len(self._areas) + 1]
        frames = {name: frame for frame, name in enumerate(self._methods)}
        outcomes = {key: self.study.outcome(key) for key in self._keys()}
        results = [outcome.result for outcome in outcomes.values() if outcome.result is not None]
        series, rows = [], []
        for key, outcome in outcomes.items():
            if outcome.error:
                continue
            for mode, style in (("preserved", "solid"), ("deleted", "dashed")):
                title = self._methods[key.method].title
                entry = {"label": f"{title}, {mode}", "name": title, "frame": frames[key.method]}
                entry |= {"mode": mode, "style": style, "warning": "; ".join(outcome.warnings)}
                entry["look"] = self.method_picker.looks[key.method]
                scores = [np.nan] * len(x)
                if outcome.result is not None:
                    known = getattr(outcome.result, mode)[columns].cpu()
                    entry["auc"] = float(torch.trapezoid(known, torch.tensor(x)))
                    scores = known.tolist()
                series.append(entry)
                rows.append(scores)
        lines = [
            {"y": float(result.preserved[end]), "label": label}
            for result in results[:1]
            for end, label in ((-1, "unperturbed"), (0, ENDS[self._perturbation]))
        ]
        with self.curves.hold_sync():
            self.curves.series, self.curves.x = series, np.array(x, dtype=np.float32)
            self.curves.y = np.array(rows, dtype=np.float32).reshape(len(rows), len(x))
            self.curves.lines = lines
            # The cursor stops where there are masks.
            self.curves.steps = np.array(self._areas, dtype=np.float32) if results else None

    def _void(self, results: list[MethodMasks]) -> str:
        """Return why masks of the class mean little, or an empty string."""
        if not results:
            return ""
        low, high = float(results[0].preserved[0]), float(results[0].preserved[-1])
        return void_scores(self.model, self.target, low, high, ENDS[self._perturbation])


def _columns(count: int) -> int:
    """Return the largest number of images side by side."""
    return 2 if count == 4 else max(1, min(count, 3 if count <= 6 else 4))


def _tracks(count: int) -> str:
    """Return grid columns of equal width, which wrap where one would be narrower than 130 px."""
    # A pixel less, so that rounding does not wrap them.
    share = f"calc(100% / {_columns(count)} - 1px)"
    # Three are two and one in a narrow column, where they are larger.
    least = "min(190px, calc(50% - 1px))" if count == 3 else share
    return f"repeat(auto-fill, minmax(max(130px, {least}), 1fr))"
