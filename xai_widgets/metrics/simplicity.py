"""Output reconstruction in terms of input simplicity: the probability of the class in the part that a map keeps.

Kwon 2021, sections 5.4.1 and 5.4.5. With alpha the magnitude of the map scaled to [0, 1], and m the color that the
normalization maps to 0,

    x~ = m + alpha (x - m)                                                                            eq. 5.13

is simple if mean(alpha) is small, and reconstructs the output if its probability p(x~) is high. As either is easy
alone, the probability is compared with that of the image faded as a whole by the same mean(alpha):

    gain = p(x~) - p(m + mean(alpha) (x - m))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.batching import scores_of
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import tensor
from xai_widgets.metrics.base import Explanation, metric
from xai_widgets.metrics.deletion import curve_fill
from xai_widgets.ops.normalize import unit_range
from xai_widgets.ops.resize import resize_map


@dataclass(frozen=True, repr=False)
class OutputReconstruction(ShortRepr):
    """Simplicity of the images that maps leave, and the probability of their class.

    Attributes
    ----------
    mean_alpha : Tensor, (N,)
        Share of the image that is left.
    probability, faded : Tensor, (N,)
        Probability of the class for x~, and for the image faded as a whole.
    same_class : Tensor, (N,)
        Whether the class has the highest score for x~, bool.
    """

    mean_alpha: Tensor
    probability: Tensor
    faded: Tensor
    same_class: Tensor

    @property
    def gain(self) -> Tensor:
        """Difference of the probabilities, (N,)."""
        return self.probability - self.faded


@without_inference_mode
def output_reconstruction(
    model: ImageModel, x: Any, saliency: Tensor, target: Target = None, *, batch_size: int | None = None
) -> OutputReconstruction:
    """Weight images by their maps and record the probability of the class.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    saliency : Tensor, (N, h, w)
        Maps, resized to the images; their magnitudes are scaled to [0, 1].
    target : int, str, callable, sequence or Tensor, optional
        The class, or one for each image. Default: the predicted class.
    batch_size : int, optional
        Images per pass. Default: as many as the memory allows.

    Returns
    -------
    OutputReconstruction
    """
    model, x, target = prepare(model, x, target)
    saliency = tensor(saliency, "saliency", (len(x), "h", "w"), finite=True).to(x.device)
    alpha = unit_range(resize_map(saliency, (x.shape[2], x.shape[3])).abs())[:, None].to(x)
    empty = curve_fill(model, x, "training_mean")
    mean = alpha.mean((1, 2, 3), keepdim=True)
    images = torch.cat([empty + share * (x - empty) for share in (alpha, mean)])
    probs = model.probabilities(scores_of(model, images, batch_size)).float().cpu()
    classes = target.cpu()
    left, faded = (part.gather(1, classes[:, None])[:, 0] for part in probs.split(len(x)))
    return OutputReconstruction(mean.flatten().cpu(), left, faded, probs[: len(x)].argmax(1) == classes)


@metric(
    "output_reconstruction",
    title="Output reconstruction",
    category="faithfulness",
    direction="higher",
    measures="probability of the image weighted by the map, minus that of the image faded as a whole by the same share",
    source="Kwon 2021",
    bounds=(-1.0, 1.0),
)
def output_reconstruction_gain(explanation: Explanation) -> float:
    """Return the gain of one map."""
    model, x, saliency, target = explanation.model, explanation.x, explanation.saliency, explanation.target
    return output_reconstruction(model, x, saliency, target).gain.item()
