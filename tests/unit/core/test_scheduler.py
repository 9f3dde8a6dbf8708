"""The computations of all workers share one queue: one computes at a time, by priority."""

import os
import threading
from typing import ClassVar

import pytest

from xai_widgets.core.run import Run
from xai_widgets.core.scheduler import PAUSED, UNSEEN, VISIBLE, check_cancelled, scheduler
from xai_widgets.core.worker import Worker, stop_all

LONG = 30


class Steps:
    """A run whose steps wait at a gate, each of some passes, and write down when they are made."""

    made: ClassVar[list] = []

    def __init__(self, log, name, count=3, passes=1):
        self.log, self.name, self.count, self.passes = log, name, count, passes
        self.made.append(self)
        self.begun, self.gate = threading.Semaphore(0), threading.Semaphore(0)

    def make(self):
        return Run(self._steps(), total=self.count, name=self.name)

    def _steps(self):
        for step in range(self.count):
            for _ in range(self.passes):
                check_cancelled()
                self.log.append((self.name, step))
                self.begun.release()
                assert self.gate.acquire(timeout=LONG)
            yield step

    def begins(self):
        return self.begun.acquire(timeout=LONG)


@pytest.fixture
def workers():
    """Three workers; what they hold is let go at the end."""
    made = [Worker() for _ in range(3)]
    yield made
    for worker in made:
        worker.cancel()
    while Steps.made:
        Steps.made.pop().gate.release(100)
    for worker in made:
        assert worker.wait(LONG)


@pytest.fixture
def log():
    return []


def start(log, *pairs, **options):
    """Submit a run for each (worker, name); the first of them computes before the others are submitted."""
    runs = []
    for number, (worker, name) in enumerate(pairs):
        steps = Steps(log, name, **options)
        worker.submit(steps.make, on_snapshot=lambda run: None)
        if number == 0:
            assert steps.begins()
        else:
            waits(worker)
        runs.append(steps)
    return runs


def ends(worker):
    """Wait for the end without asking for it, which would let the run go first."""
    return worker._idle.wait(LONG)


def waits(worker):
    """Wait until the run of a worker stands in the queue."""
    event = threading.Event()
    for _ in range(LONG * 100):
        if any(job is worker._current for job in scheduler._waiting):
            return
        event.wait(0.01)
    raise AssertionError("the run does not wait for its turn")


def test_one_computes_at_a_time_in_the_order_of_submission(workers, log):
    first, second = start(log, (workers[0], "first"), (workers[1], "second"))
    assert log == [("first", 0)]
    first.gate.release(3)
    second.gate.release(3)
    assert ends(workers[1])
    assert log == [(name, step) for name in ("first", "second") for step in range(3)]


def test_one_that_comes_into_sight_goes_first_in_the_middle_of_a_step(workers, log):
    first, second = start(log, (workers[0], "first"), (workers[1], "second"), passes=2)
    workers[1].level = VISIBLE
    second.gate.release(6)
    first.gate.release(6)
    assert ends(workers[0])
    # The pass that is running ends first.
    assert [name for name, _ in log] == ["first", *["second"] * 6, *["first"] * 5]


def test_visible_ones_take_turns(workers, log, monkeypatch):
    monkeypatch.setattr("xai_widgets.core.scheduler.SLICE", 0.0)
    for worker in workers:
        worker.level = VISIBLE
    runs = start(log, (workers[0], "first"), (workers[1], "second"))
    for each in runs:
        each.gate.release(3)
    for worker in workers:
        assert ends(worker)
    # The second one took a turn to be made.
    assert [name for name, _ in log] == ["first", "first", "second", "first", "second", "second"]


def test_a_paused_one_waits_until_it_is_shown_again(workers, log):
    (first,) = start(log, (workers[0], "first"), passes=2)
    workers[0].level = PAUSED
    first.gate.release(6)
    waits(workers[0])
    assert log == [("first", 0)]
    assert workers[0].status == "running"
    workers[0].level = UNSEEN
    assert workers[0].wait(LONG)
    assert len(log) == 6


def test_a_wait_goes_first_even_for_a_paused_one(workers, log):
    first, second = start(log, (workers[0], "first"), (workers[1], "second"))
    workers[1].level = PAUSED
    waiting = threading.Thread(target=workers[1].wait, args=(LONG,))
    waiting.start()
    while not workers[1]._awaited:
        pass
    second.gate.release(3)
    first.gate.release(3)
    waiting.join(LONG)
    assert ends(workers[0])
    # The step that has begun ends first.
    assert log[:3] == [("first", 0), ("second", 0), ("second", 1)]


