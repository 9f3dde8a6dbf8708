"""Helpers of the methods that hide parts of an image: outputs of a network for masked copies, in batches.

A mask m in [0, 1] shows the image where it is 1 and the fill b where it is 0: m x + (1 - m) b.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from xai_widgets.core.batching import pass_batch_size
from xai_widgets.core.finite import FiniteChecks
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import brief, check_finite, choice

Output = Literal["probability", "score"]

#: Maximum number of masks, coalitions or draws; all of them are drawn at once.
MOST_SAMPLES = 1_000_000
#: Masks per snapshot by default.
STEP = 32


def check_probabilities(model: ImageModel, method: str, instead: str) -> None:
    """Raise ValueError if a method that needs probabilities is given a network without them."""
    if not model.has_probabilities:
        raise ValueError(
            f"{method} expected a network with probabilities, got {brief(model.name)}, whose outputs are plain "
            f"numbers; use {instead}, or activation='softmax' or 'sigmoid' in ImageModel"
        )


def value_name(model: ImageModel, output: Output) -> str:
    """Return the kind of output, "probability" or "score"; a network without probabilities has only scores."""
    return model.value_name if output == "probability" else "score"


def check_output(output: str) -> None:
    """Raise ValueError unless the output is "probability" or "score"."""
    choice(output, "output", get_args(Output))


class MaskedOutputs:
    """Outputs of a network for masked copies of an image; all batches share one buffer in channels-last layout.

    Parameters
    ----------
    model : ImageModel
        The network.
    size : torch.Size, (N, C, H, W)
        Size of the images.
    batch_size : int, optional
        Maximum number of copies per pass, and the number of masks per snapshot. Default: the copies of
        :func:`~xai_widgets.core.batching.pass_batch_size`, and :data:`STEP` masks, so that the snapshots do not depend
        on the machine.
    output : {"probability", "score"}
        After or before the activation of the network, which is softmax or sigmoid.

    Attributes
    ----------
    step : int
        Masks per snapshot.
    checks : FiniteChecks
        Checks of the scores under masks.
    """

    def __init__(self, model: ImageModel, size: torch.Size, batch_size: int | None, output: Output) -> None:
        check_output(output)
        self.model, self.output = model, output
        self.batch_size = pass_batch_size(model, size[2:], batch_size)
        self.step = STEP if batch_size is None else self.batch_size
        self.size = size[1:]
        self.buffer: Tensor | None = None
        self.checks = FiniteChecks()

    def of(self, images: Tensor) -> Tensor:
        """Return probabilities or scores, (B, classes), of any number of images (B, C, H, W)."""
        with outside_inference(), torch.no_grad():
            scores = torch.cat([self.model(batch, folded=True) for batch in self._parts(images)])
            check_finite(scores, self.model.name)
            return self._output(scores)

    def _output(self, scores: Tensor) -> Tensor:
        return self.model.probabilities(scores) if self.output == "probability" else scores

    def masked(self, image: Tensor, fill: Tensor, masks: Tensor) -> Tensor:
        """Return probabilities or scores, (B, classes), of one image (C, H, W) under masks (B, H, W).

        A mask shows the image where it is 1 and the fill (C, H, W) where it is 0. On an accelerator the caller reads
        the checks of the scores, with its own numbers, by ``checks.read``.
        """
        outputs = []
        with outside_inference(), torch.no_grad():
            for batch in self._parts(masks):
                copies = self._copies(len(batch))
                torch.lerp(fill[None], image[None], batch[:, None].to(copies.dtype), out=copies)
                outputs.append(self.model(copies, folded=True))
            with self.checks.collect():
                return self._output(check_finite(torch.cat(outputs), self.model.name))

    def _parts(self, items: Tensor) -> Sequence[Tensor]:
        """Split images or masks into equal parts: a last pass of a few images would take as long as a larger one."""
        return items.tensor_split(max(1, -(-len(items) // self.batch_size)))

    def _copies(self, count: int) -> Tensor:
        """Return memory for ``count`` images, which is reused for the next batch."""
        if self.buffer is None or len(self.buffer) < count:
            self.buffer = torch.empty(
                (count, *self.size), device=self.model.device, memory_format=torch.channels_last
            )
        return self.buffer[:count]
