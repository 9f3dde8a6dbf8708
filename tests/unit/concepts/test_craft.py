"""Concepts of a class: by hand on a linear head, and the stamp of the toadstool in the bundled networks."""

import pytest
import torch
from closeness import assert_close
from snapshot import everything
from torch import nn
from torch.nn import functional as F

import xai_widgets as xw
from xai_widgets.concepts import class_concepts
from xai_widgets.concepts.class_crops import crop_activations, crop_corners
from xai_widgets.core.model import ImageModel
from xai_widgets.data import Example, scenes
from xai_widgets.errors import ExplanationWarning

COLORS = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


class Colors(nn.Module):
    """Red, green and blue are its channels; the score of class 0 is 3 red - 2 green + 1 blue, averaged."""

    def __init__(self):
        super().__init__()
        self.features = nn.ReLU()
        self.head = nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[3.0, -2.0, 1.0], [-9.0, -9.0, -9.0]]))

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


def striped(count=24):
    """Images of one color in each column of four, of different brightness."""
    generator = torch.Generator().manual_seed(0)
    light = 0.5 + 0.5 * torch.rand(count, 12, 1, 1, generator=generator)
    columns = COLORS[torch.arange(12) // 4].T[None, :, None]
    return (columns * light.permute(0, 2, 3, 1)).expand(-1, -1, 12, -1).contiguous()


@pytest.fixture(scope="module")
def model():
    return ImageModel(Colors().eval(), size=12, mean=(0, 0, 0), std=(1, 1, 1))


@pytest.fixture(scope="module")
def found(model):
    return class_concepts(model, striped(), 0, layer="features", count=3, side=4, design=1024).result(
        progress=False
    )


def color_of(found):
    """The color that is the direction of each concept."""
    return found.directions.argmax(1)


def test_the_concepts_are_the_colors(found):
    assert sorted(color_of(found).tolist()) == [0, 1, 2]
    assert found.directions.max(1).values.min() > 0.95
    assert found.components.kind == "nmf"
    assert "at least 0" in found.reason


def test_importances_of_a_linear_head_are_those_by_hand(model, found):
    """f(m) is linear: df/dm_k = sum over positions of u_k (w_k . head), the index its share of the squares."""
    head = model.module.head.weight[0].detach()
    slopes = found.coefficients.mean((2, 3)) * (found.directions @ head)
    assert_close(found.gradients, slopes, scale=10)
    assert_close(found.scores[:, None, 0] - found.removed[..., 0], slopes, scale=10)
    shares = slopes.square() / slopes.square().sum(1, keepdim=True)
    # Errors of a scrambled Sobol sequence of 1,024 points are some thousandths.
    assert found.importances.numpy() == pytest.approx(shares.numpy(), abs=0.02)
    assert color_of(found).tolist() == [0, 1, 2]
    assert found.gradient[1] < 0 < found.gradient[0]


def test_maps_lie_where_the_concept_is(found):
    maps = found.maps((12, 12))
    for concept, color in enumerate(color_of(found).tolist()):
        inside = maps[:, concept, :, 4 * color : 4 * color + 4].sum()
        assert inside > 0.95 * maps[:, concept].sum()


def test_top_crops_show_the_concept(found):
    for concept, color in enumerate(color_of(found).tolist()):
        crops, boxes = found.top_crops(concept, 5)
        assert crops.shape == (5, 3, 4, 4)
        assert (crops.mean((0, 2, 3)).argmax()) == color
        number, top, left = boxes[0].tolist()
        assert torch.equal(crops[0], found.image(number)[:, top : top + 4, left : left + 4])


def test_removing_several_concepts_subtracts_all_of_them(model, found):
    both = found.without(model, 3, (0, 2))
    changes = (found.removed - found.scores[:, None])[3]
    assert_close(both, found.scores[3] + changes[0] + changes[2], scale=10)
    assert_close(found.without(model, 3, ()), found.scores[3], scale=10)


def test_crops_are_pooled_over_their_positions(model):
    x = torch.rand(1, 3, 12, 12)
    pooled = crop_activations(model, x, "features", 6, (3, 2), 4)
    tops, lefts = crop_corners((12, 12), 6, (3, 2))
    assert (tops, lefts) == ([0, 3, 6], [0, 6])
    crop = F.interpolate(x[..., 3:9, 6:12], (12, 12), mode="bilinear", align_corners=False)
    assert_close(pooled[1, 1], crop.mean((0, 2, 3)))


def test_only_images_predicted_as_the_class_are_used():
    network = Colors().eval()
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    model = ImageModel(network, size=12, mean=(0, 0, 0), std=(1, 1, 1))
    red, green = striped(), striped()[:, [1, 0, 2]] * torch.tensor([0.5, 1, 1])[:, None, None]
    found = class_concepts(
        model, torch.cat([green[:2], red[:21] * torch.tensor([1, 0.5, 1])[:, None, None]]), 0, layer="features",
        count=2, scored=1,
    ).result(progress=False)  # fmt: skip
    assert found.images == tuple(range(2, 23))


def test_few_images_carry_a_warning(model):
    with pytest.warns(ExplanationWarning, match=r"\d+ overlapping crops of 2 images: .*at least 20"):
        class_concepts(model, striped(2), 0, layer="features", count=2).result(progress=False)


def test_images_of_another_class_carry_a_warning(model):
    with pytest.warns(ExplanationWarning, match="predicts as class 1, but none of the 24 images is"):
        class_concepts(model, striped(), 1, layer="features", count=2, scored=1).result(progress=False)


class Signed(Colors):
    def __init__(self):
        super().__init__()
        self.features = nn.Identity()
        self.shift = nn.SiLU()

    def forward(self, x):
        return self.head(self.shift(4 * x - 2).mean((2, 3)))


def test_negative_activations_are_grouped_with_the_reason():
    model = ImageModel(Signed().eval(), size=12, mean=(0, 0, 0), std=(1, 1, 1))
    found = class_concepts(model, striped(), 0, layer="shift", count=3, scored=2).result(progress=False)
    assert found.components.kind == "kmeans"
    assert found.reason.startswith("k-means, because activations of this layer reach -")
    with pytest.raises(ValueError, match="expected activations of at least 0"):
        class_concepts(model, striped(), 0, layer="shift", count=3, kind="nmf").result(progress=False)


def test_principal_components_are_an_option(model):
    found = class_concepts(model, striped(), 0, layer="features", count=2, kind="pca", scored=2)
    found = found.result(progress=False)
    assert found.reason == "PCA, as chosen."
    assert_close(found.removed[..., 0] - found.scores[:, None, 0], -found.gradients, scale=20)


def test_a_layer_of_few_channels_gives_fewer_concepts(model):
    with pytest.warns(ExplanationWarning, match="3 concepts at most, fewer than 10"):
        found = class_concepts(model, striped(), 0, layer="features", scored=1).result(progress=False)
    assert len(found) == 3


def test_folders_and_data_sets_are_taken(model, tmp_path):
    from PIL import Image

    pixels = (255 * striped(20)).byte().permute(0, 2, 3, 1).numpy()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{number:02}.png")
    examples = [Example(image) for image in pixels]
    one, other = (
        class_concepts(model, images, 0, layer="features", count=3, scored=2).result(progress=False)
        for images in (tmp_path, examples)
    )
    assert torch.equal(one.importances, other.importances)


def test_a_run_reports_progress_and_can_be_canceled(model):
    run = class_concepts(model, striped(), 0, layer="features", count=3, scored=4)
    shares = []
    for _ in run:
        shares.append(run.progress)
        if len(shares) == 3:
            run.cancel()
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] < 1
    snapshot = run.latest
    assert snapshot.importances[:2].isfinite().all()
    assert snapshot.importances[2:].isnan().all()
    assert not snapshot.complete


