"""What explorers share: one network, one image, one class, a worker with its run bar, and the parts they close."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from ipywidgets import Layout
from numpy.typing import NDArray
from torch import Tensor
from traitlets import Int, TraitError, validate
from traitlets import link as link_in_python

from xai_widgets.core.model import ImageModel, Target, check_model
from xai_widgets.core.run import Run, Worker
from xai_widgets.core.validation import check_finite
from xai_widgets.explorers.computing import Computing
from xai_widgets.methods import MethodLike, methods_by_name  # noqa: F401
from xai_widgets.views import ClassPicker, RunBar, View
from xai_widgets.views.shown import lay_out


class Explorer(Computing):
    """One network, one image and one class, about which something is computed in the background.

    A subclass makes its views after ``super().__init__`` and ends its constructor with :meth:`_join`; it computes in
    :meth:`compute`, and shows the image in :meth:`_show_image`.

    Attributes
    ----------
    target : int
        The class; assign an index to change it.
    class_picker : ClassPicker
    run_bar : RunBar
    """

    #: The parts by which the kernel is asked for something: in an exported page, which has none, they are asleep.
    _asking: ClassVar[tuple[str, ...]] = ("class_picker", "run_bar")

    target = Int(0, help="The class.")

    def __init__(self, model: ImageModel, image: Any, *, target: Target = None, **kwargs: Any) -> None:
        # First of all: a constructor that raises is closed too.
        self._worker = Worker()
        check_model(model)
        self.model = model
        self._x = one_image(model, image)
        self._scores = model.scores(self._x)
        index = self._best() if target is None else int(model.targets(target, self._x)[0])
        self.class_picker = ClassPicker(labels=model.labels, target=index)
        self.run_bar = RunBar()
        super().__init__(**kwargs)
        self.target = index

    def _join(self, children: Sequence[Any]) -> None:
        """Show the children, which are closed with the explorer, and join class and run bar to the computation."""
        self._adopt(*children)
        self.children = list(children)
        link_in_python((self, "target"), (self.class_picker, "target"))
        self._show_hints()
        self._show_image()
        self.observe(lambda _change: self.compute(), "target")
        self.run_bar.on_run(lambda _bar: self._compute_again())
        self.run_bar.on_cancel(lambda _bar: self.cancel())

    @validate("target")
    def _class_exists(self, proposal: dict[str, Any]) -> int:
        return existing_class(self.model, proposal["value"])

    @property
    def image(self) -> Tensor:
        """The image, (1, C, H, W) in [0, 1]; assign one of any kind to go on with it and its predicted class."""
        return self._x

    @image.setter
    def image(self, image: Any) -> None:
        x = one_image(self.model, image)
        scores = self.model.scores(x)
        # Stopped first: a run of the old image must not draw on the new one.
        self.cancel()
        self._x, self._scores = x, scores
        self._forget()
        self._show_hints()
        self._show_image()
        if self._best() != self.target:
            self.target = self._best()
        else:
            self.compute()

    def _try(self, make: Callable[[], Any]) -> None:
        """Make something that a constructor is to refuse; of scores that are NaN the run bar tells."""
        if bool(self._scores.isfinite().all()):
            make()

    def _best(self) -> int:
        """The predicted class."""
        return int(self._scores[0].argmax())

    def _values(self) -> NDArray[np.float32]:
        """The probability of each class for the image, or its score where the network has no probabilities."""
        values: NDArray[np.float32] = self.model.probabilities(self._scores)[0].float().cpu().numpy()
        return values

    def _limits(self, *values: Tensor | NDArray[np.float32]) -> list[float]:
        """The values of an empty and of a full bar: 0 and 1, of scores the lowest and the highest of all."""
        if self.model.has_probabilities:
            return [0.0, 1.0]
        every = np.concatenate([np.zeros(1), self._values(), *(np.ravel(one) for one in values)])
        every = every[np.isfinite(every)]
        return [float(every.min()), float(every.max() if every.max() > every.min() else every.min() + 1)]

    def _show_hints(self) -> None:
        self.class_picker.hints = self._values().tolist()

    def _compute_again(self) -> None:
        """Compute for a network that may have been trained further."""
        self._scores = self.model.scores(self._x)
        self._show_hints()
        self.compute(again=True)

    def _submit(self, make_run: Callable[[], Run[Any]], **callbacks: Any) -> None:
        """Compute, unless the network says nothing about the image; see :meth:`Computing._submit`."""

        def checked() -> Run[Any]:
            scores = self._scores
            # What was no number may be one since.
            check_finite(
                scores if bool(scores.isfinite().all()) else self.model.scores(self._x), self.model.name
            )
            return make_run()

        super()._submit(checked, **callbacks)

    def _forget(self) -> None:
        """Drop what was computed for the image before."""

    def _show_image(self) -> None:
        """Bring the views to the image."""
        raise NotImplementedError

    def compute(self, *, again: bool = False) -> None:
        """Compute what is missing, in the background; replaces a computation under way.

        Parameters
        ----------
        again : bool, default False
            Whether to compute everything again, for instance after the network was trained further.
        """
        raise NotImplementedError


def row_layout() -> Layout:
    """A row that breaks where the column is narrow."""
    return Layout(flex_flow="row wrap", grid_gap="8px 16px", align_items="flex-start", overflow="hidden")


def stretch(*parts: tuple[View, str]) -> None:
    """Give views their share of such a row, as in ``(view, "2 1 240px")``."""
    for part, flex in parts:
        lay_out(part, flex=flex, min_width="0", margin="0")


def existing_class(model: ImageModel, value: Any) -> int:
    """A class that a trait is set to, as its index; TraitError for one that the network does not have."""
    try:
        return model.class_index(value)
    except ValueError as error:
        raise TraitError(str(error)) from error


def one_image(model: ImageModel, image: Any) -> Tensor:
    """The image (1, C, H, W); ValueError for more than one."""
    x = model.images(image)
    if len(x) != 1:
        raise ValueError(f"{len(x)} images were given, wanted one; make one explorer for each")
    return x


def score_name(model: ImageModel) -> str:
    """Return what the outputs of the network are called on an axis."""
    return f"score before {model.activation}" if model.activation else model.value_name


def picture(x: Tensor) -> NDArray[np.uint8]:
    """Images (..., C, H, W) in [0, 1] as (..., H, W, 3) uint8; gray ones become three equal channels."""
    made: NDArray[np.uint8] = (x.detach().movedim(-3, -1).clamp(0, 1) * 255).round().byte().cpu().numpy()
    return made if made.shape[-1] == 3 else made.repeat(3, axis=-1)
