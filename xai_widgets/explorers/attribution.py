"""A table of attribution maps: methods by images, by layers or by classes, computed cell by cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

from ipywidgets import Checkbox, HBox, Layout
from torch import Tensor
from traitlets import Int, validate

from xai_widgets.core.model import ImageModel, Target, check_model
from xai_widgets.core.run import Run, Status, Worker
from xai_widgets.core.validation import check_finite
from xai_widgets.explorers.attribution_table import (
    LAYERS,
    Board,
    Column,
    Key,
    check_layers,
    compute_cell,
    spread,
    takes_layer,
)
from xai_widgets.explorers.base import (
    MethodLike,
    existing_class,
    methods_by_name,
    picture,
    row_layout,
    stretch,
)
from xai_widgets.explorers.computing import Computing
from xai_widgets.explorers.explorer import Choice
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.search import dropdown
from xai_widgets.methods import METHODS
from xai_widgets.views import ClassPicker, GalleryView, MapGridView, MethodPicker, RunBar, SliderView
from xai_widgets.views.map_grid_view import MapCell
from xai_widgets.views.shown import lay_out

Across = Literal["images", "layers", "classes"]

#: What is computed at once if no methods are named; the others wait to be chosen.
CHOSEN = (
    *("gradient", "guided_backprop", "integrated_gradients"),
    *("grad_cam", "excitation_backprop", "lrp"),
)
#: Width of the pictures to choose from, CSS px.
THUMBNAIL = 64


class AttributionExplorer(Computing):
    """Compare attribution methods: a table of maps with methods in rows, and images, layers or classes in columns.

    Maps are computed one by one in the background, that of the cell under the hand first, then those on the screen,
    and kept: another class, layer or choice of methods shows at once what is there. A method that fails says why in its
    cells, and the others go on. Enlarging, values under the pointer, colors and the agreement of maps need no kernel;
    see :class:`~xai_widgets.views.MapGridView` for what the hand does.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    images
        One image or several, of any kind.
    methods : sequence, optional
        What to choose from: names of registered methods, :class:`~xai_widgets.methods.Method` objects, or your own
        ``explain(model, x, target)``, with a title as ``(title, explain)``; whatever
        :func:`~xai_widgets.methods.as_method` takes. All of them are computed. Default: every registered method, a
        few of them computed at once.
    layers : str or sequence of str, optional
        Layers to choose from, for methods that take one. Default: all blocks and their direct parts that have places;
        as columns at most six of them, evenly.
    target : int, str or sequence of these, optional
        The class of all images, or the own class of each. Default: the predicted class of each.
    across : {"images", "layers", "classes"}, default "images"
        What the columns are. Layers: the one that each method takes by itself, then those of `layers`; a method that
        takes none stands in the first column alone. Classes: the most probable ones, and the chosen one.
    top : int, default 4
        How many of the most probable classes are columns.
    names : sequence of str, optional
        What each image is called.
    start : bool, default True
        Whether to compute at once; otherwise the button starts.

    Attributes
    ----------
    target : int or None
        The class of all images; None: the own class of each, predicted unless given.
    view : MapGridView
        The table; its `position` may be linked to that of other views.
    class_picker : ClassPicker
    own_picker : ipywidgets.Checkbox
        Whether each image has its own class.
    across_picker : ipywidgets.Dropdown
        What the columns are.
    layer_slider : SliderView
        The layer of methods that take one; at the first stop each takes its own.
    image_picker : GalleryView
        The image whose layers or classes are shown.
    method_picker : MethodPicker
    run_bar : RunBar

    Raises
    ------
    ValueError
        For an unknown method, layer or class, with the nearest one, or bad images.
    TypeError
        If ``model`` is no ImageModel, or a method cannot be called.

    Examples
    --------
    >>> AttributionExplorer(model, photos, methods=["lrp", "grad_cam", ("mine", my_explainer)])
    >>> AttributionExplorer(model, photo, across="layers", layers=["layer1", "layer4"])
    """

    kernel_controls: ClassVar[tuple[str, ...]] = (
        *("class_picker", "own_picker", "across_picker", "method_picker"),
        *("layer_slider", "image_picker", "run_bar"),
    )

    shared: ClassVar[Mapping[str, str]] = {
        "frame": "image_picker.frame",
        "target": "target",
        "layer": "layer",
    }

    target = Int(None, allow_none=True, help="The class of all images; None: the own class of each.")

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        images: Any,
        methods: Sequence[MethodLike] | None = None,
        layers: str | Sequence[str] | None = None,
        *,
        target: Target = None,
        across: Across = "images",
        top: int = 4,
        names: Sequence[str] | None = None,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        # First of all: a constructor that raises is closed too.
        self._worker = Worker()
        check_model(model)
        if across not in get_args(Across):
            raise ValueError(f"across is {across!r}, wanted one of {', '.join(get_args(Across))}")
        if top < 1:
            raise ValueError(f"top is {top}, wanted at least 1")
        self.model = model
        self._methods = methods_by_name(METHODS.values() if methods is None else methods)
        self._layers = check_layers(model, layers)
        self._columns = spread(self._layers, LAYERS) if layers is None else self._layers
        self._shapes = {layer.name: layer.shape for layer in model.layers()}
        self._top = top
        one = isinstance(target, str) or not (target is None or hasattr(target, "__iter__"))
        self._take(images, None if one else target)
        super().__init__(**kwargs)
        if one:
            self.target = model.class_index(target)
        self._names = list(names or ())
        chosen = [name for name in self._methods if methods is not None or name in CHOSEN]
        self._make_views(chosen, across)
        self._join()
        if start:
            self.compute()

    def _take(self, images: Any, own: Target) -> None:
        self._x = self.model.images(images)
        scores = self._look()
        best = scores.argmax(1) if own is None else self.model.targets(own, self._x)
        self._classes: list[int] = best.tolist()
        # Another dictionary: a late map of the images before is kept nowhere.
        self._cells: dict[Key, Any] = {}

    def _look(self) -> Tensor:
        """Ask the network for the scores of all images."""
        scores = self.model.scores(self._x)
        self._values = self.model.probabilities(scores)
        #: Why there can be no map of an image, for those of which the network says nothing.
        self._silent: dict[int, str] = {}
        for image, values in enumerate(self._values):
            try:
                check_finite(values, self.model.name)
            except ValueError as error:
                self._silent[image] = str(error)
        return scores

    def _make_views(self, chosen: Sequence[str], across: str) -> None:
        titles = {name: method.title for name, method in self._methods.items()}
        self.class_picker = ClassPicker(labels=self.model.labels)
        self.own_picker = Checkbox(
            description="each image's own class", indent=False, layout=Layout(width="auto")
        )
        self.across_picker = dropdown("columns", get_args(Across), across)
        self.method_picker = MethodPicker(options=list(titles), labels=titles, selected=list(chosen))
        stops = ["each method's own", *self._layers]
        self.layer_slider = SliderView(label="Layer", values=range(len(stops)), labels=stops)
        self.image_picker = GalleryView(frame=0, size=THUMBNAIL, title="Image")
        self.run_bar = RunBar()
        self.view = MapGridView()

    def _join(self) -> None:
        stretch((self.class_picker, "2 1 220px"))
        for part in (self.layer_slider, self.run_bar, self.image_picker, self.view):
            lay_out(part, width="100%", min_width="0", margin="0")
        # A catalogue of all methods is long, above all in a narrow column.
        lay_out(self.method_picker, width="100%", margin="0 0 6px", max_height="160px", overflow="auto")
        controls = [self.class_picker, self.own_picker, self.across_picker]
        row = HBox(controls, layout=row_layout())
        row.layout.align_items = "center"
        below = self.method_picker, self.layer_slider, self.image_picker, self.run_bar, self.view
        self._adopt(row, *below)
        self.children = [row, *below]
        self._show_images()
        self._show_class()
        self.class_picker.observe(self._on_class, "target")
        self.own_picker.observe(self._on_own, "value")
        self.observe(lambda _change: self._on_choice(), "target")
        self.image_picker.observe(lambda _change: self._on_choice(), "frame")
        for part, name in (
            (self.across_picker, "value"),
            (self.method_picker, "selected"),
            (self.layer_slider, "frame"),
        ):
            part.observe(lambda _change: self.compute(), name)
        # After a stop the button goes on; after the end it begins anew.
        self.run_bar.on_run(lambda _bar: self.compute(again=self._worker.status == "done"))
        self.run_bar.on_cancel(lambda _bar: self.cancel())

    @classmethod
    def from_choice(cls, model: ImageModel, choice: Choice, **options: Any) -> AttributionExplorer:
        """Return an explorer of all images of a dashboard."""
        return cls(model, choice.images, **{"names": choice.names or None, **options})

    @property
    def layer(self) -> str:
        """The layer of methods that take one; "" if each takes its own."""
        stop = self.layer_slider.frame
        return self.layer_slider.labels[stop] if stop > 0 else ""

    @layer.setter
    def layer(self, name: str) -> None:
        if name in self.layer_slider.labels:
            self.layer_slider.frame = self.layer_slider.labels.index(name)

    # -- what is chosen -------------------------------------------------------------------------------------

    @validate("target")
    def _class_exists(self, proposal: dict[str, Any]) -> int:
        return existing_class(self.model, proposal["value"])

    @property
    def images(self) -> Tensor:
        """The images, (N, C, H, W) in [0, 1]; assign any others to go on with them and their predicted classes."""
        return self._x

    @images.setter
    def images(self, images: Any) -> None:
        # Stopped first: a run of the old images must not draw on the new ones.
        self._worker.cancel()
        self._take(images, None)
        self._names = []
        self._show_images()
        self._on_choice()

    def _image(self) -> int:
        """The image whose layers or classes are shown."""
        return min(max(self.image_picker.frame, 0), len(self._x) - 1)

    def _on_choice(self) -> None:
        self._show_class()
        self.compute()

    def _on_class(self, change: dict[str, Any]) -> None:
        # Without a class of all the picker shows that of the image, which chooses nothing.
        if self.target is not None or change["new"] != self._classes[self._image()]:
            self.target = change["new"]

    def _on_own(self, change: dict[str, Any]) -> None:
        self.target = None if change["new"] else self.class_picker.target

    def _show_class(self) -> None:
        image = self._image()
        self.class_picker.hints = self._values[image].tolist()
        # The class first: when the box is left empty, the class is that of the picker.
        self.class_picker.target = self._classes[image] if self.target is None else self.target
        self.own_picker.value = self.target is None

    def _show_images(self) -> None:
        self._pictures = picture(self._x)
        # The very same arrays again and again: a table that shows one of them is not sent it at every map.
        self._single = [self._pictures[image : image + 1] for image in range(len(self._x))]
        self.image_picker.pictures = self._pictures
        self.image_picker.captions = [self._name(image) for image in range(len(self._x))]

    def _name(self, image: int) -> str:
        return str(self._names[image]) if image < len(self._names) else f"image {image + 1}"

    def _make_columns(self) -> list[Column]:
        across, image = self.across_picker.value, self._image()

        def class_of(number: int) -> int:
            return self._classes[number] if self.target is None else self.target

        def value(number: int, target: int) -> str:
            made = self._values[number, target].item()
            return f"{made:.0%}" if self.model.has_probabilities else f"{made:.3g}"

        if across == "layers":
            target = class_of(image)
            own = Column("own layer", "of each method", image, target)
            return [
                own,
                *(
                    Column(name, " × ".join(map(str, self._shapes[name])), image, target, name)
                    for name in self._columns
                ),
            ]
        if across == "classes":
            best = self._values[image].topk(min(self._top, len(self.model.labels))).indices.tolist()
            chosen = class_of(image)
            classes = best if chosen in best else [*best, chosen]
            return [Column(self.model.labels[index], value(image, index), image, index) for index in classes]
        made = []
        for number in range(len(self._x)):
            target = class_of(number)
            words = f"{self.model.labels[target]} {value(number, target)}"
            made.append(Column(self._name(number), words, number, target))
        return made

    def _make_board(self) -> Board:
        rows = list(self.method_picker.selected)
        columns = self._make_columns()
        by_layers = self.across_picker.value == "layers"
        stop = self.layer_slider.frame
        slid = self._layers[stop - 1] if stop > 0 and not by_layers else None

        def key_of(name: str, column: Column) -> Key | None:
            takes = takes_layer(self._methods[name])
            if column.layer is not None and not takes:
                return None
            layer = column.layer or (slid if takes else None)
            return Key(name, column.image, column.target, layer)

        keys = [[key_of(name, column) for column in columns] for name in rows]
        by_images = self.across_picker.value == "images"
        pictures = self._pictures if by_images else self._single[self._image()]
        return Board(rows, columns, keys, pictures, self._cells)

    # -- the computation ------------------------------------------------------------------------------------

    def compute(self, *, again: bool = False) -> None:
        """Compute what is chosen and missing, in the background; replaces a computation under way.

        Parameters
        ----------
        again : bool, default False
            Whether to compute everything again, for instance after the network was trained further.
        """
        board = Board()

        def on_start() -> None:
            nonlocal board
            if again:
                self._look()
                self._cells = {}
            board = self._make_board()
            self._show_controls()
            self._draw(board)

        def on_snapshot(run: Run[str]) -> None:
            self.run_bar.progress, self.run_bar.message = run.progress, run.latest or ""
            self._draw(board)

        def on_end(status: Status, error: BaseException | None) -> None:
            board.computing = None
            self._draw(board)
            self.run_bar.label = "Compute again" if status in ("done", "error") else "Go on"

        self._submit(
            lambda: self._run(board),
            on_start=on_start,
            on_snapshot=on_snapshot,
            on_end=on_end,
            message=lambda: _refusals(board),
        )

    def _run(self, board: Board) -> Run[str]:
        x, silent = self._x, self._silent

        def steps() -> Iterator[str]:
            # What is on the screen and under the hand changes meanwhile.
            while (key := board.next((self.view.row, self.view.column), self.view.seen)) is not None:
                board.computing = key
                yield self._methods[key.method].title
                if key.image in silent:
                    board.cells[key] = MapCell("failed", note=silent[key.image])
                else:
                    board.cells[key] = compute_cell(self.model, x, self._methods, key)
                board.computing = None
            yield ""
            failed = board.failed()
            if failed and not board.done():
                raise ValueError(failed[0].note)

        return Run(steps(), total=len(board.missing()) + 1, name="attribution")

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, board: Board) -> None:
        """Bring the table to the board; only maps that are new are sent."""
        with self.view.hold_sync():
            self.view.images = board.pictures
            self.view.show(
                list(board.shown()),
                rows=[self._methods[name].title for name in board.rows],
                columns=[column.name for column in board.columns],
                captions=[column.caption for column in board.columns],
            )

    def _show_controls(self) -> None:
        """Only those that say something about what is shown."""
        across = self.across_picker.value
        layered = any(takes_layer(self._methods[name]) for name in self.method_picker.selected)
        several = len(self._x) > 1
        self.layer_slider.layout.display = None if layered and across != "layers" else "none"
        self.image_picker.layout.display = None if several and across != "images" else "none"


def _refusals(board: Board) -> str:
    """What the run bar says of cells that failed; why stands in each."""
    failed = len(board.failed())
    return f"done, {failed} of {failed + len(board.done())} maps failed" if failed else ""
