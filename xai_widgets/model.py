"""A network as explainers see it: pixels in [0, 1] to class scores, with labels and named layers."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from xai_widgets.arguments import check_device, check_normalisation, check_size, device_of, dtype_of
from xai_widgets.errors import unknown
from xai_widgets.images import to_images
from xai_widgets.layers import Layer, candidates, cuts, list_layers
from xai_widgets.outputs import describe, find_scores
from xai_widgets.recording import evaluating, recording, watching

#: What a target may be: nothing (the predicted class), a class index, a label, or one of these per image.
Target = int | str | Sequence[int | str] | Tensor | None


class Prediction(NamedTuple):
    """One class of a prediction."""

    label: str
    probability: float
    score: float
    target: int


class ImageModel(nn.Module):
    """A network from pixels in [0, 1] to class scores, normalisation folded in.

    The network itself is never changed: parameters, buffers, ``requires_grad``, hooks, train or eval mode and
    device stay as they are. A network in train mode is run in eval mode and handed back in train mode.

    Parameters
    ----------
    module : nn.Module
        Takes a batch (N, C, H, W). Returns scores before softmax, (N, classes), or a tuple, dict or object
        that holds them (see ``output``).
    labels : sequence of str, optional
        One name per class. Default: "class 0", "class 1", ...
    mean, std : sequence of float, optional
        Of the normalisation ``(x - mean) / std`` that the network was trained with, in units of pixels in
        [0, 1]. Their length is the number of channels, 1 or 3. Default: none, three channels.
    size : int or (int, int), default 224
        Height and width to which pictures are brought.
    device : str or torch.device, optional
        Where to run. Default: where the network is, if that is an accelerator, else "auto", the first of cuda, mps
        and cpu that is there. If that is elsewhere, a copy of the network is made there, which does not follow
        later changes of the network; "cpu" keeps one on the CPU.
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

    def __init__(
        self,
        module: nn.Module,
        *,
        labels: Sequence[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        size: int | tuple[int, int] | None = None,
        device: str | torch.device | None = None,
        output: str | int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        if isinstance(module, ImageModel) or not isinstance(module, nn.Module):
            given = getattr(module, "__name__", type(module).__name__)
            raise TypeError(f"module is {given}, wanted a torch.nn.Module that takes images")
        home = device_of(module)
        if device is None:
            device = "auto" if home.type == "cpu" else home
        wanted = check_device(device)
        self.module = module if wanted in (home, torch.device(home.type)) else deepcopy(module).to(wanted)
        self.name = name or type(module).__name__
        self.size = check_size(size)
        self._output = output
        self.training = False
        # Inside the caller's inference_mode() these would be refused by every later backward pass.
        with torch.inference_mode(False):
            means, stds = (part.to(wanted) for part in check_normalisation(mean, std))
        self.register_buffer("mean", means, persistent=False)
        self.register_buffer("std", stds, persistent=False)
        self._sizes = {self.size}
        self._layers: list[Layer] | None = None
        self._cuts: dict[str, bool | None] = {}
        classes = self._probe()
        if labels is not None and len(labels) != classes:
            raise ValueError(f"{len(labels)} labels were given for {classes} classes, wanted one per class")
        self.labels = (
            [f"class {i}" for i in range(classes)] if labels is None else [str(label) for label in labels]
        )

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

    def forward(self, x: Tensor) -> Tensor:
        """Scores of a batch of pixels, as they are: nothing is checked, gradients flow.

        Parameters
        ----------
        x : Tensor, (N, C, H, W)
            Pixels; [0, 1] is expected and not checked.

        Returns
        -------
        Tensor, (N, classes)
            Scores before softmax, float32.
        """
        # channels_last is as fast or faster on every device measured, up to twice at batch 16 on a CPU.
        x = x.contiguous(memory_format=torch.channels_last)
        with evaluating(self.module):
            return self._pick(self.module(((x - self.mean) / self.std).to(dtype_of(self.module))))

    def images(self, images: Any) -> Tensor:
        """Bring images of any kind to the network: (N, C, H, W) in [0, 1], on its device.

        See :func:`xai_widgets.images.to_images` for what is taken and what is refused. Tensors of a size that the
        network does not take are refused too.
        """
        x = to_images(images, size=self.size, channels=self.channels).to(self.device)
        size = (x.shape[2], x.shape[3])
        if size not in self._sizes:
            self._try(
                size,
                f"images of {size[0]} x {size[1]} do not go through {self.name}, wanted "
                f"{self.size[0]} x {self.size[1]}",
            )
            self._sizes.add(size)
        return x

    @torch.no_grad()
    def scores(self, images: Any) -> Tensor:
        """Scores before softmax, (N, classes), of images of any kind."""
        return self(self.images(images))

    def probs(self, images: Any) -> Tensor:
        """Softmax probabilities, (N, classes), of images of any kind."""
        return self.scores(images).softmax(1)

    def predict(self, images: Any, k: int = 5) -> list[list[Prediction]]:
        """The ``k`` most probable classes of each image, best first.

        Returns
        -------
        list of list of Prediction
            One list per image; ``k`` is cut to the number of classes.
        """
        if k < 1:
            raise ValueError(f"k is {k}, wanted at least 1")
        scores = self.scores(images)
        top = scores.softmax(1).topk(min(k, len(self.labels)))
        return [
            [
                Prediction(self.labels[i], p, scores[n, i].item(), i)
                for p, i in zip(values, indices, strict=True)
            ]
            for n, (values, indices) in enumerate(zip(top.values.tolist(), top.indices.tolist(), strict=True))
        ]

    def prepare(self, images: Any, target: Target = None) -> tuple[Tensor, Tensor]:
        """What every explainer begins with: the batch of images and one class index for each."""
        x = self.images(images)
        return x, self.targets(target, x)

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
        if isinstance(target, Tensor | np.ndarray):
            target = target.tolist()
        given = list(target) if hasattr(target, "__iter__") and not isinstance(target, str) else [target]
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
                raise ValueError(f"label {target!r} names classes {found}, wanted one of these indices")
            if not found:
                raise ValueError(unknown("label", target, self.labels))
            return found[0]
        if isinstance(target, bool) or not hasattr(target, "__index__"):
            raise TypeError(f"a target is {target!r}, wanted a class index, a label, or one per image")
        index = target.__index__()
        if not 0 <= index < len(self.labels):
            raise ValueError(f"class {index} is out of range, wanted 0 to {len(self.labels) - 1}")
        return index

    # -- layers ---------------------------------------------------------------------------------------------

    def layers(self) -> list[Layer]:
        """The layers that run in one pass and return a tensor, in the order in which they finish."""
        if self._layers is None:
            self._layers = list_layers(self.module, lambda: self(self._blank(1)))
        return list(self._layers)

    def default_layer(self) -> str:
        """The last layer that still knows where things are, before pooling: the usual choice of Grad-CAM.

        Raises
        ------
        ValueError
            If no layer has an output (C, H, W) with more than one place.
        """
        spatial = [
            layer.name
            for layer in self.layers()
            if len(layer.shape) == 3 and layer.shape[1] * layer.shape[2] > 1 and not layer.pools
        ]
        if not spatial:
            raise ValueError(
                f"{self.name} has no layer with an output (C, H, W), wanted a convolutional network"
            )
        return spatial[-1]

    def find_layers(self, names: Sequence[str]) -> dict[str, nn.Module]:
        """The modules of these names; ValueError, with the nearest name, for one that never runs."""
        valid = [layer.name for layer in self.layers()]
        for name in names:
            if name not in valid:
                raise ValueError(unknown("layer", name, valid))
        return {name: self.module.get_submodule(name) for name in names}

    def check_places(self, layer: str, shape: Sequence[int]) -> None:
        """ValueError for a layer whose output for one image has a shape without places, other than (C, h, w)."""
        if len(shape) != 3:
            raise ValueError(
                f"layer {layer!r} has an output of shape {tuple(shape)}, wanted (C, h, w), such as that of "
                f"{self.default_layer()!r}"
            )

    @torch.no_grad()
    def activations(self, images: Any, layers: str | Sequence[str]) -> dict[str, Tensor]:
        """Outputs of layers for a batch of images.

        Parameters
        ----------
        images
            Images of any kind.
        layers : str or sequence of str
            Names from :meth:`layers`. Of a layer that runs several times the last output is given.

        Returns
        -------
        dict of str to Tensor, (N, ...)
            By layer name, in the order asked for.
        """
        names = [layers] if isinstance(layers, str) else list(layers)
        x = self.images(images)
        with recording(self.find_layers(names)) as kept:
            self(x)
        return {name: kept[name] for name in names}

    def forward_from(self, layer: str, activation: Tensor) -> Tensor:
        """Scores when ``layer`` returns ``activation``: the network from this layer on. Gradients flow.

        Parameters
        ----------
        layer : str
            A layer through which everything passes and which runs once: a layer inside a residual block is
            none, the block is.
        activation : Tensor, (N, ...)
            In place of the layer's output.

        Returns
        -------
        Tensor, (N, classes)

        Raises
        ------
        ValueError
            If the network has paths around the layer, or the activation does not fit.
        """
        modules = self.find_layers([layer])
        found = next(item for item in self.layers() if item.name == layer)
        misfit = (
            f"the activation of {layer!r} has shape {tuple(activation.shape)}, wanted (N, "
            f"{', '.join(map(str, found.shape))})"
        )
        if activation.ndim != len(found.shape) + 1 or activation.shape[1:2] != found.shape[:1]:
            raise ValueError(misfit)
        alike = self._check_cut(found)
        # What comes before the layer is thrown away: one blank image is enough where the network allows it.
        blank = self._blank(1 if alike else len(activation))
        activation = activation.to(self.device, dtype_of(self.module))
        try:
            # A clone: the network may go on with an in-place operation.
            with watching(modules, lambda _name, _module, _output: activation.clone()):
                return self(blank)
        except RuntimeError as error:
            if activation.shape[1:] == found.shape:
                raise
            raise ValueError(misfit) from error

    def is_cut(self, layer: str) -> bool:
        """Whether everything passes through a layer once, so that :meth:`forward_from` can begin there."""
        self.find_layers([layer])
        return self._cut(next(item for item in self.layers() if item.name == layer)) is not None

    def _check_cut(self, layer: Layer) -> bool:
        """Refuse a layer that does not cut the network; tell whether the batch may change at it."""
        cut = self._cut(layer)
        if cut is None:
            near = next(
                (item.name for item in candidates(layer, self.layers()) if self._cut(item) is not None), None
            )
            why = f"runs {layer.calls} times in one pass" if layer.calls > 1 else "has paths around it"
            raise ValueError(
                f"layer {layer.name!r} {why}, wanted one that everything passes through once"
                + (f", such as {near!r}" if near else f", and {self.name} has none")
            )
        return cut

    def _cut(self, layer: Layer) -> bool | None:
        if layer.name not in self._cuts:
            self._cuts[layer.name] = cuts(self.module, layer, self, self._blank(1), dtype_of(self.module))
        return self._cuts[layer.name]

    # -- inside ---------------------------------------------------------------------------------------------

    def _blank(self, n: int) -> Tensor:
        return torch.zeros(n, self.channels, *self.size, device=self.device)

    def _try(self, size: tuple[int, int], refusal: str) -> Any:
        """What the network returns for a blank image of this size; ``refusal``, with its reason, if it fails."""
        blank = torch.zeros(1, self.channels, *size, device=self.device)
        try:
            with torch.no_grad(), evaluating(self.module):
                return self.module(((blank - self.mean) / self.std).to(dtype_of(self.module)))
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
        return self._pick(output).shape[1]

    def _pick(self, output: Any) -> Tensor:
        """The scores in whatever the network returned."""
        found = find_scores(output, self._output)
        if found is None:
            raise ValueError(
                f"{self.name} returned {describe(output)}, wanted scores of shape (N, classes) or output= naming them"
            )
        scores = found.flatten(1) if found.ndim == 4 and found.shape[2:] == (1, 1) else found
        if scores.ndim != 2 or not scores.is_floating_point():
            raise ValueError(
                f"{self.name} returned {describe(output)}, wanted class scores of shape (N, classes) as floats"
            )
        return scores.to(torch.float32)


def check_model(model: Any) -> None:
    """TypeError for what is no ImageModel."""
    if not isinstance(model, ImageModel):
        raise TypeError(
            f"model is {type(model).__name__}, wanted an ImageModel: ImageModel(module, mean=, std=)"
        )
