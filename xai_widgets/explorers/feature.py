"""Images that a network is made to see, as they form."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target, check_model
from xai_widgets.core.validation import integer
from xai_widgets.errors import unknown_name
from xai_widgets.explorers.feature_controls import FeatureControls, first_choice
from xai_widgets.explorers.layout import column, header, stage
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import plain_images, show_patches
from xai_widgets.explorers.state import DERIVED
from xai_widgets.features.objectives import Objective
from xai_widgets.features.visualization import Visualization
from xai_widgets.studies.features import (
    CHANNEL,
    PARAMETERIZATIONS,
    SMALL,
    ExamplesKey,
    FeatureKey,
    FeatureStudy,
    WallKey,
)
from xai_widgets.views import CurveView, GalleryView, HeatmapView
from xai_widgets.views.static_repr import set_layout

#: Least time between two frames, seconds.
FRAME = 0.08
#: Points of the curve.
POINTS = 300
#: Channels in a row of the wall.
COLUMNS = 6
#: Time of each frame of an animation, and of the last one, milliseconds.
DURATION, LAST = 80, 1500


class FeatureExplorer(FeatureControls):
    """Watch an image form that a channel, a class or another objective responds to.

    The image is optimized by gradient ascent (:func:`~xai_widgets.features.visualize`) and shown while it changes. Run,
    Stop and Resume play and pause it, Step makes one step, Restart begins it anew. The sliders of the regularizers and
    the check box of the transforms act on the running optimization. The curve shows the objective of the transformed
    image at each step.

    When the image has its steps, the wall fills with small images of other channels of the layer, made in batches with
    the default settings. A click on one of them makes its channel the objective.

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
    images : optional
        Images of any kind: the patches to which the channel responds most are shown below its image.
    parameterization : {"fourier", "maco", "deep prior", "cppn", "pixels"}, default "fourier"
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
        The patches of `images`.
    layer_picker, objective_picker, channel_picker, label_picker, parameterization_picker : SelectView
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
    derived: ClassVar[tuple[str, ...]] = (*DERIVED, "wall", "examples")

    result: Visualization | None = None

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        layer: str | None = None,
        channel: int | None = None,
        *,
        target: Target = None,
        objectives: Mapping[str, Objective] | None = None,
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
        if parameterization not in PARAMETERIZATIONS:
            raise ValueError(unknown_name("parameterization", parameterization, PARAMETERIZATIONS))
        self._page, self._batch = integer(wall, "wall", low=1), check_batch_size(batch_size)
        self.study = FeatureStudy(
            model,
            objectives=objectives,
            images=None if images is None else plain_images(images),
            steps=steps,
            wall_steps=wall_steps,
            seed=seed,
        )
        first = first_choice(model, layer, channel, target, self.study.objectives)
        super().__init__(**kwargs)
        self._make_controls(*first[:3], parameterization, first[3])
        self._make_views()
        if start:
            self.compute()

    def _make_views(self) -> None:
        self.view = HeatmapView(width=0, controls=False, color_bar=False)
        self.curve = CurveView(
            x_label="step", height=110, title="Objective", legend=False, controls=False, y_range="fit"
        )
        self.wall = GalleryView(size=SMALL, columns=COLUMNS, interpolation="smooth")
        # A click has an effect in Python, so that the gallery returns to its choice without it.
        self.wall._needs_kernel = True
        self.examples = GalleryView(title="Real examples", size=SMALL, interpolation="smooth")
        with_examples = self.study.images is not None
        sliders = (self.total_variation, self.alpha_norm, self.l2)
        pickers = (self.layer_picker, self.objective_picker, self.channel_picker, self.label_picker)
        self._adopt(self.examples)
        set_layout(self.view, max_width="420px")
        self._connect_choices()
        self.wall.observe(lambda change: self._choose_small(change["new"]), "frame")
        self._assemble(
            [
                header(*pickers, self.parameterization_picker, self.transforms, self.run_bar),
                stage(
                    column(self.view, *([self.examples] if with_examples else []), weight=1.2, width=180),
                    column(self.curve, *sliders, weight=1, width=160),
                    column(self.wall, self.page_slider, weight=1.5, width=260),
                ),
            ]
        )
        self._draw()

    # -- the computation ------------------------------------------------------------------------------------

    def _keys(self) -> list[Any]:
        """Return the image, then the patches and the wall of its layer."""
        key = self._key()
        if self.study.single:
            return [key]
        examples = [ExamplesKey(key.layer)] if self.study.images is not None and key.kind == CHANNEL else []
        return [key, *examples, *self._wall_keys()]

    def _check(self) -> None:
        self.study.settings = self._settings()

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
        result = self.study.result(key) if isinstance(key, FeatureKey) else None
        return super()._message(key) if result is None else f"step {result.step}"

    def _end_message(self, keys: Collection[Any]) -> str:
        return "" if self.result is None else f"step {self.result.step}"

    def _show_buttons(self) -> None:
        super()._show_buttons()
        if self.run_bar.restart:
            self.run_bar.restart = "Restart: begin the image anew"

    def _is_due(self) -> bool:
        return time.monotonic() - self._drawn_at >= FRAME and self.view.ready

    def _choose_small(self, index: int) -> None:
        """Make the channel of a small image the objective."""
        if index >= 0:
            channel = self._wall_keys()[0].first + index
            self.channel_picker.value = str(channel)
            self.objective_picker.value = CHANNEL

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, changed: Any = None) -> None:
        key = self._key()
        self.result = self.study.result(key)
        if changed is None or changed == key:
            self._draw_image(key)
            self._draw_curve()
        if changed is None or isinstance(changed, WallKey):
            self._draw_wall()
        if self.study.images is not None and (changed is None or isinstance(changed, ExamplesKey)):
            self._draw_examples(key)

    def _draw_image(self, key: FeatureKey) -> None:
        result, outcome = self.result, self.study.outcome(key)
        if result is None:
            gray = torch.full((1, self.model.channels, *self.model.size), 0.5)
            image, note = self.model.to_rgb(gray)[0], outcome.error or "Not computed yet."
        else:
            image = self.model.to_rgb(result.images[0].cpu())
            note = outcome.error or " ".join(outcome.warnings)
        self.view.send_frame(image=image, notes=[note], title=_capital(self.study.title(key)))

    def _draw_curve(self) -> None:
        with self.curve.hold_sync():
            if self.result is None:
                self.curve.x = self.curve.y = None
                self.curve.lines, self.curve.series = [], []
                return
            history = self.result.history[:, 0].cpu()
            every = 1 + len(history) // POINTS
            self.curve.x = every * torch.arange(len(history[::every]))
            self.curve.y = history[None, ::every]
            self.curve.series = [{"label": "objective"}]
            self.curve.lines = [{"y": float(self.result.initial[0]), "label": "first image"}]

    def _draw_wall(self) -> None:
        keys, chosen = self._wall_keys(), self._key()
        blank = np.zeros((*self.study.small_size, 3), dtype=np.uint8)
        images, labels, present = [], [], []
        for key in keys:
            wall = self.study.result(key)
            images += [blank] * key.size if wall is None else list(self.model.to_rgb(wall.images.cpu()))
            present += [wall is not None] * key.size
            complete = self.study.outcome(key).complete
            rose = [True] * key.size if wall is None or not complete else wall.rose.tolist()
            numbers = range(key.first, key.first + key.size)
            labels += [
                str(number) if risen else f"{number}, not risen"
                for number, risen in zip(numbers, rose, strict=True)
            ]
        first = keys[0].first
        on_page = chosen.kind == CHANNEL and first <= chosen.number < first + len(labels)
        with self.wall.hold_sync():
            self.wall.title = f"Channels of {self.layer_picker.value}"
            self.wall.images = np.stack(images)
            self.wall.present = np.array(present, dtype=np.uint8)
            self.wall.labels = labels
            self.wall.frame = chosen.number - first if on_page else -1

    def _draw_examples(self, key: FeatureKey) -> None:
        found = self.study.result(ExamplesKey(key.layer)) if key.kind == CHANNEL else None
        with self.examples.hold_sync():
            if found is None:
                self.examples.images, self.examples.labels = None, []
            else:
                show_patches(self.model, self.examples, found.patches([key.number]))
                self.examples.labels = [f"{value:.3g}" for value in found.values[key.number].tolist()]

    # -- files ----------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], *, animation: bool | None = None) -> Path:
        """Save the image as PNG, or its frames so far as an animated PNG.

        Parameters
        ----------
        path : str or path
            The file.
        animation : bool, optional
            Whether to save all frames, at most 120 evenly spaced ones and the last. Default: whether the name of the
            file ends with ".apng".

        Returns
        -------
        Path
            The file.

        Raises
        ------
        ValueError
            If no image was computed yet.
        """
        file, key = Path(path), self._key()
        result = self.study.result(key)
        if result is None:
            raise ValueError("expected an image that was computed, got none yet; press Run")
        last = Image.fromarray(self.model.to_rgb(result.images[0].cpu()))
        if not (file.suffix == ".apng" if animation is None else animation):
            last.save(file, format="PNG")
            return file
        film = self.study.films[key]
        frames = [Image.fromarray(frame) for step, frame in sorted(film.frames.items()) if step < result.step]
        durations = [DURATION] * len(frames) + [LAST]
        first, *others = [*frames, last]
        first.save(file, format="PNG", save_all=True, append_images=others, duration=durations, loop=0)
        return file

    @property
    def frames(self) -> NDArray[np.uint8]:
        """The frames of the image so far, (T, H, W, 3), evenly spaced in its steps."""
        film = self.study.films.get(self._key())
        kept = {} if film is None else dict(film.frames)
        return np.stack([kept[step] for step in sorted(kept)]) if kept else np.zeros((0, 0, 0, 3), np.uint8)


def _capital(title: str) -> str:
    return title[:1].upper() + title[1:]
