"""`explain`: the output holds the maps of the methods, and appears when it is complete."""

import io
import os
import re
import sys

import numpy as np
import pytest
from closeness import assert_close
from PIL import Image

from xai_widgets.cli import drawing, explain, page
from xai_widgets.methods import get

OWN = ("--model", "own:model")


def own(name="model"):
    """The network of the files, as the program has loaded it."""
    return getattr(sys.modules["own"], name)()


def expected(method, path, target=None, **options):
    return get(method).saliency(own(), path, target, **options)[0].detach().numpy()


def test_a_page_holds_the_table_and_is_reported(cli, photo, tmp_path):
    photo("a & b.png")
    done = cli("explain", "a & b.png", *OWN, "--methods", "gradient,grad_cam", "-o", "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<title>Attribution maps of Sequential</title>" in text
    assert text.rstrip().endswith("</html>")
    assert (done.code, done.err) == (0, "")
    caption, wrote = done.out.splitlines()
    best = own().predict(tmp_path / "a & b.png", 1)[0][0]
    assert caption == f"a & b.png: {best.label} {best.probability:.0%}"
    assert re.fullmatch(r"wrote page\.html \(2 methods, 1 image, \d+ kB\)", wrote)


def test_the_title_may_be_chosen(cli, photo, tmp_path):
    photo()
    assert (
        cli("explain", "photo.png", *OWN, "--methods", "lrp", "--title", "A <b>", "-o", "page.html").code == 0
    )
    assert "<h1>A &lt;b&gt;</h1>" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_arrays_are_the_maps(cli, photo):
    paths = [photo("a.png", 1), photo("b.png", 2)]
    words = ("explain", "a.png", "b.png", *OWN)
    assert cli(*words, "--methods", "gradient", "-o", "maps.npy").code == 0
    maps = np.load("maps.npy")
    assert (maps.shape, maps.dtype) == ((2, 16, 16), np.float32)
    for made, path in zip(maps, paths, strict=True):
        assert_close(made, expected("gradient", path))
    assert cli(*words, "--methods", "grad_cam,own:gray", "-o", "maps.npz").code == 0
    with np.load("maps.npz") as held:
        assert set(held) == {"grad_cam", "gray"}
        assert_close(held["grad_cam"][1], expected("grad_cam", paths[1]))
        gray = np.asarray(Image.open(paths[1])).mean(2) / 255
        assert_close(held["gray"][1], gray)


@pytest.mark.parametrize(("target", "index"), [("b", 1), ("B", 1), ("0", 0), ("7", 2)])
def test_a_class_is_a_label_or_else_an_index(cli, photo, target, index):
    path = photo()
    done = cli("explain", path, *OWN, "--methods", "gradient", "--target", target, "-o", "maps.npy")
    assert done.out.startswith(f"photo.png: {own().labels[index]} ")
    assert_close(np.load("maps.npy")[0], expected("gradient", path, index))


def test_a_layer_goes_to_the_methods_that_take_one(cli, photo):
    path = photo()
    words = ("explain", path, *OWN, "--methods", "linear_approximation,gradient", "--layer", "2")
    assert cli(*words, "-o", "maps.npz").code == 0
    with np.load("maps.npz") as held:
        drawn = expected("linear_approximation", path, layer="2")
        assert drawn.shape != expected("linear_approximation", path).shape
        assert_close(held["linear_approximation"][0], drawn)
        assert_close(held["gradient"][0], expected("gradient", path))


def test_an_image_shows_methods_in_rows_and_images_in_columns(cli, photo):
    paths = [photo("a.png", 1), photo("b.png", 2)]
    assert cli("explain", *paths, *OWN, "--methods", "gradient,own:gray", "-o", "maps.png").code == 0
    made = np.asarray(Image.open("maps.png"))
    side, gap = 224, drawing.GAP
    assert made.shape == (2 * side + gap, 2 * side + gap, 3)
    pixels = np.asarray(Image.open(paths[1]))
    drawn = np.asarray(drawing.overlay(pixels, expected("gradient", paths[1])))
    assert (made[:side, side + gap :] == drawn).all()
    assert (made[side : side + gap] == 255).all()


def test_a_folder_holds_an_image_for_each_map(cli, photo, tmp_path):
    photo("a.png", 1)
    photo("more/a.png", 2)
    done = cli("explain", "more", "a.png", *OWN, "--methods", "gradient,own:gray", "-o", "new/maps/")
    assert done.code == 0
    made = sorted(path.name for path in (tmp_path / "new" / "maps").iterdir())
    assert made == ["a_2_gradient.png", "a_2_gray.png", "a_gradient.png", "a_gray.png"]
    assert done.out.count("wrote ") == 4
    drawn = np.asarray(
        drawing.overlay(np.asarray(Image.open("a.png")), expected("gradient", tmp_path / "a.png"))
    )
    assert (np.asarray(Image.open("new/maps/a_2_gradient.png")) == drawn).all()


def test_a_method_that_fails_takes_no_other_with_it(cli, photo):
    photo("a.png", 1)
    photo("b.png", 2)
    words = ("explain", "a.png", "b.png", *OWN)
    done = cli(*words, "--methods", "own:broken,gradient", "-o", "maps.npz")
    assert done.code == 1
    assert done.err == "broken failed for a.png, b.png: this method is broken\n"
    with np.load("maps.npz") as held:
        assert set(held) == {"gradient"}
    assert cli(*words, "--methods", "own:broken,gradient", "-o", "maps.png").code == 1
    made = np.asarray(Image.open("maps.png"))
    assert (made[:224] == 255).all()
    assert (made[-224:] != 255).any()


@pytest.mark.parametrize("output", ["page.html", "map.png", "maps.npy", "maps.npz", "folder/"])
def test_nothing_is_written_if_every_method_fails(cli, photo, files, output):
    photo()
    before = files()
    done = cli("explain", "photo.png", *OWN, "--methods", "own:broken", "-o", output)
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines() == [
        "broken failed for photo.png: this method is broken",
        "xai-widgets: no map could be computed, so nothing was written",
    ]
    assert files() == before


def test_the_warnings_of_a_map_are_printed_unless_quiet(cli):
    words = ("explain", "--scenes", 1, "--methods", "deconvnet", "-o", "maps.npy")
    done = cli(*words)
    assert (done.code, done.err.count("\n")) == (0, 1)
    assert done.err.startswith("DeconvNet, scene 0: scenes_resnet has no max-pooling")
    assert cli(*words, "--quiet").err == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_shown_at_a_terminal_only_and_never_among_results(cli, photo, monkeypatch):
    photo()
    words = ("explain", "photo.png", *OWN, "--methods", "gradient", "-o", "maps.npy")
    assert cli(*words).err == ""
    for quiet, shown in ((), True), (("--quiet",), False):
        terminal = Terminal()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", terminal)
            done = cli(*words, *quiet)
        assert ("map" in terminal.getvalue()) == shown
        assert done.out.count("\n") == 2


@pytest.mark.parametrize("output", ["page.html", "map.png", "maps.npy", "maps.npz"])
@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt, 130), (OSError(28, "No space left"), 1)])
def test_half_a_file_is_never_there(cli, photo, files, tmp_path, monkeypatch, output, raised, code):
    photo()
    (tmp_path / output).write_text("the one before", encoding="utf-8")
    before = files()

    def half(path, *arguments, **options):
        with open(path, "w", encoding="utf-8") as file:
            file.write("half")
        raise raised

    monkeypatch.setattr(page, "export", lambda widget, path, **options: half(path))
    monkeypatch.setattr(np, "save", half)
    monkeypatch.setattr(np, "savez_compressed", half)
    monkeypatch.setattr(Image.Image, "save", lambda pixels, path: half(path))
    done = cli("explain", "photo.png", *OWN, "--methods", "gradient", "-o", output)
    assert done.code == code
    assert "wrote" not in done.out
    assert done.err == f"xai-widgets: {'interrupted' if code == 130 else f'{output}: No space left'}\n"
    assert files() == before


