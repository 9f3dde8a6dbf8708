"""Presets of transforms are measured: `ImageModel` makes the same pixels of an image as the transform."""

import pytest
import torch
from torch import nn

import xai_widgets as xw
from xai_widgets.errors import ExplanationWarning
from xai_widgets.zoo import preset_of

transforms = pytest.importorskip("torchvision.transforms")
MODES = transforms.InterpolationMode
NORMALIZED = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _composed(*parts):
    return transforms.Compose([*parts, transforms.ToTensor(), NORMALIZED])


@pytest.mark.parametrize(
    ("parts", "size", "resize", "interpolation"),
    [
        ([transforms.Resize(256), transforms.CenterCrop(224)], (224, 224), 256, "bilinear"),
        ([transforms.Resize(232, MODES.BICUBIC), transforms.CenterCrop(224)], (224, 224), 232, "bicubic"),
        ([transforms.Resize((224, 224), MODES.BICUBIC)], (224, 224), (224, 224), "bicubic"),
        ([transforms.Resize((256, 256)), transforms.CenterCrop(224)], (224, 224), (256, 256), "bilinear"),
        ([transforms.Resize(235, MODES.NEAREST), transforms.CenterCrop(224)], (224, 224), 235, "nearest"),
        ([transforms.Resize(64), transforms.CenterCrop((48, 60))], (48, 60), 64, "bilinear"),
        ([transforms.Resize(28), transforms.CenterCrop(28)], (28, 28), 28, "bilinear"),
        ([transforms.Resize((480, 640))], (480, 640), (480, 640), "bilinear"),
    ],
)
def test_presets_of_torchvision(parts, size, resize, interpolation):
    preset = preset_of(_composed(*parts))
    assert preset == {
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "size": size,
        "resize": resize,
        "interpolation": interpolation,
    }


def test_a_preset_belongs_to_a_model():
    transform = _composed(transforms.Resize(36), transforms.CenterCrop(32))
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    model = xw.ImageModel(network, **preset_of(transform), device="cpu")
    photo = xw.data.photograph("cat")
    expected = transform(transforms.ToPILImage()(photo))
    ours = ((model.images(photo) - model.mean) / model.std)[0]
    # PIL rounds to 8 bits after each of its two steps; normalization divides that by 0.22.
    assert (ours - expected).abs().max() <= 2.5 / 255 / 0.22


def test_gray_pixels():
    preset = preset_of(
        transforms.Compose(
            [transforms.Grayscale(), transforms.Resize(32), transforms.CenterCrop(28), transforms.ToTensor()]
        )
    )
    assert preset == {
        "mean": (0.0,),
        "std": (1.0,),
        "size": (28, 28),
        "resize": 32,
        "interpolation": "bilinear",
    }


def test_pixels_up_to_255():
    preset = preset_of(
        transforms.Compose([transforms.Resize(32), transforms.CenterCrop(32), transforms.PILToTensor()])
    )
    assert preset["mean"] == (0.0, 0.0, 0.0)
    assert preset["std"] == pytest.approx((1 / 255,) * 3, rel=1e-5)


def test_another_interpolation_is_reported():
    from PIL import Image

    def boxes(image):
        return _composed()(image.resize((96, 96), Image.Resampling.BOX))

    with pytest.warns(ExplanationWarning, match="whose interpolation is none of bilinear, bicubic, nearest"):
        preset_of(boxes)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (_composed(transforms.Resize(224)), "one that keeps the aspect ratio"),
        (_composed(transforms.Resize(200), transforms.CenterCrop(224)), "one that pads"),
        (_composed(transforms.Resize(64), transforms.RandomCrop(32)), "does something else"),
        (lambda image: transforms.ToTensor()(image)[[2, 1, 0]], "keeps the order red, green, blue"),
        (lambda image: image, "to tensors of shape .3, H, W., got Image"),
        (lambda image: torch.zeros(2, 3, 4, 4), r"got a tensor of shape \(2, 3, 4, 4\)"),
        (lambda image: torch.zeros(3, 4, 4), "normalizes each by itself"),
    ],
)
def test_transforms_that_do_more_are_refused(transform, message):
    with pytest.raises(ValueError, match=message):
        preset_of(transform)
