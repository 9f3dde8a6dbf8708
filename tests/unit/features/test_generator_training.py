"""A generator of the features of a small network: training, resuming, caching, and its use."""

import copy
import pickle

import pytest
import torch
from closeness import assert_close
from networks import Tokens, one_sentence, settle
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.features import FeatureGenerator, FeatureGeneratorSettings, feature_generator, visualize
from xai_widgets.features.generator_network import activation_of, grown_sizes
from xai_widgets.features.generator_training import code_layer, compared_layers, pace
from xai_widgets.features.objectives import ClassScore
from xai_widgets.features.parameterizations import Generated

SIDE = 16
SHORT = FeatureGeneratorSettings(steps=14, batch=4, width=4)
QUICK = FeatureGeneratorSettings(steps=200, batch=12, width=8, learning_rate=0.02)


@pytest.fixture(scope="module")
def task():
    """A network of two resolutions, and images of one bright square in one of 16 cells."""
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(128, 5),
    )  # fmt: skip
    x = torch.full((40, 3, SIDE, SIDE), 0.3)
    for n, cell in enumerate(torch.randint(16, (40,), generator=torch.Generator().manual_seed(0)).tolist()):
        row, column = 4 * (cell // 4), 4 * (cell % 4)
        x[n, n % 3, row : row + 4, column : column + 4] = 1.0
    return ImageModel(settle(network), size=SIDE), x


@pytest.fixture(scope="module")
def trained(task):
    model, x = task
    return feature_generator(model, images=x, settings=QUICK, cache=False).result(progress=False)


def test_the_image_comes_back_from_its_code(task, trained):
    model, x = task
    z = trained.encode(model, x)
    assert trained.code_shape == (8, 4, 4)
    assert_close(z.mean(0), torch.zeros(8, 4, 4), scale=10.0)
    drawn = trained(z)
    assert drawn.shape == x.shape
    error, plain = (drawn - x).square().mean(), (x.mean(0) - x).square().mean()
    assert error < 0.5 * plain


def test_the_loss_is_its_formula(task):
    model, x = task
    settings = FeatureGeneratorSettings(steps=1, batch=4, width=4, pixels=3.0, features=5.0)
    made = feature_generator(model, "5", x, settings=settings, cache=False).result(progress=False)
    everything = model.activations(x, ["4", "5"])
    assert_close(made.mean, everything["5"].mean(0))
    assert_close(
        made.std, everything["5"].std(0, unbiased=False).clamp(min=1e-3 * made.std.mean()), steps=1e4
    )
    # The weights of the first step, which the seed decides.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = FeatureGenerator("5", (8, 4, 4), (SIDE, SIDE), 3, width=4)
    first.standardize(made.mean, made.std)
    rows = torch.randint(len(x), (4,), generator=torch.Generator().manual_seed(0))
    drawn = first(first.encode(model, x[rows])).detach()
    again = model.activations(drawn, ["4", "5"])
    distances = [
        (again[name] - everything[name][rows]).square().mean()
        / everything[name].var((0, 2, 3), unbiased=False).mean()
        for name in ("4", "5")
    ]
    expected = 3 * (drawn - x[rows]).square().mean() + 5 * sum(distances) / 2
    assert_close(torch.tensor(made.loss), expected, steps=1e4)


def test_it_draws_what_a_class_prefers(task, trained):
    model, _ = task
    run = visualize(model, ClassScore([0, 1]), parameterization=Generated(trained), steps=30, transforms=())
    assert run.result(progress=False).rose.all()


def test_the_seed_decides_and_the_network_is_unchanged(task):
    model, x = task
    before = {name: value.clone() for name, value in model.module.state_dict().items()}

    def train(seed):
        return feature_generator(model, images=x, settings=SHORT, seed=seed, cache=False).result(
            progress=False
        )

    first, again, other = train(1), train(1), train(2)
    z = first.encode(model, x)
    assert torch.equal(first(z), again(z))
    assert not torch.equal(first(z), other(z))
    assert all(torch.equal(value, before[name]) for name, value in model.module.state_dict().items())
    assert all(each.grad is None and each.requires_grad for each in model.module.parameters())


def test_a_canceled_training_continues_as_if_it_had_not_been_interrupted(task):
    model, x = task
    whole = feature_generator(model, images=x, settings=SHORT, cache=False).result(progress=False)
    run = feature_generator(model, images=x, settings=SHORT, cache=False)
    assert run.total == 2
    for _ in run:
        run.cancel()
    assert (run.latest.step, run.latest.total) == (10, 14)
    rest = feature_generator(model, images=x, settings=SHORT, start=run.latest, cache=False)
    assert rest.total == 1
    assert all(
        torch.equal(a, b)
        for a, b in zip(rest.result(progress=False).parameters(), whole.parameters(), strict=True)
    )
    assert run.latest.step == 10


def test_weights_are_kept_in_the_cache_folder(task, monkeypatch, tmp_path):
    monkeypatch.setenv("XAI_WIDGETS_CACHE", str(tmp_path))
    model, x = task
    run = feature_generator(model, images=x, settings=SHORT)
    for _ in run:
        run.cancel()
    assert list(tmp_path.iterdir()) == []
    made = feature_generator(model, images=x, settings=SHORT, start=run.latest).result(progress=False)
    second = feature_generator(model, images=x, settings=SHORT)
    assert second.total == 1
    held = second.result(progress=False)
    z = made.encode(model, x)
    assert torch.equal(held(z), made(z))
    assert (held.step, held.total, held.loss, held.layer) == (14, 14, made.loss, made.layer)
    # Another layer, seed, settings or images: another file.
    assert feature_generator(model, "1", x, settings=SHORT).total == 2
    assert feature_generator(model, images=x, settings=SHORT, seed=1).total == 2
    assert feature_generator(model, images=x[:30], settings=SHORT).total == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_a_layer_without_positions_is_a_code_too(task):
    model, x = task
    made = feature_generator(model, "7", x, settings=SHORT, cache=False).result(progress=False)
    assert made.code_shape == (5,)
    assert made(torch.randn(2, 5)).shape == (2, 3, SIDE, SIDE)


def test_tokens_are_arranged_by_their_positions():
    model = ImageModel(settle(Tokens()), size=SIDE)
    layer = code_layer(model)
    grid = model.layer(layer).grid
    x = torch.rand(6, 3, *model.size)
    made = feature_generator(model, layer, x, settings=SHORT, cache=False).result(progress=False)
    assert made.code_shape[1:] == (grid.height, grid.width)
    assert torch.equal(
        activation_of(model, x, layer), model.spatial(layer, model.activations(x, layer)[layer])
    )


def test_sizes_double_up_to_the_image():
    assert grown_sizes((8, 3, 3), (96, 96)) == [(3, 3), (6, 6), (12, 12), (24, 24), (48, 48), (96, 96)]
    assert grown_sizes((8,), (224, 160)) == [(7, 5), (14, 10), (28, 20), (56, 40), (112, 80), (224, 160)]
    assert grown_sizes((8, 4, 4), (9, 15)) == [(5, 8), (9, 15)]
    assert grown_sizes((8, 16, 16), (16, 16)) == [(16, 16)]
    assert grown_sizes((8,), (5, 5))[0] == (1, 1)
    for shape, size in (((6, 4, 4), (9, 15)), ((6,), (11, 5)), ((6, 5, 5), (5, 5))):
        assert FeatureGenerator("some", shape, size, 3, width=2)(torch.zeros(2, *shape)).shape == (
            2,
            3,
            *size,
        )


def test_compared_layers_end_with_that_of_the_code(task):
    model, _ = task
    assert compared_layers(model, "7") == ("4", "5", "7")
    assert compared_layers(model, "3") == ("3",)
    assert code_layer(model) == "5"


def test_the_learning_rate_rises_and_falls():
    rates = [pace(step, 100) for step in range(100)]
    assert max(rates) == rates[9]
    assert 0 < rates[-1] < 0.01
    assert rates[0] == pytest.approx(0.1)
    assert pace(0, 1) == 1


def test_it_can_be_pickled_and_has_a_short_repr(task, trained):
    held = pickle.loads(pickle.dumps(trained))
    assert isinstance(held, FeatureGenerator)
    z = torch.randn(1, 8, 4, 4)
    assert torch.equal(held(z), trained(z))
    assert repr(trained).startswith("FeatureGenerator('5', code 8x4x4, 16x16, 200 of 200 steps, loss ")


def test_what_does_not_fit_is_refused(task, trained):
    model, x = task
    with pytest.raises(ValueError, match="expected images to train on") as caught:
        feature_generator(model)
    one_sentence(caught)
    with pytest.raises(ValueError, match="layer"):
        feature_generator(model, "nothing", x)
    with pytest.raises(ValueError, match=r"start of layer '7', got one of '5'") as caught:
        feature_generator(model, "7", x, start=trained)
    one_sentence(caught)
    with pytest.raises(ValueError, match=r"more steps than the 200 of start, got 14") as caught:
        feature_generator(model, images=x, settings=SHORT, start=trained)
    one_sentence(caught)
    other = copy.deepcopy(model.module)
    other[3] = nn.Conv2d(6, 9, 3, padding=1)
    other[7] = nn.Linear(144, 5)
    with pytest.raises(
        ValueError, match=r"activation of shape \(8, 4, 4\) at '5', got \(9, 4, 4\)"
    ) as caught:
        trained.encode(ImageModel(other, size=SIDE), x)
    one_sentence(caught)
    with pytest.raises(ValueError, match="steps"):
        FeatureGeneratorSettings(steps=0)
