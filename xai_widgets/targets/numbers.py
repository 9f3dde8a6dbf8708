"""Targets for networks that return numbers: one output of a regression, and one of several independent labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from xai_widgets.core.validation import check_fields, integer, number
from xai_widgets.targets.entries import check_index, score_table


@dataclass(frozen=True)
class Output:
    """One output of a network, such as the steering angle of a regression.

    Attributes
    ----------
    index : int, default 0
        Index of the output.
    near : float, optional
        A value y: the score is -|output - y|, which is 0 where the output is y and negative elsewhere. Default: the
        output itself, with its sign.
    entry : str or int, optional
        The entry of a dict, object or tuple that holds the outputs (N, K). Default: see ``output`` of
        :class:`~xai_widgets.core.model.ImageModel`.

    Examples
    --------
    >>> METHODS["integrated_gradients"](model, image, target=Output(1))
    """

    index: int = 0
    near: float | None = None
    entry: str | int | None = None

    def __post_init__(self) -> None:
        check_fields(self, integer, "index", low=0)
        if self.near is not None:
            check_fields(self, number, "near")

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"output {self.index}" + ("" if self.near is None else f" near {self.near:g}")

    def __call__(self, output: Any) -> Tensor:
        """Return the scores, (N,)."""
        table = score_table(output, self.entry)
        check_index(self.index, table.shape[1], "an output")
        value = table[:, self.index]
        return value if self.near is None else -(value - self.near).abs()


@dataclass(frozen=True)
class Label:
    """The probability of one of several independent labels, sigmoid(output).

    To explain the score before the sigmoid, which does not saturate, use ``ImageModel(..., activation="sigmoid")`` and
    the index of the label as the target, or :class:`Output`.

    Attributes
    ----------
    index : int, default 0
        Index of the label.
    entry : str or int, optional
        See :class:`Output`.
    """

    index: int = 0
    entry: str | int | None = None

    def __post_init__(self) -> None:
        check_fields(self, integer, "index", low=0)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"label {self.index}"

    def __call__(self, output: Any) -> Tensor:
        """Return the probabilities, (N,)."""
        table = score_table(output, self.entry)
        check_index(self.index, table.shape[1], "a label")
        return table[:, self.index].sigmoid()
