"""Live deletion and insertion curves of several methods on one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
from ipywidgets import HBox, Layout
from torch import Tensor

from xai_widgets.attribution import METHODS
from xai_widgets.explorers.base import (
    Explorer,
    MethodLike,
    methods_by_name,
    picture,
    row_layout,
    stretch,
)
from xai_widgets.metrics import Curve, at_size, blur, default_steps, deletion, insertion, ordering
from xai_widgets.model import ImageModel, Target
from xai_widgets.run import Run
from xai_widgets.views import CurveView, HeatmapView, MethodPicker, OrderedMaskView, ScoresView, link

#: The games, in the order of the second axis of every array sent to the views.
GAMES: dict[str, Callable[..., Run[Curve]]] = {"deletion": deletion, "insertion": insertion}

#: What is computed at once if no methods are named; the others wait to be chosen.
CHOSEN = ("gradient", "guided_backprop", "integrated_gradients", "grad_cam")

#: How many classes the bars show.
TOP = 5


@dataclass
class _Result:
    """What is known of one method: its map, the order of the pixels, and the curves so far."""

    saliency: np.ndarray
    ranks: np.ndarray
    curves: dict[str, Curve] = field(default_factory=dict)


class _Step(NamedTuple):
    """A step of the computation, in words, and whether it brought another map."""

    message: str
    new_map: bool


@dataclass
class _Board:
    """What is shown for one class. A change of class begins a new board, so nothing of the old one can show.

    ``complete`` is where finished results are kept for the next board of the class; a change of the image drops
    it, so a late result of the old image is kept nowhere.
    """

    target: int
    chosen: list[str]
    results: dict[str, _Result]
    complete: dict[str, _Result] = field(default_factory=dict)

    def missing(self) -> list[str]:
        return [name for name in self.chosen if name not in self.results]


class DeletionExplorer(Explorer):
    """Choose methods and a class, watch deletion and insertion curves grow, and drag along them.

    The curves follow the protocol of RISE (:mod:`xai_widgets.metrics.deletion`). Dragging the cursor shows the image
    with that share of its pixels deleted, or inserted, and the best classes there. The cursor, the opacity, the
    colour map and the choice among computed curves need no kernel.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    image
        One image of any kind.
    methods : sequence, optional
        What to choose from: names of registered methods, :class:`~xai_widgets.attribution.Method` objects, or your
        own ``explain(model, x, target)``, with a title as ``(title, explain)``. All of them are computed.
        Default: every registered method, a few of them computed at once.
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

        self.method_picker = MethodPicker(options=list(titles), labels=titles, selected=chosen)
        self.heatmap = HeatmapView(names=list(titles.values()), fade=True, opacity=0.9, width=400)
        self.masked = OrderedMaskView(width=400, title="Image at the cursor")
        self.scores = ScoresView(labels=model.labels, target=self.target, title="Best classes at the cursor")
        self.curves = CurveView(x_label="share of pixels", y_label="probability")
        views = self.curves, self.heatmap, self.masked, self.scores
        for name in ("frame", "game", "fraction", "position"):
            link(*[(view, name) for view in views if view.has_trait(name)])
        self._join(self._layout(), (self.method_picker, self.heatmap, self.masked, self.curves, self.scores))
        self.method_picker.observe(lambda _change: self.compute(), "selected")
        if start:
            self.compute()

    def _layout(self) -> list[Any]:
        """Controls, pictures and curves, one below the other; each row breaks where the column is narrow."""
        stretch(
            (self.class_picker, "1 1 220px"), (self.method_picker, "3 1 320px"),
            (self.heatmap, "2 1 240px"), (self.masked, "2 1 240px"), (self.scores, "1 1 200px"),
        )  # fmt: skip
        self.curves.layout = Layout(width="100%", min_width="0", margin="0")
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
            self.masked.baselines = np.stack([np.zeros_like(shown), picture(blur(self._x)[0])])

    # -- the computation ------------------------------------------------------------------------------------

    def compute(self, *, again: bool = False) -> None:
        """Compute what is chosen and missing, in the background; see :meth:`Explorer.compute`."""
        board = _Board(0, [], {})

        def on_start() -> None:
            if again:
                self._cache.clear()
            board.target, board.chosen = self.target, list(self.method_picker.selected)
            board.complete = self._cache.setdefault(board.target, {})
            board.results = dict(board.complete)
            self.run_bar.begin()
            self._draw(board, maps=True)

        def on_snapshot(run: Run[_Step]) -> None:
            assert run.latest is not None
            self.run_bar.progress, self.run_bar.message = run.progress, run.latest.message
            self._draw(board, maps=run.latest.new_map)

        self._worker.submit(
            lambda: self._run(board), on_start=on_start, on_snapshot=on_snapshot, on_end=self.run_bar.end
        )

    def _run(self, board: _Board) -> Run[_Step]:
        x, target = self._x, board.target
        missing = board.missing()
        batches = -(-(self._steps + 1) // self._batch_size)

        def steps() -> Iterator[_Step]:
            for name in missing:
                method = self._methods[name]
                saliency = method.saliency(self.model, x, target)
                result = _Result(*_as_arrays(saliency, (x.shape[2], x.shape[3])))
                board.results[name] = result
                yield _Step(f"{method.title}: map", new_map=True)
                for game, play in GAMES.items():
                    run = play(
                        self.model,
                        x,
                        saliency,
                        target,
                        steps=self._steps,
                        batch_size=self._batch_size,
                        top=TOP,
                    )
                    for curve in run:
                        result.curves[game] = curve
                        yield _Step(f"{method.title}: {game}", new_map=False)
                board.complete[name] = result

        return Run(steps(), total=len(missing) * (1 + len(GAMES) * batches), name="deletion and insertion")

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, board: _Board, *, maps: bool) -> None:
        """Bring the views to the board, all arrays anew: what is not on the board is NaN."""
        names = list(self._methods)
        rows = [(name, game) for name in board.chosen for game in GAMES]
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
                notes[name, game] = "" if np.isnan(auc) else f"AUC {auc:.3f}"
        series = [
            {
                "label": f"{self._methods[name].title}, {game}",
                "note": notes[name, game],
                "frame": names.index(name),
                "game": game,
            }
            for name, game in rows
        ]
        y = [target_values[names.index(name), list(GAMES).index(game)] for name, game in rows]
        # Hidden curves are rows: with other rows the same curves stay hidden.
        gone = {old["label"] for row, old in enumerate(self.curves.series) if row in self.curves.hidden}
        with self.curves.hold_sync():
            self.curves.series = series
            self.curves.hidden = [row for row, entry in enumerate(series) if entry["label"] in gone]
            self.curves.x = fractions
            self.curves.y = np.stack(y) if y else np.zeros((0, len(fractions)), dtype=np.float32)
        with self.scores.hold_sync():
            self.scores.target = board.target
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
        active = [names.index(name) for name in board.chosen]
        if active and self.curves.frame not in active:
            for part in (self.curves, self.heatmap, self.masked, self.scores):
                part.frame = active[0]


def _as_arrays(saliency: Tensor, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The map in the resolution of the image, and the order of its pixels, both (H, W)."""
    saliency = at_size(saliency, size)
    return saliency[0].float().cpu().numpy(), ordering(saliency)[0].cpu().numpy()
