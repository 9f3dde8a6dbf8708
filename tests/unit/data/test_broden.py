"""Folders in the format of Broden, written here from its description and read back."""

import numpy as np
import pytest
from PIL import Image

from xai_widgets.data import Concept, ConceptData, broden

LABELS = """number,name,category,frequency,coverage,syns
1,black-c,color(2),2,0.3,
10,red-c,color(2),2,0.2,
21,fabric,material(36);object(3),39,4.225474,cloth
300,"wheel, spoked",part(1),1,0.1,
301,rim,part(1),1,0.1,
700,street-s,scene(2),2,,
314,dotted,texture(1),1,,
194,lined,texture(1),1,,
"""
INDEX = """image,split,ih,iw,sh,sw,color,object,part,material,scene,texture
ade/a.jpg,train,32,48,16,24,ade/a_color.png,ade/a_object.png,ade/a_part_1.png;ade/a_part_2.png,,700,
dtd/b.jpg,train,20,20,10,10,dtd/b_color.png,,,,,314;194
ade/c.jpg,val,32,32,16,16,,,,ade/c_material.png,700,
"""


def save_map(path, codes):
    """Save label numbers as red + 256 green."""
    codes = np.asarray(codes)
    image = np.zeros((*codes.shape, 3), np.uint8)
    image[..., 0], image[..., 1] = codes % 256, codes // 256
    Image.fromarray(image).save(path)


@pytest.fixture
def maps():
    rng = np.random.default_rng(0)
    return {
        "ade/a_color.png": rng.choice([1, 10], (16, 24)),
        "ade/a_object.png": rng.choice([0, 21], (16, 24)),
        "ade/a_part_1.png": rng.choice([0, 300, 301], (16, 24)),
        "ade/a_part_2.png": rng.choice([0, 301], (16, 24)),
        "dtd/b_color.png": np.full((10, 10), 10),
        "ade/c_material.png": rng.choice([0, 21], (16, 16)),
    }


@pytest.fixture
def folder(tmp_path, maps):
    (tmp_path / "index.csv").write_text(INDEX)
    (tmp_path / "label.csv").write_text(LABELS)
    for source in ("ade", "dtd"):
        (tmp_path / "images" / source).mkdir(parents=True)
    for name, size in (("ade/a", (32, 48)), ("dtd/b", (20, 20)), ("ade/c", (32, 32))):
        Image.new("RGB", size[::-1], "red").save(tmp_path / "images" / f"{name}.jpg")
    for name, codes in maps.items():
        save_map(tmp_path / "images" / name, codes)
    return tmp_path


def by_concept(data, example):
    return {(data.concepts[c].name, data.concepts[c].category): mask for c, mask in example.masks.items()}


def test_masks_join_the_maps_of_a_category(folder, maps):
    data = broden(folder)
    assert isinstance(data, ConceptData)
    assert len(data) == 2
    example = data[0]
    assert example.name == "ade/a.jpg"
    assert example.image.shape == (32, 48, 3)
    assert tuple(example.image[0, 0]) == (254, 0, 0)  # JPEG's red.
    first, second = maps["ade/a_part_1.png"], maps["ade/a_part_2.png"]
    expected = {
        ("black-c", "color"): maps["ade/a_color.png"] == 1,
        ("red-c", "color"): maps["ade/a_color.png"] == 10,
        ("fabric", "object"): maps["ade/a_object.png"] == 21,
        ("wheel, spoked", "part"): first == 300,
        ("rim", "part"): (first == 301) | (second == 301),
    }
    masks = by_concept(data, example)
    assert masks.keys() == expected.keys()
    for concept, mask in masks.items():
        np.testing.assert_array_equal(mask, expected[concept])


def test_numbers_in_the_index_are_labels_of_the_whole_image(folder):
    data = broden(folder)
    assert [data.concepts[label] for label in data[0].labels] == [Concept("street-s", "scene")]
    assert [data.concepts[label] for label in data[1].labels] == [
        Concept("dotted", "texture"),
        Concept("lined", "texture"),
    ]


def test_a_label_of_two_categories_is_two_concepts(folder, maps):
    train, val = broden(folder), broden(folder, "val")
    assert train.concepts == val.concepts
    assert {Concept("fabric", "material"), Concept("fabric", "object")} <= set(val.concepts)
    assert len(val.concepts) == 9
    masks = by_concept(val, val[0])
    assert list(masks) == [("fabric", "material")]
    np.testing.assert_array_equal(masks["fabric", "material"], maps["ade/c_material.png"] == 21)


def test_all_splits_and_some_categories(folder):
    assert len(broden(folder, None)) == 3
    colors = broden(folder, categories=["color"])
    assert colors.concepts == (Concept("black-c", "color"), Concept("red-c", "color"))
    assert colors[0].labels == ()
    with pytest.raises(ValueError, match="unknown category 'colr'; did you mean 'color'"):
        broden(folder, categories=["colr"])


def test_images_are_read_when_indexed(folder):
    (folder / "images/dtd/b.jpg").unlink()
    data = broden(folder)
    assert data[0].name == "ade/a.jpg"
    with pytest.raises(FileNotFoundError, match=r"b\.jpg"):
        data[1]


def test_an_unknown_split_is_refused(folder):
    with pytest.raises(
        ValueError, match=r"expected split to be one of train, val in .*index\.csv.*got 'test'"
    ):
        broden(folder, "test")


@pytest.mark.parametrize("name", ["index.csv", "label.csv"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"expected {name} in the folder of"):
        broden(folder)


def test_a_missing_column_is_named(folder):
    (folder / "label.csv").write_text("number,title\n1,red\n")
    with pytest.raises(ValueError, match=r"expected the columns number, name, category in .*label\.csv"):
        broden(folder)


def test_a_short_row_is_named(folder):
    (folder / "index.csv").write_text(INDEX + "ade/d.jpg,train,32\n")
    with pytest.raises(ValueError, match=r"index\.csv.* row 5"):
        broden(folder)


def test_a_map_of_another_size_is_named(folder):
    save_map(folder / "images/ade/a_color.png", np.ones((8, 8)))
    with pytest.raises(
        ValueError, match=r"expected a label map of 16 x 24 pixels.*got 8 x 8 in .*a_color\.png"
    ):
        broden(folder)[0]


def test_an_unknown_number_is_named(folder):
    save_map(folder / "images/ade/a_color.png", np.full((16, 24), 513))
    with pytest.raises(ValueError, match=r"category 'color' in label\.csv, got number 513 in .*a_color\.png"):
        broden(folder)[0]


def test_a_broken_image_is_named(folder):
    path = folder / "images/ade/a_color.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"expected a (complete|readable) image file.*a_color\.png"):
        broden(folder)[0]
