"""Images to work on: generated scenes with ground truth, and photographs that need no download."""

from __future__ import annotations

from xai_widgets.data import scenes
from xai_widgets.data.base import Example
from xai_widgets.data.photos import photograph, photographs

__all__ = ["Example", "photograph", "photographs", "scenes"]
