"""The page about concepts: its verdicts from figures by hand, and the committed numbers that it is made of."""

import copy
import importlib
import json
import sys
from pathlib import Path

import pytest

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "results"


@pytest.fixture(scope="module")
def findings():
    return importlib.import_module("results_concepts_findings")


@pytest.fixture
def figures():
    """Figures of a network, by hand, in which every finding of the sources holds."""
    concepts = [["kite", "object"], ["ring", "part"], ["red", "color"], ["stamp", "mark"]]
    first = {
        "trained": [True] * 4,
        "positives": [50, 200, 200, 200],
        "size": [0.05, 0.02, 0.03, 0.01],
        "single": [0.1, 0.05, 0.05, 0.1],
        "combined": [0.2, 0.1, 0.2, 0.2],
        "accuracy_one": [0.6] * 4,
        "accuracy": [0.7] * 4,
        "zeros_single": [0.5] * 4,
        "zeros_combined": [0.1] * 4,
        "random": [0.05] * 4,
        "correlation": [0.9, 0.1, 0.1, 0.1],
        "significant": [True, False, False, False],
        "selected": [0, 2, 0, 2],
    }
    later = first | {"correlation": [0.9] * 4, "significant": [True] * 4}
    last = later | {"single": [0.31, 0.05, 0.05, 0.1], "combined": [0.3, 0.2, 0.2, 0.2]}
    rotations = {"own": {"unique": 9}, "rotated": [{"unique": 5}, {"unique": 6}]}
    return {
        "concepts": concepts,
        "layers": [first, later, dict(later), last],
        "filters": {
            "counts": [1, 2, 4, 8],
            "segmentation": [
                [0.1, 0.1, 0.1, 0.2],
                [0.2, 0.3, 0.1, 0.2],
                [0.3, 0.2, 0.1, 0.2],
                [0.3, 0.2, 0.2, 0.2],
            ],
            "classification": [[0.6] * 4] * 4,
        },
        "shuffled": [0.1] * 4,
        "rotation": {"layers": [rotations] * 3},
    }


def test_each_finding_has_the_verdict_that_its_figures_bear(figures, findings):
    for words, judge in findings.FINDINGS:
        assert judge(figures).startswith(("reproduced", "above")), (words, judge(figures))


def test_other_figures_have_another_verdict(figures, findings):
    other = copy.deepcopy(figures)
    for row in other["layers"]:
        row["single"], row["combined"] = row["combined"], row["single"]
    assert findings.combination_wins(other).startswith("reversed: 0 0 0 25 %")
    assert findings.falls_with_depth(other).startswith("reversed")
    assert findings.colors_gain_most(other).startswith("reversed")
    for row in other["layers"]:
        row["zeros_single"], row["zeros_combined"] = row["zeros_combined"], row["zeros_single"]
        row["accuracy"] = [*row["accuracy_one"][:2], 0.5, 0.5]
        row["correlation"] = [-0.9] * 4
        row["selected"] = [1, 1, 1, 1]
        row["positives"] = [500] * 4
    assert findings.fewer_zeros(other).startswith("reversed")
    assert findings.classification_wins(other).startswith("not reproduced: 50 50")
    assert findings.weights_follow_ious(other).startswith("not reproduced: 0 0")
    assert findings.filters_are_shared(other).startswith("not reproduced: last layer: 0% never, at most 1")
    assert findings.failures_are_rare_or_small(other).startswith(
        "not reproduced: of 15: 0 with few images, 0 small"
    )
    other["rotation"]["layers"] = [{"own": {"unique": 4}, "rotated": [{"unique": 5}]}]
    assert findings.rotation_lowers_detectors(other).startswith("reversed: 4 to 5.0")
    other["filters"]["segmentation"] = [[0.1, 0.2, 0.3, 0.2]] * 4
    assert findings.filters_needed(other).startswith("not reproduced: parts 1, objects 1, colors 1")
    assert findings.drops_after_peak(other).startswith("not reproduced")


def test_a_concept_without_a_score_is_left_out_of_the_shares(figures, findings):
    row = figures["layers"][0]
    row["combined"], row["single"] = [None, 0.1, 0.3, 0.1], [0.5, 0.1, 0.2, None]
    assert findings.share(row, "combined", "single") == 1
    row["combined"][1] = 0.05
    assert findings.share(row, "combined", "single") == 0.5


def test_few_filters_are_enough_from_95_percent_of_the_best(figures, findings):
    figures["filters"]["classification"] = [[0.5] * 4, [0.69] * 4, [0.692] * 4, [0.7] * 4]
    # Chance is 0.5: 0.69 is 95 % of the way from chance to 0.7.
    assert findings.saturation(figures, "classification", "object", 0.949) == 2
    assert findings.saturation(figures, "classification", "object", 0.955) == 4


def test_the_committed_page_is_made_of_the_committed_numbers():
    numbers = json.loads((COMMITTED / "concepts.json").read_text())
    page = importlib.import_module("results_concepts_page").page(numbers)
    assert (COMMITTED / "concepts.md").read_text() == page
    assert set(numbers["networks"]) == {"scenes_vgg", "scenes_resnet"}
    assert (COMMITTED / "concepts.png").exists()


def test_the_command_measures_every_part_and_writes_the_page(tmp_path, monkeypatch):
    script, routes = (
        importlib.import_module(name) for name in ("results_concepts", "results_concepts_routes")
    )
    monkeypatch.setattr(script, "SETTINGS", script.Descent(learning_rate=1e-3, epochs=1))
    monkeypatch.setattr(script, "LAYERS", {"scenes_vgg": script.LAYERS["scenes_vgg"][1:]})
    monkeypatch.setattr(script, "ROTATIONS", 1)
    monkeypatch.setattr(routes, "PHOTOGRAPHS", {"cat": "Egyptian cat"})
    for name, value in (("IMAGES", 12), ("EXAMPLES", 24), ("SETS", 3), ("DIRECTIONS", 3), ("COUNT", 3)):
        monkeypatch.setattr(routes, name, value)
    monkeypatch.setattr(
        sys, "argv", ["", "--train", "60", "--val", "24", "--networks", "scenes_vgg", "--out", str(tmp_path)]
    )
    script.main()
    numbers = json.loads((tmp_path / "concepts.json").read_text())
    found = numbers["networks"]["scenes_vgg"]
    assert {"layers", "rotation", "stamp", "vectors"} <= set(found)
    assert [row["layer"] for row in found["vectors"]["layers"]] == list(script.LAYERS["scenes_vgg"])
    # Every layer is at no distance from itself, and no two are the same.
    distances = numbers["distances"]["total"]
    assert [[value == 0 for value in row] for row in distances] == [
        [i == j for j in range(4)] for i in range(4)
    ]
    page = (tmp_path / "concepts.md").read_text()
    assert "60 training scenes, not the 3000" in page
    for _, judge in importlib.import_module("results_concepts_findings").FINDINGS:
        assert judge(found) in page
    for words in ("against the other concepts", "Distances D_ij", "Sums `object - texture", "Egyptian cat"):
        assert words in page
    assert (tmp_path / "concepts.png").stat().st_size > 1000
