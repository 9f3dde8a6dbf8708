"""Concepts: how a layer represents them, and which of them a class depends on."""

from __future__ import annotations

from xai_widgets.concepts.ablation import ablate

__all__ = ["ablate"]
