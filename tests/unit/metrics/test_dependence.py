"""Whether maps depend on the class, on a shift that the network undoes, on the labels, and their cost."""

import math

import pytest
import torch
from closeness import assert_close, near
from networks import SIZE, Functional, SharedInPlace, images, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS
from xai_widgets.metrics import (
    METRICS,
    Explanation,
    class_sensitivity,
    constant_shift,
    data_randomization,
    method_cost,
    pearson,
    spearman,
    virtual_identity,
)
from xai_widgets.metrics.base import UNJUDGED

#: Metrics that look at the map alone.
JUDGED = [name for name, metric in METRICS.items() if metric.category not in UNJUDGED]


def blind(model, x, target):
    return x.sum(1)


def test_a_map_without_a_class_is_fully_insensitive():
    model, x = wrap(settle(Functional())), images(2)
    assert_close(class_sensitivity(model, x, explain=blind), torch.ones(2))
    scores = model(x)
    maps = [METHODS["gradient"].saliency(model, x, part) for part in (scores.argmax(1), scores.argmin(1))]
    assert_close(class_sensitivity(model, x), spearman(*maps))
    explanation = Explanation(model, x[:1], 1, x[:1].sum(1), method=blind)
    assert METRICS["class_sensitivity"](explanation) == near(1)
    constant = Explanation(model, x[:1], 1, x[:1].sum(1), method=lambda model, x, target: torch.ones(1, 4, 4))
    assert METRICS["class_sensitivity"](constant) == 1


def test_a_single_score_has_no_classes():
    model = ImageModel(
        nn.Sequential(nn.Conv2d(3, 1, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), size=8, activation=None
    )
    with pytest.raises(ValueError, match="at least two classes"):
        class_sensitivity(model, images(1, size=8))


def test_a_shift_that_the_network_undoes_changes_no_gradient_but_a_black_baseline():
    model, x = wrap(settle(Functional())), images(2)
    before = {name: value.clone() for name, value in model.state_dict(keep_vars=False).items()}
    mean = model.mean.clone()
    assert_close(constant_shift(model, x, 1), torch.ones(2), steps=4096)
    assert (constant_shift(model, x, 1, explain="gradient_x_input") < 0.999).any()
    assert_close(constant_shift(model, x, 1, explain="gradient_x_input", shift=0.0), torch.ones(2))
    assert torch.equal(model.mean, mean)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_maps_are_compared_with_those_of_permuted_labels():
    model, other, x = wrap(settle(Functional())), wrap(settle(Functional(), seed=9)), images(2)
    assert_close(data_randomization(model, x, 1, permuted=model), torch.ones(2))
    found = data_randomization(model, x, 1, permuted=other)
    maps = [METHODS["gradient"].saliency(each, x, 1).abs() for each in (model, other)]
    assert_close(found, spearman(*maps))
    few = ImageModel(nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 2)), size=SIZE)
    with pytest.raises(ValueError, match=r"expected permuted with \d+ classes"):
        data_randomization(model, x, permuted=few)


def test_costs_count_the_passes_of_the_network():
    model, x = wrap(settle(SharedInPlace())), images(1)
    one = method_cost(model, x, 1, explain=lambda model, x, target: model(x).sum() + x.sum(1))
    assert one.passes == near(1)
    three = method_cost(
        model, x, 1, explain=lambda model, x, target: sum(model(x) for _ in range(3)).sum() + x.sum(1)
    )
    assert three.passes == near(3)
    # A gradient of the input: a forward pass and one product of the same size for each layer.
    assert 1.5 < method_cost(model, x, 1).passes <= 3
    assert one.seconds > 0


def test_memory_is_that_of_the_tensors_that_live_at_one_time():
    model, x = wrap(settle(Functional())), images(1)

    def at_once(model, x, target):
        parts = [torch.ones(1000, 1000) for _ in range(3)]
        return x.sum(1) + sum(part.mean() for part in parts)

    def one_by_one(model, x, target):
        return x.sum(1) + sum(torch.ones(1000, 1000).mean() for _ in range(3))

    assert method_cost(model, x, 1, explain=at_once).megabytes == pytest.approx(12, rel=0.01)
    assert method_cost(model, x, 1, explain=one_by_one).megabytes == pytest.approx(4, rel=0.01)


def test_the_virtual_identity_is_compared_at_each_convolution():
    model, x = wrap(settle(Functional())), images(2)
    found = virtual_identity(model, x, 1)
    assert found.correlation.shape == (2, len(found.layers))
    name = found.layers[0]
    side = model.module.get_submodule(name).kernel_size[0]
    maps = [
        METHODS["norm_grad"].saliency(model, x, 1, layer=name, identity=f"{side}x{side}"),
        METHODS["norm_grad_convolution"].saliency(model, x, 1, layer=name),
    ]
    assert_close(found.correlation[:, 0], pearson(*maps))
    with pytest.raises(ValueError, match="fc"):
        virtual_identity(model, x, layers=["fc"])


@pytest.mark.parametrize(
    "name", [name for name, metric in METRICS.items() if metric.category not in ("agreement", "cost")]
)
@pytest.mark.parametrize("value", [0.0, 1.0, math.nan, math.inf])
def test_a_constant_or_infinite_map_is_a_miss_with_a_warning(name, value):
    model, x = wrap(settle(Functional())), images(1)
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[0, 0] = True
    explanation = Explanation(
        model, x, 1, torch.full((1, SIZE, SIZE), value), mask=mask, parts={"eye": torch.zeros(1, 2)},
        method=METHODS["gradient"], permuted=model,
    )  # fmt: skip
    metric = METRICS[name]
    with pytest.warns(match="counts as a miss"):
        score = metric(explanation)
    assert (
        math.isnan(score) and math.isinf(metric.bounds[metric.direction == "lower"])
    ) or score == metric.miss
