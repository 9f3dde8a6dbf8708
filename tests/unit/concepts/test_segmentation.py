"""Combinations for segmentation against torch's optimizer on one concept, and IoU by hand."""

from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from planted import Squares, planted

from xai_widgets.concepts import Descent, probe, segmentation, segmentation_concepts, single_filters
from xai_widgets.concepts.segmentation import learn

FAST = Descent(learning_rate=0.01, epochs=3, batch_size=8)


def pair(model=None, count=60, quantile=0.05, data=Squares):
    model = planted() if model is None else model
    train = probe(model, data(count), layer="relu", quantile=quantile).result(progress=False)
    val = probe(model, data(24, seed=1), layer="relu", thresholds=train.thresholds).result(progress=False)
    return train, val


TRAIN, VAL = pair()


@cache
def done(train=TRAIN, val=VAL, *args, settings=FAST):
    return segmentation_concepts(train, val, *args, settings=settings).result(progress=False)


def by_torch(concept, settings, printed=False):
    """Return the weights of a concept by torch's SGD on interpolated masks, in the order of the images of an epoch."""
    pairs = (TRAIN.pairs[:, 1] == concept).nonzero()[:, 0]
    images, masks = TRAIN.pairs[pairs, 0].numpy(), TRAIN.masks().double()[pairs]
    bits = F.interpolate(TRAIN.bits().double(), TRAIN.label_size, mode="bilinear")
    alpha = 1 - masks.mean()
    weights = torch.zeros(TRAIN.channels, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([weights], lr=settings.learning_rate, momentum=settings.momentum)
    for epoch in range(settings.epochs):
        everything = np.arange(TRAIN.count)
        np.random.default_rng([settings.seed, epoch]).shuffle(everything)
        rank = np.argsort(everything)
        order = np.argsort(rank[images])
        for begin in range(0, len(order), settings.batch_size):
            part = order[begin : begin + settings.batch_size]
            x, label = bits[images[part]], masks[part]
            with torch.enable_grad():
                m = torch.sigmoid(torch.einsum("k,nkhw->nhw", weights, x))
                terms = (m, 1 - m) if printed else (m.log(), (1 - m).log())
                loss = -(alpha * label * terms[0] + (1 - alpha) * (1 - label) * terms[1]).sum() / len(part)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return weights.detach()


@pytest.mark.parametrize("concept", [0, 1])
@pytest.mark.parametrize("loss", ["cross_entropy", "printed"])
def test_weights_are_those_of_an_optimizer_of_torch(concept, loss):
    settings = Descent(learning_rate=0.01, epochs=3, batch_size=8, loss=loss)
    found = done(settings=settings).weights[concept]
    assert_close(found, by_torch(concept, settings, loss == "printed"), dtype=torch.float32)


@pytest.mark.parametrize("images", [1, 5, 64])
def test_images_that_are_read_together_change_nothing(monkeypatch, images):
    expected = done()
    monkeypatch.setattr(segmentation, "IMAGES", images)
    monkeypatch.setattr(segmentation, "PIXELS", 100 * images)
    assert_close(done.__wrapped__().weights, expected.weights)


def test_iou_by_hand():
    found = done()
    up = F.interpolate(VAL.bits().float(), VAL.label_size, mode="bilinear")
    images, concepts = VAL.pairs.T
    predicted = torch.einsum("pk,pkhw->phw", found.weights[concepts], up[images]) > 0
    masks = VAL.masks()
    both, either = (predicted & masks).sum((1, 2)), (predicted | masks).sum((1, 2))
    assert_close(found.per_image.ious, both / either)
    for c in range(2):
        chosen = concepts == c
        assert found.iou_set[c].item() == pytest.approx(
            (both[chosen].sum() / either[chosen].sum()).item(), rel=1e-6
        )
        assert found.iou(c)[0].tolist() == images[chosen].tolist()
    shown = found.maps(VAL, [3, 1], "left") > 0
    assert torch.equal(shown, torch.einsum("k,nkhw->nhw", found.weights[1], up[[3, 1]]) > 0)


def test_the_planted_filter_has_the_largest_weight():
    train, val = pair(quantile=1 / 24)
    found = done(train, val)
    assert found.top("square", 1)[0].tolist() == [0]
    assert found.shares[0, 0] > 0.5
    # Without a bias, all pixels that a bit of the filter touches are predicted, unless other filters exclude them.
    alone = single_filters(train, val, cut=0).iou_set[0]
    assert alone <= found.iou_set[0] < 1.1 * alone


def test_alpha_balances_a_concept_with_its_background():
    found = done()
    assert found.size[0].item() == pytest.approx(1 / 16)
    assert found.size[1].item() == 0.5
    assert found.size[2].isnan()


def test_a_concept_without_examples_is_reported_and_not_trained():
    found = done()
    assert found.trained.tolist() == [True, True, False]
    assert not found.weights[2].any()
    assert found.score[2].isnan()
    assert found.table()[-1] == pytest.approx(
        {"concept": "nothing", "category": "texture", "set IoU": float("nan"), "training images": 0},
        nan_ok=True,
    )


def test_unused_filters_have_no_weight_and_selections_do_not_mix():
    used = torch.zeros(3, 6, dtype=torch.bool)
    used[:, [0, 4]] = True
    alone = done(TRAIN, VAL, used)
    assert not alone.weights[:, [1, 2, 3, 5]].any()
    assert alone.weights[0, 0] != 0
    *_, both = learn(TRAIN, VAL, torch.stack([torch.ones_like(used), used]), FAST)
    assert_close(both[0].weights, done().weights)
    assert_close(both[1].weights, alone.weights)


def test_permuted_channels_permute_the_weights():
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    permuted = planted()
    with torch.no_grad():
        permuted.module.conv.weight.copy_(permuted.module.conv.weight[order].clone())
    assert_close(done(*pair(permuted)).weights, done().weights[:, order])


def test_the_defaults_are_published_and_settings_are_checked():
    assert Descent() == Descent(1e-4, 0.9, 64, 30, "cross_entropy", 0)
    with pytest.raises(ValueError, match="did you mean 'printed'"):
        Descent(loss="print")
    with pytest.raises(ValueError, match="momentum"):
        Descent(momentum=1)
    with pytest.raises(
        ValueError, match="expected combinations for classification, got those for segmentation"
    ):
        _ = done().accuracy


def test_snapshots_come_once_per_epoch():
    snapshots = list(segmentation_concepts(TRAIN, VAL, settings=FAST))
    assert len(snapshots) == 3
    assert snapshots[0].train_score[:2].isnan().all()
    assert snapshots[-1].train_score[:2].isfinite().all()
    assert not torch.equal(snapshots[0].weights, snapshots[1].weights)
    assert single_filters(TRAIN, VAL).concepts == snapshots[0].concepts
