"""`evaluate`: what the table and the file say is what the measures return."""

import csv
import math
import re
import sys

import numpy as np
import pytest
import torch
from closeness import near
from networks import one_sentence

from xai_widgets import load, metrics
from xai_widgets.cli import evaluate
from xai_widgets.cli.evaluate import MEASURES, Case, Map, Row, cases_of, spread
from xai_widgets.cli.failures import Mistake
from xai_widgets.cli.inputs import generated
from xai_widgets.cli.parsing import METRICS
from xai_widgets.methods import get

OWN = ("--model", "own:model")


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def columns(line):
    return re.split(r"  +", line)


@pytest.fixture(scope="module")
def scenes_vgg():
    return load("scenes_vgg", device="cpu")


def test_help_and_program_know_the_same_measures():
    assert list(MEASURES) == list(METRICS)


def test_the_file_holds_the_measures_and_the_table_their_mean_and_deviation(cli, photo):
    paths = [photo(f"{name}.png", seed) for seed, name in enumerate("abc")]
    words = ("--methods", "gradient,grad_cam", "--steps", 16, "--metrics", "deletion,insertion,monotonicity")
    done = cli("evaluate", *paths, *OWN, *words, "--csv", "out.csv")
    assert (done.code, done.err) == (0, "")
    model = sys.modules["own"].model()
    values = {}
    for row, (path, name) in zip(
        rows_of("out.csv"), ((p, n) for p in paths for n in ("gradient", "grad_cam")), strict=True
    ):
        assert (row["picture"], row["method"]) == (path.name, name)
        assert row["class"] == model.predict(path, 1)[0][0].label
        saliency = get(name).saliency(model, path)
        for measure, game in (("deletion", metrics.deletion), ("insertion", metrics.insertion)):
            auc = game(model, path, saliency, steps=16).result(progress=False).auc.item()
            assert float(row[measure]) == near(auc)
            values.setdefault((name, measure), []).append(auc)
        assert row["monotonicity"] in ("0", "1")
    head, *lines, wrote = done.out.splitlines()
    assert columns(head) == [
        *("method", "maps", "deletion (best 0)", "insertion (best 1)", "monotonicity (best 1)")
    ]
    assert [columns(line)[:2] for line in lines] == [["gradient", "3"], ["grad_cam", "3"]]
    for line, name in zip(lines, ("gradient", "grad_cam"), strict=True):
        auc = values[name, "insertion"]
        assert columns(line)[3] == f"{np.mean(auc):.3f} ± {np.std(auc, ddof=1):.3f}"
    assert re.fullmatch(r"wrote out\.csv \(6 rows, \d+ bytes\)", wrote)


def test_scenes_are_measured_for_each_class_that_is_in_them(cli):
    words = ("--model", "scenes_vgg", "--methods", "grad_cam", "--steps", 4)
    done = cli("evaluate", "--scenes", 2, *words, "--csv", "out.csv")
    assert done.code == 0
    rows = rows_of("out.csv")
    assert [row["picture"] for row in rows] == ["scene 0", "scene 0", "scene 1", "scene 1"]
    assert len({row["class"] for row in rows}) > 2
    assert {row["pointing"] for row in rows} <= {"0", "1"}
    assert "pointing (best 1)" in done.out
    other = cli("evaluate", "--scenes", 2, "--seed", 1, *words)
    assert other.out.splitlines()[1] != done.out.splitlines()[1]


def test_a_mask_lies_where_its_class_is_in_the_picture_as_the_network_sees_it(scenes_vgg):
    (scene,) = generated(1, 0)
    first, second = cases_of(scenes_vgg, scene, None)
    for case, (k, mask) in zip((first, second), scene.classes.items(), strict=True):
        assert case.target == k
        assert (case.mask.numpy() == mask).all()
    (absent,) = cases_of(scenes_vgg, scene, next(k for k in range(12) if k not in scene.classes))
    assert absent.mask is None


def test_pointing_is_a_hit_on_the_object_alone(scenes_vgg):
    (scene,) = generated(1, 0)
    case = cases_of(scenes_vgg, scene, None)[0]
    on = case.mask.float()[None]
    far = torch.zeros_like(on)
    rows, cells = torch.where(case.mask)
    far[0, 95 if rows.float().mean() < 48 else 0, 95 if cells.float().mean() < 48 else 0] = 1
    assert MEASURES["pointing"](Map(scenes_vgg, case, on, None)) == 1
    assert MEASURES["pointing"](Map(scenes_vgg, case, far, None)) == 0
    nowhere = Case(case.name, case.x, case.target, None)
    assert math.isnan(MEASURES["pointing"](Map(scenes_vgg, nowhere, on, None)))


