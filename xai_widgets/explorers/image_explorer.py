"""The base of explorers of one image and one class, and of those that search on from their results."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from traitlets import Int, validate
from traitlets import link as link_in_python

from xai_widgets.core.display import display_images
from xai_widgets.core.model import ImageModel, Target, targeted
from xai_widgets.core.validation import check_finite
from xai_widgets.explorers.explorer import Choice, Explorer
from xai_widgets.explorers.parts import caption, class_picker, existing_class, one_image, show_note
from xai_widgets.studies import Study
from xai_widgets.views import RunBar, ScoresView


class ImageExplorer(Explorer):
    """An explorer of one image and one class.

    A subclass returns its study from :meth:`_make_study`, which is called anew for each image, and shows the image in
    :meth:`_show_image`.

    Attributes
    ----------
    target : int
        The class; assign an index to change it.
    class_picker : ClassPicker
    run_bar : RunBar
    caption : ipywidgets.HTML
        How the image was resized for the network.
    """

    kernel_controls: ClassVar[tuple[str, ...]] = ("class_picker", "run_bar")
    shared: ClassVar[Mapping[str, str]] = {"image": "image", "target": "target"}

    target = Int(0, help="The class.")

    def __init__(self, model: ImageModel, image: Any, *, target: Target = None, **kwargs: Any) -> None:
        self._start_worker()
        model, target = targeted(model, target)
        self.model = model
        self.caption = caption()
        self._x, self._display = self._take(image)
        self._scores = model.scores(self._x)
        index = self._predicted() if target is None else int(model.targets(target, self._x)[0])
        self.class_picker = class_picker(model, index)
        self.run_bar = RunBar()
        super().__init__(**kwargs)
        self.target = index

    @classmethod
    def from_choice(cls, model: ImageModel, choice: Choice, **options: Any) -> ImageExplorer:
        """Return an explorer of the image and class of a dashboard."""
        image = choice.originals[choice.frame]
        return cls(model, image, **{"target": choice.target, **options})

    def _assemble(self, children: Iterable[Any]) -> None:
        super()._assemble([*children, self.caption])
        link_in_python((self, "target"), (self.class_picker, "target"))
        if isinstance(scores := getattr(self, "scores", None), ScoresView):
            scores.on_explain(lambda index: self.set_trait("target", index))
        self._show_probabilities()
        self._show_image()
        self._compute_on_change((self, "target"))

    @validate("target")
    def _class_exists(self, proposal: dict[str, Any]) -> int:
        return existing_class(self.model, proposal["value"])

    @property
    def image(self) -> Tensor:
        """The image, (1, C, H, W) in [0, 1]; assign one of any kind to replace it, with its predicted class."""
        return self._x

    @image.setter
    def image(self, image: Any) -> None:
        x, display = self._take(image)
        scores = self.model.scores(x)
        # First: a run about the old image must not draw on the new one.
        self.abandon()
        self._x, self._display, self._scores = x, display, scores
        self._replace_argument("image", image)
        self._take_image()
        self._show_probabilities()
        self._show_image()
        if self._predicted() != self.target:
            self.target = self._predicted()
        else:
            self.compute()

    def _take(self, image: Any) -> tuple[Tensor, NDArray[np.uint8]]:
        """Return the network's pixels of an image and the same part of it in its own resolution; show the caption."""
        x = one_image(self.model, image)
        display, notes = display_images(self.model, image)
        show_note(self.caption, notes)
        return x, display[0]

    def _take_image(self) -> None:
        """Replace the study by one of the new image."""
        self.study = self._make_study()

    @abstractmethod
    def _make_study(self) -> Study[Any, Any]:
        """Return the study of the image."""

    @abstractmethod
    def _show_image(self) -> None:
        """Show the image in the views."""

    def _if_finite(self, make: Callable[[], Any]) -> None:
        """Call a check of the constructor; if the scores are not finite the run bar reports that later instead."""
        if bool(self._scores.isfinite().all()):
            make()

    def _predicted(self) -> int:
        return int(self._scores[0].argmax())

    def _probabilities(self) -> NDArray[np.float32]:
        """Return the probability of each class, or its score if the network has no probabilities."""
        values: NDArray[np.float32] = self.model.probabilities(self._scores)[0].float().cpu().numpy()
        return values

    def _limits(self, *values: Tensor | NDArray[np.float32]) -> list[float]:
        """Return the values of an empty and a full bar: 0 and 1, or the lowest and highest of all scores."""
        if self.model.has_probabilities:
            return [0.0, 1.0]
        every = np.concatenate([np.zeros(1), self._probabilities(), *(np.ravel(part) for part in values)])
        every = every[np.isfinite(every)]
        return [float(every.min()), float(every.max() if every.max() > every.min() else every.min() + 1)]

    def _show_probabilities(self) -> None:
        self.class_picker.probabilities = self._probabilities().tolist()

    def _on_run(self) -> None:
        self._renew()
        super()._on_run()

    def _renew(self) -> None:
        # The network may have been trained further.
        self._scores = self.model.scores(self._x)
        self._show_probabilities()

    def _check(self) -> None:
        # A network whose scores were not finite may have been mended since.
        scores = self._scores if bool(self._scores.isfinite().all()) else self.model.scores(self._x)
        check_finite(scores, self.model.name)


class SearchExplorer(ImageExplorer):
    """An explorer of one resumable search for each choice: stopped by the button, it continues from its result.

    Attributes
    ----------
    result
        The result that is shown, or None.
    """

    result: Any = None

    @abstractmethod
    def _key(self) -> Any:
        """Return the key that the controls choose."""

    @abstractmethod
    def _draw_result(self, key: Any, result: Any) -> None:
        """Draw a result, all arrays anew; None clears the views."""

    def _keys(self) -> list[Any]:
        return [self._key()]

    def _draw(self, changed: Any = None) -> None:
        key = self._key()
        self.result = self.study.result(key)
        self._draw_result(key, self.result)
