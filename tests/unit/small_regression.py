"""Quick explorers of the inverses of a network that makes images."""

import warnings

import torch

from xai_widgets.explorers import RegressionInverseExplorer
from xai_widgets.inverse import SolverSettings, layer_wise

PATIENCE = 60
LAMBDAS = (0.0, 0.2, 0.5)
QUICK = SolverSettings(steps=10)


def gray_image():
    return torch.rand(1, 1, 24, 32, generator=torch.Generator().manual_seed(1))


def explorer_of(*arguments, **options):
    return RegressionInverseExplorer(*arguments, **{"lam": LAMBDAS, "settings": QUICK, **options})


def inverted(network, x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return layer_wise(network, x, lam=LAMBDAS, settings=QUICK, batch_size=8).result(progress=False)
