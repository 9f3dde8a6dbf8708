"""Images as they are displayed: the part that the network sees, in their own resolution."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from xai_widgets.core.display import display_images
from xai_widgets.core.model import ImageModel
from xai_widgets.core.resizing import Resizing


def model_of(**options):
    net = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 4))
    return ImageModel(net.eval(), **{"size": 32, **options})


def gradient(height, width):
    """Return an image whose red grows to the right and whose green grows downwards."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([columns / (width - 1), rows / (height - 1), 0 * rows], -1).astype(np.float32)


@pytest.mark.parametrize("resize", [None, 36, (40, 48)])
@pytest.mark.parametrize("size", [(300, 400), (500, 330), (256, 256)])
def test_the_displayed_part_is_the_one_that_the_network_sees(size, resize):
    model = model_of(resize=resize)
    image = gradient(*size)
    shown, _ = display_images(model, image)
    seen = model.images(image)[0].permute(1, 2, 0).numpy()
    assert min(shown.shape[1:3]) > 2 * 32
    # A pixel of the network covers this much of both slopes.
    step = 1 / 32
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert np.abs(shown[0][corner] / 255 - seen[corner]).max() < step


def test_an_image_keeps_its_resolution_up_to_a_limit():
    model = model_of(size=(24, 32))
    assert display_images(model, gradient(240, 320))[0].shape == (1, 240, 320, 3)
    assert display_images(model, gradient(2400, 3200))[0].shape == (1, 768, 1024, 3)
    assert display_images(model, [gradient(2400, 3200)] * 2)[0].shape == (2, 384, 512, 3)
    assert display_images(model, gradient(2400, 3200), longest=100)[0].shape == (1, 75, 100, 3)


def test_images_of_different_sizes_get_the_size_of_the_finest():
    shown, notes = display_images(model_of(), [gradient(64, 64), gradient(128, 160)])
    assert shown.shape == (2, 128, 128, 3)
    assert [note.split(",")[0] for note in notes] == ["64 x 64", "160 x 128"]


def test_an_image_that_is_not_resized_has_no_note():
    model = model_of()
    for same in (torch.rand(2, 3, 32, 32), gradient(32, 32), torch.rand(3, 64, 64)):
        shown, notes = display_images(model, same)
        assert not any(notes)
        assert (shown == model.to_rgb(model.images(same))).all()


def test_a_small_image_is_not_shown_smaller_than_the_network_sees_it():
    shown, notes = display_images(model_of(), gradient(10, 12))
    assert shown.shape == (1, 32, 32, 3)
    assert notes[0].startswith("12 x 10, resized until it covers 32 x 32")


def test_a_file_is_turned_upright(tmp_path):
    file = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    Image.fromarray((255 * gradient(60, 200)).astype(np.uint8)).save(file, exif=exif)
    shown, notes = display_images(model_of(), file)
    assert notes[0].startswith("60 x 200")
    assert shown.shape[1:3] == (60, 60)


@pytest.mark.parametrize("resize", [None, 40, (40, 50)])
def test_an_enlarged_resizing_crops_from_an_enlarged_image(resize):
    resizing = Resizing((32, 32), resize).enlarged(2.5)
    assert resizing.size == (80, 80)
    assert resizing.resize == (None if resize is None else 100 if resize == 40 else (100, 125))
