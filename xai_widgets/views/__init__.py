"""Views: each draws arrays in the browser, has plain synced traits, and knows nothing of torch."""

from __future__ import annotations

from xai_widgets.views.base import View

__all__ = ["View"]
