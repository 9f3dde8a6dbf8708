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
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, ref

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules

from xai_widgets.core.guard import FunctionMode, outside_inference, thread_state
from xai_widgets.core.model_output import distinct_weights
from xai_widgets.core.replica import replica

#: Fewest images in a folded pass without gradients: it reads all weights once more, which pays for several images only.
LEAST_IMAGES = 4
#: Time to fold one weight, in units of the time that batch norm takes for one value.
PER_WEIGHT = 2
#: Time of batch norm forward and backward, in units of the time forward.
WITH_GRADIENT = 3
#: How often the calls of a network are recorded, if later passes differ.
ATTEMPTS = 3
#: Largest difference that folding may make to the scores, as a share of the largest score.
TOLERANCE = 1e-4
#: Largest norm of the difference that folding may make to the gradient of the scores, as a share of the norm of the
#: gradient. Rounding changes which of nearly equal values a ReLU or max-pooling passes on.
GRADIENT_TOLERANCE = 1e-2

#: Functions that read the shape or the type of a tensor, but none of its values.
_SHAPES = frozenset(
    {"dim", "size", "numel", "nelement", "stride", "is_contiguous", "is_floating_point", "__len__"}
)
#: Attributes of a tensor that do not depend on its values.
_ATTRIBUTES = (
    Tensor.shape, Tensor.ndim, Tensor.dtype, Tensor.device, Tensor.layout, Tensor.requires_grad, Tensor.is_cuda,
)  # fmt: skip


class _Deviation(BaseException):
    """Raised inside a pass whose calls are not the recorded ones; ``except Exception`` does not catch it."""


class _Name(NamedTuple):
    """A parameter or buffer of a network by the path of its module."""

    path: str
    name: str
    buffer: bool

    def find(self, network: nn.Module) -> Tensor:
        """Return the tensor in a replica."""
        module = network.get_submodule(self.path)
        found = (module._buffers if self.buffer else module._parameters).get(self.name)
        if found is None:
            raise AttributeError(self.name)
        return found


class _Site(NamedTuple):
    """A convolution and the batch norm that follows it, by the names of their tensors."""

    weight: _Name
    bias: _Name | None
    mean: _Name
    variance: _Name
    factor: _Name | None
    shift: _Name | None
    eps: float

    def find(self, network: nn.Module) -> list[Tensor | None]:
        """Return the tensors in a replica."""
        return [None if name is None else name.find(network) for name in self[:-1]]


@dataclass(frozen=True)
class _Plan:
    """The calls of torch functions in a pass, and the convolutions to fold by the number of their call.

    ``weights`` and ``outputs`` count the values in the weights of these convolutions, and in their outputs for one
    image.
    """

    calls: tuple[Any, ...] = ()
    sites: dict[int, _Site] | None = None
    weights: int = 0
    outputs: int = 0


#: By network, and whether the pass has gradients: its plan, None if it is to be recorded again, and how often it was
#: recorded.
_plans: WeakKeyDictionary[nn.Module, dict[bool, tuple[_Plan | None, int]]] = WeakKeyDictionary()


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
        saved = 0 if plan is None else len(inputs) * plan.outputs * (WITH_GRADIENT if gradient else 1)
        if plan is not None and saved > PER_WEIGHT * plan.weights:
            made = _run(network, inputs, plan, frozen)
            if made is not None:
                return made[0]
            plans[gradient] = None, attempts
    return replica(network, frozen=frozen)(inputs)


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


def _run(network: nn.Module, inputs: Tensor, plan: _Plan, frozen: bool) -> tuple[Any] | None:
    """Return the output of a folded pass in a tuple; None if its calls are not the recorded ones."""
    copy = replica(network, frozen=frozen)
    mode = _Folding(plan, copy)
    try:
        with mode:
            output = copy(inputs)
    except _Deviation:
        return None
    return (output,) if mode.is_complete() else None


def _make_plan(network: nn.Module, image: Tensor, scores: Callable[[Any], Tensor], gradient: bool) -> _Plan:
    """Return the plan of a network; an empty one if nothing can be folded, or folding changes the scores.

    With ``gradient``, also if folding changes the gradient of the scores, as in a checkpoint, which computes a part of
    the network again. Random numbers of the network are drawn as if there were no such pass.
    """
    devices = [image.device] if image.device.type == "cuda" else []
    with outside_inference(), torch.random.fork_rng(devices):
        try:
            copy, own = replica(network, frozen=True), image.clone()
            recorder = _Recorder(copy)
            with torch.no_grad(), recorder:
                copy(own)
            plan = recorder.plan()
            if plan.sites and _keeps_scores(network, image, scores, plan, gradient):
                return plan
        except Exception:  # a network may refuse a single image; the pass itself reports its errors
            pass
    return _Plan()


