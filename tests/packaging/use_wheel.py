"""Uses an installed xai_widgets as a newcomer's script would; run by test_wheel.py in a clean environment.

Given ``NAME==VERSION`` arguments, it first makes sure that exactly those are installed.
"""

import importlib.util
import sys
from importlib.metadata import version
from pathlib import Path

import ipywidgets
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display
from IPython.utils.capture import capture_output

import xai_widgets
from xai_widgets import methods, views

for requirement in sys.argv[1:]:
    name, _, expected = requirement.partition("==")
    # "2.4" is also 2.4.0.
    found = version(name)
    assert f"{found}.0".startswith(f"{expected}."), f"expected {requirement}, got {found}"
assert Path(xai_widgets.__file__).is_relative_to(sys.prefix), (
    f"{xai_widgets.__file__} is not the installed one"
)
for extra in ("torchvision", "skimage", "sklearn", "matplotlib", "captum"):
    assert importlib.util.find_spec(extra) is None, f"{extra} is here, so the environment is not clean"

torch.manual_seed(0)
torch.set_num_threads(1)
for name in ("scenes_vgg", "scenes_resnet"):
    model = xai_widgets.load(name)
    image = torch.rand(1, 3, *model.size)
    assert torch.isfinite(model.scores(image)).all()
    for key, method in methods.family("attribution").items():
        if (key == "cam" and name == "scenes_vgg") or "attention" in method.requires:
            # They are defined for other networks: with a global average alone, with attention.
            continue
        patterns = {"patterns": torch.rand(4, 3, *model.size)} if key.startswith("pattern") else {}
        result = method(model, image, **patterns)
        assert len(result) == 1, f"{key} on {name}"
        assert torch.isfinite(result).all(), f"{key} on {name}"
        assert result.abs().sum() > 0, f"{key} on {name} gives nothing"

shown = []
for name in views.__all__:
    view = getattr(views, name)
    if isinstance(view, type) and issubclass(view, views.View) and view is not views.View:
        state = view().get_state()
        assert "export" in state["_esm"], f"{name} came without its bundle"
        assert state["_css"], f"{name} came without its stylesheet"
        shown.append(name)
assert len(shown) >= 4, f"only {shown} are views"

heatmap = views.HeatmapView(image=torch.rand(8, 8, 3).numpy(), maps=torch.randn(4, 4).numpy())
assert heatmap.get_state()["maps"]["shape"] == [1, 4, 4]

explorer = xai_widgets.DeletionExplorer(model, torch.rand(3, *model.size), methods=["gradient"], steps=8)
assert explorer.wait(1800), "the curves were not computed in half an hour"
assert explorer.run_bar.status == "done", f"{explorer.run_bar.status}: {explorer.run_bar.error}"
assert explorer.curves.y.shape == (4, 9), explorer.curves.y.shape
assert torch.isfinite(torch.from_numpy(explorer.curves.y)).all(), "a curve has gaps"

# What a person composes of it, and the page that is made of that: test_wheel.py opens it.
pictures = torch.rand(2, 3, *model.size)
options = {
    "deletion": {"methods": ["gradient"], "steps": 8},
    "attribution": {"methods": ["gradient", "grad_cam"]},
}
board = xai_widgets.dashboard(
    model, pictures, explorers=["attribution", "deletion", "similarity"], options=options
)
for name in ("deletion", "similarity", "attribution"):
    board.show(name)
    assert board.wait(1800), f"{name} was not computed in half an hour"
    assert board.explorers[name].run_bar.error == "", f"{name}: {board.explorers[name].run_bar.error}"
slider = ipywidgets.FloatSlider(value=0.9, min=0, max=1, step=0.1, description="opacity")
xai_widgets.link((slider, "value"), (explorer, "opacity"))
xai_widgets.link(explorer, board, "position")
made = xai_widgets.export(ipywidgets.VBox([slider, explorer, board]), "page.html", title="Composed")
assert made.widgets > 20, made

shell = InteractiveShell.instance()
for widget in (heatmap, explorer, board):
    with capture_output(stdout=False, stderr=False) as captured:
        display(widget)
    (output,) = captured.outputs
    kept = {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"}
    assert set(output.data) == kept, f"{type(widget).__name__} leaves {sorted(output.data)} in its cell"
board.close()
explorer.close()
print("used", ", ".join(shown))
