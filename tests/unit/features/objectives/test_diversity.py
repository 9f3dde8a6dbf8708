"""Diversity of a batch, by hand."""

import torch
from closeness import assert_close
from networks import Functional, images, settle, wrap

from xai_widgets.features.objectives import Diversity, evaluate


def test_it_is_the_mean_cosine_of_gram_matrices_with_the_others():
    model, x = wrap(settle(Functional())), images(3)
    a = model.activations(x, "conv2")["conv2"].flatten(2)
    grams = [(each @ each.T).flatten() for each in a]
    expected = []
    for n in range(3):
        others = [m for m in range(3) if m != n]
        cosines = [torch.cosine_similarity(grams[n], grams[m], dim=0) for m in others]
        expected.append(-sum(cosines) / 2)
    assert_close(evaluate(model, Diversity("conv2").bind(model), x), torch.stack(expected))


def test_equal_images_have_the_least_and_one_image_has_none():
    model = wrap(settle(Functional()))
    x = images(1)
    assert_close(evaluate(model, Diversity("conv2"), x.expand(2, -1, -1, -1)), -torch.ones(2))
    assert evaluate(model, Diversity("conv2"), x).item() == 0
