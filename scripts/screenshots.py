"""Take the pictures of the README: the explorer of the tour in a real JupyterLab, in both themes.

    python scripts/screenshots.py [folder]

The folder defaults to ``docs/images``, whose pictures are committed.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "browser"))
import hosts  # noqa: E402
from conftest import CHROMIUM_ARGUMENTS, CHROMIUM_NAMES  # noqa: E402

CELLS = [
    """
import xai_widgets as xw
from xai_widgets.data import scenes

model = xw.load("scenes_resnet")
scene = scenes.scene(2, split="test", background="photograph")
""",
    """
explorer = xw.DeletionExplorer(model, scene.image)
explorer
""",
]


def main() -> None:
    """Write deletion_explorer_light.png and deletion_explorer_dark.png."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    executable = next(path for name in CHROMIUM_NAMES if (path := shutil.which(name)))
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        server = hosts.JupyterServer("lab", Path(scratch))
        try:
            for theme in ("light", "dark"):
                page = hosts.NotebookHost(browser, server).open(CELLS, theme=theme, width=1500, height=1500)
                page.wait_for_kernel("explorer.run_bar.status", "done")
                active = "'guided_backprop'"
                page.kernel_exec(
                    f"explorer.curves.frame = explorer.method_picker.options.index({active}); "
                    "explorer.curves.fraction = 0.06"
                )
                expect(page.page.locator(".xw-ordered-mask-view")).to_contain_text("6.0 % deleted")
                page.page.mouse.move(2, 2)
                page.output(1).screenshot(path=folder / f"deletion_explorer_{theme}.png")
        finally:
            server.stop()
            browser.close()


if __name__ == "__main__":
    main()
