"""A small classifier and quick explorers of its inverses."""

import torch
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.explorers import InverseExplorer
from xai_widgets.inverse import SolverSettings, layer_wise, operation_wise

PATIENCE = 60
QUICK = SolverSettings(steps=6, window=2)
LAM = (0.0, 0.4, 2.0)


def classifier():
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1),
        nn.ReLU(),
    )
    head = nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(80, 6)
    return ImageModel(nn.Sequential(*layers, *head), size=16, labels=list("abcdef"))


def explorer_of(*arguments, **options):
    return InverseExplorer(*arguments, **{"settings": QUICK, "lam": LAM, "methods": ["gradient"], **options})


def inverted(model, image, target, **options):
    run = layer_wise(model, image, target, lam=LAM, settings=QUICK, **options)
    return run.result(progress=False)


def other(model, image, target):
    return operation_wise(model, image, target, settings=QUICK).result(progress=False)


def standing(explorer, gate, units):
    """The layer-wise inverse in mid-run, with so many units drawn."""
    gate.shut = True
    explorer.compute()
    gate.stopped()
    while explorer.result is None or len(explorer.result.layer_wise.units) < units:
        gate.permits.release()
        gate.stopped()
