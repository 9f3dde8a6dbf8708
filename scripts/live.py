"""Make the live parts of the documentation, in ``docs/live``, which git ignores.

    python scripts/live.py                               everything
    python scripts/live.py deletion_explorer 12_trust    these alone; what is there of the others stays

Each explorer becomes a page, as :func:`xai_widgets.export` writes it, and three of them one with the network inside,
which needs onnx and onnxscript. Notebooks are run from top to bottom, in this
process; what their cells print and show is kept for the pages that ``scripts/docs.py`` makes of them. A cell that
fails, or a computation that ends with an error, stops it all.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import torch

import xai_widgets as xw
from xai_widgets.data import low_resolution, scene_concepts, scenes
from xai_widgets.errors import unknown_name
from xai_widgets.metrics import METRICS
from xai_widgets.views import RunBar
from xai_widgets.views.static_repr import walk_widgets

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
FOLDER = ROOT / "docs" / "live"
#: Longest wait for one computation, seconds.
PATIENCE = 300
#: What notebooks printed and showed, by notebook and cell.
OUTPUTS = "outputs.json"
#: Notebooks that take a minute or more; what they show is on the pages of the explorers.
SLOW = {"00_tour", "01_perturbations", "02_inverses"}


def _photos(count: int) -> list[Any]:
    return [scenes.scene(n, split="test", background="photograph").image for n in range(count)]


def _photo() -> Any:
    return scenes.scene(2, split="test", background="photograph").image


def _dashboard(model: xw.ImageModel) -> xw.Dashboard:
    board = xw.dashboard(
        model,
        _photos(3),
        explorers=["attribution", "deletion", "extremal", "similarity"],
        options={
            "attribution": {"methods": ["gradient", "guided_backprop", "grad_cam", "lrp"]},
            "deletion": {"methods": ["gradient", "guided_backprop", "grad_cam"], "steps": 48},
            "extremal": {"areas": (0.02, 0.05, 0.1, 0.2, 0.4)},
        },
    )
    for name in ("deletion", "extremal", "similarity", "attribution"):
        board.show(name)
    return board


#: Explorer by explorer, how its page is made; settings are such that all of it takes little time.
EXPLORERS: dict[str, Callable[[xw.ImageModel], widgets.DOMWidget]] = {
    "attribution_explorer": lambda model: xw.AttributionExplorer(
        model,
        _photos(3),
        ["gradient", "guided_backprop", "integrated_gradients", "grad_cam", "excitation_backprop", "lrp"],
    ),
    "deletion_explorer": lambda model: xw.DeletionExplorer(
        model, _photos(3), ["gradient", "guided_backprop", "integrated_gradients", "grad_cam"], steps=96
    ),
    "extremal_explorer": lambda model: xw.ExtremalExplorer(
        model, _photo(), areas=(0.01, 0.025, 0.05, 0.1, 0.2, 0.4)
    ),
    "channel_explorer": lambda model: xw.ChannelExplorer(
        model,
        _photo(),
        images=[scenes.scene(n, background="texture").image for n in range(40)],
        layer="stage3",
    ),
    "class_explorer": lambda model: xw.ClassExplorer(model, target=scenes.CUE_CLASS),
    "mask_comparison": lambda model: xw.MaskComparison(
        model,
        _photo(),
        ["gradient", "integrated_gradients", "grad_cam", "extremal"],
        areas=(0.025, 0.05, 0.1, 0.2, 0.4),
    ),
    "sanity_explorer": lambda model: xw.SanityExplorer(
        model, _photo(), ["gradient", "gradient_x_input", "guided_backprop", "grad_cam", "edges"]
    ),
    "leaderboard_explorer": lambda model: xw.LeaderboardExplorer(
        model,
        scenes.generate(20, split="test", background="photograph"),
        ["guided_backprop", "grad_cam", "gradient"],
        [*(METRICS[name].with_options(steps=14) for name in ("deletion", "insertion")), "relevance_mass"],
    ),
    "perturbation_brush": lambda model: xw.PerturbationBrush(model, _photo()),
    "inverse_explorer": lambda model: xw.InverseExplorer(
        model, _photo(), lam=(0, 0.2, 0.4, 0.7), methods=["integrated_gradients", "grad_cam"]
    ),
    "regression_inverse_explorer": lambda model: xw.RegressionInverseExplorer(
        xw.load("scenes_sr"),
        low_resolution.load_photograph("astronaut")[:, :, 60:124, 160:224],
        scale=2,
        lam=(0, 0.2, 0.4),
    ),
    "noise_mask_explorer": lambda model: xw.NoiseMaskExplorer(model, _photo(), betas=(0.5, 1, 2)),
    "feature_explorer": lambda model: xw.FeatureExplorer(
        model, "stage3", 5, images=_photos(8), steps=128, wall_steps=32
    ),
    "similarity_explorer": lambda model: xw.SimilarityExplorer(
        model, _photos(4), layers=["stage1", "stage2", "stage3"], components=3
    ),
    "concept_explorer": lambda model: xw.ConceptExplorer(model, layer="stage3", concept="striped"),
    "prediction_concepts_explorer": lambda model: xw.PredictionConceptsExplorer(
        model,
        scenes.scene(2, label=scenes.CUE_CLASS, split="test").image,
        scene_concepts(150),
        without=["object"],
    ),
    "dashboard": _dashboard,
}

#: Page by page, an explorer whose page holds the network, of 2 MB.
WITH_NETWORK: dict[str, Callable[[xw.ImageModel], widgets.DOMWidget]] = {
    "network_brush": lambda model: xw.PerturbationBrush(model, _photo()),
    "network_similarity": lambda model: xw.SimilarityExplorer(
        model, _photos(2), layers=["stage2", "stage3"], components=3
    ),
    "network_deletion": lambda model: xw.DeletionExplorer(
        model, _photo(), ["gradient", "grad_cam", "guided_backprop"], steps=48
    ),
}


def notebooks() -> list[str]:
    """The names of the notebooks that are run, without their ending."""
    return sorted({path.stem for path in NOTEBOOKS.glob("*.ipynb")} - SLOW)


def _each(values: Any) -> Iterator[Any]:
    """Values, and those in lists and tuples among them."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from _each(value)
        else:
            yield value