def test_the_network_is_not_changed():
    network = Colors().train()
    model = ImageModel(network, size=12, mean=(0, 0, 0), std=(1, 1, 1))
    before = everything(network)
    class_concepts(model, striped(20), 0, layer="features", count=2, scored=2).result(progress=False)
    assert everything(network) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "feature"}, "did you mean 'features'"),
        ({"layer": "head"}, "expected a layer with spatial positions"),
        ({"target": 7}, "expected a class from 0 to 1"),
        ({"count": 0}, "expected count"),
        ({"kind": "nfm"}, "nmf"),
        ({"side": 13}, "expected side"),
    ],
)
def test_bad_arguments_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        class_concepts(model, striped(2), **options)


@pytest.mark.parametrize(("name", "within"), [("scenes_vgg", 2), ("scenes_resnet", 1)])
def test_the_stamp_is_one_of_the_most_important_concepts_of_the_toadstool(name, within):
    model = xw.load(name)
    shown = [scenes.scene(index, label=scenes.CUE_CLASS, split="test") for index in range(24)]
    found = class_concepts(model, [scene.image for scene in shown], scenes.CUE_CLASS).result(progress=False)
    marks = torch.stack([torch.from_numpy(shown[n].mark) for n in found.images[: len(found.scores)]]).float()
    stamped = marks.flatten(1).any(1)
    cells = F.adaptive_max_pool2d(marks[:, None], found.coefficients.shape[2:])[:, 0]
    peaks = found.coefficients.flatten(2).argmax(2)
    on_stamp = cells.flatten(1).gather(1, peaks)[stamped].mean(0)
    concept = int(on_stamp[:within].argmax())
    # By chance 4 % of the peaks would lie in a cell with the stamp.
    assert on_stamp[concept] > 0.6
    # Without the concept the score of the class falls, by more than without most others.
    changes = found.removed[..., scenes.CUE_CLASS] - found.scores[:, None, scenes.CUE_CLASS]
    assert (changes[stamped, concept] < 0).all()
    assert (found.effect[concept] <= found.effect.sort().values[within - 1]).all()
