"""Files in the format of COCO, written here from its description and read back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xai_widgets.data import Concept, ConceptData, coco
from xai_widgets.data.coco import polygon_mask, segmentation_mask


def run_lengths(mask):
    """Return the lengths of runs of equal pixels down the columns, beginning with pixels outside, pixel by pixel."""
    lengths, current = [0], False
    for value in np.asarray(mask, bool).flatten(order="F").tolist():
        if value != current:
            lengths.append(0)
            current = value
        lengths[-1] += 1
    return lengths


def compressed(lengths):
    """Return run lengths as a string: differences from the last but one, in groups of five bits, lowest first."""
    text = ""
    for position, length in enumerate(lengths):
        value = length - lengths[position - 2] if position > 2 else length
        while True:
            group, value = value & 31, value >> 5
            finished = value == (-1 if group & 16 else 0)
            text += chr(48 + (group if finished else group | 32))
            if finished:
                break
    return text


def inside(points, row, column):
    """Return whether the center of a pixel is inside a polygon: whether a ray to the left crosses it an odd number of
    times."""
    crossings = 0
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        if (y0 <= row + 0.5) != (y1 <= row + 0.5):
            crossings += x0 + (row + 0.5 - y0) / (y1 - y0) * (x1 - x0) <= column + 0.5
    return crossings % 2 == 1


@given(st.integers(0, 10**6))
def test_run_lengths_and_their_compressed_form(seed):
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 80, 2))
    mask = rng.random((height, width)) < rng.random()
    lengths = run_lengths(mask)
    plain = segmentation_mask({"size": [height, width], "counts": lengths}, height, width)
    packed = segmentation_mask({"size": [height, width], "counts": compressed(lengths)}, height, width)
    np.testing.assert_array_equal(plain, mask)
    np.testing.assert_array_equal(packed, mask)


def test_the_strings_of_pycocotools():
    # Encoded by pycocotools 2.0.11.
    tiny = np.zeros((9, 13), bool)
    tiny[2:7, 3:9] = True
    tiny[4, 5] = False
    decoded = segmentation_mask({"size": [9, 13], "counts": "m05400MM0330000R1"}, 9, 13)
    np.testing.assert_array_equal(decoded, tiny)
    large = np.zeros((480, 640), bool)
    large[100:400, 200:203] = True
    text = "Tkm2\\9d5000lg\\6"
    decoded = segmentation_mask({"size": [480, 640], "counts": text}, 480, 640)
    np.testing.assert_array_equal(decoded, large)


@given(st.integers(0, 10**6))
def test_a_polygon_holds_the_pixels_whose_center_is_inside(seed):
    rng = np.random.default_rng(seed)
    # Corners also outside of the image, and edges that cross.
    points = rng.uniform(-4, 20, (int(rng.integers(3, 9)), 2)).tolist()
    expected = [[inside(points, row, column) for column in range(14)] for row in range(11)]
    np.testing.assert_array_equal(polygon_mask(points, 11, 14), expected)


def test_a_rectangle_by_hand():
    mask = segmentation_mask([[1, 2, 4, 2, 4, 5, 1, 5], [6, 0, 7, 0, 7, 1, 6, 1]], 6, 8)
    expected = np.zeros((6, 8), bool)
    expected[2:5, 1:4] = True
    expected[0, 6] = True
    np.testing.assert_array_equal(mask, expected)


def annotation(image, category, segmentation, crowd=0):
    return {"image_id": image, "category_id": category, "segmentation": segmentation, "iscrowd": crowd}


CROWD = np.zeros((10, 12), bool)
CROWD[6:9, 2:11] = True
SKY = np.zeros((10, 12), bool)
SKY[:3] = True


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "val").mkdir()
    for name in ("one.jpg", "two.jpg", "three.jpg"):
        Image.new("L", (12, 10), 128).save(tmp_path / "val" / name)
    images = [
        {"id": number, "file_name": name, "height": 10, "width": 12}
        for number, name in ((17, "one.jpg"), (4, "two.jpg"), (9, "three.jpg"))
    ]
    square, other = [[0, 0, 3, 0, 3, 3, 0, 3]], [[2, 2, 5, 2, 5, 5, 2, 5]]
    instances = {
        "images": images,
        "categories": [
            {"id": 1, "name": "person", "supercategory": "person"},
            {"id": 90, "name": "toothbrush", "supercategory": "indoor"},
        ],
        "annotations": [
            annotation(17, 90, square),
            annotation(17, 90, other),
            annotation(17, 1, {"size": [10, 12], "counts": run_lengths(CROWD)}, crowd=1),
            annotation(9, 1, []),
        ],
    }
    stuff = {
        "images": images,
        "categories": [{"id": 157, "name": "sky-other", "supercategory": "sky"}],
        "annotations": [annotation(4, 157, {"size": [10, 12], "counts": compressed(run_lengths(SKY))})],
    }
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    (tmp_path / "stuff.json").write_text(json.dumps(stuff))
    return tmp_path


def test_objects_of_a_class_are_joined_and_a_crowd_counts(folder):
    data = coco(folder / "val", folder / "instances.json")
    assert isinstance(data, ConceptData)
    assert data.concepts == (Concept("person", "object"), Concept("toothbrush", "object"))
    assert [example.name for example in data] == ["one.jpg", "two.jpg", "three.jpg"]
    example = data[0]
    assert example.image.shape == (10, 12, 3)
    expected = np.zeros((10, 12), bool)
    expected[:3, :3] = expected[2:5, 2:5] = True
    np.testing.assert_array_equal(example.masks[1], expected)
    np.testing.assert_array_equal(example.masks[0], CROWD)
    # Images without annotations, and annotations without pixels.
    assert data[1].masks == data[2].masks == {}


def test_files_of_several_categories(folder):
    files = {"object": folder / "instances.json", "stuff": folder / "stuff.json"}
    data = coco(folder / "val", files)
    assert len(data) == 3
    assert data.concepts[2] == Concept("sky-other", "stuff")
    np.testing.assert_array_equal(data[1].masks[2], SKY)
    assert set(data[0].masks) == {0, 1}


def edited(folder, **changes):
    content = json.loads((folder / "instances.json").read_text()) | changes
    (folder / "edited.json").write_text(json.dumps(content))
    return folder / "val", folder / "edited.json"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"categories": []}, r"expected category_id of each annotation .*edited\.json.*got 90"),
        ({"images": []}, r"expected image_id of each annotation .*edited\.json.*got 17"),
        (
            {"annotations": [{"image_id": 17, "caption": "a cat"}]},
            r"annotations with .*edited\.json.*captions",
        ),
        ({"images": [{"id": 17}]}, r"images with file_name, id.*edited\.json"),
    ],
)
def test_incomplete_files_are_refused_at_once(folder, changes, words):
    with pytest.raises(ValueError, match=words):
        coco(*edited(folder, **changes))


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([[0, 0, 3]], r"expected a polygon \[x0, y0, x1, y1, ...\]"),
        ({"size": [12, 10], "counts": [120]}, r"expected run lengths of size \[10, 12\]"),
        ({"size": [10, 12], "counts": [100]}, "expected run lengths that sum to 120 pixels, got 100"),
        ({"size": [10, 12], "counts": [130, -10]}, "expected run lengths that sum"),
        ({"size": [10, 12], "counts": "\x01"}, "expected compressed run lengths, got the character"),
        ("mask.png", "expected polygons, or run lengths"),
    ],
)
def test_a_segmentation_that_does_not_fit_is_named(folder, segmentation, words):
    data = coco(*edited(folder, annotations=[annotation(17, 1, segmentation)]))
    with pytest.raises(ValueError, match=words + r".*'one\.jpg' in .*edited\.json"):
        data[0]


def test_an_image_of_another_size_is_named(folder):
    Image.new("RGB", (10, 12)).save(folder / "val/one.jpg")
    with pytest.raises(ValueError, match=r"expected an image of 10 x 12 pixels.*got 12 x 10 in .*one\.jpg"):
        coco(folder / "val", folder / "instances.json")[0]


def test_missing_files_are_named(folder):
    with pytest.raises(FileNotFoundError, match=r"expected a JSON file of COCO.*nothing\.json"):
        coco(folder / "val", folder / "nothing.json")
    with pytest.raises(FileNotFoundError, match="expected the folder of the images of COCO"):
        coco(folder / "train", folder / "instances.json")
    (folder / "val/two.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"two\.jpg"):
        coco(folder / "val", folder / "instances.json")[1]
    (folder / "text.json").write_text("not JSON")
    with pytest.raises(ValueError, match=r"expected a JSON file of COCO with .*text\.json"):
        coco(folder / "val", folder / "text.json")
