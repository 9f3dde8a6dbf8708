"""docs/reliability.md from the outcomes of reliability.py, and the faults that the tests of the project cause."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from reliability_explainers import GROUPS

OUTCOMES = ("ok", "warned", "refused", "FAULT")
LIBRARIES = {
    "torchvision": "torchvision", "timm": "timm", "transformers": "transformers", "unusual": "written in unusual ways",
    "targets": "other outputs and inputs",
}  # fmt: skip


class Fault(NamedTuple):
    """What is done to the package, what has to hold afterwards, and the command that does it again."""

    what: str
    holds: str
    command: str


FAULTS = (
    Fault(
        "A script ends while an explorer computes: by its last line, an export, `SystemExit`, an exception, "
        "`cancel()`, `close()` or `wait(0.1)`; as a script, module, command, test and subprocess",
        "Its own exit code and no hang",
        "python scripts/exits.py --runs 50",
    ),
    Fault(
        "An interrupt (a real signal) at any moment of methods, runs and explorers",
        "Function modes of torch, hooks, train and eval modes, random numbers and warning filters are as before",
        "pytest tests/unit/core/test_interrupts.py tests/unit/core/test_guard.py tests/unit/tracing/test_tracing.py",
    ),
    Fault(
        "A network raises in any pass, forward or backward, of any method",
        "The network is unchanged to the bit, and the method works afterwards",
        "pytest tests/unit/attribution/test_untouched.py tests/unit/perturbation/test_contract.py",
    ),
    Fault(
        "The caller trains the network, or switches between train and eval mode, while another thread explains it",
        "The caller wins: modes and statistics of batch-norm are the caller's alone, also under checkpointing",
        "pytest tests/unit/core/test_replica.py tests/unit/core/test_hooks.py",
    ),
    Fault(
        "Explorers are closed and dropped, done or in mid run; constructors raise",
        "The explorer, its network and every registered widget are freed",
        "pytest tests/unit/explorers/test_contract.py -k 'closed or leaves_nothing or holds'",
    ),
    Fault(
        "Scores that are NaN or infinite, errors and exhausted memory in mid run, errors in drawing",
        "The run bar ends in a state that says so, and one refused method stops no other",
        "pytest tests/unit/explorers/test_contract.py -k 'nan or error or refused or refuses'",
    ),
    Fault(
        "Exports that fail half way, NaN in an exported page, device files, links and permissions",
        "The file that was there survives, and every page opens",
        "pytest tests/unit/test_exporting.py tests/unit/core/test_writing.py",
    ),
    Fault(
        "Random calls of every public function, view and explorer with valid, strange and wrong arguments",
        "A finite result, or an error of one sentence that prints no tensor",
        "python tests/fuzz/fuzz.py --calls 10000",
    ),
    Fault(
        "Processors with other instructions (no AVX, AVX2) and other numbers of threads",
        "Tolerances of tests follow from the dtype and the size of numbers, so that they pass there too",
        "make cpus",
    ),
    Fault(
        "Rectifiers in other words, and operations that no rule can see: autograd functions, scripted code",
        "The same result as with ReLU, or a refusal or a warning that names the operation",
        "pytest tests/unit/rules/test_hidden_operations.py tests/unit/rules/test_rules.py",
    ),
    Fault(
        "Layouts of layers: channels last, tokens with a prefix, attention maps, tables that no image changes",
        "Maps have the positions of the image, and a default layer is on the way to the scores",
        "pytest tests/unit/core/test_layouts.py tests/unit/core/test_model_layers.py",
    ),
)

INTRODUCTION = """\
# Reliability

Every explainer was tried on {networks} networks with random weights: {cells} outcomes, {counts}. The command is
`python scripts/reliability.py --write`; it took {minutes} minutes of one core, with {versions}. A single network is
tried by `python scripts/reliability.py --networks "timm resnet18d"`, which prints every outcome.

Each network runs in a process of its own. An outcome is

- **ok**: a result that passed the checks below, without a warning;
- **warned**: a result that passed them, with an `ExplanationWarning` of what is to be known of it;
- **refused**: a `ValueError` or `TypeError` of one sentence that says what is expected; a layer that it recommends was
  tried and works;
