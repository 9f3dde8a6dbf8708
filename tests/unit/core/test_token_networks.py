"""The layouts of networks of timm, torchvision and Hugging Face, and every feature on their positions."""

import pytest
import torch
from closeness import assert_close
from token_networks import CASES, build, photographs

from xai_widgets.attribution import combine
from xai_widgets.features import effective_receptive_field, theoretical_receptive_field, top_activations
from xai_widgets.methods import METHODS
from xai_widgets.perturbation import channel_extremal, extremal
from xai_widgets.perturbation.area_search import AreaSettings
from xai_widgets.perturbation.extremal import ExtremalSettings
from xai_widgets.similarity import activation_grids, factorize, pack, similarity, similarity_index
from xai_widgets.studies.layers import spatial_layers

CAMS = ("grad_cam", "grad_cam_plus_plus", "fem", "linear_approximation", "norm_grad", "meta_saliency")
#: One network for each way to write positions.
LAYOUTS = ("timm DINOv2, registers", "timm Swin", "timm MLP-Mixer", "Hugging Face Swin V2")


@pytest.mark.parametrize("name", CASES)
def test_the_layout_and_the_default_layer(name):
    case, model = CASES[name], build(name)
    assert model.default_layer() == case.layer
    layer = model.layer(case.layer)
    assert layer.grid == case.grid
    assert layer.grid.prefix_names == case.tokens
    assert layer.used
    x = photographs(model)
    output = model.activations(x, case.layer)[case.layer]
    assert not torch.equal(output[0], output[1]), "it depends on the image"
    assert_close(model.forward_from(case.layer, output), model.scores(x))
    offered = spatial_layers(model)
    assert case.layer in offered
    blocks = sum(name.split("_")[-1].split(".")[-1].isdigit() for name in offered)
    assert blocks >= 2, "blocks can be chosen"


@pytest.mark.parametrize("name", LAYOUTS)
def test_maps_have_the_positions_of_the_layer(name):
    case, model = CASES[name], build(name)
    x = photographs(model)
    for method in CAMS:
        saliency = METHODS[method].saliency(model, x, 1)
        assert saliency.shape == (2, case.grid.height, case.grid.width), method
        assert saliency.isfinite().all(), method
    assert combine(model, x, 1).shape[2:] == model.size


@pytest.mark.parametrize("name", LAYOUTS)
def test_channels_and_positions_can_be_masked(name):
    case, model = CASES[name], build(name)
    x = photographs(model, 1)
    settings = {"steps": 4}
    channels = channel_extremal(model, x, 1, channels=(1, 2), settings=AreaSettings(**settings)).result(
        progress=False
    )
    assert channels.maps().shape == (1, 2, case.grid.height, case.grid.width)
    output = model.activations(x, case.layer)[case.layer]
    mask = channels.masks[:, 1]
    wide = (
        mask.view(1, -1, 1, 1)
        if case.grid.channel_dimension == 1
        else mask.view(1, *[1] * (output.ndim - 2), -1)
    )
    assert_close(channels.class_scores[:, 1, 0], model.forward_from(case.layer, output * wide).detach())
    areas = extremal(
        model, x, 1, areas=[0.25], layer=case.layer, settings=ExtremalSettings(**settings)
    ).result(progress=False)
    assert areas.masks.shape == (1, 1, case.grid.height, case.grid.width)
    assert areas.masks.sum() == case.grid.positions // 4
    # All positions as they are: the score of the image.
    assert_close(areas.end_scores[:, 1], model.scores(x))


@pytest.mark.parametrize("name", LAYOUTS)
def test_vectors_are_compared_and_factorized(name):
    case, model = CASES[name], build(name)
    x = photographs(model)
    shape = case.grid.height, case.grid.width
    grids = activation_grids(model, x, case.layer).result(progress=False)
    assert grids[0].shape == shape
    assert grids[0].token_names == case.tokens
    (packed,) = pack(grids)
    output = model.activations(x, case.layer)[case.layer]
    for number, token in enumerate(case.tokens):
        assert torch.equal(grids[1].vector(token), output[1, number])
        expected = torch.cosine_similarity(grids[0].raw, output[1, number], dim=2)
        assert_close(similarity(grids[1], token, grids[0]), expected)
        made = torch.from_numpy(packed.similarity(1, token)[0]).float()
        assert (made - expected).abs().max() <= packed.bound
    assert factorize(grids, 3).result(progress=False).kind == "pca"
    assert similarity_index(model, x, case.layer, side=8).result(progress=False).vectors.shape[1:3] == shape
    assert top_activations(model, x, layer=case.layer, k=1).result(progress=False).grid == shape
    assert theoretical_receptive_field(model, case.layer).size == (2 * case.size, 2 * case.size)
    assert case.size // max(shape) <= effective_receptive_field(model, case.layer, x) <= case.size
