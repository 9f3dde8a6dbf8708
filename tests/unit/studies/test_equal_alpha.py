"""Regularizers at one share of an image: the search, and where it ends."""

import pytest
from networks import Functional, images, settle, wrap

from xai_widgets.inverse import SolverSettings, layer_wise
from xai_widgets.studies import equal_alpha
from xai_widgets.studies.equal_alpha import EqualAlphaKey, EqualAlphaStudy, at_equal_alpha

STEPS = SolverSettings(steps=60)
pytestmark = pytest.mark.filterwarnings("ignore:.*did not converge", "ignore:.*the inverse is 0 everywhere")


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def test_every_regularizer_leaves_the_chosen_share(model):
    found = at_equal_alpha(model, images(1), 2, mean_alpha=0.6, rounds=4, settings=STEPS).result(
        progress=False
    )
    assert [match.regularizer for match in found.matches] == ["activation", "l1", "l2"]
    for match in found.matches:
        assert match.matched
        assert abs(match.mean_alpha - 0.6) <= 0.02
        made = layer_wise(
            model, images(1), 2, lam=match.lam, regularizer=match.regularizer, settings=STEPS
        ).result(progress=False)
        # Lambda is stored in float32.
        assert made.mean_alpha.item() == pytest.approx(match.mean_alpha, abs=1e-3)
        assert match.x.shape == (3, 8, 8)
    activation, l1, l2 = (match.lam for match in found.matches)
    assert l1 < activation <= l2


def test_a_share_that_no_lambda_leaves_is_not_matched(model):
    found = at_equal_alpha(
        model, images(1), 2, mean_alpha=1.0, regularizers=["l2"], tolerance=0.001, settings=STEPS
    ).result(progress=False)
    (match,) = found.matches
    assert not match.matched
    assert match.lam == 0


def test_known_inverses_replace_the_grid(model, monkeypatch):
    known = layer_wise(model, images(1), 2, lam=(0.0, 0.2, 0.5), settings=STEPS).result(progress=False)
    share = known.mean_alpha[0, 1].item()
    monkeypatch.setattr(equal_alpha, "layer_wise", lambda *_, **__: pytest.fail("inverted again"))
    found = at_equal_alpha(
        model, images(1), 2, mean_alpha=share, regularizers=["activation"], known=[known]
    ).result(progress=False)
    assert found.matches[0].matched
    assert found.matches[0].lam == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({0.0: 0.9, 0.64: 0.2}, [0.01, 0.04, 0.16]),
        ({0.0: 0.9, 1.0: 0.6, 16.0: 0.1}, [2, 4, 8]),
        ({0.0: 0.3, 1.0: 0.1}, []),
        ({0.0: 0.9, 1.0: 0.6}, []),
    ],
)
def test_lambda_is_searched_between_the_two_around_the_share(shares, expected):
    assert equal_alpha._between(shares, 0.5) == pytest.approx(expected)


def test_the_study_searches_for_a_key(model):
    study, key = EqualAlphaStudy(model, images(1), settings=STEPS, rounds=1), EqualAlphaKey(2, 0.4, "black")
    assert study.steps(key) == study.run(key).total == 6
    outcome = study.compute([key], progress=False)[key]
    assert outcome.complete
    assert [match.regularizer for match in outcome.result.matches] == ["activation", "l1", "l2"]
    with pytest.raises(ValueError, match="expected one image, got 2"):
        at_equal_alpha(model, images(2), 2)
