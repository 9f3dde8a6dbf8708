"""Call everything that is public with valid, strange and wrong arguments, and tell what does not end well.

    python tests/fuzz/fuzz.py --calls 10000 --seed 0
    python tests/fuzz/fuzz.py --call "P.rise(network(), pictures(), masks=torch.tensor(3))"

A call ends well with a finite result, or with a TypeError, ValueError, TraitError or FileNotFoundError of one sentence:
one line, below 400 characters, without a printed tensor. The same seed makes the same calls.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import random
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets
import numpy as np
import torch
from tqdm import tqdm
from traitlets import TraitError

sys.path.insert(0, str(Path(__file__).parent))

from calls import CALLS, Call
from mutations import mutate
from world import NAMES

from xai_widgets.core.run import Run

# Its monitor is a thread that never ends, and the end of all threads of a call is waited for.
tqdm.monitor_interval = 0
PLAIN = (TypeError, ValueError, TraitError, FileNotFoundError)
#: Longest message, and the seconds after which a call is taken to hang, on a busy machine too.
LONGEST, PATIENCE = 400, 120
#: Snapshots of a run, and seconds for them, after which it is canceled.
SNAPSHOTS, SECONDS = 3, 0.3
#: Results that are not a number by definition, as where two maps are constant or a value is not computed yet.
UNDEFINED = (
    "M.pearson", "M.spearman", "M.ssim", "M.structural_similarity", "L.psnr", "SERIES().follow", "SERIES().profile",
    "result('top').patches", "M.weight_randomization", "F.theoretical_receptive_field", "network().scores",
    "network().activations", "M.resize_map",
)  # fmt: skip


class Failure(NamedTuple):
    """A call that did not end well: why, and the line that repeats it."""

    why: str
    line: str


class TooLong(BaseException):
    """A call that takes too long."""


def draw(rng: random.Random, parts: Sequence[str] = tuple(CALLS)) -> tuple[str, str | None]:
    """Return the line of a random call and, if it says the same in other words, the line of the plain call."""
    calls = CALLS[rng.choice(parts)]
    call = rng.choices(calls, [each.weight for each in calls])[0]
    required = [rng.choice(values) for values in call.required]
    names = [name for name in call.options if rng.random() < 0.5 or len(call.options) == 1]
    options = {name: rng.choice(call.options[name]) for name in names}
    plain = line(call, required, options)
    same = True
    places: list[int | str] = [*range(len(required)), *options]
    if not places or rng.random() < 0.15:
        return plain, None
    for place in rng.sample(places, min(len(places), rng.choice((1, 1, 1, 2)))):
        values: Any = required if isinstance(place, int) else options
        values[place], alike = mutate(values[place], rng)
        same = same and alike
    return line(call, required, options), plain if same else None


def line(call: Call, required: list[str], options: dict[str, str]) -> str:
    """The expression of a call."""
    return (
        f"{call.function}({', '.join([*required, *(f'{name}={value}' for name, value in options.items())])})"
    )


def judge(expression: str, plain: str | None = None) -> Failure | None:
    """Make a call; None if it ends well. With ``plain`` it has to be taken wherever that call is."""
    error = outcome(expression)
    if isinstance(error, str):
        return Failure(error, expression)
    # A class index is an integer, so that a float is no class, even a whole one.
    if error is None or plain is None or "class index" in str(error):
        return None
    if outcome(plain) is None:
        return Failure(f"refused, although the same number as a plain one is taken ({error})", expression)
    return None


def outcome(expression: str) -> BaseException | str | None:
    """None for a good result, the exception of a plain refusal, or what is wrong."""
    made: Any = None
    before = set(threading.enumerate())
    try:
        with limited():
            made = eval(expression, dict(NAMES))  # lines of this project
            made = settle(made)
            return "a result that is not finite" if not defined(expression, made) else None
    except PLAIN as error:
        return unclear(error) or error
    except TooLong:
        return f"took more than {PATIENCE} s"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {first_line(error)}"
    finally:
        close(made)
        for thread in set(threading.enumerate()) - before:
            thread.join(PATIENCE)


def unclear(error: BaseException) -> str | None:
    """What is wrong with the message of a plain error."""
    try:
        text = str(error)
    except BaseException as broken:
        return f"{type(error).__name__} whose message cannot be printed ({type(broken).__name__})"
    kind = f"{type(error).__name__}: {first_line(error)}"
    if not text:
        return f"{type(error).__name__} without a message"
    if "\n" in text.strip():
        return f"message of several lines, {kind}"
    if len(text) >= LONGEST:
        return f"message of {len(text)} characters, {kind}"
    if "tensor(" in text or "ambiguous" in text or "object at 0x" in text:
        return f"message that prints an object, {kind}"
    return foreign(error)


def foreign(error: BaseException) -> str | None:
    """Tell an error that no line of the package, or of traitlets, raised: an accident, even if its type is right."""
    trace, last = error.__traceback__, ""
    while trace is not None:
        last, trace = trace.tb_frame.f_code.co_filename, trace.tb_next
    # The last one is where a network or a method of the user's own is called.
    known = ("xai_widgets", "traitlets", "ipywidgets", "inspect.py", "fuzz", "nn/modules/module.py")
    mine = any(part in last for part in known)
    return None if mine else f"accident in {Path(last).name}, {type(error).__name__}: {first_line(error)}"


def first_line(error: BaseException) -> str:
    """The beginning of an error's message."""
    try:
        return str(error).strip().partition("\n")[0][:160]
    except BaseException:
        return "(cannot be printed)"


