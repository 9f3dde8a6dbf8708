"""``python -m xai_widgets`` is the program ``xai-widgets``."""

from __future__ import annotations

from xai_widgets.cli import script

if __name__ == "__main__":
    script()
