"""Data sets that people have: folders, data sets of torch, generators, pairs, arrays, and broken files in them."""

import numpy as np
import pytest
import torch
from networks import Functional, images, settle, wrap
from PIL import Image

from xai_widgets.core.images import to_uint8
from xai_widgets.data import Example
from xai_widgets.errors import ExplanationWarning
from xai_widgets.studies import evaluate
from xai_widgets.studies.examples import as_examples

PIXELS = list(to_uint8(images(3)))
OPTIONS = {"references": False, "progress": False}


class Pairs(torch.utils.data.Dataset):
    """A data set of torch, whose second file is broken."""

    def __init__(self, classes=(), broken=None):
        self.classes, self.broken = list(classes), broken
        self.samples = [(f"somewhere/{number}.jpg", number) for number in range(3)]

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == self.broken:
            raise OSError("image file is truncated")
        return Image.fromarray(PIXELS[index]), torch.tensor(index) if index else index


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def explained(result):
    return [row["target"] for row in result.rows()]


def test_class_numbers_of_a_data_set_of_torch_are_those_of_the_network(model):
    result = evaluate(model, Pairs(), "gradient", "png_size", **OPTIONS)
    assert explained(result) == [0, 1, 2]
    listed = evaluate(
        model, [(image, number) for number, image in enumerate(PIXELS)], "gradient", "png_size", **OPTIONS
    )
    assert [row["score"] for row in listed.rows()] == [row["score"] for row in result.rows()]
    assert explained(listed) == [0, 1, 2]


def test_classes_are_found_by_name_and_unknown_ones_are_left_out(model):
    names = [model.labels[2], model.labels[0], "other"]
    assert [each.labels for each in as_examples(Pairs(names), model.labels)] == [(2,), (0,), ()]
    four = [f"kind {number}" for number in range(4)]
    assert [each.labels for each in as_examples(Pairs(four), model.labels)] == [(0,), (1,), (2,)]
    with pytest.warns(
        ExplanationWarning, match="none of the 2 classes of the data set, such as cat, dog, is among the 4"
    ):
        result = evaluate(model, Pairs(["cat", "dog"]), "gradient", "png_size", **OPTIONS)
    assert explained(result) == model.scores(PIXELS).argmax(1).tolist()


def test_a_broken_file_is_named_and_stops_no_other(model):
    result = evaluate(model, Pairs(broken=1), "gradient", "png_size", **OPTIONS)
    errors = [row["error"] for row in result.rows()]
    assert [bool(error) for error in errors] == [False, True, False]
    assert "item 1 of the data set, the file '1.jpg', to be readable (image file is truncated)" in errors[1]


@pytest.mark.parametrize(
    "dataset",
    [
        lambda: (image for image in PIXELS),
        lambda: map(np.copy, PIXELS),
        lambda: np.stack(PIXELS),
        lambda: tuple(PIXELS),
    ],
    ids=["generator", "map", "array", "tuple"],
)
def test_iterables_and_arrays_are_lists_of_images(model, dataset):
    expected = evaluate(model, PIXELS, "gradient", "png_size", **OPTIONS)
    assert evaluate(model, dataset(), "gradient", "png_size", **OPTIONS).rows() == expected.rows()


def test_a_data_set_without_labels(model):
    class Plain:
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return images(2)[index]

    predicted = model.scores(images(2)).argmax(1).tolist()
    assert explained(evaluate(model, Plain(), "gradient", "png_size", **OPTIONS)) == predicted


def test_files_of_all_kinds_in_a_folder(model, tmp_path):
    """Gray, palette, transparent and rotated images of several sizes are read; broken files are named."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=turned)
    image.convert("L").resize((9, 40)).save(tmp_path / "b.png")
    image.convert("RGBA").save(tmp_path / "c.png")
    image.convert("P").save(tmp_path / "d.gif")
    image.convert("CMYK").save(tmp_path / "e.jpg")
    (tmp_path / "f.png").write_bytes(b"")
    (tmp_path / "g.jpg").write_bytes((tmp_path / "e.jpg").read_bytes()[:300])
    (tmp_path / "notes.txt").write_text("no image")
    rows = evaluate(model, tmp_path, "gradient", "png_size", **OPTIONS).rows()
    assert [bool(row["error"]) for row in rows] == [False] * 5 + [True] * 2
    assert "f.png" in rows[5]["error"]
    assert "g.jpg" in rows[6]["error"]
    with Image.open(tmp_path / "a.jpg") as stored:
        upright = stored.transpose(Image.Transpose.ROTATE_270)
    alone = evaluate(model, [upright], "gradient", "png_size", **OPTIONS).rows()
    assert alone[0]["score"] == rows[0]["score"]


def test_metrics_that_need_masks_are_left_out_with_a_warning(model):
    with pytest.warns(ExplanationWarning, match="no example has a mask: Pointing game left out"):
        result = evaluate(model, PIXELS, "gradient", ["png_size", "pointing"], **OPTIONS)
    assert {row["metric"] for row in result.rows()} == {"png_size"}
    with pytest.raises(
        ValueError, match="expected examples with masks for Pointing game, got none with a mask"
    ):
        evaluate(model, PIXELS, "gradient", "pointing", **OPTIONS)
    mask = np.zeros((8, 8), bool)
    mask[2:5, 2:5] = True
    some = [
        Example(PIXELS[0], "with", {1: mask}),
        Example(PIXELS[1], "without"),
        Example(PIXELS[2], labels=(2,)),
    ]
    rows = evaluate(model, some, "gradient", ["png_size", "pointing"], **OPTIONS).rows()
    assert [(row["image"], row["metric"]) for row in rows] == [
        (0, "png_size"), (0, "pointing"), (1, "png_size"), (2, "png_size"),
    ]  # fmt: skip
    assert rows[-1]["target"] == 2


@pytest.mark.parametrize(
    ("dataset", "error", "text"),
    [
        (PIXELS[0], TypeError, r"an array of shape \(8, 8, 3\) and uint8; \[image\] for a single one"),
        ({"a": PIXELS[0]}, TypeError, "got a dict of 1"),
        (5, TypeError, "got 5"),
        (iter([]), ValueError, "at least one image, got none"),
        (torch.utils.data.DataLoader(Pairs()), TypeError, "pass its data set, loader.dataset"),
    ],
    ids=["image", "dict", "number", "empty", "loader"],
)
def test_other_objects_are_refused_with_the_nearest_choice(dataset, error, text):
    with pytest.raises(error, match=text):
        as_examples(dataset)


def test_a_folder_of_folders_and_a_file_are_refused_with_the_nearest_choice(tmp_path):
    (tmp_path / "cats").mkdir()
    Image.fromarray(PIXELS[0]).save(tmp_path / "cats" / "a.png")
    with pytest.raises(ValueError, match=r"its folder 'cats' has some: torchvision\.datasets\.ImageFolder"):
        as_examples(tmp_path)
    with pytest.raises(ValueError, match=r"a\.png'; \[path\] for a single image"):
        as_examples(tmp_path / "cats" / "a.png")