def test_a_module_of_the_user_gets_its_settings(cli, photo, monkeypatch):
    photo()
    made = []
    load = explain.read_network

    def network(options):
        made.append(load(options))
        return made[0]

    monkeypatch.setattr(explain, "read_network", network)
    words = ("--model", "own:network", "--mean", "0.1,0.2,0.3", "--std", "1,2,4", "--size", "16x20")
    done = cli(
        "explain",
        "photo.png",
        *words,
        "--labels",
        "labels.txt",
        "--device",
        "cpu",
        "--methods",
        "gradient",
        "-o",
        "m.npy",
    )
    assert done.code == 0
    (model,) = made
    assert (model.size, model.labels, model.name) == ((16, 20), ["red", "green", "blue"], "network")
    assert model.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert model.std.flatten().tolist() == [1, 2, 4]
    assert np.load("m.npy").shape == (1, 16, 20)


def test_an_image_that_cannot_be_read_stops_no_other(cli, photo, corrupt):
    photo("photos/a.png", 1)
    corrupt("photos/b.png")
    photo("photos/c.png", 2)
    done = cli("explain", "photos", *OWN, "--methods", "gradient", "-o", "maps.npy")
    assert done.code == 1
    assert done.err.startswith("b.png: not read: expected a complete image file")
    assert [line.partition(":")[0] for line in done.out.splitlines()[:2]] == ["a.png", "c.png"]
    assert np.load("maps.npy").shape == (2, 16, 16)


