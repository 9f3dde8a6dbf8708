"""A network whose passes stand at a gate, so that a test decides how far a computation has come."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.explorers.brush import PerturbationBrush
from xai_widgets.inverse import layer_wise
from xai_widgets.perturbation import ExtremalSettings

PATIENCE = 60


class Gate(nn.Module):
    """Lets passes through as they are permitted; open until it is shut.

    With ``only_gradients`` it lets through whatever asks for no gradient, such as what is drawn.
    """

    def __init__(self):
        super().__init__()
        self.permits = threading.Semaphore(0)
        self.waiting = threading.Semaphore(0)
        self.shut = False
        self.only_gradients = False

    def forward(self, x):
        minded = x.requires_grad or not self.only_gradients
        if self.shut and minded and threading.current_thread() is not threading.main_thread():
            self.waiting.release()
            assert self.permits.acquire(timeout=PATIENCE)
        return x

    def open(self):
        self.shut = False
        self.permits.release(1000)

    def close_again(self):
        """Shut after it was open: what was permitted then is permitted no more."""
        self.shut = True
        while self.permits.acquire(blocking=False):
            pass
        while self.waiting.acquire(blocking=False):
            pass

    def stopped(self):
        """Wait until a pass stands at the gate."""
        assert self.waiting.acquire(timeout=PATIENCE)


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


def classifier(*first):
    """Return a small network with six classes, behind other modules."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 6)
    return ImageModel(nn.Sequential(*first, *layers), size=16, labels=list("abcdef"))


@pytest.fixture
def model(gate):
    return classifier(gate)


@pytest.fixture
def ungated():
    return classifier()


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


@pytest.fixture
def brush(model, image):
    made = PerturbationBrush(model, image, settings=ExtremalSettings(steps=10, scan=3))
    yield made
    made.close()


@pytest.fixture
def gated(gate, monkeypatch):
    """The gate, at which every snapshot of the layer-wise inverse stands: a network with a gate cannot be traced."""

    def layer_wise_behind(*arguments, **options):
        run = layer_wise(*arguments, **options)

        def play():
            for snapshot in run:
                gate(torch.zeros(1))
                yield snapshot

        return Run(play(), total=run.total)

    monkeypatch.setattr("xai_widgets.studies.inverse.layer_wise", layer_wise_behind)
    return gate
