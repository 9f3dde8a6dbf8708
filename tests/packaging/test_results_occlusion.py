"""The study of training with occlusions: its measures, its verdicts, its page, and the command on tiny settings."""

import importlib
import json
import math
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results"


@pytest.fixture(scope="module")
def training():
    return importlib.import_module("results_occlusion_training")


@pytest.fixture(scope="module")
def findings():
    return importlib.import_module("results_occlusion_findings")


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("results_occlusion")


def runs(**accuracies):
    """Return numbers of the wide network: accuracies by seed, for each condition."""
    maps = {kind: {"on": 40.0, "off": 5.0, "top": 60.0} for kind in ("saliency", "grad_cam")}
    return {
        "runs": {
            "wide": {
                name: {str(seed): {"top1": value, "maps": maps} for seed, value in enumerate(values)}
                for name, values in accuracies.items()
            }
        }
    }


def test_the_interval_of_a_difference_is_that_of_the_paired_t_test(findings):
    found = runs(joint=[90, 91, 92], joint_cutout_8=[91, 93, 95])
    against = findings.difference(found, "wide", "joint_cutout_8")
    assert against.values == (1, 2, 3)
    # The 97.5 % quantile of Student's t with two degrees of freedom is 4.3027; the deviation 1.
    assert math.isclose(against.margin, 4.3027 / math.sqrt(3), rel_tol=1e-4)
    assert against.sign == 0
    assert str(against) == "+2.0 ± 2.5"


def test_pairs_are_of_equal_seeds_and_one_seed_bears_no_conclusion(findings):
    found = runs(joint=[90, 91], batch=[95])
    against = findings.difference(found, "wide", "batch")
    assert (against.seeds, against.values, against.sign) == ((0,), (5,), 0)
    assert str(against) == "+5.0"
    assert findings.difference(found, "wide", "joint_saliency") is None


def test_a_verdict_is_the_sign_of_all_intervals(findings):
    def verdict(*differences, expected=1):
        return findings.verdict([findings.Difference((0, 1, 2), each) for each in differences], expected)

    above, below, unclear = (2.0, 2.1, 2.2), (-2.0, -2.1, -2.2), (-1.0, 2.0, 0.5)
    assert verdict(above, above).startswith("reproduced: +2.1 ± 0.2, ")
    assert verdict(below, below).startswith("reversed: ")
    assert verdict(unclear).startswith("not decided: ")
    assert verdict(above, unclear).startswith("partly reproduced (1 of 2): ")
    assert verdict(above, below).startswith("not reproduced: ")
    assert verdict(unclear, expected=0).startswith("not distinguished from 0: ")
    assert verdict(above, expected=0).startswith("not reproduced: ")
    assert findings.verdict([None], 1) == "not measured"
    alone = findings.Difference((7,), (2.0,))
    assert findings.verdict([alone, None], 0) == "not decided by one seed: +2.0, not measured"


def test_the_best_keep_patch_falls_with_capacity_or_does_not(findings):
    rising = {"joint_hs_0.5": [80, 80], "joint_hs_0.7": [81, 81], "joint_hs_0.9": [82, 82]}
    falling = {name: values for name, values in zip(rising, reversed(rising.values()), strict=True)}
    found = {"runs": {"narrow": runs(**rising)["runs"]["wide"], "wide": runs(**falling)["runs"]["wide"]}}
    assert findings.best_patches(found) == (
        "reproduced: narrow 0.9 (by seed 0.9 0.9), wide 0.5 (by seed 0.5 0.5)"
    )
    found["runs"]["narrow"], found["runs"]["wide"] = found["runs"]["wide"], found["runs"]["narrow"]
    assert findings.best_patches(found).startswith("not reproduced")


def test_coverage_of_an_object_by_a_map(training):
    found = torch.tensor([[[4.0, 2.0], [1.0, 3.0]], [[0.0, 0.0], [0.0, 0.0]]])
    objects = torch.tensor([[[True, True], [False, False]], [[True, False], [False, False]]])
    # The first map: 4 and 2 of the object and 3 of the rest are high; 4 and 3 are highest. The second covers nothing.
    assert training.coverage(found, objects) == {"on": 50.0, "off": 25.0, "top": 25.0}


