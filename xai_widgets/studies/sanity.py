"""Maps of several methods on one image while the layers of the network get random weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.methods import Method
from xai_widgets.methods.registry import Cost, channel_sum
from xai_widgets.metrics.sanity import Randomization, Sanity, randomized_layers, weight_randomization
from xai_widgets.studies.study import Study

#: Least number of blocks of a network that has as many weighted layers.
LEAST = 6
#: Rank correlation with the map of the trained network from which a map "hardly changes": with all weights random,
#: the ranks of the trained map still explain half of the variance of its ranks, r^2 >= 1/2.
UNCHANGED = math.sqrt(0.5)


class SanityKey(NamedTuple):
    """A method, the class that it explains, and the order in which layers are randomized."""

    method: str
    target: int
    mode: Randomization


class SanityStudy(Study[SanityKey, Sanity]):
    """Sanity checks by weight randomization of several methods on one image.

    All methods are shown the same random weights. A computation that starts again keeps the layers that are measured.

    Parameters
    ----------
    model : ImageModel
        The network.
    x : Tensor, (1, C, H, W)
        The image.
    methods : mapping of str to Method
        The methods by name.
    layers : sequence of str, optional
        Names in ``model.layers()``, from the output to the input. Default: :func:`randomized_blocks`.
    seed : int, default 0
        Seed of the random weights.

    Raises
    ------
    ValueError
        For a layer that does not exist or has no weights.
    """

    def __init__(
        self,
        model: ImageModel,
        x: Tensor,
        methods: Mapping[str, Method],
        *,
        layers: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model, self.x, self.methods, self.seed = model, x, methods, seed
        self.layers = randomized_blocks(model) if layers is None else randomized_layers(model, layers)

    def title(self, key: SanityKey) -> str:
        """Return the title of the method."""
        return self.methods[key.method].title

    def steps(self, key: SanityKey) -> int:
        """Return the number of layers."""
        return len(self.layers)

    def weight(self, key: SanityKey, steps: int) -> float:
        """Return the number of images that pass through the network, a backward pass as two."""
        return (steps + 1) * (1 + self.methods[key.method].work())

    def run(self, key: SanityKey, start: Sanity | None = None) -> Run[Sanity]:
        """Return the randomization of layer after layer, which keeps the layers of an earlier result."""
        return weight_randomization(
            self.model,
            self.x,
            key.target,
            explain=self.methods[key.method],
            mode=key.mode,
            layers=self.layers,
            seed=self.seed,
            start=start,
        )


def randomized_blocks(model: ImageModel) -> tuple[str, ...]:
    """Return blocks that hold the weighted layers that the scores depend on, from the output to the input.

    Starting from the outermost modules, the largest is divided into its parts while it holds more than half of the
    weighted layers, or while there are fewer than six blocks: the stages of a ResNet, the blocks of a transformer. What
    a divided module holds itself, such as the embedding of positions, keeps its values.
    """
    used = {layer.name for layer in model.layers() if layer.used}
    every = randomized_layers(model)
    weighted = [name for name in every if name in used] or list(every)

    def count(block: str) -> int:
        return sum(name == block or name.startswith(f"{block}.") for name in weighted)

    def parts(block: str) -> list[str]:
        start = f"{block}." if block else ""
        inside = [name.removeprefix(start) for name in weighted if name.startswith(start)]
        return list(dict.fromkeys(start + name.partition(".")[0] for name in inside))

    blocks = parts("")
    while True:
        # A module that never runs as a whole, such as a list of modules, cannot be a layer.
        divisible = [block for block in blocks if parts(block)]
        largest = max(divisible, key=lambda block: (block not in used, count(block)), default=None)
        if largest is None:
            return tuple(blocks)
        if largest in used and 2 * count(largest) <= len(weighted) and len(blocks) >= LEAST:
            return tuple(blocks)
        at = blocks.index(largest)
        blocks[at : at + 1] = parts(largest)


def edge_detector() -> Method:
    """Return a map that depends on no weight: the magnitude of differences of neighboring pixels.

    Adebayo et al. 2018 compare with it what a map looks like that does not depend on the network.
    """
    return Method(
        _edges,
        "edges",
        "Edges",
        channel_sum,
        "Adebayo et al. 2018",
        "sqrt((dx/du)^2 + (dx/dv)^2), no network",
        Cost(0, 0),
        uses_class=False,
        signed=False,
    )


def _edges(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
    """Magnitude of the differences of neighboring pixels, an edge detector: the map depends on no weight."""
    rows = F.pad(x.diff(dim=2), (0, 0, 0, 1))
    columns = F.pad(x.diff(dim=3), (0, 1))
    return (rows.square() + columns.square()).sqrt()
