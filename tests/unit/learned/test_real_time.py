"""Training, resuming, caching and use of a masking network, on a network that looks for a bright square."""

import copy
import pickle

import pytest
import torch
from closeness import assert_close
from networks import one_sentence
from torch import nn

import xai_widgets as xw
from xai_widgets.core.model import ImageModel
from xai_widgets.learned import MaskingSettings, RealTimeSaliency, real_time_saliency
from xai_widgets.methods import as_method

SIDE = 16


class Spots(nn.Module):
    """The classes red, green and blue: the largest mean of a 4-pixel square in a channel."""

    def __init__(self):
        super().__init__()
        self.cells = nn.AvgPool2d(4)
        self.scale = nn.Conv2d(3, 3, 1, groups=3, bias=False)
        nn.init.constant_(self.scale.weight, 8.0)

    def forward(self, x):
        return self.scale(self.cells(x)).amax((2, 3))


@pytest.fixture(scope="module")
def task():
    generator = torch.Generator().manual_seed(0)
    x = 0.25 * torch.rand(48, 3, SIDE, SIDE, generator=generator)
    cells = torch.randint(4, (48, 2), generator=generator)
    classes = torch.arange(48) % 3
    for n, (row, column) in enumerate(cells.tolist()):
        x[n, classes[n], 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 1.0
    return ImageModel(Spots(), size=SIDE), x, classes, cells


QUICK = MaskingSettings(steps=100, selector_steps=30, batch=12, learning_rate=0.01, area=1.0, width=8)
SHORT = MaskingSettings(steps=12, selector_steps=8, batch=4, width=4)


@pytest.fixture(scope="module")
def trained(task):
    model, x, classes, _ = task
    return real_time_saliency(model, x, classes, settings=QUICK, cache=False).result(progress=False)


def test_it_finds_the_square_and_nothing_of_an_absent_class(task, trained):
    model, x, classes, cells = task
    masks = trained(model, x, classes)
    assert masks.shape == (48, 1, 4, 4)
    assert ((masks >= 0) & (masks <= 1)).all()
    best = masks.flatten(1).argmax(1)
    hits = best == cells[:, 0] * 4 + cells[:, 1]
    assert hits.float().mean() > 0.9
    assert trained(model, x, (classes + 1) % 3).mean() < masks.mean()
    there, elsewhere = (trained.presence(model, x, each).mean() for each in (classes, (classes + 1) % 3))
    assert there > elsewhere + 0.02


def test_it_is_accepted_wherever_a_method_is(task, trained):
    model, x, classes, _ = task
    method = as_method(trained)
    assert method.name == "real_time_saliency"
    assert_close(method.saliency(model, x[:2], classes[:2]), trained(model, x[:2], classes[:2])[:, 0])
    change = xw.learned.map_change(model, x[:2], [trained, "gradient"], xw.learned.fgsm).result(
        progress=False
    )
    assert change.methods == ("real_time_saliency", "gradient")


def test_another_network_is_an_error(task, trained):
    model, x, _, _ = task
    other = copy.deepcopy(model.module)
    with torch.no_grad():
        other.scale.weight += 0.1
    with pytest.raises(ValueError, match="trained for") as caught:
        trained(ImageModel(other, size=SIDE), x)
    one_sentence(caught)
    # A copy with the same weights is the same network.
    assert trained(ImageModel(copy.deepcopy(model.module), size=SIDE), x[:1]).shape == (1, 1, 4, 4)


def test_the_seed_decides_and_the_network_is_unchanged(task):
    model, x, classes, _ = task
    before = {name: value.clone() for name, value in model.module.state_dict().items()}

    def train(seed):
        return real_time_saliency(model, x, classes, settings=SHORT, seed=seed, cache=False).result(
            progress=False
        )

    first, again, other = train(1), train(1), train(2)
    assert torch.equal(first(model, x), again(model, x))
    assert not torch.equal(first(model, x), other(model, x))
    assert all(torch.equal(value, before[name]) for name, value in model.module.state_dict().items())
    assert all(each.grad is None for each in model.module.parameters())


def test_snapshots_stay_as_they_were(task):
    model, x, classes, _ = task
    run = real_time_saliency(model, x, classes, settings=SHORT, cache=False)
    steps, maps = [], []
    snapshots = []
    for snapshot in run:
        snapshots.append(snapshot)
        steps.append(snapshot.step)
        maps.append(snapshot(model, x))
    assert steps == [10, 20]
    assert run.total == 2
    assert torch.equal(snapshots[0](model, x), maps[0])
    assert not torch.equal(maps[0], maps[1])


def test_a_canceled_training_is_continued(task):
    model, x, classes, _ = task
    run = real_time_saliency(model, x, classes, settings=SHORT, cache=False)
    for _ in run:
        run.cancel()
    assert run.latest.step == 10
    rest = real_time_saliency(model, x, classes, settings=SHORT, start=run.latest, cache=False)
    assert rest.total == 1
    assert rest.result(progress=False).step == 20


def test_weights_are_kept_in_the_cache_folder(task, monkeypatch, tmp_path):
    monkeypatch.setenv("XAI_WIDGETS_CACHE", str(tmp_path))
    model, x, classes, _ = task
    first = real_time_saliency(model, x, classes, settings=SHORT)
    explainer = first.result(progress=False)
    second = real_time_saliency(model, x, classes, settings=SHORT)
    assert (first.total, second.total) == (2, 1)
    held = second.result(progress=False)
    assert torch.equal(held(model, x), explainer(model, x))
    assert (held.step, held.layers) == (explainer.step, explainer.layers)
    # Other settings, another seed, other images: another file.
    assert real_time_saliency(model, x, classes, settings=SHORT, seed=1).total == 2
    assert real_time_saliency(model, x[:40], classes[:40], settings=SHORT).total == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_a_canceled_training_is_not_kept(task, monkeypatch, tmp_path):
    monkeypatch.setenv("XAI_WIDGETS_CACHE", str(tmp_path))
    model, x, classes, _ = task
    run = real_time_saliency(model, x, classes, settings=SHORT)
    for _ in run:
        run.cancel()
    assert list(tmp_path.iterdir()) == []


def test_it_can_be_pickled_and_has_a_short_repr(task, trained):
    model, x, _, _ = task
    held = pickle.loads(pickle.dumps(trained))
    assert isinstance(held, RealTimeSaliency)
    assert torch.equal(held(model, x), trained(model, x))
    assert repr(trained).startswith("RealTimeSaliency(")
    assert "130 of 130 steps" in repr(trained)


def test_images_are_needed_for_other_classes(task):
    with pytest.raises(ValueError, match="expected images to train on") as caught:
        real_time_saliency(task[0])
    one_sentence(caught)
