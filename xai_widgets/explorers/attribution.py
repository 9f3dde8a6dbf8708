"""A table of attribution maps: methods by images, by layers or by classes, computed cell by cell."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

from torch import Tensor
from traitlets import Int, validate

from xai_widgets.core.display import display_images, single_images
from xai_widgets.core.model import ImageModel, Target, targeted
from xai_widgets.core.run import Status
from xai_widgets.core.validation import choice, integer
from xai_widgets.explorers.attribution_table import Board, Cells, Column
from xai_widgets.explorers.default_methods import DefaultMethods, is_slow
from xai_widgets.explorers.explorer import Choice, Explorer
from xai_widgets.explorers.layout import display_menu, header
from xai_widgets.explorers.method_choice import method_picker
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import (
    caption,
    class_picker,
    dropdown,
    existing_class,
    fill_width,
    image_names,
    show_note,
    stretch,
)
from xai_widgets.explorers.state import held
from xai_widgets.methods import MethodLike
from xai_widgets.studies import AttributionKey, AttributionStudy
from xai_widgets.studies.layers import check_layers, compared_layers
from xai_widgets.views import CheckView, GalleryView, MapGridView, RunBar

Across = Literal["images", "layers", "classes"]

#: The methods that are computed if none are named; the others can be chosen.
DEFAULTS = DefaultMethods(
    ("gradient", "guided_backprop", "integrated_gradients", "grad_cam", "excitation_backprop", "lrp"),
    spare=("attention_rollout", "gradient_x_attention", "gradient_x_input", "norm_grad", "smoothgrad"),
)
#: Columns of layers if no layers are named.
LAYERS = 5
#: Width of the images to choose from, CSS px.
THUMBNAIL = 40
#: Height of the table, CSS px: with the controls it fits into a notebook of 640 px.
HEIGHT = 480


class AttributionExplorer(Explorer):
    """Compare attribution methods: a table of maps with methods in rows, and images, layers or classes in columns.

    Maps are computed one by one in the background: first the cell under the pointer, then the visible rows, those of
    many passes last. They are
    kept, so that a class, layer or method that was chosen before is shown at once. A method that fails shows the reason
    in its cells, and the others continue. Enlarging, values under the pointer, colors and the agreement of maps need no
    kernel; see :class:`~xai_widgets.views.MapGridView`.

    Parameters
    ----------
    model : ImageModel
        The network; it is not changed.
    images
        One image or several, of any kind.
    methods : sequence, optional
        The methods to choose from: names of registered methods, :class:`~xai_widgets.methods.Method` objects, or your
        own ``explain(model, x, target)``, with a title as ``(title, explain)``; whatever
        :func:`~xai_widgets.methods.as_method` takes. All of them are computed. Default: every registered method, a
        few of them computed at once.
    layers : str or sequence of str, optional
        Layers to choose from, for methods that take one. Default: all spatial blocks and their direct parts; at most
        five blocks, evenly spaced, as columns.
    target : int, str or sequence of these, optional
        The class of all images, or one class for each. Default: the predicted class of each.
    across : {"images", "layers", "classes"}, default "images"
        The columns. Layers: the default layer of each method, then `layers`; a method that takes no layer has a map in
        the first column only. Classes: the most probable ones, and the chosen one.
    top : int, default 4
        Number of most probable classes that are columns.
    names : sequence of str, optional
        Names of the images. Default: those of their files, else "image 1", "image 2", ...
    start : bool, default True
        Whether to compute at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    target : int or None
        The class of all images; None for the class of each image, predicted unless given.
    view : MapGridView
        The table; its `position` may be linked to that of other views.
    study : AttributionStudy
        The maps.
    class_picker : ClassPicker
    own_picker : CheckView
        Whether each image has its own class.
    across_picker : SelectView
        The kind of columns.
    layer_picker : SelectView
        The layer of methods that take one; "" for the default layer of each.
    image_picker : GalleryView
        The image whose layers or classes are shown.
    method_picker : MethodPicker
    display : DisplayMenu
    run_bar : RunBar

    Raises
    ------
    ValueError
        For an unknown method, layer or class, with the nearest one, or bad images.
    TypeError
        If ``model`` is not an ImageModel, or a method cannot be called.

    Examples
    --------
    >>> AttributionExplorer(model, photos, methods=["lrp", "grad_cam", ("mine", my_explainer)])
    >>> AttributionExplorer(model, photo, across="layers", layers=["layer1", "layer4"])
    """

    question: ClassVar[str] = "Which pixels does the score come from?"
    hint: ClassVar[str] = "Click a map to enlarge it; pin two to compare them."
    kernel_controls: ClassVar[tuple[str, ...]] = (
        *("class_picker", "own_picker", "across_picker", "method_picker"),
        *("layer_picker", "image_picker", "run_bar"),
    )
    shared: ClassVar[Mapping[str, str]] = {
        "frame": "image_picker.frame",
        "target": "target",
        "layer": "layer",
    }

    target = Int(None, allow_none=True, help="The class of all images; None: the class of each image.")

    study: AttributionStudy

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
        self._start_worker()
        self.caption = caption()
        model, target = targeted(model, target)
        choice(across, "across", get_args(Across))
        self._top = integer(top, "top", low=1)
        self.model = model
        one_class = isinstance(target, str) or not (target is None or hasattr(target, "__iter__"))
        options = DEFAULTS.options() if methods is None else methods
        self._names = image_names(images, names)
        self._take_images(images, None if one_class else target, options)
        self._layers = check_layers(model, layers)
        self._columns = compared_layers(model, LAYERS) if layers is None else self._layers
        self._shapes = {
            layer.name: (layer.channels, layer.grid.height, layer.grid.width)
            for layer in model.layers()
            if layer.grid is not None
        }
        super().__init__(**kwargs)
        if one_class:
            self.target = model.class_index(target)
        chosen = [name for name in self.study.methods if methods is not None or name in DEFAULTS.names]
        #: The choice as long as the user has made none.
        self._default: list[str] | None = chosen if methods is None else None
        self._make_views(chosen, across)
        self._connect()
        if start:
            self.compute()

    def _take_images(self, images: Any, classes: Target, methods: Sequence[MethodLike] | None) -> None:
        # A new study: a map of the earlier images that is still being computed is not kept here.
        self._display, notes = display_images(self.model, images)
        show_note(self.caption, notes)
        self.study = AttributionStudy(self.model, self.model.images(images), methods)
        self._cells = Cells(self.study)
        scores = self._show_scores()
        best = scores.argmax(1) if classes is None else self.model.targets(classes, self.images)
        self._classes: list[int] = best.tolist()

    def _show_scores(self) -> Tensor:
        """Compute the scores of all images again, and return them."""
        self.study.renew_scores()
        scores = self.study.all_scores()
        self._values = self.model.probabilities(scores)
        return scores

    def _make_views(self, chosen: Sequence[str], across: str) -> None:
        self.class_picker = class_picker(self.model)
        self.own_picker = CheckView(
            title="predicted for each image", help="Explain the predicted class of each image"
        )
        self.across_picker = dropdown("Compare across", get_args(Across), across)
        self.method_picker = method_picker(self.study.methods, chosen, self.model)
        self.layer_picker = dropdown("Layer", ["", *self._layers], "", labels={"": "default"})
        self.image_picker = GalleryView(frame=0, size=THUMBNAIL, title="Image", compact=True)
        self.run_bar = RunBar()
        self.view = MapGridView(height=HEIGHT)
        self.display = display_menu(self.view)

    def _connect(self) -> None:
        fill_width(self.image_picker, self.view)
        self._show_images()
        self._show_class()
        self._board = self._make_board()
        controls = header(
            *(self.class_picker, self.own_picker, self.method_picker, self.across_picker),
            *(self.layer_picker, self.display, self.run_bar),
        )
        # A label of two words is read in full.
        stretch((self.class_picker, "2 1 250px"))
        self._assemble([controls, self.image_picker, self.view, self.caption])
        self.class_picker.observe(self._on_class, "target")
        self.own_picker.observe(self._on_own, "value")
        self.observe(lambda _change: self._on_choice(), "target")
        self.image_picker.observe(lambda _change: self._on_choice(), "frame")
        self._compute_on_change(
            (self.across_picker, "value"), (self.method_picker, "selected"), (self.layer_picker, "value")
        )

    @classmethod
    def from_choice(cls, model: ImageModel, choice: Choice, **options: Any) -> AttributionExplorer:
        """Return an explorer of all images of a dashboard."""
        return cls(model, choice.originals, **{"names": choice.names or None, **options})

    @property
    def layer(self) -> str:
        """The layer of methods that take one; "" for the default layer of each."""
        return self.layer_picker.value

    @layer.setter
    def layer(self, name: str) -> None:
        if name in self.layer_picker.options:
            self.layer_picker.value = name

    # -- the choice -----------------------------------------------------------------------------------------

    @validate("target")
    def _class_exists(self, proposal: dict[str, Any]) -> int:
        return existing_class(self.model, proposal["value"])

    @property
    def images(self) -> Tensor:
        """The images, (N, C, H, W) in [0, 1]; assign others to replace them, with their predicted classes."""
        return self.study.images

    @images.setter
    def images(self, images: Any) -> None:
        # Canceled first: a run about the old images must not draw on the new ones.
        self._worker.cancel()
        self._take_images(images, None, list(self.study.methods.values()))
        self._names = image_names(images)
        self._replace_argument("images", images)
        self._show_images()
        self._on_choice()

    def _opens(self) -> bool:
        return True

    def _open_image(self, image: Any) -> None:
        """Add an image of the user to the others."""
        given = (self._arguments or {}).get("images", [])
        self.images = [*single_images(given), image]

    def _image(self) -> int:
        """Return the index of the image whose layers or classes are shown."""
        return min(max(self.image_picker.frame, 0), len(self.images) - 1)

    def _on_choice(self) -> None:
        self._show_class()
        self.compute()

    def _on_class(self, change: dict[str, Any]) -> None:
        # While each image has its own class, the picker shows that of the image, which is not a choice.
        if self.target is not None or change["new"] != self._classes[self._image()]:
            self.target = change["new"]

    def _on_own(self, change: dict[str, Any]) -> None:
        self.target = None if change["new"] else self.class_picker.target

    def _show_class(self) -> None:
        image = self._image()
        self.class_picker.probabilities = self._values[image].tolist()
        # The class first: when the box is unchecked, the class is that of the picker.
        self.class_picker.target = self._class_of(image)
        self.own_picker.value = self.target is None

    def _show_images(self) -> None:
        self._pixels = self._display
        # The same arrays every time, so that a table of one image is not sent it with every map.
        self._single = [self._pixels[image : image + 1] for image in range(len(self.images))]
        self.image_picker.images = self._pixels
        self.image_picker.labels = [self._name(image) for image in range(len(self.images))]

    def _name(self, image: int) -> str:
        return self._names[image]

    def _class_of(self, image: int) -> int:
        return self._classes[image] if self.target is None else self.target

    def _make_columns(self) -> list[Column]:
        across, image = self.across_picker.value, self._image()

        def value(number: int, target: int) -> str:
            probability = self._values[number, target].item()
            if not self.model.has_probabilities:
                return f"{probability:.3g}"
            return "< 1 %" if 0 < probability < 0.005 else f"{100 * probability:.0f} %"

        if across == "layers":
            target = self._class_of(image)
            shapes = {name: " × ".join(map(str, self._shapes[name])) for name in self._columns}
            return [
                Column("own layer", "of each method", image, target),
                *(Column(name, shape, image, target, name) for name, shape in shapes.items()),
            ]
        if across == "classes":
            best = self._values[image].topk(min(self._top, len(self.model.labels))).indices.tolist()
            classes = dict.fromkeys([*best, self._class_of(image)])
            return [Column(self.model.labels[index], value(image, index), image, index) for index in classes]
        columns = []
        for number in range(len(self.images)):
            target = self._class_of(number)
            caption = f"{self.model.labels[target]} {value(number, target)}"
            columns.append(Column(self._name(number), caption, number, target))
        return columns

    def _make_board(self) -> Board:
        rows = list(self.method_picker.selected)
        columns = self._make_columns()
        by_layers = self.across_picker.value == "layers"
        chosen = None if by_layers else self.layer or None

        def key_of(name: str, column: Column) -> AttributionKey | None:
            method = self.study.methods[name]
            if column.layer is not None and not method.accepts_layer:
                return None
            layer = column.layer or (chosen if method.takes_layer else None)
            return AttributionKey(name, column.image, column.target, layer)

        keys = [[key_of(name, column) for column in columns] for name in rows]
        by_images = self.across_picker.value == "images"
        return Board(rows, columns, keys, self._pixels if by_images else self._single[self._image()])

    # -- the computation ------------------------------------------------------------------------------------

    @held
    def compute(self, *, again: bool = False) -> None:
        """Compute the missing maps in the background; replaces a computation that is running.

        Parameters
        ----------
        again : bool, default False
            Whether to compute all maps again, for instance after the network was trained further.
        """
        if again:
            self._show_scores()
        self._board = self._make_board()
        self._show_controls()
        super().compute(again=again)

    def _renew(self) -> None:
        self._show_scores()

    def _keys(self) -> Collection[AttributionKey]:
        return self._board.positions

    def _choose(self, keys: Collection[AttributionKey]) -> AttributionKey:
        slow = {name for name in self._board.rows if is_slow(self.study.methods[name])}
        # The pointer and the visible rows change meanwhile.
        return self._board.first(keys, (self.view.row, self.view.column), self.view._visible_rows, slow)

    def _message(self, key: AttributionKey) -> str:
        return self.study.title(key)

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, changed: AttributionKey | None = None) -> None:
        """Show the board in the table; only new maps are sent."""
        board, computing = self._board, changed
        if changed is not None and self.study.outcome(changed).complete:
            left = [key for key in self._keys() if not self.study.outcome(key).complete]
            computing = self._choose(left) if left else None
        errors = {name: self._error(name) for name in self.study.methods}
        self.method_picker.notes = {name: error for name, error in errors.items() if error}
        with self.view.hold_sync():
            self.view.images = board.pixels
            self.view.show(
                [[self._cells.cell(key, computing=key == computing) for key in row] for row in board.keys],
                row_labels=[self.study.methods[name].title for name in board.rows],
                row_signs=[self.study.methods[name].sign for name in board.rows],
                column_labels=[column.name for column in board.columns],
                column_captions=[column.caption for column in board.columns],
            )

    def _after(self, status: Status) -> None:
        if status == "cancelled":
            # No map is being computed any more.
            self._draw()
        if status == "done" and self._default == self.method_picker.selected:
            replaced = DEFAULTS.replaced(self._error)
            self._default = [name for name in self.study.methods if name in replaced]
            self.method_picker.selected = self._default

    def _error(self, name: str) -> str:
        """Return the reason why a method has no map of any image; "" if it has one or was not tried."""
        outcomes = [outcome for key, outcome in self.study.store.items() if key.method == name]
        complete = outcomes and all(outcome.complete and outcome.error for outcome in outcomes)
        return outcomes[0].error if complete else ""

    def _show_controls(self) -> None:
        """Hide the controls that have no effect on the table."""
        across = self.across_picker.value
        takes_layer = any(self.study.methods[name].takes_layer for name in self.method_picker.selected)
        several = len(self.images) > 1
        self.layer_picker.layout.display = None if takes_layer and across != "layers" else "none"
        self.own_picker.layout.display = None if several else "none"
        self.image_picker.layout.display = None if several and across != "images" else "none"
