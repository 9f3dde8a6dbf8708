"""Measure whether training with occlusions helps on generated scenes, and write docs/results/occlusion.

    python scripts/results_occlusion.py                      three seeds: about ten minutes on an idle core
    python scripts/results_occlusion.py --seeds 7            another seed, added to the page
    python scripts/results_occlusion.py --networks wide --only baseline joint joint_hs_0.5
    python scripts/results_occlusion.py --page               the page and its figures anew, from the numbers
    python scripts/results_occlusion.py --measure            all measures anew, from the kept weights
    python scripts/results_occlusion.py --quick              every part in seconds, in build/occlusion_quick

Each training is written when it has finished, and not repeated: an interrupted command continues when it is run again.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from results_occlusion_figures import SHOWN, curves, map_sheet
from results_occlusion_page import all_seeds, page
from results_occlusion_training import CONDITIONS, NETWORKS, PLAN, Recipe, measured, trained

ROOT = Path(__file__).resolve().parent.parent
SEEDS = (0, 1, 2)
QUICK = Recipe(scenes=22, epochs=1, batch=11, tested=22, mapped=11)


def main() -> None:
    """Train and measure, and write occlusion.json, occlusion.md and its figures."""
    given = arguments()
    recipe = QUICK if given.quick else Recipe()
    build = ROOT / "build"
    out = given.out or (build / "occlusion_quick" if given.quick else ROOT / "docs" / "results")
    weights = given.weights or (out if given.quick else build) / "occlusion_weights"
    for folder in (out, weights):
        folder.mkdir(parents=True, exist_ok=True)
    numbers = out / "occlusion.json"
    found = read(numbers, recipe)
    if not given.page:
        torch.set_num_threads(1)
        for name, condition, seed in todo(given.networks, given.only, given.seeds):
            if run(found, weights, recipe, (name, condition, seed), again=given.measure):
                numbers.write_text(json.dumps(found, indent=1) + "\n")
    (out / "occlusion.md").write_text(page(found))
    curves(found, out / "occlusion.png")
    first = all_seeds(found)[0]
    files = {condition: weights / file_name("wide", condition, first) for condition in SHOWN}
    if not map_sheet(files, recipe, out / "occlusion_maps.png"):
        print(
            f"expected the weights {', '.join(map(str, files.values()))}; the sheet of maps is not drawn anew"
        )


def arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=list(SEEDS), help="of scenes, weights and masks"
    )
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument(
        "--only", nargs="+", choices=list(CONDITIONS), default=list(CONDITIONS), help="conditions"
    )
    parser.add_argument("--out", type=Path, help="folder to write to")
    parser.add_argument("--weights", type=Path, help="folder of the trained weights")
    parser.add_argument("--quick", action="store_true", help="tiny settings, to try every part")
    parser.add_argument("--page", action="store_true", help="only the page, from occlusion.json")
    parser.add_argument("--measure", action="store_true", help="measure the kept weights again")
    return parser.parse_args()


def todo(
    networks: Sequence[str], conditions: Sequence[str], seeds: Sequence[int]
) -> list[tuple[str, str, int]]:
    """Return network, condition and seed of each training, seed after seed."""
    return [
        (name, condition, seed)
        for seed in seeds
        for name in networks
        for condition in PLAN[name]
        if condition in conditions
    ]


def read(numbers: Path, recipe: Recipe) -> dict[str, Any]:
    """Return the numbers of a file, or none if it does not exist.

    Raises
    ------
    SystemExit
        If the file has numbers of other settings, which cannot stand beside new ones.
    """
    if not numbers.exists():
        header = {"threads": 1, "machine": platform.machine(), "torch": torch.__version__.split("+")[0]}
        return {"header": header, "recipe": asdict(recipe), "runs": {}}
    found: dict[str, Any] = json.loads(numbers.read_text())
    if found["recipe"] != asdict(recipe):
        raise SystemExit(
            f"expected numbers of {asdict(recipe)} in {numbers}, got {found['recipe']}; choose another --out"
        )
    return found


def run(
    found: dict[str, Any], weights: Path, recipe: Recipe, which: tuple[str, str, int], *, again: bool = False
) -> bool:
    """Add one training to the numbers; return False if there is nothing to do.

    With ``again``, a network that is in the numbers and whose weights are kept is measured without training.
    """
    name, condition, seed = which
    own = found["runs"].setdefault(name, {}).setdefault(condition, {})
    file = weights / file_name(*which)
    facts = {key: own[str(seed)][key] for key in ("loss", "seconds")} if str(seed) in own else None
    if facts is None:
        net, facts = trained(name, condition, recipe, seed)
        torch.save(net.state_dict(), file)
    elif again and file.exists():
        net = NETWORKS[name]().eval()
        net.load_state_dict(torch.load(file, weights_only=True))
    else:
        return False
    own[str(seed)] = {**facts, **measured(net, recipe, seed)}
    print(f"{name}, {condition}, seed {seed}: {own[str(seed)]['top1']:.2f} %", flush=True)
    return True


def file_name(name: str, condition: str, seed: int) -> str:
    """Return the name of the file with the weights of a training."""
    return f"{name.replace(', ', '_')}-{condition}-{seed}.pt"


if __name__ == "__main__":
    main()
