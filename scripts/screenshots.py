"""Save the images of the docs: explorers in JupyterLab, in the light and the dark theme.

    python scripts/screenshots.py [folder [explorer ...]]

The folder defaults to ``docs/images``, and the explorers to all.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "browser"))
import hosts  # noqa: E402
from chromium_browser import launched  # noqa: E402

#: Longest wait for an explorer to compute, seconds.
PATIENCE = 900
#: Largest size of a PNG file, bytes; a larger one is reduced to 256 colors.
SIZE = 600_000
#: Width of the thumbnails of the README, pixels: twice the width that they have there.
THUMBNAIL = 400
CELLS = [
    """
import xai_widgets as xw
from xai_widgets.data import low_resolution, photograph, scene_concepts, scenes
from xai_widgets.metrics import METRICS

model = xw.load("efficientnet_lite0")
cat, coffee, rocket, astronaut = (photograph(name) for name in ("cat", "coffee", "rocket", "astronaut"))
""",
    """
explorer = xw.{name}({arguments})
explorer
""",
]
#: Arguments of explorers, if not the network and the cat.
ARGUMENTS = {
    "AttributionExplorer": 'model, [cat, coffee, astronaut], ["grad_cam", "lrp", "guided_backprop"], '
    'names=["cat", "coffee", "astronaut"]',
    "ChannelExplorer": 'model, cat, images=[cat, coffee, rocket, astronaut], layer="blocks.4", rows=6, patches=4',
    "ClassExplorer": "model, [cat, coffee, rocket]",
    "ConceptExplorer": 'xw.load("scenes_resnet"), layer="stage3", concept="striped"',
    "Dashboard": 'model, [cat, coffee, rocket, astronaut], names=["cat", "coffee", "rocket", "astronaut"], '
    'options={"attribution": {"methods": ["guided_backprop", "grad_cam"]}, '
    '"deletion": {"methods": ["gradient", "guided_backprop", "grad_cam"], "steps": 56}}',
    "DeletionExplorer": 'model, [coffee, cat, rocket], ["grad_cam", "gradient", "guided_backprop"], steps=56',
    "ExtremalExplorer": "model, cat, areas=[0.02, 0.05, 0.1, 0.15, 0.2, 0.3]",
    "FeatureExplorer": 'model, "blocks.4", 12, images=[cat, coffee, rocket, astronaut], steps=96, wall_steps=32',
    "InverseExplorer": "model, coffee, lam=(0, 0.2, 0.5), methods=['grad_cam', 'guided_backprop']",
    "LeaderboardExplorer": 'xw.load("scenes_vgg"), scenes.generate(40, split="test", background="photograph"), '
    '["guided_backprop", "grad_cam", "gradient", "lrp"], '
    '[METRICS["deletion"].with_options(steps=14), METRICS["insertion"].with_options(steps=14), "pointing", '
    '"relevance_mass"]',
    "MaskComparison": 'model, cat, ["extremal", "grad_cam", "guided_backprop"]',
    "PredictionConceptsExplorer": 'xw.load("scenes_resnet"), '
    'scenes.scene(2, label="ringed toadstool", split="test").image, scene_concepts(300), without=["object"]',
    "RegressionInverseExplorer": 'xw.load("scenes_sr"), '
    'low_resolution.load_photograph("astronaut")[:, :, 60:188, 160:288], scale=2',
    "SimilarityExplorer": 'model, [cat, coffee, astronaut], names=["cat", "coffee", "astronaut"], '
    'layers=["blocks.2", "blocks.4"]',
}
#: Condition in the kernel: the explorer, or each one of a dashboard, has computed.
DONE = "all(one.run_bar.status in ('idle', 'done') for one in getattr(explorer, 'explorers', {'': explorer}).values())"
#: Name of the files of each explorer, and the code that sets its state.
IMAGES = {
    "DeletionExplorer": (
        "deletion_explorer",
        "explorer.curves.frame = explorer.method_picker.options.index('grad_cam'); "
        "explorer.curves.fraction = 0.15",
    ),
    "ExtremalExplorer": ("extremal_explorer", "explorer.curves.fraction = 0.15"),
    "ChannelExplorer": ("channel_explorer", "explorer.slider.frame = 6"),
    "ClassExplorer": ("class_explorer", "explorer.off = [1, 2]; explorer.wait(60)"),
    "ConceptExplorer": ("concept_explorer", "explorer.slider.frame = 4"),
    "PredictionConceptsExplorer": ("prediction_concepts_explorer", ""),
    "AttributionExplorer": (
        "attribution_explorer",
        "explorer.view.pins = [[0, 1], [2, 1]]; explorer.view.row, explorer.view.column = 0, 1; "
        "explorer.view.position = [0.5, 0.4]",
    ),
    "MaskComparison": ("mask_comparison", "explorer.curves.fraction = 0.05"),
    "LeaderboardExplorer": (
        "leaderboard_explorer",
        "explorer.table.sort = explorer.table.metric = 'insertion'; explorer.wait(60)",
    ),
    "SanityExplorer": ("sanity_explorer", "explorer.slider.frame = 6"),
    "InverseExplorer": ("inverse_explorer", "explorer.slider.frame = 1"),
    "RegressionInverseExplorer": ("regression_inverse_explorer", "explorer.slider.frame = 6"),
    "NoiseMaskExplorer": ("noise_mask_explorer", "explorer.mask.opacity = 0.6"),
    "FeatureExplorer": ("feature_explorer", "explorer.curve.fraction = 1.0"),
    "SimilarityExplorer": (
        "similarity_explorer",
        "explorer.view.position = [0.28, 0.37]; explorer.wait(60)",
    ),
    "Dashboard": (
        "dashboard",
        "deletion = explorer.show('deletion'); explorer.wait(300); deletion.curves.fraction = 0.06",
    ),
    # A soft disc over an eye of the cat.
    "PerturbationBrush": (
        "perturbation_brush",
        "import torch; height, width = explorer.image.shape[2:]; "
        "row, column = torch.arange(height)[:, None] / height, torch.arange(width) / width; "
        "explorer.brush.mask = ((0.3 - torch.hypot(row - 0.4, column - 0.4)) / 0.05).clamp(0, 1).numpy(); "
        "explorer._scorer.wait(60)",
    ),
}


def shrink(path: Path) -> None:
    """Reduce a PNG file larger than ``SIZE`` to 256 colors."""
    if path.stat().st_size > SIZE:
        # The median cut would merge the colors of thin curves.
        colors = Image.open(path).convert("RGB")
        colors.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.FLOYDSTEINBERG).save(
            path, optimize=True
        )


def thumbnail(path: Path) -> Path:
    """Write the thumbnail of NAME_light.png, ``small/NAME.webp``."""
    small = path.parent / "small" / f"{path.stem.removesuffix('_light')}.webp"
    small.parent.mkdir(exist_ok=True)
    image = Image.open(path).convert("RGB")
    size = THUMBNAIL, round(image.height * THUMBNAIL / image.width)
    image.resize(size, Image.Resampling.LANCZOS).save(small, quality=80, method=6)
    return small


def main() -> None:
    """Write NAME_light.png, NAME_dark.png and the thumbnail of each explorer."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, launched() as browser:
        server = hosts.JupyterServer("lab", Path(scratch))
        try:
            for name in sys.argv[2:] or IMAGES:
                file, prepare = IMAGES[name]
                given = ARGUMENTS.get(name, "model, cat")
                cells = [cell.replace("{name}", name).replace("{arguments}", given) for cell in CELLS]
                page = hosts.NotebookHost(browser, server).open(cells, width=1500, height=1800)
                page.wait_for_kernel(DONE, timeout=PATIENCE)
                page.kernel_exec(prepare)
                for theme in ("light", "dark"):
                    page.theme(theme)
                    # JupyterLab covers the page while it loads a theme.
                    page.page.wait_for_function("() => !document.querySelector('#jupyterlab-splash')")
                    # One more answer and two frames: the state set from Python is drawn.
                    page.page.mouse.move(2, 2)
                    page.kernel_eval("1")
                    page.page.evaluate(
                        "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
                    )
                    page.output(1).screenshot(path=folder / f"{file}_{theme}.png")
                    shrink(folder / f"{file}_{theme}.png")
                thumbnail(folder / f"{file}_light.png")
                page.close()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
