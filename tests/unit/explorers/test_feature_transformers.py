"""FeatureExplorer on vision transformers of timm and Hugging Face with random weights."""

import pytest
import torch

import xai_widgets as xw


def of_timm():
    timm = pytest.importorskip("timm")
    options = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2, "num_classes": 5}
    return timm.models.VisionTransformer(**options)


def of_hugging_face():
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        image_size=32,
        patch_size=8,
        num_labels=5,
    )
    return transformers.ViTForImageClassification(config)


@pytest.mark.parametrize("make", [of_timm, of_hugging_face])
def test_images_form_and_their_activation_rises(make):
    torch.manual_seed(0)
    model = xw.ImageModel(make().eval(), size=32, mean=(0.5,) * 3, std=(0.5,) * 3)
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    explorer = xw.FeatureExplorer(model, images=images, steps=24, wall=4, wall_steps=12)
    assert explorer.wait(120)
    assert explorer.run_bar.status == "done"
    assert explorer.result.rose.all()
    assert explorer.result.images.std() > 0.02
    assert all(explorer.study.result(key).rose.all() for key in explorer._wall_keys())
    # Maps of the patches, by the gradient: there is no ReLU.
    assert explorer.examples.row_labels == ["Patch", "Gradient"]
    explorer.close()
