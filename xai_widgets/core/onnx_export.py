"""Export of an image model as one ONNX file that computes its scores without torch.

The file holds the network with its normalization: it maps pixels (N, C, H, W) in [0, 1] to scores (N, classes), for
any number of images unless the network fixes it. In half precision the weights w are stored as float16 and converted
back when the file is opened, so that every operation computes in float32; each weight changes by at most 2^-11 |w|, or
2^-25 below 2^-14.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xai_widgets.core.arguments import dtype_of
from xai_widgets.core.hooks import call_of, tensor_of
from xai_widgets.core.linear_head import LinearHead
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.model_output import find_scores
from xai_widgets.core.optional import installed, optional
from xai_widgets.core.replica import named_parts, replica
from xai_widgets.core.validation import check_finite

#: Largest file, in bytes: a browser holds no text of more than 512 MB, and base64 takes four bytes for three.
LARGEST = 300_000_000
#: Largest difference from the scores of torch, as a part of the largest score, in full and in half precision.
TOLERANCES = (1e-3, 0.05)
#: Arrays of at least so many elements are stored in half precision; small ones, such as biases, cost little.
HALVED = 1024


@dataclass(frozen=True)
class NetworkFile:
    """A network as the content of an ONNX file.

    Attributes
    ----------
    data : bytes
        The file: input ``pixels``, (N, C, H, W) in [0, 1], and output ``scores``, (N, classes), both float32.
    shape : (int, int, int)
        C, H and W.
    classes : int
        Number of scores.
    batches : bool
        Whether it takes any number N of images, rather than one.
    half : bool
        Whether weights are stored in half precision.
    error : float
        Largest difference of its scores from those of torch in float32, for the images of :func:`network_file`.
    head : LinearHead or None
        The linear head of the network, whose layer is one of ``layers``.
    offset : int
        Where the weights of the head begin in the file, in bytes: (classes, C), as float16 in half precision if they
        are large.
    layers : tuple of str
        Layers whose activations, (N, C, h, w), are further outputs, named by :meth:`output`.
    """

    data: bytes = field(repr=False)
    shape: tuple[int, int, int]
    classes: int
    batches: bool
    half: bool
    error: float = math.nan
    head: LinearHead | None = field(default=None, repr=False)
    offset: int = -1
    layers: tuple[str, ...] = ()

    def output(self, layer: str) -> str:
        """Return the name of the output of a layer in the file."""
        return _output(self.layers.index(layer))

    @property
    def head_dtype(self) -> str:
        """The type of the weights of the head in the file, "float32" or "float16"."""
        assert self.head is not None
        return "float16" if self.half and self.head.weights.numel() >= HALVED else "float32"

    def scores(self, images: Tensor) -> Tensor:
        """Return the scores (N, classes) of pixels (N, C, H, W), by onnxruntime if it is installed, else by onnx."""
        parts = images.detach().cpu().float().split(len(images) if self.batches else 1)
        run = _runtime(self.data)
        return torch.cat([torch.from_numpy(np.array(run(part.numpy()))) for part in parts])

    def __str__(self) -> str:
        precision = ", weights in half precision" if self.half else ""
        return f"{len(self.data) / 1e6:.1f} MB{precision}, scores within {self.error:.1g} of torch"


class _Scores(nn.Module):
    """Map pixels to scores, with the normalization of a model, on the CPU in float32."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: ImageModel, layers: Sequence[str] = ()) -> None:
        super().__init__()
        network = model.module
        if model.device.type != "cpu" or dtype_of(network) != torch.float32:
            network = deepcopy(network).to("cpu", torch.float32)
        # Frozen: its dictionaries of parameters are its own, into which the export writes.
        self.network = replica(network, frozen=True)
        self.register_buffer("mean", model.mean.detach().cpu().clone())
        self.register_buffer("std", model.std.detach().cpu().clone())
        self._output = model._output
        parts = named_parts(self.network)
        # In a tuple, so that no part is registered once more.
        self._tapped = tuple((layer, parts[call_of(layer)[0]], model.grid(layer)) for layer in layers)

    def forward(self, pixels: Tensor) -> Any:
        if not self._tapped:
            return self._scores(pixels)
        outputs: dict[str, list[Tensor]] = {}
        hooks = [
            part.register_forward_hook(
                # A copy, as later parts may write into the output.
                lambda _part, _inputs, output, layer=layer: outputs.setdefault(layer, []).append(
                    tensor_of(layer, output).clone()
                )
            )
            for layer, part, _ in self._tapped
        ]
        try:
            scores = self._scores(pixels)
        finally:
            for hook in hooks:
                hook.remove()
        maps = (grid.spatial(outputs[layer][call_of(layer)[1]]) for layer, _, grid in self._tapped)
        return (scores, *(each.to(torch.float32) for each in maps))

    def _scores(self, pixels: Tensor) -> Tensor:
        found = find_scores(self.network((pixels - self.mean) / self.std), self._output)
        assert found is not None
        if found.ndim == 1:
            found = found.unsqueeze(1)
        return (found.flatten(1) if found.ndim > 2 else found).to(torch.float32)


