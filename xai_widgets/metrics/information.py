"""Performance information curves: the score against the information in the image, in place of the share of its pixels.

Kapishnikov et al. 2019. The most salient pixels are shown on the blurred image (insertion), or replaced by it
(deletion). With H the size of an image as a PNG file, an estimate of its entropy, and p the probability of the class,

    x axis    (H - H_blurred) / (H_image - H_blurred)
    y axis    (p - p_blurred) / (p_image - p_blurred)

both clipped to [0, 1]. The area under the curve is high for a good insertion and low for a good deletion. Against the
share of the pixels, a map of scattered pixels scores better than a compact one of the same content, as scattered pixels
carry more information each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import choice, tensor
from xai_widgets.metrics.base import Explanation, metric
from xai_widgets.metrics.changed_images import class_probabilities
from xai_widgets.metrics.deletion import Mode, ordering
from xai_widgets.ops.fill import fill_image
from xai_widgets.ops.png import png_size

#: Shares of the pixels of a curve: dense at first, as in the source.
FRACTIONS = (
    0.0,
    0.01,
    0.02,
    0.03,
    0.04,
    0.05,
    0.07,
    0.1,
    0.13,
    0.17,
    0.21,
    0.25,
    0.3,
    0.34,
    0.4,
    0.5,
    0.6,
    0.75,
    1.0,
)


@dataclass(frozen=True, repr=False)
class InformationCurve(ShortRepr):
    """Score and information of each image along a curve.

    Attributes
    ----------
    mode : {"deletion", "insertion"}
    fractions : Tensor, (T,)
        Shares of the pixels that are replaced.
    information : Tensor, (N, T)
        Normalized information, in [0, 1].
    scores : Tensor, (N, T)
        Normalized probability, in [0, 1]; NaN for an image whose probability does not fall when it is blurred.
    """

    mode: Mode
    fractions: Tensor
    information: Tensor
    scores: Tensor

    @property
    def auc(self) -> Tensor:
        """Area under the curve, (N,), by the trapezoid rule, the points in order of their information.

        Of points with the same information, the best score counts for insertion and the worst one for deletion.
        """
        return torch.stack([self._area(*rows) for rows in zip(self.information, self.scores, strict=True)])

    def _area(self, information: Tensor, scores: Tensor) -> Tensor:
        # Fewer salient pixels never make a result better: as in the source, the curve is made monotone.
        if self.mode == "insertion":
            order = information.argsort(stable=True)
            heights = scores[order].cummax(0).values
        else:
            order = information.argsort(descending=True, stable=True)
            heights = scores[order].cummin(0).values.flip(0)
        positions = information[order] if self.mode == "insertion" else information[order].flip(0)
        return torch.trapezoid(heights, positions)


@without_inference_mode
def information_curve(
    model: ImageModel,
    x: Any,
    saliency: Tensor,
    target: Target = None,
    *,
    mode: Mode = "insertion",
    sigma: float | None = None,
    batch_size: int | None = None,
) -> InformationCurve:
    """Show, or blur, the most salient pixels and record the score against the information in the image.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    saliency : Tensor, (N, h, w)
        Higher is more important; resized to the images.
    target : int, str, callable, sequence or Tensor, optional
        The class, or one for each image. Default: the predicted class.
    mode : {"insertion", "deletion"}, default "insertion"
        Whether salient pixels are shown on the blurred image, or blurred in the image.
    sigma : float, optional
        Standard deviation of the blur in pixels. Default: 10 / 224 of the short side.
    batch_size : int, optional
        Images per pass. Default: those of the best throughput.

    Returns
    -------
    InformationCurve
    """
    choice(mode, "mode", get_args(Mode))
    model, x, target = prepare(model, x, target)
    saliency = tensor(saliency, "saliency", (len(x), "h", "w")).to(x.device)
    blurred = fill_image("blur", x, sigma=sigma)
    start, end = (x, blurred) if mode == "deletion" else (blurred, x)
    ranks = ordering(saliency, (x.shape[2], x.shape[3]))
    fractions = torch.tensor(FRACTIONS)
    counts = (fractions * ranks[0].numel()).round().int().to(x.device)
    information, scores = [], []
    for n in range(len(x)):
        shown = torch.where(ranks[n] < counts[:, None, None, None], end[n], start[n])
        sizes = torch.tensor([float(png_size(model.to_rgb(image))) for image in shown])
        probs = class_probabilities(model, shown[None], target[n : n + 1], batch_size)[0].float().cpu()
        whole, gone = (0, -1) if mode == "deletion" else (-1, 0)
        information.append(_normalized(sizes, sizes[gone], sizes[whole]))
        scores.append(_normalized(probs, probs[gone], probs[whole]))
    return InformationCurve(mode, fractions, torch.stack(information), torch.stack(scores))


def _normalized(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return values between two others as shares, clipped to [0, 1]; NaN if they are not in this order."""
    return torch.where(high > low, ((values - low) / (high - low)).clamp(0, 1), torch.nan)


_FACTS: dict[str, Any] = {"category": "faithfulness", "source": "Kapishnikov et al. 2019"}


@metric(
    "information_insertion",
    title="Insertion by information",
    direction="higher",
    measures="area under the curve of the probability against the information in the image while the most salient "
    "pixels are shown on the blurred image",
    **_FACTS,
)
def information_insertion(explanation: Explanation) -> float:
    """Return the area under the curve of insertion."""
    return _area(explanation, "insertion")


@metric(
    "information_deletion",
    title="Deletion by information",
    direction="lower",
    measures="the same while they are blurred in the image; low is good",
    **_FACTS,
)
def information_deletion(explanation: Explanation) -> float:
    """Return the area under the curve of deletion."""
    return _area(explanation, "deletion")


def _area(explanation: Explanation, mode: Mode) -> float:
    model, x, saliency, target = explanation.model, explanation.x, explanation.saliency, explanation.target
    return information_curve(model, x, saliency, target, mode=mode).auc.item()
