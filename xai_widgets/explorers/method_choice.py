"""The methods of a study in a `MethodPicker`, with their facts from the registry."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from xai_widgets.methods import METHODS, Method
from xai_widgets.methods.cards import summary
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
}
#: The heading of methods that are in no group.
OTHERS = "Further methods"
#: The reasons why a method cannot run without another argument, by its requirement.
MISSING = {
    "patterns": "needs patterns of the network: methods=[('PatternNet', explainer)] with estimate_patterns(...)"
}


def method_picker(methods: Mapping[str, Method], selected: Collection[str]) -> MethodPicker:
    """Return a picker of methods with heading, sentence and cost of each.

    Parameters
    ----------
    methods : mapping of str to Method
        The methods by the names of the options.
    selected : collection of str
        The options that are selected.
    """
    groups = {name: group for group, names in GROUPS.items() for name in names}
    families = {name: groups.get(method.name, OTHERS) for name, method in methods.items()}
    order = [*GROUPS, OTHERS]
    cards = {name: method.card() for name, method in methods.items()}
    return MethodPicker(
        options=list(methods),
        labels={name: method.title for name, method in methods.items()},
        selected=list(selected),
        families=dict(sorted(families.items(), key=lambda item: order.index(item[1]))),
        sentences={name: sentence(method) for name, method in methods.items()},
        costs={name: str(method.cost) for name, method in methods.items() if method.cost is not None},
        cards={name: card.facts for name, card in cards.items()},
        image_of=lambda name: cards[name].image(),
        reasons={name: reason for name, method in methods.items() if (reason := missing(method))},
        help="The methods that are compared; open the list to search and choose",
    )


def sentence(method: Method) -> str:
    """Return the first sentence of the documentation of a method, without its name."""
    first = summary(method.__doc__)
    head, colon, rest = first.partition(": ")
    named = colon and re.sub(r"\W", "", method.title).lower() in re.sub(r"\W", "", head).lower()
    return rest[:1].upper() + rest[1:] if named else first


def missing(method: Method) -> str:
    """Return the reason why a registered method cannot run with its default options; "" if it may."""
    if METHODS.get(method.name) is not method:
        return ""
    return next((MISSING[need] for need in method.requires if need in MISSING), "")
