"""Passes in which batch norm is folded into the convolution before it.

In eval mode batch norm is an affine map of each channel, y = g (z - mean) / sqrt(var + eps) + b. If z = W * x + c is
the output of a convolution that nothing else uses, then

    y = (s W) * x + s (c - mean) + b,   s = g / sqrt(var + eps)

up to rounding. The pass saves the work and, with gradients, the memory of batch norm.

The convolutions are found as the network runs: a first pass of one image records the calls of torch functions, and a
second one checks that folding leaves the scores, and their gradient if it is needed, as they are. Only this structure
is kept. Weights are folded anew in every pass, so that a pass always computes with the current values of the network. A
pass whose calls are not those that were recorded, or in which anything else uses the output of a folded convolution, is
run again without folding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary, ref

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules

from xai_widgets.core.folding_plan import (
    Plan,
    Recorder,
    Site,
    reads_shape,
    statistics_of,
    tensors_in,
)
from xai_widgets.core.function_calls import argument
from xai_widgets.core.guard import FunctionMode, outside_inference, thread_state
from xai_widgets.core.model_output import distinct_weights
from xai_widgets.core.pointwise import convolution
from xai_widgets.core.replica import replica

#: Fewest images in a folded pass without gradients: it reads all weights once more, which pays for several images only.
LEAST_IMAGES = 2
#: Time to fold one weight, in units of the time that batch norm takes for one value.
PER_WEIGHT = 2
#: Fewest values in the output of a convolution, in the mean of those that are folded: for fewer, the calls take longer.
PER_SITE = 100_000
#: Time of batch norm forward and backward, in units of the time forward.
WITH_GRADIENT = 3
#: How often the calls of a network are recorded, if later passes differ.
ATTEMPTS = 3
#: Largest difference that folding may make to the scores, as a share of the largest score.
TOLERANCE = 1e-4
#: Largest norm of the difference that folding may make to the gradient of the scores, as a share of the norm of the
#: gradient.
GRADIENT_TOLERANCE = 1e-2
#: Number of images of noise in which the gradients are compared if those of the image differ by more: rounding changes
#: which of nearly equal values a ReLU or max-pooling passes on, the more so where an image is uniform.
NOISE_IMAGES = 3


class _Deviation(BaseException):
    """Raised inside a pass whose calls are not the recorded ones; ``except Exception`` does not catch it."""


class _Folded(NamedTuple):
    """The tensors of a site, and weight and bias of the convolution with batch norm in it."""

    tensors: list[Tensor | None]
    weight: Tensor
    bias: Tensor
    eps: float


#: By network, and whether the pass has gradients: its plan, None if it is to be recorded again, and how often it was
#: recorded.
_plans: WeakKeyDictionary[nn.Module, dict[bool, tuple[Plan | None, int]]] = WeakKeyDictionary()


def folded_pass(
    network: nn.Module, inputs: Tensor, scores: Callable[[Any], Tensor], *, frozen: bool = False
) -> Any:
    """Return the output of a network in eval mode, with batch norm folded where that is safe and saves time.

    Parameters
    ----------
    network : nn.Module
        The network, which is not changed.
    inputs : Tensor, (N, C, H, W)
        Its input.
    scores : callable
        Returns the scores in the output for one image.
    frozen : bool, default False
        See :func:`~xai_widgets.core.replica.replica`. A pass with gradients of parameters is not folded.
    """
    gradient = torch.is_grad_enabled() and inputs.requires_grad
    if len(inputs) >= (1 if gradient else LEAST_IMAGES) and _may_fold(network, inputs, frozen):
        plans = _plans.setdefault(network, {})
        plan, attempts = plans.get(gradient, (None, 0))
        if plan is None and attempts < ATTEMPTS:
            plan = _make_plan(network, inputs[:1].detach(), scores, gradient)
            attempts += 1
            plans[gradient] = plan, attempts
        if plan is not None and _pays(plan, len(inputs), gradient):
            made = _run(network, inputs, plan, frozen)
            if made is not None:
                return made[0]
            plans[gradient] = None, attempts
    return replica(network, frozen=frozen)(inputs)


def _pays(plan: Plan, images: int, gradient: bool) -> bool:
    """Return whether folding saves more time than it takes, in a pass of so many images."""
    values = images * plan.outputs
    saved = values * (WITH_GRADIENT if gradient else 1)
    return saved > PER_WEIGHT * plan.weights and values >= PER_SITE * len(plan.sites or ())


def _may_fold(network: nn.Module, inputs: Tensor, frozen: bool) -> bool:
    """Return whether nothing outside of the network would notice that the output of a convolution is another one."""
    if inputs.element_size() < 4 or (torch.is_grad_enabled() and not frozen):
        return False
    if (
        thread_state.hooks
        or torch._C._len_torch_function_stack()
        or torch.is_autocast_enabled(inputs.device.type)
    ):
        return False
    if torch_modules._global_forward_hooks or torch_modules._global_forward_pre_hooks:
        return False
    return not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def _run(network: nn.Module, inputs: Tensor, plan: Plan, frozen: bool) -> tuple[Any] | None:
    """Return the output of a folded pass in a tuple; None if its calls are not the recorded ones."""
    copy = replica(network, frozen=frozen)
    mode = _Folding(plan, copy)
    try:
        with mode:
            output = copy(inputs)
    except _Deviation:
        return None
    return (output,) if mode.is_complete() else None


def _make_plan(network: nn.Module, image: Tensor, scores: Callable[[Any], Tensor], gradient: bool) -> Plan:
    """Return the plan of a network; an empty one if nothing can be folded, or folding changes the scores.

    With ``gradient``, also if folding changes the gradient of the scores, as in a checkpoint, which computes a part of
    the network again. Random numbers of the network are drawn as if there were no such pass.
    """
    devices = [image.device] if image.device.type == "cuda" else []
    with outside_inference(), torch.random.fork_rng(devices):
        try:
            copy, own = replica(network, frozen=True), image.clone()
            recorder = Recorder(copy)
            with torch.no_grad(), recorder:
                copy(own)
            plan = recorder.plan()
            if plan.sites and _keeps_scores(network, image, scores, plan, gradient):
                return plan
        except Exception:  # a network may refuse a single image; the pass itself reports its errors
            pass
    return Plan()


def _keeps_scores(
    network: nn.Module, image: Tensor, scores: Callable[[Any], Tensor], plan: Plan, gradient: bool
) -> bool:
    """Return whether folding keeps the scores of an image, and, if asked for, their gradient.

    The gradient is kept if it is that of the image, or of one image of noise: a network that computes another gradient
    does so for every image.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.set_grad_enabled(gradient):
        for _ in range(1 + NOISE_IMAGES):
            image = image.clone().requires_grad_(gradient)
            plain = scores(replica(network, frozen=True)(image)).clone()
            made = _run(network, image, plan, True)
            if made is None:
                return False
            folded = scores(made[0])
            if not bool((folded - plain).abs().amax() <= TOLERANCE * plain.abs().amax()):
                return False
            if not gradient:
                return True
            expected, got = _gradient(plain, image), _gradient(folded, image)
            if bool((got - expected).norm() <= GRADIENT_TOLERANCE * expected.norm()):
                return True
            image = torch.randn(image.shape, generator=generator).to(image)
    return False


