"""The command that writes docs/results/evaluation: its marks, its findings, and a run on a few images."""

import importlib
import json
import sys

import pytest

from xai_widgets.metrics import METRICS
from xai_widgets.studies import Evaluation
from xai_widgets.studies.evaluation import Cell, Score
from xai_widgets.studies.store import Outcome


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("results_evaluation")


@pytest.fixture(scope="module")
def writer():
    return importlib.import_module("results_evaluation_page")


def evaluation(metric, **scores):
    """Return an evaluation of methods with given scores, one for each image."""
    cells = {
        Cell(method, None, image, 0, metric): Outcome(
            None if value is None else Score(value, 0), "", (), True
        )
        for method, values in scores.items()
        for image, value in enumerate(values)
    }
    return Evaluation({metric: METRICS[metric]}, {"network": cells})


def test_a_method_is_behind_or_above_where_the_paired_interval_has_one_sign(script):
    noise = [0.0, 0.3, -0.2, 0.1, -0.1, 0.2, -0.3, 0.0] * 4
    found = script.summary(
        evaluation(
            "insertion",
            random=[0.2 + each for each in noise],
            best=[0.9 + each for each in noise],
            # 0.05 less on every image: far less than the spread over images, and yet behind.
            close=[0.85 + each for each in noise],
            tied=[0.9 + each for each in reversed(noise)],
            useless=[0.2 + each for each in reversed(noise)],
        ),
        ["random"],
    )["insertion"]
    assert {name for name, one in found.items() if not one["behind"]} == {"best", "tied"}
    assert {name for name, one in found.items() if one["above"]} == {"best", "close", "tied"}


def test_the_direction_of_a_metric_decides_what_is_better(script):
    falls = [0.1 * each for each in range(10)]
    found = script.summary(
        evaluation("deletion", random=[each + 1 for each in falls], good=falls), ["random"]
    )["deletion"]
    assert not found["good"]["behind"]
    assert found["good"]["above"]
    assert found["random"]["behind"]


def test_images_that_one_of_two_methods_has_no_score_for_are_left_out(script):
    found = script.summary(
        evaluation("insertion", random=[0.5] * 6 + [None], good=[0.6] * 6 + [0.0]), ["random"]
    )["insertion"]
    assert found["random"]["n"] == 6
    assert found["good"]["above"]


def test_few_images_separate_nothing(script):
    found = script.summary(evaluation("insertion", random=[0.5] * 5, good=[0.9] * 5), ["random"])["insertion"]
    assert not found["random"]["behind"]
    assert not found["good"]["above"]


def test_cells_are_marked(writer):
    one = {"mean": 0.5, "low": 0.4, "high": 0.6, "missed": 0, "behind": True, "above": True}
    assert writer.cell(one, False) == "0.50 ± 0.10"
    assert writer.cell(one | {"behind": False}, False) == "**0.50 ± 0.10**"
    assert writer.cell(one | {"above": False}, False) == "*0.50 ± 0.10*"
    assert writer.cell(one | {"above": False, "missed": 2}, True) == "0.50 ± 0.10, 2 missed"
    assert writer.cell({"mean": None}, False) == writer.cell(None, False) == "–"
    assert writer.rounded(-0.001) == "0.00"


def test_agreement_is_the_rank_correlation_of_the_methods_in_the_direction_of_each_metric(writer):
    def rows(*means):
        return {name: {"mean": mean} for name, mean in zip("rabc", means, strict=True)}

    facts = {
        "references": ["r"],
        "metrics": {
            name: {"title": name, "direction": METRICS[name].direction, "category": METRICS[name].category}
            for name in ("deletion", "insertion", "pointing")
        },
    }
    scores = {
        "deletion": rows(9, 1, 2, 3),
        "insertion": rows(-9, 3, 2, 1),
        "pointing": rows(0, 1, 2, 3),
    }
    within, between, pair = writer.agreement(scores, facts)
    assert (within, between, pair) == (1, -1, (1, "deletion", "insertion"))


@pytest.mark.filterwarnings("ignore::xai_widgets.errors.ExplanationWarning")
def test_a_run_on_few_images_writes_numbers_and_page_and_continues(script, tmp_path, monkeypatch, capsys):
    chosen = ("deletion", "pointing", "randomization", "data_randomization", "passes")
    monkeypatch.setattr(script, "LEFT_OUT", set(METRICS) - set(chosen))
    monkeypatch.setattr(script, "QUICK", ("gradient", "grad_cam"))
    monkeypatch.setattr(script, "SLOW", {"integrated_gradients": {"steps": 2}})
    monkeypatch.setattr(script, "CHUNK", 2)
    monkeypatch.setattr(script, "SLOW_SCENES", 1)
    monkeypatch.setattr(script, "ROOT", tmp_path)
    options = ["--networks", "scenes_vgg", "--out", str(tmp_path), "--scenes"]
    computed = []
    evaluate = script.evaluate
    monkeypatch.setattr(
        script, "evaluate", lambda *a, **k: (computed.append(len(a[1])), evaluate(*a, **k))[1]
    )
    for count in (2, 3):
        monkeypatch.setattr(sys, "argv", ["results_evaluation.py", *options, str(count)])
        script.main()
    found = json.loads((tmp_path / "evaluation.json").read_text())
    scores = found["networks"]["scenes_vgg"]
    assert (scores["quick"]["images"], scores["slow"]["images"]) == (3, 1)
    assert set(scores["quick"]["metrics"]) == set(chosen)
    assert set(scores["slow"]["metrics"]) == {"deletion", "pointing", "passes"}
    rows = scores["quick"]["metrics"]["deletion"]
    assert set(rows) == {"random", "center", "class_blind", "gradient", "grad_cam"}
    assert all(one["n"] == 3 for one in rows.values())
    assert scores["slow"]["metrics"]["passes"]["integrated_gradients"]["mean"] > 4
    # The second run found the first two scenes in their file.
    files = sorted(path.name for path in (tmp_path / "build" / "evaluation").iterdir())
    assert [name for name in files if "quick" in name] == [
        "scenes_vgg_quick_0_2.sqlite",
        "scenes_vgg_quick_2_3.sqlite",
    ]
    page = (tmp_path / "evaluation.md").read_text()
    assert "## scenes_vgg" in page
    assert "| Grad-CAM |" in page
    assert "Deletion ↓" in page