def test_batches_of_the_conditions(training):
    batch = torch.rand(8, 3, training.SIDE, training.SIDE) + 1, torch.arange(8)
    for name, condition in training.CONDITIONS.items():
        x, y = condition.collate()(batch)
        count = 8 if condition.kind == "single" else 16
        assert x.shape == (count, 3, training.CROP, training.CROP), name
        assert torch.equal(y, torch.arange(8).repeat(count // 8))
        hidden = (x == training.MEAN[0]).all(1)
        assert (condition.occlusion is not None) == bool(hidden.any())
        if condition.kind == "joint":
            assert torch.equal(
                x[8:][~hidden[8:, None].expand_as(x[8:])], x[:8][~hidden[8:, None].expand_as(x[:8])]
            )
            assert not hidden[:8].any()
    x, _ = training.CONDITIONS["batch"].collate()(batch)
    assert not torch.equal(x[:8], x[8:])


def test_the_duplicated_batch_has_the_gradient_of_the_batch(training):
    torch.manual_seed(0)
    net = training.network(4).double().train()
    x, y = torch.randn(6, 3, 32, 32, dtype=torch.float64), torch.arange(6)
    gradients = []
    for images, labels in ((x, y), (torch.cat([x, x]), torch.cat([y, y]))):
        loss = torch.nn.functional.cross_entropy(net(images), labels)
        gradients.append(torch.autograd.grad(loss, list(net.parameters())))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_a_seed_repeats_a_training(training):
    recipe = training.Recipe(scenes=22, epochs=1, batch=11, tested=22, mapped=11)
    first, again, other = (
        training.trained("narrow", "joint_hs_0.5", recipe, seed)[0].state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def run(script, monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["results_occlusion.py", *map(str, options)])
    script.main()


@pytest.mark.filterwarnings("ignore:the map of Grad-CAM")
def test_the_command_trains_resumes_and_adds_a_seed(script, tmp_path, monkeypatch, capsys):
    some = ("--quick", "--out", tmp_path, "--networks", "wide", "--only", "baseline", "joint", "joint_hs_0.5",
            "joint_saliency", "batch_cutout_0.5")  # fmt: skip
    run(script, monkeypatch, *some, "--seeds", 0)
    assert capsys.readouterr().out.count("seed 0") == 5
    before = json.loads((tmp_path / "occlusion.json").read_text())
    run(script, monkeypatch, *some, "--seeds", 0, 7)
    printed = capsys.readouterr().out
    assert ("seed 0" in printed, printed.count("seed 7")) == (False, 5)
    after = json.loads((tmp_path / "occlusion.json").read_text())
    for condition, each in before["runs"]["wide"].items():
        assert after["runs"]["wide"][condition]["0"] == each["0"]
        assert 0 <= after["runs"]["wide"][condition]["7"]["top1"] <= 100
    page = (tmp_path / "occlusion.md").read_text()
    assert "| seed 0 | seed 7 |" in page
    for name in ("occlusion.png", "occlusion_maps.png"):
        assert (tmp_path / name).stat().st_size > 5_000
        assert f"({name})" in page
    (tmp_path / "occlusion.md").unlink()
    run(script, monkeypatch, "--quick", "--out", tmp_path, "--page")
    assert (tmp_path / "occlusion.md").read_text() == page
    # Measured again from the weights: the same numbers.
    run(script, monkeypatch, *some, "--seeds", 7, "--measure")
    assert json.loads((tmp_path / "occlusion.json").read_text()) == after


def test_numbers_of_other_settings_are_refused(script, tmp_path, monkeypatch):
    (tmp_path / "occlusion.json").write_text(json.dumps({"recipe": {"scenes": 1}, "runs": {}}))
    with pytest.raises(SystemExit, match="choose another --out"):
        run(script, monkeypatch, "--quick", "--out", tmp_path)


def test_the_page_is_that_of_the_numbers(script):
    numbers = json.loads((FOLDER / "occlusion.json").read_text(encoding="utf-8"))
    assert (FOLDER / "occlusion.md").read_text(encoding="utf-8") == script.page(numbers)
    seeds = {seed for each in numbers["runs"]["wide"].values() for seed in each}
    assert len(seeds) >= 3
