"""`from_hugging_face`: pixels of image processors and labels, with small random networks; no download."""

import sys

import pytest
import torch
from closeness import assert_close
from PIL import Image
from pixels import assert_same_pixels

import xai_widgets as xw
from xai_widgets.errors import ExplanationWarning

transformers = pytest.importorskip("transformers")
SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


def _vit(**options):
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        **SMALL, image_size=64, id2label={0: "cat", 1: "dog", 2: "cup"}, **options
    )
    return transformers.ViTForImageClassification(config).eval()


def _resnet():
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=4
    )
    return transformers.ResNetForImageClassification(config).eval()


def _processor(name, **options):
    return getattr(transformers, name)(**options)


PROCESSORS = {
    "vit": ("ViTImageProcessor", {"size": {"height": 64, "width": 64}}),
    "bilinear": ("ViTImageProcessor", {"size": {"height": 64, "width": 64}, "resample": 2}),
    "not normalized": ("ViTImageProcessor", {"size": {"height": 64, "width": 64}, "do_normalize": False}),
    "not rescaled": ("ViTImageProcessor", {"size": {"height": 64, "width": 64}, "do_rescale": False}),
    "convnext, cropped": ("ConvNextImageProcessor", {"size": {"shortest_edge": 64}, "crop_pct": 0.875}),
    "convnext, large": ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}, "crop_pct": 0.875}),
    "clip": ("CLIPImageProcessor", {"size": {"shortest_edge": 64}, "crop_size": 64}),
    "bit": ("BitImageProcessor", {"size": {"shortest_edge": 72}, "crop_size": {"height": 64, "width": 64}}),
    "deit": ("DeiTImageProcessor", {"size": {"height": 72, "width": 72}, "crop_size": 64}),
    "efficientnet": (
        "EfficientNetImageProcessor",
        {"size": {"height": 64, "width": 64}, "rescale_offset": True},
    ),
    "levit": ("LevitImageProcessor", {"size": {"shortest_edge": 56}, "crop_size": 48}),
    "poolformer": ("PoolFormerImageProcessor", {"size": {"shortest_edge": 64}, "crop_size": 64}),
    "mobilevit": ("MobileViTImageProcessor", {"size": {"shortest_edge": 72}, "crop_size": 64}),
}


@pytest.mark.parametrize("case", PROCESSORS)
def test_the_network_gets_the_pixels_of_the_processor(case):
    kind, options = PROCESSORS[case]
    processor, network = _processor(kind, **options), _resnet()
    model = xw.from_hugging_face(network, processor, device="cpu")
    given = []
    handle = network.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    # Its crop is between two pixels.
    photo = Image.fromarray(xw.data.photograph("coffee")[:380, :589])
    model.scores(photo)
    handle.remove()
    expected = processor(images=photo, return_tensors="pt")["pixel_values"]
    assert given[0].shape == expected.shape
    assert_same_pixels(given[0] - expected, model)


def test_labels_and_scores_are_those_of_the_network():
    network = _vit()
    processor = _processor("ViTImageProcessor", size={"height": 64, "width": 64})
    model = xw.from_hugging_face(network, processor, device="cpu")
    assert model.labels == ["cat", "dog", "cup"]
    assert model.name == "ViTForImageClassification"
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert_close(model.scores(x), network((x - 0.5) / 0.5).logits)
    assert model.module is network
    assert len(xw.attribution.gradient(model, x, 1)) == 2


def test_a_network_without_a_classifier_has_features():
    network = transformers.Dinov2Model(transformers.Dinov2Config(**SMALL, image_size=56)).eval()
    processor = _processor("BitImageProcessor", size={"shortest_edge": 64}, crop_size=56)
    model = xw.from_hugging_face(network, processor, device="cpu")
    assert model.labels[:2] == ["feature 0", "feature 1"]
    assert (len(model.labels), model.value_name) == (32, "score")


def test_clip_with_texts():
    small = {**SMALL, "projection_dim": 16}
    config = transformers.CLIPConfig(
        text_config={**small, "vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2},
        vision_config={**small, "image_size": 64, "patch_size": 16},
        projection_dim=16,
    )
    torch.manual_seed(0)
    network = transformers.CLIPModel(config).eval()
    texts = torch.tensor([[1, 5, 7, 2], [1, 9, 4, 2], [1, 8, 3, 2]])
    model = xw.from_hugging_face(
        network,
        _processor("CLIPImageProcessor", size={"shortest_edge": 64}, crop_size=64),
        inputs={"input_ids": texts},
        output="logits_per_image",
        labels=["a cat", "a dog", "a cup"],
        activation="softmax",
        device="cpu",
    )
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = network(input_ids=texts, pixel_values=(x - model.mean) / model.std).logits_per_image
    assert_close(model.scores(x), expected)
    assert model.predict(x)[0][0].label in model.labels


def test_a_folder_of_a_network(tmp_path):
    _vit().save_pretrained(tmp_path)
    _processor("ViTImageProcessor", size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    model = xw.from_hugging_face(str(tmp_path), device="cpu")
    x = torch.rand(1, 3, 64, 64)
    expected = xw.from_hugging_face(_vit(), str(tmp_path), device="cpu")
    assert_close(model.scores(x), expected.scores(x))
    assert model.labels == ["cat", "dog", "cup"]


def test_a_processor_that_keeps_the_aspect_ratio_needs_a_size():
    processor = _processor("DetrImageProcessor", size={"shortest_edge": 80, "longest_edge": 133})
    with pytest.raises(ValueError, match="expected size= for DetrImageProcessor"):
        xw.from_hugging_face(_resnet(), processor)
    model = xw.from_hugging_face(_resnet(), processor, size=(64, 96), device="cpu")
    assert model.size == (64, 96)
    assert model.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406], abs=1e-4)


def test_errors(monkeypatch, tmp_path):
    with pytest.raises(
        ValueError, match="expected the image processor of ViTForImageClassification, got NoneType"
    ):
        xw.from_hugging_face(_vit())
    model = xw.from_hugging_face(_vit(), mean=[0.5] * 3, std=[0.5] * 3, size=64, device="cpu")
    assert model.labels == ["cat", "dog", "cup"]
    with pytest.raises(RuntimeError, match=r"expected to download .*got OSError") as caught:
        xw.from_hugging_face(str(tmp_path))
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"returns pixel_values, got .* with nothing"):
        xw.from_hugging_face(_vit(), lambda **_: {"nothing": 1})
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'xai-widgets\[transformers\]'"):
        xw.from_hugging_face("google/vit")


def test_a_network_of_hugging_face_without_its_normalization_is_reported():
    with pytest.warns(ExplanationWarning, match="xai_widgets.from_hugging_face"):
        xw.ImageModel(_vit(), size=64, device="cpu")
