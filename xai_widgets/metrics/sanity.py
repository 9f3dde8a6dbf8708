"""Sanity check by weight randomization: the map of a method must change when the weights of the network do.

Adebayo et al. 2018. The layers of a copy of the network get random weights,

    cascading      one after the other from the output to the input, each in addition to those before
    independent    one at a time, all others keep their weights

and after each layer, the map of the same class is compared with that of the trained network. Agreement near 1 means
that the map depends on the image, but not on the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.hooks import call_of
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import brief, check_finite, choice, items
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.errors import collect_warnings, warn
from xai_widgets.methods.registry import Method
from xai_widgets.metrics.agreement import pearson, spearman, ssim
from xai_widgets.metrics.base import Explanation, check_explain, metric, saliency_of
from xai_widgets.ops.resize import resize_map

Randomization = Literal["cascading", "independent"]


@dataclass(frozen=True)
class Sanity:
    """Agreement with the map of the trained network, as far as it is computed.

    Attributes
    ----------
    mode : {"cascading", "independent"}
        Order in which layers are randomized.
    layers : tuple of str
        The L layers, from the output to the input.
    done : int
        Number of layers that are measured.
    maps : Tensor, (1 + done, N, H, W)
        The map of the trained network, then the map after each layer, in the size of the images.
    scores : Tensor, (N, 1 + L)
        Probability of the class, or its score if the network has no probabilities, of the trained network and after
        each layer; NaN where it is not computed yet.
    spearman, spearman_abs, pearson, ssim : Tensor, (N, L)
        Rank correlation of the maps and of their absolute values, linear correlation, and structural similarity; NaN
        where they are not computed yet, or where a map is constant and a correlation is undefined.
    warnings : tuple of tuple of str
        Warnings of the method at each map.
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
    warnings: tuple[tuple[str, ...], ...] = ()

    def __repr__(self) -> str:
        means = {"spearman_abs": self.spearman_abs, "ssim": self.ssim}
        shown = ", ".join(f"{name}: {values[:, : self.done].nanmean():.2f}" for name, values in means.items())
        return f"Sanity({self.mode}, layers: {self.done} of {len(self.layers)}, images: {len(self.scores)}, {shown})"


