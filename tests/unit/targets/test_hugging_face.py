"""Targets on small random networks of transformers: a segmentation, a detector, an image tower, a depth."""

import pytest
import torch
from closeness import assert_close

from xai_widgets import from_hugging_face
from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS
from xai_widgets.targets import BoxScore, ClassAreas, DetectedClasses, Pixel, Similarities, Similarity

transformers = pytest.importorskip("transformers")

SIZE = 64
TINY = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
NO_NORMALIZATION = {"size": SIZE, "mean": (0, 0, 0), "std": (1, 1, 1)}


def image(seed=1):
    return torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def made(kind, config, amount=0.1):
    """Return a network of random weights that are large enough for its scores to depend on the image."""
    torch.manual_seed(0)
    network = kind(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(amount * torch.randn_like(parameter))
    return network


def test_a_pixel_of_segformer():
    config = transformers.SegformerConfig(
        num_labels=5, hidden_sizes=[8, 8, 16, 16], depths=[1] * 4, num_attention_heads=[1] * 4, decoder_hidden_size=16
    )  # fmt: skip
    network = made(transformers.SegformerForSemanticSegmentation, config)
    with pytest.raises(ValueError, match="for a segmentation pass targets="):
        ImageModel(network, **NO_NORMALIZATION)
    model = ImageModel(network, targets=ClassAreas(), **NO_NORMALIZATION)
    with torch.no_grad():
        logits = network(image()).logits
    # The map has a quarter of the size of the image.
    assert logits.shape[2:] == (16, 16)
    assert_close(model.with_target(Pixel(30, 41, 2)).scores(image())[0, 0], logits[0, 2, 7, 10])
    assert_close(model.scores(image()), logits.softmax(1).mean((2, 3)))
    assert "classifier" not in model.default_layer()
    assert (METHODS["gradient"](model, image(), Pixel(30, 41, 2)) != 0).any()


def test_a_box_of_yolos():
    config = transformers.YolosConfig(
        **TINY, image_size=[SIZE, SIZE], patch_size=16, num_detection_tokens=5, num_labels=4
    )  # fmt: skip
    network = made(transformers.YolosForObjectDetection, config)
    with pytest.raises(ValueError, match="for a detector pass targets="):
        ImageModel(network, **NO_NORMALIZATION)
    model = ImageModel(network, targets=DetectedClasses(list(config.id2label.values())), **NO_NORMALIZATION)
    target = BoxScore.detected(model, image())[0]
    with torch.no_grad():
        scores = network(image()).logits.softmax(-1)[0, :, :-1]
    assert_close(model.with_target(target).scores(image())[0, 0], scores.max())
    assert_close(model.scores(image())[0], scores.amax(0))
    assert (METHODS["gradient"](model, image(), target) != 0).any()


def test_the_similarity_of_an_image_to_texts():
    config = transformers.CLIPVisionConfig(**TINY, image_size=SIZE, patch_size=16, projection_dim=8)
    network = made(transformers.CLIPVisionModelWithProjection, config)
    vectors = {"a cat": torch.randn(8), "a dog": torch.randn(8)}
    targets = Similarities(vectors, scale=100)
    model = ImageModel(network, targets=targets, activation="softmax", **NO_NORMALIZATION)
    with torch.no_grad():
        embedding = network(image()).image_embeds
    cosines = torch.stack([torch.cosine_similarity(embedding, each[None]) for each in vectors.values()], 1)
    assert_close(model.scores(image()), 100 * cosines, scale=100.0)
    for target in ("a cat", Similarity.to_image(model, image(2))):
        assert (METHODS["grad_cam"](model, image(), target).shape[2:]) == (4, 4)
        assert (METHODS["gradient"](model, image(), target) != 0).any()


def test_the_depth_of_a_pixel():
    config = transformers.DPTConfig(
        **TINY | {"num_hidden_layers": 4}, image_size=SIZE, patch_size=16, backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[4, 8, 8, 8], fusion_hidden_size=8,
    )  # fmt: skip
    network = made(transformers.DPTForDepthEstimation, config)
    model = ImageModel(network, targets=Pixel(30, 41, entry="predicted_depth"), **NO_NORMALIZATION)
    with torch.no_grad():
        depth = network(image()).predicted_depth
    assert_close(model.scores(image())[0, 0], depth[0, 30, 41], scale=depth)
    # The last layer returns the map itself.
    assert model.default_layer() != "head"


def test_targets_of_a_network_of_transformers_with_its_processor():
    config = transformers.YolosConfig(
        **TINY, image_size=[SIZE, SIZE], patch_size=16, num_detection_tokens=5, num_labels=4
    )  # fmt: skip
    network = made(transformers.YolosForObjectDetection, config)
    labels = list(config.id2label.values())
    model = from_hugging_face(
        network, size=SIZE, mean=(0.5,) * 3, std=(0.5,) * 3, targets=DetectedClasses(labels)
    )
    assert model.labels == labels
