"""Linear probes: on a network that builds its classes layer by layer, and on a bundled one."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from stamped import plain, stamped
from torch import nn

from xai_widgets import load
from xai_widgets.concepts import linear_probes
from xai_widgets.core.model import ImageModel
from xai_widgets.errors import ExplanationWarning


def done(run):
    return run.result(progress=False)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    parts = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2)
    return ImageModel(nn.Sequential(*parts).eval(), size=8)


def colored(count, seed):
    """Images that are redder for class 1."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    x = 0.3 + 0.3 * torch.rand(count, 3, 8, 8, generator=generator)
    x[:, 0] += 0.2 * labels[:, None, None]
    return list(x), labels.tolist()


def test_accuracy_is_that_of_scikit_learn(network):
    train, held = colored(60, 1), colored(40, 2)
    made = done(linear_probes(network, train, held, layers=["0", "1"]))
    assert made.layers == ("0", "1")
    for index, layer in enumerate(made.layers):
        x, other = (
            network.activations(images, layer)[layer].mean((2, 3)).numpy() for images, _ in (train, held)
        )
        mean, scale = x.mean(0), x.std(0, ddof=1)
        scale[scale == 0] = 1
        fitted = LogisticRegression(max_iter=2000).fit((x - mean) / scale, train[1])
        assert made.accuracy[index].item() == pytest.approx(fitted.score((other - mean) / scale, held[1]))
        np.testing.assert_allclose(made.weights[index], fitted.coef_ / scale, rtol=1e-3, atol=1e-3)
    assert made.baseline == 0.5
    assert (made.accuracy > 0.9).all()


def test_labels_without_meaning_are_at_the_baseline(network):
    images, _ = colored(60, 1)
    others, _ = colored(40, 2)
    random = np.random.default_rng(0)
    run = linear_probes(
        network,
        (images, random.permutation([0] * 15 + [1] * 45).tolist()),
        (others, [0] * 10 + [1] * 30),
        layers=["1"],
    )
    with pytest.warns(ExplanationWarning, match="'1'.*75%"):
        made = done(run)
    assert made.baseline == 0.75
    assert made.accuracy[0] <= 0.75


def test_the_stamp_is_read_off_later_layers():
    model = load("scenes_resnet")
    train = stamped(60) + plain(60), [1] * 60 + [0] * 60
    held = stamped(30, 500, "test") + plain(30, 500, "test"), [1] * 30 + [0] * 30
    made = done(linear_probes(model, train, held, layers=["stage1", "stage4"]))
    assert made.accuracy[1] > 0.9
    assert made.accuracy[1] > made.accuracy[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": ([torch.zeros(3, 8, 8)] * 2, [1])}, "one label per image"),
        ({"train": ([torch.zeros(3, 8, 8)] * 2, [1, 1])}, "two classes"),
        ({"train": 3}, "a pair"),
        ({"layers": ["9"]}, "one of 0, 1"),
        ({"layers": []}, "names of layers"),
        ({"pooling": "max"}, "'mean'"),
    ],
)
def test_wrong_arguments_are_refused(network, change, message):
    given = {"train": colored(4, 1), "held_out": colored(4, 2), "layers": ["0"]} | change
    with pytest.raises((TypeError, ValueError), match=message):
        linear_probes(network, given.pop("train"), given.pop("held_out"), **given)
