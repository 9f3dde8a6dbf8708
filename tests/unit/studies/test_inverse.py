"""The study of both inverses: its choices, its points with their images, and the baseline."""

import warnings

import pytest
import torch
from closeness import assert_close
from networks import CLASSES, Functional, images, settle, wrap

from xai_widgets.inverse import (
    SolverSettings,
    find_units,
    layer_wise,
    operation_wise,
    reidentification,
    uniform,
    weighted,
)
from xai_widgets.methods import Method, get
from xai_widgets.studies.inverse import InverseKey, InverseStudy

QUICK = SolverSettings(steps=6, window=2)
LAM = (0.0, 0.4)
pytestmark = pytest.mark.filterwarnings("ignore:.*did not converge")


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def study_of(model, methods=()):
    return InverseStudy(model, images(1), lam=LAM, methods=methods, settings=QUICK)


def computed(model, key, methods=()):
    study = study_of(model, methods)
    outcome = study.compute([key], progress=False)[key]
    assert not outcome.error
    return outcome


@pytest.mark.parametrize("empty", ["mean", "black"])
def test_inverses_points_and_fading_share_the_empty_color(model, empty):
    x, methods = images(1), [get("gradient_x_input"), get("occlusion"), get("grad_cam")]
    result = computed(model, InverseKey(2, "l2", empty), methods).result
    color = model.mean.flatten() if empty == "mean" else torch.zeros(3)
    options = {"empty": empty, "settings": QUICK}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layers = layer_wise(model, x, 2, lam=LAM, regularizer="l2", **options).result(progress=False)
        operations = operation_wise(model, x, 2, **options).result(progress=False)
    assert_close(result.layer_wise.x, layers.x)
    assert_close(result.operation_wise.x, operations.x)
    faded = uniform(model, x, 2, empty=empty)
    assert_close(result.uniform.probability, faded.probability)
    assert torch.equal(result.uniform.top1, faded.top1)
    assert [point.title for point in result.points] == [method.title for method in methods]
    for method, point in zip(methods, result.points, strict=True):
        kept = reidentification(model, x, method(model, x, 2), 2, empty=empty)
        assert_close(point.x, weighted(x, kept.alpha, color)[0])
        assert point.mean_alpha == kept.mean_alpha.item()
        assert point.probability == kept.probability.item()
        assert (point.top1, point.top5) == (kept.top1.item(), kept.top5.item())
        assert point.top5


def test_no_attribution_leaves_nothing(model):
    def signed(model, x, target):
        values = torch.zeros_like(x)
        values[..., 0, 0], values[..., 1, 1] = 1, -1
        return values

    (point,) = computed(model, InverseKey(0), [Method(signed, "signed", "Signed")]).result.points
    assert point.mean_alpha == pytest.approx(2 / 64)


def test_a_start_is_inverted_without_points_about_a_class(model):
    name = find_units(model)[2].name
    result = computed(model, InverseKey(0, start=(name, 3, None)), [get("gradient")]).result
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layers = layer_wise(model, images(1), start=(name, 3, None), lam=LAM, settings=QUICK).result(
            progress=False
        )
    assert_close(result.layer_wise.x, layers.x)
    assert result.operation_wise.target is None
    assert result.points == ()
    assert result.uniform is None


def test_a_score_below_0_is_a_warning_of_the_computation(model):
    scores = model.scores(images(1))[0]
    below = int(scores.argmin())
    assert scores[below] < 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = study_of(model)
        run = study.run(InverseKey(below))
    assert run.total
    assert any("pulls it down" in words for words in computed(model, InverseKey(below)).warnings)
    above = int(scores.argmax())
    assert not any("pulls it down" in words for words in computed(model, InverseKey(above)).warnings)


def test_one_failure_does_not_stop_the_others(model):
    def broken(model, x, target):
        raise RuntimeError("it is broken")

    result = computed(
        model, InverseKey(CLASSES - 1), [Method(broken, "broken", "Broken"), get("gradient")]
    ).result
    assert result.failed[0][0] == "Broken"
    assert [point.title for point in result.points] == [get("gradient").title]
    assert result.uniform is not None
