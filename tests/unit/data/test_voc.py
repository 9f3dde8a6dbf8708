"""Folders in the format of PASCAL VOC and PASCAL-Part, written here from their description and read back."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from xai_widgets.data import Concept, ConceptData, voc
from xai_widgets.data.pascal_parts import PART_NAMES, PARTS
from xai_widgets.data.voc import VOC_CLASSES

CAT, PERSON = 8, 15


def save_palette(path, values):
    """Save class numbers as indices of a palette."""
    image = Image.fromarray(np.asarray(values, np.uint8), mode="P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    image.save(path)


def matlab_struct(**fields):
    """Return a structure of MATLAB."""
    record = np.zeros((1, 1), dtype=[(name, object) for name in fields])
    for name, value in fields.items():
        record[name][0, 0] = value
    return record


def matlab_structs(records):
    """Return a row of structures of MATLAB, or an empty matrix, as MATLAB itself writes for none."""
    return np.concatenate(records, axis=1) if records else np.zeros((0, 0))


def save_parts(path, objects):
    """Save (class, {part: mask}) pairs like PASCAL-Part."""
    structs = [
        matlab_struct(
            **{
                "class": kind,
                "class_ind": float(VOC_CLASSES.index(kind) + 1),
                "mask": np.ones((12, 16), np.uint8),
            },
            parts=matlab_structs(
                [matlab_struct(part_name=part, mask=mask.astype(np.uint8)) for part, mask in parts]
            ),
        )
        for kind, parts in objects
    ]
    savemat(path, {"anno": matlab_struct(imname="2007_000001", objects=matlab_structs(structs))})


@pytest.fixture
def labels():
    return np.random.default_rng(1).choice([0, CAT, PERSON, 255], (12, 16))


@pytest.fixture
def folder(tmp_path, labels):
    for name in ("ImageSets/Segmentation", "JPEGImages", "SegmentationClass", "Annotations_Part"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text("2007_000001\n2007_000002\n")
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("2007_000003\n")
    for name in ("2007_000001", "2007_000002", "2007_000003"):
        Image.new("RGB", (16, 12), "blue").save(tmp_path / f"JPEGImages/{name}.jpg")
        save_palette(tmp_path / f"SegmentationClass/{name}.png", labels if name.endswith("1") else labels * 0)
    return tmp_path


def test_masks_are_the_class_numbers_and_void_is_in_none(folder, labels):
    data = voc(folder)
    assert isinstance(data, ConceptData)
    assert len(data) == 2
    assert data.concepts == tuple(Concept(name, "object") for name in VOC_CLASSES)
    example = data[0]
    assert example.name == "2007_000001"
    assert example.image.shape == (12, 16, 3)
    assert set(example.masks) == {CAT - 1, PERSON - 1}
    np.testing.assert_array_equal(example.masks[CAT - 1], labels == CAT)
    np.testing.assert_array_equal(example.masks[PERSON - 1], labels == PERSON)
    assert data.concepts[CAT - 1].name == "cat"
    assert data.concepts[PERSON - 1].name == "person"


def test_the_background_alone_has_no_masks(folder):
    assert voc(folder)[1].masks == {}
    assert [example.name for example in voc(folder, "val")] == ["2007_000003"]


def test_parts_join_the_objects_of_a_class_and_the_numbers_of_a_part(folder):
    rng = np.random.default_rng(2)
    masks = rng.random((6, 12, 16)) < 0.3
    save_parts(
        folder / "Annotations_Part/2007_000001.mat",
        [
            ("cat", [("lear", masks[0]), ("tail", masks[1])]),
            ("cat", [("lear", masks[2])]),
            ("car", [("wheel_1", masks[3]), ("wheel_2", masks[4])]),
            ("sofa", []),
        ],
    )
    save_parts(folder / "Annotations_Part/2007_000002.mat", [("person", [("llarm", masks[5])])])
    data = voc(folder, parts=True)
    example = data[0]
    found = {
        data.concepts[c].name: m for c, m in example.masks.items() if data.concepts[c].category == "part"
    }
    assert found.keys() == {"cat left ear", "cat tail", "car wheel"}
    np.testing.assert_array_equal(found["cat left ear"], masks[0] | masks[2])
    np.testing.assert_array_equal(found["cat tail"], masks[1])
    np.testing.assert_array_equal(found["car wheel"], masks[3] | masks[4])
    # An image with a single object and a single part.
    [(concept, mask)] = data[1].masks.items()
    assert data.concepts[concept] == Concept("person left lower arm", "part")
    np.testing.assert_array_equal(mask, masks[5])


def test_every_part_has_a_name_of_words():
    assert set(PARTS) <= set(VOC_CLASSES)
    names = {code: PART_NAMES.get(code, code) for codes in PARTS.values() for code in codes}
    assert names["rear"] == "right ear"
    assert names["lfuleg"] == "left front upper leg"
    assert names["lleg"] == "left leg"
    assert names["llleg"] == "left lower leg"
    assert names["rbho"] == "right back hoof"
    plain = {code for code, name in names.items() if code == name}
    assert plain == {
        *(
            "body",
            "stern",
            "tail",
            "engine",
            "wheel",
            "saddle",
            "handlebar",
            "headlight",
            "head",
            "beak",
            "torso",
        ),
        *(
            "neck",
            "cap",
            "door",
            "window",
            "nose",
            "muzzle",
            "mouth",
            "hair",
            "pot",
            "plant",
            "coach",
            "screen",
        ),
    }
    for codes in PARTS.values():
        assert len({names[code] for code in codes}) == len(codes)


def test_other_classes(folder):
    data = voc(folder, classes=[f"class {number}" for number in range(1, 16)])
    assert data.concepts[CAT - 1].name == "class 8"
    assert set(data[0].masks) == {CAT - 1, PERSON - 1}
    with pytest.raises(
        ValueError, match=r"expected class numbers from 0 to 8 or 255 in .*000001\.png.*got 15"
    ):
        voc(folder, classes=["x"] * 8)[0]


def test_a_split_that_is_not_there_is_refused(folder):
    with pytest.raises(ValueError, match="expected split to be one of train, val in"):
        voc(folder, "test")


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="expected ImageSets/Segmentation and JPEGImages and Segmentation"
    ):
        voc(tmp_path)
    with pytest.raises(FileNotFoundError, match="not a folder"):
        voc(tmp_path / "VOC2012")


def test_parts_need_their_files(folder):
    with pytest.raises(FileNotFoundError, match=r"000001\.mat.*parts=False"):
        voc(folder, parts=True)[0]
    savemat(folder / "Annotations_Part/2007_000001.mat", {"other": 1})
    with pytest.raises(ValueError, match=r"expected a MATLAB file of PASCAL-Part with .*000001\.mat"):
        voc(folder, parts=True)[0]
    save_parts(folder / "Annotations_Part/2007_000001.mat", [("cat", [("fin", np.ones((12, 16)))])])
    with pytest.raises(ValueError, match=r"000001\.mat.*got 'cat', 'fin'"):
        voc(folder, parts=True)[0]


def test_colors_instead_of_class_numbers_are_refused(folder):
    Image.new("RGB", (16, 12)).save(folder / "SegmentationClass/2007_000001.png")
    with pytest.raises(ValueError, match=r"expected a palette image.*000001\.png"):
        voc(folder)[0]


def test_labels_of_another_size_are_refused(folder):
    save_palette(folder / "SegmentationClass/2007_000001.png", np.zeros((16, 12)))
    with pytest.raises(ValueError, match=r"expected labels of 12 x 16 pixels.*got 16 x 12 in .*000001\.png"):
        voc(folder)[0]


def test_the_stored_pixels_are_read_whatever_exif_asks(folder):
    image = Image.fromarray(np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3) // 8)
    exif = Image.Exif()
    exif[0x0112] = 6  # Rotated by a quarter.
    image.save(folder / "JPEGImages/2007_000001.jpg", exif=exif)
    assert voc(folder)[0].image.shape == (12, 16, 3)
