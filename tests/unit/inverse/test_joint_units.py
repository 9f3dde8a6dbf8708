"""Units between several activations: a U-Net is a chain of convolutions with their ReLUs."""

import importlib
import warnings

import pytest
import torch
from closeness import assert_close
from scipy.optimize import minimize
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.errors import ExplanationWarning
from xai_widgets.inverse import SolverSettings, find_units, layer_wise, operation_wise
from xai_widgets.inverse.chain import Chain

LAMBDAS = (0.0, 0.3, 0.6)


def twice(given, made):
    return nn.Sequential(
        nn.Conv2d(given, made, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(made, made, 3, padding=1),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """Ronneberger et al. (2015) in small, with transposed convolutions without an activation function."""

    def __init__(self, channels=1, width=4, depth=2, outputs=1):
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(map(twice, [channels, *widths[:-1]], widths))
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * each, each, 2, 2) for each in widths[-2::-1])
        self.merge = nn.ModuleList(twice(2 * each, each) for each in widths[-2::-1])
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(self, x):
        skips = []
        for level, down in enumerate(self.down):
            x = down(self.pool(x) if level else x)
            skips.append(x)
        x = skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], 1))
        return self.head(x)


class Encoder(nn.Module):
    """The first half of a U-Net, which is a chain without skips."""

    def __init__(self, network):
        super().__init__()
        self.down, self.pool = network.down, network.pool

    def forward(self, x):
        for level, down in enumerate(self.down):
            x = down(self.pool(x) if level else x)
        return x


class Branches(nn.Module):
    """Two branches from the image, a long one and a short one, and a mean of their channels."""

    def __init__(self):
        super().__init__()
        self.short = nn.Conv2d(3, 4, 3, padding=1)
        self.long = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), *twice(4, 4), *twice(4, 4))
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        short = self.short(x).relu()
        return self.fc(torch.cat([self.long(x), short], 1).mean((2, 3)))


class Viewed(UNet):
    """A U-Net that changes an activation in place after a view of it was taken."""

    def forward(self, x):
        first = self.down[0](x)
        view = first.flatten(2)
        inner = self.pool(first)
        first.mul_(0.5)
        inner = self.down[2](self.pool(self.down[1](inner)))
        inner = self.merge[0](torch.cat([self.up[0](inner)] * 2, 1))
        inner = self.merge[1](torch.cat([view.view_as(first), self.up[1](inner)], 1))
        return self.head(inner)


@pytest.fixture(scope="module")
def unet():
    return settled(UNet())


@pytest.fixture(scope="module")
def image():
    return torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def inverted(unet, image):
    return quiet(layer_wise, unet, image, lam=LAMBDAS, settings=SolverSettings(steps=60))


def settled(network):
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
    return network.eval()


def quiet(method, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExplanationWarning)
        return method(*args, **kwargs).result(progress=False)


def test_a_unit_of_a_unet_is_one_convolution(unet, image):
    units = find_units(unet, image)
    assert len(units) == 13
    # A transposed convolution has no activation function, so that it belongs to the next unit.
    assert sorted({unit.depth for unit in units}) == [0, 1, 2]
    assert [unit.name for unit in units if unit.depth == 2] == ["merge.0.1", "merge.1.1"]
    assert max(len(unit.outputs.shapes) for unit in units) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Chain.of(unet, image).notes() == ()


@pytest.mark.parametrize("network", [UNet, Viewed])
def test_the_units_in_a_row_are_the_network(network, image):
    network = settled(network())
    x = image
    for unit in find_units(network, image):
        x = unit.run(x)
    assert_close(x, network(image))


def test_lambda_leaves_less_of_each_activation(inverted):
    assert (inverted.mean_alpha.diff(dim=1) < -0.02).all()
    for unit in inverted.units:
        assert unit.x.shape[2:] == unit.x_bar.shape[1:]
        assert (unit.x >= 0).all()
        assert (unit.x <= unit.x_bar[:, None] * (1 + 1e-6)).all()
    # With lambda = 0, the activations themselves are a solution of every unit.
    off = (inverted.output - inverted.original_output[:, None]).flatten(2).norm(dim=2)
    assert (off[:, 0] < 0.05 * inverted.original_output.flatten(1).norm(dim=1)).all()


