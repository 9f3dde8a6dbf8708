"""Both inverses: bounds, costs, convergence reports and refusals."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close, rounding
from examples import fewer_examples
from hypothesis import given
from hypothesis import strategies as st
from networks import Concat, Functional, Residual, SharedInPlace, images, one_sentence, settle, wrap
from snapshot import Broken, everything
from torch.overrides import TorchFunctionMode
from torchvision_networks import BUILDERS

import xai_widgets as xw
from xai_widgets.data import scenes
from xai_widgets.errors import ExplanationWarning
from xai_widgets.inverse import SolverSettings, find_units, layer_wise, operation_wise

QUICK = SolverSettings(steps=10)
LONG = SolverSettings(steps=400, tolerance=1e-6)
LAMBDAS = (0.0, 0.3, 1.0)
NETWORKS = [Functional, SharedInPlace, Concat]


def inverse_of(method, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return method(*arguments, **{"settings": QUICK, **options}).result(progress=False)


def layers(*arguments, **options):
    return inverse_of(layer_wise, *arguments, **{"lam": LAMBDAS, **options})


def operations(*arguments, **options):
    return inverse_of(operation_wise, *arguments, **options)


def assert_between(unit):
    """Check that an inverse is between the empty values, 0 but for an image, and the activation."""
    empty = torch.zeros(1) if unit.empty is None else unit.empty
    low, high = torch.minimum(empty, unit.x_bar)[:, None], torch.maximum(empty, unit.x_bar)[:, None]
    assert (unit.x >= low - rounding(unit.x_bar) * (unit.empty is not None)).all()
    assert (unit.x <= high + rounding(unit.x_bar)).all()


@pytest.mark.parametrize("method", [layers, operations])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_inverse_lies_between_0_and_the_forward_activation(network, method):
    model, x = wrap(settle(network())), images(2)
    made = method(model, x, [1, 3])
    count = 3 if method is layers else 1
    passed = x
    expected = []
    for unit in find_units(model):
        expected.append(passed)
        passed = unit.run(passed).detach()
    assert [unit.unit for unit in made.units] == [unit.name for unit in reversed(find_units(model))]
    for unit, x_bar in zip(made.units, reversed(expected), strict=True):
        assert_close(unit.x_bar, x_bar)
        assert unit.x.shape == (2, count, *x_bar.shape[1:])
        assert_between(unit)
        assert (
            unit.cost.shape
            == unit.iterations.shape
            == unit.change.shape
            == unit.converged.shape
            == (2, count)
        )
    assert made.x.shape == (2, count, 3, 8, 8)
    assert ((made.alpha >= 0) & (made.alpha <= 1 + rounding(1))).all()
    assert made.saliency().shape == (2, 8, 8)
    with torch.no_grad():
        scores = model(made.x.flatten(0, 1)).unflatten(0, (2, count))
    assert_close(made.output, scores)
    target = torch.tensor([1, 3])
    assert torch.equal(made.reidentified, scores.argmax(2) == target[:, None])
    assert_close(
        made.probability,
        torch.stack([scores[n, :, target[n]] * 0 + scores[n].softmax(1)[:, target[n]] for n in (0, 1)]),
    )
    assert_close(made.original_output, model(x).detach())


@given(st.integers(0, 500), st.lists(st.floats(0, 3), min_size=1, max_size=3, unique=True))
@fewer_examples(2)
def test_bounds_hold_for_any_network_image_and_lambda(seed, lam):
    model = wrap(settle(Functional(), seed))
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    x[:, :, :2] = 0
    made = layers(model, x, lam=sorted(lam))
    for unit in made.units:
        assert_between(unit)
        assert torch.isfinite(unit.cost).all()


@pytest.mark.parametrize("name", ["vgg11_bn", "bottleneck", "googlenet"])
def test_the_networks_of_torchvision_are_inverted_down_to_the_image(name):
    model = xw.ImageModel(BUILDERS[name](10))
    found = layers(model, torch.rand(1, 3, 64, 64), lam=(0, 0.4), settings=SolverSettings(steps=3))
    assert [unit.unit for unit in found.units] == [unit.name for unit in reversed(find_units(model))]
    for unit in found.units:
        assert unit.x.isfinite().all()
        assert_between(unit)
    # Its scores are those of the whole network, not of the units one by one.
    whole = model(found.x[0]).detach()
    assert (found.output[0] - whole).abs().max() <= rounding(whole)


@pytest.mark.parametrize("empty", ["mean", "black"])
def test_alpha_is_the_share_that_is_left_and_0_where_the_image_is_empty(empty):
    model = wrap(settle(Functional()))
    color = model.mean.flatten() if empty == "mean" else torch.zeros(3)
    x = images(1)
    x[0, :, 0] = color[:, None]
    x[0, 0, 1] = color[0]
    made = layers(model, x, 0, empty=empty)
    assert_close(made.empty, color)
    alpha = torch.zeros(3, 8, 8)
    for index in range(3):
        for row in range(8):
            for column in range(8):
                there = [c for c in range(3) if x[0, c, row, column] != color[c]]
                shares = [
                    (made.x[0, index, c, row, column] - color[c]) / (x[0, c, row, column] - color[c])
                    for c in there
                ]
                alpha[index, row, column] = sum(shares) / len(there) if there else 0
    # A share is rounded in the size of the pixel, over a difference that may be small.
    assert_close(
        made.alpha[0],
        alpha,
        scale=1 / (x[0] - color[:, None, None]).abs()[x[0] != color[:, None, None]].min(),
    )
    assert_close(made.mean_alpha[0], made.alpha[0].mean((1, 2)))
    assert_close(made.saliency()[0], made.alpha[0].mean(0))


def test_a_network_that_needs_the_object_keeps_it_and_lets_the_background_go():
    """With the mean color the background can fade; black is a strong input of a normalized network."""
    model = xw.load("scenes_resnet")
    found = [scenes.scene(index, split="test") for index in range(3)]
    x = model.images([scene.image for scene in found])
    kept = layers(model, x, lam=(0.7,))
    black = layers(model, x, lam=(0.7,), empty="black")
    on, off = [], []
    for scene, alpha in zip(found, kept.alpha[:, 0], strict=True):
        there = torch.as_tensor(scene.category == scene.label)
        on.append(alpha[there].mean())
        off.append(alpha[~there].mean())
    assert sum(on) > 1.5 * sum(off)
    assert kept.reidentified.all()
    assert kept.mean_alpha.mean() < 0.6 * black.mean_alpha.mean()


def test_a_plain_module_has_no_mean_color():
    network = settle(Residual())
    assert not layers(network, torch.rand(1, 1, 8, 8)).empty.any()
    with pytest.raises(ValueError, match="expected an ImageModel for empty='mean'") as error:
        layers(network, torch.rand(1, 1, 8, 8), empty="mean")
    one_sentence(error)
    with pytest.raises(ValueError, match="empty"):
        layers(wrap(settle(Functional())), images(1), empty="white")


def test_the_cost_of_a_unit_is_equation_5_5():
    """Written out for the convolution that the image goes into, with its target as long as the activation."""
    model, x = wrap(settle(Functional())), images(2)
    for regularizer in ("activation", "l1", "l2"):
        made = layers(model, x, 1, regularizer=regularizer)
        above, unit = made.units[-2], made.units[-1]
        first = find_units(model)[0]
        for n in range(2):
            for index, lam in enumerate(LAMBDAS):
                y = above.x[n, index]
                y = y * above.x_bar[n].norm() / y.norm()
                r = y.sum(0) / y.sum(0).max()
                inside = F.interpolate(r[None, None], (8, 8), mode="bilinear", align_corners=False)[0]
                own = unit.kept[n, index].abs()
                weight = {
                    "activation": (own * (1 - inside)).norm(), "l1": own.abs().sum(), "l2": own.norm(),
                }[regularizer]  # fmt: skip
                expected = (first.run(unit.x[n, index][None])[0] - y).norm() + lam * weight
                assert_close(unit.cost[n, index], expected.detach())


def test_the_scores_are_those_that_favor_the_class_most():
    """Equation 5.12: among the corners of a small box none is better."""
    model, x = wrap(settle(Concat())), images(1)
    made = layers(model, x, 2, lam=0.0, settings=LONG)
    unit, head = made.units[0], find_units(model)[-1]
    assert unit.kind == "scores"

    def cost(given):
        scores = head.run(given)
        others = torch.cat([scores[:, :2], scores[:, 3:]], 1)
        return (others - scores[:, 2:3]).logsumexp(1)

    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 8) * unit.x_bar
    assert unit.cost[0, 0] <= cost(corners).min() + rounding(cost(corners))
    assert_close(unit.cost[0], cost(unit.x[0]).detach())


def test_lambda_takes_from_the_image_on_a_trained_network():
    model = xw.load("scenes_vgg", device="cpu")
    x = model.images([scenes.scene(number, split="test").image for number in range(2)])
    made = inverse_of(layer_wise, model, x, lam=(0.0, 0.4, 1.5), settings=SolverSettings(steps=40))
    shares = made.mean_alpha.mean(0)
    assert shares[0] > shares[1] > shares[2]
    assert made.reidentified[:, 0].all()
    assert made.probability[:, 0].mean() > made.probability[:, 2].mean()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_cost_of_an_operation_is_equation_4_4(network):
    """With A written out, of the neurons that were on, and y as near to the forward activation as it can be."""
    model, x = wrap(settle(network())), images(1)
    made = operations(model, x, 1, l1=0.02, l2=0.3)
    chain = list(reversed(find_units(model)))
    checked = 0
    for index, (unit, inverse) in enumerate(zip(chain, made.units, strict=True)):
        if unit.kind != "convolution":
            continue
        activation = unit.run(inverse.x_bar).detach()
        on = activation > 0
        y = made.units[index - 1].x[:, 0] * on
        scale = (activation * y).sum() / y.square().sum()
        assert ((activation - scale * y).norm() <= (activation - scale * 1.01 * y).norm()).all()
        own = inverse.kept[:, 0]
        jacobian = torch.autograd.functional.jacobian(unit.before_relu, inverse.x_bar)
        off = (torch.tensordot(jacobian, own, dims=own.ndim) - scale * y)[on]
        expected = off.square().sum() + 0.02 * own.abs().sum() + 0.3 * own.square().sum()
        assert_close(inverse.cost[0, 0], expected.detach())
        checked += 1
    assert checked >= 2


def test_an_operation_wise_inverse_begins_with_the_score_of_the_class():
    model, x = wrap(settle(Functional())), images(1)
    made = operations(model, x, 3, until="flatten", settings=LONG)
    assert [unit.unit for unit in made.units] == ["fc"]
    unit = made.units[0]
    y = torch.zeros(4)
    y[3] = model(x)[0, 3]
    expected = (model.module.fc.weight @ unit.x[0, 0] - y).square().sum()
    # Both are the norm of a difference that is rounded in the size of the score.
    assert_close(unit.cost[0, 0].sqrt(), expected.detach().sqrt(), scale=y)


def test_nothing_is_the_inverse_of_nothing_whatever_the_biases():
    model, x = wrap(settle(SharedInPlace())), images(2)
    start = torch.zeros(2, 6, 4, 4)
    start[1] = model.activations(x, "block1")["block1"][1]
    made = operations(model, x, start=("block1", start))
    assert (made.units[-1].kept[0] == 0).all()
    assert made.units[-1].kept[1].abs().sum() > 0


def test_an_activation_twice_as_large_has_the_same_inverse():
    """The target is scaled to the norm of the forward activation, and so is its inverse."""
    model, x = wrap(settle(Functional())), images(1)
    activation = model.activations(x, "conv2")["conv2"].relu()
    one = torch.zeros_like(activation)
    one[0, activation[0].amax((1, 2)).argmax()] = activation[0, activation[0].amax((1, 2)).argmax()]
    whole, half = (operations(model, x, start=("relu_1", one * factor)).x for factor in (1.0, 0.5))
    assert_close(whole, half)


def test_an_activation_can_be_inverted_instead_of_a_class():
    model, x = wrap(settle(Functional())), images(2)
    units = find_units(model)
    name = units[2].name
    activation = model.activations(x, "conv2")["conv2"].relu()
    one = torch.zeros_like(activation)
    one[:, 3, 1, 2] = activation[:, 3, 1, 2] + 0.5
    made = operations(model, x, start=(name, one))
    assert [unit.unit for unit in made.units] == [unit.name for unit in units[2::-1]]
    assert made.target is None
    with pytest.raises(ValueError, match="expected the inverse of a class"):
        _ = made.probability
    assert made.saliency().shape == (2, 8, 8)


def test_a_part_of_the_way_has_maps_of_its_own():
    model, x = wrap(settle(Functional())), images(1)
    units = find_units(model)
    made = operations(model, x, 1, until=units[0].name)
    assert made.units[-1].unit == units[1].name
    assert made.units[-1].map.shape == (1, 1, 8, 8)
    assert made.output is None
    for what in ("alpha", "mean_alpha", "reidentified", "probability"):
        with pytest.raises(ValueError, match="expected an inverse that reached the image") as error:
            getattr(made, what)
        one_sentence(error)
    with pytest.raises(ValueError, match="a map needs positions"):
        _ = made.units[0].map


def test_a_network_that_makes_images_is_inverted_from_its_own_output():
    network = settle(Residual())
    x = torch.rand(2, 1, 9, 7, generator=torch.Generator().manual_seed(0))
    made = layers(network, x, settings=LONG, lam=(0.0, 0.5))
    assert made.target is None
    assert_close(made.original_output, network(x).detach())
    assert made.output.shape == (2, 2, 1, 9, 7)
    off = (made.output - made.original_output[:, None]).flatten(2).norm(dim=2)
    assert (off[:, 0] < 0.3 * made.original_output.flatten(1).norm(dim=1)).all()
    assert (made.mean_alpha[:, 1] < made.mean_alpha[:, 0]).all()
    half = layers(network, x, output=made.original_output / 2)
    assert half.output is not None


def test_units_that_do_not_converge_are_named_with_the_remaining_decrease():
    model, x = wrap(settle(Functional())), images(1)
    run = layer_wise(model, x, 1, lam=(0.0, 0.4), settings=SolverSettings(steps=2, window=2, tolerance=0.0))
    with pytest.warns(
        UserWarning, match=r"units did not converge: .*\(cost (may still fall|has not settled)"
    ):
        made = run.result(progress=False)
    assert made.unconverged
    for unit in made.units:
        if unit.kind in ("pool", "reshape"):
            assert unit.converged.all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        enough = SolverSettings(steps=3000, tolerance=0.05, window=1)
        assert not layer_wise(model, x, 1, settings=enough).result(progress=False).unconverged


@pytest.mark.parametrize("method", [layer_wise, operation_wise])
def test_a_run_counts_its_snapshots_can_be_cancelled_and_keeps_what_it_has(method):
    model, x = wrap(settle(Functional())), images(2)
    run = method(model, x, 1, settings=SolverSettings(steps=8, window=2, tolerance=0.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        run.result(progress=False)
    assert 0 < run.done <= run.total
    run = method(model, x, 1, settings=QUICK)
    for shot in run:
        if len(shot.units) == 2:
            run.cancel()
    assert len(run.latest.units) == 2
    assert run.latest.output is None


def test_the_same_call_gives_the_same_bits_in_any_grad_mode():
    model, x = wrap(settle(SharedInPlace())), images(2)
    for method in (layers, operations):
        first = method(model, x, 1)
        torch.manual_seed(5)
        with torch.inference_mode():
            second = method(model, x, 1)
        with torch.no_grad():
            third = method(model, x, 1)
        assert torch.equal(first.x, second.x)
        assert torch.equal(first.x, third.x)
        assert not first.x.requires_grad


def test_several_images_and_lambda_are_those_of_each_alone():
    model, x = wrap(settle(Functional())), images(2)
    together = layers(model, x, [1, 2], settings=SolverSettings(steps=40))
    alone = layers(model, x[1:], 2, lam=0.3, settings=SolverSettings(steps=40), batch_size=1)
    torch.testing.assert_close(together.x[1, 1], alone.x[0, 0], atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("method", [layer_wise, operation_wise])
@pytest.mark.parametrize("event", ["normal", "forward", "interrupted"])
def test_the_callers_network_is_untouched(method, event):
    network = settle(Broken())
    model, x = wrap(network), images(2)
    model.layers()
    network.train()
    for parameter in list(network.parameters())[::2]:
        parameter.requires_grad_(False)
    before, pixels = everything(network), x.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        run = method(model, x, 1, settings=QUICK)
        if event == "normal":
            run.result(progress=False)
        else:
            steps = iter(run)
            next(steps)
            error = KeyboardInterrupt() if event == "interrupted" else RuntimeError("it broke")

            class Fails(TorchFunctionMode):
                def __torch_function__(self, func, types, args=(), kwargs=None):
                    if func is torch.conv2d:
                        raise error
                    return func(*args, **(kwargs or {}))

            with Fails(), pytest.raises(type(error)):
                list(steps)
            assert run.latest is not None
    after = everything(network)
    for what in before:
        assert after[what] == before[what], what
    assert torch.equal(x, pixels)


@pytest.mark.parametrize("empty", ["mean", "black"])
def test_an_empty_image_keeps_nothing(empty):
    model = wrap(settle(Functional()))
    x = (model.mean if empty == "mean" else torch.zeros(1, 3, 1, 1)).expand(1, 3, 8, 8)
    made = layers(model, x, 1, empty=empty)
    assert torch.equal(made.x, x[:, None].expand(1, 3, 3, 8, 8))
    assert torch.equal(made.mean_alpha, torch.zeros(1, 3))
    assert torch.isfinite(made.output).all()


def test_an_inverse_that_leaves_nothing_warns_with_the_unit():
    """All weights of one class are negative: nothing that the rectifier lets through speaks for it."""
    network = settle(Functional())
    with torch.no_grad():
        network.fc.weight[1] = -network.fc.weight[1].abs()
        network.fc.bias[1] = 100
    model = wrap(network)
    with pytest.warns(
        ExplanationWarning, match="is 0 everywhere from the input of 'fc' on, so nothing of the image"
    ):
        made = operation_wise(model, images(2), 1).result(progress=False)
    assert not made.units[-1].kept.any()
    with pytest.warns(ExplanationWarning, match="on, for image 2 of 2, so nothing of the image"):
        operation_wise(model, images(2), [2, 1]).result(progress=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert operation_wise(model, images(2), 2).result(progress=False).units[-1].kept.any()
    assert not any("everywhere" in str(each.message) for each in caught)
