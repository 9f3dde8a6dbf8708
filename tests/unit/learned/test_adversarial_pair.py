"""Two generators: their loss by its formula, and a task whose only evidence is one square."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from networks import one_sentence
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.learned import AdversarialExplanation, GeneratorSettings, adversarial_explanation
from xai_widgets.learned.generators import Generator, pair_loss, parameter_distance
from xai_widgets.methods import as_method

SIDE = 12


class Square(nn.Module):
    """Class 1 if the square in the middle is bright, class 0 if it is dark; class 2 never."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(12.0))

    def forward(self, x):
        bright = self.gain * (x[:, :, 4:8, 4:8].mean((1, 2, 3)) - 0.5)
        return torch.stack([-bright, bright, torch.full_like(bright, -9.0)], 1)


@pytest.fixture(scope="module")
def task():
    x = torch.rand(32, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    x[::2, :, 4:8, 4:8] *= 0.4
    x[1::2, :, 4:8, 4:8] = 0.6 + 0.4 * x[1::2, :, 4:8, 4:8]
    return ImageModel(Square(), size=SIDE), x


QUICK = GeneratorSettings(steps=100, batch=16, learning_rate=0.01, difference=5.0, width=6)
SHORT = GeneratorSettings(steps=12, batch=4, width=4)


@pytest.fixture(scope="module")
def trained(task):
    return adversarial_explanation(*task, settings=QUICK, cache=False).result(progress=False)


def test_the_classes_are_kept_and_changed(task, trained):
    model, x = task
    similar, adversarial = trained.images(model, x)
    old = model.scores(x).argmax(1)
    assert (model.scores(similar).argmax(1) == old).float().mean() > 0.9
    assert (model.scores(adversarial).argmax(1) == 1 - old).float().mean() > 0.9
    for made in (similar, adversarial):
        assert 0 <= made.min() <= made.max() <= 1


def test_the_explanation_is_on_the_evidence(task, trained):
    model, x = task
    maps = trained(model, x).sum(1)
    share = maps[:, 4:8, 4:8].sum((1, 2)) / maps.sum((1, 2))
    # The square has 16 of 144 pixels.
    assert share.mean() > 4 * 16 / 144
    similar, adversarial = trained.images(model, x)
    assert_close(trained(model, x), (similar - adversarial).abs())
    assert_close(trained.single(model, x), (x - adversarial).abs())


def test_the_loss_is_its_formula():
    generator = torch.Generator().manual_seed(0)
    x, similar, adversarial = (torch.rand(3, 3, 4, 4, generator=generator) for _ in range(3))
    kept, changed = torch.randn(2, 3, generator=generator)
    settings = GeneratorSettings(similarity=3.0, difference=5.0, parameters=7.0)
    found = pair_loss(x, similar, adversarial, (kept, changed), torch.tensor(0.1), settings)
    expected = (
        -(kept.sigmoid().log() + (1 - changed.sigmoid()).log()).mean()
        + 3 * (F.mse_loss(similar, x) + F.mse_loss(adversarial, x))
        + 5 * F.l1_loss(similar, adversarial)
        + 0.7
    )
    assert_close(found, expected, scale=10.0)


def test_generators_start_as_the_identity_and_alike():
    first = Generator(3, width=4)
    x = torch.rand(2, 3, 11, 9)
    assert torch.equal(first(x), x)
    second = copy.deepcopy(first)
    assert parameter_distance(first, second) == 0
    with torch.no_grad():
        second.out.bias += 2.0
    count = sum(each.numel() for each in first.parameters())
    assert_close(parameter_distance(first, second).detach(), torch.tensor(3 * 4.0 / count))


def test_least_difference_of_the_parameters(task):
    far, near = (
        adversarial_explanation(
            *task, settings=GeneratorSettings(steps=20, batch=8, width=4, parameters=weight), cache=False
        ).result(progress=False)
        for weight in (0.0, 1e4)
    )
    distances = [parameter_distance(each.similar, each.adversarial) for each in (far, near)]
    assert distances[1] < distances[0]


def test_the_seed_decides_and_the_network_is_unchanged(task):
    model, x = task

    def train(seed):
        return adversarial_explanation(model, x, settings=SHORT, seed=seed, cache=False).result(
            progress=False
        )

    first, again, other = train(1), train(1), train(2)
    assert torch.equal(first(model, x), again(model, x))
    assert not torch.equal(first(model, x), other(model, x))
    assert model.module.gain.grad is None
    assert model.module.gain == 12


def test_weights_are_kept_in_the_cache_folder(task, monkeypatch, tmp_path):
    monkeypatch.setenv("XAI_WIDGETS_CACHE", str(tmp_path))
    model, x = task
    run = adversarial_explanation(model, x, settings=SHORT)
    assert run.total == 2
    explainer = run.result(progress=False)
    second = adversarial_explanation(model, x, settings=SHORT)
    assert second.total == 1
    assert torch.equal(second.result(progress=False)(model, x), explainer(model, x))
    assert adversarial_explanation(model, x, (0, 2), settings=SHORT).total == 2


def test_it_is_accepted_wherever_a_method_is(task, trained):
    model, x = task
    method = as_method(trained)
    assert method.name == "adversarial_explanation"
    assert method.saliency(model, x[:2]).shape == (2, SIDE, SIDE)
    held = pickle.loads(pickle.dumps(trained))
    assert isinstance(held, AdversarialExplanation)
    assert repr(held) == repr(trained)


def test_another_network_and_equal_classes_are_errors(task, trained):
    model, x = task
    other = Square()
    with torch.no_grad():
        other.gain += 1
    with pytest.raises(ValueError, match="trained for") as caught:
        trained(ImageModel(other, size=SIDE), x)
    one_sentence(caught)
    with pytest.raises(ValueError, match="two different classes") as caught:
        adversarial_explanation(model, x, (1, 1))
    one_sentence(caught)
