"""Layouts of the spatial positions in the output of a layer: channels first, channels last, or tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from torch import Tensor, cat

from xai_widgets.core.validation import brief, choice, integer

Layout = Literal["channels_first", "channels_last", "tokens"]

#: Largest number of tokens without a position in the image (class, distillation, registers).
MAX_PREFIX = 8
#: Modules whose four-dimensional output is (N, C, h, w), for any aspect ratio.
_CHANNELS_FIRST = ("Conv", "BatchNorm", "Pool", "InstanceNorm", "GroupNorm", "Upsample", "PixelShuffle")
_CHANNELS_LAST = ("LayerNorm", "RMSNorm", "Linear")


@dataclass(frozen=True)
class Grid:
    """Layout of the spatial positions in the output of a layer for one image.

    Attributes
    ----------
    layout : {"channels_first", "channels_last", "tokens"}
        (C, h, w), (h, w, C), or (prefix + h * w, C) with the positions row by row after the prefix.
    height, width : int
        h and w, for an image of the model's default size.
    prefix : int
        Number of tokens without a position, before the others.
    prefix_names : tuple of str
        Their names. Default: "class token", "register 1", "register 2" and so on.

    Raises
    ------
    ValueError
        For an unknown layout, with the nearest one, h or w below 1, a prefix below 0 or of another layout than tokens,
        or another number of names.

    Examples
    --------
    >>> Grid("tokens", 16, 16, prefix=5).prefix_names
    ('class token', 'register 1', 'register 2', 'register 3', 'register 4')
    """

    layout: Layout
    height: int
    width: int
    prefix: int = 0
    prefix_names: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        choice(self.layout, "layout", get_args(Layout))
        for name, low in (("height", 1), ("width", 1), ("prefix", 0)):
            object.__setattr__(self, name, integer(getattr(self, name), name, low=low))
        if self.prefix and self.layout != "tokens":
            raise ValueError(f"expected a prefix of 0 for the layout {self.layout!r}, got {self.prefix}")
        names = tuple(self.prefix_names) or name_prefix(self.prefix, ())
        if len(names) != self.prefix:
            raise ValueError(f"expected {self.prefix} prefix_names, got {brief(names)}")
        object.__setattr__(self, "prefix_names", names)

    @property
    def positions(self) -> int:
        """The number of positions."""
        return self.height * self.width

    @property
    def channel_dimension(self) -> int:
        """The dimension of the channels in an output (N, ...): 1 or -1."""
        return 1 if self.layout == "channels_first" else -1

    def fits(self, shape: Sequence[int]) -> bool:
        """Return whether an output for one image, of this shape, has this layout."""
        if self.layout == "tokens":
            return len(shape) == 2 and shape[0] == self.prefix + self.positions
        sizes = tuple(shape[1:] if self.layout == "channels_first" else shape[:2])
        return len(shape) == 3 and sizes == (self.height, self.width)

    def spatial(self, activation: Tensor) -> Tensor:
        """Return an output of the layer, (N, ...), as (N, C, h, w), without the tokens of the prefix."""
        if self.layout == "channels_first":
            return activation
        if self.layout == "channels_last":
            return activation.movedim(-1, 1)
        tokens = activation[:, self.prefix :]
        return tokens.movedim(-1, 1).unflatten(2, self._shape(tokens.shape[1]))

    def with_spatial(self, activation: Tensor, spatial: Tensor) -> Tensor:
        """Return an output of the layer whose positions have other values; the inverse of :meth:`spatial`.

        Parameters
        ----------
        activation : Tensor, (N, ...)
            An output of the layer, whose prefix is kept.
        spatial : Tensor, (N, C, h, w)
            The values at the positions.
        """
        if self.layout == "channels_first":
            return spatial
        if self.layout == "channels_last":
            return spatial.movedim(1, -1)
        tokens = spatial.flatten(2).movedim(1, -1)
        return cat([activation[:, : self.prefix].to(tokens.dtype), tokens], 1) if self.prefix else tokens

    def prefix_tokens(self, activation: Tensor) -> Tensor:
        """Return the tokens without a position in an output of the layer: (N, prefix, C)."""
        if self.layout == "tokens":
            return activation[:, : self.prefix]
        return activation.movedim(self.channel_dimension, -1).flatten(1, -2)[:, :0]

    def _shape(self, number: int) -> tuple[int, int]:
        """Return the rows and columns of a number of tokens, for images of the same aspect ratio."""
        if number == self.positions:
            return self.height, self.width
        height = max(1, round(math.sqrt(number * self.height / self.width)))
        if number % height:
            raise ValueError(
                f"expected tokens of an image with the aspect ratio of the grid {self.height} x {self.width}, got "
                f"{number}; the model's size= sets the size of the images"
            )
        return height, number // height

    def __str__(self) -> str:
        """Return the positions and the names of the other tokens, such as "16x16 positions, class token"."""
        registers = [name for name in self.prefix_names if name.startswith("register ")]
        words = [name for name in self.prefix_names if name not in registers]
        if registers:
            words.append(f"{len(registers)} register{'s' if len(registers) > 1 else ''}")
        return ", ".join([f"{self.height}x{self.width} positions", *words])


#: Layouts given by the user: by layer name, or by a function of the layer's name, the shape of its output and the
#: layout that was found. None is a layer without positions.
Grids: TypeAlias = Mapping[str, Grid | None] | Callable[[str, tuple[int, ...], Grid | None], Grid | None]


def name_prefix(count: int, parameters: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the tokens without a position, by the names of the parameters of the network."""
    last = {name.rpartition(".")[2] for name in parameters}
    registers = any("reg" in name and "token" in name for name in last)
    distillation = bool(last & {"dist_token", "distillation_token"})
    first = bool(last & {"cls_token", "class_token", "class_embedding"}) or not (registers or distillation)
    names = ["class token"] * first + ["distillation token"] * distillation
    names += [f"register {number + 1}" for number in range(count - len(names))]
    return tuple(names[:count])


