"""Meta-saliency is a method after one step of gradient descent."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from networks import SharedInPlace, images, one_sentence, settle, wrap

from xai_widgets import attribution
from xai_widgets.methods import METHODS


@pytest.mark.parametrize("method", ["selective_norm_grad", "linear_approximation", "gradient"])
@pytest.mark.parametrize("epsilon", [0.001, -0.05])
def test_it_is_the_method_after_the_optimizer_of_torch_took_a_step(method, epsilon):
    model, x, target = wrap(settle(SharedInPlace())), images(2), torch.tensor([1, 3])
    made = attribution.meta_saliency(model, x, target, method=method, epsilon=epsilon)
    for number in range(2):
        network = deepcopy(model.module).eval()
        optimizer = torch.optim.SGD(network.parameters(), lr=2 * abs(epsilon), maximize=epsilon < 0)
        normalized = (x[number : number + 1] - model.mean.view(1, -1, 1, 1)) / model.std.view(1, -1, 1, 1)
        F.cross_entropy(network(normalized), target[number : number + 1]).backward()
        optimizer.step()
        reference = METHODS[method](wrap(network), x[number : number + 1], int(target[number]))
        assert_close(made[number : number + 1], reference)


def test_without_a_step_it_is_the_method_itself_and_options_are_passed_on():
    model, x = wrap(settle(SharedInPlace())), images(2)
    made = attribution.meta_saliency(
        model, x, 1, method="norm_grad", epsilon=0, layer="block1", identity="3x3"
    )
    reference = attribution.norm_grad(model, x, 1, layer="block1", identity="3x3")
    assert_close(made, reference)


def test_a_step_makes_a_difference():
    model, x = wrap(settle(SharedInPlace())), images(1)
    near, far = (attribution.meta_saliency(model, x, 1, epsilon=epsilon) for epsilon in (0.0, 0.05))
    assert (near - far).abs().max() > 0.01 * near.abs().max()


@pytest.mark.parametrize("epsilon", [float("nan"), float("inf")])
def test_a_step_without_a_length_is_refused(epsilon):
    with pytest.raises(ValueError, match=f"expected epsilon to be a number, got {epsilon}") as error:
        attribution.meta_saliency(wrap(settle(SharedInPlace())), images(1), 1, epsilon=epsilon)
    one_sentence(error)
