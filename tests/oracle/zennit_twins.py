"""Excitation backprop and relevance by zennit, which sees modules only: no batch-norm, additions made modules."""

import operator

import torch
from torch import fx, nn
from torch.fx.experimental.optimization import fuse
from zennit.composites import EpsilonPlus, LayerMapComposite
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
    """zennit's Norm of the positive part: its own also divides the negative part, and is not a probability."""

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


def excitation_backprop(twin, x, target, sign=1):
    """P of the pixels, by the rules of zennit's own composite but for additions.

    With sign -1 it is that of the dual scores, for which the weights of the last layer are turned round.
    """
    network = with_modules(twin)
    with torch.no_grad():
        [part for part in network.modules() if isinstance(part, nn.Linear)][-1].weight.mul_(sign)
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


def contrastive_excitation_backprop(twin, x, target):
    """Return the positive part of normalized P minus that of the dual score. zennit's P has the sign of its pixel."""
    both = [excitation_backprop(twin, x, target, sign).abs() for sign in (1, -1)]
    p, dual = (each / each.sum((1, 2, 3), keepdim=True) for each in both)
    return (p - dual).relu()


def lrp(twin, x, target):
    """Relevance of the pixels by EpsilonPlus."""
    given = ((x - twin.mean) / twin.std).requires_grad_()
    with EpsilonPlus(stabilizer=never_0).context(with_modules(twin)) as hooked:
        scores = hooked(given)
        score = scores.detach().gather(1, target[:, None])
        start = torch.zeros_like(scores).scatter(1, target[:, None], score)
        return torch.autograd.grad(scores, given, start)[0]
