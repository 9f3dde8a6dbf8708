"""The check of a GPU runs without one: on the CPU, on the simulated device, and with few packages beside torch."""

import json
import subprocess
import sys
from pathlib import Path

import gpu_check
import pytest
import simulated_device

ROOT = Path(__file__).resolve().parents[2]
#: Packages that a machine with torch may lack, and that the package must not need there.
ABSENT = ("anywidget", "ipywidgets", "IPython", "traitlets", "pytest", "sklearn", "skimage", "scipy", "timm",
          "torchvision", "captum", "torchcam", "zennit", "matplotlib", "pandas", "transformers")  # fmt: skip
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({absent}))
sys.path.insert(0, "scripts")
import gpu_check
sys.exit(gpu_check.main(sys.argv[1:]))
"""


def found(folder):
    return json.loads((folder / "gpu_check.json").read_text())


@pytest.mark.parametrize("device", ["cpu", "simulated"])
def test_results_and_speed_are_written(device, tmp_path):
    if device == "simulated" and not simulated_device.AVAILABLE:
        pytest.skip("this torch has no backends in Python")
    arguments = ["--device", device, "--only", "gradient", "--seconds", "60", "--out", str(tmp_path)]
    # Its own process: a device that is registered after a backward pass has no thread for its own.
    script = [sys.executable, "scripts/gpu_check.py", *arguments]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    made = found(tmp_path)
    assert {each["status"] for each in made["results"]} == {"equal"}
    assert "method integrated_gradients" in [each["name"] for each in made["results"]]
    races = {each["method"]: each for each in made["speed"]}
    assert {"gradient", "rise", "occlusion"} <= set(races)
    assert all(each["bare"]["seconds"] > 0 and each["ours"]["seconds"] > 0 for each in races.values())
    text = (tmp_path / "performance_gpu.md").read_text()
    assert f"(`{'cpu' if device == 'cpu' else 'simulated:0'}`)" in text
    assert "| small | rise | 192 forward |" in text
    if device == "simulated":
        assert all(each["synchronizations"] > 0 for each in made["results"])


def test_packages_are_packed_and_unpacked_on_the_other_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "PACKAGES", ("tqdm",))
    monkeypatch.setattr(gpu_check, "PACKED", tmp_path / "site")
    monkeypatch.setattr(gpu_check, "ARCHIVE", tmp_path / "site.tar.gz")
    assert gpu_check.main(["--pack"]) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["site.tar.gz"]
    gpu_check.unpack()
    assert (tmp_path / "site" / "tqdm" / "__init__.py").exists()


def test_a_wrong_result_fails_the_check(tmp_path, monkeypatch):
    import gpu_cases

    values = iter([1.0, 1.0, 1.0, 2.0])
    cases = {"method same": lambda device: next(values), "method other": lambda device: next(values)}
    monkeypatch.setattr(gpu_cases, "cases", lambda: iter(cases.items()))
    monkeypatch.setattr(gpu_check, "speed", lambda check: None)
    monkeypatch.setattr(gpu_check, "ENDS", gpu_check.ENDS | {"<lambda>": 1.0})
    assert gpu_check.main(["--device", "cpu", "--out", str(tmp_path)]) == 1
    assert [each["status"] for each in found(tmp_path)["results"]] == ["equal", "differs"]
    assert "| method other | differs" in (tmp_path / "performance_gpu.md").read_text()


def test_without_time_everything_is_skipped_with_a_reason(tmp_path):
    assert gpu_check.main(["--device", "cpu", "--seconds", "0", "--out", str(tmp_path)]) == 0
    made = found(tmp_path)
    assert made["results"] == made["speed"] == []
    assert {"method gradient", "metric deletion", "speed on EfficientNet-Lite0"} <= {
        each["what"] for each in made["skipped"]
    }
    assert all("time" in each["reason"] for each in made["skipped"])


def test_it_runs_with_few_packages_beside_torch(tmp_path):
    code = WITHOUT.format(absent=ABSENT)
    arguments = ["--device", "cpu", "--only", "method g", "--seconds", "60", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = found(tmp_path)
    assert len(made["results"]) > 5
    assert {each["status"] for each in made["results"]} == {"equal"}
    assert "captum gradient" in [each["what"] for each in made["skipped"]]
