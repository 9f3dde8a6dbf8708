"""The controls that choose where an inverse begins: a class, or a unit with a channel and a position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from xai_widgets.explorers.parts import dropdown
from xai_widgets.inverse.chain import Chain
from xai_widgets.views import HeatmapView

#: The choices of the class, and of all channels of a unit.
CLASS, EVERY = "class", "all"
#: Largest number of channels to choose from: those that are most active.
MOST_CHANNELS = 100


class StartControls:
    """The unit, channel and position whose activation is inverted in place of a class.

    Attributes
    ----------
    unit : SelectView
        The class, or a unit with positions.
    channel : SelectView
        A channel of the unit, the most active ones first, or all.
    map : HeatmapView
        The activation of the channel, or of all channels; a click chooses a position, and Escape all.
    """

    def __init__(self) -> None:
        self.unit = dropdown("Start from", [CLASS], CLASS, {CLASS: "the class"})
        self.unit.help = "What is inverted: the score of the class, or the activation at the output of a unit"
        self.channel = dropdown("Channel", [EVERY], EVERY)
        self.channel.help = "The channel whose activation is inverted, the most active ones first"
        self.map = HeatmapView(
            width=0,
            controls=False,
            interpolation="pixelated",
            title="Activation",
            help="Activation at the start, summed over the channels or of the chosen one; a click chooses a position",
        )
        self._chain: Chain | None = None
        self.unit.observe(lambda _change: self._list_channels(), "value")
        for control in (self.unit, self.channel):
            control.observe(lambda _change: self._draw(), "value")

    def parts(self) -> Iterator[tuple[Any, str]]:
        """Yield the traits that hold the choice."""
        yield from ((self.unit, "value"), (self.channel, "value"), (self.map, "position"))

    def take(self, chain: Chain) -> None:
        """List the units of a network and draw their activations for an image."""
        self._chain = chain
        outputs = [*chain.inputs[1:], chain.output]
        names = [
            unit.name
            for unit, output in zip(chain.units, outputs, strict=True)
            if output.ndim == 4 and output.shape[2] * output.shape[3] > 1
        ]
        self.unit.options = [CLASS, *names]
        self._list_channels()
        self._draw()

    def value(self) -> tuple[str, int | None, tuple[int, int] | None] | None:
        """Return the unit, channel and position, None for all of them, or None for the class."""
        output = self._output()
        if output is None:
            return None
        channel = None if self.channel.value == EVERY else int(self.channel.value)
        return self.unit.value, channel, self._cell(output)

    def index(self, unit: str) -> int:
        """Return the index of a unit."""
        assert self._chain is not None
        return [each.name for each in self._chain.units].index(unit)

    def _cell(self, output: Tensor) -> tuple[int, int] | None:
        if not self.map.position:
            return None
        x, y = self.map.position
        height, width = output.shape[2:]
        return min(height - 1, int(y * height)), min(width - 1, int(x * width))

    def _output(self) -> Tensor | None:
        """Return the activation at the start, (1, C, h, w); None for the class."""
        if self._chain is None or self.unit.value == CLASS:
            return None
        return [*self._chain.inputs[1:], self._chain.output][self.index(self.unit.value)]

    def _list_channels(self) -> None:
        output = self._output()
        if output is None:
            with self.channel.hold_sync():
                self.channel.options, self.channel.labels = [EVERY], {}
            return
        labels = most_active(output)
        with self.channel.hold_sync():
            self.channel.labels = labels
            self.channel.options = [EVERY, *labels]

    def _draw(self) -> None:
        output = self._output()
        if output is None:
            with self.map.hold_sync():
                self.map.maps, self.map.title = None, "Image"
            return
        if self.channel.value == EVERY:
            shown, title = output[0].sum(0), f"{self.unit.value}: click a position"
        else:
            shown, title = (
                output[0, int(self.channel.value)],
                f"{self.unit.value}, channel {self.channel.value}: click a position",
            )
        with self.map.hold_sync():
            self.map.maps, self.map.title = shown.cpu(), title


def most_active(activation: Tensor) -> dict[str, str]:
    """Return the channels of an activation (1, C, h, w) with the largest values, with labels."""
    most, order = activation[0].abs().flatten(1).amax(1).sort(descending=True)
    chosen = order[:MOST_CHANNELS].tolist()
    return {str(n): f"{n} (max {value:.3g})" for n, value in zip(chosen, most.tolist(), strict=False)}
