"""The page of the figures."""

from __future__ import annotations

from typing import Any

from benchmarks.speed.networks import NETWORKS

TITLES = {
    "efficientnet_lite0": "EfficientNet-Lite0, ImageNet weights, 224 pixels",
    "resnet50": "ResNet-50, random weights, 224 pixels",
    "vgg16": "VGG-16, random weights, 224 pixels",
    "vit_small": "ViT-S/16 of timm, random weights, 224 pixels",
    "scenes_vgg": "scenes_vgg, bundled, 96 pixels",
    "scenes_resnet": "scenes_resnet, bundled, 96 pixels",
}

INTRODUCTION = """# Performance

    make bench

measures this package beside other libraries on one machine and writes this page from `docs/performance.json`.
`make bench BENCH=--quick` prints four rows of two networks, and `make bench BENCH="--networks vgg16 --rows gradient"`
replaces rows of the page. Interaction in the browser is on the page [Benchmarks](benchmarks.md).

{machine}

- **ours / bare**: CPU time on one thread, over that of the passes of the torch module that the method cannot do
  without: a forward and a backward pass to the pixels (of a CAM: to its layer), without gradients of parameters.
  Methods of many passes are compared with as many images in batches of 1, 4 or 16, whichever is fastest. All works take
  turns in one process; the figure is the median of the rounds, with the least and the largest ratio of a round.
- **fastest peer / ours**: the same for the fastest of the other libraries, which get the network behind its
  normalization; above 1 ours is faster.
- **wall**: both figures in wall time on all threads; other processes change them.
- **memory**: how far the memory of a process rises in a first call, in MB, of ours and of the fastest peer.
- **passes**: multiply-adds of ours over those of the bare passes, which are counted and equal on every machine.
- **aims**: met or missed by the median; *open* where the rounds lie on both sides.
"""


def verdict(found: dict[str, float], aim: float, *, least: bool = False) -> str:
    """Return whether a ratio is at most, or with ``least`` at least, its aim."""
    if found["low"] < aim < found["high"]:
        return "open"
    return "met" if (found["median"] >= aim if least else found["median"] <= aim) else "**missed**"


def spread(found: dict[str, float]) -> str:
    """Write a median with its least and largest value."""
    return f"{found['median']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def line(row: dict[str, Any]) -> str:
    """Return a line of the table of a network."""
    if "bare" not in row:
        reason = "; ".join(row["refused"].values())
        return f"| {row['what']} | {reason} | | | | | | |"
    peers = row["peers"]
    memory = row["megabytes"]
    fastest = min(peers, key=lambda name: peers[name]["median"]) if peers else ""
    aims = f"≤ {row['aim']:g}: {verdict(row['bare'], row['aim'])}"
    beside, wall, peer_memory = "none", "-", "-"
    if fastest:
        beside = f"{spread(peers[fastest])}, {fastest}"
        wall = f"{row['wall'][fastest]:.2f}"
        peer_memory = _megabytes(memory[fastest])
        if row["faster"]:
            aims += f"; ≥ {row['faster']:g}: {verdict(peers[fastest], row['faster'], least=True)}"
    return (
        f"| {row['what']} | {row['milliseconds']['ours']:.0f} ms | {spread(row['bare'])} | {beside} | "
        f"{1 / row['wall']['bare']:.2f}, {wall} | {_megabytes(memory['ours'])}, {peer_memory} | "
        f"{row['passes']:.3f} | {aims} |"
    )


def _megabytes(number: float | None) -> str:
    return "-" if number is None else f"{number:.0f}"


def summary(rows: list[dict[str, Any]]) -> str:
    """Count the aims that are met."""
    found = [verdict(row["bare"], row["aim"]) for row in rows if "bare" in row]
    faster = [
        verdict(min(row["peers"].values(), key=lambda each: each["median"]), row["faster"], least=True)
        for row in rows
        if row.get("peers") and row["faster"]
    ]
    behind = [
        (row, name)
        for row in rows
        if row.get("peers")
        for name, each in row["peers"].items()
        if each["high"] < 1
    ]
    more = [
        row
        for row in rows
        if row.get("peers")
        and None not in row["megabytes"].values()
        and row["megabytes"]["ours"] > 1.05 * min(row["megabytes"][name] for name in row["peers"]) + 5
    ]
    text = (
        f"Of {len(found)} aims over the bare passes {found.count('met')} are met, {found.count('open')} open; of "
        f"{len(faster)} aims beside the fastest peer {faster.count('met')} are met, {faster.count('open')} open. "
    )
    text += "A peer was faster than ours in every round in " + (
        ", ".join(f"`{row['what']}` on {row['network']} ({name})" for row, name in behind) or "no row"
    )
    text += ". Ours took more memory than the smallest peer, by more than 5 % and 5 MB, in " + (
        ", ".join(f"`{row['what']}` on {row['network']}" for row in more) or "no row"
    )
    return text + "."