def test_whoever_submits_wants_a_result(workers, log):
    workers[0].level = PAUSED
    (first,) = start(log, (workers[0], "first"))
    first.gate.release(3)
    assert workers[0].wait(LONG)
    assert workers[0].level == UNSEEN


def test_an_urgent_one_does_not_wait_and_the_others_do(workers, log):
    first, _ = start(log, (workers[0], "first"), (workers[1], "second"))
    stroke, urgent = Steps(log, "stroke", count=1), Worker(urgent=True)
    urgent.submit(stroke.make)
    assert stroke.begins()
    assert log == [("first", 0), ("stroke", 0)]
    first.gate.release(3)
    waits(workers[0])
    assert log == [("first", 0), ("stroke", 0)]
    stroke.gate.release()
    assert urgent.wait(LONG)
    assert first.begins()


def test_a_run_of_the_main_thread_never_waits(workers, log):
    start(log, (workers[0], "first"))
    made = Steps(log, "script", count=1)
    made.gate.release()
    assert made.make().result(progress=False) == 0


def test_a_wait_in_a_callback_or_in_a_step_blocks_nobody(workers, log):
    inner, ended = Steps(log, "inner", count=1), []
    inner.gate.release()

    def wait(*_):
        workers[1].submit(inner.make)
        ended.append(workers[1].wait(LONG))

    def steps():
        wait()
        inner.gate.release()
        yield 1

    workers[0].submit(lambda: Run(steps(), total=1), on_snapshot=wait)
    assert workers[0].wait(LONG)
    assert ended == [True, True]


def test_a_failure_gives_the_turn_away(workers, log):
    def steps():
        raise ValueError("broke")
        yield

    workers[0].submit(lambda: Run(steps(), total=1))
    second = Steps(log, "second")
    second.gate.release(3)
    workers[1].submit(second.make)
    assert workers[1].wait(LONG)
    # It gives the turn away before it notes its own end.
    workers[0].wait(LONG)
    assert (workers[0].status, workers[1].status) == ("error", "done")


def test_one_that_is_canceled_while_it_waits_ends(workers, log):
    first, _ = start(log, (workers[0], "first"), (workers[1], "second"))
    workers[1].cancel()
    assert workers[1].wait(LONG)
    assert log == [("first", 0)]
    first.gate.release(3)
    assert workers[0].wait(LONG)


def test_a_long_wait_is_reported_and_its_end(workers, log, monkeypatch):
    monkeypatch.setattr("xai_widgets.core.scheduler.PATIENCE", 0.0)
    first = Steps(log, "first")
    workers[0].submit(first.make)
    assert first.begins()
    queued, seen = threading.Event(), []
    second = Steps(log, "second")
    workers[1].submit(second.make, on_queued=lambda value: (seen.append(value), queued.set()))
    assert queued.wait(LONG)
    assert seen == [True]
    first.gate.release(3)
    second.gate.release(3)
    assert workers[1].wait(LONG)
    assert seen[:2] == [True, False]


@pytest.mark.parametrize("when", [True, False])
def test_a_callback_that_raises_does_not_keep_the_turn(workers, log, when):
    queued, errors = threading.Event(), []

    def on_queued(value):
        queued.set()
        if value is when:
            raise RuntimeError("not drawn")

    first, second, third = (Steps(log, name) for name in ("first", "second", "third"))
    workers[0].submit(first.make)
    assert first.begins()
    workers[1].submit(
        second.make, on_queued=on_queued, on_end=lambda _status, error: errors.append(str(error))
    )
    assert queued.wait(LONG)
    for each in (first, second, third):
        each.gate.release(3)
    assert ends(workers[0])
    assert ends(workers[1])
    workers[2].submit(third.make)
    assert ends(workers[2])
    assert errors == ["not drawn"]
    assert [name for name, _ in log] == ["first"] * 3 + ["third"] * 3


# -- stop and resume ----------------------------------------------------------------------------------------