@pytest.mark.parametrize(
    ("scores", "wanted"), [([0.1, 0.3, 0.5, 0.5], 1), ([0.1, 0.3, 0.2, 0.5], 0), ([0.1, 0.6, 0.2, 0.5], 1)]
)
def test_monotonicity_ends_where_the_whole_image_is_reached(monkeypatch, scores, wanted):
    # From no pixel, which does not count, in three steps to all of them.
    curve = metrics.Curve("insertion", torch.arange(4) / 3, torch.tensor([scores]), None, None)
    monkeypatch.setattr(evaluate, "_inserted", lambda made, steps: curve)
    case = Case("a", torch.zeros(1, 3, 2, 2), 0, None)
    assert MEASURES["monotonicity"](Map(None, case, None, None)) == wanted


def test_the_mean_of_pointing_is_over_classes_and_without_deviation():
    def row(target, value):
        return Row(Case("a", None, target, None), "gradient", {"pointing": value, "deletion": value})

    rows = [row(0, 1.0), row(0, 1.0), row(0, 0.0), row(5, 0.0), row(5, math.nan)]
    assert spread(rows, "pointing") == f"{(2 / 3 + 0) / 2:.3f}"
    assert spread(rows, "deletion") == "0.500 ± 0.577"
    assert spread(rows[:1], "deletion") == "1.000"
    assert spread(rows[-1:], "pointing") == "-"


def test_pointing_needs_to_know_what_is_where():
    assert evaluate.check_measures(None, pointing=True) == ["deletion", "insertion", "pointing"]
    assert evaluate.check_measures(None, pointing=False) == ["deletion", "insertion"]
    with pytest.raises(Mistake) as error:
        evaluate.check_measures(["pointing"], pointing=False)
    assert "scenes_resnet" in one_sentence(error)


def test_a_folder_is_measured_but_for_what_cannot_be_read(cli, photo, corrupt):
    photo("photos/a.png", 1)
    corrupt("photos/b.png")
    photo("photos/c.PNG", 2)
    (photo("photos/d.png").parent / "notes.txt").write_text("no picture", encoding="utf-8")
    words = ("--methods", "gradient,own:broken", "--steps", 4, "--csv", "out.csv")
    done = cli("evaluate", "photos", *OWN, *words)
    assert done.code == 1
    assert done.err.splitlines() == [
        "a.png, c.PNG, d.png: broken failed: this method is broken",
        "b.png: not measured: expected a complete image file, got 'b.png', which is broken or truncated",
    ]
    assert [row["picture"] for row in rows_of("out.csv")] == ["a.png", "c.PNG", "d.png"]
    assert columns(done.out.splitlines()[2]) == ["broken", "0", "-", "-"]


def test_a_map_that_cannot_be_put_in_order_is_told(cli, photo, tmp_path):
    photo()
    (tmp_path / "bad.py").write_text("def nan(model, x, target):\n    return x[:, 0] * float('nan')\n")
    done = cli("evaluate", "photo.png", *OWN, "--methods", "bad:nan,gradient", "--steps", 4)
    sys.modules.pop("bad")
    assert done.code == 1
    assert done.err.startswith("photo.png: nan failed: expected a finite map of nan for Sequential, got NaN")
    assert done.err.count("\n") == 1


def test_nothing_is_written_where_nothing_could_be_measured(cli, corrupt, files):
    corrupt()
    before = files()
    done = cli("evaluate", "corrupt.png", *OWN, "--csv", "out.csv")
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("xai-widgets: nothing could be measured\n")
    assert files() == before


def test_an_interrupt_leaves_no_file(cli, photo, files, monkeypatch):
    photo()
    before = files()

    def stop(made):
        raise KeyboardInterrupt

    monkeypatch.setitem(MEASURES, "insertion", stop)
    done = cli("evaluate", "photo.png", *OWN, "--methods", "gradient", "--steps", 4, "--csv", "out.csv")
    assert (done.code, done.out, done.err) == (130, "", "xai-widgets: interrupted\n")
    assert files() == before


def test_files_of_one_name_are_told_apart(cli, photo):
    for number, name in enumerate(["a/x.png", "b/x.png", "b/y.png"]):
        photo(name, number)
    words = ("--methods", "gradient", "--metrics", "deletion", "--steps", 4, "--csv", "out.csv")
    assert cli("evaluate", "a", "b", *OWN, *words).code == 0
    assert [row["picture"] for row in rows_of("out.csv")] == ["a/x.png", "b/x.png", "y.png"]


def test_one_measure_takes_no_other_with_it(cli, photo, monkeypatch):
    def broken(made):
        raise RuntimeError("cannot be measured today")

    monkeypatch.setitem(MEASURES, "insertion", broken)
    photo()
    done = cli("evaluate", "photo.png", *OWN, "--methods", "gradient", "--steps", 4)
    assert done.code == 1
    assert "cannot be measured today" in done.err
    assert columns(done.out.splitlines()[1])[2:] != ["-", "-"]
    assert columns(done.out.splitlines()[1])[3] == "-"
