"""The image model: a network that maps pixels in [0, 1] to class scores, with labels and named layers."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from xai_widgets.core.arguments import check_device, check_size, device_of
from xai_widgets.core.fixed_inputs import FixedInputs
from xai_widgets.core.grids import Grids
from xai_widgets.core.guard import guarded
from xai_widgets.core.model_output import Prediction
from xai_widgets.core.pixels import Display
from xai_widgets.core.replica import check_private, unwrapped
from xai_widgets.core.resizing import Interpolation, Resizing
from xai_widgets.core.scored import Activation, Scored
from xai_widgets.core.target_scores import TargetFunction, TargetScores, is_inner, target_functions
from xai_widgets.core.validation import brief, check_finite, dimensions, instance, integer, items
from xai_widgets.errors import checked_keywords, unknown_name, warn

#: A target: None (the predicted class), a class index, a label, or a callable on the raw output of the network (see
#: :mod:`xai_widgets.targets`); or one index, label or callable per image.
Target = int | str | TargetFunction | Sequence[int | str] | Sequence[TargetFunction] | Tensor | None
#: Number of models for recent targets that a model keeps.
RECENT = 8


class ImageModel(Scored):
    """A network that maps pixels in [0, 1] to class scores, normalization included.

    The network itself is never changed: parameters, buffers, ``requires_grad``, hooks, train or eval mode and
    device stay as they are, even while another thread trains it. Every pass runs on a replica of the network that is in
    eval mode and shares its parameters (:mod:`xai_widgets.core.replica`). ``torch.compile`` and ``DataParallel``
    wrappers are removed.

    Parameters
    ----------
    module : nn.Module
        Maps a batch (N, C, H, W) to scores before softmax, (N, classes), or to a tuple, dict or object that holds them
        (see ``output``); with ``targets`` to anything.
    labels : sequence of str, optional
        One name per class. Default: "class 0", "class 1", ..., or the labels of the targets.
    mean, std : sequence of float, optional
        Normalization ``(x - mean) / std`` that the network was trained with, for pixels in [0, 1], one number per
        channel. Default: no normalization.
    channels : int, optional
        Number of channels of the input. Default: that of ``mean`` and ``std``; without them three or, if the network
        does not accept three, the number of its first convolution.
    display : sequence of int or callable, optional
        Three channels that are displayed as red, green and blue, or a function that maps images (N, C, H, W) to
        (N, 3, H, W), both in [0, 1]. Default: the first three channels; gray for one channel, and for the mean of two.
    size : int or (int, int), default 224
        Height and width of the input. Images are resized and the center is cropped.
    resize : int or (int, int), optional
        Length to which the short side of an image is resized before ``size`` is cropped from the center, as in the
        presets of torchvision and timm; or the height and width of the resized image, whose aspect ratio changes then.
        Default: the image is resized until it just covers ``size``.
    interpolation : {"bilinear", "bicubic", "nearest"}, default "bilinear"
        Interpolation of the resizing, with antialiasing except for "nearest".
    activation : {"auto", "softmax", "sigmoid"} or None, default "auto"
        Converts scores to probabilities: softmax for mutually exclusive classes, sigmoid for independent labels, None
        for outputs that are used as they are, such as those of a regression. "auto" is softmax for several classes,
        sigmoid for one, and None, with a warning, if the network itself ends in softmax or sigmoid.
    device : str or torch.device, optional
        Device to run on. Default: the network's own accelerator, else "auto", the first available of cuda, mps and cpu.
        On another device a copy of the network runs, which does not follow later changes of the network.
    output : str or int, optional
        The entry of a dict, object or tuple that holds the scores. Default: "logits", "out" or "scores", the first of a
        tuple, or the only tensor of shape (N, classes).
    inputs : mapping of str to Any, optional
        Further keyword arguments of the network, the same in every pass. Tensors are moved to the device; one whose
        first dimension is 1 is repeated for each image.
    image_argument : str, optional
        Name of the argument that takes the images, such as "pixel_values". Default: the first one.
    targets : callable, or mapping of str to callable, optional
        Scores to explain in place of class scores, for segmentations, detectors, embeddings and regressions: callables
        on the raw output of the network that return one score per image, (N,), by label; or one callable, which may
        return the scores (N, T) of several targets. Ready ones are in :mod:`xai_widgets.targets`. Their scores are not
        probabilities, unless ``activation`` is given. The predicted class is the target with the highest score.
    name : str, optional
        Name of the network in legends. Default: the name of its class.
    grids : mapping of str to Grid, or callable, optional
        Layouts of layers whose positions are not found, or found wrong: by layer name, such as
        ``{"blocks.11": Grid("tokens", 14, 14, 1)}`` (:class:`~xai_widgets.core.grids.Grid`), or a function of the
        layer's name, the shape of its output for one image and the layout that was found, which returns a Grid. None
        instead of a Grid stands for a layer without positions.

    Raises
    ------
    TypeError
        If ``module`` is not an ``nn.Module``.
    ValueError
        If the network does not accept an image or does not return class scores, or if the number of labels differs from
        the number of classes.

    Examples
    --------
    >>> ImageModel(resnet50(), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    >>> ImageModel(lraspp_mobilenet_v3_large(), targets=xw.targets.ClassAreas(), labels=categories)
    """

    @checked_keywords
    @guarded
    def __init__(
        self,
        module: nn.Module,
        *,
        labels: Sequence[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        channels: int | None = None,
        display: Display | None = None,
        size: int | tuple[int, int] | None = None,
        resize: int | tuple[int, int] | None = None,
        interpolation: Interpolation = "bilinear",
        activation: Activation | Literal["auto"] | None = "auto",
        device: str | torch.device | None = None,
        output: str | int | None = None,
        inputs: Mapping[str, Any] | None = None,
        image_argument: str | None = None,
        targets: TargetFunction | Mapping[str, TargetFunction] | None = None,
        name: str | None = None,
        grids: Grids | None = None,
    ) -> None:
        super().__init__()
        self._grids = grids if grids is None or callable(grids) else dict(grids)
        if isinstance(module, ImageModel) or not isinstance(module, nn.Module):
            given = getattr(module, "__name__", type(module).__name__)
            raise TypeError(f"expected module to be a torch.nn.Module that takes images, got {given}")
        name = type(unwrapped(module)).__name__ if name is None else instance(name, "name", str)
        module = unwrapped(module)
        if inputs is not None or image_argument is not None:
            module = FixedInputs(module, inputs, image_argument)
        current = device_of(module)
        if current.type == "meta":
            raise ValueError(f"expected a network with weights, got {name} on the meta device")
        if device is None:
            device = "auto" if current.type == "cpu" else current
        target = check_device(device)
        same_device = target in (current, torch.device(current.type))
        self.module = module if same_device else deepcopy(module).to(target)
        self.name = name
        self._output = output
        self.target_scores = None if targets is None else TargetScores(targets, name)
        if self.target_scores is not None and any(map(is_inner, self.target_scores.functions)):
            raise TypeError(
                "expected targets= on the output of the network, got a target inside of it; pass it as target= to a "
                "method, or to with_target() of a model without it"
            )
        #: The model whose layers the targets inside the network read, in a list, as a module would become a submodule.
        self._whole: list[ImageModel] = []
        self._derived: dict[tuple[int, ...], ImageModel] = {}
        self.training = False
        resizing = Resizing(check_size(size), resize, interpolation)
        self._configure_input(resizing, mean, std, channels, display, target)
        counts: list[int] = []
        check_private(self.module, lambda: counts.append(self._count_classes()))
        classes = counts[0]
        self.labels = self._find_labels(labels, classes)
        self.activation, self.has_probabilities = self._find_activation(activation)
        #: Whether the scores of a mirrored image mean the same: those of classes do, those of a pixel or a box do not.
        self.mirrors = self.target_scores is None and self.has_probabilities
        self._check_independence()

    def __repr__(self) -> str:
        height, width = self.size
        count = len(self.labels)
        if self.target_scores is None and self.has_probabilities:
            outputs = f"{count} classes"
        else:
            outputs = f"{count} {'output' if self.target_scores is None else 'target'}{'s' * (count != 1)}"
        return f"ImageModel({self.name}: {self.channels}x{height}x{width} -> {outputs}, {self.device})"

    def __getstate__(self) -> dict[str, Any]:
        # Callables that were passed as a target may not be picklable.
        return {**self.__dict__, "_derived": {}}

    # -- from pixels to scores ------------------------------------------------------------------------------

    def forward(
        self, x: Tensor, *, frozen: bool = False, folded: bool = False, normalized: bool = False
    ) -> Tensor:
        """Return the scores of a batch of pixels without checking them. Gradients flow.

        Parameters
        ----------
        x : Tensor, (N, C, H, W)
            Pixels in [0, 1], which is not checked.
        frozen : bool, default False
            Whether parameters are constants, so that only tensors that depend on the pixels require a gradient.
        folded : bool, default False
            Whether to fold batch norm into convolutions where that is safe and saves time, which changes the scores by
            rounding (:mod:`xai_widgets.core.folding`).
        normalized : bool, default False
            Whether ``x`` is a result of :meth:`normalized` instead of pixels. The network may write to it.

        Returns
        -------
        Tensor, (N, classes)
            Scores before softmax, float32.
        """
        if self._whole and self.target_scores is not None:
            pixels = x * self.std + self.mean if normalized else x
            return self.target_scores.evaluate(self._whole[0], pixels, frozen=frozen).float()
        fold = (lambda output: self._pick(output, x[:1])) if folded else None
        return self._pick(self._run(x, frozen=frozen, folded=fold, normalized=normalized), x)

    @guarded
    @torch.no_grad()
    def scores(self, images: Any) -> Tensor:
        """Return the scores before softmax, (N, classes), of images of any kind."""
        return self(self.images(images))

    @guarded
    @torch.no_grad()
    def raw_output(self, images: Any) -> Any:
        """Return what the network itself returns for images of any kind, which is the argument of a target."""
        return self._run(self.images(images))

    @guarded
    def with_target(
        self, target: TargetFunction | Mapping[str, TargetFunction] | Sequence[TargetFunction]
    ) -> ImageModel:
        """Return a model of the same network whose only scores are those of the given targets.

        ``method(model, x, target=callable)`` is ``method(model.with_target(callable), x, target=0)``. The models of
        recent callables are kept.

        Parameters
        ----------
        target : callable, or mapping of str to callable, or sequence of callables
            See ``targets`` of :class:`ImageModel`.

        Raises
        ------
        TypeError
            If a target is not a callable.
        ValueError
            If a target does not return one score per image.
        """
        whole = self._whole[0] if self._whole else self
        if whole is not self:
            # The pass of this model ends before other layers.
            return whole.with_target(target)
        targets = TargetScores(target, self.name)
        key = tuple(map(id, targets.functions))
        derived = self._derived.pop(key, None)
        if derived is None or (isinstance(target, Mapping) and derived.labels != targets.labels):
            derived = copy(self)
            # Attributes of the copy only; it shares the network.
            values = derived.__dict__
            values |= {
                "target_scores": targets,
                "_derived": {},
                "_layers": None,
                "_bottlenecks": {},
                "_feature_layer": None,
                "labels": [],
            }
            targets.bind(self)
            if targets.inner:
                values["_whole"] = [self]
                values["_read"] = frozenset(name for each in targets.inner for name in each.layers)
                check_finite(derived(self._blank(1)), self.name, "scores of targets")
                classes = len(targets.inner)
            else:
                classes = derived._count_classes()
            derived.labels = derived._find_labels(None, classes)
            derived.activation, derived.has_probabilities = None, False
            # The position of a target inside the network has another content in the mirrored image.
            derived.mirrors = self.mirrors and derived._is_tensor and not targets.inner
        # The most recent one is the last.
        self._derived[key] = derived
        while len(self._derived) > RECENT:
            self._derived.pop(next(iter(self._derived)), None)
        return derived

    def probs(self, images: Any) -> Tensor:
        """Return the probabilities, (N, classes), of images of any kind; without an activation, the scores."""
        return self.probabilities(self.scores(images))

    @guarded
    def predict(self, images: Any, k: int = 5) -> list[list[Prediction]]:
        """Return the ``k`` most probable classes of each image, best first.

        Returns
        -------
        list of list of Prediction
            One list per image, of at most the number of classes. If the network has no probabilities, ``probability``
            is the score. NaN scores give NaN probabilities and a warning.
        """
        k = integer(k, "k", low=1)
        scores = self.scores(images)
        # A score of minus infinity excludes a class.
        if scores.isnan().any() or scores.amax(1).isinf().any():
            warn(
                f"expected finite scores, got NaN or infinite scores from {self.name}; has its training diverged?"
            )
        top = self.probabilities(scores).topk(min(k, len(self.labels)))
        return [
            [
                Prediction(self.labels[i], p, scores[n, i].item(), i)
                for p, i in zip(values, indices, strict=True)
            ]
            for n, (values, indices) in enumerate(zip(top.values.tolist(), top.indices.tolist(), strict=True))
        ]

    @guarded
    def prepare(self, images: Any, target: Target = None) -> tuple[Tensor, Tensor]:
        """Return the batch of images and one class index per image.

        Raises
        ------
        ValueError
            See :meth:`images` and :meth:`targets`; also if ``target`` is None and a score is NaN.
        """
        x = self.images(images)
        if target is None:
            with torch.no_grad():
                scores = self(x)
            check_finite(scores, self.name)
            return x, scores.argmax(1)
        return x, self.targets(target, x)

    @guarded
    def targets(self, target: Target, x: Tensor) -> Tensor:
        """Return class indices, (N,), for an index, a label, one of these per image, or None.

        None is the predicted class of each image. A callable is a target of another model, see :meth:`with_target`.

        Raises
        ------
        ValueError
            For an unknown class, with the nearest label, or a wrong number of targets.
        """
        if target is None:
            with torch.no_grad():
                return self(x).argmax(1)
        if target_functions(target) is not None:
            raise TypeError(
                "expected target as a class index, a label, or one per image, got a callable; its scores are those of "
                "model.with_target(callable)"
            )
        single = isinstance(target, str | numbers.Number) or dimensions(target, 1) == 0
        targets = [target] if single else items(target, "target", what="class indices or labels")
        if len(targets) not in (1, len(x)):
            raise ValueError(f"expected one target, or one per image, got {len(targets)} for {len(x)} images")
        indices = [self.class_index(item) for item in targets]
        return torch.tensor(indices, device=x.device).expand(len(x))

    def class_index(self, target: object) -> int:
        """Return the index of a class for an index or a label (case-insensitive)."""
        if isinstance(target, str):
            matches = [i for i, label in enumerate(self.labels) if label == target] or [
                i for i, label in enumerate(self.labels) if label.lower() == target.lower()
            ]
            if len(matches) > 1:
                raise ValueError(
                    f"expected a label of one class, got {brief(target)}, the label of classes {matches}; pass an index"
                )
            if not matches:
                raise ValueError(unknown_name("label", target, self.labels))
            return matches[0]
        arrays = Tensor | np.ndarray | np.generic
        kind = str(target.dtype) if isinstance(target, arrays) else type(target).__name__
        try:
            # A float is not an index, even if it is whole.
            index = integer(None if "float" in kind else target, "target")
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"expected target as a class index, a label, or one per image, got {brief(target)}"
            ) from error
        if not 0 <= index < len(self.labels):
            raise ValueError(f"expected a class from 0 to {len(self.labels) - 1}, got {brief(index)}")
        return index


def check_model(model: Any) -> None:
    """Raise TypeError if ``model`` is not an ImageModel."""
    if not isinstance(model, ImageModel):
        raise TypeError(f"expected an ImageModel(module, mean=, std=), got {type(model).__name__}")


def targeted(model: ImageModel, target: Target) -> tuple[ImageModel, Any]:
    """Return the model that has the scores of a target, and the target as classes of this model.

    A callable becomes the only score of a model of the same network; callables, one per image, become its scores.
    """
    check_model(model)
    functions = target_functions(target)
    if functions is None:
        return model, target
    classes = 0 if len(functions) == 1 else list(range(len(functions)))
    return model.with_target(functions if len(functions) > 1 else functions[0]), classes


def prepare(model: ImageModel, x: Any, target: Target) -> tuple[ImageModel, Tensor, Tensor]:
    """Return the model with the scores of the target, the images (N, C, H, W) and the classes (N,).

    The model is the given one unless the target is a callable. Inference tensors are cloned. Raises TypeError if the
    model is not an ImageModel.
    """
    model, target = targeted(model, target)
    x, target = model.prepare(x, target)
    return (
        model,
        (x.clone() if x.is_inference() else x),
        (target.clone() if target.is_inference() else target),
    )