def test_a_stopped_run_goes_on_from_the_pass_at_which_it_stood(workers, log):
    ends = []
    first = Steps(log, "first", passes=2)
    workers[0].submit(first.make, on_end=lambda status, _error: ends.append(status))
    assert first.begins()
    workers[0].stop()
    assert (workers[0].status, ends, workers[0].wait(0)) == ("cancelled", ["cancelled"], True)
    first.gate.release(6)
    waits_parked(workers[0])
    assert log == [("first", 0)]
    assert workers[0].resume()
    assert workers[0].wait(LONG)
    assert log == [("first", step) for step in (0, 0, 1, 1, 2, 2)]
    assert ends == ["cancelled", "done"]


def waits_parked(worker):
    job, event = worker._parked, threading.Event()
    for _ in range(LONG * 100):
        if job in scheduler._waiting:
            return
        event.wait(0.01)
    raise AssertionError("the stopped run does not wait")


def test_a_snapshot_that_comes_after_the_stop_is_shown_when_it_goes_on(workers, log):
    seen = []
    first = Steps(log, "first")
    workers[0].submit(first.make, on_snapshot=lambda run: seen.append(run.latest))
    assert first.begins()
    workers[0].stop()
    first.gate.release(3)
    assert seen == []
    assert workers[0].resume()
    assert workers[0].wait(LONG)
    assert seen == [0, 1, 2]


def test_a_stopped_run_lets_others_compute_and_is_replaced_by_a_new_one(workers, log):
    first, second = start(log, (workers[0], "first"), (workers[1], "second"), passes=2)
    workers[0].stop()
    first.gate.release(2)
    second.gate.release(6)
    assert workers[1].wait(LONG)
    new = Steps(log, "new")
    new.gate.release(3)
    workers[0].submit(new.make)
    assert workers[0].wait(LONG)
    assert not workers[0].resume()
    assert ("first", 1) not in log
    assert log[-1] == ("new", 2)


def test_nothing_is_resumed_that_was_not_stopped(workers, log):
    assert not workers[0].resume()
    workers[0].stop()
    assert workers[0].status == "idle"


def test_all_are_stopped_at_once(workers, log):
    first, second = start(log, (workers[0], "first"), (workers[1], "second"))
    stop_all()
    assert [worker.status for worker in workers] == ["cancelled", "cancelled", "idle"]
    first.gate.release(3)
    second.gate.release(3)
    for worker in workers[:2]:
        assert worker.resume()
        assert worker.wait(LONG)
        assert worker.status == "done"


def test_a_forked_process_has_an_empty_queue(workers, log):
    if not hasattr(os, "fork"):
        pytest.skip("processes cannot be forked here")
    start(log, (workers[0], "first"), (workers[1], "second"))
    child = os.fork()
    if child == 0:
        worker = Worker()
        worker.submit(lambda: Run(iter([1]), total=1))
        os._exit(0 if worker.wait(LONG) and worker.status == "done" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# -- progress -----------------------------------------------------------------------------------------------


def test_progress_moves_within_a_step():
    seen = []

    def inner():
        for step in range(4):
            yield step
            seen.append(run.progress)

    def steps():
        Run(inner(), total=4).result(progress=False)
        yield 1
        for _ in range(8):
            check_cancelled()
            seen.append(run.progress)
        yield 2

    run = Run(steps(), total=2)
    list(run)
    assert seen[:4] == [0.125, 0.25, 0.375, 0.475]
    assert seen == sorted(seen)
    assert 0.5 < seen[4] < seen[-1] < 1
    assert run.progress == 1


def test_progress_within_a_step_is_reported(workers):
    seen, more = [], threading.Semaphore(0)

    def steps():
        for _ in range(5):
            workers[0]._current._reported = 0.0
            check_cancelled()
        yield 1

    workers[0].submit(
        lambda: Run(steps(), total=1), on_progress=lambda run: (seen.append(run.progress), more.release())
    )
    assert workers[0].wait(LONG)
    assert len(seen) == 5
    assert seen == sorted(seen)


def test_no_lock_is_held_around_a_pass():
    """A job that waits for its turn within a pass must hold no lock, as that of functools.cached_property is."""
    import re
    from pathlib import Path

    import xai_widgets

    folder = Path(xai_widgets.__file__).parent
    found = [
        str(path.relative_to(folder))
        for path in folder.rglob("*.py")
        if re.search(
            r"functools import .*cached_property|functools\.cached_property\(", path.read_text("utf-8")
        )
    ]
    assert found == []
