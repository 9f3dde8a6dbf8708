"""A brush that perturbs the image, with live scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.run import Run, Status
from xai_widgets.core.validation import check_finite
from xai_widgets.core.worker import Worker
from xai_widgets.errors import as_sentence
from xai_widgets.explorers.brush_edits import EDITS, FILLS, BrushEdits
from xai_widgets.explorers.brush_network import BrushNetwork, precision
from xai_widgets.explorers.image_explorer import ImageExplorer
from xai_widgets.explorers.layout import column, header
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import TOP, search_settings
from xai_widgets.explorers.similarity_choices import MIDDLE, layers_of
from xai_widgets.explorers.state import held
from xai_widgets.methods import as_method
from xai_widgets.methods.registry import MethodLike
from xai_widgets.ops.fill import fill_image, inpaint, noise_image, standard_noise
from xai_widgets.ops.perturb import SIGMA
from xai_widgets.ops.resize import resize_map
from xai_widgets.perturbation.area_search import AreaSettings
from xai_widgets.perturbation.extremal import Extremal
from xai_widgets.perturbation.mask_search import binarize
from xai_widgets.perturbation.refine import Refined, refine
from xai_widgets.similarity import Packed, activation_grids, pack
from xai_widgets.similarity.packing import RANK
from xai_widgets.views import BrushView, SimilarityView

#: Discs along each side of the image, from which "Refine" starts.
DISCS = 9


class _Snapshot(NamedTuple):
    """The result of a pass for the mask of each edit.

    Attributes
    ----------
    values : Tensor, (edits, classes)
        Probabilities, or scores.
    fills : Tensor, (edits, C, H, W)
        The fill of painted pixels.
    chosen : int
        Its index.
    target : int
        The class.
    images : Tensor, (1 + edits, C, H, W)
        The image, and the painted ones.
    packed : tuple of Packed
        The activations of all in the compared layers.
    """

    values: Tensor
    fills: Tensor
    chosen: int
    target: int
    images: Tensor
    packed: tuple[Packed, ...]


class PerturbationBrush(BrushEdits):
    """Paint over the image and see how the scores of the best classes change.

    Each mask takes one forward pass. Of the masks painted during a pass only the newest is used, so the scores follow a
    long stroke and end with its last mask. The button "Refine" searches for the mask of the same area that reduces the
    probability of the class most, with the chosen fill. It starts from the painted mask and from discs, and never ends
    worse than any of them (:mod:`~xai_widgets.perturbation.refine`); it is one step to undo, and a stroke stops it.

    "Two edits" keeps two masks of the image side by side, each with its scores, such as the box around one object and
    that around another, or a found mask and a box of your own (Fong and Vedaldi 2017, section 5.1). Both have the same
    fill and tools. "Edit" chooses the one that "Refine" and :meth:`paint` change, and so does a stroke; a button below
    each copies its mask to the other.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    image
        One image of any kind.
    target : int, str or callable, optional
        The class that is marked, and whose probability "Refine" reduces. Default: the predicted class.
    start : Extremal, Tensor (h, w), str, Method or callable, optional
        The first mask; see :meth:`paint`.
    area : float, default 0.1
        Share of the image that is painted of a map.
    layers : str or sequence of str, optional
        Spatial layers in which the image is compared with the painted one: hovering over either shows the similar
        positions in both, so that a covered part that is still recognized is seen. Default: none.
    network : bool or "half", default False
        Whether the browser gets the network, too, and scores what is painted without the kernel, which may then be
        slow, busy or far away; "half" sends its weights in half precision. It is sent once, when the brush is shown;
        meanwhile, and where the browser cannot run it, the kernel answers. "Refine" and ``layers`` need the kernel.
        "Refine" sends the network again if its scores have changed. Needs the extra "onnx"; the program that runs the
        network takes 4 MB.
    settings : AreaSettings, optional
        Settings of the search of "Refine". Default: ``AreaSettings(scan=9)``, with ``steps=20`` for an image of more
        than 128 x 128 pixels.
    seed : int, default 0
        Seed of the noise.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    target : int
        The class; assign an index to change it.
    brush : BrushView
        The painted image; its ``mask`` can be read and set.
    scores : ScoresView
        The best classes under the mask, with their values for the image.
    other, other_scores : BrushView, ScoresView
        Those of edit B.
    pair_check : CheckView
        Whether there are two edits.
    edit_picker : SelectView
        The edit, "A" or "B", that "Refine" and :meth:`paint` change.
    similarity : SimilarityView or None
        The image and the painted one in the compared layers.
    network_view : NetworkView or None
        The line about the network in the browser.
    class_picker : ClassPicker
    run_bar : RunBar

    Raises
    ------
    ValueError
        For an unknown class, method or layer, with the nearest one, a layer that is not spatial, or a bad image; for
        ``network``, if the network cannot be exported (:func:`~xai_widgets.core.onnx_export.network_file`).
    TypeError
        If ``model`` is not an ImageModel.

    Examples
    --------
    >>> PerturbationBrush(model, "photo.jpg", start="grad_cam")  # doctest: +SKIP
    >>> PerturbationBrush(model, "photo.jpg", layers="blocks.4")  # doctest: +SKIP
    >>> PerturbationBrush(model, "photo.jpg", network=True)  # doctest: +SKIP
    """

    question: ClassVar[str] = "What happens if this is covered?"
    hint: ClassVar[str] = "Paint on the image."
    kernel_controls: ClassVar[tuple[str, ...]] = (
        *ImageExplorer.kernel_controls,
        *("pair_check", "edit_picker", "network_view"),
    )
    kernel_views: ClassVar[tuple[str, ...]] = ("brush", "other")

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        image: Any,
        *,
        target: Target = None,
        start: Extremal | Tensor | MethodLike | None = None,
        area: float = 0.1,
        layers: str | Sequence[str] | None = None,
        network: bool | Literal["half"] = False,
        settings: AreaSettings | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        # Made first: a constructor that raises is closed.
        self._scorer = self._quick_worker = Worker(urgent=True)
        half = precision(network)
        super().__init__(model, image, target=target, **kwargs)
        self._settings, self._seed, self._exact = settings, seed, bool(network)
        self._layers = [] if layers is None else layers_of([self.model], layers)[self.model.name]
        self._make_edits()
        self._inside = self._browser_network(half) if network else None
        self.network_view = None if self._inside is None else self._inside.view
        self.run_bar.label = "Refine"
        self.similarity = (
            SimilarityView(labels=["image", "painted"], controls=False) if self._layers else None
        )
        self._one, self._two = self._layouts()
        self._holder = column(self._one)
        self._adopt(self._two)
        line = [] if self.network_view is None else [self.network_view]
        self._assemble(
            [header(self.class_picker, self.pair_check, self.edit_picker, self.run_bar), *line, self._holder]
        )
        self._connect_edits()
        # Scores that are not finite give no mask; the run bar reports them.
        if start is not None and bool(self.model.scores(self._x).isfinite().all()):
            self.paint(start, area)

    def _browser_network(self, half: bool) -> BrushNetwork:
        """Return the network of the browser."""
        return BrushNetwork(
            self.model, lambda: self._x, self._pairs(), self.class_picker, self.pair_check, half=half
        )

    def paint(self, mask: Extremal | Tensor | MethodLike, area: float = 0.1) -> None:
        """Paint a mask, or the highest values of a map.

        Parameters
        ----------
        mask : Extremal, Tensor (h, w), str, Method or callable
            A result, whose mask nearest to ``area`` is taken; a map; or an attribution or perturbation method.
        area : float, default 0.1
            Share of the image that is painted of a map, in (0, 1].
        """
        if not 0 < area <= 1:
            raise ValueError(f"expected area above 0 and at most 1, got {area}")
        size = (self._x.shape[2], self._x.shape[3])
        if isinstance(mask, Extremal):
            mask = mask.masks[0, int((mask.areas - area).abs().argmin())]
        if not isinstance(mask, Tensor | np.ndarray):
            mask = as_method(mask).saliency(self.model, self._x, self.target)[0]
        saliency = torch.as_tensor(mask, dtype=torch.float32).detach().cpu()
        if saliency.ndim != 2:
            raise ValueError(f"expected a mask of shape (h, w), got {tuple(saliency.shape)}")
        saliency = resize_map(saliency[None], size)
        binary = bool(((saliency == 0) | (saliency == 1)).all())
        self.edited.mask = (saliency if binary else binarize(saliency[None], [area])[0])[0]

    # -- scores of the painted mask -------------------------------------------------------------------------------

    def _take_image(self) -> None:
        """Do nothing: no result is kept, as all depend on the painted mask."""

    def _on_run(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Refine the painted mask, with the network as it is now."""
        self._renew()
        self.compute(again=True)

    def _renew(self) -> None:
        before = self._scores
        super()._renew()
        if self._inside is not None and not torch.allclose(before, self._scores, rtol=1e-4, atol=1e-5):
            self._inside.renew()

    def abandon(self) -> None:
        """Cancel the search and the scores, because the image is replaced."""
        super().abandon()
        self._scorer.cancel()

    def _show_image(self) -> None:
        self._clear_scores()
        fills = self.model.to_rgb(torch.stack([self._fill(name, None)[0] for name in FILLS]))
        for view, scores in self._pairs():
            with view.hold_sync():
                view.mask = None
                view.image = self.model.to_rgb(self._x[0])
                view.fills, view._filled = fills, None
                self._show_exact(view)
            scores.reference = self._probabilities()
        self._score()

    def set_exact(self, exact: bool) -> None:
        """Set whether the brush views have the image and the noise as the network gets them, for an exported page.

        Parameters
        ----------
        exact : bool
            Whether they have them, for each image that is shown from now on; with a network in the browser always.
        """
        self._exact = exact or self._inside is not None
        for view, _ in self._pairs():
            self._show_exact(view)

    def _show_exact(self, view: BrushView) -> None:
        view._pixels = self._x[0].float() if self._exact else None
        view._noise = standard_noise(self._x, self._seed).float() if self._exact else None

    def _fill(self, name: str, mask: Tensor | None) -> Tensor:
        """Return the fill of painted pixels, (1, C, H, W)."""
        x = self._x
        if name == "inpaint" and mask is not None:
            return inpaint(x, mask)
        if name == "noise":
            return noise_image(x, self._seed)
        return fill_image("gray" if name == "gray" else "blur", x, sigma=SIGMA * min(x.shape[2:]))

    def _score(self) -> None:
        """Score the painted masks, after the pass that is running, if any."""

        def make_run() -> Run[_Snapshot]:
            # Read when the pass begins: masks painted in between are skipped.
            x, index = self._x, min(self.brush.fill, len(FILLS) - 1)
            painted = [view.mask for view, _ in self.edits]
            # A mask of an image of another size, which was just replaced, is none.
            painted = [None if mask is None or mask.shape != x.shape[2:] else mask for mask in painted]
            return Run(self._steps(painted, index, x, self.target), total=1, name="scores")

        # Each change submits a pass, so the last scores are those of the last mask.
        self._scorer.submit(make_run, on_snapshot=self._show_scores, on_end=self._scored, replace=False)

    def _steps(
        self, painted: Sequence[NDArray[np.uint8] | None], index: int, x: Tensor, target: int
    ) -> Iterator[_Snapshot]:
        empty = np.zeros(x.shape[2:], np.uint8)
        given = np.stack([empty if mask is None else mask for mask in painted])
        masks = torch.from_numpy(given / np.float32(255)).to(x.device)
        fills = torch.cat([self._fill(FILLS[index], mask) for mask in masks])
        changed = torch.lerp(x.expand_as(fills), fills, masks[:, None])
        scores = check_finite(self.model(changed), self.model.name)
        images, packed = torch.cat([x, changed]), tuple[Packed, ...]()
        if self._layers:
            packed = pack(
                activation_grids(self.model, images, self._layers).result(progress=False), rank=RANK
            )
        yield _Snapshot(self.model.probabilities(scores), fills, index, target, images, packed)

    def _show_scores(self, run: Run[_Snapshot]) -> None:
        assert run.latest is not None
        snapshot = run.latest
        # One scale for both edits.
        limits = self._limits(snapshot.values.cpu())
        pairs = [] if self._answered else self._pairs()
        for (view, scores), values, fill in zip(pairs, snapshot.values, snapshot.fills, strict=False):
            if FILLS[snapshot.chosen] == "inpaint" and view.fills is not None:
                # The browser shows the fill that the network got.
                fills = view.fills.copy()
                fills[snapshot.chosen] = self.model.to_rgb(fill)
                view.fills, view._filled = fills, None
            best = values.topk(min(TOP, len(values)))
            with scores.hold_sync():
                scores.target, scores.value_limits = snapshot.target, limits
                scores.indices = best.indices.view(1, 1, -1).int()
                scores.values = best.values.view(1, 1, -1)
                scores.target_values = values[snapshot.target].view(1, 1)
        if self.similarity is not None:
            with self.similarity.hold_sync():
                edits = list(EDITS) if len(snapshot.values) > 1 else ["painted"]
                self.similarity.labels = ["image", *edits]
                self.similarity.images = self.model.to_rgb(snapshot.images)
                self.similarity.show(snapshot.packed)
                if self.similarity.position is None and not self.similarity.pins:
                    self.similarity.position = MIDDLE

    def _edited(self, *, answered: bool) -> None:
        self._answered = answered
        if answered and not self._layers:
            # Scores of a mask before this one are not shown any more.
            self._scorer.cancel()
        else:
            self._score()

    def _scored(self, _status: Status, error: BaseException | None) -> None:
        if error is None:
            return
        # Scores of another mask must not be shown.
        if not self._answered:
            self._clear_scores()
        if self._worker.status == "running":
            self.run_bar.error = as_sentence(error)
        else:
            self.run_bar.end("error", error)

    def _clear_scores(self) -> None:
        for _, scores in self._pairs():
            with scores.hold_sync():
                scores.indices = scores.values = scores.target_values = None

    # -- the search for a better mask -----------------------------------------------------------------------

    @held
    def compute(self, *, again: bool = False) -> None:
        """Refine the painted mask if the button was pressed; a change of class stops that and marks the class.

        Parameters
        ----------
        again : bool, default False
            Whether the button was pressed.
        """
        self._worker.cancel()
        if not again:
            self._edited(answered=False)
            return
        edited = self.edited
        painted = edited.mask
        if painted is None or not painted.any():
            self.run_bar.error = "nothing is painted: paint the mask to start from"
            return
        mask = torch.from_numpy(painted / np.float32(255))
        x, target, fill = self._x, self.target, self._fill_function()
        settings = self._settings or replace(search_settings(x), scan=DISCS)
        latest: Refined | None = None

        def make_run() -> Run[Refined]:
            self._check()
            return refine(self.model, x, mask, target, fill=fill, settings=settings)

        def on_start() -> None:
            edited._step += 1

        def on_snapshot(run: Run[Refined]) -> None:
            nonlocal latest
            assert run.latest is not None
            known, latest = latest, run.latest
            self.run_bar.progress, self.run_bar.message = run.progress, self._change(latest)
            if known is not None and latest is not known:
                edited.mask = latest.mask.cpu().numpy()

        def message() -> str:
            assert latest is not None
            if latest.origin == "painted":
                return f"no better mask of this area was found: {self._change(latest)}"
            return self._change(latest)

        self._submit(make_run, on_start=on_start, on_snapshot=on_snapshot, message=message)

    def _fill_function(self) -> Tensor | Callable[[Tensor], Tensor]:
        """Return the chosen fill, or for one that depends on the mask a function of it."""
        name, x = FILLS[min(self.brush.fill, len(FILLS) - 1)], self._x
        return (lambda mask: inpaint(x, mask)) if name == "inpaint" else self._fill(name, None)

    def _change(self, refined: Refined) -> str:
        """Return the change of the class under the best mask, in the numbers of the bars."""
        before, after = refined.before, refined.after
        scores = f"score {before.score:.2f} \u2192 {after.score:.2f}"
        if not self.model.has_probabilities:
            return scores
        return f"{scores}, p {before.probability:.3f} \u2192 {after.probability:.3f}"
