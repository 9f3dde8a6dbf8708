"""A network as a chain of units, each with activations of at least 0 at both ends.

Section 5.2: y = (phi_1 ... phi_n)(x). The chain is read off the graph of the network, traced by ``torch.fx``: a unit
ends at a tensor that everything passes through and that cannot be negative. So a convolution with its ReLU is a unit,
a max-pool is one, and residual, inception and dense blocks are, as wholes, since their ends are at least 0.
Normalisation belongs to the first unit: it begins with the image in [0, 1].
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from xai_widgets.errors import unknown
from xai_widgets.model import ImageModel
from xai_widgets.recording import evaluating

#: "scores" is the last one, "reshape" moves values without changing them.
Kind = Literal["convolution", "linear", "pool", "reshape", "average", "scores"]

_POOLS = {nn.MaxPool2d, nn.AdaptiveMaxPool2d, F.max_pool2d, torch.max_pool2d, F.adaptive_max_pool2d}
_AVERAGES = {nn.AvgPool2d, nn.AdaptiveAvgPool2d, F.avg_pool2d, F.adaptive_avg_pool2d, "mean"}
_RESHAPES = {
    nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout, nn.Dropout2d, F.dropout, F.dropout2d, torch.flatten,
    torch.reshape, "view", "reshape", "flatten", "contiguous", "squeeze", "unsqueeze", torch.squeeze, torch.unsqueeze,
}  # fmt: skip
#: What gives at least 0 whatever it is given ...
_RELUS = {
    nn.ReLU, nn.ReLU6, F.relu, F.relu6, torch.relu, torch.relu_, F.relu_, "relu", "relu_",
}  # fmt: skip
_POSITIVE = _RELUS | {
    nn.Sigmoid, nn.Softmax, nn.Softplus, nn.Hardsigmoid, torch.sigmoid, F.sigmoid, F.softplus, F.softmax, torch.softmax,
    torch.abs, torch.square, "abs", "square", "sigmoid", "softmax",
}  # fmt: skip
#: ... and what does if all that it is given is.
_KEEPING = _POOLS | _AVERAGES | _RESHAPES | {
    operator.add, operator.iadd, operator.mul, operator.imul, torch.add, torch.mul, torch.cat, "add", "add_", "mul",
    "mul_", nn.Upsample, F.interpolate,
}  # fmt: skip
#: Activations with negative values: a chain with one of these is refused by its name.
_NEGATIVE = {
    nn.SiLU, nn.GELU, nn.Hardswish, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.PReLU, nn.Mish, nn.Tanh, nn.Hardtanh,
    F.silu, F.gelu, F.hardswish, F.leaky_relu, F.elu, F.selu, F.celu, F.prelu, F.mish, F.tanh, torch.tanh, "tanh",
    F.hardtanh,
}  # fmt: skip


@dataclass(frozen=True)
class Unit:
    """A part of the network with activations of at least 0 at its ends.

    Attributes
    ----------
    name : str
        The layer that it ends with, or the block that it is.
    kind : {"convolution", "linear", "pool", "reshape", "average", "scores"}
        How it is inverted; a block is a "convolution".
    run : callable
        From its input (B, ...) to its output; gradients flow.
    bias : bool
        Whether something is added on the way, so that its output is not proportional to its input.
    relu : bool
        Whether it ends with a ReLU.
    before_relu : callable
        The unit without that ReLU.
    affine : bool
        Whether ``before_relu`` is a matrix and a bias; not so for a block with a ReLU or a max-pool inside.
    """

    name: str
    kind: Kind
    run: Callable[[Tensor], Tensor]
    bias: bool
    relu: bool
    before_relu: Callable[[Tensor], Tensor]
    affine: bool


class _Tracer(fx.Tracer):
    """Traces its own thread only.

    A tracer of torch.fx puts its own ``nn.Module.__call__`` in place for the length of a trace, for all threads: a
    network that runs in another one would return a proxy, and two traces at once would leave that call behind.
    """

    _one_at_a_time = threading.Lock()

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        self._thread = threading.get_ident()
        with self._one_at_a_time:
            return super().trace(root, concrete_args)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def find_units(model: ImageModel | nn.Module) -> list[Unit]:
    """The chain of units of a network, from the image to the output.

    Parameters
    ----------
    model : ImageModel or nn.Module
        A classifier, or a network from images in [0, 1] to images.

    Returns
    -------
    list of Unit
        In the order in which they run.

    Raises
    ------
    TypeError
        For what is no network.
    ValueError
        For a network that cannot be traced, or with an activation that can be negative, with the reason.
    """
    if not isinstance(model, nn.Module | ImageModel):
        raise TypeError(f"model is {type(model).__name__}, wanted an ImageModel or a torch module")
    module = model.module if isinstance(model, ImageModel) else model
    name = model.name if isinstance(model, ImageModel) else type(model).__name__
    try:
        with evaluating(module):
            graph = _Tracer().trace(module)
    except Exception as error:  # a network may raise whatever it likes
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        raise ValueError(
            f"{name} cannot be cut into units, since torch.fx cannot trace it ({reason}), wanted a network whose path "
            "does not depend on the values"
        ) from error
    modules = dict(module.named_modules())
    nodes = [node for node in graph.nodes if node.op not in ("get_attr", "output")]
    for node in nodes:
        if _kind(node, modules) in _NEGATIVE:
            raise ValueError(
                f"{name} has {_title(node, modules)} in {_layer(node)!r}, whose output can be negative, wanted "
                "activations of at least 0, such as those of ReLU"
            )
    ends = _ends(nodes, modules)
    last = next(node for node in graph.nodes if node.op == "output").args[0]
    if not isinstance(last, fx.Node):
        raise ValueError(f"{name} returns {type(last).__name__}, wanted a network that returns one tensor")
    ends = [*[end for end in ends if end is not last], last]
    made = [
        _unit(module, modules, nodes[nodes.index(begin) + 1 : nodes.index(end) + 1], begin, end, end is last)
        for begin, end in pairwise(ends)
    ]
    if isinstance(model, ImageModel):
        first = made[0]
        made[0] = replace(
            first,
            run=_normalised(model, first.run),
            before_relu=_normalised(model, first.before_relu),
            bias=True,
        )
    # A module that runs several times ends several units.
    names = [unit.name for unit in made]
    return [
        replace(unit, name=f"{unit.name}:{names[: index + 1].count(unit.name)}")
        if names.count(unit.name) > 1
        else unit
        for index, unit in enumerate(made)
    ]


def units_after(units: Sequence[Unit], until: str | None) -> int:
    """How many units lie between the output and the output of the unit ``until``; all of them for None, the image."""
    names = [unit.name for unit in units]
    if until is None:
        return len(names)
    if until not in names[:-1]:
        raise ValueError(unknown("unit", until, names[:-1]))
    return len(names) - 1 - names.index(until)


def _ends(nodes: list[fx.Node], modules: dict[str, nn.Module]) -> list[fx.Node]:
    """The nodes that everything passes through and that are at least 0; the image is the first."""
    place = {node: index for index, node in enumerate(nodes)}
    last_use = {node: max((place.get(user, len(nodes)) for user in node.users), default=-1) for node in nodes}
    positive: set[fx.Node] = set()
    ends, open_until = [], -1
    for index, node in enumerate(nodes):
        kind = _kind(node, modules)
        given = [source for source in node.all_input_nodes if source in place]
        kept = kind in _KEEPING and given and all(source in positive for source in given)
        if node.op == "placeholder" or kind in _POSITIVE or _clamps(node) or kept:
            positive.add(node)
        # Nothing made before is used after this node, but by way of it.
        if open_until <= index and node in positive:
            ends.append(node)
        open_until = max(open_until, last_use[node])
    return ends


def _clamps(node: fx.Node) -> bool:
    """Whether a node clamps at 0 or above."""
    if node.target not in ("clamp", "clamp_", "clamp_min", "clamp_min_", torch.clamp, torch.clamp_min):
        return False
    low = node.kwargs.get("min", node.args[1] if len(node.args) > 1 else None)
    return isinstance(low, int | float) and low >= 0


def _unit(
    root: nn.Module,
    modules: dict[str, nn.Module],
    nodes: list[fx.Node],
    begin: fx.Node,
    end: fx.Node,
    last: bool,
) -> Unit:
    kinds = [_kind(node, modules) for node in nodes]
    working = [kind for kind in kinds if kind not in _RESHAPES]
    kind: Kind
    if last and kinds[-1] not in _RELUS:
        kind = "scores"
    elif not working:
        kind = "reshape"
    elif all(each in _POOLS for each in working) and len(working) == 1:
        kind = "pool"
    elif all(each in _AVERAGES for each in working):
        kind = "average"
    elif nn.Linear in working and not any(_is_convolution(each) for each in working):
        kind = "linear"
    else:
        kind = "convolution"
    relu = kinds[-1] in _RELUS
    inner = nodes[:-1] if relu else nodes
    run = _segment(root, nodes, begin, end)
    return Unit(
        name=_name(nodes, end),
        kind=kind,
        run=run,
        bias=kind not in ("pool", "reshape", "average"),
        relu=relu,
        before_relu=_segment(root, inner, begin, end.all_input_nodes[0]) if relu else run,
        affine=not any(_kind(node, modules) in _POSITIVE | _POOLS for node in inner),
    )


def _name(nodes: list[fx.Node], end: fx.Node) -> str:
    """The outermost module in which just these nodes are called, else the layer of the last one."""
    for scope in _scopes(end)[:-1]:
        if [node for node in end.graph.nodes if scope in _scopes(node)] == nodes:
            return scope
    return _layer(end)


def _scopes(node: fx.Node) -> list[str]:
    """The names of the modules in which a node is called, the outermost first."""
    return [name for name, _ in node.meta.get("nn_module_stack", {}).values() if name]


def _segment(
    root: nn.Module, nodes: list[fx.Node], begin: fx.Node, end: fx.Node
) -> Callable[[Tensor], Tensor]:
    """The part of the network behind one node, up to another; it shares its parameters and is in eval mode."""
    graph = fx.Graph()
    made: dict[fx.Node, fx.Node] = {begin: graph.placeholder("x")}

    def copy(node: fx.Node) -> fx.Node:
        if node not in made:
            made[node] = graph.node_copy(node, copy)
        return made[node]

    for node in nodes:
        copy(node)
    graph.output(made[end])
    part = fx.GraphModule(root, graph)
    part.training = False

    def run(x: Tensor) -> Tensor:
        with evaluating(root):
            # A copy: the first operation may work in place.
            made: Tensor = part(x.clone())
        return made

    return run


def _normalised(model: ImageModel, run: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: run((x - model.mean) / model.std)


def _kind(node: fx.Node, modules: dict[str, nn.Module]) -> Any:
    """What a node does: a class of modules, a function or the name of a method."""
    return type(modules[str(node.target)]) if node.op == "call_module" else node.target


def _is_convolution(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, nn.modules.conv._ConvNd)


def _title(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    kind = _kind(node, modules)
    return kind if isinstance(kind, str) else kind.__name__


def _layer(node: fx.Node) -> str:
    """The name of the module that a node is, or is called in."""
    if node.op == "call_module":
        return str(node.target)
    scopes = _scopes(node)
    return scopes[-1] if scopes else node.name
