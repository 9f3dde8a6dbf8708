"""Live curves of several methods on images, beside random orders, and their means over a data set."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, ClassVar, get_args

import numpy as np
from torch import Tensor

from xai_widgets.core.display import single_images
from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.run import Status
from xai_widgets.core.validation import choice
from xai_widgets.explorers.default_methods import DefaultMethods, is_slow
from xai_widgets.explorers.deletion_drawing import DeletionDrawing
from xai_widgets.explorers.image_explorer import ImageExplorer
from xai_widgets.explorers.looks import Looks
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import (
    TOP,
    plain_images,
)
from xai_widgets.methods.registry import MethodLike, methods_by_name
from xai_widgets.studies.deletion import (
    FILLS,
    RANDOM,
    RANDOM_ORDERS,
    DeletionKey,
    DeletionStudy,
    Kind,
    MeanKey,
    StudyFill,
)

#: Methods that are computed by default; the others can be chosen.
DEFAULTS = DefaultMethods(
    ("gradient", "guided_backprop", "integrated_gradients", "grad_cam"),
    spare=("gradient_x_attention", "gradient_x_input", "smoothgrad", "expected_gradients"),
)

#: Default steps of a curve, a quarter of those of RISE: on two photographs and EfficientNet-Lite0 the areas under the
#: curves of the gradient and of Grad-CAM were within .002 of those of 224 steps.
STEPS = 56


class DeletionExplorer(DeletionDrawing):
    """Compare deletion and insertion, or MoRF and LeRF, of several methods while they are computed; drag along them.

    The curves follow the protocol of RISE (:mod:`xai_widgets.metrics.deletion`), or, as MoRF and LeRF with the area
    between them, ABPC, that of :mod:`xai_widgets.metrics.pixel_flipping`; they are drawn from coarse to fine, those of
    the active method first. Gray curves show pixels in random order, the mean of some orders with a band from their 5th
    to their 95th percentile; a mark in the legend names the methods that are not better. With several images, or a data
    set, the curves of the other images follow those of the shown one: the mean of each method with the 95 % interval of
    the mean, which narrows while images are added. A diamond marks where the predicted class changes. If a method is
    not defined for the network, the legend shows the reason and the others continue. Dragging the cursor, which stops
    at the computed steps, shows the image with that share of its pixels deleted, or inserted, and the best classes
    there; a click on one of them explains it. The cursor, the opacity, the color map, the choice among computed curves,
    and that between the image and the mean need no kernel.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    image
        One image or several of any kind; a strip of them chooses the one that is shown.
    methods : sequence, optional
        What to choose from: names of registered methods, :class:`~xai_widgets.methods.Method` objects, or your
        own ``explain(model, x, target)``, with a title as ``(title, explain)``. All of them are computed.
        Default: every registered method, a few of them computed at once, those that the network allows.
    target : int, str or callable, optional
        The class or a target (see :mod:`xai_widgets.targets`). Default: the predicted class.
    steps : int, optional
        Steps of a curve, 224 in RISE and 800 in MoRF. Default: 56, or the number of pixels if that is less. ABPC is a
        sum over the steps.
    kind : {"deletion", "flipping"}, default "deletion"
        Deletion and insertion of the probability, or MoRF and LeRF of the score before the softmax.
    fill : {"default", "training_mean", "mean", "blur", "noise", "black"}, default "default"
        Replacement of removed pixels, and the start of insertion: those of the protocols, which are "training_mean" for
        deletion, "blur" for insertion and random colors for MoRF and LeRF, or one for all; see
        :func:`~xai_widgets.metrics.deletion`.
    orders : int, default 10
        Number of random orders; a mean has one for each image.
    seed : int, default 0
        Seed of the random orders and of the random colors.
    data : sequence of Example or images, optional
        Images of the mean, each with its predicted class, which are read one by one. Default: the images.
    batch_size : int, optional
        Images per pass of the network. Default: those of the best throughput.
    start : bool, default True
        Whether to compute at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

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
    frame : int
        Index of the shown image.
    image_picker : GalleryView
        The images to choose from.
    kind_picker, fill_picker : SelectView
    class_picker : ClassPicker
    method_picker : MethodPicker
    display : DisplayMenu
    run_bar : RunBar

    Raises
    ------
    ValueError
        For an unknown method or class, with the nearest one, or a bad image.
    TypeError
        If ``model`` is not an ImageModel, or a method cannot be called.

    Examples
    --------
    >>> DeletionExplorer(model, "photo.jpg", methods=["gradient", ("mine", my_explainer)])
    >>> DeletionExplorer(model, ["cat.jpg", "dog.jpg"], data=validation_set)
    """

    question: ClassVar[str] = "Which map finds the pixels that matter?"
    hint: ClassVar[str] = "Drag the line in the plot."
    kernel_controls: ClassVar[tuple[str, ...]] = (
        *ImageExplorer.kernel_controls,
        *("method_picker", "kind_picker", "fill_picker", "image_picker"),
    )

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        image: Any,
        methods: Sequence[MethodLike] | None = None,
        *,
        target: Target = None,
        steps: int | None = None,
        kind: Kind = "deletion",
        fill: StudyFill = "default",
        orders: int = RANDOM_ORDERS,
        seed: int = 0,
        data: Any = None,
        batch_size: int | None = None,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, image, target=target, **kwargs)
        choice(kind, "kind", get_args(Kind))
        choice(fill, "fill", FILLS)
        self._adopt_images()
        self._methods = methods_by_name(DEFAULTS.options() if methods is None else methods)
        self._steps = min(STEPS, self._x[0, 0].numel()) if steps is None else steps
        self._options: dict[str, Any] = {"batch_size": batch_size, "orders": orders, "seed": seed}
        plain = isinstance(data, str | list | tuple | np.ndarray | Tensor) or not hasattr(data, "__len__")
        # Any other sequence is a data set, which is read one by one.
        self._data = list(single_images(plain_images(data))) if data is not None and plain else data
        self.study = self._make_study()
        chosen = [name for name in self._methods if methods is not None or name in DEFAULTS.names]
        #: The choice as long as the user has made none.
        self._default: list[str] | None = chosen if methods is None else None
        self._looks = Looks()
        self._make_views(chosen, kind, fill)
        self._assemble(self._layout())
        self.method_picker.observe(lambda _change: self._on_methods(), "selected")
        self.kind_picker.observe(lambda _change: self._on_kind(), "value")
        self.fill_picker.observe(lambda _change: self._on_fill(), "value")
        self.image_picker.observe(lambda change: self._on_picked(change["new"]), "frame")
        self.observe(lambda _change: self._on_frame(), "frame")
        self.observe(lambda change: self._classes.update({self.frame: change["new"]}), "target")
        if start:
            self.compute()

    # -- the computation ------------------------------------------------------------------------------------

    def _make_study(self) -> DeletionStudy:
        return DeletionStudy(
            self.model,
            self._images,
            self._methods,
            curve_steps=self._steps,
            top=TOP,
            data=self._data,
            **self._options,
        )

    def _key(self, name: str) -> DeletionKey:
        return DeletionKey(name, self.target, self.frame, self._kind, self.fill_picker.value)

    def _keys(self) -> list[DeletionKey | MeanKey]:
        # In the order of the legend, but methods of many passes come last, and the other images after the shown one.
        keys: list[DeletionKey | MeanKey] = [*self._shown_keys(), *self._mean_keys()]
        return sorted(keys, key=lambda key: (isinstance(key, MeanKey), self._is_slow(key.method)))

    def _is_slow(self, name: str) -> bool:
        return name != RANDOM and is_slow(self._methods[name])

    def _shown_keys(self) -> list[DeletionKey]:
        """Return the keys of the chosen methods, followed by the random order."""
        names = self._chosen_methods()
        return [self._key(name) for name in [*names, *([RANDOM] if names else [])]]

    def _mean_keys(self) -> list[MeanKey]:
        """Return the keys of the means over the data set, if there are several images."""
        if self.study.count < 2:
            return []
        return [MeanKey(key.method, key.kind, key.fill) for key in self._shown_keys()]

    def _chosen_methods(self) -> list[str]:
        """Return the chosen methods; of a default choice those that failed are replaced by others."""
        names = list(self.method_picker.selected)
        if names != self._default:
            return names
        return DEFAULTS.replaced(lambda name: self.study.outcome(self._key(name)).error)

    def _choose(self, keys: Collection[DeletionKey | MeanKey]) -> DeletionKey | MeanKey:
        """Return the active method first, then rough curves before fine ones, and methods of many passes last.

        Means come after the shown image, that of the fewest images first.
        """
        rows = [*self._methods, RANDOM]
        active = rows[self.curves.frame] if 0 <= self.curves.frame < len(rows) else None

        def order(key: DeletionKey | MeanKey) -> tuple[float, ...]:
            slow = self._is_slow(key.method)
            if isinstance(key, MeanKey):
                result = self.study.result(key)
                return 2 + slow, 0 if result is None else result.done, key.method != active
            first = key.method == active
            return slow and not first, not self.study.is_rough(key), not first

        return min(keys, key=order)

    def _replacements(self, key: DeletionKey | MeanKey) -> Iterable[DeletionKey | MeanKey]:
        return self._keys()

    def _failures(self) -> dict[str, str]:
        shown = map(self._key, dict.fromkeys([*self.method_picker.selected, *self._chosen_methods()]))
        failed = self.study.failures([*self._mean_keys(), *shown])
        return {self.study.title(key): error for key, error in failed.items()}

    def _message(self, key: DeletionKey | MeanKey) -> str:
        outcome = self.study.outcome(key)
        if isinstance(key, MeanKey):
            done = 0 if outcome.result is None else outcome.result.done
            return f"{self.study.title(key)}: {done} of {self.study.count} images"
        last = list(outcome.result.curves)[-1:] if outcome.result is not None else ["failed"]
        return f"{self.study.title(key)}: {(last or ['map'])[0]}"

    def _after(self, status: Status) -> None:
        names = self._chosen_methods()
        if status == "done" and self._default and names != self._default:
            self._default = [name for name in self._methods if name in names]
            self.method_picker.selected = self._default

    def _on_methods(self) -> None:
        # A method that replaced a failed one is computed already.
        if list(self.method_picker.selected) != self._default:
            self._default = None
            self.compute()
