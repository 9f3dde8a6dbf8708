"""Checks by which a result of an explainer is known to be wrong without the code that made it."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xai_widgets import ImageModel
from xai_widgets.errors import ExplanationWarning
from xai_widgets.methods import METHODS

#: Methods whose result does not depend on the class.
CLASS_BLIND = tuple(name for name, method in METHODS.items() if not method.uses_class)
#: Those that choose among few masks or discs, where two classes may have the same, and those that know of the class
#: the length of its gradient alone, which is the same for all where one linear layer is left.
ALIKE = (
    "channel_extremal",
    "extremal",
    "variable_occlusion",
    "norm_grad",
    "norm_grad_convolution",
    "combine",
)
#: Those that explain the predicted class alone.
PREDICTED_ONLY = tuple(name for name, method in METHODS.items() if "predicted_class" in method.requires)
#: Rules of ReLU: a result that is the plain gradient is one whose rule never met a ReLU.
GUIDED = ("guided_backprop", "deconvnet", "feedback_layers")
LONGEST = 400
#: What a warning has to say about to excuse that a check fails.
EXCUSES = {
    "constant": r"0 everywhere|same at every position|single position",
    "images": r"0 everywhere|same at every position|single position|same for all images",
    "classes": r"0 everywhere|same at every position|single position|did not converge",
    "sum": r"\bsums? to\b|\bsums?\b|probability",
    "units": r"unit",
}


@dataclass
class Cell:
    """The outcome of one explainer on one network: "ok", "warned", "refused" or "FAULT", and the words for it."""

    outcome: str
    words: str = ""


@dataclass
class Trial:
    """A network that is tried: images A, A, B with the best class of A, its second one, and the best class of B."""

    network: nn.Module
    model: ImageModel
    images: Tensor
    targets: Tensor
    epsilon: float
    reference: Reference | None = None

    @property
    def one_class(self) -> bool:
        """Whether there is no second class."""
        return len(self.model.labels) < 2


class Reference:
    """Scores, gradients and Grad-CAM by plain torch on a copy of the network."""

    def __init__(self, model: ImageModel) -> None:
        module = model.module
        self.module = module if isinstance(module, torch.jit.ScriptModule) else copy.deepcopy(module).eval()
        self.mean, self.std = model.mean, model.std
        first = next((each for each in self.module.parameters() if each.is_floating_point()), None)
        self.dtype = torch.float32 if first is None else first.dtype

    def scores(self, x: Tensor) -> Tensor:
        """Return the scores of a batch, (N, classes)."""
        made = self.module(((x - self.mean) / self.std).to(self.dtype))
        made = made if isinstance(made, Tensor) else made["logits"]
        return (made[:, None] if made.ndim == 1 else made).float()

    def gradient(self, x: Tensor, targets: Tensor) -> Tensor:
        """Return the gradient of the score of each image's class."""
        x = x.clone().requires_grad_()
        chosen = self.scores(x).gather(1, targets[:, None]).sum()
        return torch.autograd.grad(chosen, x)[0]

    def layer(self, name: str, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the output of a layer and the gradient of the scores there; None if there is none."""
        name, _, call = name.partition(":")
        outputs: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            output = output if isinstance(output, Tensor) else output[0]
            outputs.append(output)
            # A clone: what comes behind may work in place.
            return output.clone() if isinstance(output, Tensor) else None

        hook = self.module.get_submodule(name).register_forward_hook(keep)
        try:
            chosen = self.scores(x.clone().requires_grad_()).gather(1, targets[:, None]).sum()
        finally:
            hook.remove()
        output = outputs[int(call or 0)]
        if not output.requires_grad:
            return output, None
        return output, torch.autograd.grad(chosen, output, allow_unused=True)[0]


# -- whether the network is as it was ---------------------------------------------------------------------------


def state(network: nn.Module, *, bits: bool = False) -> dict[str, Any]:
    """Return what the caller can see of a network; with ``bits`` copies of all its tensors, too."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    tensors = [(name, each) for name, each in tensors if not isinstance(each, nn.UninitializedParameter)]
    seen: dict[str, Any] = {
        "train and eval modes": [part.training for part in network.modules()],
        "hooks": [
            len(value)
            for part in network.modules()
            for key, value in vars(part).items()
            if "hooks" in key and hasattr(value, "__len__")
        ],
        "versions": [(name, each._version, each.data_ptr()) for name, each in tensors],
        "requires_grad": [(name, each.requires_grad) for name, each in tensors],
        "gradients": [name for name, each in tensors if each.grad is not None],
        "function modes": torch.overrides._len_torch_function_stack(),
    }
    return seen | ({"bits": {name: each.detach().clone() for name, each in tensors}} if bits else {})


def changes(network: nn.Module, before: dict[str, Any]) -> Iterator[str]:
    """Yield what of a network is otherwise than before."""
    now = state(network, bits="bits" in before)
    for what, value in before.items():
        if what == "bits":
            changed = [name for name, each in value.items() if not torch.equal(each, now["bits"][name])]
            if changed:
                yield f"the network was changed: {', '.join(changed[:3])}"
        elif now[what] != value:
            yield f"the network was changed: {what}"


# -- whether a map can be right ---------------------------------------------------------------------------------


def differ(a: Tensor, b: Tensor) -> bool:
    """Whether two maps differ by more than the rounding of single precision, in which maps are kept."""
    scale = max(a.abs().max().item(), b.abs().max().item())
    return (a - b).abs().max().item() > 1e-6 * scale


def map_faults(trial: Trial, name: str, made: Tensor, layer_map: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the kind of each fault of maps (N, C, h, w) of the images of a trial, and the fault in words."""
    rows = trial.images.shape[0] if name not in PREDICTED_ONLY else 2
    if made.ndim != 4 or len(made) != rows:
        yield "shape", f"its shape is {tuple(made.shape)} for {rows} images"
        return
    if not made.isfinite().all():
        yield "finite", "it is not finite"
        return
    height, width = trial.images.shape[2:]
    h, w = made.shape[2:]
    if abs(h * width / height - w) > max(1.0, width / height):
        yield "grid", f"its grid is {h} x {w} for images of {height} x {width}"
    flat = made.flatten(2)
    spread = (flat.amax(2) - flat.amin(2)).amax(1)
    if (spread <= 1e-6 * flat.abs().amax((1, 2))).any():
        yield "constant", "it is the same at every position"
    a, other, b = made[0], made[1], made[-1]
    if not differ(a, b):
        yield "images", "it is the same for two images"
    blind = trial.one_class or name in (*CLASS_BLIND, *ALIKE, *PREDICTED_ONLY)
    if not blind and not differ(a, other):
        yield "classes", "it is the same for two classes"


def method_faults(
    trial: Trial, name: str, made: Tensor, options: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield the kind of each fault of the result of an attribution or perturbation method, and the fault in words."""
    found = list(map_faults(trial, name, made))
    yield from found
    reference = trial.reference
    if reference is None or name in PREDICTED_ONLY or {"shape", "finite"} & {kind for kind, _ in found}:
        return
    x, targets = trial.images, trial.targets
    if name in ("gradient", *GUIDED):
        plain = reference.gradient(x, targets)
        error = ((made - plain).norm() / plain.norm()).item()
        if name == "gradient" and error > max(2e-3, 50 * trial.epsilon):
            yield "value", f"it is off the gradient of the score by {100 * error:.2g} %"
        if name != "gradient" and error < 1e-3:
            yield "plain", "it is the plain gradient"
    with torch.no_grad():
        scores = reference.scores(x).gather(1, targets[:, None])[:, 0]
        if "baseline" in options:
            start = reference.scores(torch.full_like(x, options["baseline"])).gather(1, targets[:, None])
    if name in ("integrated_gradients", "deep_lift"):
        yield from _sum_faults(made, scores - start[:, 0], 0.1)
    if name == "lrp":
        yield from _sum_faults(made, scores, 0.2)
    if name in ("excitation_backprop", "contrastive_excitation_backprop"):
        sums = made.sum((1, 2, 3))
        if made.min() < 0 or sums.max() > 1.01:
            yield "value", f"it is below 0 or sums to {sums.max().item():.3g}, more than 1"
        if name == "excitation_backprop" and sums.min() < 0.9:
            yield "sum", f"it sums to {sums.min().item():.3g} instead of 1"
    if name == "fem" and (made.abs().amax((1, 2, 3)) - 1).abs().max() > 1e-3:
        yield "value", "its largest magnitude is not 1"
    if name == "grad_cam":
        yield from _grad_cam_faults(trial, reference, made)


def _sum_faults(made: Tensor, wanted: Tensor, share: float) -> Iterator[tuple[str, str]]:
    sums = made.sum((1, 2, 3))
    # Where parts cancel, a change of the score that is small next to them says little.
    excess = (sums - wanted).abs() - share * wanted.abs() - 1e-3 * made.abs().sum((1, 2, 3))
    worst = int(excess.argmax())
    if excess[worst] > 0:
        yield "sum", f"it sums to {sums[worst].item():.3g} instead of {wanted[worst].item():.3g}"


def _grad_cam_faults(trial: Trial, reference: Reference, made: Tensor) -> Iterator[tuple[str, str]]:
    layer = trial.model.default_layer()
    output, gradient = reference.layer(layer, trial.images, trial.targets)
    if gradient is None or not gradient.abs().sum() > 0:
        yield "layer", f"the scores have no gradient at the default layer {layer!r}"
        return
    if not differ(output[0].float(), output[-1].float()):
        yield "layer", f"the default layer {layer!r} is the same for two images"
    grid = trial.model.layer(layer).grid
    if grid is not None and grid.layout == "channels_first" and output.ndim == 4:
        cam = F.relu((gradient.mean((2, 3), keepdim=True) * output).sum(1)).float()
        if (cam - made[:, 0]).norm() > max(2e-3, 50 * trial.epsilon) * max(cam.norm(), made.norm()):
            yield "value", f"it is not the Grad-CAM of layer {layer!r}"


# -- the outcome of a call --------------------------------------------------------------------------------------


def attempt(
    trial: Trial, call: Callable[[], Any], check: Callable[[Any], Iterator[tuple[str, str]]]
) -> tuple[Cell, Any]:
    """Call an explainer, check its result and the network, and return the outcome and the result."""
    before = state(trial.network)
    made = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            made = call()
            told = [str(each.message) for each in caught if issubclass(each.category, ExplanationWarning)]
            told = list(dict.fromkeys(told))
            with torch.inference_mode(False), torch.enable_grad():
                cell = judged(list(check(made)), told)
        except Exception as error:
            cell = refusal(error)
    changed = "; ".join(changes(trial.network, before))
    return (Cell("FAULT", changed) if changed else cell), made


def judged(faults: list[tuple[str, str]], told: list[str]) -> Cell:
    """Return the outcome of a result with these faults, after these warnings."""
    words = "; ".join(told)
    unsaid = [fault for kind, fault in faults if not re.search(EXCUSES.get(kind, "$^"), words)]
    if unsaid:
        return Cell("FAULT", "; ".join(unsaid) + (f" (it warned: {words})" if words else ""))
    return Cell("warned", words) if told else Cell("ok")


def refusal(error: Exception) -> Cell:
    """Return the outcome of an error: a refusal if it is a ValueError or TypeError of one helpful sentence."""
    words = str(error).strip()
    plain = (
        isinstance(error, ValueError | TypeError) and words and "\n" not in words and len(words) <= LONGEST
    )
    if plain and re.search(r"\b(expected|wanted|did you mean|choose|pass)\b", words):
        return Cell("refused", words)
    return Cell("FAULT", f"{type(error).__name__}: {words.partition(chr(10))[0][:LONGEST]}")


def recommended(words: str) -> str | None:
    """Return the layer that a refusal recommends."""
    found = re.search(r"(?:try|such as) (?:that of )?'([^']+)'", words)
    return found[1] if found else None
