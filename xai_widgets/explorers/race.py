"""A race of explanations: at equal area, whose mask keeps the score, and whose takes it away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from ipywidgets import HBox, Layout
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.run import Run
from xai_widgets.errors import as_sentence, collecting
from xai_widgets.explorers.base import (
    Explorer,
    MethodLike,
    methods_by_name,
    picture,
    row_layout,
    score_name,
    stretch,
)
from xai_widgets.explorers.computing import check_some, refusals
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.methods import METHODS
from xai_widgets.ops.perturb import Perturbation, pyramid
from xai_widgets.ops.resize import resize_map
from xai_widgets.perturbation.areas import check_areas, cut
from xai_widgets.perturbation.extremal import ExtremalSettings, extremal
from xai_widgets.perturbation.objective import MaskedImages
from xai_widgets.views import CurveView, MaskView, MethodPicker, link
from xai_widgets.views.shown import lay_out

AREAS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)

#: Who runs if nobody is named.
RUNNERS = ("gradient", "grad_cam", "occlusion", "meaningful_perturbation", "extremal")

#: The method whose masks are made for each area, not cut from one map.
EXTREMAL = "extremal"

#: Between two lanes, in pixels.
GAP = 8


class _Masks(NamedTuple):
    """Masks of one method (A, H, W), and the scores inside and outside of them.

    The scores (A + 2,) begin and end with those of no mask and of a mask over everything. Notes are what the method
    warned of.
    """

    masks: Tensor
    inside: Tensor
    outside: Tensor
    notes: tuple[str, ...] = ()


@dataclass
class _Race:
    """What is shown for one class. A change of class begins another one."""

    target: int
    chosen: list[str]
    results: dict[str, _Masks] = field(default_factory=dict)
    #: Why others have none.
    refused: dict[str, str] = field(default_factory=dict)
    #: Finished results, kept for the next race of the class.
    complete: dict[str, _Masks] = field(default_factory=dict)


class MaskRace(Explorer):
    """Explanations side by side on one image at equal area, to see which one keeps the score.

    Each method's map is cut at the same areas; extremal perturbations, and nobody else, have a mask made for each
    area. What is not in a mask is blurred or faded, for all alike, and the score before softmax is read off. The area
    is dragged in all pictures and in the curves at once, without a kernel. A method that is not defined for the network
    says why above its picture, and the others go on.

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
    target : int or str, optional
        The class. Default: the predicted class.
    areas : sequence of float, optional
        Ascending shares of the image, below 1. Default: eight from 0.025 to 0.6.
    perturbation : {"blur", "fade"}, default "blur"
        What the image becomes outside of a mask.
    options : dict of str to dict, optional
        Options of methods, by their names.
    batch_size : int, default 32
        Masked images per pass.
    start : bool, default True
        Whether to begin at once; otherwise the button starts.

    Attributes
    ----------
    target : int
        The class; assign an index to change it.
    lanes : dict of str to MaskView
        By method, the image under its mask.
    controls : MaskView
        Slider and display of all lanes.
    curves : CurveView
        Scores over the area, of what is preserved (solid) and of what is left (dashed).
    method_picker : MethodPicker
    class_picker : ClassPicker
    run_bar : RunBar

    Raises
    ------
    ValueError
        For an unknown method or class, with the nearest one, areas that no mask can have, or a bad image.
    TypeError
        If ``model`` is no ImageModel, or a method cannot be called.

    Examples
    --------
    >>> MaskRace(model, "photo.jpg", ["grad_cam", "rise", "extremal"])  # doctest: +SKIP
    """

    _asking: ClassVar[tuple[str, ...]] = (*Explorer._asking, "method_picker")

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
        batch_size: int = 32,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, image, target=target, **kwargs)
        self._methods = methods_by_name(RUNNERS if methods is None else methods)
        self._options = options or {}
        for name in self._options:
            if name not in self._methods:
                raise ValueError(f"options are given for {name!r}, wanted one of {list(self._methods)}")
        self._areas = check_areas(areas, self._x[0, 0].numel())
        batch_size = check_batch_size(batch_size)
        self._perturbation, self._batch_size = perturbation, batch_size
        # An unknown perturbation is refused here, where it can be read.
        pyramid(self._x, perturbation, levels=2)
        self._cache: dict[int, dict[str, _Masks]] = {}
        titles = {name: method.title for name, method in self._methods.items()}
        self.method_picker = MethodPicker(options=list(titles), labels=titles, selected=list(titles))
        self.lanes = {
            name: MaskView(title=title, width=260, area=0.1, controls=False) for name, title in titles.items()
        }
        self.controls = MaskView(picture=False, width=0, area=0.1)
        self.curves = CurveView(
            x_label="area", y_label=score_name(model), fraction=0.1, game="insertion", height=280
        )
        masks = self.controls, *self.lanes.values()
        link((self.curves, "fraction"), *((view, "area") for view in masks))
        for name in ("display", "position"):
            link(*((view, name) for view in masks))
        # At the bottom, so that a title of two lines leaves the pictures beside each other.
        row = Layout(display="grid", grid_gap=f"8px {GAP}px", align_items="flex-end", overflow="hidden")
        self._row = HBox(list(self.lanes.values()), layout=row)
        self._join(self._layout())
        self.method_picker.observe(lambda _change: self.compute(), "selected")
        if start:
            self.compute()

    def _layout(self) -> list[Any]:
        stretch((self.class_picker, "1 1 220px"), (self.method_picker, "3 1 320px"))
        lay_out(*self.lanes.values(), self.controls, self.curves, min_width="0", margin="0")
        return [
            HBox([self.class_picker, self.method_picker], layout=row_layout()),
            self.run_bar,
            self._row,
            self.controls,
            self.curves,
        ]

    def _forget(self) -> None:
        self._cache = {}

    def _show_image(self) -> None:
        levels = picture(pyramid(self._x, self._perturbation, levels=2)[0])
        for lane in self.lanes.values():
            lane.masks, lane.levels = None, levels

    # -- the computation ------------------------------------------------------------------------------------

    def compute(self, *, again: bool = False) -> None:
        """Run the chosen methods that have not run yet, in the background; see :meth:`Explorer.compute`."""
        race = _Race(0, [])

        def on_start() -> None:
            if again:
                self._cache = {}
            race.target, race.chosen = self.target, list(self.method_picker.selected)
            race.complete = self._cache.setdefault(race.target, {})
            race.results = dict(race.complete)
            self._draw(race)

        def on_snapshot(run: Run[str]) -> None:
            self.run_bar.progress, self.run_bar.message = run.progress, run.latest or ""
            self._draw(race)

        self._submit(
            lambda: self._run(race),
            on_start=on_start,
            on_snapshot=on_snapshot,
            message=lambda: refusals(self._refused(race)),
        )

    def _refused(self, race: _Race) -> dict[str, str]:
        """Why methods of the choice do not run, by their titles."""
        return {self._methods[name].title: reason for name, reason in race.refused.items()}

    def _run(self, race: _Race) -> Run[str]:
        x, missing = self._x, [name for name in race.chosen if name not in race.results]

        def steps() -> Iterator[str]:
            target = torch.tensor([race.target], device=x.device)
            settings = (None, ExtremalSettings(), self._batch_size)
            judge = None
            for name in missing:
                title = self._methods[name].title
                yield f"{title} runs"
                # What judges all of them is not refused by one.
                judge = judge or MaskedImages(self.model, x, target, "hybrid", self._perturbation, *settings)
                try:
                    with collecting() as notes:
                        masks = self._masks(name, x, race.target)
                    verdict = judge.judge(masks[None])
                except Exception as error:  # a method that is none for this network takes no other with it
                    race.refused[name] = as_sentence(error)
                    yield f"{title}: refused"
                    continue
                low, high = judge.end_scores[0, :, race.target].split(1)
                race.results[name] = _Masks(
                    masks,
                    inside=torch.cat([low, verdict.inside[0, :, race.target], high]),
                    outside=torch.cat([high, verdict.outside[0, :, race.target], low]),
                    notes=tuple(notes),
                )
                yield title
                race.complete[name] = race.results[name]
            check_some([name for name in race.chosen if name in race.results], self._refused(race))

        return Run(steps(), total=2 * len(missing), name="mask race")

    def _masks(self, name: str, x: Tensor, target: int) -> Tensor:
        """Masks (A, H, W) of one method."""
        options = self._options.get(name, {})
        if self._methods[name] is METHODS[EXTREMAL]:
            run = extremal(
                self.model, x, target, areas=self._areas, perturbation=self._perturbation, **options
            )
            return run.result(progress=False).masks[0]
        saliency = self._methods[name].saliency(self.model, x, target, **options)
        saliency = resize_map(saliency, (x.shape[2], x.shape[3])).to(x.device)
        return cut(saliency[:, None].expand(-1, len(self._areas), -1, -1), self._areas)[0]

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, race: _Race) -> None:
        """Bring the views to the race, all arrays anew: of what has not run nothing is shown."""
        shown = [name for name in race.chosen if name in race.results]
        self._row.layout.grid_template_columns = _columns(len(race.chosen))
        for name, lane in self.lanes.items():
            result = race.results.get(name) if name in race.chosen else None
            lane.layout.display = None if name in race.chosen else "none"
            title = self._methods[name].title
            lane.title = f"{title}: {race.refused[name]}" if name in race.refused else title
            with lane.hold_sync():
                lane.masks = None
                lane.areas = None if result is None else np.array(self._areas, dtype=np.float32)
                lane.masks = None if result is None else result.masks
        with self.controls.hold_sync():
            self.controls.areas = np.array(self._areas, dtype=np.float32)
            # The controls show no mask; that there are some is all they have to know.
            self.controls.masks = np.ones((len(self._areas), 1, 1)) if shown else None
        self._draw_curves(race)

    def _draw_curves(self, race: _Race) -> None:
        # The last area may be everything: then it is an end already.
        inner = [index for index, area in enumerate(self._areas) if area < 1]
        x = [0.0, *(self._areas[index] for index in inner), 1.0]
        places = [0, *(index + 1 for index in inner), len(self._areas) + 1]
        series, rows = [], []
        for frame, name in enumerate(self._methods):
            if name not in race.chosen or name in race.refused:
                continue
            result = race.results.get(name)
            for game, what in (("insertion", "preserved"), ("deletion", "deleted")):
                label = f"{self._methods[name].title}, {what}"
                note = "; ".join(result.notes) if result is not None and game == "insertion" else ""
                series.append({"label": label, "note": note, "game": game, "frame": frame})
                if result is None:
                    rows.append([np.nan] * len(x))
                else:
                    scores = result.inside if game == "insertion" else result.outside
                    rows.append(scores[places].tolist())
        lines = [
            {"y": float(result.inside[end]), "label": label}
            for result in [*race.results.values()][:1]
            for end, label in ((-1, "the image"), (0, "wholly perturbed"))
        ]
        with self.curves.hold_sync():
            self.curves.series, self.curves.x = series, np.array(x, dtype=np.float32)
            self.curves.y = np.array(rows, dtype=np.float32).reshape(len(rows), len(x))
            self.curves.lines = lines


def _columns(count: int) -> str:
    """Columns for pictures of one size; they become rows where each would be narrower than 130 px."""
    share = f"calc((100% - {(count - 1) * GAP + 1}px) / {max(1, count)})"
    return f"repeat(auto-fill, minmax(max(130px, {share}), 1fr))"
