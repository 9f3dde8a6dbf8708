"""The methods of a study in a `MethodPicker`, with their facts from the registry."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.core.worker import Worker
from xai_widgets.methods import Method
from xai_widgets.methods.cards import summary
from xai_widgets.methods.support import PATTERNS, is_registered, needs_patterns, unsupported
from xai_widgets.views import MethodPicker

#: The headings of methods, by the modules that define them or, for single ones, by their names.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Gradients": (
        *("gradient", "gradient_x_input", "smoothgrad", "smoothgrad_squared"),
        *("integrated_gradients", "expected_gradients", "gradient_shap", "meta_saliency"),
    ),
    "Class activation and gradients of a layer": (
        *("grad_cam", "grad_cam_plus_plus", "smooth_grad_cam_plus_plus", "guided_grad_cam", "cam", "fem"),
        *("linear_approximation", "norm_grad", "selective_norm_grad", "norm_grad_convolution", "combine"),
    ),
    "Other backward rules": (
        *("deconvnet", "guided_backprop", "guided_nonlinearity", "excitation_backprop"),
        *("contrastive_excitation_backprop", "lrp", "deep_lift", "pattern_net", "pattern_attribution"),
        "feedback_layers",
    ),
    "Attention": ("attention_rollout", "gradient_x_attention", "legrad"),
    "Perturbation by samples": (
        *("occlusion", "variable_occlusion", "rise", "lime", "kernel_shap", "minimal_image"),
        *("greedy_regions", "prediction_difference"),
    ),
    "Optimized masks": ("meaningful_perturbation", "noise_mask", "extremal", "channel_extremal"),
    "Inverses": ("layer_wise_inverse", "operation_wise_inverse"),
}
#: The heading of methods that are in no group.
OTHERS = "Further methods"


def method_picker(
    methods: Mapping[str, Method], selected: Collection[str], model: ImageModel | None = None
) -> MethodPicker:
    """Return a picker of methods with heading, sentence and cost of each.

    When the list is first opened, the methods are tried on the network, and those that cannot run are listed apart.

    Parameters
    ----------
    methods : mapping of str to Method
        The methods by the names of the options.
    selected : collection of str
        The options that are selected.
    model : ImageModel, optional
        The network. Default: no method is tried.
    """
    groups = {name: group for group, names in GROUPS.items() for name in names}
    families = {name: groups.get(method.name, OTHERS) for name, method in methods.items()}
    order = [*GROUPS, OTHERS]
    cards = {name: method.card() for name, method in methods.items()}
    picker = MethodPicker(
        options=list(methods),
        labels={name: method.title for name, method in methods.items()},
        selected=list(selected),
        families=dict(sorted(families.items(), key=lambda item: order.index(item[1]))),
        sentences={name: sentence(method) for name, method in methods.items()},
        costs={name: cost for name, method in methods.items() if (cost := short_cost(method))},
        cards={name: card.facts for name, card in cards.items()},
        image_of=lambda name: cards[name].image(),
        reasons={name: PATTERNS for name, method in methods.items() if needs_patterns(method)},
        help="The methods that are compared; open the list to search and choose",
    )
    if model is not None:
        _try_when_opened(picker, methods, model)
    return picker


def _try_when_opened(picker: MethodPicker, methods: Mapping[str, Method], model: ImageModel) -> None:
    worker = Worker()

    def show(run: Run[dict[str, str]]) -> None:
        found = run.latest or {}
        registered = {name: method.name for name, method in methods.items() if is_registered(method)}
        picker.reasons = {option: found[name] for option, name in registered.items() if name in found}

    def start(_change: object) -> None:
        worker.submit(lambda: unsupported(model), on_snapshot=show)
        picker.unobserve(start, "_opened")

    picker.observe(start, "_opened")


def sentence(method: Method) -> str:
    """Return the first sentence of the documentation of a method, without its name."""
    first = summary(method.__doc__)
    head, colon, rest = first.partition(": ")
    named = colon and re.sub(r"\W", "", method.title).lower() in re.sub(r"\W", "", head).lower()
    return rest[:1].upper() + rest[1:] if named else first


def short_cost(method: Method) -> str:
    """Return the number of passes of a method with its default options, or its factors; "" if it is unknown."""
    cost = method.cost
    if cost is None:
        return ""
    option = inspect.signature(method.function).parameters.get(cost.each)
    default = None if option is None else option.default
    if cost.each and not isinstance(default, int):
        return str(cost).partition(";")[0]
    passes = sum(cost.passes(default if isinstance(default, int) else 0))
    return f"{passes} pass" if passes == 1 else f"{passes} passes"
