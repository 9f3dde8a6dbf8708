"""The deletion explorer without a browser: order of the computation, flips of the class, cursor and class bars."""

import numpy as np
import pytest
import torch
from closeness import near
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.explorers import DeletionExplorer
from xai_widgets.explorers.deletion_arrays import flip
from xai_widgets.metrics import Curve

PATIENCE = 60


def explorer_of(*arguments, **options):
    return DeletionExplorer(*arguments, steps=20, batch_size=6, **options)


def test_the_active_method_is_computed_first(model, image):
    explorer = explorer_of(model, image, ["gradient", "deconvnet", "grad_cam"], target=0, start=False)
    explorer.curves.frame = 2
    begun = []
    explorer.run_bar.observe(lambda change: begun.append(change["new"].partition(":")[0]), "message")
    explorer.compute()
    assert explorer.wait(PATIENCE)
    assert list(dict.fromkeys(begun))[:2] == ["Grad-CAM", "Gradient"]


def test_what_is_not_computed_is_marked_as_such(model, image):
    explorer = explorer_of(model, image, ["gradient"], target=0, start=False)
    explorer._draw()
    # Ranks that no pixel can have, and a map of NaN: the views veil both.
    assert (explorer.masked.ranks == 256).all()
    assert np.isnan(explorer.heatmap.maps).all()
    assert explorer.scores.exact


@pytest.mark.parametrize(
    ("mode", "classes", "step"),
    [
        ("deletion", [3, 3, 2, 3, 0], 2),
        ("deletion", [3, -1, -1, 1, 1], 3),
        ("deletion", [3, 3, 3, 3, 3], None),
        ("insertion", [1, 1, 3, 2, 3], 2),
        ("insertion", [3, 3, 3, 3, 3], None),
        ("insertion", [-1, -1, -1, -1, -1], None),
    ],
)
def test_a_flip_is_where_the_predicted_class_is_lost_or_found(mode, classes, step):
    curve = Curve(
        mode,
        torch.linspace(0, 1, 5),
        torch.zeros(1, 5),
        torch.zeros(1, 5, 1),
        torch.tensor(classes).view(1, 5, 1),
    )
    assert flip(curve, 3) == step


def test_the_mark_of_a_flip_stands_on_the_step_where_the_best_class_changes():
    # Class 0 is bright, class 1 is not: it is lost when a part of a white image is black.
    linear = nn.Linear(3, 2)
    nn.init.zeros_(linear.weight)
    nn.init.ones_(linear.weight[0])
    linear.bias.data = torch.tensor([0.0, 1.95])
    network = nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), linear)
    model = ImageModel(network.eval(), size=16, labels=["bright", "dark"])
    explorer = explorer_of(model, np.full((16, 16, 3), 255, np.uint8), ["gradient"])
    assert explorer.wait(PATIENCE)
    fall, rise = explorer.curves.series[:2]
    # Three channels of 1 - f are below 1.95 from f = 0.35 on.
    step = int(np.flatnonzero(explorer.curves.x == np.float32(fall["flip"]))[0])
    assert step == int(np.flatnonzero(explorer.curves.x > 0.35)[0])
    assert explorer.scores.indices[0, :, 0].tolist() == [0] * step + [1] * (21 - step)
    assert fall["flip_label"].startswith("bright → dark at 3")
    assert "flip" not in rise, "a blurred white image is bright from the first step on"


def test_a_click_on_a_class_explains_it(model, image):
    explorer = explorer_of(model, image, ["gradient"], target=0)
    assert explorer.scores.explains
    explorer.scores._handle(explorer.scores, {"type": "explain", "index": 4}, [])
    assert explorer.target == explorer.class_picker.target == 4
    assert explorer.scores._answered == 1
    assert explorer.wait(PATIENCE)
    assert explorer.scores.target == 4


def test_the_cursor_stands_on_a_step(model, image):
    explorer = explorer_of(model, image, ["gradient"])
    assert explorer.wait(PATIENCE)
    explorer.curves.fraction = 0.33
    x = explorer.curves.x
    assert explorer.curves.fraction == near(float(x[np.abs(x - 0.33).argmin()]))
