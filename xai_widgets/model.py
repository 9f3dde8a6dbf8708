"""A network as explainers see it: pixels in [0, 1] to class scores, with labels and named layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xai_widgets.errors import unknown
from xai_widgets.images import to_images
from xai_widgets.outputs import describe, find_scores
from xai_widgets.recording import Evaluation, recording, watching

#: What a target may be: nothing (the predicted class), a class index, a label, or one of these per image.
Target = int | str | Sequence[int | str] | Tensor | None


class Layer(NamedTuple):
    """One layer of a network, in the order in which layers finish.

    ``shape`` is the shape of its output for one image, without the batch; ``calls`` counts how often it runs
    in one pass; ``pools`` tells that the output comes straight from a pooling module.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    calls: int
    pools: bool


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
        Where to run. Default: where the network is. "auto" takes the first of cuda, mps and cpu that is there.
        If that is elsewhere, a copy of the network is made there.
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
        device = torch.device(best_device() if device == "auto" else device or _device_of(module))
        if device.type != _device_of(module).type or device.index not in (None, _device_of(module).index):
            module = deepcopy(module).to(device)
        self.module = module
        self.name = name or type(module).__name__
        self.size = _check_size(size)
        self._output = output
        self._evaluation = Evaluation(module)
        self.training = False
        normalisation = _check_normalisation(mean, std)
        self.register_buffer("mean", normalisation[0].to(device), persistent=False)
        self.register_buffer("std", normalisation[1].to(device), persistent=False)
        self._layers: list[Layer] | None = None
        self._cuts: dict[str, bool] = {}
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
        with self._evaluation():
            return self._pick(self.module(((x - self.mean) / self.std).to(_dtype_of(self.module))))

    def images(self, images: Any) -> Tensor:
        """Bring images of any kind to the network: (N, C, H, W) in [0, 1], on its device.

        See :func:`xai_widgets.images.to_images` for what is taken and what is refused.
        """
        return to_images(images, size=self.size, channels=self.channels).to(self.device)

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
        if isinstance(target, Tensor):
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
            self._layers = self._list_layers()
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
        if tuple(activation.shape[1:2]) != found.shape[:1] or activation.ndim != len(found.shape) + 1:
            raise ValueError(
                f"the activation of {layer!r} has shape {tuple(activation.shape)}, wanted (N, "
                f"{', '.join(map(str, found.shape))})"
            )
        if layer not in self._cuts:
            self._cuts[layer] = self._check_cut(found, modules)
        # What comes before the layer is thrown away: one blank image is enough where the network allows it.
        blank = self._blank(1 if self._cuts[layer] else len(activation))
        # A clone: the network may go on with an in-place operation.
        with watching(modules, lambda _name, _module, _output: activation.clone()):
            return self(blank)

    def _check_cut(self, layer: Layer, modules: Mapping[str, nn.Module]) -> bool:
        """Refuse a layer that does not cut the network; tell whether the batch may change at it."""
        if layer.calls > 1:
            raise ValueError(
                f"layer {layer.name!r} runs {layer.calls} times in one pass, wanted one that runs once, "
                f"such as {layer.name.rpartition('.')[0] or self.default_layer()!r}"
            )

        def run(before: int, after: int) -> tuple[Tensor, Tensor]:
            x = self._blank(before).requires_grad_()
            stand_in = torch.zeros(after, *layer.shape, device=self.device, dtype=_dtype_of(self.module))
            stand_in.requires_grad_()
            with watching(modules, lambda _name, _module, _output: stand_in.clone()):
                return self(x), x

        with torch.inference_mode(False), torch.enable_grad():
            scores, x = run(1, 1)
            if not scores.requires_grad:
                raise ValueError(f"the scores do not depend on layer {layer.name!r}, wanted one on their way")
            if torch.autograd.grad(scores.sum(), x, allow_unused=True)[0] is not None:
                raise ValueError(
                    f"paths of {self.name} lead around layer {layer.name!r}, wanted one that all pass through, "
                    f"such as {layer.name.partition('.')[0]!r}"
                )
            try:
                return len(run(1, 2)[0]) == 2
            except (RuntimeError, ValueError):
                return False

    # -- inside ---------------------------------------------------------------------------------------------

    def _blank(self, n: int) -> Tensor:
        return torch.zeros(n, self.channels, *self.size, device=self.device)

    def _probe(self) -> int:
        """Run one blank image; the number of classes."""
        height, width = self.size
        try:
            with torch.no_grad():
                return self(self._blank(1)).shape[1]
        except (RuntimeError, TypeError, IndexError, NotImplementedError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ValueError(
                f"{self.name} did not take an image of shape (1, {self.channels}, {height}, {width}), wanted a "
                f"network with image input, or its own size=, mean= and std= ({reason})"
            ) from error

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

    @torch.no_grad()
    def _list_layers(self) -> list[Layer]:
        modules = {name: module for name, module in self.module.named_modules() if name}
        outputs: dict[str, tuple[Tensor, int]] = {}
        pooled: list[Tensor] = []

        def note(name: str, module: nn.Module, output: Any) -> None:
            if not isinstance(output, Tensor):
                return
            if "Pool" in type(module).__name__:
                pooled.append(output)
            _, calls = outputs.pop(name, (output, 0))
            outputs[name] = (output, calls + 1)

        with watching(modules, note):
            self(self._blank(1))
        return [
            Layer(
                name,
                type(modules[name]).__name__,
                tuple(out.shape[1:]),
                n,
                any(out is pool for pool in pooled),
            )
            for name, (out, n) in outputs.items()
        ]


def best_device() -> torch.device:
    """The first of cuda, mps and cpu that is there."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _device_of(module: nn.Module) -> torch.device:
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")


def _dtype_of(module: nn.Module) -> torch.dtype:
    for parameter in module.parameters():
        if parameter.is_floating_point():
            return parameter.dtype
    return torch.float32


def _check_size(size: int | tuple[int, int] | None) -> tuple[int, int]:
    pair = (224, 224) if size is None else (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or any(not isinstance(extent, int) or extent < 1 for extent in pair):
        raise ValueError(f"size is {size!r}, wanted a number of pixels or (height, width)")
    return pair


def _check_normalisation(mean: Sequence[float] | None, std: Sequence[float] | None) -> tuple[Tensor, Tensor]:
    channels = len(mean if mean is not None else std if std is not None else (0, 0, 0))
    means = torch.tensor([0.0] * channels if mean is None else list(mean), dtype=torch.float32)
    stds = torch.tensor([1.0] * channels if std is None else list(std), dtype=torch.float32)
    if len(means) != len(stds) or channels not in (1, 3):
        raise ValueError(f"mean has {len(means)} and std {len(stds)} numbers, wanted 1 or 3 of both")
    if not torch.isfinite(means).all() or not (torch.isfinite(stds).all() and (stds > 0).all()):
        raise ValueError(
            f"mean is {means.tolist()} and std {stds.tolist()}, wanted finite numbers and std above 0"
        )
    return means.view(1, -1, 1, 1), stds.view(1, -1, 1, 1)
