"""Ablation of units: against one pass per unit, and on a network whose classes depend on known units."""

import pytest
import torch
from closeness import assert_close
from networks import CLASSES, Concat, Functional, images, settle, wrap
from torch import nn

from xai_widgets.concepts import ablate, ablate_cumulatively, ablate_units
from xai_widgets.core.model import ImageModel


def done(run):
    return run.result(progress=False)


class Sorter(nn.Module):
    """Class c has the score of unit c, the mean of color channel c; a fourth unit adds to all scores."""

    def __init__(self):
        super().__init__()
        self.units = nn.Conv2d(3, 4, 1, bias=False)
        self.fc = nn.Linear(4, 3, bias=False)
        with torch.no_grad():
            self.units.weight[:3, :, 0, 0] = torch.eye(3)
            self.units.weight[3] = 1
            self.fc.weight[:] = torch.cat([torch.eye(3), torch.ones(3, 1)], 1)

    def forward(self, x):
        return self.fc(self.units(x).mean((2, 3)))


def colors():
    """Two images of each class: one color channel brighter than the others."""
    x = torch.full((6, 3, 4, 4), 0.1)
    for image in range(6):
        x[image, image % 3] = 0.5 + 0.1 * (image // 3)
    return x, [image % 3 for image in range(6)]


@pytest.fixture(scope="module")
def sorter():
    return ImageModel(Sorter(), size=4)


def test_each_class_needs_its_own_unit(sorter):
    x, labels = colors()
    made = done(ablate_units(sorter, x, labels, layer="units"))
    assert made.counts.tolist() == [2, 2, 2]
    assert made.overall_accuracy == 1
    assert torch.equal(made.class_drops, torch.cat([torch.eye(3), torch.zeros(1, 3)]))
    assert_close(made.overall_drops, [1 / 3, 1 / 3, 1 / 3, 0])
    assert [made.top(c, 1).item() for c in range(3)] == [0, 1, 2]
    assert_close(made.score_drops[:3], torch.eye(3) * 0.55)
    # Unit c has the mean 0.55 for its class and 0.1 for the others; the fourth is alike for all.
    assert_close(made.selectivity, [(0.55 - 0.1) / (0.55 + 0.1)] * 3 + [0.0], scale=1.0)


@pytest.mark.parametrize(("network", "layer"), [(Functional, "conv2"), (Concat, "right"), (Functional, "fc")])
@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_units_one_by_one(network, layer, fill):
    model, x = wrap(settle(network())), images(7)
    target = torch.tensor([0, 1, 2, 3, 0, 1, 1])
    made = done(ablate_units(model, x, target, layer=layer, fill=fill, batch_size=3))
    width = made.units.numel()
    scores = ablate(model, x, [[], *[[k] for k in range(width)]], layer=layer, fill=fill)
    for c in range(CLASSES):
        own = scores[target == c]
        right = (own.argmax(2) == c).float().mean(0)
        assert_close(made.accuracy[c], right[0])
        assert_close(made.ablated_accuracy[:, c], right[1:])
        assert_close(made.score_drops[:, c], (own[:, :1, c] - own[:, 1:, c]).mean(0), scale=own)


def test_the_predicted_class_is_the_default(sorter):
    x, _ = colors()
    made = done(ablate_units(sorter, x, layer="units", units=[2]))
    assert made.accuracy.tolist() == [1, 1, 1]
    assert made.ablated_accuracy.tolist() == [[1, 1, 0]]


def test_a_class_without_images_has_no_accuracy(sorter):
    x, _ = colors()
    made = done(ablate_units(sorter, x[:1], 0, layer="units"))
    assert made.accuracy.isnan().tolist() == [False, True, True]
    assert made.overall_accuracy == 1
    assert made.selectivity.isnan().all()
    with pytest.raises(ValueError, match="with images"):
        made.top(1)


def test_snapshots_are_those_of_the_images_so_far(sorter):
    x, labels = colors()
    snapshots = list(ablate_units(sorter, x, labels, layer="units", batch_size=2))
    assert [int(each.counts.sum()) for each in snapshots] == [2, 4, 6]
    first = done(ablate_units(sorter, x[:2], labels[:2], layer="units"))
    assert torch.equal(snapshots[0].counts, first.counts)
    assert torch.equal(snapshots[0].score_drops.nan_to_num(), first.score_drops.nan_to_num())


def test_cumulative_ablation_follows_the_order(sorter):
    x, labels = colors()
    made = done(ablate_cumulatively(sorter, x, labels, layer="units", orders=[[3, 1, 0, 2], [1, 0, 2, 3]]))
    assert made.numbers.tolist() == [0, 1, 2, 3, 4]
    assert_close(made.accuracy[0, :4], [1, 1, 2 / 3, 1 / 3])
    assert_close(made.accuracy[1, :3], [1, 2 / 3, 1 / 3])
    assert made.class_accuracy[0, 2].tolist() == [1, 0, 1]
    assert made.area[0] > made.area[1]


def test_random_orders_are_permutations_and_repeat(sorter):
    x, labels = colors()
    one, two = (done(ablate_cumulatively(sorter, x, labels, layer="units", orders=3, seed=5)) for _ in "ab")
    assert torch.equal(one.orders, two.orders)
    assert torch.equal(one.orders.sort(1).values, torch.arange(4).expand(3, 4))
    assert torch.equal(one.class_accuracy, two.class_accuracy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": [4]}, "from 0 to 3"),
        ({"fill": "median"}, "'mean'"),
        ({"layer": "unit"}, "'units'"),
        ({"target": [0, 1]}, "one per image"),
    ],
)
def test_wrong_arguments_are_refused(sorter, options, message):
    with pytest.raises(ValueError, match=message):
        ablate_units(sorter, colors()[0], **({"layer": "units"} | options))


@pytest.mark.parametrize("orders", [[[0, 0]], [[0, 1], [1]], [[4]], 0])
def test_wrong_orders_are_refused(sorter, orders):
    with pytest.raises(ValueError, match="orders"):
        ablate_cumulatively(sorter, colors()[0], layer="units", orders=orders)