def _gradient(scores: Tensor, image: Tensor) -> Tensor:
    """Return the gradient of all scores at the image."""
    return torch.autograd.grad(scores, image, distinct_weights(scores))[0]


class _Folding(FunctionMode):
    """Folds batch norm into the planned convolutions, and compares all calls to the recorded ones."""

    def __init__(self, plan: Plan, network: nn.Module) -> None:
        super().__init__()
        self._plan = plan
        self._network = network
        self.at = 0
        self._deviated = False
        #: By the number of the call.
        self._folded: dict[int, _Folded] | None = None
        #: By the id of a view of it, which the network gets before batch norm: the output of a folded convolution.
        self._pending: dict[int, tuple[Tensor, _Folded]] = {}
        #: By id: the views that the network still has.
        self._views: dict[int, ref[Tensor]] = {}

    def is_complete(self) -> bool:
        """Return whether the calls were the recorded ones, and nothing but batch norm has the output of a site."""
        if self._deviated or self._pending or self.at != len(self._plan.calls):
            return False
        return not self._views

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        at, calls = self.at, self._plan.calls
        if at >= len(calls) or calls[at] != func:
            self._deviate()
        self.at = at + 1
        if func is F.batch_norm and args and id(args[0]) in self._pending:
            return self._normalized(args, kwargs)
        if self._views and not reads_shape(func) and any(map(self._is_view, tensors_in((args, kwargs)))):
            self._deviate()
        assert self._plan.sites is not None
        if at not in self._plan.sites:
            return func(*args, **kwargs)
        if self._folded is None:
            try:
                self._folded = _fold(self._plan.sites, self._network)
            except KeyError:
                self._deviate()
        assert self._folded is not None
        return self._convolved(self._folded[at], args, kwargs)

    def _convolved(self, folded: _Folded, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Return the output of a convolution with the batch norm after it."""
        weight, bias = folded.tensors[:2]
        if weight is not argument(args, kwargs, 1, "weight") or bias is not argument(args, kwargs, 2, "bias"):
            self._deviate()
        rest = {key: value for key, value in kwargs.items() if key not in ("input", "weight", "bias")}
        x = args[0] if args else kwargs["input"]
        output = convolution(x, folded.weight, folded.bias, *args[3:], **rest)
        view = output.view_as(output)
        key, views = id(view), self._views
        self._pending[key] = output, folded
        views[key] = ref(view, lambda _: views.pop(key, None))
        return view

    def _is_view(self, tensor: Tensor) -> bool:
        """Return whether a tensor is the output of a folded convolution as the network knows it."""
        view = self._views.get(id(tensor))
        return view is not None and view() is tensor

    def _normalized(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Return the output of a folded convolution, to which batch norm has nothing to add."""
        output, folded = self._pending.pop(id(args[0]))
        same = all(
            own is now for own, now in zip(folded.tensors[2:], statistics_of(args, kwargs), strict=True)
        )
        if (
            not same
            or argument(args, kwargs, 5, "training", False)
            or argument(args, kwargs, 7, "eps", 1e-5) != folded.eps
        ):
            self._deviate()
        return output

    def _deviate(self) -> Any:
        self._deviated = True
        raise _Deviation


def _fold(sites: dict[int, Site], network: nn.Module) -> dict[int, _Folded]:
    """Fold batch norm into the convolutions of a replica; KeyError if a tensor is missing.

    The channels of all sites are scaled at once: one by one, small operations would take longer than all others.
    """
    modules = {path: network.get_submodule(path) for path in set().union(*(s.paths for s in sites.values()))}
    found = {at: site.find(modules) for at, site in sites.items()}
    groups: dict[Any, list[int]] = {}
    for at, (_, _, mean, *_) in found.items():
        assert mean is not None
        groups.setdefault((mean.dtype, mean.device), []).append(at)
    folded: dict[int, _Folded] = {}
    for group in groups.values():
        of_group = _fold_together([found[at] for at in group], [sites[at].eps for at in group])
        folded.update(zip(group, of_group, strict=True))
    return folded


def _fold_together(sites: list[list[Tensor | None]], eps: list[float]) -> list[_Folded]:
    """Fold batch norm into convolutions of the same dtype and device."""
    means = [cast(Tensor, tensors[2]) for tensors in sites]

    def channels(index: int, default: float) -> Tensor:
        """Return a value of each channel of all sites; the default for sites without one."""
        given = (tensors[index] for tensors in sites)
        return torch.cat(
            [
                torch.full_like(mean, default) if value is None else value
                for mean, value in zip(means, given, strict=True)
            ]
        )

    small = torch.cat([torch.full_like(mean, one) for mean, one in zip(means, eps, strict=True)])
    scales = (channels(3, 1.0) + small).rsqrt() * channels(4, 1.0)
    shifts = (channels(1, 0.0) - torch.cat(means)) * scales + channels(5, 0.0)
    counts = [len(mean) for mean in means]
    return [
        _Folded(tensors, cast(Tensor, tensors[0]) * scale.view(-1, 1, 1, 1), shift, one)
        for tensors, one, scale, shift in zip(
            sites, eps, scales.split(counts), shifts.split(counts), strict=True
        )
    ]
