"""Networks by name, and adapters of networks of timm, of Hugging Face, and of image transforms."""

from __future__ import annotations

from xai_widgets.zoo.hugging_face import from_hugging_face
from xai_widgets.zoo.loading import available, load
from xai_widgets.zoo.presets import preset_of
from xai_widgets.zoo.timm import from_timm

__all__ = ["available", "from_hugging_face", "from_timm", "load", "preset_of"]