- **FAULT**: any other exception, a crash, a hang, or a result that a check says is wrong without a warning of it.

The checks do not use the code that made the result. A map is finite, is not the same at every position, differs between
two images and between two classes (but for methods that look at no class or only at the length of its gradient, as
NormGrad does, and for searches over areas), and has the proportions of the image, which
is not square where the network allows it. The gradient, the scores and the Grad-CAM of channels-first layers equal
those of plain torch on a copy of the network; the default layer has a gradient and differs between images; what sums to
a change of scores does; rules of ReLU give something else than the plain gradient; curves of explorers begin or end at
the value of the image. After every call the network has the same tensors, hooks, train and eval modes and
`requires_grad`, and at the end the same bits.

Options are quick ones (few steps and samples), so that sums that are off are warned of more often than with the default
options. "Small" networks have the published structure with fewer and narrower layers.
"""


def summary(cells: dict[str, list[str]], names: tuple[str, ...]) -> str:
    """Return how many explainers of a group had each outcome, in symbols."""
    counts = Counter(cells[name][0] for name in names if name in cells)
    symbols = {"ok": "✓", "warned": "!", "refused": "–", "FAULT": "FAULT "}
    return " ".join(f"{symbols[outcome]}{counts[outcome]}" for outcome in OUTCOMES if counts[outcome])


def table(networks: dict[str, Any]) -> str:
    """Return the networks as rows and the groups of explainers as columns."""
    lines = [
        f"| network | {' | '.join(GROUPS)} |",
        f"|---|{'---|' * len(GROUPS)}",
    ]
    for name, each in networks.items():
        lines.append(f"| {name} | {' | '.join(summary(each['cells'], names) for names in GROUPS.values())} |")
    return "\n".join(lines) + "\n"


def _escaped(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def details(name: str, cells: dict[str, list[str]]) -> str:
    """Return the sentences of a network, folded; explainers with the same sentence share a line."""
    said: dict[tuple[str, str], list[str]] = {}
    for method, (outcome, words) in cells.items():
        if outcome != "ok":
            said.setdefault((outcome, words), []).append(method)
    if not said:
        return ""
    lines = [f'<details markdown="1"><summary>{name}</summary>\n']
    for outcome in reversed(OUTCOMES):
        sentences = [
            f"- {', '.join(f'`{method}`' for method in methods)}: {_escaped(words)}"
            for (of, words), methods in said.items()
            if of == outcome
        ]
        lines += [f"**{outcome}**\n", *sentences, ""] if sentences else []
    return "\n".join([*lines, "</details>\n"])


def page(found: dict[str, Any]) -> str:
    """Return the whole page."""
    networks = found["networks"]
    counts = Counter(outcome for each in networks.values() for outcome, _ in each["cells"].values())
    parts = [
        INTRODUCTION.format(
            networks=len(networks),
            cells=sum(counts.values()),
            counts=", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES),
            minutes=max(1, round(sum(each["seconds"] for each in networks.values()) / 60)),
            versions=", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        )
    ]
    if found["skipped"]:
        parts.append(f"Not tried, as their packages are not installed: {', '.join(found['skipped'])}.\n")
    parts.append("## Faults tried and survived\n")
    rows = [f"| {each.what} | {each.holds} | `{each.command}` |" for each in FAULTS]
    parts.append("\n".join(["| fault | what holds | run it again |", "|---|---|---|", *rows]) + "\n")
    parts.append("## Networks and explainers\n")
    parts.append("Explainers of each group: ✓ ok, ! warned, – refused, and how many.\n")
    for group, title in LIBRARIES.items():
        some = {name: each for name, each in networks.items() if each["group"] == group}
        if some:
            parts += [f"### Networks: {title}\n", table(some)]
    lines = [f"- {group}: {', '.join(f'`{name}`' for name in names)}" for group, names in GROUPS.items()]
    parts += ["### Explainers\n", "\n".join(lines) + "\n", "## What was said\n"]
    parts += [words for name, each in networks.items() if (words := details(name, each["cells"]))]
    return "\n".join(parts)
