"""Live deletion and insertion curves of several methods on one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
from ipywidgets import HBox
from torch import Tensor

from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.run import Run, Status
from xai_widgets.core.validation import check_finite
from xai_widgets.errors import as_sentence, collecting
from xai_widgets.explorers.base import (
    Explorer,
    MethodLike,
    methods_by_name,
    picture,
    row_layout,
    stretch,
)
from xai_widgets.explorers.computing import check_some, refusals
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.methods import METHODS
from xai_widgets.metrics import Curve, default_steps, deletion, insertion, ordering
from xai_widgets.ops.blur import truncated_blur
from xai_widgets.ops.resize import resize_map
from xai_widgets.views import CurveView, HeatmapView, MethodPicker, OrderedMaskView, ScoresView, link
from xai_widgets.views.shown import lay_out

#: The games, in the order of the second axis of every array sent to the views.
GAMES: dict[str, Callable[..., Run[Curve]]] = {"deletion": deletion, "insertion": insertion}

#: What is computed at once if no methods are named; the others wait to be chosen.
CHOSEN = ("gradient", "guided_backprop", "integrated_gradients", "grad_cam")

#: How many classes the bars show.
TOP = 5


#: What takes the place of one of them that the network does not allow.
SPARE = ("gradient_x_input", "smoothgrad", "expected_gradients")


@dataclass
class _Result:
    """What is known of one method: its map, the order of the pixels, the curves so far, and what it warned of."""

    saliency: np.ndarray
    ranks: np.ndarray
    notes: list[str] = field(default_factory=list)
    curves: dict[str, Curve] = field(default_factory=dict)


class _Step(NamedTuple):
    """A step of the computation, in words, and whether it brought another map."""

    message: str
    new_map: bool


@dataclass
class _Board:
    """What is shown for one class. A change of class begins a new board, so nothing of the old one can show.

    ``complete`` is where finished results are kept for the next board of the class; a change of the image drops
    it, so a late result of the old image is kept nowhere. What was refused is tried again on the next board.
    """

    target: int
    chosen: list[str]
    results: dict[str, _Result]
    refused: dict[str, str] = field(default_factory=dict)
    complete: dict[str, _Result] = field(default_factory=dict)
    #: Methods that may take the place of a refused one, if the choice is not that of the user.
    spare: list[str] = field(default_factory=list)

    def missing(self) -> list[str]:
        return [name for name in self.chosen if name not in self.results]

    def shown(self) -> list[str]:
        return [name for name in self.chosen if name in self.results]


class DeletionExplorer(Explorer):
    """Choose methods and a class, watch deletion and insertion curves grow, and drag along them.

    The curves follow the protocol of RISE (:mod:`xai_widgets.metrics.deletion`). A method that is not defined for the
    network says why in the legend, and the others go on. Dragging the cursor shows the image
    with that share of its pixels deleted, or inserted, and the best classes there. The cursor, the opacity, the
    color map and the choice among computed curves need no kernel.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    image
        One image of any kind.
    methods : sequence, optional
        What to choose from: names of registered methods, :class:`~xai_widgets.methods.Method` objects, or your
        own ``explain(model, x, target)``, with a title as ``(title, explain)``. All of them are computed.
        Default: every registered method, a few of them computed at once, those that the network allows.
    target : int or str, optional
        The class. Default: the predicted class.
    steps : int, optional
        Steps of a curve. Default: 224, or the number of pixels if that is less.
    batch_size : int, default 32
        Images per pass of the network.
    start : bool, default True
        Whether to compute at once; otherwise the button starts.

    Attributes
    ----------
    target : int
        The class whose score is followed; assign an index to change it.
    heatmap : HeatmapView
        The map of the active method on the image.
    masked : OrderedMaskView
        The image at the cursor's fraction.
    scores : ScoresView
        The best classes there.
    curves : CurveView
        The curves with the cursor.
    class_picker : ClassPicker
    method_picker : MethodPicker
    run_bar : RunBar

    Raises
    ------
    ValueError
        For an unknown method or class, with the nearest one, or a bad image.
    TypeError
        If ``model`` is no ImageModel, or a method cannot be called.

    Examples
    --------
    >>> DeletionExplorer(model, "photo.jpg", methods=["gradient", ("mine", my_explainer)])
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
        steps: int | None = None,
        batch_size: int = 32,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, image, target=target, **kwargs)
        self._methods = methods_by_name(METHODS.values() if methods is None else methods)
        self._steps = default_steps(self._x[0, 0].numel()) if steps is None else steps
        self._batch_size = batch_size
        self._cache: dict[int, dict[str, _Result]] = {}
        # A game is refused here, where it can be read, if its steps or its batches make none.
        deletion(model, self._x, self._x.mean(1), self.target, steps=self._steps, batch_size=batch_size)
        titles = {name: method.title for name, method in self._methods.items()}
        chosen = [name for name in self._methods if methods is not None or name in CHOSEN]
        #: The choice as long as it is not that of the user.
        self._default: list[str] | None = chosen if methods is None else None

        self.method_picker = MethodPicker(options=list(titles), labels=titles, selected=chosen)
        self.heatmap = HeatmapView(names=list(titles.values()), fade=True, opacity=0.9, width=400)
        self.masked = OrderedMaskView(width=400, title="Image at the cursor")
        self.scores = ScoresView(labels=model.labels, target=self.target, title="Best classes at the cursor")
        self.curves = CurveView(x_label="share of pixels", y_label=model.value_name)
        views = self.curves, self.heatmap, self.masked, self.scores
        for name in ("frame", "game", "fraction", "position"):
            link(*[(view, name) for view in views if view.has_trait(name)])
        self._join(self._layout())
        self.method_picker.observe(lambda _change: self._on_methods(), "selected")
        if start:
            self.compute()

    def _layout(self) -> list[Any]:
        """Controls, pictures and curves, one below the other; each row breaks where the column is narrow."""
        stretch(
            (self.class_picker, "1 1 220px"), (self.method_picker, "3 1 320px"),
            (self.heatmap, "2 1 240px"), (self.masked, "2 1 240px"), (self.scores, "1 1 200px"),
        )  # fmt: skip
        lay_out(self.curves, width="100%", min_width="0", margin="0")
        controls = HBox([self.class_picker, self.method_picker], layout=row_layout())
        pictures = HBox([self.heatmap, self.masked, self.scores], layout=row_layout())
        return [controls, self.run_bar, pictures, self.curves]

    def _forget(self) -> None:
        self._cache.clear()

    def _show_image(self) -> None:
        shown = picture(self._x[0])
        with self.heatmap.hold_sync(), self.masked.hold_sync():
            self.heatmap.image = shown
            self.masked.image = shown
            self.masked.baselines = np.stack([np.zeros_like(shown), picture(truncated_blur(self._x)[0])])

    # -- the computation ------------------------------------------------------------------------------------

    def _on_methods(self) -> None:
        # A method that takes the place of a refused one is on the board already.
        if list(self.method_picker.selected) != self._default:
            self._default = None
            self.compute()

    def compute(self, *, again: bool = False) -> None:
        """Compute what is chosen and missing, in the background; see :meth:`Explorer.compute`."""
        board = _Board(0, [], {})

        def on_start() -> None:
            if again:
                self._cache.clear()
            board.target, board.chosen = self.target, list(self.method_picker.selected)
            board.complete = self._cache.setdefault(board.target, {})
            board.results = dict(board.complete)
            if board.chosen == self._default:
                board.spare = [name for name in SPARE if name in self._methods and name not in board.chosen]
            self._draw(board, maps=True)

        def on_snapshot(run: Run[_Step]) -> None:
            assert run.latest is not None
            self.run_bar.progress, self.run_bar.message = run.progress, run.latest.message
            self._draw(board, maps=run.latest.new_map)

        def on_end(status: Status, error: BaseException | None) -> None:
            if status == "done" and self._default and board.chosen != self._default:
                self._default = [name for name in self._methods if name in board.chosen]
                self.method_picker.selected = self._default

        self._submit(
            lambda: self._run(board),
            on_start=on_start,
            on_snapshot=on_snapshot,
            on_end=on_end,
            message=lambda: refusals(self._refused(board)),
        )

    def _refused(self, board: _Board) -> dict[str, str]:
        """Why there are no curves of methods, by their titles."""
        return {self._methods[name].title: reason for name, reason in board.refused.items()}

    def _run(self, board: _Board) -> Run[_Step]:
        x = self._x
        missing = board.missing()
        batches = -(-(self._steps + 1) // self._batch_size)

        def steps() -> Iterator[_Step]:
            while missing:
                name = missing.pop(0)
                try:
                    yield from self._steps_of(name, board, x)
                except Exception as error:  # a method that is none for this network takes no other with it
                    board.results.pop(name, None)
                    board.refused[name] = as_sentence(error)
                    missing.extend(self._replaced(name, board))
                    yield _Step(f"{self._methods[name].title}: refused", new_map=True)
            check_some(board.shown(), self._refused(board))

        return Run(steps(), total=len(missing) * (1 + len(GAMES) * batches), name="deletion and insertion")

    def _steps_of(self, name: str, board: _Board, x: Tensor) -> Iterator[_Step]:
        """The map and the curves of one method."""
        method = self._methods[name]
        with collecting() as notes:
            saliency = method.saliency(self.model, x, board.target)
        result = _Result(*_as_arrays(saliency, (x.shape[2], x.shape[3])), notes)
        board.results[name] = result
        yield _Step(f"{method.title}: map", new_map=True)
        for game, play in GAMES.items():
            run = play(
                self.model, x, saliency, board.target, steps=self._steps, batch_size=self._batch_size, top=TOP
            )
            for curve in run:
                result.curves[game] = curve
                yield _Step(f"{method.title}: {game}", new_map=False)
            check_finite(curve.scores, self.model.name)
        board.complete[name] = result

    def _replaced(self, name: str, board: _Board) -> list[str]:
        """The method that is computed in the place of a refused one, if any is to be."""
        if not board.spare:
            return []
        other = board.spare.pop(0)
        board.chosen = [each for each in board.chosen if each != name] + [other]
        return [] if other in board.results else [other]

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, board: _Board, *, maps: bool) -> None:
        """Bring the views to the board, all arrays anew: what is not on the board is NaN."""
        names = list(self._methods)
        refused = [name for name in board.chosen if name in board.refused]
        rows = [(name, game) for name in board.chosen if name not in refused for game in GAMES]
        if maps:
            self._draw_maps(board, names)
        fractions = np.linspace(0, 1, self._steps + 1, dtype=np.float32)
        top = min(TOP, len(self.model.labels))
        shape = (len(names), len(GAMES), len(fractions))
        target_values = np.full(shape, np.nan, dtype=np.float32)
        values = np.full((*shape, top), np.nan, dtype=np.float32)
        indices = np.zeros((*shape, top), dtype=np.int32)
        notes = dict.fromkeys(rows, "")
        for name, result in board.results.items():
            for g, game in enumerate(GAMES):
                curve = result.curves.get(game)
                if curve is None:
                    continue
                at = names.index(name), g
                fractions = curve.fractions.numpy()
                target_values[at] = curve.scores[0].numpy()
                values[at] = curve.top_scores[0].numpy()
                indices[at] = curve.top_classes[0].clamp_min(0).numpy()
                auc = curve.auc.item()
                if not np.isnan(auc):
                    notes[name, game] = "; ".join([f"AUC {auc:.3f}", *result.notes])
        series = [
            {
                "label": f"{self._methods[name].title}, {game}",
                "note": notes[name, game],
                "frame": names.index(name),
                "game": game,
            }
            for name, game in rows
        ]
        # A row of its own in the legend, without a curve.
        series += [
            {
                "label": f"{self._methods[name].title}: {board.refused[name]}",
                "note": "",
                "frame": names.index(name),
                "game": "",
            }
            for name in refused
        ]
        y = [target_values[names.index(name), list(GAMES).index(game)] for name, game in rows]
        y += [np.full(len(fractions), np.nan, dtype=np.float32) for _ in refused]
        # Hidden curves are rows: with other rows the same curves stay hidden.
        gone = {old["label"] for row, old in enumerate(self.curves.series) if row in self.curves.hidden}
        with self.curves.hold_sync():
            self.curves.series = series
            self.curves.hidden = [row for row, entry in enumerate(series) if entry["label"] in gone]
            self.curves.x = fractions
            self.curves.y = np.stack(y) if y else np.zeros((0, len(fractions)), dtype=np.float32)
        with self.scores.hold_sync():
            self.scores.target, self.scores.value_limits = board.target, self._limits(values, target_values)
            self.scores.x = fractions
            self.scores.indices, self.scores.values, self.scores.target_values = (
                indices,
                values,
                target_values,
            )

    def _draw_maps(self, board: _Board, names: list[str]) -> None:
        height, width = self._x.shape[2:]
        maps = np.full((len(names), height, width), np.nan, dtype=np.float32)
        # A rank that no fraction reaches: a method that is not computed replaces nothing.
        ranks = np.full((len(names), height, width), height * width, dtype=np.int32)
        for name, result in board.results.items():
            maps[names.index(name)], ranks[names.index(name)] = result.saliency, result.ranks
        self.heatmap.maps = maps
        self.masked.ranks = ranks
        active = [names.index(name) for name in board.chosen if name not in board.refused]
        if active and self.curves.frame not in active:
            for part in (self.curves, self.heatmap, self.masked, self.scores):
                part.frame = active[0]


def _as_arrays(saliency: Tensor, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The map in the resolution of the image, and the order of its pixels, both (H, W)."""
    saliency = resize_map(saliency, size)
    return saliency[0].float().cpu().numpy(), ordering(saliency)[0].cpu().numpy()
