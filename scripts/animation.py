"""Save the moving image of the README: the cursor of a deletion curve, dragged with the mouse in JupyterLab.

    python scripts/animation.py [file]

The file defaults to ``docs/images/deletion_explorer.webp``.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from screenshots import CELLS, DONE, PATIENCE, ROOT, hosts, launched

EXPLORER = 'model, coffee, ["grad_cam", "guided_backprop", "gradient"], steps=56, target="espresso"'
#: Width of the window and of the file, pixels.
WINDOW, WIDTH = 1300, 900
#: Positions of the cursor, as fractions of the width of the plot: to the right, a halt, and back.
DRAG = [
    *(0.03 + 0.72 * step / 24 for step in range(25)),
    *[0.75] * 6,
    *(0.75 - 0.72 * step / 16 for step in range(1, 17)),
]
#: Duration of a frame, milliseconds.
FRAME = 110
#: Largest size of the file, bytes.
LARGEST = 2_000_000
#: A pointer, which screenshots of Chromium leave out.
POINTER = """() => {
  const pointer = document.createElement("div");
  pointer.style = "position:fixed;z-index:99999;width:22px;height:22px;margin:-11px;border-radius:50%;"
    + "background:#e5393588;border:2px solid #e53935;pointer-events:none";
  document.body.append(pointer);
  addEventListener("mousemove", (event) => {
    pointer.style.left = event.clientX + "px";
    pointer.style.top = event.clientY + "px";
  }, true);
}"""
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def frames(page: hosts.NotebookPage) -> list[Image.Image]:
    """Drag the cursor and return an image of the explorer at each position."""
    tab, output = page.page, page.output(1)
    tab.evaluate(POINTER)
    plot = output.locator(".xw-curve-view .u-over")
    box, area = plot.bounding_box(), output.bounding_box()
    assert box is not None
    assert area is not None
    x, y = box["x"], box["y"] + 0.5 * box["height"]
    tab.mouse.move(x + DRAG[0] * box["width"], y)
    tab.mouse.down()
    images = []
    for fraction in DRAG:
        tab.mouse.move(x + fraction * box["width"], y)
        tab.evaluate(DRAWN)
        image = Image.open(io.BytesIO(tab.screenshot(clip=area))).convert("RGB")
        images.append(
            image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
        )
    tab.mouse.up()
    return images


def main() -> None:
    """Write the file."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images" / "deletion_explorer.webp"
    cells = [cell.replace("{name}", "DeletionExplorer").replace("{arguments}", EXPLORER) for cell in CELLS]
    with tempfile.TemporaryDirectory() as scratch, launched() as browser:
        server = hosts.JupyterServer("lab", Path(scratch))
        try:
            page = hosts.NotebookHost(browser, server).open(cells, width=WINDOW, height=1100)
            page.wait_for_kernel(DONE, timeout=PATIENCE)
            first, *others = frames(page)
            page.close()
        finally:
            server.stop()
    first.save(path, save_all=True, append_images=others, duration=FRAME, loop=0, quality=70, method=6)
    if path.stat().st_size > LARGEST:
        raise ValueError(
            f"expected at most {LARGEST} bytes, got {path.stat().st_size}; lower WIDTH or the number of frames"
        )


if __name__ == "__main__":
    main()