def _keeps_scores(
    network: nn.Module, image: Tensor, scores: Callable[[Any], Tensor], plan: _Plan, gradient: bool
) -> bool:
    """Return whether folding keeps the scores of an image, and, if asked for, their gradient."""
    with torch.set_grad_enabled(gradient):
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
        return bool((got - expected).norm() <= GRADIENT_TOLERANCE * expected.norm())


def _gradient(scores: Tensor, image: Tensor) -> Tensor:
    """Return the gradient of all scores at the image."""
    return torch.autograd.grad(scores, image, distinct_weights(scores))[0]


class _Recorder(FunctionMode):
    """Records the calls of a pass, and which convolutions are followed by batch norm only."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._names = {
            id(tensor): _Name(path, name, buffer)
            for path, module in network.named_modules()
            for buffer, group in ((False, module._parameters), (True, module._buffers))
            for name, tensor in group.items()
            if tensor is not None
        }
        self._calls: list[Any] = []
        #: By the id of its output, the number of the call of each convolution.
        self._numbers: dict[int, int] = {}
        #: By number: the output, which is kept so that its id stays its own, and weight and bias.
        self._convolutions: dict[int, tuple[Tensor, Tensor, Tensor | None]] = {}
        self._sites: dict[int, _Site] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        number = len(self._calls)
        self._calls.append(func)
        if self._numbers and not _reads_shape(func):
            self._use(func, args, kwargs)
        result = func(*args, **kwargs)
        if func is F.conv2d and isinstance(result, Tensor):
            weight, bias = _argument(args, kwargs, 1, "weight"), _argument(args, kwargs, 2, "bias")
            self._numbers[id(result)] = number
            self._convolutions[number] = result, weight, bias
        return result

    def _use(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note what uses the output of a convolution: its first use must be batch norm, and its only one."""
        for tensor in _tensors((args, kwargs)):
            number = self._numbers.get(id(tensor))
            if number is None:
                continue
            site = None
            if func is F.batch_norm and number not in self._sites and args and tensor is args[0]:
                site = self._site(number, args, kwargs)
            self._sites.pop(number, None)
            if site is None:
                del self._numbers[id(tensor)]
            else:
                self._sites[number] = site

    def _site(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Site | None:
        """Return the names of the tensors of a convolution and its batch norm; None if it cannot be folded."""
        output, weight, bias = self._convolutions[number]
        if _argument(args, kwargs, 5, "training", False):
            return None
        tensors = [weight, bias, *_statistics(args, kwargs)]
        if any(tensor is not None and tensor.dtype != output.dtype for tensor in tensors):
            return None
        names = [None if tensor is None else self._names.get(id(tensor)) for tensor in tensors]
        if any(name is None and tensor is not None for name, tensor in zip(names, tensors, strict=True)):
            return None
        weight_name, bias_name, mean, variance, factor, shift = names
        if weight_name is None or mean is None or variance is None:
            return None
        eps = _argument(args, kwargs, 7, "eps", 1e-5)
        return _Site(weight_name, bias_name, mean, variance, factor, shift, eps)

    def plan(self) -> _Plan:
        """Return the plan, without convolutions whose output is still in use after the pass."""
        outputs = {number: self._convolutions[number][0].numel() for number in self._sites}
        weights = {number: self._convolutions[number][1].numel() for number in self._sites}
        kept = {number: ref(output) for number, (output, *_) in self._convolutions.items()}
        self._convolutions.clear()
        sites = {number: site for number, site in self._sites.items() if kept[number]() is None}
        return _Plan(
            tuple(self._calls),
            sites,
            sum(weights[number] for number in sites),
            sum(outputs[number] for number in sites),
        )


class _Folding(FunctionMode):
    """Folds batch norm into the planned convolutions, and compares all calls to the recorded ones."""

    def __init__(self, plan: _Plan, network: nn.Module) -> None:
        super().__init__()
        self._plan = plan
        self._network = network
        self.at = 0
        self._deviated = False
        #: By the id of a view of it, which the network gets before batch norm: the output of a folded convolution, the
        #: tensors of its site, and eps.
        self._pending: dict[int, tuple[Tensor, list[Tensor | None], float]] = {}
        #: By id: the views.
        self._views: dict[int, ref[Tensor]] = {}

    def is_complete(self) -> bool:
        """Return whether the calls were the recorded ones, and nothing but batch norm has the output of a site."""
        if self._deviated or self._pending or self.at != len(self._plan.calls):
            return False
        return all(view() is None for view in self._views.values())

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
        if self._views and not _reads_shape(func) and any(map(self._is_view, _tensors((args, kwargs)))):
            self._deviate()
        assert self._plan.sites is not None
        site = self._plan.sites.get(at)
        return func(*args, **kwargs) if site is None else self._convolved(site, args, kwargs)

    def _convolved(self, site: _Site, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Return the output of a convolution with the batch norm after it."""
        try:
            tensors = site.find(self._network)
        except AttributeError:
            self._deviate()
        weight, bias, mean, variance, factor, shift = tensors
        if weight is not _argument(args, kwargs, 1, "weight") or bias is not _argument(
            args, kwargs, 2, "bias"
        ):
            self._deviate()
        assert weight is not None
        assert mean is not None
        assert variance is not None
        scale = (variance + site.eps).rsqrt()
        scale = scale if factor is None else scale * factor
        offset = -mean * scale if bias is None else (bias - mean) * scale
        offset = offset if shift is None else offset + shift
        rest = {key: value for key, value in kwargs.items() if key not in ("input", "weight", "bias")}
        x = args[0] if args else kwargs["input"]
        output = _convolution(x, weight * scale.view(-1, 1, 1, 1), offset, *args[3:], **rest)
        view = output.view_as(output)
        self._pending[id(view)] = output, tensors, site.eps
        self._views[id(view)] = ref(view)
        return view

    def _is_view(self, tensor: Tensor) -> bool:
        """Return whether a tensor is the output of a folded convolution as the network knows it."""
        view = self._views.get(id(tensor))
        return view is not None and view() is tensor

    def _normalized(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Return the output of a folded convolution, to which batch norm has nothing to add."""
        output, tensors, eps = self._pending.pop(id(args[0]))
        same = all(own is now for own, now in zip(tensors[2:], _statistics(args, kwargs), strict=True))
        if (
            not same
            or _argument(args, kwargs, 5, "training", False)
            or _argument(args, kwargs, 7, "eps", 1e-5) != eps
        ):
            self._deviate()
        return output

    def _deviate(self) -> Any:
        self._deviated = True
        raise _Deviation


def _convolution(x: Tensor, weight: Tensor, bias: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return ``F.conv2d``, for 1 x 1 kernels on one thread of a CPU by oneDNN whatever the size of the batch.

    Torch itself uses oneDNN there from 16 images on, although it is faster for four images, too, and small batches
    spare the memory.
    """
    slow = tuple(weight.shape[2:]) == (1, 1) and len(x) < 16 and torch.get_num_threads() == 1
    known = slow and not args[4:] and not kwargs and x.device.type == "cpu" and x.dtype == torch.float32
    settings = [[each] * 2 if isinstance(each, int) else each for each in args[:3]]
    if not known or torch.is_grad_enabled() or any(isinstance(each, str) for each in settings):
        return F.conv2d(x, weight, bias, *args, **kwargs)
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return F.conv2d(x, weight, bias, *args, **kwargs)
    defaults: list[Any] = [[1, 1], [0, 0], [1, 1]]
    stride, padding, dilation = settings + defaults[len(settings) :]
    groups = args[3] if len(args) > 3 else 1
    return torch.mkldnn_convolution(x, weight, bias, padding, stride, dilation, groups)


def _statistics(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor | None]:
    """Return mean, variance, factor and shift of a call of ``batch_norm``."""
    names = ("running_mean", "running_var", "weight", "bias")
    return [_argument(args, kwargs, index, name) for index, name in enumerate(names, 1)]


def _argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], index: int, name: str, default: Any = None
) -> Any:
    return args[index] if len(args) > index else kwargs.get(name, default)


def _reads_shape(func: Any) -> bool:
    """Return whether a function does not depend on the values of its tensors."""
    name = getattr(func, "__name__", "")
    return name in _SHAPES or (name == "__get__" and getattr(func, "__self__", None) in _ATTRIBUTES)


def _tensors(value: Any) -> list[Tensor]:
    """Return the tensors in nested arguments."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, list | tuple | type({}.values())):
        return [tensor for each in value for tensor in _tensors(each)]
    return []