def refusals(rows: list[dict[str, Any]]) -> str:
    """List what other libraries could not do."""
    lines = [
        f"- {name}, `{row['what']}`: {reason}"
        for row in rows
        for name, reason in row["refused"].items()
        if "bare" in row
    ]
    return "\n".join(["", "Failed:", "", *lines]) + "\n" if lines else ""


def wholes(rows: list[dict[str, Any]]) -> str:
    """Return the table of work in seconds."""
    text = (
        "\n## Whole computations\n\nCPU seconds on one thread and MB, on EfficientNet-Lite0, once each.\n\n"
    )
    text += "| what | seconds | first snapshot | memory | aims |\n|---|---|---|---|---|\n"
    for row in rows:
        aims = [
            f"{title} ≤ {row[aim]:g}: {'met' if row[key] is not None and row[key] <= row[aim] else '**missed**'}"
            for title, key, aim in (
                ("seconds", "seconds", "aim"), ("first", "first", "aim_first"), ("memory", "megabytes", "aim_memory"),
            )
            if row[aim]
        ]  # fmt: skip
        first = f"{row['first']:.1f}" if row["first"] else "-"
        memory = _megabytes(row["megabytes"])
        text += f"| {row['what']} | {row['seconds']:.1f} | {first} | {memory} | {'; '.join(aims)} |\n"
    return text


def growths(rows: list[dict[str, Any]]) -> str:
    """Return the table of growth."""
    text = "\n## Growth\n\nCPU time over that of the first amount, in brackets MB.\n\n"
    text += "| what grows | network | amount: time (memory) |\n|---|---|---|\n"
    for row in rows:
        steps = ", ".join(
            f"{step['number']}: {step['time']['median']:.2f} ({_megabytes(step['megabytes'])})"
            for step in row["steps"]
        )
        text += f"| {row['what']} | {row['network']} | {steps} |\n"
    return text


def started(rows: list[dict[str, Any]]) -> str:
    """Return the table of starts."""
    text = "\n## Start\n\nCPU seconds of a whole process with `scenes_vgg`, and those added to `import torch`.\n\n"
    text += "| what | seconds | added |\n|---|---|---|\n"
    for row in rows:
        added = f"{row['added']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})"
        text += f"| `{row['what']}` | {row['seconds']:.2f} | {added} |\n"
    return text


def page(results: dict[str, Any]) -> str:
    """Return the page."""
    facts, versions = results["machine"], results["versions"]
    absent = [name for name, version in versions.items() if not version]
    dates = sorted({row["date"] for part in ("rows", "whole", "growth", "start") for row in results[part]})
    machine = (
        f"The figures are of {' to '.join(dict.fromkeys((dates[0], dates[-1])))}, on {facts['cores']} cores of "
        f"{facts['processor'] or 'a processor'} ({facts['instructions']}), with a load of {facts['load']} by other "
        f"processes at the start, and {', '.join(f'{name} {each}' for name, each in versions.items() if each)}."
        + (f" Not installed: {', '.join(absent)}." if absent else "")
        + " Read ratios: seconds vary with the machine."
    )
    text = INTRODUCTION.format(machine=machine)
    text += "\n" + summary(results["rows"]) + "\n"
    for network in NETWORKS:
        rows = [row for row in results["rows"] if row["network"] == network]
        if rows:
            text += f"\n## {TITLES[network]}\n\n"
            text += "| what | ours | ours / bare | fastest peer / ours | wall: ours / bare, peer / ours "
            text += "| memory: ours, peer | passes | aims |\n|---|---|---|---|---|---|---|---|\n"
            text += "\n".join(map(line, rows)) + "\n" + refusals(rows)
    for part, table in (("whole", wholes), ("growth", growths), ("start", started)):
        if results[part]:
            text += table(results[part])
    return text
