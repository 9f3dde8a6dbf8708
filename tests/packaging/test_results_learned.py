"""The page of learned explainers is that of its numbers, and draws its conclusions from them."""

import copy
import importlib
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results"


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("results_learned_page")


@pytest.fixture(scope="module")
def numbers():
    return json.loads((FOLDER / "learned.json").read_text(encoding="utf-8"))


def test_the_page_is_that_of_the_numbers(script, numbers):
    assert (FOLDER / "learned.md").read_text(encoding="utf-8") == script.page(numbers)


def test_a_failure_is_a_loss_of_half_the_gain(script, numbers):
    found = copy.deepcopy(numbers["domain"])
    found["photographs"] = found["scenes"]
    assert "still works" in script.outside(found)
    found["photographs"] = found["scenes"] | {"preserved": found["scenes"]["preserved_turned"]}
    assert "explainer fails" in script.outside(found)


def test_the_comparison_knows_its_errors(script):
    def row(name, deletion, seconds):
        values = {"deletion": [deletion, 0.01], "insertion": [0.5, 0.1], "pointing": [1.0, 0.0]}
        return {"name": name, "images": 9, "seconds": seconds} | values

    text = script.verdict([row("real-time saliency", 0.1, 0.01), row("extremal perturbations", 0.2, 1.0)])
    assert "about 1/100 of the time" in text
    assert "better in deletion, as good in insertion, as good in pointing" in text
    text = script.verdict([row("real-time saliency", 0.3, 0.01), row("extremal perturbations", 0.2, 1.0)])
    assert "worse in deletion" in text


def test_every_section_has_a_table(script):
    probe = {
        "network": "scenes_vgg", "probe": "FGSM", "images": 4, "reached": 2, "l2": 1.0, "linf": 0.1, "errors": {},
        "table": [{"method": "gradient", "images": 2, "dice": 0.2, "correlation": 0.1, "noise_dice": 0.7,
                   "noise_correlation": 0.9}],
    }  # fmt: skip
    recovery = {
        "network": "scenes_vgg", "probe": "FGSM", "images": 40, "reached": 36, "steps": 9, "probability": [0.9, 0.6],
        "shares": {"mask": [0.6, 1.0], "turned": [0.1, 0.5], "blurred": [0.0, 0.5]},
        "detection": {"mask": [0.5, 0.7], "gradient": [0.5, 0.5]}, "by_probability": 0.8,
    }  # fmt: skip
    unknown = recovery | {"probe": "DeepFool", "shares": {key: [0.5, 1.0] for key in recovery["shares"]}}
    unknown.pop("detection")
    header = {"threads": 1, "machine": "some", "torch": "2"}
    page = script.page({"header": header, "probes": [probe], "recovery": [recovery, unknown]})
    assert "| `gradient` | 0.20 | 0.70 | 0.10 | 0.90 |" in page
    assert "`gradient` 0.20 (0.50)" in page
    assert "| scenes_vgg | FGSM | 36 of 40 | 0.90, 0.60 | 60 % (100 %) | 10 % (50 %) | 0 % (50 %) |" in page
    assert "more labels than both baselines for FGSM on scenes_vgg; not more labels" in page
    assert "| scenes_vgg | FGSM | 36 | 60 ± 10 % | 50 ± 0 % | 80 % |" in page
    assert "The best map is, for FGSM on scenes_vgg the mask, less than the probability alone." in page


def pair_rows(pair_mass, single_mass):
    """Return rows with the given shares on the object; all else is equal."""
    rest = {"pointing": [1.0, 0.0], "variation": [0.2, 0.01], "png": [0.3, 0.01]}
    named = {
        "|g_s(x) - g_a(x)|": pair_mass, "|x - g_a(x)|": single_mass, "|x - x_a|, iterated FGSM": 0.1,
    }  # fmt: skip
    return [{"name": name, "mass": [mass, 0.01]} | rest for name, mass in named.items()]


def test_the_pair_is_compared_with_one_generator_and_with_its_task():
    pages = importlib.import_module("results_learned_pair_page")
    found = {"kept": 1.0, "changed": 0.95, "rows": pair_rows(0.6, 0.4)}
    text = pages.verdict(found)
    assert "lies more on the object, is as smooth and is as long as PNG" in text
    assert "6.0 times that of iterated FGSM, and its PNG 1.00 times as long" in text
    assert "do not solve" not in text
    text = pages.verdict(found | {"changed": 0.8, "rows": pair_rows(0.4, 0.41)})
    assert "lies as much on the object" in text
    assert "do not solve their task" in text
    assert "lies less on the object" in pages.verdict(found | {"rows": pair_rows(0.2, 0.41)})


def test_one_pixel_that_reaches_no_image_has_no_table(script):
    case = {
        "network": "scenes_vgg", "probe": "one pixel", "images": 4, "reached": 0, "l2": None, "linf": None,
        "errors": {}, "probabilities": [0.9, 0.8], "table": [],
    }  # fmt: skip
    found = {"population": 10, "generations": 3, "cases": [case]}
    page = script.page({"header": {"threads": 1, "machine": "some", "torch": "2"}, "pixels": found})
    assert "0 of 4 images changed class. Mean probability of the old class: 0.90 before, 0.80 after." in page
    assert "| map |" not in page


def test_maps_are_judged_by_hand():
    torch = pytest.importorskip("torch")
    pairs = importlib.import_module("results_learned_pair")
    maps = torch.zeros(2, 4, 4)
    maps[0, :2] = 1.0
    maps[1, 3, 3] = 2.0
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[:, 0] = True
    found = pairs.judged(maps, masks)
    assert found["mass"][0] == 0.25
    assert found["pointing"][0] == 0.5
    # Four differences of 1 down among 12, relative to 1/2; one of 2 in each direction among 12, relative to 1/8.
    assert found["variation"][0] == pytest.approx(((4 / 12) / 2 / 0.5 + (2 / 12) / (1 / 8)) / 2)
