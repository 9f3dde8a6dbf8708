"""Lists, tables, drawings, and files that appear when they are complete."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xai_widgets.cli import drawing, listing, outputs
from xai_widgets.cli.errors import CommandError, UsageError
from xai_widgets.methods import METHODS
from xai_widgets.views.colors import color_table


def test_every_method_is_listed_with_title_cost_and_a_line(cli):
    head, *lines = cli("list", "methods").out.splitlines()
    assert head.split()[0] == "name"
    every = list(METHODS.values())
    for line, method in zip(lines, every, strict=True):
        assert line.startswith(f"{method.name} ")
        assert f" {method.title} " in line
        assert re.search(
            rf"  {re.escape(listing.pass_count(method.cost.forward, method.cost.forward_each))}  ", line
        )
        assert line.endswith(method.__doc__.strip().partition("\n\n")[0].split()[-1])


@pytest.mark.parametrize(
    ("once", "each", "text"), [(1, 0, "1"), (0, 0, "0"), (0, 1, "n"), (1, 1, "n + 1"), (1, 2, "2n + 1")]
)
def test_passes_in_words(once, each, text):
    assert listing.pass_count(once, each) == text


def test_networks_that_classify_are_listed(cli):
    listed = [line.split()[0] for line in cli("list", "models").out.splitlines()[1:]]
    assert listed[:2] == ["scenes_vgg", "scenes_resnet"]
    assert "scenes_sr" not in listed
    assert "efficientnet_lite0" in listed
    assert listed[-2:] == ["timm:NAME", "hf:NAME"]


def test_a_network_of_timm_is_named_with_a_prefix(cli):
    done = cli("list", "layers", "--model", "timm:test_resnet", "--weights", "none")
    assert done.code == 0
    assert done.out.splitlines()[1].split() == ["conv1.0", "Conv2d", "16", "x", "80", "x", "80"]
    for words, message in (
        (["timm:test_resnett", "--weights", "none"], "did you mean 'test_resnet'"),
        (
            ["timm:test_resnet", "--weights", "own.pth"],
            "expected --weights DEFAULT or none for a network of timm",
        ),
        (["hf:any", "--weights", "none"], "expected --weights DEFAULT for a network of Hugging Face"),
    ):
        refused = cli("list", "layers", "--model", *words)
        assert refused.code == 2
        assert message in refused.err


def test_a_network_of_hugging_face_is_named_with_a_prefix(cli, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic", num_labels=3
    )
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path / "net")
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "net")
    done = cli("list", "layers", "--model", "hf:net")
    assert done.code == 0
    assert done.out.splitlines()[1].split() == [
        *("resnet.embedder.embedder.convolution", "Conv2d", "8", "x", "16", "x", "16")
    ]


def test_layers_are_listed_with_type_and_shape(cli):
    lines = cli("list", "layers", "--model", "own:model").out.splitlines()
    assert lines[1].split() == ["0", "Conv2d", "4", "x", "16", "x", "16"]


words = st.text("abc ", min_size=1, max_size=8).map(str.strip).filter(bool)


@given(st.lists(st.tuples(words, words, words), min_size=1, max_size=5), st.integers(8, 40))
def test_columns_of_a_table_stand_below_each_other(rows, width):
    lines = outputs.table(rows).splitlines()
    starts = [0, *np.cumsum([max(len(row[c]) for row in rows) + 2 for c in range(2)])]
    for line, row in zip(lines, rows, strict=True):
        assert [line[start:].startswith(cell) for start, cell in zip(starts, row, strict=True)] == [True] * 3
    for full, cut in zip(lines, outputs.table(rows, width).splitlines(), strict=True):
        assert cut == full if len(full) <= width else (len(cut), cut[-3:]) == (width, "...")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (560_203, "560 kB"), (3_214_000, "3.21 MB")],
)
def test_sizes_in_words(count, text):
    assert outputs.size(count) == text


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ("a.html", "page"),
        ("a.PNG", "image"),
        ("a.npy", "array"),
        ("a.npz", "arrays"),
        ("new", "folder"),
        ("a.b/", "folder"),
    ],
)
def test_the_name_chooses_the_output(output, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert outputs.kind_of(output) == kind
    with pytest.raises(UsageError):
        outputs.kind_of("a.jpg")


def test_a_folder_that_may_not_be_written_to_is_refused_before(tmp_path, monkeypatch):
    # Not by the modes of a real folder, which a superuser may write to all the same.
    monkeypatch.setattr(outputs.os, "access", lambda path, mode: False)
    with pytest.raises(CommandError, match="a writable folder"):
        outputs.kind_of(str(tmp_path / "a.html"))


def test_a_drawing_is_grey_where_the_map_is_zero_and_colored_where_it_is_large():
    pixels = np.full((224, 224, 3), (200, 100, 50), np.uint8)
    gray = np.asarray(Image.fromarray(pixels).convert("L"))[0, 0]
    values = np.zeros((224, 224), np.float32)
    values[:100, :100], values[200:, 200:] = 2, 1
    drawn = np.asarray(drawing.overlay(pixels, values))
    assert drawn.shape == (224, 224, 3)
    assert (drawn[150:, :150] == gray).all()
    assert (drawn[:99, :99] == color_table("inferno", "positive")[-1, :3]).all()
    half = color_table("inferno", "positive")[128, :3].astype(float)
    assert drawn[210, 210] == pytest.approx((half + gray) / 2, abs=2)
    values[0, 200] = -2
    assert (
        np.asarray(drawing.overlay(pixels, values))[50, 50] == color_table("blue_orange", "both")[-1, :3]
    ).all()


def test_a_drawing_of_a_small_or_broken_map():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    values = np.array([[1.0, np.nan], [0.0, np.inf]], np.float32)
    drawn = drawing.overlay(pixels, values)
    assert drawn.size == (280, 224)
    blank = drawing.overlay(pixels, np.zeros((3, 3), np.float32))
    assert (np.asarray(blank)[..., 0] == np.asarray(blank)[..., 2]).all()
