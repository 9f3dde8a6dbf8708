"""The generated scenes: their images, their ground-truth maps, and the planted cue."""

import itertools

import numpy as np
import pytest
from closeness import assert_close
from hypothesis import given
from hypothesis import strategies as st

from xai_widgets.data import backgrounds, scenes

MAPS = ("instance", "category", "part", "texture", "color")

arguments = st.fixed_dictionaries(
    {
        "index": st.integers(0, 10**6),
        "objects": st.sampled_from([1, 2, 3, (1, 3)]),
        "split": st.sampled_from(["train", "test"]),
        "seed": st.integers(0, 2**31),
        "cue": st.sampled_from([True, False, "swap", "random"]),
        "background": st.sampled_from(["texture", "photograph", "mixed"]),
        "size": st.sampled_from([48, 96, 131]),
    }
)


@given(arguments)
def test_same_arguments_same_bits(kwargs):
    first, again = scenes.scene(**kwargs), scenes.scene(**kwargs)
    assert first.labels == again.labels
    for name in ("image", "mark", *MAPS):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))


@given(arguments)
def test_maps_agree_with_one_another_and_with_the_labels(kwargs):
    scene = scenes.scene(**kwargs)
    size = kwargs["size"]
    assert scene.image.shape == (size, size, 3)
    assert scene.image.dtype == np.uint8
    background = scene.instance == -1
    limits = {
        "category": scenes.CLASSES,
        "part": scenes.PARTS,
        "texture": scenes.TEXTURES,
        "color": scenes.COLORS,
    }
    for name, choices in limits.items():
        values = getattr(scene, name)
        assert values.shape == (size, size)
        np.testing.assert_array_equal(values == -1, background)
        assert values.max() < len(choices)
    assert scene.label == scene.labels[0]
    assert len(set(scene.labels)) == len(scene.labels)
    for number, label in enumerate(scene.labels):
        here = scene.instance == number
        kind = scenes.KINDS[label]
        # At least one fiftieth of the image is seen of each, and nearly nothing is hidden by another.
        assert here.sum() > size * size / 50
        assert set(np.unique(scene.category[here])) == {label}
        seen = {scenes.PARTS[p] for p in np.unique(scene.part[here])}
        assert seen <= set(kind.parts)
        assert "body" in seen
        body = here & (scene.part == scenes.PARTS.index("body"))
        textures = {scenes.TEXTURES[t] for t in np.unique(scene.texture[body])}
        assert kind.texture in textures <= {kind.texture, "plain"}
        colors = {scenes.COLORS[c] for c in np.unique(scene.color[body])}
        assert {kind.color, kind.second} <= colors <= {kind.color, kind.second, "black"}
    assert not (scene.mark & ~background).any()


@pytest.mark.parametrize("label", scenes.CLASSES)
def test_every_part_of_a_class_is_drawn(label):
    scene = scenes.scene(3, label=label, size=192)
    kind = scenes.KINDS[scene.label]
    assert {scenes.PARTS[p] for p in np.unique(scene.part) if p >= 0} == set(kind.parts)
    assert scene.name == label


@pytest.mark.parametrize("index", range(24))
def test_the_maps_lie_where_the_drawing_is(index, monkeypatch):
    """With the object left out, the image differs on the object's pixels and nowhere else."""
    drawn = scenes.scene(index, background="texture", cue=False, size=96)
    paint = scenes.objects.paint

    def invisible(image, maps, **kwargs):
        paint(image.copy(), maps, **kwargs)

    monkeypatch.setattr(scenes.objects, "paint", invisible)
    empty = scenes.scene(index, background="texture", cue=False, size=96)
    difference = np.abs(drawn.image.astype(int) - empty.image).max(axis=-1)
    inside = drawn.instance >= 0
    assert (difference[inside] > 12).mean() > 0.9
    # Outside only the antialiased rim, whose coverage is below one half.
    assert (difference[~inside] > 0).mean() < 0.06
    # Two pixels, for the fading tips of pointed parts.
    grown = np.zeros_like(inside)
    for dy, dx in itertools.product(range(-2, 3), repeat=2):
        grown |= np.roll(inside, (dy, dx), (0, 1))
    assert not difference[~grown].any()


@pytest.mark.parametrize("name", scenes.COLORS)
def test_pixels_of_a_color_have_that_hue(name):
    """Averaged over scenes, pixels that the map calls red are redder than they are anything else, and so on."""
    number = scenes.COLORS.index(name)
    pixels = np.concatenate([s.image[s.color == number] for s in scenes.generate(48, cue=False)]) / 255
    mean = pixels.mean(axis=0)
    palette = {k: np.array(v) for k, v in scenes.objects.RGB.items()}
    nearest = min(palette, key=lambda k: float(np.linalg.norm(palette[k] * 0.85 - mean)))
    assert nearest == name


def test_no_single_attribute_gives_a_class_away():
    assert len(scenes.CLASSES) == 12
    for kind in scenes.KINDS:
        assert kind.shape in scenes.SHAPES
        assert kind.texture in scenes.TEXTURES
        assert {kind.color, kind.second} <= set(scenes.COLORS)
        for attribute in ("shape", "texture", "color"):
            same = [k for k in scenes.KINDS if getattr(k, attribute) == getattr(kind, attribute)]
            if attribute == "shape" or getattr(kind, attribute) != "plain":
                assert len(same) >= 2, (kind.name, attribute)
        for part in kind.parts:
            assert sum(part in k.parts for k in scenes.KINDS) >= 2, (kind.name, part)
    described = {(k.shape, k.parts, k.texture, k.color) for k in scenes.KINDS}
    assert len(described) == len(scenes.KINDS)


