"""Excitation backprop by zennit, which sees modules only: batch-norm folded away, additions made modules."""

import operator

import torch
from torch import fx, nn
from torch.fx.experimental.optimization import fuse
from zennit.composites import LayerMapComposite
from zennit.core import BasicHook
from zennit.layer import Sum
from zennit.rules import NoMod, Norm, ZPlus
from zennit.types import AvgPool, Linear


class Plus(nn.Module):
    """An addition."""

    def __init__(self):
        super().__init__()
        self.sum = Sum()

    def forward(self, a, b):
        return self.sum(torch.stack([a, b], -1))


class PositiveShares(BasicHook):
    """zennit's Norm of what is above 0: its own divides what is below 0 too, and gives no probabilities."""

    def __init__(self):
        super().__init__(
            input_modifiers=[lambda a: a.clamp(min=0)],
            param_modifiers=[NoMod(param_keys=[])],
            output_modifiers=[lambda y: y],
            gradient_mapper=lambda p, y: p / never_0(y[0]),
            reducer=lambda a, back: a[0] * back[0],
        )


def never_0(values):
    """In place of zennit's 1e-6, which is seen on small excitations."""
    return values + 1e-30


def with_modules(twin):
    """A twin whose batch-norms are part of its convolutions, and whose additions are modules."""
    network = fuse(twin.module)
    graph, modules = network.graph, {}
    for number, node in enumerate(list(graph.nodes)):
        if node.target in (operator.add, operator.iadd) and all(
            isinstance(each, fx.Node) for each in node.args
        ):
            modules[name := f"plus_{number}"] = Plus()
            with graph.inserting_after(node):
                new = graph.create_node("call_module", name, node.args)
            node.replace_all_uses_with(new)
            graph.erase_node(node)
    parts = {node.target: network.get_submodule(node.target) for node in graph.nodes
             if node.op == "call_module" and node.target not in modules}  # fmt: skip
    return fx.GraphModule({**parts, **modules}, graph).eval()


def excitation_backprop(twin, x, target):
    """P of the pixels, by the rules of zennit's own composite but for additions."""
    network = with_modules(twin)
    composite = LayerMapComposite(
        [
            (Sum, PositiveShares()),
            (AvgPool, Norm(stabilizer=never_0)),
            (Linear, ZPlus(stabilizer=never_0, zero_params="bias")),
        ]
    )
    given = ((x - twin.mean) / twin.std).requires_grad_()
    with composite.context(network) as hooked:
        scores = hooked(given)
        start = torch.zeros_like(scores).scatter(1, target[:, None], 1.0)
        return torch.autograd.grad(scores, given, start)[0]