def test_an_activation_before_the_skips_is_inverted_as_in_a_chain_without_them(unet, image):
    """Skips that the start does not depend on have no target."""
    encoder = Encoder(unet)
    activation = encoder(image).detach()
    settings = SolverSettings(steps=40)
    joint = quiet(layer_wise, unet, image, start=("down.2.3", activation), lam=LAMBDAS, settings=settings)
    chain = quiet(layer_wise, encoder, image, start=("down.2.3", activation), lam=LAMBDAS, settings=settings)
    assert [unit.unit for unit in joint.units] == [unit.unit for unit in chain.units]
    for one, other in zip(joint.units, chain.units, strict=True):
        assert_close(one.x, other.x)
        assert torch.equal(one.iterations, other.iterations)


@pytest.mark.parametrize("k", [1, 2])
def test_a_pool_beside_a_skip_has_the_least_cost(k, unet, image, monkeypatch):
    """Pool and skip are read from one activation x: |(x, pool(x)) - (y', y)| + lambda |x (1 - r)|."""
    problems = []
    module = importlib.import_module("xai_widgets.inverse.layer_wise")
    step = module._UnitStep

    class Recorded(step):
        def __init__(self, chain, index, problem, *args):
            super().__init__(chain, index, problem, *args)
            problems.append((self.unit.name, problem, self))

    monkeypatch.setattr(module, "_UnitStep", Recorded)
    settings = SolverSettings(steps=150)
    made = quiet(layer_wise, unet, image[:1], lam=LAMBDAS[k], settings=settings)
    (name, problem, _), *_ = [each for each in problems if each[0] == "pool"]
    (inverse,) = [unit for unit in made.units if unit.unit == name]
    upper = problem.x_bar[0].double()
    kept, pooled = (each[0].double() for each in problem.unit.outputs.split(problem.y))
    assert kept.shape == upper.shape
    r = torch.nn.functional.interpolate((pooled.sum(0) / pooled.sum(0).max())[None, None], upper.shape[1:],
                                        mode="bilinear", align_corners=False)[0, 0]  # fmt: skip
    r = torch.maximum(r, kept.sum(0) / kept.sum(0).max())

    def cost(x):
        off = ((x - kept).square().sum() + (unet.pool(x) - pooled).square().sum()).sqrt()
        return off + LAMBDAS[k] * (x * (1 - r)).norm()

    def with_gradient(x):
        at = torch.from_numpy(x).view(upper.shape).requires_grad_()
        value = cost(at)
        (gradient,) = torch.autograd.grad(value, at)
        return value.item(), gradient.flatten().nan_to_num().numpy()

    found = inverse.x[0, 0].double()
    assert abs(cost(found).item() - inverse.cost.item()) < 1e-4 * max(1.0, inverse.cost.item())
    bounds = [(0, high) for high in upper.flatten().tolist()]
    best = minimize(with_gradient, found.flatten().numpy(), jac=True, bounds=bounds, method="L-BFGS-B").fun
    assert inverse.cost.item() <= best + 0.01 * max(best, 1e-2 * cost(0.5 * upper).item())


def test_both_inverses_of_a_classifier_with_two_branches_from_the_image():
    """The first unit makes both branches, and sees the normalized image."""
    model = ImageModel(settled(Branches()), size=8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    first, *others = find_units(model)
    assert [len(shapes.shapes) for shapes in (first.inputs, first.outputs)] == [1, 2]
    made = first.run(x)
    for unit in others:
        made = unit.run(made)
    assert_close(made, model(x))
    layers = quiet(layer_wise, model, x, 1, lam=LAMBDAS)
    assert (layers.mean_alpha.diff(dim=1) < 0).all()
    operations = quiet(operation_wise, model, x, 1)
    assert operations.saliency().amax((1, 2)).gt(0).all()
    assert ((operations.alpha >= 0) & (operations.alpha <= 1)).all()


def test_a_dense_block_with_activation_functions_at_its_start_is_noted():
    from torchvision.models import DenseNet

    network = DenseNet(growth_rate=4, block_config=(2, 8, 2), num_init_features=8, bn_size=2, num_classes=5)
    chain = Chain.of(settled(network), torch.rand(1, 3, 32, 32))
    with pytest.warns(
        ExplanationWarning, match=r"as the output of '.*', which is not an activation, crosses it"
    ):
        chain.notes()
    assert all(len(unit.outputs.shapes) == 1 for unit in chain.units)
