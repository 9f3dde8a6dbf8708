"""A network as explainers see it: pixels in [0, 1] to class scores, with labels and named layers."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn

from xai_widgets.core.arguments import (
    check_device,
    check_normalization,
    check_resize,
    check_size,
    device_of,
    dtype_of,
)
from xai_widgets.core.guard import guarded, outside_inference
from xai_widgets.core.images import to_images
from xai_widgets.core.layered import Layered
from xai_widgets.core.model_output import as_scores, describe, ending, find_scores
from xai_widgets.core.replica import check_private, initialize, replica, unwrapped
from xai_widgets.core.run import check_cancelled
from xai_widgets.core.validation import brief, check_finite, dimensions, instance, integer, items
from xai_widgets.errors import checked_keywords, unknown_name, warn

#: What a target may be: nothing (the predicted class), a class index, a label, or one of these per image.
Target = int | str | Sequence[int | str] | Tensor | None
#: How class scores become probabilities.
Activation = Literal["softmax", "sigmoid"]
Interpolation = Literal["bilinear", "bicubic"]


class Prediction(NamedTuple):
    """One class of a prediction."""

    label: str
    probability: float
    score: float
    target: int


class ImageModel(Layered):
    """A network from pixels in [0, 1] to class scores, normalization folded in.

    The network itself is never changed: parameters, buffers, ``requires_grad``, hooks, train or eval mode and
    device stay as they are, also while another thread trains it. Every pass runs on a replica of the network that is in
    eval mode and shares its parameters (:mod:`xai_widgets.core.replica`). Wrappers that change only how a network runs
    are left out: ``torch.compile``, ``DataParallel``.

    Parameters
    ----------
    module : nn.Module
        Takes a batch (N, C, H, W). Returns scores before softmax, (N, classes), or a tuple, dict or object
        that holds them (see ``output``).
    labels : sequence of str, optional
        One name per class. Default: "class 0", "class 1", ...
    mean, std : sequence of float, optional
        Of the normalization ``(x - mean) / std`` that the network was trained with, in units of pixels in
        [0, 1]. Their length is the number of channels, 1 or 3. Default: none, three channels.
    size : int or (int, int), default 224
        Height and width to which pictures are brought: they are resized and the center is cropped.
    resize : int, optional
        Length to which the short side of a picture is resized before ``size`` is cropped from its center, as in the
        presets of torchvision and timm. Default: the picture is resized until it just covers ``size``.
    interpolation : {"bilinear", "bicubic"}, default "bilinear"
        How pictures are resized, with antialiasing.
    activation : {"auto", "softmax", "sigmoid"} or None, default "auto"
        How scores become probabilities: softmax for classes that exclude each other, sigmoid for labels that do not,
        None for outputs that are taken as they are, as of a regression. "auto" is softmax for several classes, sigmoid
        for one, and None, with a warning, where the network ends in one of the two itself.
    device : str or torch.device, optional
        Where to run. Default: the network's own accelerator, else "auto", the first available of cuda, mps and cpu.
        On another device a copy of the network runs, which does not follow later changes of the network.
    output : str or int, optional
        Which entry of a dict, object or tuple holds the scores. Default: "logits" or "out", the first of a
        tuple, or the only tensor of shape (N, classes).
    name : str, optional
        What to call the network in legends. Default: the name of its class.

    Raises
    ------
    TypeError
        If ``module`` is no network.
    ValueError
        If the network takes no image, or returns no class scores, or the labels do not fit them.
    """

    mean: Tensor
    std: Tensor

    @checked_keywords
    @guarded
    def __init__(
        self,
        module: nn.Module,
        *,
        labels: Sequence[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        size: int | tuple[int, int] | None = None,
        resize: int | None = None,
        interpolation: Interpolation = "bilinear",
        activation: Activation | Literal["auto"] | None = "auto",
        device: str | torch.device | None = None,
        output: str | int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        if isinstance(module, ImageModel) or not isinstance(module, nn.Module):
            given = getattr(module, "__name__", type(module).__name__)
            raise TypeError(f"module is {given}, wanted a torch.nn.Module that takes images")
        name = type(unwrapped(module)).__name__ if name is None else instance(name, "name", str)
        module = unwrapped(module)
        home = device_of(module)
        if home.type == "meta":
            raise ValueError(f"expected a network with values, got {name} on the meta device")
        if device is None:
            device = "auto" if home.type == "cpu" else home
        wanted = check_device(device)
        self.module = module if wanted in (home, torch.device(home.type)) else deepcopy(module).to(wanted)
        self.name = name
        self.size = check_size(size)
        self.resize, self.interpolation = check_resize(resize, self.size), interpolation
        if interpolation not in get_args(Interpolation):
            raise ValueError(unknown_name("interpolation", interpolation, get_args(Interpolation)))
        self._output = output
        self._format = torch.channels_last
        self.training = False
        # Inside the caller's inference_mode() these would be refused by every later backward pass.
        with outside_inference():
            means, stds = (part.to(wanted) for part in check_normalization(mean, std))
        self.register_buffer("mean", means, persistent=False)
        self.register_buffer("std", stds, persistent=False)
        self._sizes = {self.size}
        initialize(self.module, self._blank(1))
        found: list[int] = []
        check_private(self.module, lambda: found.append(self._probe()))
        classes = found[0]
        labels = None if labels is None else items(labels, "labels", what="names")
        if labels is not None and len(labels) != classes:
            raise ValueError(f"{len(labels)} labels were given for {classes} classes, wanted one per class")
        self.labels = (
            [f"class {i}" for i in range(classes)] if labels is None else [str(label) for label in labels]
        )
        self.activation, self.has_probabilities = self._find_activation(activation)
        self._check_alone()

    def __repr__(self) -> str:
        height, width = self.size
        return f"ImageModel({self.name}: {self.channels}x{height}x{width} -> {len(self.labels)} classes, {self.device})"

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self.mean.device

    @property
    def channels(self) -> int:
        """How many channels the network takes."""
        return self.mean.shape[1]

    # -- from pixels to scores ------------------------------------------------------------------------------

    def forward(self, x: Tensor, *, frozen: bool = False) -> Tensor:
        """Scores of a batch of pixels, as they are: nothing is checked, gradients flow.

        Parameters
        ----------
        x : Tensor, (N, C, H, W)
            Pixels; [0, 1] is expected and not checked.
        frozen : bool, default False
            Whether parameters are constants, so that what requires a gradient depends on the pixels.

        Returns
        -------
        Tensor, (N, classes)
            Scores before softmax, float32.
        """
        return self._pick(self._run(x, frozen=frozen), len(x))

    @guarded
    def images(self, images: Any) -> Tensor:
        """Bring images of any kind to the network: (N, C, H, W) in [0, 1], on its device.

        See :func:`xai_widgets.core.images.to_images` for what is taken and what is refused. Tensors of a size that the
        network does not take are refused too.
        """
        x = to_images(
            images,
            size=self.size,
            resize=self.resize,
            interpolation=self.interpolation,
            channels=self.channels,
        ).to(self.device)
        size = (x.shape[2], x.shape[3])
        if size not in self._sizes:
            self._try(
                size,
                f"images of {size[0]} x {size[1]} do not go through {self.name}, wanted "
                f"{self.size[0]} x {self.size[1]}",
            )
            self._sizes.add(size)
        return x

    @guarded
    @torch.no_grad()
    def scores(self, images: Any) -> Tensor:
        """Scores before softmax, (N, classes), of images of any kind."""
        return self(self.images(images))

    def probabilities(self, scores: Tensor) -> Tensor:
        """Return the probabilities of scores, (..., classes), by the model's activation.

        Without an activation these are the scores themselves.
        """
        if self.activation == "softmax":
            return scores.softmax(-1)
        return scores.sigmoid() if self.activation == "sigmoid" else scores

    @property
    def value_name(self) -> str:
        """The name of what :meth:`probabilities` returns: "probability", or "score" where there is none."""
        return "probability" if self.has_probabilities else "score"

    def probs(self, images: Any) -> Tensor:
        """Probabilities, (N, classes), of images of any kind; the scores of a network without probabilities."""
        return self.probabilities(self.scores(images))

    @guarded
    def predict(self, images: Any, k: int = 5) -> list[list[Prediction]]:
        """The ``k`` most probable classes of each image, best first.

        Returns
        -------
        list of list of Prediction
            One list per image; ``k`` is cut to the number of classes. Of a network without probabilities
            ``probability`` is the score. Where scores are NaN a warning says so, and so are the probabilities.
        """
        k = integer(k, "k", low=1)
        scores = self.scores(images)
        # A class may be ruled out by a score of minus infinity.
        if scores.isnan().any() or scores.amax(1).isinf().any():
            warn(
                f"{self.name} returned NaN or infinite scores, so it predicts nothing; has its training diverged?"
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
        """What every explainer begins with: the batch of images and one class index for each.

        Raises
        ------
        ValueError
            As :meth:`images` and :meth:`targets`, or if the predicted class is asked for and a score is NaN.
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
        """Class indices, (N,), from an index, a label, one of these per image, or None.

        None stands for the predicted class of each image.

        Raises
        ------
        ValueError
            For a class that does not exist, with the nearest label, or a wrong number of targets.
        """
        if target is None:
            with torch.no_grad():
                return self(x).argmax(1)
        one = isinstance(target, str | numbers.Number) or dimensions(target, 1) == 0
        given = [target] if one else items(target, "target", what="class indices or labels")
        if len(given) not in (1, len(x)):
            raise ValueError(
                f"{len(given)} targets were given for {len(x)} images, wanted one, or one per image"
            )
        indices = [self.class_index(item) for item in given]
        return torch.tensor(indices, device=x.device).expand(len(x))

    def class_index(self, target: object) -> int:
        """The index of a class given as an index or as a label (letter case is overlooked)."""
        if isinstance(target, str):
            found = [i for i, label in enumerate(self.labels) if label == target] or [
                i for i, label in enumerate(self.labels) if label.lower() == target.lower()
            ]
            if len(found) > 1:
                raise ValueError(f"label {brief(target)} names classes {found}, wanted one of these indices")
            if not found:
                raise ValueError(unknown_name("label", target, self.labels))
            return found[0]
        arrays = Tensor | np.ndarray | np.generic
        kind = str(target.dtype) if isinstance(target, arrays) else type(target).__name__
        try:
            # A float is no index, even a whole one.
            index = integer(None if "float" in kind else target, "target")
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"expected target as a class index, a label, or one per image, got {brief(target)}"
            ) from error
        if not 0 <= index < len(self.labels):
            raise ValueError(f"class {brief(index)} is out of range, wanted 0 to {len(self.labels) - 1}")
        return index

    # -- inside ---------------------------------------------------------------------------------------------

    def _blank(self, n: int) -> Tensor:
        return torch.zeros(n, self.channels, *self.size, device=self.device)

    def _run(self, x: Tensor, *, frozen: bool = False) -> Any:
        """Whatever the network returns for a batch of pixels."""
        check_cancelled()
        # channels_last is as fast or faster on every device measured, up to twice at batch 16 on a CPU.
        x = x.contiguous(memory_format=self._format)
        network = replica(self.module, frozen=frozen)
        return network(((x - self.mean) / self.std).to(dtype_of(self.module)))

    def _try(self, size: tuple[int, int], refusal: str) -> Any:
        """What the network returns for a blank image of this size; ``refusal``, with its reason, if it fails."""
        blank = torch.zeros(1, self.channels, *size, device=self.device)
        try:
            with torch.no_grad():
                try:
                    return self._run(blank)
                except RuntimeError:
                    if self._format == torch.contiguous_format:
                        raise
                    # Such as view(), which cannot flatten what comes out of a convolution with its channels last.
                    self._format = torch.contiguous_format
                    return self._run(blank)
        except Exception as error:  # a network may raise whatever it likes
            reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
            raise ValueError(f"{refusal} ({reason})") from error

    def _probe(self) -> int:
        """Run one blank image; the number of classes."""
        height, width = self.size
        output = self._try(
            self.size,
            f"{self.name} did not take an image of shape (1, {self.channels}, {height}, {width}), wanted a network "
            "with image input, or its own size=, mean= and std=",
        )
        scores = self._pick(output, 1)
        if len(scores) != 1:
            raise ValueError(
                f"{self.name} returned {describe(output)} for one image, wanted class scores of shape (N, classes)"
            )
        return scores.shape[1]

    def _find_activation(self, given: str | None) -> tuple[Activation | None, bool]:
        """How scores become probabilities, and whether there are any."""
        if given not in ("auto", None, *get_args(Activation)):
            raise ValueError(unknown_name("activation", given, ["auto", *get_args(Activation)]))
        found = ending(self, self._blank(1))
        if found is not None and given is not None:
            warn(
                f"{self.name} ends in a {found}: its outputs are taken for probabilities as they are, and explainers "
                "explain a probability, not the score before it; expected a network without its last activation"
                if given == "auto"
                else f"{self.name} ends in a {found} itself, and activation={given!r} is applied on top of it"
            )
        if given == "auto":
            if found is not None:
                return None, True
            if len(self.labels) > 1:
                return "softmax", True
            warn(
                f"{self.name} returns one number for an image, which is taken for the score of one label "
                "(activation='sigmoid'); for a regression pass activation=None"
            )
            return "sigmoid", True
        if given is None:
            return None, found is not None
        return ("softmax" if given == "softmax" else "sigmoid"), True

    def _check_alone(self) -> None:
        """Warn of scores that are not those of the image alone, or not the same twice."""
        if self.device.type == "meta":
            return
        noise = torch.rand(self._blank(1).shape, generator=torch.Generator().manual_seed(0)).to(self.device)
        try:
            with torch.no_grad():
                first, both = self(noise), self(torch.cat([noise, self._blank(1)]))[:1]
                again = self(noise)
        except (RuntimeError, ValueError, AssertionError):  # a network may take one image at a time only
            return
        # Far above what rounding makes of another batch size.
        limit = max(1e-3, 64 * torch.finfo(dtype_of(self.module)).eps) * first.abs().amax()
        if not bool(((first - again).abs() <= limit).all()):
            if first.isfinite().all():
                warn(
                    f"{self.name} returns other scores for an image each time, so its explanations are random too"
                )
        elif not bool(((first - both).abs() <= limit).all()) and both.isfinite().all():
            warn(
                f"the scores of {self.name} for an image depend on the other images of the batch, as with batch "
                "statistics, so explanations do too; pass batch_size=1 where a method takes it"
            )

    def _pick(self, output: Any, number: int) -> Tensor:
        """The scores of this number of images in whatever the network returned."""
        found = find_scores(output, self._output)
        if found is None:
            raise ValueError(
                f"{self.name} returned {describe(output)}, wanted scores of shape (N, classes) or output= naming them"
            )
        scores = as_scores(found, number)
        if scores is None:
            raise ValueError(
                f"{self.name} returned {describe(output)}, wanted class scores of shape (N, classes) as floats"
            )
        classes = len(getattr(self, "labels", ())) or scores.shape[1]
        if scores.shape[1] != classes:
            raise ValueError(
                f"expected {classes} scores from {self.name}, as when it was wrapped, got {scores.shape[1]}; wrap the "
                "changed network in a new ImageModel"
            )
        return scores.to(torch.float32)


def check_model(model: Any) -> None:
    """Raise TypeError if ``model`` is not an ImageModel."""
    if not isinstance(model, ImageModel):
        raise TypeError(f"expected an ImageModel(module, mean=, std=), got {type(model).__name__}")


def prepare(model: ImageModel, x: Any, target: Target) -> tuple[Tensor, Tensor]:
    """Return images (N, C, H, W) and classes (N,), inference tensors cloned; TypeError if ``model`` is not one."""
    check_model(model)
    x, target = model.prepare(x, target)
    return (x.clone() if x.is_inference() else x), (target.clone() if target.is_inference() else target)
