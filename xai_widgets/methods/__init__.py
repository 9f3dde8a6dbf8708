"""The registry of methods, the gradients that they share, and adapters for explainers of other libraries."""

from xai_widgets.methods.registry import (
    METHODS,
    Cost,
    Method,
    as_method,
    family,
    get,
    method,
    run_method,
)

__all__ = ["METHODS", "Cost", "Method", "as_method", "family", "get", "method", "run_method"]