def settle(made: Any) -> Any:
    """The result behind a run or an explorer, as far as it comes in a short time."""
    if isinstance(made, Run):
        begun = time.monotonic()
        for _ in made:
            if made.done >= SNAPSHOTS or time.monotonic() - begun > SECONDS:
                made.cancel()
        return made.latest
    if isinstance(made, ipywidgets.Widget):
        if hasattr(made, "wait"):
            made.wait(2.0)
        # What a notebook keeps of it.
        made._repr_mimebundle_()
    return made


def defined(expression: str, made: Any) -> bool:
    """Whether the numbers of a result are finite, where they are defined."""
    if expression.startswith(UNDEFINED):
        return True
    if hasattr(made, "saliency"):
        made = made.saliency()
    elif dataclasses.is_dataclass(made):
        return True
    if isinstance(made, torch.Tensor):
        return not made.is_floating_point() or bool(made.isfinite().all())
    if isinstance(made, np.ndarray):
        return made.dtype.kind != "f" or bool(np.isfinite(made).all())
    return not isinstance(made, float) or math.isfinite(made)


def close(made: Any) -> None:
    """Free a widget."""
    if isinstance(made, ipywidgets.Widget):
        made.close()


@contextmanager
def limited() -> Iterator[None]:
    """Stop a call that takes too long, where signals are."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(_number: int, _frame: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fuzz(calls: int, seed: int, parts: Sequence[str] = tuple(CALLS)) -> Iterator[tuple[str, Failure | None]]:
    """Make so many random calls; yield the line and the failure of each."""
    rng = random.Random(seed)
    for _ in range(calls):
        expression, plain = draw(rng, parts)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield expression, judge(expression, plain)


def main() -> int:
    """Run the fuzzer from the command line; 1 if anything failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=500, help="how many calls (default: 500)")
    parser.add_argument("--seed", type=int, default=0, help="of the calls (default: 0)")
    parser.add_argument("--call", help="make this one call and print how it ends")
    parser.add_argument(
        "--parts", nargs="+", choices=CALLS, default=tuple(CALLS), help="parts of the package"
    )
    parser.add_argument("--verbose", action="store_true", help="print every call")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.call:
        print(outcome(arguments.call) or "a good result")
        return 0
    begun, kinds = time.monotonic(), Counter[str]()
    for expression, failure in fuzz(arguments.calls, arguments.seed, arguments.parts):
        kinds["failed" if failure else "ended well"] += 1
        if failure:
            print(f"{failure.why}\n    {failure.line}", flush=True)
        elif arguments.verbose:
            print(expression, flush=True)
    seconds = time.monotonic() - begun
    print(f"{kinds['ended well']} calls ended well, {kinds['failed']} failed, in {seconds:.0f} s")
    return 1 if kinds["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