def test_names_as_long_as_names_can_be(cli, photo, tmp_path):
    room = os.pathconf(tmp_path, "PC_NAME_MAX")
    names = ["ä" * ((room - 6) // 2) + f"{number}.png" for number in range(2)]
    for number, name in enumerate(names):
        photo(name, number)
    done = cli("explain", *names, *OWN, "--methods", "gradient,own:gray", "-o", "maps/")
    assert (done.code, done.err) == (0, "")
    assert len(list((tmp_path / "maps").glob("*.png"))) == 4
    output = "a" * (room - 5) + ".html"
    assert cli("explain", names[0], *OWN, "--methods", "gradient", "-o", output).code == 0
    assert (tmp_path / output).exists()


@pytest.mark.parametrize(
    "words",
    [["explain", "x" * 300 + ".png", "-o", "a.html"], ["explain", "photo.png", "-o", "x" * 300 + ".html"]],
)
def test_a_name_that_is_too_long_is_a_sentence(cli, photo, words):
    photo()
    done = cli(*words, *OWN)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "ile name too long" in done.err


def test_a_network_without_probabilities_shows_scores(cli, photo, tmp_path):
    photo()
    source = (
        "import own\n\ndef model():\n    return own.ImageModel(own.network(), size=16, activation=None)\n"
    )
    (tmp_path / "plain.py").write_text(source)
    done = cli("explain", "photo.png", "--model", "plain:model", "--methods", "gradient", "-o", "a.npy")
    sys.modules.pop("plain")
    assert done.code == 0
    assert "%" not in done.out.splitlines()[0]


def test_nan_scores_are_reported(cli, photo, tmp_path):
    photo()
    source = (
        "import own\n\ndef model():\n    network = own.network()\n"
        "    network[-1].bias.data[0] = float('nan')\n    return own.ImageModel(network, size=16)\n"
    )
    (tmp_path / "diverged.py").write_text(source)
    for words in (["explain", "-o", "a.npy"], ["evaluate"]):
        done = cli(words[0], "photo.png", *words[1:], "--model", "diverged:model", "--methods", "gradient")
        assert done.code == 1
        assert "got NaN scores" in done.err
    sys.modules.pop("diverged")
