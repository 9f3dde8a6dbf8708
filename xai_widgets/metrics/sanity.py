"""Sanity by weight randomization: a map that explains a network must change when the network forgets what it learnt.

Adebayo et al. 2018. The layers of a copy of the network lose their weights,

    cascading      one after the other from the output to the input, each in addition to those before
    independent    one at a time, all others as they were

and after each the map, of the same class, is compared with that of the trained network. Agreement near 1 says that the
method draws the image, not what the network makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, Target, check_model
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import check_finite, choice, items
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.methods.registry import Method, as_method
from xai_widgets.metrics.agreement import pearson, spearman, ssim
from xai_widgets.ops.resize import resize_map

Randomization = Literal["cascading", "independent"]


@dataclass(frozen=True)
class Sanity:
    """Agreement with the map of the trained network, as far as it is computed.

    Attributes
    ----------
    mode : {"cascading", "independent"}
        How layers lose their weights.
    layers : tuple of str
        The L layers, from the output to the input.
    done : int
        How many of them are measured.
    maps : Tensor, (1 + done, N, H, W)
        The map of the trained network, then those after each layer, in the size of the images.
    scores : Tensor, (N, 1 + L)
        Probability of the class, or its score where the network has no probabilities, of the trained network and after
        each layer; NaN where it is not computed yet.
    spearman, spearman_abs, pearson, ssim : Tensor, (N, L)
        Rank correlation of the maps and of their absolute values, linear correlation, and structural similarity; NaN
        where they are not computed yet, or where a map is constant and a correlation means nothing.
    """

    mode: Randomization
    layers: tuple[str, ...]
    done: int
    maps: Tensor
    scores: Tensor
    spearman: Tensor
    spearman_abs: Tensor
    pearson: Tensor
    ssim: Tensor


@without_inference_mode
def weight_randomization(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    explain: str | Method | Callable[..., Any] | tuple[str, Callable[..., Any]] = "gradient",
    mode: Randomization = "cascading",
    layers: Sequence[str] | None = None,
    seed: int = 0,
    **options: Any,
) -> Run[Sanity]:
    """Randomize the layers of a copy of the network and follow a method's maps.

    Parameters
    ----------
    model : ImageModel
        The trained network; it stays as it is.
    x
        Images of any kind, N of them.
    target : int, str, sequence or Tensor, optional
        The class, or one per image. Default: the one that the trained network predicts.
    explain : str, Method or callable, default "gradient"
        A method by name, anything with ``saliency(model, x, target)``, or your own
        ``explain(model, x, target) -> map``.
    mode : {"cascading", "independent"}, default "cascading"
        How layers lose their weights.
    layers : sequence of str, optional
        From the output to the input, by their names in ``model.layers()``; of one that holds others, such as a block,
        all weights go. Default: every layer that has weights of its own, the last that runs first.
    seed : int, default 0
        Of the new weights, which are those of a network before training: normal with variance 2 / fan-in (He et al.
        2015), biases 0; normalizations do nothing, their running statistics forgotten too. Both modes draw the same.
    **options
        Passed on to the method.

    Returns
    -------
    Run of Sanity
        One snapshot a layer.

    Raises
    ------
    ValueError
        For another mode, a layer that does not exist or has no weights, and what the method refuses.
    """
    choice(mode, "mode", get_args(Randomization))
    check_model(model)
    x, target = model.prepare(x, target)
    seed = check_seed(seed)
    saliency: Callable[..., Tensor] = getattr(explain, "saliency", None) or as_method(explain).saliency
    names = _weighted(model) if layers is None else tuple(items(layers, "layers", what="names"))
    for name, module in model.find_layers(names).items():
        if not any(True for _ in module.parameters()):
            raise ValueError(f"layer {name!r} has no weights, wanted one with some, such as {_near(model)!r}")

    def play() -> Iterator[Sanity]:
        with outside_inference():
            copy = deepcopy(model)
        generator = torch.Generator().manual_seed(seed)

        def look(network: str) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                probs = copy.probabilities(check_finite(copy(x), network))
            made = resize_map(saliency(copy, x, target, **options).detach().float(), (x.shape[2], x.shape[3]))
            return made, probs.gather(1, target[:, None])[:, 0]

        first, score = look(model.name)
        maps, scores = [first], [score]
        found: dict[str, list[Tensor]] = {"spearman": [], "spearman_abs": [], "pearson": [], "ssim": []}
        for name in names:
            module = copy.module.get_submodule(name)
            trained = {key: value.clone() for key, value in module.state_dict().items()}
            _randomize(module, generator)
            now, score = look(f"{model.name} with {name} randomized")
            if mode == "independent":
                module.load_state_dict(trained)
            maps.append(now)
            scores.append(score)
            found["spearman"].append(spearman(first, now))
            found["spearman_abs"].append(spearman(first.abs(), now.abs()))
            found["pearson"].append(pearson(first, now))
            found["ssim"].append(ssim(first, now))
            done = len(maps) - 1
            yield Sanity(
                mode,
                names,
                done,
                torch.stack(maps),
                _filled(scores, len(names) + 1),
                **{key: _filled(columns, len(names)) for key, columns in found.items()},
            )

    return Run(play(), total=len(names), name=f"{mode} randomization")


def _weighted(model: ImageModel) -> tuple[str, ...]:
    """Every layer with parameters of its own, from the output to the input."""
    names = [layer.name for layer in model.layers()]
    modules = model.find_layers(names)
    own = [name for name in names if any(True for _ in modules[name].parameters(recurse=False))]
    if not own:
        raise ValueError(f"{model.name} has no layer with weights, wanted a network that was trained")
    return tuple(reversed(own))


def _near(model: ImageModel) -> str:
    return _weighted(model)[0]


@torch.no_grad()
def _randomize(module: nn.Module, generator: torch.Generator) -> None:
    """Give a layer, and those in it, weights as before training, drawn on the CPU."""
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            drawn = torch.randn(parameter.shape, generator=generator, device="cpu")
            parameter.copy_(drawn * (2 / parameter[0].numel()) ** 0.5)
        else:
            parameter.fill_(1.0 if name.rpartition(".")[2] == "weight" else 0.0)
    for name, buffer in module.named_buffers():
        kind = name.rpartition(".")[2]
        if kind in ("running_mean", "running_var"):
            buffer.fill_(1.0 if kind == "running_var" else 0.0)


def _filled(columns: list[Tensor], width: int) -> Tensor:
    """Columns (N,) side by side, (N, width), and NaN for those to come."""
    return torch.stack(columns + [torch.full_like(columns[0], torch.nan)] * (width - len(columns)), dim=1)
