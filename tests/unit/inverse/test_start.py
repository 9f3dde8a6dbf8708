"""Inverses that begin with a unit, a channel, a position, or a box of an output."""

import pytest
import torch
from closeness import assert_close
from networks import Functional, Residual, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.core.run import Run
from xai_widgets.inverse import SolverSettings, find_units, layer_wise, operation_wise
from xai_widgets.inverse.chain import Chain
from xai_widgets.inverse.start import Goal, goal_from_box, goal_from_start

LONG = SolverSettings(steps=400, tolerance=1e-6)
pytestmark = pytest.mark.filterwarnings("ignore:.*did not converge", "ignore:.*the inverse is 0 everywhere")


def done(run: Run):
    return run.result(progress=False)


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


@pytest.fixture(scope="module")
def spatial(model):
    """The last unit with a spatial output, and its activation for two images."""
    chain = Chain.of(model, images(2))
    index = max(n for n, x in enumerate(chain.inputs) if x.ndim == 4) - 1
    return chain.units[index].name, chain.inputs[index + 1]


# -- the value that is inverted -------------------------------------------------------------------------------


def test_a_channel_and_a_position_select_a_part_of_the_activation(model, spatial):
    (name, activation), chain = spatial, Chain.of(model, images(2))
    part = torch.zeros_like(activation)
    assert_close(goal_from_start((name, None, None), chain).value, activation)
    part[:, 3] = activation[:, 3]
    assert_close(goal_from_start((name, 3, None), chain).value, part)
    part = torch.zeros_like(activation)
    part[:, 3, 1, 2] = activation[:, 3, 1, 2]
    assert_close(goal_from_start((name, 3, (1, 2)), chain).value, part)
    part[:, :, 1, 2] = activation[:, :, 1, 2]
    assert_close(goal_from_start((name, None, (1, 2)), chain).value, part)
    assert_close(goal_from_start((name, part), chain).value, part)


def test_a_box_is_a_part_of_the_output():
    network, x = settle(Residual()), torch.rand(2, 1, 9, 7)
    chain = Chain.of(network, x)
    goal = goal_from_box((1, 2, 4, 3), chain)
    expected = torch.zeros_like(chain.output)
    expected[..., 1:5, 2:5] = chain.output[..., 1:5, 2:5]
    assert_close(goal.value, expected)
    assert_close(goal_from_box((0, 0, 9, 7), chain).value, chain.output)


@pytest.mark.parametrize(
    ("start", "kind", "message"),
    [
        (("conv9", 0, None), ValueError, "unknown unit 'conv9'"),
        ((None, 0, None), TypeError, "name of a unit, channel, position"),
        (("x",), TypeError, "got a tuple of 1"),
        (("{unit}", 8, None), ValueError, "expected the channel of start to be an integer from 0 to 7"),
        (("{unit}", 0, (4, 0)), ValueError, r"expected the position of start within 4 x 4, .* got \(4, 0\)"),
        (("{unit}", 0, (1,)), ValueError, "2 numbers"),
        (("flatten", 0, (0, 0)), ValueError, r"expected a unit with output \(C, h, w\) for a position"),
    ],
)
@pytest.mark.parametrize("method", [layer_wise, operation_wise])
def test_a_start_outside_the_network_is_refused(model, spatial, method, start, kind, message):
    start = tuple(spatial[0] if part == "{unit}" else part for part in start)
    with pytest.raises(kind, match=message) as error:
        method(model, images(2), start=start)
    one_sentence(error)


def test_a_box_outside_the_output_is_refused(model):
    network, x = settle(Residual()), torch.rand(1, 1, 9, 7)
    for box in ((0, 0, 10, 7), (3, 3, 2, 5), (0, 0, 0, 3)):
        with pytest.raises(ValueError, match="within the output of 9 x 7") as error:
            layer_wise(network, x, box=box)
        one_sentence(error)
    with pytest.raises(ValueError, match="expected a network with output"):
        layer_wise(model, images(1), box=(0, 0, 1, 1))
    with pytest.raises(ValueError, match="got output and box; omit the others"):
        layer_wise(network, x, box=(0, 0, 1, 1), output=x)


