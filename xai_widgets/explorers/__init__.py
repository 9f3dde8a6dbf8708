"""Explorers: explainers, views and controls joined by traits."""

from __future__ import annotations

from xai_widgets.explorers.deletion import DeletionExplorer

__all__ = ["DeletionExplorer"]
