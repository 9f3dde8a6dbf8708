"""Live deletion and insertion curves of several methods on one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from ipywidgets import HBox, Layout, VBox
from torch import Tensor
from traitlets import Int, TraitError, validate
from traitlets import link as link_in_python

from xai_widgets.attribution import METHODS, Method, as_method
from xai_widgets.metrics import Curve, at_size, blur, default_steps, deletion, insertion, ordering
from xai_widgets.model import ImageModel, Target
from xai_widgets.run import Run, Status, Worker
from xai_widgets.views import (
    ClassPicker,
    CurveView,
    HeatmapView,
    MethodPicker,
    OrderedMaskView,
    RunBar,
    ScoresView,
    View,
    link,
)

#: The games, in the order of the second axis of every array sent to the views.
GAMES: dict[str, Callable[..., Run[Curve]]] = {"deletion": deletion, "insertion": insertion}

#: What is computed at once if no methods are named; the others wait to be chosen.
CHOSEN = ("gradient", "guided_backprop", "integrated_gradients", "grad_cam")

#: How many classes the bars show.
TOP = 5

MethodLike = str | Method | Callable[..., Any] | tuple[str, Callable[..., Any]]


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


class DeletionExplorer(VBox):
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

    target = Int(0, help="The class whose score is followed.")
    _parts: tuple[View, ...]

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
        # First of all: a constructor that raises is closed too.
        self._worker, self._parts = Worker(), ()
        if not isinstance(model, ImageModel):
            raise TypeError(
                f"model is {type(model).__name__}, wanted an ImageModel: ImageModel(module, mean=, std=)"
            )
        self.model = model
        self._methods = _by_name(METHODS.values() if methods is None else methods)
        self._x = _one_image(model, image)
        self._steps = default_steps(self._x[0, 0].numel()) if steps is None else steps
        self._batch_size = batch_size
        self._cache: dict[int, dict[str, _Result]] = {}
        index = int(model.targets(target, self._x)[0])
        # A game is refused here, where it can be read, if its steps or its batches make none.
        deletion(model, self._x, self._x.mean(1), index, steps=self._steps, batch_size=batch_size)
        titles = {name: method.title for name, method in self._methods.items()}
        chosen = [name for name in self._methods if methods is not None or name in CHOSEN]

        self.class_picker = ClassPicker(labels=model.labels, target=index)
        self.method_picker = MethodPicker(options=list(titles), labels=titles, selected=chosen)
        self.run_bar = RunBar()
        self.heatmap = HeatmapView(names=list(titles.values()), fade=True, opacity=0.9, width=400)
        self.masked = OrderedMaskView(width=400, title="Image at the cursor")
        self.scores = ScoresView(labels=model.labels, target=index, title="Best classes at the cursor")
        self.curves = CurveView(x_label="share of pixels", y_label="probability")
        self._parts = (
            self.class_picker, self.method_picker, self.run_bar,
            self.heatmap, self.masked, self.curves, self.scores,
        )  # fmt: skip
        views = self.curves, self.heatmap, self.masked, self.scores
        for name in ("frame", "game", "fraction", "position"):
            link(*[(view, name) for view in views if view.has_trait(name)])
        super().__init__(self._layout(), **kwargs)
        self.target = index
        link_in_python((self, "target"), (self.class_picker, "target"))
        self._show_image()
        self.observe(lambda _change: self.compute(), "target")
        self.method_picker.observe(lambda _change: self.compute(), "selected")
        self.run_bar.on_run(lambda _bar: self.compute(again=True))
        self.run_bar.on_cancel(lambda _bar: self.cancel())
        if start:
            self.compute()

    def _layout(self) -> list[Any]:
        """Controls, pictures and curves, one below the other; each row breaks where the column is narrow."""
        row = Layout(flex_flow="row wrap", grid_gap="8px 16px", align_items="flex-start", overflow="hidden")
        for part, flex in (
            (self.class_picker, "1 1 220px"), (self.method_picker, "3 1 320px"),
            (self.heatmap, "2 1 240px"), (self.masked, "2 1 240px"), (self.scores, "1 1 200px"),
        ):  # fmt: skip
            part.layout = Layout(flex=flex, min_width="0", margin="0")
        self.curves.layout = Layout(width="100%", min_width="0", margin="0")
        controls = HBox([self.class_picker, self.method_picker], layout=row)
        pictures = HBox([self.heatmap, self.masked, self.scores], layout=row)
        return [controls, self.run_bar, pictures, self.curves]

    @validate("target")
    def _class_exists(self, proposal: dict[str, Any]) -> int:
        try:
            return self.model.class_index(proposal["value"])
        except ValueError as error:
            raise TraitError(str(error)) from error

    # -- the image ------------------------------------------------------------------------------------------

    @property
    def image(self) -> Tensor:
        """The image, (1, C, H, W) in [0, 1]; assign one of any kind to go on with it and its predicted class."""
        return self._x

    @image.setter
    def image(self, image: Any) -> None:
        x = _one_image(self.model, image)
        # Stopped first: a run of the old image must not draw on the new one.
        self._worker.cancel()
        self._x = x
        self._cache.clear()
        index = int(self.model.targets(None, x)[0])
        self._show_image()
        if index != self.target:
            self.target = index
        else:
            self.compute()

    def _show_image(self) -> None:
        start = self._x.expand(-1, 3, -1, -1)
        picture = _picture(start)
        self.class_picker.hints = self.model.probs(self._x)[0].tolist()
        with self.heatmap.hold_sync(), self.masked.hold_sync():
            self.heatmap.image = picture
            self.masked.image = picture
            self.masked.baselines = np.stack([np.zeros_like(picture), _picture(blur(start))])

    # -- the computation ------------------------------------------------------------------------------------

    def compute(self, *, again: bool = False) -> None:
        """Compute what is chosen and missing, in the background; replaces a computation under way.

        Parameters
        ----------
        again : bool, default False
            Whether to compute everything again, for instance after the network was trained further.
        """
        board = _Board(0, [], {})

        def on_start() -> None:
            if again:
                self._cache.clear()
            board.target, board.chosen = self.target, list(self.method_picker.selected)
            board.complete = self._cache.setdefault(board.target, {})
            board.results = dict(board.complete)
            self.run_bar.set_trait("error", "")
            self.run_bar.status, self.run_bar.progress = "running", 0.0
            self._draw(board, maps=True)

        def on_snapshot(run: Run[_Step]) -> None:
            assert run.latest is not None
            self.run_bar.progress, self.run_bar.message = run.progress, run.latest.message
            self._draw(board, maps=run.latest.new_map)

        self._worker.submit(
            lambda: self._run(board), on_start=on_start, on_snapshot=on_snapshot, on_end=self._end
        )

    def cancel(self) -> None:
        """Stop; what is computed stays."""
        self._worker.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until nothing is computed any more; False if that took longer than ``timeout`` seconds."""
        return self._worker.wait(timeout)

    def close(self) -> None:
        """Stop, and close every part."""
        self._worker.cancel()
        for part in self._parts:
            part.close()
        super().close()

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

    def _end(self, status: Status, error: BaseException | None) -> None:
        self.run_bar.status = status
        self.run_bar.message = ""
        if status == "done":
            self.run_bar.progress = 1.0
        if error is not None:
            self.run_bar.error = str(error) or type(error).__name__

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


def _by_name(methods: Any) -> dict[str, Method]:
    if isinstance(methods, str) or callable(methods):
        methods = [methods]
    made = [as_method(method) for method in methods]
    names = [method.name for method in made]
    if not made:
        raise ValueError(f"no methods were given, wanted at least one, such as {next(iter(METHODS))!r}")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two methods are named {name!r}, wanted titles that differ: (title, method)")
    return dict(zip(names, made, strict=True))


def _one_image(model: ImageModel, image: Any) -> Tensor:
    x = model.images(image)
    if len(x) != 1:
        raise ValueError(f"{len(x)} images were given, wanted one; make one explorer for each")
    return x


def _picture(x: Tensor) -> np.ndarray:
    """An image (1, 3, H, W) in [0, 1] as (H, W, 3) uint8."""
    return (x[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().cpu().numpy()


def _as_arrays(saliency: Tensor, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The map in the resolution of the image, and the order of its pixels, both (H, W)."""
    saliency = at_size(saliency, size)
    return saliency[0].float().cpu().numpy(), ordering(saliency)[0].cpu().numpy()
