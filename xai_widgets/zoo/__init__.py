"""Networks by name: small bundled networks, and the classification networks of torchvision."""

from __future__ import annotations

from xai_widgets.zoo.loading import available, load

__all__ = ["available", "load"]
