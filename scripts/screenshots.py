"""Take the pictures of the docs: explorers in a real JupyterLab, in both themes.

    python scripts/screenshots.py [folder [explorer ...]]

The folder defaults to ``docs/images``, whose pictures are committed; the explorers to all of them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "browser"))
import hosts  # noqa: E402
from chromium_browser import launched  # noqa: E402

#: Longest wait for an explorer to compute, seconds.
PATIENCE = 900
CELLS = [
    """
import xai_widgets as xw
from xai_widgets.data import low_resolution, scenes

model = xw.load("scenes_resnet")
scene = scenes.scene(2, split="test", background="photograph")
""",
    """
explorer = xw.{name}({arguments})
explorer
""",
]
#: What an explorer is given, if not just the network and the image.
ARGUMENTS = {
    "AttributionExplorer": 'model, [scenes.scene(n, split="test", background="photograph").image for n in range(5)]',
    "ChannelExplorer": 'model, scene.image, images=[scenes.scene(n, split="train", background="texture").image '
    'for n in range(60)], layer="stage3"',
    "Dashboard": 'model, [scenes.scene(n, split="test", background="photograph").image for n in range(8)], '
    'options={"attribution": {"methods": ["guided_backprop", "grad_cam"]}, '
    '"deletion": {"methods": ["gradient", "guided_backprop", "grad_cam"]}}',
    "RegressionInverseExplorer": 'xw.load("scenes_sr"), '
    'low_resolution.load_photograph("astronaut")[:, :, 60:188, 160:288], scale=2',
    "SimilarityExplorer": '[model, xw.load("scenes_vgg")], [scenes.scene(n, split="test", '
    'background="photograph").image for n in range(5)], layers={"scenes_resnet": "stage3", "scenes_vgg": "stage3"}, '
    "components=3, corpus=[scenes.scene(n).image for n in range(200)]",
}
#: The explorer, or those that a dashboard has made, have computed; the brush computes nothing before it is asked.
DONE = "all(one.run_bar.status in ('idle', 'done') for one in getattr(explorer, 'explorers', {'': explorer}).values())"
#: Explorer by explorer: the name of its pictures, and what is done before they are taken.
PICTURES = {
    "DeletionExplorer": (
        "deletion_explorer",
        "explorer.curves.frame = explorer.method_picker.options.index('guided_backprop'); "
        "explorer.curves.fraction = 0.06",
    ),
    "ExtremalExplorer": ("extremal_explorer", "explorer.curves.fraction = 0.05"),
    "ChannelExplorer": ("channel_explorer", "explorer.slider.frame = 6"),
    "AttributionExplorer": (
        "attribution_explorer",
        "explorer.view.pins = [[0, 1], [5, 1]]; explorer.view.row, explorer.view.column = 3, 1; "
        "explorer.view.position = [0.72, 0.31]",
    ),
    "MaskComparison": ("mask_comparison", "explorer.curves.fraction = 0.05"),
    "InverseExplorer": ("inverse_explorer", "explorer.slider.frame = 8"),
    "RegressionInverseExplorer": ("regression_inverse_explorer", "explorer.slider.frame = 6"),
    "SimilarityExplorer": (
        "similarity_explorer",
        "explorer.view.frame = explorer.view.marked = 4; "
        "explorer.view.position = [0.73, 0.35]; explorer.wait(60)",
    ),
    "Dashboard": (
        "dashboard",
        "explorer.frame = 2; deletion = explorer.show('deletion'); explorer.wait(100); "
        "deletion.curves.fraction = 0.06",
    ),
    # Painted over the object, softly, as by hand.
    "PerturbationBrush": (
        "perturbation_brush",
        "import torch; height, width = explorer.image.shape[2:]; "
        "row, column = torch.arange(height)[:, None] / height, torch.arange(width) / width; "
        "explorer.brush.mask = ((0.19 - torch.hypot(row - 0.3, column - 0.65)) / 0.05).clamp(0, 1).numpy(); "
        "explorer._scorer.wait(60)",
    ),
}


def main() -> None:
    """Write NAME_light.png and NAME_dark.png for each explorer."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, launched() as browser:
        server = hosts.JupyterServer("lab", Path(scratch))
        try:
            for name in sys.argv[2:] or PICTURES:
                picture, prepare = PICTURES[name]
                given = ARGUMENTS.get(name, "model, scene.image")
                cells = [cell.replace("{name}", name).replace("{arguments}", given) for cell in CELLS]
                page = hosts.NotebookHost(browser, server).open(cells, width=1500, height=1800)
                page.wait_for_kernel(DONE, timeout=PATIENCE)
                page.kernel_exec(prepare)
                for theme in ("light", "dark"):
                    page.theme(theme)
                    # What Python has set is on the screen when the page has answered once more.
                    page.page.mouse.move(2, 2)
                    page.kernel_eval("1")
                    page.page.evaluate(
                        "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
                    )
                    page.output(1).screenshot(path=folder / f"{picture}_{theme}.png")
                page.close()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