def network_file(
    model: ImageModel,
    images: Tensor | None = None,
    *,
    half: bool = False,
    head: LinearHead | None = None,
    layers: Sequence[str] = (),
) -> NetworkFile:
    """Return a model as the content of an ONNX file; the network itself is not changed.

    Parameters
    ----------
    model : ImageModel
        The network, with scores of classes.
    images : Tensor, (N, C, H, W), optional
        Pixels in [0, 1] for which the scores of the file are compared with those of torch. Default: noise.
    half : bool, default False
        Whether to store weights in half precision, which takes half of the size.
    head : LinearHead, optional
        The linear head of the network, whose layer becomes an output; left out if that cannot be exported, or if the
        file does not hold its weights in one piece.
    layers : sequence of str, optional
        Spatial layers that become outputs, too; left out if they cannot be exported.

    Raises
    ------
    TypeError
        If ``model`` is not an ImageModel.
    ValueError
        If the network has targets instead of classes, cannot be exported, or is larger than 300 MB, or if the scores of
        the file differ from those of torch by more than a thousandth of the largest one, a twentieth in half precision,
        or are not finite.
    ImportError
        If onnx or onnxscript is not installed, which belong to the extra "onnx", or torch is older than 2.6.
    """
    check_model(model)
    if model.target_scores is not None:
        raise ValueError(
            f"expected a network with scores of classes, got {model.name} with targets, which are Python functions"
        )
    size = sum(each.numel() for each in model.module.parameters()) * (2 if half else 4)
    if size > LARGEST:
        hint = "" if half else "; in half precision it takes half of that"
        raise ValueError(
            f"expected a network of at most {LARGEST / 1e6:.0f} MB, which a page can hold, got {model.name} of "
            f"{size / 1e6:.0f} MB{hint}"
        )
    if not hasattr(torch.export.Dim, "AUTO"):
        raise ImportError(f"networks in a page need torch 2.6 or newer, got {torch.__version__}")
    onnx = optional("onnx", "networks in a page")
    optional("onnxscript", "networks in a page")
    outputs = tuple(dict.fromkeys([*([] if head is None else [head.layer]), *layers]))
    proto = _batched(model, outputs)
    if proto is None and outputs:
        head, outputs = None, ()
        proto = _batched(model, outputs)
    batches = proto is not None
    if proto is None:
        proto = _exported(model, 1, outputs)
    if half:
        _halve(proto, onnx)
    file = NetworkFile(
        data=proto.SerializeToString(),
        shape=(model.channels, *model.size),
        classes=len(model.labels),
        batches=batches,
        half=half,
        layers=outputs,
    )
    if head is not None:
        file = replace(file, head=head)
        offset = _offset(file, model)
        file = replace(file, head=head if offset >= 0 else None, offset=offset)
    if images is None:
        images = torch.rand(1, *file.shape, generator=torch.Generator().manual_seed(0))
    return replace(file, error=_largest_difference(file, model, images))


