"""`evaluate`: the table and the file hold the scores of the metrics."""

import csv
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from closeness import near
from networks import one_sentence

from xai_widgets import metrics
from xai_widgets.cli import evaluate
from xai_widgets.cli.errors import UsageError
from xai_widgets.methods import get
from xai_widgets.metrics import METRICS
from xai_widgets.studies import ScoreStore

OWN = ("--model", "own:model")


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def columns(line):
    return re.split(r"  +", line)


def test_the_file_holds_the_scores_and_the_table_their_mean_and_deviation(cli, photo):
    paths = [photo(f"{name}.png", seed) for seed, name in enumerate("abc")]
    words = ("--methods", "gradient,grad_cam", "--steps", 16, "--metrics", "deletion,insertion,monotonicity")
    done = cli("evaluate", *paths, *OWN, *words, "--csv", "out.csv")
    assert (done.code, done.err) == (0, "")
    model = sys.modules["own"].model()
    values = {}
    for row, (path, name) in zip(
        rows_of("out.csv"), ((p, n) for p in paths for n in ("gradient", "grad_cam")), strict=True
    ):
        assert (row["image"], row["method"]) == (path.name, name)
        assert row["class"] == model.predict(path, 1)[0][0].label
        saliency = get(name).saliency(model, path)
        for measure, function in (("deletion", metrics.deletion), ("insertion", metrics.insertion)):
            auc = function(model, path, saliency, steps=16).result(progress=False).auc.item()
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
    assert [row["image"] for row in rows] == ["scene 0", "scene 0", "scene 1", "scene 1"]
    assert len({row["class"] for row in rows}) > 2
    assert {row["pointing"] for row in rows} <= {"0", "1"}
    assert "pointing (best 1)" in done.out
    other = cli("evaluate", "--scenes", 2, "--seed", 1, *words)
    assert other.out.splitlines()[1] != done.out.splitlines()[1]


def test_pointing_needs_to_know_what_is_where():
    def names(given, masks):
        return [metric.name for metric in evaluate.choose_metrics(given, masks=masks)]

    assert names(None, True) == ["deletion", "insertion", "pointing"]
    assert names(None, False) == ["deletion", "insertion"]
    with pytest.raises(UsageError) as error:
        names(["pointing"], False)
    assert "scenes_resnet" in one_sentence(error)


def test_a_folder_is_measured_but_for_what_cannot_be_read(cli, photo, corrupt):
    photo("photos/a.png", 1)
    corrupt("photos/b.png")
    photo("photos/c.PNG", 2)
    (photo("photos/d.png").parent / "notes.txt").write_text("not an image", encoding="utf-8")
    words = ("--methods", "gradient,own:broken", "--steps", 4, "--csv", "out.csv")
    done = cli("evaluate", "photos", *OWN, *words)
    assert done.code == 1
    assert done.err.splitlines() == [
        "a.png, c.PNG, d.png: broken failed: this method is broken",
        "b.png: not measured: expected a complete image file, got 'b.png', which is broken or truncated",
    ]
    assert [row["image"] for row in rows_of("out.csv")] == ["a.png", "c.PNG", "d.png"]
    assert columns(done.out.splitlines()[2]) == ["broken", "0", "-", "-"]


def test_a_map_that_cannot_be_put_in_order_is_reported(cli, photo, tmp_path):
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

    def stop(explanation, steps=None):
        raise KeyboardInterrupt

    monkeypatch.setitem(METRICS, "insertion", replace(METRICS["insertion"], function=stop, several=None))
    done = cli("evaluate", "photo.png", *OWN, "--methods", "gradient", "--steps", 4, "--csv", "out.csv")
    assert (done.code, done.out, done.err) == (130, "", "xai-widgets: interrupted\n")
    assert files() == before