def finished(*given: Any) -> None:
    """Wait for every explorer in or among what is given; RuntimeError for one that failed or takes too long."""
    parts = [
        part for value in _each(given) if isinstance(value, widgets.Widget) for part in walk_widgets(value)
    ]
    for part in parts:
        if hasattr(part, "wait") and not part.wait(PATIENCE):
            raise RuntimeError(f"{type(part).__name__} still computes after {PATIENCE} s")
    for bar in parts:
        if isinstance(bar, RunBar) and bar.error:
            raise RuntimeError(f"a computation failed: {bar.error}")


def run_cell(source: str, namespace: dict[str, Any]) -> tuple[str, Any]:
    """Run a cell as Jupyter does.

    Returns
    -------
    (str, object)
        What it printed, and the value of its last line, if that is an expression.
    """
    tree = ast.parse(source)
    last = tree.body[-1] if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    # Progress bars go to stderr, and are nothing to keep.
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        before = ast.Module(tree.body[:-1] if last else tree.body, [])
        exec(compile(before, "<cell>", "exec"), namespace)
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace) if last else None
    return printed.getvalue(), value


def run_notebook(path: Path, folder: Path) -> dict[str, dict[str, str]]:
    """Run a notebook; write a page for each widget that it shows.

    Parameters
    ----------
    path : Path
        The notebook.
    folder : Path
        Where pages are written.

    Returns
    -------
    dict of str to dict
        By the id of a cell, its ``text`` and the name of its ``page``, as far as there are any.
    """
    outputs: dict[str, dict[str, str]] = {}
    namespace: dict[str, Any] = {"__name__": "__main__"}
    title = ""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code":
            headings = re.findall(r"^#+ (.*)$", source, re.MULTILINE)
            title = headings[-1] if headings else title
            continue
        text, value = run_cell(source, namespace)
        shown: dict[str, str] = {}
        if isinstance(value, widgets.DOMWidget):
            finished(*namespace.values(), value)
            shown["page"] = f"{cell['id']}.html"
            xw.export(value, folder / shown["page"], title=title)
        elif value is not None:
            text += repr(value)
        if text.strip():
            shown["text"] = text.rstrip()
        if shown:
            outputs[cell["id"]] = shown
    return outputs


def make(name: str, folder: Path = FOLDER) -> None:
    """Make the page of an explorer, or run a notebook and note what it gave."""
    if name in EXPLORERS or name in WITH_NETWORK:
        widget = {**EXPLORERS, **WITH_NETWORK}[name](xw.load("scenes_resnet"))
        finished(widget)
        xw.export(widget, folder / f"{name}.html", network=name in WITH_NETWORK)
    else:
        file = folder / OUTPUTS
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        known[name] = run_notebook(NOTEBOOKS / f"{name}.ipynb", folder)
        file.write_text(json.dumps(known, indent=1, ensure_ascii=False, sort_keys=True), encoding="utf-8")
    widgets.Widget.close_all()


def main() -> None:
    """Make what is named, or everything."""
    every = [*EXPLORERS, *WITH_NETWORK, *notebooks()]
    names = sys.argv[1:] or every
    for name in names:
        if name not in every:
            sys.exit(unknown_name("explorer or notebook", name, every))
    if names == every:
        # Nothing is left of cells that are gone.
        shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    # What methods warn of is said in the explorers, too.
    warnings.simplefilter("ignore", UserWarning)
    torch.set_num_threads(1)
    for name in names:
        began = time.monotonic()
        make(name)
        print(f"{name:30s} {time.monotonic() - began:6.1f} s", flush=True)


if __name__ == "__main__":
    main()
