"""Inverses over many images: each curve by its parts, their means, and the store of sessions."""

import math
import warnings

import pytest
import torch
from closeness import assert_close, near
from networks import Functional, images, settle, wrap

from xai_widgets.inverse import SolverSettings, layer_wise, reidentification, uniform
from xai_widgets.methods import get
from xai_widgets.metrics import deletion, insertion
from xai_widgets.studies import DiskStore
from xai_widgets.studies.inverse_curves import UNIFORM, CurvesKey, InverseCurvesStudy, SimplicityCurve

QUICK = SolverSettings(steps=6, window=2)
LAM = {"activation": (0.0, 0.4), "l1": (0.0, 0.01, 0.1)}
METHOD = "gradient_x_input"
pytestmark = pytest.mark.filterwarnings("ignore:.*did not converge")


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def study_of(model, **options):
    settings = {"lam": LAM, "methods": [get(METHOD)], "settings": QUICK, "curve_steps": 8}
    return InverseCurvesStudy(model, images(3), **{**settings, **options})


@pytest.mark.parametrize("empty", ["mean", "black"])
def test_a_curve_is_that_of_the_inverse_of_the_image(model, empty):
    study, x = study_of(model), images(3)
    key = CurvesKey(1, "l1", empty)
    study.compute([key], progress=False)
    curve, target = study.curve(key), model.targets(None, x)[1:2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = layer_wise(
            model, x[1:2], target, lam=LAM["l1"], regularizer="l1", empty=empty, settings=QUICK
        ).result(progress=False)
    assert_close(curve.parameter, torch.tensor(LAM["l1"]))
    assert_close(curve.mean_alpha, made.mean_alpha[0])
    assert_close(curve.probability, made.probability[0])
    assert torch.equal(curve.top1, made.reidentified[0].float())
    assert torch.equal(curve.top5, torch.ones(3))
    gone = (model.mean if empty == "mean" else torch.zeros(3)).view(3, 1, 1).expand(3, 8, 8)
    for index in range(3):
        options = {"steps": 8}
        removed = deletion(model, x[1:2], made.alpha[:, index], target, fill=gone, **options)
        added = insertion(model, x[1:2], made.alpha[:, index], target, **options)
        assert curve.deletion[index] == near(removed.result(progress=False).auc.item())
        assert curve.insertion[index] == near(added.result(progress=False).auc.item())


def test_a_method_is_a_point_and_fading_a_curve_without_order(model):
    study, x = study_of(model), images(3)
    study.compute(study.keys([METHOD, UNIFORM]), progress=False)
    point, faded = study.curve(CurvesKey(2, METHOD)), study.curve(CurvesKey(2, UNIFORM))
    kept = reidentification(model, x[2:], get(METHOD)(model, x[2:]))
    assert point.mean_alpha.tolist() == kept.mean_alpha.tolist()
    assert point.parameter.isnan().all()
    assert point.deletion.isfinite().all()
    expected = uniform(model, x[2:])
    assert_close(faded.probability, expected.probability[0])
    assert torch.equal(faded.top1, expected.top1[0].float())
    assert torch.equal(faded.mean_alpha, faded.parameter)
    assert faded.deletion.isnan().all()


def test_the_mean_is_over_the_images_that_are_complete(model):
    study = study_of(model, curve_steps=0)
    assert study.mean("activation") == (None, 0)
    keys = study.keys(["activation"])
    study.compute(keys[:2], progress=False)
    mean, count = study.mean("activation")
    assert count == 2
    parts = [study.curve(key) for key in keys[:2]]
    assert_close(mean.mean_alpha.float(), (parts[0].mean_alpha + parts[1].mean_alpha) / 2)
    assert mean.deletion.isnan().all()
    assert [key.image for key in study.keys(("activation", UNIFORM))] == [0, 0, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="unknown series 'l3'"):
        study.keys(["l3"])


def test_what_is_complete_is_not_computed_again_in_another_session(model, tmp_path, monkeypatch):
    options = {"curve_steps": 0, "store": DiskStore(tmp_path)}
    first = study_of(model, **options)
    keys = first.keys(["activation", UNIFORM])
    first.compute(keys, progress=False)
    again = study_of(model, **options)
    monkeypatch.setattr(again, "run", lambda *_: pytest.fail("computed again"))
    again.compute(keys, progress=False)
    assert_close(again.mean("activation")[0].mean_alpha, first.mean("activation")[0].mean_alpha)
    assert isinstance(again.curve(keys[0]), SimplicityCurve)


def test_between_two_values_of_lambda_everything_is_linear():
    columns = [torch.tensor([float(k), float(k + 1), float(k + 3)]) for k in range(6)]
    curve = SimplicityCurve(torch.tensor([0.0, 0.4, 0.8]), torch.tensor([0.9, 0.5, 0.1]), *columns[:5])
    found = curve.at(0.4)
    assert found["parameter"] == pytest.approx(0.5)
    assert found["probability"] == pytest.approx(1.5)
    assert curve.at(0.9)["parameter"] == pytest.approx(0)
    assert curve.at(0.1)["parameter"] == pytest.approx(0.8)
    with pytest.raises(ValueError, match=r"within the curve, 0.1 to 0.9, got 0.95"):
        curve.at(0.95)
    one = SimplicityCurve(*(torch.tensor([value]) for value in (math.nan, 0.3, 1, 1, 1, 0.5, 0.6)))
    assert one.at(one.mean_alpha.item())["insertion"] == pytest.approx(0.6)
