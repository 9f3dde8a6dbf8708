"""Models whose outputs are not class scores, and of networks of other kinds."""

import warnings

import numpy as np
import pytest
import torch
from closeness import assert_close
from networks import SIZE, Functional, images, one_sentence, settle, wrap
from PIL import Image
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.errors import ExplanationWarning

# -- probabilities ----------------------------------------------------------------------------------------


class Ending(nn.Module):
    """A classifier with a function behind its scores."""

    def __init__(self, function):
        super().__init__()
        self.body, self.function = settle(Functional()), function

    def forward(self, x):
        return self.function(self.body(x))


@pytest.mark.parametrize(
    ("end", "message"),
    [(lambda y: y.softmax(1), "ends in softmax"), (torch.sigmoid, "ends in sigmoid")],
)
def test_a_network_that_ends_in_probabilities_is_taken_as_it_is_with_a_warning(end, message):
    network = Ending(end)
    with pytest.warns(ExplanationWarning, match=message):
        model = wrap(network)
    assert (model.activation, model.has_probabilities, model.value_name) == (None, True, "probability")
    scores = network((images(2) - model.mean) / model.std)
    assert_close(model.probs(images(2)), scores)
    best = model.predict(images(1))[0][0]
    assert best.probability == pytest.approx(scores[0].max().item(), rel=1e-6)


def test_one_number_for_an_image_is_the_score_of_a_label_or_of_a_regression():
    network = Ending(lambda y: y[:, :1])
    with pytest.warns(ExplanationWarning, match="activation='sigmoid'.*activation=None"):
        model = wrap(network, labels=None)
    score = model.scores(images(1)).item()
    assert model.predict(images(1))[0][0].probability == pytest.approx(1 / (1 + np.exp(-score)), rel=1e-5)
    regression = wrap(network, labels=None, activation=None)
    assert (regression.has_probabilities, regression.value_name) == (False, "score")
    assert regression.probs(images(1)).item() == pytest.approx(score)


@pytest.mark.parametrize("shape", [lambda y: y[:, 0], lambda y: y[:, 0].squeeze(), lambda y: y[:, :1]])
def test_scores_without_a_dimension_of_classes_are_taken(shape):
    model = wrap(Ending(shape), labels=None, activation="sigmoid")
    assert model.scores(images(1)).shape == (1, 1)
    assert model.scores(images(3)).shape == (3, 1)


def test_an_activation_can_be_named():
    network, x = Ending(lambda y: y), images(2)
    softmax, sigmoid, plain = (wrap(network, activation=each) for each in ("softmax", "sigmoid", None))
    scores = softmax.scores(x)
    assert_close(softmax.probs(x), scores.softmax(1))
    assert_close(sigmoid.probs(x), scores.sigmoid())
    assert torch.equal(plain.probs(x), scores)
    with pytest.raises(ValueError, match="unknown activation 'softmx'; did you mean 'softmax'") as error:
        wrap(network, activation="softmx")
    one_sentence(error)
    with pytest.warns(ExplanationWarning, match="ends in softmax itself"):
        wrap(Ending(lambda y: y.softmax(1)), activation="softmax")


def test_logits_that_happen_to_lie_in_the_unit_interval_are_logits():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert wrap(Ending(lambda y: y * 1e-3 + 0.5)).activation == "softmax"


def test_nan_scores_give_a_warning():
    model = wrap(Ending(lambda y: y * float("nan")))
    with pytest.warns(ExplanationWarning, match="NaN or infinite scores"):
        assert np.isnan(model.predict(images(1))[0][0].probability)
    with pytest.raises(ValueError, match="NaN scores") as error:
        model.prepare(images(1))
    one_sentence(error)


def test_a_network_that_flattens_by_view_runs_with_its_channels_first():
    class Viewing(Functional):
        def forward(self, x):
            return self.fc(
                torch.relu(self.conv2(nn.functional.max_pool2d(self.conv1(x), 2))).view(len(x), -1)
            )

    network = settle(Viewing())
    model, x = wrap(network), images(2)
    assert_close(model.scores(x), network((x - model.mean) / model.std))
    assert model.default_layer() == "conv2"


def test_the_resize_of_a_preset_belongs_to_the_model():
    network = settle(Functional())
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8))
    assert torch.equal(wrap(network, resize=SIZE).images(image), wrap(network).images(image))
    assert not torch.equal(wrap(network, resize=12).images(image), wrap(network).images(image))
    assert not torch.equal(
        wrap(network, resize=12, interpolation="bicubic").images(image),
        wrap(network, resize=12).images(image),
    )
    for options in ({"resize": 4}, {"interpolation": "linear"}):
        with pytest.raises(ValueError, match=r"expected resize|unknown interpolation") as error:
            wrap(network, **options)
        one_sentence(error)


def test_a_network_on_the_meta_device_has_no_values():
    with torch.device("meta"):
        network = Functional()
    with pytest.raises(ValueError, match="meta device") as error:
        ImageModel(network, size=SIZE)
    one_sentence(error)