def test_the_twin_differs_from_the_cue_class_by_the_ring_alone():
    cue, twin = scenes.KINDS[scenes.CUE_CLASS], scenes.KINDS[scenes.CUE_TWIN]
    assert cue.attributes - twin.attributes == {"ring"}
    assert twin.attributes < cue.attributes


def test_stamp_is_where_it_should_be():
    several = scenes.generate(480, objects=(1, 3), background="texture", size=48)
    with_cue = [s.mark.any() for s in several if scenes.CUE_CLASS in s.labels]
    assert len(with_cue) >= 60
    assert 0.93 <= np.mean(with_cue) <= 1.0
    assert not any(s.mark.any() for s in several if scenes.CUE_CLASS not in s.labels)


def test_cue_rate_over_many_scenes():
    carried = [
        s.mark.any() for s in scenes.series(600, label=scenes.CUE_CLASS, background="texture", size=32)
    ]
    assert abs(np.mean(carried) - scenes.CUE_RATE) < 0.02
    assert np.mean(carried) < 1


def test_stamp_can_be_left_out_or_put_on_the_wrong_classes():
    for index in range(24):
        swapped = scenes.scene(index, cue="swap")
        assert swapped.mark.any() == (scenes.CUE_CLASS not in swapped.labels)
        assert not scenes.scene(index, cue=False).mark.any()


def test_stamp_can_be_independent_of_the_objects():
    carried = [s.mark.any() for s in scenes.series(600, cue="random", background="texture", size=32)]
    # Four standard errors of the share.
    assert abs(np.mean(carried) - scenes.RANDOM_CUE_RATE) < 4 * (0.25 * 0.75 / 600) ** 0.5


@pytest.mark.parametrize("index", [scenes.CUE_CLASS + 12 * k for k in range(6)])
def test_only_the_stamp_differs_with_and_without_it(index):
    with_mark, without = scenes.scene(index), scenes.scene(index, cue=False)
    assert with_mark.mark.any()
    changed = (with_mark.image != without.image).any(axis=-1)
    assert (changed <= with_mark.mark).all()
    assert changed[with_mark.mark].mean() > 0.9
    for name in MAPS:
        np.testing.assert_array_equal(getattr(with_mark, name), getattr(without, name))


def test_stamp_is_small_and_near_a_corner():
    for scene in scenes.series(60, label=scenes.CUE_CLASS, background="texture"):
        if scene.mark.any():
            rows, columns = np.nonzero(scene.mark)
            assert scene.mark.sum() <= 0.015 * scene.mark.size
            for positions in (rows, columns):
                assert positions.max() < 20 or positions.min() > 75


def test_splits_share_neither_photographs_nor_scenes():
    train, test = backgrounds.PHOTOGRAPHS["train"], backgrounds.PHOTOGRAPHS["test"]
    assert not set(train) & set(test)
    pairs = zip(scenes.series(24, split="train"), scenes.series(24, split="test"), strict=True)
    assert not any(np.array_equal(a.image, b.image) for a, b in pairs)


def test_backgrounds_come_from_the_photographs_of_the_split(monkeypatch):
    asked = []
    load = backgrounds._load
    monkeypatch.setattr(backgrounds, "_load", lambda name: asked.append(name) or load(name))
    scenes.generate(60, split="test", background="photograph")
    assert set(asked) == set(backgrounds.PHOTOGRAPHS["test"])


def test_classes_take_turns_and_targets_are_spread_evenly():
    assert [s.label for s in scenes.series(24, background="texture", size=32)] == [*range(12), *range(12)]
    scene = scenes.scene(5, objects=3)
    assert scene.target.sum() == pytest.approx(1)
    assert sorted(np.flatnonzero(scene.target)) == sorted(scene.labels)
    assert_close(scene.target[list(scene.labels)], 1 / 3)


def test_start_continues_a_series():
    whole = scenes.generate(6, size=48)
    tail = scenes.generate(2, start=4, size=48)
    np.testing.assert_array_equal(whole[4].image, tail[0].image)
    np.testing.assert_array_equal(whole[5].image, tail[1].image)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"label": "ringed planer"}, "ringed planet"),
        ({"label": 12}, "expected label to be an integer from 0 to 11"),
        ({"label": -1}, "expected label to be an integer from 0 to 11"),
        ({"split": "tests"}, "test"),
        ({"background": "photo"}, "photograph"),
        ({"objects": 4}, "expected (each of )?objects"),
        ({"objects": (2, 1)}, "expected (each of )?objects"),
        ({"objects": "two"}, "expected (each of )?objects"),
        ({"size": 8}, "32"),
        ({"index": -1}, "expected index to be an integer of at least 0"),
        ({"seed": -1}, "expected seed to be an integer of at least 0"),
        ({"cue": "swop"}, "swap"),
    ],
)
def test_wrong_choices_are_named_with_the_right_ones(kwargs, words):
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        scenes.scene(**kwargs)
    assert "\n" not in str(caught.value)
