"""Networks by name: small ones that are part of the package, and torchvision's classification networks."""

from __future__ import annotations

from xai_widgets.zoo.loading import available, load

__all__ = ["available", "load"]
