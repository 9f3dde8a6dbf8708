"""What is tried on each network: every method with options that make it quick, and explorers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import reliability_explorers as explorers
import torch
from reliability_checks import (
    PREDICTED_ONLY,
    Cell,
    Trial,
    attempt,
    differ,
    map_faults,
    method_faults,
    recommended,
)
from reliability_explorers import Call, Faults
from torch import Tensor

from xai_widgets.features import top_activations
from xai_widgets.inverse import SolverSettings, layer_wise, operation_wise
from xai_widgets.methods import METHODS, get
from xai_widgets.similarity import activation_grids

#: Explainers by the column of the page that they are in.
GROUPS: dict[str, tuple[str, ...]] = {
    "model": ("ImageModel", "predict"),
    "gradients": (
        "gradient", "gradient_x_input", "integrated_gradients", "smoothgrad", "smoothgrad_squared",
        "expected_gradients", "gradient_shap", "meta_saliency",
    ),
    "rules of ReLU": (
        "deconvnet", "guided_backprop", "guided_nonlinearity", "guided_grad_cam", "feedback_layers",
    ),
    "layers": (
        "grad_cam", "grad_cam_plus_plus", "smooth_grad_cam_plus_plus", "cam", "fem", "linear_approximation",
        "norm_grad", "selective_norm_grad", "norm_grad_convolution", "combine",
    ),
    "propagation": (
        "lrp", "deep_lift", "excitation_backprop", "contrastive_excitation_backprop", "pattern_net",
        "pattern_attribution",
    ),
    "attention": ("attention_rollout", "gradient_x_attention", "legrad"),
    "perturbations": (
        "occlusion", "variable_occlusion", "rise", "lime", "kernel_shap", "minimal_image", "greedy_regions",
        "prediction_difference",
    ),
    "optimized masks": ("meaningful_perturbation", "noise_mask", "extremal", "channel_extremal"),
    "inverses": ("layer_wise", "operation_wise"),
    "similarity, features": ("activation_grids", "top_activations"),
    "explorers": tuple(explorers.CALLS),
}  # fmt: skip
EVERY = tuple(name for names in GROUPS.values() for name in names)


def options_of(name: str, size: tuple[int, int], photographs: Tensor) -> dict[str, Any]:
    """Return the options that make a method quick on images of a size."""
    height, width = size
    cells = torch.arange(height)[:, None] * 3 // height * 3 + torch.arange(width) * 3 // width
    here: dict[str, dict[str, Any]] = {
        "integrated_gradients": {"steps": 8, "baseline": 0.5, "quadrature": "midpoint"},
        "guided_nonlinearity": {"steps": 8, "baseline": 0.5},
        "deep_lift": {"baseline": 0.5},
        "pattern_net": {"patterns": photographs},
        "pattern_attribution": {"patterns": photographs},
        "occlusion": {"window": height // 3, "stride": height // 3},
        "variable_occlusion": {"radii": (height // 8, height // 4), "stride": height // 3},
        "lime": {"segments": cells},
        "kernel_shap": {"segments": cells},
        "minimal_image": {"segments": cells},
        "greedy_regions": {"regions": torch.arange(9)[:, None, None] == cells, "attribution": "gradient"},
        "prediction_difference": {"patch": height // 3, "stride": height // 3},
    }
    # The quick options of greedy regions are those of integrated gradients.
    quick = {} if name == "greedy_regions" else get(name).quick
    return {**quick, **here.get(name, {})}


def explain(trial: Trial, name: str, photographs: Tensor) -> Cell:
    """Try one explainer."""
    if name in METHODS:
        return _method(trial, name, photographs)
    cell, _ = attempt(trial, *CALLS[name](trial))
    return cell


def _method(trial: Trial, name: str, photographs: Tensor) -> Cell:
    method = get(name)
    size = (trial.images.shape[2], trial.images.shape[3])
    options = options_of(name, size, photographs)
    x, targets = trial.images, trial.targets
    if name in PREDICTED_ONLY:
        x, targets = x[[0, 2]], targets[[0, 2]]
    cell, _ = attempt(
        trial,
        lambda: method(trial.model, x, targets, **options),
        lambda made: method_faults(trial, name, made, options),
    )
    near = recommended(cell.words) if cell.outcome == "refused" else None
    if near is not None and "layer" in inspect.signature(method.function).parameters:
        again, _ = attempt(
            trial, lambda: method(trial.model, x, targets, layer=near, **options), lambda _made: iter(())
        )
        if again.outcome in ("refused", "FAULT"):
            return Cell("FAULT", f"{cell.words}; and that fails: {again.words}")
    return cell


def _predict(trial: Trial) -> Call:
    def check(made: Any) -> Faults:
        if trial.reference is None:
            return
        with torch.no_grad():
            scores = trial.reference.scores(trial.images)
        error = (trial.model.scores(trial.images) - scores).abs().max()
        if error > max(1e-4, 16 * trial.epsilon) * scores.abs().max():
            yield "value", "its scores are not those of the network"
        for row, best in zip(made, scores.argmax(1).tolist(), strict=True):
            if row[0].target != best and len({each.probability for each in row}) > 1:
                yield "value", "the first class is not the one with the largest score"
            if trial.model.has_probabilities and not all(0 <= each.probability <= 1 for each in row):
                yield "value", "a probability is not within 0 and 1"
            if not trial.model.has_probabilities and trial.model.probabilities(scores) is not scores:
                yield "value", "a plain number was changed"
        total = sum(each.probability for each in made[0])
        if trial.model.activation == "softmax" and abs(total - 1) > 1e-4:
            yield "value", f"probabilities sum to {total:.4g}"

    return lambda: trial.model.predict(trial.images, k=len(trial.model.labels)), check


def _inverse(method: Callable[..., Any], name: str, **options: Any) -> Callable[[Trial], Call]:
    def call(trial: Trial) -> Call:
        def check(made: Any) -> Faults:
            yield from map_faults(trial, name, made.saliency()[:, None])
            image, empty = made.image[:, None], made.empty[:, None, None]
            low, high = torch.minimum(image, empty), torch.maximum(image, empty)
            if ((made.x < low - 1e-5) | (made.x > high + 1e-5)).any():
                yield "value", "it is not between the empty color and the image"
            working = [unit for unit in made.units if unit.kind in ("convolution", "linear", "scores")]
            if len(working) < 2:
                yield "units", f"it has {len(working)} unit"
            if name == "layer_wise" and not differ(made.x[:, 0], made.x[:, 1]):
                yield "units", "lambda changes nothing"

        settings = SolverSettings(steps=4, window=2)
        return (
            lambda: method(trial.model, trial.images, trial.targets, settings=settings, **options).result(
                progress=False
            )
        ), check

    return call


def _grids(trial: Trial) -> Call:
    def check(made: Any) -> Faults:
        maps = torch.stack([grid.raw.movedim(2, 0) for grid in made]).float()
        # As FEM, these look at no class.
        yield from map_faults(trial, "fem", maps)

    return lambda: activation_grids(trial.model, trial.images).result(progress=False), check


def _top(trial: Trial) -> Call:
    def check(made: Any) -> Faults:
        values = made.values[:, :2]
        if not values.isfinite().all():
            yield "finite", "a value is not finite"
        elif not (values[:, 0] >= values[:, 1]).all():
            yield "value", "the values do not descend"
        elif not (values[:, 0] > values[:, 1]).any():
            yield "images", "every channel is the same for two images"
        patches = made.patches([0])
        if not patches[:, :2].isfinite().all():
            yield "finite", "a patch is not finite"

    return lambda: top_activations(trial.model, trial.images[[0, 2]], k=2).result(progress=False), check


CALLS: dict[str, Callable[[Trial], Call]] = {
    "predict": _predict,
    "layer_wise": _inverse(layer_wise, "layer_wise", lam=(0.0, 0.5)),
    "operation_wise": _inverse(operation_wise, "operation_wise"),
    "activation_grids": _grids,
    "top_activations": _top,
    **explorers.CALLS,
}
