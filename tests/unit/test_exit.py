"""A script that ends while an explorer computes ends at once, with its own exit code: a few real processes.

``python scripts/exits.py --runs 50`` runs all of them often.
"""

import threading

import exits
import pytest

from xai_widgets.core.run import Run, RunCancelled
from xai_widgets.core.scheduler import check_cancelled
from xai_widgets.core.worker import Worker

LONG = 30


@pytest.mark.parametrize(
    ("host", "ending"),
    [
        ("script", "nothing"),
        ("module", "export"),
        ("script", "system_exit"),
        ("command", "exception"),
        ("script", "cancel"),
        ("subprocess", "close"),
        ("pytest", "wait"),
    ],
)
def test_a_script_ends_with_its_own_code_while_an_explorer_computes(tmp_path, host, ending):
    assert exits.exit_code(tmp_path, host, ending, delay=0.05) == exits.expected(host, ending)


def test_threads_of_workers_are_joined_by_the_interpreter():
    seen = []
    worker = Worker()
    worker.submit(
        lambda: Run(iter([1]), total=1), on_snapshot=lambda run: seen.append(threading.current_thread())
    )
    assert worker.wait(LONG)
    assert not seen[0].daemon


def test_a_worker_takes_the_end_of_the_main_thread_for_a_cancel(monkeypatch):
    """Between two passes of one long step, and without a callback that would draw."""
    ended, passes, calls = threading.Event(), [], []

    class Main:
        def is_alive(self):
            return not ended.is_set()

    def steps():
        for number in range(100):
            passes.append(number)
            if number == 3:
                ended.set()
            check_cancelled()
        yield "never"

    worker = Worker()
    monkeypatch.setattr(threading, "main_thread", Main)
    worker.submit(lambda: Run(steps(), total=1), on_end=lambda *end: calls.append(end))
    assert worker.wait(LONG)
    assert (passes, worker.status, calls) == ([0, 1, 2, 3], "cancelled", [])
    worker.submit(lambda: Run(steps(), total=1), on_end=lambda *end: calls.append(end))
    assert worker.wait(LONG)
    assert (worker.status, passes) == ("cancelled", [0, 1, 2, 3]), (
        "no thread begins when the interpreter ends"
    )


def test_a_run_of_a_thread_of_the_caller_outlives_the_main_thread(monkeypatch):
    """The interpreter waits for threads of the caller, whose results are needed."""

    class Main:
        def is_alive(self):
            return False

    def steps():
        check_cancelled()
        yield "whole"

    monkeypatch.setattr(threading, "main_thread", Main)
    assert Run(steps(), total=1).result(progress=False) == "whole"


def test_a_cancel_is_heard_within_a_step():
    closed = []

    def steps():
        yield "half"
        try:
            run.cancel()
            check_cancelled()
            yield "never"
        finally:
            closed.append(True)

    run = Run(steps(), total=2)
    assert run.result(progress=False) == "half"
    assert closed == [True]
    check_cancelled()


def test_a_cancel_of_the_outer_run_leaves_the_inner_one():
    seen = []

    def inner():
        for number in range(5):
            check_cancelled()
            yield number

    def outer():
        yield "first"
        run.cancel()
        seen.append(Run(inner(), total=5).result(progress=False))
        yield "never"

    run = Run(outer(), total=2)
    assert list(run) == ["first"]
    assert seen == []


def test_nothing_catches_a_cancel_by_accident():
    assert not issubclass(RunCancelled, Exception)


def test_a_worker_of_a_forked_process_is_free():
    """The thread that holds the lock does not exist in the child: it must not be waited for."""
    import os

    if not hasattr(os, "fork"):
        pytest.skip("processes cannot be forked here")
    drawing, resume = threading.Event(), threading.Event()

    def draw(run):
        drawing.set()
        assert resume.wait(LONG)

    worker = Worker()
    worker.submit(lambda: Run(iter([1, 2]), total=2), on_snapshot=draw)
    assert drawing.wait(LONG)
    child = os.fork()
    if child == 0:
        worker.cancel()
        os._exit(0 if worker.status == "cancelled" and worker.wait(0) else 1)
    resume.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert worker.wait(LONG)
    assert worker.status == "done"