def _runtime(data: bytes) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return the function from pixels to scores of an ONNX file."""
    if installed("onnxruntime"):
        session = import_module("onnxruntime").InferenceSession(data, providers=["CPUExecutionProvider"])
    else:
        session = import_module("onnx.reference").ReferenceEvaluator(
            import_module("onnx").load_from_string(data)
        )
    return lambda pixels: session.run(None, {"pixels": pixels})[0]


@torch.no_grad()
def exact_scores(model: ImageModel, images: Tensor) -> Tensor:
    """Return the scores (N, classes) of pixels (N, C, H, W) by torch, on the CPU in float32."""
    return _Scores(model)(images.detach().cpu().float())


def _largest_difference(file: NetworkFile, model: ImageModel, images: Tensor) -> float:
    """Return the largest difference of the scores of a file from those of torch; ValueError if it is too large."""
    expected = check_finite(exact_scores(model, images), model.name)
    largest = (file.scores(images) - expected).abs().max().item()
    scale = max(1.0, expected.abs().max().item())
    if not largest <= TOLERANCES[file.half] * scale:
        hint = "; weights in full precision differ less" if file.half else ""
        raise ValueError(
            f"expected an exported network with the scores of torch, got {model.name} with a difference of "
            f"{largest:.2g} for scores up to {scale:.2g}{hint}"
        )
    return largest


def _output(number: int) -> str:
    return f"activations_{number}"


def _batched(model: ImageModel, layers: Sequence[str]) -> Any:
    """Return the ONNX model of an image model for any number of images; None if that is fixed."""
    try:
        proto = _exported(model, 2, layers)
    except ValueError:
        return None
    return proto if proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param else None


def _exported(model: ImageModel, images: int, layers: Sequence[str]) -> Any:
    """Return the ONNX model of an image model, exported for one image, or for any number if it is above 1."""
    example = torch.zeros(images, model.channels, *model.size)
    shapes = None if images == 1 else ({0: torch.export.Dim.AUTO},)
    try:
        with torch.no_grad():
            program = torch.onnx.export(
                _Scores(model, layers).eval(),
                (example,),
                dynamo=True,
                external_data=False,
                verbose=False,
                input_names=["pixels"],
                output_names=["scores", *(_output(number) for number in range(len(layers)))],
                dynamic_shapes=shapes,
            )
        assert program is not None
        return program.model_proto
    except Exception as error:  # an export may raise any exception
        raise ValueError(
            f"expected a network that torch.onnx.export can convert, got {model.name} ({_reason(error)})"
        ) from error


def _offset(file: NetworkFile, model: ImageModel) -> int:
    """Return where the weights of the head of a file begin in it, -1 for nowhere."""
    assert file.head is not None
    weights = file.head.weights
    for parameter in model.module.parameters():
        if parameter.numel() != weights.numel() or parameter.shape[:2] != weights.shape:
            continue
        values = parameter.detach().float().cpu().reshape(weights.shape)
        # The weights of the head were read from scores.
        if torch.allclose(values, weights, rtol=1e-3, atol=1e-3 * float(values.abs().max())):
            return file.data.find(values.numpy().astype(file.head_dtype).tobytes())
    return -1


def _reason(error: BaseException) -> str:
    """Return the first sentence of the error below those of the exporter."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = lines[0] if lines else ""
    return f"{type(error).__name__}: {words[:200]}".rstrip(". :")


def _halve(proto: Any, onnx: Any) -> None:
    """Store the large arrays of an ONNX model as float16, each with a node that converts it back to float32."""
    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        if values.size < HALVED or np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*casts, *nodes])
