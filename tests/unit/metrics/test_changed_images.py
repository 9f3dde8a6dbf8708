"""Pixels replaced in the order of several maps: the images that pass, and scores that do not depend on the company."""

import pytest
import torch
from closeness import assert_close
from networks import SIZE, Functional, images, settle, wrap
from torch import nn

from xai_widgets.core.batching import CPU_IMAGES, CPU_LAYER, fast_batch_size
from xai_widgets.core.cost import pass_cost
from xai_widgets.core.model import ImageModel
from xai_widgets.metrics import METRICS, Explanation, ordering
from xai_widgets.metrics.changed_images import ReplacedPixels

COUNTS = [0, 5, 20, SIZE * SIZE]


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


@pytest.fixture(scope="module")
def maps():
    return torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))


def scores(model, maps, belongs, batch_size, whole):
    found = torch.full((len(maps), len(COUNTS), len(model.labels)), torch.nan)
    replaced = ReplacedPixels(
        model, images(2), 1 - images(2), ordering(maps), COUNTS, belongs, batch_size, whole=whole
    )
    batches = list(replaced)
    assert len(batches) == len(replaced)
    for rows, steps, output in batches:
        assert found[rows, steps].isnan().all()
        found[rows, steps] = output
    return found


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 5, 40])
def test_every_step_of_every_map_is_that_of_its_image(model, maps, batch_size, whole):
    belongs = [0, 1, 0]
    found = scores(model, maps, belongs, batch_size, whole)
    x, ranks = images(2), ordering(maps)
    for row, image in enumerate(belongs):
        for step, count in enumerate(COUNTS):
            changed = torch.where(ranks[row] < count, 1 - x[image], x[image])
            assert_close(found[row, step], model(changed[None])[0], scale=10.0)


def test_maps_of_an_image_share_its_unchanged_and_its_filled_image(model, maps):
    def passing(belongs):
        return len(ReplacedPixels(model, images(2), images(2), ordering(maps), COUNTS, belongs, 1))

    assert passing([0, 0, 0]) == 3 * 2 + 2
    assert passing([0, 1, 0]) == 3 * 2 + 4


def test_whole_batches_give_the_same_bits_in_any_company(model, maps):
    together = scores(model, maps, [0, 1, 0], 5, True)
    alone = scores(model, maps[1:2], [1], 5, True)
    assert torch.equal(together[1], alone[0])


@pytest.mark.parametrize("name", [name for name, one in METRICS.items() if one.several])
def test_several_maps_at_once_have_the_scores_of_each(model, maps, name):
    small = {"sensitivity_n": {"sets": 4}, "infidelity": {"squares": 6}}
    small |= {"road": {}, "monotonicity": {}}
    metric = METRICS[name].with_options(**small.get(name, {"steps": 6}))
    x = images(1)

    def explanations():
        return [Explanation(model, x, target, maps[n][None]) for n, target in enumerate((0, 2, 2))]

    assert metric.score_several(explanations()) == [metric(each) for each in explanations()]


def test_curves_are_computed_once_for_the_metrics_that_need_them(model, maps, monkeypatch):
    from xai_widgets.metrics import pixel_flipping

    computed = []
    original = pixel_flipping._flipped

    def counted(*arguments):
        computed.append(len(arguments[2]))
        return original(*arguments)

    monkeypatch.setattr(pixel_flipping, "_flipped", counted)
    explanation = Explanation(model, images(1), 1, maps[:1])
    values = {name: METRICS[name].with_options(steps=4)(explanation) for name in ("morf", "lerf", "abpc")}
    assert computed == [1, 1]
    assert_close(
        torch.tensor(values["abpc"]), torch.tensor(4 * (values["lerf"] - values["morf"])), scale=10.0
    )


@pytest.mark.parametrize(("channels", "dtype"), [(3, torch.float32), (1, torch.float32), (4, torch.float64)])
def test_the_network_gets_the_pixels_of_either_image_to_the_last_bit(channels, dtype):
    """Bits are chosen, not sums; the channels of a network, double precision, and one that writes to its input."""
    passed = []

    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, channels, dtype=dtype))

        def forward(self, x):
            passed.append(x.clone())
            return x.mul_(2).mean((2, 3)) @ self.weight.T

    given = [0.3] * channels
    model = ImageModel(Greedy(), mean=given, std=given, size=SIZE, channels=channels)
    start, end = (torch.rand(2, channels, SIZE, SIZE, dtype=dtype) for _ in range(2))
    ranks = ordering(torch.rand(3, SIZE, SIZE))
    passed.clear()
    assert len(list(ReplacedPixels(model, start, end, ranks, COUNTS, [0, 1, 0], 4, whole=True))) == 3
    shown = torch.cat(passed)
    for row, image in enumerate((0, 1, 0)):
        for count in COUNTS:
            expected = torch.where(ranks[row] < count, end[image], start[image])
            expected = ((expected - model.mean[0]) / model.std[0]).to(dtype)
            assert any(torch.equal(one, expected) for one in shown)


def test_no_layer_of_a_fast_batch_is_too_large(model):
    small = fast_batch_size(model, (SIZE, SIZE))
    assert small == CPU_IMAGES
    size = (600, 500)
    number = fast_batch_size(model, size)
    one = 4 * pass_cost(model, size).largest
    assert 1 <= number < CPU_IMAGES
    assert number == 1 or number * one <= CPU_LAYER
