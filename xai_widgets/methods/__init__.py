"""The registry of methods, the gradients that they share, and adapters for explainers of other libraries."""

from xai_widgets.methods.cards import Card
from xai_widgets.methods.registry import (
    METHODS,
    Cost,
    Method,
    MethodLike,
    as_method,
    card,
    family,
    get,
    method,
    methods_by_name,
    run_method,
)

__all__ = [
    "METHODS",
    "Card",
    "Cost",
    "Method",
    "MethodLike",
    "as_method",
    "card",
    "family",
    "get",
    "method",
    "methods_by_name",
    "run_method",
]
