"""Messages for unknown names, warnings about explanations, and one-line descriptions of errors."""

from __future__ import annotations

import difflib
import inspect
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def unknown_name(kind: str, given: object, choices: Iterable[str]) -> str:
    """Return an error message for a name that does not exist, with the nearest valid names.

    Parameters
    ----------
    kind : str
        Kind of the name, such as "layer" or "label".
    given : object
        The unknown name.
    choices : iterable of str
        The valid names.

    Returns
    -------
    str
        For instance ``unknown layer 'conv_1'; did you mean 'conv1'?``
    """
    names = list(choices)
    by_lower = {name.lower(): name for name in names}
    # The repr of an object may be long, or fail.
    printed = repr(given) if type(given) in (str, int, float, bool) else type(given).__name__
    text = given[:200].lower() if isinstance(given, str) else printed
    printed = printed if len(printed) <= 60 else f"{printed[:57]}..."
    near = difflib.get_close_matches(text, by_lower, n=3, cutoff=0.5)
    if near:
        return f"unknown {kind} {printed}; did you mean {' or '.join(repr(by_lower[name]) for name in near)}?"
    few = names[: 12 if sum(map(len, names[:12])) < 240 else 3]
    few = [name if len(name) <= 60 else f"{name[:57]}..." for name in few]
    shown = ", ".join(few) + (f", ... ({len(names)} in all)" if len(names) > len(few) else "")
    return f"unknown {kind} {printed}; " + (
        f"expected one of {shown}" if shown else f"expected no {kind}: there are none"
    )


#: Names of parameters here, by the names that Captum, pytorch-grad-cam, zennit, TorchRay, shap, lime and others use.
OTHER_NAMES = {
    "background": ("references",),
    "baselines": ("baseline", "fill", "references"),
    "category": ("target",),
    "class_idx": ("target",),
    "class_index": ("target",),
    "data": ("x", "images"),
    "eps": ("epsilon",),
    "feature_mask": ("segments",),
    "forward_func": ("model",),
    "gpu_batch": ("batch_size",),
    "hide_color": ("fill",),
    "images": ("x", "image"),
    "img": ("x", "image"),
    "input_tensor": ("x", "image", "images"),
    "inputs": ("x", "image", "images"),
    "internal_batch_size": ("batch_size",),
    "kernel_size": ("window", "patch"),
    "kernel_width": ("width",),
    "label": ("target",),
    "local_smoothing": ("sigma",),
    "lr": ("learning_rate", "settings"),
    "max_iter": ("steps", "iterations", "settings"),
    "module": ("model",),
    "n_iter": ("samples", "steps", "iterations"),
    "n_masks": ("masks", "samples"),
    "n_perturb_samples": ("samples",),
    "n_samples": ("samples", "masks"),
    "n_steps": ("steps", "settings"),
    "net": ("model",),
    "network": ("model",),
    "noise_level": ("sigma",),
    "nr_samples": ("samples",),
    "nsamples": ("samples", "masks"),
    "nt_samples": ("samples",),
    "nt_samples_batch_size": ("batch_size",),
    "num_masks": ("masks", "samples"),
    "num_samples": ("samples", "masks"),
    "num_steps": ("steps", "settings"),
    "p1": ("p",),
    "perturb_baseline": ("baseline", "fill"),
    "perturbations_per_eval": ("batch_size",),
    "random_seed": ("seed",),
    "random_state": ("seed",),
    "saliency_layer": ("layer", "layers"),
    "segmentation_fn": ("segments",),
    "sliding_window_shapes": ("window", "patch"),
    "std": ("sigma",),
    "stdev_spread": ("sigma",),
    "stdevs": ("sigma",),
    "strides": ("stride",),
    "target_class": ("target",),
    "target_layer": ("layer", "layers"),
    "target_layers": ("layer", "layers"),
    "targets": ("target",),
    "top_k": ("k", "top"),
    "topk": ("k", "top"),
}


class UnknownKeyword(TypeError):
    """A keyword argument that a function does not have; the message names the nearest one that it has.

    Attributes
    ----------
    keyword : str
        The keyword argument.
    names : tuple of str
        The keyword arguments of the function.
    """

    def __init__(self, function: str, keyword: str, names: Iterable[str]) -> None:
        self.keyword, self.names = keyword, tuple(names)
        near = [name for name in OTHER_NAMES.get(keyword, ()) if name in self.names]
        near = near or difflib.get_close_matches(keyword.lower(), self.names, n=1, cutoff=0.6)
        choices = ", ".join(map(repr, self.names))
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {choices or 'none'}"
        super().__init__(f"{function}() got an unexpected keyword argument {keyword!r}; {hint}")


@cache
def keywords(function: Callable[..., Any]) -> tuple[tuple[str, ...], bool]:
    """Return the names of a function's parameters, and whether it takes any other keyword argument."""
    parameters = inspect.signature(function).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = tuple(each.name for each in parameters if each.kind in named and each.name != "self")
    return names, any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)


def check_keywords(
    function: str, given: Iterable[str], names: Iterable[str], more: Iterable[str] = ()
) -> None:
    """Raise :class:`UnknownKeyword` for the first keyword that is neither among ``names`` nor ``more``.

    Parameters
    ----------
    function : str
        Name of the function or class, for the message.
    given : iterable of str
        The keywords of a call.
    names : iterable of str
        The keywords that the message suggests.
    more : iterable of str, optional
        Others that are valid.
    """
    for keyword in given:
        if keyword not in names and keyword not in more:
            raise UnknownKeyword(function, keyword, names)


def checked_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Name the nearest valid keyword argument when a function is called with one that it does not have.

    A function that passes others on suggests its own names too when they are refused there.
    """
    name = function.__qualname__.removesuffix(".__init__").rpartition("<locals>.")[2]
    names, passes_on = keywords(function)

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        if not passes_on:
            check_keywords(name, kwargs, names)
        try:
            return function(*args, **kwargs)
        except UnknownKeyword as error:
            if not passes_on or error.keyword not in kwargs:
                raise
            raise UnknownKeyword(name, error.keyword, dict.fromkeys((*names, *error.names))) from None

    return called


class ExplanationWarning(UserWarning):
    """Warning about an explanation that was computed but may be wrong, such as a large completeness gap."""


class _Collected(threading.local):
    """The list that collects the warnings of this thread, if any."""

    messages: list[str] | None = None


_collected = _Collected()


class collect_warnings:
    """Collect the messages of :func:`warn` in this thread instead of issuing warnings, each message once.

    The filters of :mod:`warnings` are shared by the whole process, so a thread must not change them.

    Examples
    --------
    >>> with collect_warnings() as messages:
    ...     warn("incomplete")
    >>> messages
    ['incomplete']
    """

    # A class rather than a generator, so that no interrupt can fall between `__enter__` and the block.
    def __enter__(self) -> list[str]:
        self._around = _collected.messages
        messages: list[str] = []
        _collected.messages = messages
        return messages

    def __exit__(self, *_error: object) -> None:
        _collected.messages = self._around


def warn(message: str) -> None:
    """Issue an :class:`ExplanationWarning` that points to the line of the caller's code, outside of this package."""
    if (messages := _collected.messages) is not None:
        if message not in messages:
            messages.append(message)
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "xai_widgets":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, ExplanationWarning, stacklevel=level)


def as_sentence(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its type if the message is empty."""
    try:
        words = str(error).strip().partition("\n")[0]
    except Exception:  # the `__str__` of a foreign exception may fail
        words = ""
    return words or type(error).__name__
