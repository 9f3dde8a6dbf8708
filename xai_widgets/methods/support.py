"""The methods that a network does not support, and why, from a trial of each requirement on a gray image."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import torch

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.errors import as_sentence, collect_warnings
from xai_widgets.methods.registry import METHODS, Method

#: The method that is tried for each requirement, with the reason why those that share it cannot run.
TRIALS = {
    "relu": ("guided_backprop", "needs a network with ReLU"),
    "attention": ("attention_rollout", "needs attention between all patches in every block"),
    "global_average": ("cam", "needs a global average and a linear layer at the end of the network"),
}
#: Methods whose own reasons are shown, each with the methods that have the same backward rules or units.
RULES = {
    "lrp": (),
    "deep_lift": (),
    "excitation_backprop": ("contrastive_excitation_backprop",),
    "layer_wise_inverse": (),
    "operation_wise_inverse": (),
}
#: The reason why methods cannot run with their default options.
PATTERNS = "needs patterns of the network, from estimate_patterns(model, images)"

_known: WeakKeyDictionary[ImageModel, dict[str, str]] = WeakKeyDictionary()


def unsupported(model: ImageModel) -> Run[dict[str, str]]:
    """Find the registered methods that cannot run on a network with their default options, with the reasons.

    Each requirement is tried once on a gray image. The answer is kept for the network.

    Parameters
    ----------
    model : ImageModel
        The network; it is not changed.

    Returns
    -------
    Run of dict of str to str
        The reasons found so far, by the names of the methods.
    """

    def steps() -> Iterator[dict[str, str]]:
        if model not in _known:
            found = {each.name: PATTERNS for each in METHODS.values() if needs_patterns(each)}
            for need, (name, reason) in TRIALS.items():
                if _error(model, METHODS[name]):
                    found |= {each.name: reason for each in METHODS.values() if need in each.requires}
                yield found
            for name, others in RULES.items():
                if error := _error(model, METHODS[name]):
                    found |= dict.fromkeys((name, *others), error)
                yield found
            _known[model] = found
        yield _known[model]

    return Run(steps(), total=len(TRIALS) + len(RULES) + 1, name="trial of methods")


def is_registered(method: Method) -> bool:
    """Return whether a method is the one of its name in the registry, with its default options."""
    return METHODS.get(method.name) is method


def needs_patterns(method: Method) -> bool:
    """Return whether a method is a registered one that cannot run without patterns."""
    return is_registered(method) and "patterns" in method.requires


def _error(model: ImageModel, method: Method) -> str:
    """Return the reason why a method refuses a gray image; "" if it does not."""
    try:
        with collect_warnings():
            method(model, torch.full((1, model.channels, *model.size), 0.5), 0, **method.quick)
    except (ValueError, TypeError, NotImplementedError) as error:
        return as_sentence(error)
    except Exception:  # an error of memory or of the device is not one of the method
        return ""
    return ""
