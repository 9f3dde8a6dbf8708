"""Networks with further inputs besides the image, which are the same in every pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from xai_widgets.core.arguments import device_of
from xai_widgets.core.validation import brief


class FixedInputs(nn.Module):
    """Call a network with an image and fixed further arguments, like ``functools.partial``.

    Parameters
    ----------
    network : nn.Module
        The network. Its layers keep their names.
    inputs : mapping of str to Any, optional
        Keyword arguments of every pass. Tensors are moved to the device of the network; one whose first dimension is 1
        is repeated for each image of the batch.
    image_argument : str, optional
        Name of the argument for the image. Default: it is the first positional argument.

    Raises
    ------
    TypeError
        If ``inputs`` is not a mapping of strings.
    ValueError
        If the image is one of the inputs.
    """

    def __init__(
        self,
        network: nn.Module,
        inputs: Mapping[str, Any] | None = None,
        image_argument: str | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(inputs, Mapping | None) or not all(isinstance(name, str) for name in inputs or {}):
            raise TypeError(f"expected inputs as a dict of arguments by name, got {brief(inputs)}")
        if not isinstance(image_argument, str | None):
            raise TypeError(
                f"expected image_argument as the name of an argument, got {brief(image_argument)}"
            )
        if image_argument in (inputs or {}):
            raise ValueError(
                f"expected inputs without the image, got {image_argument!r} in it, the image_argument"
            )
        self.network = network
        self._image_argument = image_argument
        device = device_of(network)
        self._constants: dict[str, Any] = {}
        self._names: list[str] = []
        for name, value in (inputs or {}).items():
            if isinstance(value, Tensor):
                # A prefix, as "training" and other attributes of a module are taken.
                self.register_buffer(f"input_{name}", value.detach().to(device), persistent=False)
                self._names.append(name)
            else:
                self._constants[name] = value

    def forward(self, x: Tensor) -> Any:
        """Return the output of the network for a batch of images."""
        tensors = {name: getattr(self, f"input_{name}") for name in self._names}
        inputs = {
            name: value.expand(len(x), *value.shape[1:]) if value.ndim and len(value) == 1 else value
            for name, value in tensors.items()
        }
        if self._image_argument is None:
            return self.network(x, **self._constants, **inputs)
        return self.network(**{self._image_argument: x}, **self._constants, **inputs)