def test_files_of_one_name_are_distinguished(cli, photo):
    for number, name in enumerate(["a/x.png", "b/x.png", "b/y.png"]):
        photo(name, number)
    words = ("--methods", "gradient", "--metrics", "deletion", "--steps", 4, "--csv", "out.csv")
    assert cli("evaluate", "a", "b", *OWN, *words).code == 0
    assert [row["image"] for row in rows_of("out.csv")] == ["a/x.png", "b/x.png", "y.png"]


def test_one_measure_takes_no_other_with_it(cli, photo, monkeypatch):
    def broken(explanation, steps=None):
        raise RuntimeError("cannot be measured today")

    monkeypatch.setitem(METRICS, "insertion", replace(METRICS["insertion"], function=broken, several=None))
    photo()
    done = cli("evaluate", "photo.png", *OWN, "--methods", "gradient", "--steps", 4)
    assert done.code == 1
    assert "cannot be measured today" in done.err
    assert columns(done.out.splitlines()[1])[2:] != ["-", "-"]
    assert columns(done.out.splitlines()[1])[3] == "-"


def test_every_metric_of_one_map_is_offered(cli):
    words = ("--model", "scenes_vgg", "--methods", "grad_cam", "--metrics", "randomization,pointing")
    done = cli("evaluate", "--scenes", 1, *words, "--csv", "out.csv")
    assert (done.code, done.err) == (0, "")
    assert columns(done.out.splitlines()[0])[2:] == ["randomization (best 0)", "pointing (best 1)"]
    assert all(0 <= float(row["randomization"]) <= 1 for row in rows_of("out.csv"))


def test_a_store_keeps_the_scores_for_the_next_call(cli, photo):
    path = photo("a.png", 1)
    words = ("--methods", "gradient", "--steps", 4, "--metrics", "deletion", "--store", "scores.sqlite")
    first = cli("evaluate", path, *OWN, *words)
    again = cli("evaluate", path, *OWN, *words)
    assert (first.code, again.code) == (0, 0)
    assert again.out == first.out
    other = cli("evaluate", path, *OWN, *words[:3], 5, *words[4:])
    assert other.code != 0
    assert "differs in its options of deletion" in other.err


def test_a_store_notes_the_seed_once_as_evaluate_does(cli, photo):
    path = photo("a.png", 1)
    words = ("--methods", "gradient", "--metrics", "infidelity", "--seed", 3, "--store", "scores.sqlite")
    assert cli("evaluate", path, *OWN, *words).code == 0
    facts = {name.split(": ")[1]: fact for name, fact in ScoreStore("scores.sqlite", "any").facts().items()}
    assert facts["seed"] == 3
    assert "seed" not in facts["options of infidelity"]


def test_the_permuted_network_is_named_and_the_difficult_subset_is_offered(cli):
    metrics = ("--scenes", 1, "--methods", "grad_cam", "--metrics", "data_randomization,pointing_difficult")
    done = cli("evaluate", *metrics, "--permuted", "scenes_vgg_permuted")
    assert done.code == 0
    assert "data_randomization" in done.out
    refused = cli("evaluate", *metrics)
    assert refused.code != 0
    assert "expected --permuted NAME" in refused.err


def test_the_seed_is_that_of_methods_and_metrics_too(cli, photo):
    path = photo("a.png", 1)
    words = ("--methods", "smoothgrad", "--metrics", "morf,infidelity", "--store")
    found = {}
    for seed in (0, 1):
        for again in (0, 1):
            done = cli(
                "evaluate", path, *OWN, "--seed", seed, *words, f"{seed}{again}.sqlite", "--csv", "a.csv"
            )
            assert done.code == 0
            found[seed, again] = [(row["morf"], row["infidelity"]) for row in rows_of("a.csv")]
    assert found[0, 0] == found[0, 1]
    assert found[1, 0] == found[1, 1]
    assert all(a != b for a, b in zip(found[0, 0][0], found[1, 0][0], strict=True))
    other = cli("evaluate", path, *OWN, "--seed", 2, *words, "00.sqlite")
    assert other.code != 0
    assert "seed" in other.err
