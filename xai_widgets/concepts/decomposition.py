"""Interpretable basis decomposition: the concepts that a prediction consists of (Zhou et al. 2018).

The score of class k is linear in the mean activation over the positions of the last layer before pooling,

    S = w . a + b,   a = mean_p x_p

and the weights are approximated by few directions q_c of concepts, with coefficients that are not negative:

    w ~ s_1 q_1 + ... + s_n q_n + r,   s_i > 0

The concepts are chosen greedily: each step adds the one with which the remaining |r| is smallest when all coefficients
are solved anew. So the score is a sum of contributions, and each of them a sum over the P positions:

    S = sum_i s_i q_i . a  +  r . a  +  b,   map of concept i: s_i q_i . x_p / P

Where the scores are not linear in the layer, there are no such weights. Then the activation of the image is decomposed
instead, x_p ~ sum_i s_ip q_i + r_p with s_ip >= 0, and with the gradient g_p of the score at each position

    S = sum_i sum_p s_ip q_i . g_p  +  sum_p r_p . g_p  +  b,   b = S - sum_p x_p . g_p

where b includes the nonlinear part. Concepts are chosen by the length of the activation that they explain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from xai_widgets.concepts.directions import ConceptDirections
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.optional import optional
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import check_finite, choice, instance, integer, tensor
from xai_widgets.errors import warn
from xai_widgets.methods.gradients import layer_gradient

#: The vector that is decomposed into concepts.
Decomposed = Literal["weights", "features"]
#: Default number of concepts of a decomposition.
CONCEPTS = 7
#: The choice of concepts ends when the next one explains less than this share of the squared length of w.
LEAST_GAIN = 1e-3
#: Relative deviation of gradients from each other, in units of rounding, up to which a score is linear.
ROUNDINGS = 256
#: Concepts that explain a smaller share carry a warning.
LEAST_EXPLAINED = 0.1


@dataclass(frozen=True, repr=False)
class PredictionConcepts(ShortRepr):
    """The score of a class for one image as a sum of contributions of concepts.

    Attributes
    ----------
    layer, label : str
        Names of the layer and of the class.
    target : int
        Index of the class.
    names, categories : tuple of str
        Names and categories of the n concepts, largest contribution first.
    coefficients : Tensor, (n,)
        s_i, or the sum of s_ip over the positions; at least 0.
    contributions : Tensor, (n,)
        In units of the score; may be negative.
    residual : float
        The contribution of r, which no concept explains.
    remainder : float
        b: the bias of the class, or for features the bias and the nonlinear part.
    score : float
        S, before softmax.
    maps : Tensor, (n, h, w)
        Contribution of each position; they sum to the contributions.
    residual_map : Tensor, (h, w)
        Contribution of r at each position.
    explained : float
        1 - |r|^2 / |w|^2, from 0 to 1; for features that of all x_p.
    decomposed : {"weights", "features"}
        Whether the weights of the class were decomposed, or the activation of the image.
    """

    layer: str
    label: str
    target: int
    names: tuple[str, ...]
    categories: tuple[str, ...] = field(repr=False)
    coefficients: Tensor
    contributions: Tensor
    residual: float
    remainder: float
    score: float
    maps: Tensor
    residual_map: Tensor = field(repr=False)
    explained: float
    decomposed: Decomposed

    @property
    def shares(self) -> Tensor:
        """Contributions as shares of the score without b, (n,); with the residual they sum to 1. NaN unless S > b."""
        whole = self.score - self.remainder
        return self.contributions / whole if whole > 0 else torch.full_like(self.contributions, torch.nan)


@without_inference_mode
def prediction_concepts(
    model: ImageModel,
    image: Any,
    directions: ConceptDirections,
    target: Target = None,
    *,
    of: Decomposed | Literal["auto"] = "auto",
    most: int = CONCEPTS,
) -> PredictionConcepts:
    """Decompose the score of a class for one image into contributions of concepts.

    Parameters
    ----------
    model : ImageModel
        The network.
    image
        One image of any kind.
    directions : ConceptDirections
        Directions of concepts in a layer of the network, of :func:`concept_directions`.
    target : int, str or callable, optional
        The class. Default: the predicted class.
    of : {"auto", "weights", "features"}, default "auto"
        What is decomposed; "auto" is the weights of the class if the score is linear in the layer, and the features of
        the image otherwise.
    most : int, default 7
        Largest number of concepts.

    Returns
    -------
    PredictionConcepts

    Raises
    ------
    ValueError
        For several images, an unknown class, directions of another layer or width, or weights at a layer in which the
        score is not linear.
    ImportError
        If scikit-learn is missing, with the extra that installs it.

    Warns
    -----
    ExplanationWarning
        If the concepts explain less than a tenth of the weights, or of the features.

    Examples
    --------
    >>> directions = concept_directions(model, xw.data.scene_concepts(1000)).result()  # doctest: +SKIP
    >>> prediction_concepts(model, image, directions).shares  # doctest: +SKIP
    """
    directions = instance(directions, "directions", ConceptDirections)
    most = integer(most, "most", low=1)
    model, x, classes = prepare(model, image, target)
    if len(x) != 1:
        raise ValueError(f"expected one image, got {len(x)}")
    if of != "auto":
        choice(of, "of", ("auto", *get_args(Decomposed)))
    layer = model.layer(directions.layer).name
    output, gradient = layer_gradient(model, x, classes, layer)
    activation = model.spatial(layer, output)[0].cpu().double()
    tensor(directions.directions, "directions", (len(directions.names), len(activation)))
    by_position = model.spatial(layer, gradient)[0].cpu().double()
    linear = _is_linear(model, x, classes, layer, by_position)
    label = model.labels[int(classes[0])]
    if of == "weights" and not linear:
        raise ValueError(
            f"expected a layer in which the score of {label!r} is linear, such as the last one before global pooling "
            f"and a linear layer, got {layer!r}; use of='features'"
        )
    with torch.no_grad():
        score = check_finite(model(x), model.name)[0, classes[0]].item()
    kind: Decomposed = "weights" if of == "weights" or (of == "auto" and linear) else "features"
    terms = (_of_weights if kind == "weights" else _of_features)(activation, by_position, directions, most)
    if terms.explained < LEAST_EXPLAINED:
        warn(
            f"the concepts explain {terms.explained:.0%} of the {kind} of {label!r} in {layer!r}; the rest is in the "
            "residual"
        )
    contributions = terms.maps.sum((1, 2))
    order = contributions.argsort(descending=True, stable=True)
    return PredictionConcepts(
        layer=layer,
        label=label,
        target=int(classes[0]),
        names=tuple(directions.names[terms.chosen[index]] for index in order.tolist()),
        categories=tuple(directions.categories[terms.chosen[index]] for index in order.tolist()),
        coefficients=terms.coefficients[order].float(),
        contributions=contributions[order].float(),
        residual=terms.residual_map.sum().item(),
        remainder=score - (by_position * activation).sum().item(),
        score=score,
        maps=terms.maps[order].float(),
        residual_map=terms.residual_map.float(),
        explained=terms.explained,
        decomposed=kind,
    )


class _Terms(NamedTuple):
    """The chosen concepts, their coefficients (n,) and maps (n, h, w), and the map of the residual."""

    chosen: list[int]
    coefficients: Tensor
    maps: Tensor
    residual_map: Tensor
    explained: float


def _of_weights(activation: Tensor, gradient: Tensor, directions: ConceptDirections, most: int) -> _Terms:
    weights = gradient.sum((1, 2))
    chosen, coefficients = decompose(weights, directions, most=most)
    basis = directions.directions[chosen].double()
    rest = weights - coefficients @ basis
    positions = activation[0].numel()
    maps = torch.einsum("n,nk,khw->nhw", coefficients, basis, activation) / positions
    residual = torch.einsum("k,khw->hw", rest, activation) / positions
    return _Terms(chosen, coefficients, maps, residual, _explained(rest, weights))


def _of_features(activation: Tensor, gradient: Tensor, directions: ConceptDirections, most: int) -> _Terms:
    solve = optional("scipy.optimize", "decompositions into concepts").nnls
    known = directions.directions.double()
    features = activation.flatten(1)
    free = directions.trained.nonzero()[:, 0].tolist()
    chosen: list[int] = []
    coefficients, rest = features.new_zeros(0, features.shape[1]), features
    while free and len(chosen) < most:
        gains = (known[free] @ rest).clamp(min=0).square().sum(1)
        if gains.max() < LEAST_GAIN * features.square().sum():
            break
        chosen.append(free.pop(int(gains.argmax())))
        basis = known[chosen]
        solved = [solve(basis.T.numpy(), column.numpy())[0] for column in features.T]
        coefficients = torch.from_numpy(np.stack(solved, axis=1))
        rest = features - basis.T @ coefficients
    along = known[chosen] @ gradient.flatten(1)
    maps = (coefficients * along).unflatten(1, activation.shape[1:])
    residual = (rest * gradient.flatten(1)).sum(0).view(activation.shape[1:])
    return _Terms(chosen, coefficients.sum(1), maps, residual, _explained(rest, features))


def _explained(rest: Tensor, whole: Tensor) -> float:
    length = whole.square().sum().item()
    return 1 - rest.square().sum().item() / length if length > 0 else 0.0


def decompose(
    weights: Tensor, directions: ConceptDirections, *, most: int = CONCEPTS
) -> tuple[list[int], Tensor]:
    """Return the indices of greedily chosen concepts and their coefficients, (n,), all positive.

    Parameters
    ----------
    weights : Tensor, (K,)
        The vector to decompose, such as the weights of a class.
    directions : ConceptDirections
        Directions of concepts; those that were not trained are left out.
    most : int, default 7
        Largest number of concepts.
    """
    solve = optional("scipy.optimize", "decompositions into concepts").nnls
    known = directions.directions.double()
    target = tensor(weights, "weights", (known.shape[1],), finite=True, like=known)
    free = directions.trained.nonzero()[:, 0].tolist()
    chosen: list[int] = []
    coefficients = target.new_zeros(0)
    length, error = target.square().sum().item(), target.square().sum().item()
    while free and len(chosen) < most:
        trials = []
        for index in free:
            values, norm = solve(known[[*chosen, index]].T.numpy(), target.numpy())
            trials.append((norm**2, index, values))
        best, index, values = min(trials, key=lambda trial: trial[:2])
        if error - best < LEAST_GAIN * length:
            break
        free.remove(index)
        both = [*chosen, index]
        chosen = [each for each, value in zip(both, values.tolist(), strict=True) if value > 0]
        coefficients, error = torch.tensor([value for value in values.tolist() if value > 0]).to(target), best
    return chosen, coefficients


def _is_linear(model: ImageModel, x: Tensor, target: Tensor, layer: str, gradient: Tensor) -> bool:
    """Return whether the gradient is alike at all positions and for another image."""
    changed = x.flip(-1).roll(1, 2) * 0.5
    other = model.spatial(layer, layer_gradient(model, changed, target, layer)[1])[0].cpu().double()
    first = gradient[:, :1, :1]
    limit = ROUNDINGS * torch.finfo(torch.float32).eps * max(first.abs().max().item(), 1e-30)
    return bool(((gradient - first).abs() <= limit).all() and ((other - first).abs() <= limit).all())
