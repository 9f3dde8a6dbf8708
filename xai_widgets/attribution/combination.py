"""Maps of several layers in one: their weighted sum, or their weighted geometric mean.

Rebuffi et al. 2020 (CVPR), section 4.2. With m_j the map of layer j of J, divided by its largest magnitude and
enlarged,

    sum       M = sum_j gamma_j m_j
    product   M = prod_j (m_j)_+^gamma_j

The weights gamma_j, divided by their sum, are one of

    feature spread    mean over i of |a^i - mean over i of a^i|, a^i the mean over places of the activation on image i
    linear probe      the share of images whose label a linear layer finds in a^i
    depth             j / J
    uniform           1 / J

The spread is printed without the minus; its norm is taken to be the Euclidean one. The share is printed for the images
that the linear layer was trained with. Where it finds all of their labels that says nothing, so others are asked here.
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
#: The weights for which no images are needed.
WITHOUT_IMAGES = ("depth", "uniform")


@method(
    title="Combined layers",
    reduce=channel_sum,
    source="Rebuffi et al. 2020",
    formula="sum_j gamma_j m_j or prod_j m_j^gamma_j, m_j the map of layer j by another method",
    cost=Cost(note="for each layer, if that is what the method costs"),
    guarantees="within -1 and 1",
    limits="Needs a method that takes a layer; each map counts by its proportions, however small its values.",
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
    """The maps of several layers by one method, combined.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`.
    method : str, Method or callable, default "norm_grad"
        One that takes ``layer``.
    layers : sequence of str, optional
        By their names in ``model.layers()``. Default: :func:`depths`, the last layer of each resolution.
    weights : {"depth", "uniform"} or sequence of float, default "uniform"
        Or one number for each layer, at least 0, such as :func:`layer_weights` gives.
    how : {"sum", "product"}, default "sum"
        Or their weighted geometric mean, large only where all maps are; it takes their positive part.
    **options
        Passed on to the method.

    Returns
    -------
    Tensor, (N, 1, H, W)
        In the resolution of the image, within -1 and 1.

    Raises
    ------
    ValueError
        For a method that takes no layer, weights that do not fit the layers, or as the method.
    """
    if how not in get_args(How):
        raise ValueError(unknown_name("way to combine", how, get_args(How)))
    wrapped = as_method(method)
    _check_takes_layer(wrapped, options)
    chosen = depths(model) if layers is None else list(layers)
    shares = _check_weights(model, chosen, weights).tolist()
    maps = [
        _enlarged(wrapped.reduce(wrapped.function(model, x, target, layer=layer, **options)), x)
        for layer in chosen
    ]
    if how == "sum":
        return torch.stack([share * each for share, each in zip(shares, maps, strict=True)]).sum(0)
    return torch.stack([each.clamp(min=0) ** share for share, each in zip(shares, maps, strict=True)]).prod(0)


@without_inference_mode
def depths(model: ImageModel) -> list[str]:
    """The last layer of each resolution that everything passes through, from the pixels to the scores.

    A resolution has more than one place; one through which everything passes in no single layer is left out.
    """
    check_model(model)
    names: dict[tuple[int, ...], list[str]] = {}
    for layer in model.layers():
        if layer.grid is not None and layer.grid.positions > 1 and layer.used:
            names.setdefault((layer.grid.height, layer.grid.width), []).append(layer.name)
    found = (next(filter(model.is_bottleneck, reversed(alike)), None) for alike in names.values())
    return _in_order(model, [name for name in found if name is not None]) or [model.default_layer()]


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
    """How much each layer counts.

    Parameters
    ----------
    model : ImageModel
        The network.
    layers : sequence of str
        By their names in ``model.layers()``.
    kind : {"feature_spread", "linear_probe", "depth", "uniform"}
        How it is found.
    images
        Images of any kind, of all classes alike, for the feature spread and the linear probe.
    labels : sequence, optional
        One for each image, of any kind, for the linear probe.
    seed : int, default 0
        Of the draw of the half of the images that the linear probe is trained with; it is tested with the others.
    batch_size : int, default 16
        Images per pass.

    Returns
    -------
    Tensor, (J,)
        At least 0, summing to 1.

    Raises
    ------
    ValueError
        For an unknown kind or layer, with the nearest name, missing images or labels, or fewer than 2 of each label.
    ImportError
        If scikit-learn is missing, with the extra that brings it.
    """
    if kind not in get_args(Weights):
        raise ValueError(unknown_name("kind of weights", kind, get_args(Weights)))
    batch_size = check_batch_size(batch_size)
    names = list(layers)
    model.find_layers(names)
    if kind in WITHOUT_IMAGES:
        order = _in_order(model, names)
        return _shares([order.index(name) + 1.0 if kind == "depth" else 1.0 for name in names])
    if images is None or (kind == "linear_probe" and labels is None):
        needed = "images" if kind == "feature_spread" else "images and their labels"
        raise ValueError(f"weights by {kind!r} were asked of no {needed}, wanted {needed} of all classes")
    pooled = _pooled(model, names, images, batch_size)
    if kind == "feature_spread":
        return _shares([_spread(each) for each in pooled])
    return _shares([_probed(each, list(labels or ()), seed) for each in pooled])


def _check_takes_layer(wrapped: Method, options: dict[str, Any]) -> None:
    if "layer" in options:
        raise ValueError(f"layer is {options['layer']!r}, wanted layers=, a list of names")
    parameters = inspect.signature(wrapped).parameters
    if "layer" not in parameters and all(each.kind != each.VAR_KEYWORD for each in parameters.values()):
        raise ValueError(f"method {wrapped.name!r} takes no layer, wanted one that does, such as 'norm_grad'")


def _check_weights(model: ImageModel, layers: list[str], weights: Any) -> Tensor:
    """One share for each layer."""
    if isinstance(weights, str):
        if weights in get_args(Weights) and weights not in WITHOUT_IMAGES:
            raise ValueError(
                f"weights by {weights!r} are found in images, wanted weights=layer_weights(model, layers, {weights!r}, "
                "images=, labels=)"
            )
        return layer_weights(model, layers, weights)  # type: ignore[arg-type]
    model.find_layers(layers)
    return _shares(numbers(weights, "weights", length=len(layers), low=0))


def _shares(weights: list[float]) -> Tensor:
    made = torch.tensor(weights, dtype=torch.float64)
    if not made.sum() > 0:
        raise ValueError(f"the weights of the layers are {weights}, wanted one above 0")
    return (made / made.sum()).float()


def _in_order(model: ImageModel, names: list[str]) -> list[str]:
    """From the pixels to the scores."""
    order = [each.name for each in model.layers()]
    return sorted(names, key=order.index)


def _enlarged(found: Tensor, x: Tensor) -> Tensor:
    """A map (N, h, w), divided by its largest magnitude, in the resolution of the image, (N, 1, H, W)."""
    largest = found.abs().amax((1, 2), keepdim=True).clamp(min=torch.finfo(found.dtype).tiny)
    return F.interpolate(
        (found / largest)[:, None], (x.shape[2], x.shape[3]), mode="bilinear", align_corners=False
    )


def _pooled(model: ImageModel, layers: list[str], images: Any, batch_size: int) -> list[Tensor]:
    """The mean over places of each layer, (M, C) for M images."""
    source = ImageSource(model, images)
    if len(source) < 2:
        raise ValueError("weights were asked of 1 image, wanted several of all classes")
    batches = []
    for begin in range(0, len(source), batch_size):
        found = model.activations(source.batch(begin, begin + batch_size), layers)
        batches.append([model.spatial(layer, found[layer].float()).mean((2, 3)).cpu() for layer in layers])
    return [torch.cat(parts) for parts in zip(*batches, strict=True)]


def _spread(pooled: Tensor) -> float:
    return (pooled - pooled.mean(0)).norm(dim=1).mean().item()


def _probed(pooled: Tensor, labels: list[Any], seed: int) -> float:
    """The share of one half of the images whose label a linear layer trained with the other half finds."""
    linear_model, model_selection, pipeline, preprocessing = (
        optional(f"sklearn.{part}", "linear probes")
        for part in ("linear_model", "model_selection", "pipeline", "preprocessing")
    )
    names = [str(label) for label in labels]
    if len(names) != len(pooled) or len(set(names)) < 2 or min(map(names.count, set(names))) < 2:
        raise ValueError(
            f"{len(set(names))} different labels were given, {len(names)} in all for {len(pooled)} images, wanted one "
            "per image, at least two different ones and each at least twice"
        )
    train, test, known, asked = model_selection.train_test_split(
        pooled.double().numpy(), names, test_size=0.5, stratify=names, random_state=seed
    )
    probe = pipeline.make_pipeline(
        preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=1000)
    )
    return float(probe.fit(train, known).score(test, asked))
