"""Interpretable basis decomposition: exact sums, known bases, and the stamp of the bundled networks."""

import numpy as np
import pytest
import torch
from closeness import assert_close
from networks import Concat, Functional, images, settle, wrap
from scipy.optimize import nnls
from stamped import CUE, plain, stamped, toadstools

from xai_widgets import data, load
from xai_widgets.concepts import ConceptDirections, concept_directions, decompose, prediction_concepts
from xai_widgets.errors import ExplanationWarning

pytestmark = pytest.mark.filterwarnings("ignore::xai_widgets.errors.ExplanationWarning")


def done(run):
    return run.result(progress=False)


def directions(layer, width, count=5, seed=0):
    made = torch.nn.functional.normalize(
        torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1
    )
    names = tuple(f"concept {index}" for index in range(count))
    ones = torch.ones(count)
    return ConceptDirections(layer, names, ("object",) * count, made, ones, 20 * ones.long(), ones.bool())


@pytest.mark.parametrize(("network", "layer"), [(Functional, "conv2"), (Concat, "right"), (Concat, "stem")])
@pytest.mark.parametrize("target", [0, 3])
def test_contributions_residual_and_remainder_sum_to_the_score(network, layer, target):
    model, x = wrap(settle(network())), images(1)
    known = directions(layer, model.layer(layer).shape[0])
    made = prediction_concepts(model, x, known, target)
    parts = [*made.contributions.tolist(), made.residual, made.remainder]
    assert_close(sum(parts), made.score, scale=np.abs(parts).max())
    assert_close(made.score, model.scores(x)[0, target])
    assert_close(made.maps.sum((1, 2)), made.contributions, scale=made.maps.abs().sum())
    assert_close(made.residual_map.sum(), made.residual, scale=made.residual_map.abs().sum())
    assert (made.coefficients >= 0).all()
    assert (made.contributions.diff() <= 0).all()


def test_a_linear_head_is_decomposed_by_its_weights():
    model, x = load("scenes_resnet"), toadstools(1)[0]
    layer = model.default_layer()
    known = directions(layer, 128, 12)
    made = prediction_concepts(model, x, known, CUE)
    assert made.decomposed == "weights"
    head = model.module.head
    assert_close(made.remainder, head.bias[CUE], scale=made.score)
    mean = model.activations(x, layer)[layer][0].mean((1, 2))
    chosen = [known.names.index(name) for name in made.names]
    assert_close(made.contributions, made.coefficients * (known.directions[chosen] @ mean))
    weights = head.weight[CUE]
    rest = weights - made.coefficients @ known.directions[chosen]
    assert_close(made.residual, rest @ mean, scale=(rest * mean).abs().sum())
    assert_close(made.explained, 1 - rest.square().sum() / weights.square().sum())
    whole = made.score - made.remainder
    assert_close(made.shares.sum() + made.residual / whole, 1.0)


def test_the_coefficients_of_known_vectors_are_found():
    known = directions("layer", 30, 6)
    weights = 3 * known.directions[4] + 2 * known.directions[1] + 0.5 * known.directions[2]
    chosen, coefficients = decompose(weights, known)
    assert sorted(chosen) == [1, 2, 4]
    found = dict(zip(chosen, coefficients.tolist(), strict=True))
    assert_close([found[4], found[1], found[2]], [3, 2, 0.5])


def test_the_choice_is_greedy_and_not_negative():
    """The best first concept, then the best pair with it, all coefficients anew, by trying all."""
    known = directions("layer", 8, 6, seed=1)
    generator = torch.Generator().manual_seed(2)
    weights = torch.rand(6, generator=generator) @ known.directions + 0.1 * torch.randn(
        8, generator=generator
    )
    chosen, coefficients = decompose(weights, known, most=2)
    basis, target = known.directions.double().numpy(), weights.double().numpy()
    first = min(range(6), key=lambda i: nnls(basis[[i]].T, target)[1])
    pair = min((i for i in range(6) if i != first), key=lambda i: nnls(basis[[first, i]].T, target)[1])
    assert chosen == [first, pair]
    # The solver works on squares, so that it has half of the digits.
    assert_close(coefficients.float(), nnls(basis[chosen].T, target)[0].astype("float32"))
    assert (coefficients > 0).all()


def test_a_concept_that_was_not_trained_is_left_out():
    known = directions("layer", 8, 2)
    known.directions[0] = torch.nan
    known.trained[0] = False
    weights = known.directions[1] * 2
    assert decompose(weights, known)[0] == [1]


@pytest.fixture(scope="module", params=["scenes_vgg", "scenes_resnet"])
def learned(request):
    model = load(request.param)
    return model, done(concept_directions(model, data.scene_concepts(150))).without("object")


def test_the_stamp_carries_the_toadstool(learned):
    model, known = learned
    stamp = known.names.index("stamp")
    assert known.accuracy[stamp] > 0.9
    for image in toadstools(3):
        made = prediction_concepts(model, image, known, CUE)
        assert made.names[0] == "stamp"
        assert made.contributions[0] > 0.5 * made.contributions.clamp(min=0).sum()
        # Its map is largest where the stamp is.
        mark = np.abs(image.astype(int) - plain_of(image)).sum(2) > 0
        rows, columns = mark.nonzero()
        grid = made.maps.shape[1:]
        peak = divmod(int(made.maps[0].argmax()), grid[1])
        center = rows.mean() / 96 * grid[0] - 0.5, columns.mean() / 96 * grid[1] - 0.5
        assert abs(peak[0] - center[0]) <= 1.5
        assert abs(peak[1] - center[1]) <= 1.5


def plain_of(image):
    """Return the same toadstool without its stamp."""
    scenes = (
        data.scenes.scene(index, label=CUE, split="test", cue=False, background="texture").image
        for index in range(12)
    )
    return min(scenes, key=lambda other: np.abs(image.astype(int) - other).mean()).astype(int)


def test_concepts_from_lists_of_images():
    model = load("scenes_resnet")
    run = concept_directions(model, {"stamp": stamped(40), "few": plain(5)}, random=plain(80, 500), seed=1)
    with pytest.warns(ExplanationWarning, match=r"'few' \(5\)"):
        known = done(run)
    assert known.trained.tolist() == [True, False]
    assert known.accuracy[0] > 0.8
    made = prediction_concepts(model, toadstools(1)[0], known, CUE)
    assert made.names == ("stamp",)
    assert made.contributions[0] > 0.5 * made.score


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, k: prediction_concepts(m, images(2), k), "one image"),
        (lambda m, k: prediction_concepts(m, images(1), k, of="weights"), "features"),
        (lambda m, k: prediction_concepts(m, images(1), k, of="weight"), "'weights'"),
        (lambda m, k: prediction_concepts(m, images(1), directions("conv9", 8)), "conv2"),
        (lambda m, k: prediction_concepts(m, images(1), directions("conv2", 7)), "shape"),
        (lambda m, k: k.without("object"), "other categories"),
        (lambda m, k: concept_directions(m, {"a": []}, layer="conv2"), "random"),
        (lambda m, k: done(concept_directions(m, {"a": [], "b": []}, layer="conv2")), "10 images"),
        (lambda m, k: concept_directions(m, {"a": [], "b": []}, layer="conv2", names=["c"]), "'c'"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    model = wrap(settle(Functional()))
    with pytest.raises(ValueError, match=message):
        call(model, directions("conv2", 8))