# -- the inverse ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [layer_wise, operation_wise])
def test_the_inverse_begins_at_the_unit_and_ends_at_the_image(model, spatial, method):
    name = spatial[0]
    made = done(method(model, images(2), start=(name, 3, None), settings=SolverSettings(steps=20)))
    names = [unit.name for unit in find_units(model)]
    assert [unit.unit for unit in made.units] == names[names.index(name) :: -1]
    assert made.target is None
    assert made.x.shape[2:] == (3, 8, 8)
    assert ((made.alpha >= 0) & (made.alpha <= 1 + 1e-5)).all()
    with pytest.raises(ValueError, match="expected until before the start"):
        method(model, images(2), start=(names[0], 0, None), until=name)


@pytest.mark.parametrize("method", [layer_wise, operation_wise])
def test_a_channel_is_the_tensor_of_that_channel(model, spatial, method):
    name, activation = spatial
    part = torch.zeros_like(activation)
    part[:, 2, 1, 3] = activation[:, 2, 1, 3]
    options = {"settings": SolverSettings(steps=20)}
    one = done(method(model, images(2), start=(name, 2, (1, 3)), **options))
    other = done(method(model, images(2), start=(name, part), **options))
    assert torch.equal(one.x, other.x)


def test_only_whole_activations_are_scaled_to_the_norm_of_the_forward_pass():
    generator = torch.Generator().manual_seed(0)
    output, y_bar, y = torch.rand(3, 2, 1, 4, 5, generator=generator).unbind()
    image, y = torch.tensor([0, 0, 1]), y[[0, 0, 1]]
    whole, own = y_bar.flatten(1).norm(dim=1)[image], y.flatten(1).norm(dim=1)
    assert_close(Goal(0, output).norms(y_bar, y, image), whole)
    assert_close(Goal(0, output, output).norms(y_bar, y, image), whole)
    assert_close(Goal(0, output / 4, output).norms(y_bar, y, image), own)
    half = output.clone()
    half[1, ..., 2:] = 0
    assert_close(Goal(0, half, output).norms(y_bar, y, image), torch.stack([whole[0], whole[1], own[2]]))


def test_a_box_is_inverted_as_bright_as_it_is():
    """Two units that copy the pixels, with biases, after which a whole target is scaled."""
    first, second = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
    for conv in (first, second):
        nn.init.ones_(conv.weight)
        nn.init.zeros_(conv.bias)
    network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
    x = 0.1 + 0.9 * torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    part = torch.zeros_like(x)
    part[..., 1:4, 2:5] = x[..., 1:4, 2:5]
    made = done(layer_wise(network, x, box=(1, 2, 3, 3), lam=0, settings=LONG))
    assert torch.equal(done(layer_wise(network, x, output=part, lam=0, settings=LONG)).x, made.x)
    for share in (1.0, 0.5):
        made = done(layer_wise(network, x, output=share * part, lam=0, settings=LONG))
        # The solver ends before rounding does; scaled to the whole norm, half of the part would be the part.
        assert (made.x[:, 0] - share * part).norm() < 0.01 * part.norm()
    # The whole output is scaled as in the algorithm, whether it is given or not.
    assert torch.equal(
        done(layer_wise(network, x, output=network(x).detach(), lam=0.1, settings=LONG)).x,
        done(layer_wise(network, x, lam=0.1, settings=LONG)).x,
    )


def test_a_score_below_0_has_a_note(model):
    x = images(3)
    scores = model.scores(x)
    low = int(scores.amax(0).argmin())
    below = scores[:, low] < 0
    assert below.any()
    with pytest.warns(
        UserWarning, match="is below 0, so the operation-wise inverse shows what pulls it down"
    ):
        run = operation_wise(model, x, low, settings=SolverSettings(steps=2))
    made = done(run)
    numbers = [str(n + 1) for n in range(3) if below[n]]
    assert any(", ".join(numbers) in note for note in made.notes)
    above = scores[0].argmax()
    assert scores[0, above] > 0
    assert not operation_wise(model, x[:1], int(above)).result(progress=False).notes
