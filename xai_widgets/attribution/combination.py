"""Combine the maps of several layers by a weighted sum or a weighted geometric mean.

Rebuffi et al. 2020, section 4.2. With m_j the map of layer j of J, divided by its largest magnitude and upsampled,

    sum       M = sum_j gamma_j m_j
    product   M = prod_j (m_j)_+^gamma_j

The weights gamma_j, divided by their sum, are one of

    feature spread    mean over i of |a^i - mean over i of a^i|, a^i the activation for image i, averaged over positions
    linear probe      accuracy of a linear classifier of the labels of images from a^i
    depth             j / J
    uniform           1 / J

The feature spread is printed without the minus; the norm is Euclidean here. The published accuracy is that on the
training images of the probe, where it may be 1 for every layer; here it is measured on other images.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.optional import optional
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.validation import numbers
from xai_widgets.errors import unknown_name
from xai_widgets.methods.registry import Cost, Method, as_method, channel_sum, method

Weights = Literal["feature_spread", "linear_probe", "depth", "uniform"]
How = Literal["sum", "product"]
#: The kinds of weights that do not need images.
WITHOUT_IMAGES = ("depth", "uniform")


@method(
    title="Combined layers",
    reduce=channel_sum,
    source="Rebuffi et al. 2020",
    formula="sum_j gamma_j m_j or prod_j m_j^gamma_j, m_j the map of layer j by another method",
    cost=Cost(note="for each layer, for a method of this cost"),
    guarantees="values from -1 to 1",
    limits="Requires a method with a layer option; every map is scaled to the same magnitude, even if its values "
    "are tiny.",
    signed=None,
)
def combine(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    method: str | Method | Callable[..., Any] = "norm_grad",
    layers: Sequence[str] | None = None,
    weights: Literal["depth", "uniform"] | Sequence[float] | Tensor = "uniform",
    how: How = "sum",
    **options: Any,
) -> Tensor:
    """Combine the maps of several layers by one method.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    method : str, Method or callable, default "norm_grad"
        A method with a ``layer`` option.
    layers : sequence of str, optional
        Names from ``model.layers()``. Default: :func:`depths`, the last layer of each resolution.
    weights : {"depth", "uniform"} or sequence of float, default "uniform"
        Kind of weights, or one number per layer, at least 0, for instance from :func:`layer_weights`.
    how : {"sum", "product"}, default "sum"
        Weighted sum, or weighted geometric mean of the positive parts, which is large only where all maps are.
    **options
        Options of the method.

    Returns
    -------
    Tensor, (N, 1, H, W)
        In the resolution of the image, from -1 to 1.

    Raises
    ------
    ValueError
        For a method without a layer option, or a wrong number of weights; see also the method.
    """
    if how not in get_args(How):
        raise ValueError(unknown_name("way to combine", how, get_args(How)))
    wrapped = as_method(method)
    _check_takes_layer(wrapped, options)
    chosen = depths(model) if layers is None else list(layers)
    gammas = _check_weights(model, chosen, weights).tolist()
    maps = [
        _upsampled(wrapped.reduce(wrapped.function(model, x, target, layer=layer, **options)), x)
        for layer in chosen
    ]
    if how == "sum":
        return torch.stack([gamma * map_ for gamma, map_ in zip(gammas, maps, strict=True)]).sum(0)
    return torch.stack([map_.clamp(min=0) ** gamma for gamma, map_ in zip(gammas, maps, strict=True)]).prod(0)


@without_inference_mode
def depths(model: ImageModel) -> list[str]:
    """Return the last bottleneck of each resolution above 1 x 1, from the pixels to the scores.

    A resolution without a bottleneck is omitted.
    """
    check_model(model)
    names: dict[tuple[int, ...], list[str]] = {}
    for layer in model.layers():
        if layer.grid is not None and layer.grid.positions > 1 and layer.used:
            names.setdefault((layer.grid.height, layer.grid.width), []).append(layer.name)
    last = (next(filter(model.is_bottleneck, reversed(same_size)), None) for same_size in names.values())
    return _in_order(model, [name for name in last if name is not None]) or [model.default_layer()]


@without_inference_mode
def layer_weights(
    model: ImageModel,
    layers: Sequence[str],
    kind: Weights,
    *,
    images: Any = None,
    labels: Sequence[Any] | None = None,
    seed: int = 0,
    batch_size: int = 16,
) -> Tensor:
    """Return the weight of each layer for :func:`combine`.

    Parameters
    ----------
    model : ImageModel
        The network.
    layers : sequence of str
        Names from ``model.layers()``.
    kind : {"feature_spread", "linear_probe", "depth", "uniform"}
        Kind of weights.
    images
        Images of any kind, balanced over the classes, for the feature spread and the linear probe.
    labels : sequence, optional
        One label per image, of any type, for the linear probe.
    seed : int, default 0
        Seed of the split of the images into a training half and a test half for the linear probe.
    batch_size : int, default 16
        Images per pass.

    Returns
    -------
    Tensor, (J,)
        At least 0, summing to 1.

    Raises
    ------
    ValueError
        For an unknown kind or layer, with the nearest name, missing images or labels, or fewer than 2 images per label.
    ImportError
        If scikit-learn is missing, with the extra that installs it.
    """
    if kind not in get_args(Weights):
        raise ValueError(unknown_name("kind of weights", kind, get_args(Weights)))
    batch_size = check_batch_size(batch_size)
    names = list(layers)
    model.find_layers(names)
    if kind in WITHOUT_IMAGES:
        order = _in_order(model, names)
        return _normalized([order.index(name) + 1.0 if kind == "depth" else 1.0 for name in names])
    if images is None or (kind == "linear_probe" and labels is None):
        needed = "images" if kind == "feature_spread" else "images and their labels"
        raise ValueError(f"expected {needed} of all classes for weights {kind!r}, got none")
    pooled = _pooled(model, names, images, batch_size)
    if kind == "feature_spread":
        return _normalized([_feature_spread(features) for features in pooled])
    return _normalized([_probe_accuracy(features, list(labels or ()), seed) for features in pooled])


def _check_takes_layer(wrapped: Method, options: dict[str, Any]) -> None:
    if "layer" in options:
        raise ValueError(f"expected layers=, a list of names, got layer={options['layer']!r}")
    parameters = inspect.signature(wrapped).parameters
    if "layer" not in parameters and all(each.kind != each.VAR_KEYWORD for each in parameters.values()):
        raise ValueError(f"expected a method with a layer option, such as 'norm_grad', got {wrapped.name!r}")


def _check_weights(model: ImageModel, layers: list[str], weights: Any) -> Tensor:
    """Return one weight per layer, normalized to sum to 1."""
    if isinstance(weights, str):
        if weights in get_args(Weights) and weights not in WITHOUT_IMAGES:
            raise ValueError(
                f"expected weights that do not need images, got {weights!r}; pass weights=layer_weights(model, layers, "
                f"{weights!r}, images=, labels=)"
            )
        return layer_weights(model, layers, weights)  # type: ignore[arg-type]
    model.find_layers(layers)
    return _normalized(numbers(weights, "weights", length=len(layers), low=0))


def _normalized(weights: list[float]) -> Tensor:
    """Divide weights by their sum."""
    values = torch.tensor(weights, dtype=torch.float64)
    if not values.sum() > 0:
        raise ValueError(f"expected a weight above 0 for at least one layer, got {weights}")
    return (values / values.sum()).float()


def _in_order(model: ImageModel, names: list[str]) -> list[str]:
    """Sort layers from the pixels to the scores."""
    order = [each.name for each in model.layers()]
    return sorted(names, key=order.index)


def _upsampled(maps: Tensor, x: Tensor) -> Tensor:
    """Divide maps (N, h, w) by their largest magnitudes and upsample them to the image, (N, 1, H, W)."""
    largest = maps.abs().amax((1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
    return F.interpolate(
        (maps / largest)[:, None], (x.shape[2], x.shape[3]), mode="bilinear", align_corners=False
    )


def _pooled(model: ImageModel, layers: list[str], images: Any, batch_size: int) -> list[Tensor]:
    """Return the mean activation over positions of each layer, (M, C) for M images."""
    source = ImageSource(model, images)
    if len(source) < 2:
        raise ValueError("expected several images of all classes, got 1")
    batches = []
    for begin in range(0, len(source), batch_size):
        outputs = model.activations(source.batch(begin, begin + batch_size), layers)
        batches.append([model.spatial(layer, outputs[layer].float()).mean((2, 3)).cpu() for layer in layers])
    return [torch.cat(parts) for parts in zip(*batches, strict=True)]


def _feature_spread(pooled: Tensor) -> float:
    return (pooled - pooled.mean(0)).norm(dim=1).mean().item()


def _probe_accuracy(pooled: Tensor, labels: list[Any], seed: int) -> float:
    """Train a linear probe on half of the images and return its accuracy on the other half."""
    linear_model, model_selection, pipeline, preprocessing = (
        optional(f"sklearn.{part}", "linear probes")
        for part in ("linear_model", "model_selection", "pipeline", "preprocessing")
    )
    names = [str(label) for label in labels]
    if len(names) != len(pooled) or len(set(names)) < 2 or min(map(names.count, set(names))) < 2:
        raise ValueError(
            f"expected one label per image, at least two different ones, each at least twice, got {len(names)} labels "
            f"({len(set(names))} different ones) for {len(pooled)} images"
        )
    train, test, train_labels, test_labels = model_selection.train_test_split(
        pooled.double().numpy(), names, test_size=0.5, stratify=names, random_state=seed
    )
    probe = pipeline.make_pipeline(
        preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=1000)
    )
    return float(probe.fit(train, train_labels).score(test, test_labels))
