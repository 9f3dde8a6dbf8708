"""Labeled data sets through the loaders of torchvision, in small folders of their formats."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from xai_widgets.data import labeled_images

datasets = pytest.importorskip("torchvision.datasets")


def draw_photo(path, size=(12, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)).save(path)


def test_folders_as_of_imagenet(tmp_path):
    for name, count in (("n01", 2), ("n02", 1)):
        for number in range(count):
            draw_photo(tmp_path / name / f"{number}.png")
    found = labeled_images(datasets.ImageFolder(str(tmp_path)))
    assert (len(found), found.classes) == (3, ("n01", "n02"))
    assert [example.labels for example in found] == [(0,), (0,), (1,)]
    # The network has the classes in another order, and one that the folder has not.
    mapped = labeled_images(datasets.ImageFolder(str(tmp_path)), classes=["n03", "n02"])
    assert [example.labels for example in mapped[:3]] == [(), (), (1,)]
    with pytest.raises(ValueError, match="such as n01, n02, got"):
        labeled_images(datasets.ImageFolder(str(tmp_path)), classes=["cat"])


VOC_XML = """<annotation><size><width>12</width><height>8</height></size>
<object><name>dog</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>4</xmax><ymax>5</ymax></bndbox></object>
<object><name>dog</name><difficult>1</difficult><bndbox><xmin>9</xmin><ymin>1</ymin><xmax>12</xmax><ymax>8</ymax></bndbox></object>
<object><name>cat</name><difficult>1</difficult><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>6</xmax><ymax>6</ymax></bndbox></object>
</annotation>"""


def voc_folder(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2007"
    for kind in ("Main", "Segmentation"):
        (root / "ImageSets" / kind).mkdir(parents=True)
        (root / "ImageSets" / kind / "train.txt").write_text("a\n")
    draw_photo(root / "JPEGImages" / "a.jpg")
    (root / "Annotations").mkdir()
    (root / "Annotations" / "a.xml").write_text(VOC_XML)
    values = np.zeros((8, 12), np.uint8)
    values[2:4, 3:6], values[6:] = 12, 255
    mask = Image.fromarray(values, "P")
    mask.putpalette([0, 0, 0] * 256)
    (root / "SegmentationClass").mkdir()
    mask.save(root / "SegmentationClass" / "a.png")
    return str(tmp_path), values


def test_boxes_of_voc(tmp_path):
    folder, _ = voc_folder(tmp_path)
    (example,) = labeled_images(datasets.VOCDetection(folder, year="2007", image_set="train"))
    # All boxes of the cat are marked as difficult; the difficult one of the dog counts.
    assert list(example.masks) == [11]
    expected = np.zeros((8, 12), bool)
    expected[1:5, 0:4], expected[0:8, 8:12] = True, True
    assert np.array_equal(example.masks[11], expected)
    with pytest.raises(ValueError, match="class of the annotations 'dog'"):
        labeled_images(datasets.VOCDetection(folder, year="2007", image_set="train"), classes=["cat"])[0]


def test_segmentation_of_voc(tmp_path):
    folder, values = voc_folder(tmp_path)
    (example,) = labeled_images(datasets.VOCSegmentation(folder, year="2007", image_set="train"))
    assert list(example.masks) == [11]
    assert np.array_equal(example.masks[11], values == 12)


def test_annotations_of_coco(tmp_path):
    """The loader of torchvision needs pycocotools; a stand-in with the same items and attributes serves here."""
    content = {
        "categories": [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}],
        "annotations": [
            {"category_id": 18, "segmentation": [[0, 0, 4, 0, 4, 3, 0, 3]]},
            {"category_id": 18, "segmentation": {"size": [8, 12], "counts": [90, 6]}},
            {"category_id": 17, "segmentation": [[6, 2, 8, 2, 8, 4, 6, 4]]},
        ],
    }
    content = json.loads(json.dumps(content))

    class Loader(list):
        coco = SimpleNamespace(cats={item["id"]: item for item in content["categories"]})

    loader = Loader([(Image.new("RGB", (12, 8)), content["annotations"])])
    (example,) = labeled_images(loader)
    assert labeled_images(loader).classes == ("cat", "dog")
    assert sorted(example.masks) == [0, 1]
    cat, dog = example.masks[0], example.masks[1]
    assert cat.sum() == 4
    assert dog[:3, :4].all()
    # Run lengths go down the columns: the last six pixels.
    assert dog[2:, 11].all()
    assert dog.sum() == 12 + 6
    assert labeled_images(loader, classes=["dog"])[0].masks.keys() == {0}


def test_other_targets_are_named():
    with pytest.raises(TypeError, match="expected targets as class numbers"):
        labeled_images([(Image.new("RGB", (4, 4)), "a dog")])[0]
