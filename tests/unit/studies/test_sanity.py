"""The sanity checks of several methods: the same weights, the layers in order, and how a computation goes on."""

import pytest
import torch
from closeness import assert_close
from networks import SharedInPlace, images, settle, wrap
from torch import nn

from xai_widgets.methods import METHODS
from xai_widgets.methods.registry import methods_by_name
from xai_widgets.metrics import weight_randomization
from xai_widgets.studies.sanity import SanityKey, SanityStudy, edge_detector, randomized_blocks

LAYERS = ["fc", "block2", "block1", "conv1"]


def refused(model, x, target):
    raise ValueError("expected another network")


def study_of(methods=("gradient",), **options):
    return SanityStudy(wrap(settle(SharedInPlace())), images(1), methods_by_name(methods), **options)


def key_of(method="gradient", mode="cascading"):
    return SanityKey(method, 1, mode)


def parts(result):
    return result.maps, result.scores, result.spearman, result.spearman_abs, result.pearson, result.ssim


@pytest.mark.parametrize("mode", ["cascading", "independent"])
def test_each_key_is_the_check_of_its_method(mode):
    study = study_of(["gradient", "grad_cam"])
    for name in study.methods:
        result = study.compute([key_of(name, mode)], progress=False)[key_of(name, mode)].result
        alone = weight_randomization(
            study.model, study.x, 1, explain=name, mode=mode, layers=study.layers
        ).result(progress=False)
        for found, expected in zip(parts(result), parts(alone), strict=True):
            # NaN where a map is constant.
            assert torch.equal(found.nan_to_num(9), expected.nan_to_num(9))
        assert len(list(study.run(key_of(name, mode)))) == study.steps(key_of(name, mode))


def test_all_methods_are_shown_the_same_weights_and_the_edges_stay():
    study = study_of(["gradient", "grad_cam", edge_detector()])
    outcomes = study.compute([key_of(name) for name in study.methods], progress=False).values()
    first, second, edges = (outcome.result for outcome in outcomes)
    assert torch.equal(first.scores, second.scores)
    assert not torch.equal(first.maps[0], first.maps[-1])
    assert_close(edges.spearman_abs, torch.ones(1, len(study.layers)))
    x = study.x[0]
    down, right = x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]
    inner = (down[:, :, :-1].square() + right[:, :-1].square()).sqrt().sum(0)
    assert_close(edges.maps[0, 0, :-1, :-1], inner)


@pytest.mark.parametrize("mode", ["cascading", "independent"])
@pytest.mark.parametrize("done", [1, 2])
def test_a_stopped_check_goes_on_with_the_same_numbers_and_measures_no_layer_twice(mode, done):
    seen = []

    def counted(model, x, target):
        seen.append(target)
        return METHODS["gradient"](model, x, target)

    study = study_of([counted])
    snapshots = list(study.run(key_of("counted", mode)))
    seen.clear()
    rest = list(study.run(key_of("counted", mode), snapshots[done - 1]))
    assert len(seen) == len(rest) == len(study.layers) - done
    for found, expected in zip(parts(rest[-1]), parts(snapshots[-1]), strict=True):
        assert torch.equal(found, expected)
    other = study_of([counted], layers=["fc"])
    with pytest.raises(ValueError, match="expected start to be"):
        other.run(key_of("counted", mode), snapshots[0])


def test_a_method_that_refuses_stops_no_other():
    study = study_of([refused, "gradient"])
    outcomes = study.compute([key_of("refused"), key_of()], progress=False)
    assert outcomes[key_of("refused")].error == "expected another network"
    assert outcomes[key_of()].result.done == len(study.layers)


def test_warnings_stand_at_the_map_that_they_are_about():
    study = study_of(["grad_cam"], layers=LAYERS)
    with torch.no_grad():
        study.model.module.fc.weight.zero_()
    result = study.compute([key_of("grad_cam")], progress=False)[key_of("grad_cam")].result
    assert len(result.warnings) == len(result.maps)
    assert "0 everywhere" in result.warnings[0][0]
    assert [bool(words) for words in result.warnings] == [not bool(each.any()) for each in result.maps]


def test_the_blocks_hold_every_weighted_layer_once_from_the_output_to_the_input():
    assert randomized_blocks(wrap(settle(SharedInPlace()))) == (
        # The largest one is divided, as there would be four.
        *("fc", "block2.conv2", "block2.bn1", "block2.conv1", "block1", "conv1"),
    )


class Stages(nn.Module):
    """Two stems, a list of blocks, which never runs as a whole, and a head; a convolution that runs twice."""

    def __init__(self, depth):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        block = (nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1))
        self.blocks = nn.ModuleList(nn.Sequential(*map(type(self)._copy, block)) for _ in range(depth))
        self.head = nn.Linear(4, 5)

    @staticmethod
    def _copy(part):
        return nn.Conv2d(4, 4, part.kernel_size, padding="same") if isinstance(part, nn.Conv2d) else nn.ReLU()

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(block(x))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("depth", [4, 12])
def test_a_list_of_blocks_is_divided_and_a_block_that_runs_twice_is_one(depth):
    blocks = randomized_blocks(wrap(settle(Stages(depth)), labels=None))
    assert blocks == ("head", *(f"blocks.{at}" for at in reversed(range(depth))), "stem")


def test_layers_are_checked_at_once():
    with pytest.raises(ValueError, match="unknown layer 'fcc'; did you mean 'fc'"):
        study_of(layers=["fcc"])
    with pytest.raises(ValueError, match="expected a layer with weights"):
        study_of(layers=["relu"])
