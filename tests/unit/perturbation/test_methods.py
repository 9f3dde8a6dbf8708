"""Perturbation methods as attribution methods."""

import pytest
import torch
from networks import SIZE, Functional, images, one_sentence, quick, settle, wrap

from xai_widgets import perturbation
from xai_widgets.methods import family
from xai_widgets.methods.registry import Method, as_method, get

METHODS = family("perturbation")


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_the_map_of_the_finished_run(name, model):
    x = images(2)
    # The minimal image is one of the predicted class.
    predicted, options = model(x).argmax(1), quick(METHODS[name])
    expected = getattr(perturbation, name)(model, x, predicted, **options).result(progress=False)
    made = METHODS[name](model, x, predicted, **options)
    assert made.shape == (2, 1, SIZE, SIZE)
    assert torch.equal(made[:, 0], expected.saliency())
    assert torch.equal(METHODS[name].saliency(model, x, predicted, **options), expected.saliency())


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_a_name_a_title_a_source_and_a_docstring(name):
    made = METHODS[name]
    assert isinstance(made, Method)
    assert made.name == name
    assert made.title
    assert made.source
    assert made.__doc__ == getattr(perturbation, name).__doc__


def test_they_are_found_by_name_beside_the_attribution_methods():
    assert get("rise") is METHODS["rise"]
    assert as_method("extremal") is METHODS["extremal"]
    assert get("gradient").name == "gradient"


@pytest.mark.parametrize(("given", "nearest"), [("extremall", "extremal"), ("occlusoin", "occlusion")])
def test_the_nearest_name_is_offered(given, nearest):
    with pytest.raises(ValueError, match=nearest) as error:
        get(given)
    one_sentence(error)
