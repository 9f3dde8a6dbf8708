"""Perturbation explainers equal Captum's where both compute the same thing."""

import captum.attr
import pytest
import torch
from twins import model_of, photographs

from xai_widgets.perturbation.occlusion import occlusion

#: A network with random weights and a bundled one.
NETWORKS = ["resnet18", "scenes_vgg"]


def setting(name):
    model = model_of(name)
    x = photographs(model.size[0])
    target = model.scores(x).argmax(1)
    target[1] = (target[1] + 1) % len(model.labels)
    return model, x, target


def distance(made, expected):
    assert made.shape == expected.shape
    assert expected.abs().max() > 0
    return ((made - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("part", "step"), [(4, 8), (3, 7), (6, 6)])
def test_occlusion_equals_captums(name, part, step):
    model, x, target = setting(name)
    window, stride = x.shape[2] // part, x.shape[2] // step
    made = occlusion(model, x, target, window=window, stride=stride, fill=0.5).result(progress=False)
    expected = captum.attr.Occlusion(model).attribute(
        x,
        target=target,
        sliding_window_shapes=(3, window, window),
        strides=(3, stride, stride),
        baselines=0.5,
        perturbations_per_eval=16,
    )
    assert distance(made.saliency(), expected[:, 0].to(torch.float32)) < 1e-5
