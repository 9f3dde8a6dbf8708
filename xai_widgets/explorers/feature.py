"""Images that a network is made to see, as they form."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from traitlets import Int, validate

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target, check_model
from xai_widgets.core.validation import integer
from xai_widgets.errors import unknown_name
from xai_widgets.explorers.explorer import Choice
from xai_widgets.explorers.feature_controls import first_choice
from xai_widgets.explorers.feature_files import FeatureFiles
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import existing_class, plain_images
from xai_widgets.explorers.state import DERIVED
from xai_widgets.features.objectives import Objective
from xai_widgets.features.parameterizations import Parameterization
from xai_widgets.studies.feature_examples import ExamplesKey
from xai_widgets.studies.features import CHANNEL, FeatureKey, FeatureStudy

#: Least time between two frames, seconds.
FRAME = 0.08
#: Least time between two drawings of small images that form, seconds.
BESIDE = 0.8
#: Share of the time for small images and real examples while an image forms.
SHARE = 1 / 3
#: Longest time of a step that counts, seconds: an explorer may pause in it.
LONGEST = 1.0


class FeatureExplorer(FeatureFiles):
    """Watch an image form that a channel, a class or another objective responds to.

    The image is optimized by gradient ascent (:func:`~xai_widgets.features.visualize`) and shown while it changes. Run,
    Stop and Resume play and pause it, Step makes one step, Restart begins it anew. The sliders of the regularizers and
    the check box of the transforms act on the running optimization. The curve shows the objective of the transformed
    image at each step.

    Beside it, in a third of the time until the image has its steps, the wall fills with small images of other channels
    of the layer, made in batches with the default settings. A click on one of them makes its channel the objective.

    With `images`, the patches are shown to which the channel responds most, each with its part of the DeconvNet, of
    guided backprop, of the gradient, of the operation-wise inverse, or of the empirical receptive field.

    A frame is sent to the browser only after the one before was drawn, so that none pile up in a slow one. While the
    kernel is busy with another cell, frames come slowly.

    Parameters
    ----------
    model : ImageModel
        The network, whose operations have to be differentiable; it is never changed.
    layer : str, optional
        The first layer, a spatial one. Default: the last one before pooling.
    channel : int, optional
        The first channel. Default: 0.
    target : int or str, optional
        A class, to begin with its score in place of a channel.
    objectives : mapping of str to Objective, optional
        Further objectives of one image by name, such as ``{"striped": objectives.Concept("blocks.3", vector)}``.
        Without layer, channel and target the explorer begins with the first one.
    parameterizations : mapping of str to Parameterization, optional
        Further parameterizations by name, such as ``{"generator": parameterizations.Generated(generator)}`` with the
        result of :func:`~xai_widgets.features.feature_generator`.
    images : optional
        Images of any kind, of which patches are shown below the image.
    parameterization : {"fourier", "maco", "deep prior", "cppn", "pixels"} or a further name, default "fourier"
        How the image is drawn; see :mod:`xai_widgets.features.parameterizations`.
    steps : int, default 256
        Steps until the wall is filled; Resume makes as many more.
    wall : int, default 24
        Channels on a page of the wall.
    wall_steps : int, default 48
        Steps of each small image.
    batch_size : int, default 4
        Small images in one pass.
    seed : int, default 0
        Seed of the first images and of the transforms.
    start : bool, default True
        Whether to begin at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    view : HeatmapView
        The image.
    curve : CurveView
        The objective at each step.
    wall : GalleryView
        Small images of channels of the layer.
    examples : GalleryView
        The patches of `images`, and their maps.
    target : int
        The class of the objective "class".
    layer_picker, objective_picker, channel_picker, label_picker, parameterization_picker, details_picker : SelectView
    total_variation, alpha_norm, l2 : SliderView
        Weights of the regularizers.
    transforms : CheckView
    page_slider : SliderView
        The page of the wall.
    run_bar : RunBar
    result : Visualization or None
        The image that is shown, with its history.

    Raises
    ------
    ValueError
        For an unknown layer, channel, class or parameterization, or an objective that does not fit the network.
    TypeError
        If ``model`` is not an ImageModel, or an objective is of another kind.

    Examples
    --------
    >>> FeatureExplorer(model, "blocks.4", 12)  # doctest: +SKIP
    """

    question: ClassVar[str] = "What does a channel respond to?"
    hint: ClassVar[str] = "Click a small image."
    kernel_views: ClassVar[tuple[str, ...]] = ("wall",)
    derived: ClassVar[tuple[str, ...]] = (*DERIVED, "wall", "examples", "label_picker")
    shared: ClassVar[Mapping[str, str]] = {"target": "target", "layer": "layer_picker.value"}

    target = Int(0, help='The class of the objective "class".')

    #: The latest turn: when it began, and whether it was that of the image. None before the first one.
    _turn: tuple[float, bool] | None = None
    #: The time that small images and real examples may take, seconds.
    _owed = 0.0
    #: When small images or real examples were drawn last.
    _beside_at = 0.0

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        layer: str | None = None,
        channel: int | None = None,
        *,
        target: Target = None,
        objectives: Mapping[str, Objective] | None = None,
        parameterizations: Mapping[str, Parameterization] | None = None,
        images: Any = None,
        parameterization: str = "fourier",
        steps: int = 256,
        wall: int = 24,
        wall_steps: int = 48,
        batch_size: int = 4,
        seed: int = 0,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        self._start_worker()
        check_model(model)
        self.model = model
        self._page, self._batch = integer(wall, "wall", low=1), check_batch_size(batch_size)
        self.study = FeatureStudy(
            model,
            objectives=objectives,
            parameterizations=parameterizations,
            images=None if images is None else plain_images(images),
            steps=steps,
            wall_steps=wall_steps,
            seed=seed,
        )
        if parameterization not in self.study.parameterizations:
            raise ValueError(unknown_name("parameterization", parameterization, self.study.parameterizations))
        first = first_choice(model, layer, channel, target, self.study.objectives)
        super().__init__(**kwargs)
        self.target = first[2] or 0
        self._make_controls(*first[:2], parameterization, first[3])
        self._make_views()
        if start:
            self.compute()

    @classmethod
    def from_choice(cls, model: ImageModel, choice: Choice, **options: Any) -> FeatureExplorer:
        """Return an explorer of the layer and the class of a dashboard, with examples from its images."""
        given = {"layer": choice.layer or None, "images": choice.originals, **options}
        explorer = cls(model, **given)
        explorer.target = choice.target
        return explorer

    @validate("target")
    def _class_exists(self, proposal: dict[str, Any]) -> int:
        return existing_class(self.model, proposal["value"])

    # -- the computation ------------------------------------------------------------------------------------

    def _keys(self) -> list[Any]:
        """Return the image, then the patches, with their maps, and the wall of its layer."""
        key = self._key()
        if self.study.single:
            return [key]
        examples: list[Any] = []
        if self.study.images is not None and key.kind == CHANNEL:
            detail = self._detail(key)
            examples = [ExamplesKey(key.layer), *([detail] if detail else [])]
        return [key, *examples, *self._wall_keys()]

    def _check(self) -> None:
        self.study.settings = self._settings()
        self._turn, self._owed = None, 0.0

    def _choose(self, keys: Collection[Any]) -> Any:
        """Return the image, or, in their share of the time, the first of the others."""
        now = time.monotonic()
        if self._turn is not None:
            began, formed = self._turn
            spent = min(now - began, LONGEST)
            self._owed += spent * SHARE / (1 - SHARE) if formed else -spent
        image = next((key for key in keys if isinstance(key, FeatureKey)), None)
        other = next((key for key in keys if key != image), None)
        chosen = other if image is None or (other is not None and self._owed > 0) else image
        self._turn = now, chosen == image
        return chosen

    def compute(self, *, again: bool = False) -> None:
        """Compute the missing images in the background; replaces a computation that is running.

        Parameters
        ----------
        again : bool, default False
            Whether to continue the image by its number of steps, and to draw the small ones anew.
        """
        self.study.single = False
        super().compute(again=again)

    def step(self) -> None:
        """Make one step of the optimization; one that is running stops after it."""
        self.cancel()
        self.study.reopen(self._key())
        self.study.single = True
        self._asked = (None, None)
        super().compute()

    def _on_run(self) -> None:
        if all(self.study.outcome(key).complete for key in self._keys()):
            self.study.reopen(self._key())
        self.compute()

    def restart(self) -> None:
        """Begin the image anew; small images and patches stay."""
        self.abandon()
        self.study.forget([self._key()])
        self.compute()

    def _change_settings(self) -> None:
        """Change the settings of the running optimization; one that was done continues."""
        self.study.settings = self._settings()
        key = self._key()
        if self.study.outcome(key).complete and self.run_bar.status in ("running", "done"):
            self.study.reopen(key)
            self.compute()

    def _message(self, key: Any) -> str:
        image = self._key()
        forms = key == image or not self.study.outcome(image).complete
        result = self.study.result(image) if forms else None
        return super()._message(key) if result is None else f"step {result.step}"

    def _end_message(self, keys: Collection[Any]) -> str:
        return "" if self.result is None else f"step {self.result.step}"

    def _show_buttons(self) -> None:
        super()._show_buttons()
        if self.run_bar.restart:
            self.run_bar.restart = "Restart: begin the image anew"

    def _is_due(self, key: Any) -> bool:
        now = time.monotonic()
        if isinstance(key, FeatureKey):
            return now - self._drawn_at >= FRAME and self.view.ready
        if now - self._beside_at < BESIDE:
            return False
        self._beside_at = now
        return True
