"""Images of concepts, from lists, folders and data sets."""

import numpy as np
import pytest
import torch
from networks import Concat, Functional, images, settle
from PIL import Image

from xai_widgets import data
from xai_widgets.concepts import concept_images
from xai_widgets.concepts.examples import as_concepts, as_images, gradient_vectors, layer_vectors
from xai_widgets.core.model import ImageModel
from xai_widgets.methods.gradients import layer_gradient


def write(folder, count):
    folder.mkdir(parents=True)
    for index in range(count):
        Image.fromarray(np.full((8, 8, 3), index, np.uint8)).save(folder / f"{index}.png")
    (folder / "notes.txt").write_text("no image")


def test_a_folder_of_folders_holds_concepts(tmp_path):
    write(tmp_path / "stripes", 3)
    write(tmp_path / "dots", 2)
    found = as_concepts(tmp_path)
    assert {name: len(paths) for name, paths in found.items()} == {"dots": 2, "stripes": 3}
    assert [path.name for path in as_images(tmp_path / "dots")] == ["0.png", "1.png"]


def test_images_of_a_concept_show_it():
    shown = data.scene_concepts(40, cue=True)
    found = concept_images(shown, ["stamp", "checkered"], most=3)
    assert len(found["checkered"]) == 3
    stamped = [example.image for example in shown if len(shown.concepts) - 1 in example.masks]
    assert np.array_equal(found["stamp"][0], stamped[0])


def test_a_data_set_is_read_when_indexed():
    shown = as_images(data.scene_concepts(1000))
    assert len(shown) == 1000
    assert shown[999].shape == (96, 96, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: as_concepts({}), "at least one concept"),
        (lambda: as_concepts(data.scene_concepts(2)), "concept_images"),
        (lambda: as_images("nowhere"), "folder"),
        (lambda: as_images(3), "list of images"),
        (lambda: concept_images(data.scene_concepts(2), ["stam"]), "'stamp'"),
    ],
)
def test_other_kinds_are_refused(call, message):
    with pytest.raises((TypeError, ValueError, FileNotFoundError), match=message):
        call()


def test_a_folder_without_folders_is_refused(tmp_path):
    write(tmp_path / "dots", 2)
    with pytest.raises(ValueError, match="one folder of images per concept"):
        as_concepts(tmp_path / "dots")


@pytest.mark.parametrize(("network", "layer"), [(Functional, "conv2"), (Concat, "right"), (Functional, "fc")])
@pytest.mark.parametrize("pooling", ["none", "mean"])
def test_the_gradient_is_the_derivative_along_a_vector(network, layer, pooling):
    """A step along the vector at the layer, by a hook, in float64."""
    model = ImageModel(settle(network()).double(), size=8)
    x, target = images(2).double(), torch.tensor([1, 2])
    output, gradient = layer_gradient(model, x, target, layer)
    rows = layer_vectors(model, list(x), layer, pooling, 1)
    vector = torch.randn(rows.shape[1], generator=torch.Generator().manual_seed(0)).double()
    step = vector.view(output.shape[1:]) if pooling == "none" else vector.view(-1, *[1] * (output.ndim - 2))

    def moved(size):
        hook = model.module.get_submodule(layer).register_forward_hook(lambda _m, _i, out: out + size * step)
        try:
            with torch.no_grad():
                return model.module(x).gather(1, target[:, None])[:, 0]
        finally:
            hook.remove()

    size = 1e-6
    expected = (moved(size) - moved(-size)) / (2 * size)
    found = gradient_vectors(model, layer, gradient, pooling).double() @ vector
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
