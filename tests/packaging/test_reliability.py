"""The page that tells how every explainer ends on many networks, and the command that writes it."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
OUTCOMES = {"ok", "warned", "refused"}


@pytest.fixture(scope="module")
def scripts():
    """The modules of the command, by the last part of their names."""
    names = ["networks", "unusual", "targets", "checks", "explainers", "explorers", "page"]
    return {name: importlib.import_module(f"reliability_{name}") for name in names}


@pytest.fixture(scope="module")
def found():
    return json.loads((ROOT / "docs" / "reliability.json").read_text(encoding="utf-8"))


def test_the_page_is_made_of_the_outcomes(scripts, found):
    assert (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8") == scripts["page"].page(found)


def test_every_explainer_was_tried_on_forty_networks_without_a_fault(scripts, found):
    networks = found["networks"]
    assert len(networks) >= 40
    assert {each["group"] for each in networks.values()} == {
        "torchvision",
        "timm",
        "transformers",
        "unusual",
        "targets",
    }
    for name, each in networks.items():
        cells = each["cells"]
        assert {outcome for outcome, _ in cells.values()} <= OUTCOMES, name
        assert all(words for outcome, words in cells.values() if outcome != "ok"), name
        # A network that is refused as a whole is tried no further.
        assert set(cells) == set(scripts["explainers"].EVERY) or cells["ImageModel"][0] == "refused", name


def test_every_method_is_among_the_explainers(scripts):
    from xai_widgets.methods import METHODS

    # Both inverses are tried by the functions that their methods call, with all of their units.
    inverses = {f"{name}_inverse" for name in scripts["explainers"].GROUPS["inverses"]}
    assert {*scripts["explainers"].EVERY, *inverses} >= set(METHODS)


def test_the_networks_of_the_page_are_those_of_the_command(scripts, found):
    known = {**scripts["networks"].NETWORKS, **scripts["unusual"].NETWORKS, **scripts["targets"].NETWORKS}
    assert {*found["networks"], *found["skipped"]} == set(known)


def test_the_commands_of_the_page_name_what_exists(scripts):
    for fault in scripts["page"].FAULTS:
        for path in re.findall(r"(?:tests|scripts)/[\w/.]+\.py", fault.command):
            assert (ROOT / path).exists(), path
        if fault.command.startswith("make "):
            assert f"\n{fault.command[5:]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_command_tries_two_networks(tmp_path):
    command = [sys.executable, str(SCRIPTS / "reliability.py"), "--write", "--out", str(tmp_path)]
    names = ["half", "Flatten and Linear"]
    methods = ["gradient", "grad_cam", "guided_backprop", "rise"]
    done = subprocess.run(
        [*command, "--networks", *names, "--methods", *methods], capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = json.loads((tmp_path / "reliability.json").read_text(encoding="utf-8"))
    assert set(made["networks"]) == set(names)
    outcomes = {name: made["networks"][name]["cells"] for name in names}
    assert outcomes["half"]["grad_cam"] == ["ok", ""]
    assert outcomes["Flatten and Linear"]["grad_cam"][0] == "refused"
    assert "a layer of output shape" in outcomes["Flatten and Linear"]["grad_cam"][1]
    page = (tmp_path / "reliability.md").read_text(encoding="utf-8")
    assert "| half |" in page
    assert "a layer of output shape" in page


# -- the checks themselves: each can fail -----------------------------------------------------------------------


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.head = torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.convolution(x).relu().mean((2, 3)))


@pytest.fixture
def trial(scripts):
    from xai_widgets import ImageModel

    checks = scripts["checks"]
    network = Small().eval()
    model = ImageModel(network, size=(8, 12), device="cpu")
    x = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(1))[[0, 0, 1]]
    return checks.Trial(network, model, x, torch.tensor([0, 1, 2]), 1e-7, checks.Reference(model))


def faults(scripts, trial, name, made):
    return {kind for kind, _ in scripts["checks"].method_faults(trial, name, made, {})}


def test_a_right_map_has_no_fault(scripts, trial):
    from xai_widgets.methods import METHODS

    for name in ("gradient", "guided_backprop", "grad_cam"):
        made = METHODS[name](trial.model, trial.images, trial.targets)
        assert faults(scripts, trial, name, made) == set()


def test_a_wrong_map_is_a_fault(scripts, trial):
    from xai_widgets.methods import METHODS

    plain = METHODS["gradient"](trial.model, trial.images, trial.targets)
    cam = METHODS["grad_cam"](trial.model, trial.images, trial.targets)
    assert faults(scripts, trial, "gradient", plain * 1.1) == {"value"}
    assert faults(scripts, trial, "gradient", plain * torch.nan) == {"finite"}
    assert faults(scripts, trial, "gradient", plain[:2]) >= {"shape"}
    assert faults(scripts, trial, "guided_backprop", plain) == {"plain"}
    assert faults(scripts, trial, "grad_cam", cam + 1) == {"value"}
    assert faults(scripts, trial, "occlusion", plain[[0, 0, 2]]) == {"classes"}
    assert faults(scripts, trial, "occlusion", plain[[0, 1, 0]]) == {"images"}
    assert faults(scripts, trial, "occlusion", plain.mT) == {"grid"}
    assert faults(scripts, trial, "occlusion", torch.ones_like(plain)) >= {"constant"}
    assert faults(scripts, trial, "lrp", plain * 1e-3) == {"sum"}


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.train(),
        lambda network: network.head.bias.data.add_(1),
        lambda network: network.head.weight.requires_grad_(False),
        lambda network: network.head.register_forward_hook(lambda *_: None),
    ],
)
def test_a_changed_network_is_a_fault(scripts, trial, change):
    checks = scripts["checks"]
    before = checks.state(trial.network, bits=True)
    assert list(checks.changes(trial.network, before)) == []
    change(trial.network)
    assert list(checks.changes(trial.network, before)) != []


def test_only_a_warning_of_the_fault_excuses_it(scripts):
    checks = scripts["checks"]
    fault = [("constant", "it is the same at every position")]
    assert checks.judged([], []).outcome == "ok"
    assert checks.judged([], ["a sum is off"]).outcome == "warned"
    assert checks.judged(fault, []).outcome == "FAULT"
    assert checks.judged(fault, ["its sum is off"]).outcome == "FAULT"
    assert checks.judged(fault, ["the map is 0 everywhere"]).outcome == "warned"


def test_only_one_helpful_sentence_is_a_refusal(scripts):
    checks = scripts["checks"]
    assert checks.refusal(ValueError("expected two, got one")).outcome == "refused"
    assert checks.refusal(RuntimeError("expected two, got one")).outcome == "FAULT"
    assert checks.refusal(ValueError("expected two\ngot one")).outcome == "FAULT"
    assert checks.refusal(TypeError("unsupported operand")).outcome == "FAULT"
    assert checks.recommended("expected positions, got none; try 'layer.1'") == "layer.1"