def find_grid(
    output: Tensor, kind: str, image: tuple[int, int], known: Sequence[Grid | None] = ()
) -> Grid | None:
    """Find the layout of the spatial positions in the output of a layer for one image; None if it has no positions.

    Parameters
    ----------
    output : Tensor, (1, ...)
        Output of the layer.
    kind : str
        Name of the class of the module.
    image : (int, int)
        Height and width of the image, whose aspect ratio a grid must have.
    known : sequence of Grid or None
        Grids of the layers before; tokens are laid out like one of them.
    """
    if len(output) != 1:
        return None
    shape = output.shape[1:]
    if len(shape) == 3:
        first, last = (shape[1], shape[2]), (shape[0], shape[1])
        if any(word in kind for word in _CHANNELS_FIRST):
            return Grid("channels_first", *first)
        counts = {grid.positions + grid.prefix for grid in known if grid is not None}
        # These operate on the last dimension, for any aspect ratio.
        if any(word in kind for word in _CHANNELS_LAST) and _fits(last, image):
            return Grid("channels_last", *last)
        # Attention weights have the shape (heads, tokens, tokens).
        if _fits(first, image) and not (first[0] == first[1] and first[0] in counts):
            return Grid("channels_first", *first)
        return Grid("channels_last", *last) if _fits(last, image) else None
    if len(shape) == 2:
        sizes = [(grid.height, grid.width) for grid in reversed(known) if grid is not None]
        sizes = [size for size in dict.fromkeys(sizes) if size != (1, 1)]
        for height, width in sizes:
            if 0 <= shape[0] - height * width <= MAX_PREFIX:
                return Grid("tokens", height, width, shape[0] - height * width)
        # Patch merging joins 2 x 2 tokens.
        for height, width in ((-(-size[0] // 2), -(-size[1] // 2)) for size in sizes):
            if shape[0] == height * width:
                return Grid("tokens", height, width)
        return None if sizes else _square_tokens(shape[0], image)
    return None


def _square_tokens(tokens: int, image: tuple[int, int]) -> Grid | None:
    """Return the grid of exactly the image's aspect ratio with the smallest prefix."""
    for prefix in range(min(MAX_PREFIX, tokens - 4) + 1):
        number = tokens - prefix
        height = math.isqrt(number * image[0] // image[1])
        if height > 1 and number % height == 0 and height * image[1] == number // height * image[0]:
            return Grid("tokens", height, number // height, prefix)
    return None


def _fits(grid: tuple[int, int], image: tuple[int, int]) -> bool:
    """Return whether a grid has the aspect ratio of the image, up to one row or column."""
    return abs(grid[0] * image[1] - grid[1] * image[0]) < max(image)