@without_inference_mode
def weight_randomization(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    explain: str | Method | Callable[..., Any] = "gradient",
    mode: Randomization = "cascading",
    layers: Sequence[str] | None = None,
    seed: int = 0,
    start: Sanity | None = None,
    **options: Any,
) -> Run[Sanity]:
    """Randomize the layers of a copy of the network and compare the maps of a method.

    Parameters
    ----------
    model : ImageModel
        The trained network; it is not changed.
    x
        Images of any kind, N of them.
    target : int, str, callable, sequence or Tensor, optional
        The class, or one for each image. Default: the class that the trained network predicts.
    explain : str, Method or callable, default "gradient"
        The name of a method, an object with ``saliency(model, x, target)``, or your own function
        ``explain(model, x, target) -> map``.
    mode : {"cascading", "independent"}, default "cascading"
        Order in which layers are randomized.
    layers : sequence of str, optional
        Names in ``model.layers()``, from the output to the input; all weights within a layer such as a block are
        randomized together. Default: every layer that has weights of its own, the last one first.
    seed : int, default 0
        Seed of the new weights, which are those before training: normal with variance 2 / fan-in (He et al. 2015) and
        biases 0; normalization layers become the identity, with new running statistics. Both modes draw the same
        weights.
    start : Sanity, optional
        An earlier snapshot of the same arguments to go on from: its layers are not measured again.
    **options
        Options of the method.

    Returns
    -------
    Run of Sanity
        One snapshot for each layer.

    Raises
    ------
    ValueError
        For an unknown mode, a layer that does not exist or has no weights, and whatever the method rejects.
    """
    choice(mode, "mode", get_args(Randomization))
    model, x, target = prepare(model, x, target)
    seed = check_seed(seed)
    check_explain(explain, options)
    names = randomized_layers(model, layers)
    if start is not None and (start.mode, start.layers) != (mode, names):
        raise ValueError(
            f"expected start to be {mode} over the same layers, got {start.mode} over {brief(start.layers)}"
        )
    left = len(names) - (0 if start is None else start.done)

    def snapshots() -> Iterator[Sanity]:
        with outside_inference():
            copy = deepcopy(model)
        generator = torch.Generator().manual_seed(seed)

        def measure(network: str) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                probs = copy.probabilities(check_finite(copy(x), network))
            with collect_warnings() as messages:
                saliency = saliency_of(explain, copy, x, target, **options)
            warnings.append(tuple(messages))
            for message in messages:
                warn(message)
            maps = resize_map(saliency, (x.shape[2], x.shape[3]))
            return maps, probs.gather(1, target[:, None])[:, 0]

        warnings: list[tuple[str, ...]] = [] if start is None else list(start.warnings)
        columns: dict[str, list[Tensor]] = {"spearman": [], "spearman_abs": [], "pearson": [], "ssim": []}
        if start is None:
            first, score = measure(model.name)
            maps, scores = [first], [score]
        else:
            maps, scores = list(start.maps), list(start.scores[:, : start.done + 1].T)
            first = maps[0]
            columns = {key: list(getattr(start, key)[:, : start.done].T) for key in columns}
        # By the names of layers: a network with further inputs is inside another module.
        modules = copy.find_layers(names)
        for at, name in enumerate(names):
            # The generator draws the weights of every layer, so that those of later ones are the same.
            known = start is not None and at < start.done
            module = modules[name]
            trained = {key: value.clone() for key, value in module.state_dict().items()}
            _randomize(module, generator)
            now, score = (first, scores[0]) if known else measure(f"{model.name} with {name} randomized")
            if mode == "independent":
                module.load_state_dict(trained)
            if known:
                continue
            maps.append(now)
            scores.append(score)
            columns["spearman"].append(spearman(first, now))
            columns["spearman_abs"].append(spearman(first.abs(), now.abs()))
            columns["pearson"].append(pearson(first, now))
            columns["ssim"].append(ssim(first, now))
            done = len(maps) - 1
            yield Sanity(
                mode,
                names,
                done,
                torch.stack(maps),
                _filled(scores, len(names) + 1),
                **{key: _filled(column, len(names)) for key, column in columns.items()},
                warnings=tuple(warnings),
            )

    return Run(snapshots(), total=left, name=f"{mode} randomization")


@metric(
    "randomization",
    title="Weight randomization",
    category="randomization",
    direction="lower",
    measures="rank correlation, without signs, with the maps of the network while its layers get random weights, "
    "mean over the layers; low is good",
    source="Adebayo et al. 2018",
    needs=("method",),
)
def randomization_agreement(
    explanation: Explanation,
    *,
    mode: Randomization = "cascading",
    layers: Sequence[str] | None = None,
    seed: int = 0,
) -> float:
    """Return the mean rank correlation of absolute values over the layers; undefined and negative ones count as 0."""
    assert explanation.method is not None
    run = weight_randomization(
        explanation.model,
        explanation.x,
        explanation.target,
        explain=explanation.method,
        mode=mode,
        layers=layers,
        seed=seed,
        **explanation.options,
    )
    return run.result(progress=False).spearman_abs.nan_to_num(0).clamp(min=0).mean().item()


def randomized_layers(model: ImageModel, layers: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return layers to randomize, by default every one that has weights of its own, from the output to the input.

    Raises
    ------
    ValueError
        For a layer that does not exist or has no weights, or a network without weights.
    """
    if layers is None:
        modules = model.find_layers([layer.name for layer in model.layers() if call_of(layer.name)[1] == 0])
        own = [name for name, part in modules.items() if any(True for _ in part.parameters(recurse=False))]
        if not own:
            raise ValueError(f"expected a network with weights, got {model.name} without any")
        return tuple(reversed(own))
    names = tuple(items(layers, "layers", what="names"))
    for name, module in model.find_layers(names).items():
        if not any(True for _ in module.parameters()):
            known = randomized_layers(model)[0]
            raise ValueError(f"expected a layer with weights, got {name!r}; for example {known!r}")
    return names


@torch.no_grad()
def _randomize(module: nn.Module, generator: torch.Generator) -> None:
    """Give a layer and its parts the weights of an untrained network, drawn on the CPU."""
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
    """Stack columns (N,) to (N, width), with NaN for the missing ones."""
    return torch.stack(columns + [torch.full_like(columns[0], torch.nan)] * (width - len(columns)), dim=1)
