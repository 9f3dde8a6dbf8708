"""Measures of attributions."""

from __future__ import annotations

from xai_widgets.metrics.deletion import Curve, at_size, blur, default_steps, deletion, insertion, ordering

__all__ = ["Curve", "at_size", "blur", "default_steps", "deletion", "insertion", "ordering"]
