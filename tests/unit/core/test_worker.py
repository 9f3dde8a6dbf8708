"""A worker drains runs on one thread; the latest one wins."""

import sys
import threading

import pytest

from xai_widgets.core.run import Run
from xai_widgets.core.worker import Worker

LONG = 30  # seconds after which a wait has failed; nothing here takes them


def counting(n=5, closed=None):
    def steps():
        try:
            yield from range(1, n + 1)
        finally:
            if closed is not None:
                closed.append(True)

    return Run(steps(), total=n, name="count")


class Log:
    """Callbacks that write down what they are called with."""

    def __init__(self):
        self.events = []
        self.threads = set()

    def __call__(self, job):
        def on_snapshot(run):
            self.threads.add(threading.current_thread())
            self.events.append((job, run.latest))

        def on_end(status, error):
            self.events.append((job, status if error is None else repr(error)))

        return {"on_snapshot": on_snapshot, "on_end": on_end}


@pytest.fixture
def worker():
    worker = Worker()
    yield worker
    worker.cancel()
    assert worker.wait(LONG)


class Gate:
    """A run whose every step waits to be let through, and sets an event meanwhile."""

    def __init__(self, n=3):
        self.waiting, self.open, self.n, self.closed = (
            threading.Event(),
            threading.Semaphore(0),
            n,
            threading.Event(),
        )

    def make(self):
        return Run(self._steps(), total=self.n)

    def _steps(self):
        try:
            for step in range(self.n):
                self.waiting.set()
                assert self.open.acquire(timeout=LONG)
                yield step
        finally:
            self.closed.set()


def test_a_run_is_drained_on_one_other_thread(worker):
    log = Log()
    assert worker.status == "idle"
    worker.submit(lambda: counting(3), **log("a"))
    assert worker.wait(LONG)
    assert log.events == [("a", 1), ("a", 2), ("a", 3), ("a", "done")]
    assert worker.status == "done"
    assert threading.current_thread() not in log.threads
    worker.submit(lambda: counting(1), **log("b"))
    assert worker.wait(LONG)
    assert log.events[-2:] == [("b", 1), ("b", "done")]


def test_wait_returns_false_after_its_timeout(worker):
    gate = Gate()
    worker.submit(gate.make)
    assert worker.status == "running"
    assert not worker.wait(0)
    gate.open.release(3)
    assert worker.wait(LONG)
    assert worker.wait(0)


def test_the_thread_goes_when_there_is_nothing_to_do(worker):
    worker.submit(lambda: counting(1))
    assert worker.wait(LONG)
    for thread in threading.enumerate():
        if thread.name == "xai_widgets worker":
            thread.join(LONG)
            assert not thread.is_alive()


def test_the_latest_wins(worker):
    log, gate = Log(), Gate()
    worker.submit(gate.make, **log("old"))
    assert gate.waiting.wait(LONG)
    worker.submit(lambda: counting(1), **log("skipped"))
    worker.submit(lambda: counting(2), **log("new"))
    gate.open.release(3)
    assert worker.wait(LONG)
    assert log.events == [("new", 1), ("new", 2), ("new", "done")]
    assert gate.closed.is_set(), "the old run may clean up"


def test_a_run_that_is_replaced_while_it_is_made_never_begins(worker):
    making, resume, log, begun = threading.Event(), threading.Event(), Log(), []

    def make():
        making.set()
        assert resume.wait(LONG)
        return Run((begun.append(i) for i in range(3)), total=3)

    worker.submit(make, **log("old"))
    assert making.wait(LONG)
    worker.submit(lambda: counting(1), **log("new"))
    resume.set()
    assert worker.wait(LONG)
    assert log.events == [("new", 1), ("new", "done")]
    assert begun == []


def test_on_start_comes_between_the_old_run_and_the_new(worker):
    log, gate = Log(), Gate()
    worker.submit(gate.make, **log("old"))
    gate.open.release()
    assert gate.waiting.wait(LONG)
    here = []
    worker.submit(
        lambda: counting(1),
        on_start=lambda: here.append((threading.current_thread(), len(log.events))),
        **log("new"),
    )
    assert here[0][0] is threading.current_thread()
    before, after = log.events[: here[0][1]], log.events[here[0][1] :]
    gate.open.release(3)
    assert worker.wait(LONG)
    after = log.events[here[0][1] :]
    assert all(job == "old" for job, _ in before)
    assert after == [("new", 1), ("new", "done")]


def test_cancel_ends_the_run_here_and_now(worker):
    log, gate = Log(), Gate()
    worker.submit(gate.make, **log("a"))
    assert gate.waiting.wait(LONG)
    worker.cancel()
    assert log.events == [("a", "cancelled")]
    assert worker.status == "cancelled"
    gate.open.release(3)
    assert worker.wait(LONG)
    assert log.events == [("a", "cancelled")]
    assert gate.closed.is_set()
    worker.cancel()
    assert log.events == [("a", "cancelled")], "there was nothing left to cancel"


def test_cancel_without_a_run_does_nothing(worker):
    worker.cancel()
    assert worker.status == "idle"


def test_a_run_stopped_by_its_holder_ends_as_cancelled(worker):
    log, runs = Log(), []
    callbacks = log("a")
    worker.submit(
        lambda: counting(5),
        on_snapshot=lambda run: (runs.append(run.latest), run.cancel()),
        on_end=callbacks["on_end"],
    )
    assert worker.wait(LONG)
    assert runs == [1]
    assert log.events == [("a", "cancelled")]
    assert worker.status == "cancelled"


def failing_steps():
    yield 1
    raise ValueError("broke")


def failing_make():
    raise ValueError("broke")


@pytest.mark.parametrize(
    "make", [lambda: Run(failing_steps(), total=2), failing_make], ids=["in a step", "in make_run"]
)
def test_an_error_goes_to_on_end_and_the_worker_lives_on(worker, make):
    log = Log()
    worker.submit(make, **log("a"))
    assert worker.wait(LONG)
    assert log.events[-1] == ("a", "ValueError('broke')")
    assert worker.status == "error"
    worker.submit(lambda: counting(1), **log("b"))
    assert worker.wait(LONG)
    assert log.events[-1] == ("b", "done")


def test_an_error_in_on_snapshot_goes_to_on_end(worker):
    log, closed = Log(), []

    def on_snapshot(run):
        raise ValueError("cannot draw")

    worker.submit(lambda: counting(3, closed), on_snapshot=on_snapshot, on_end=log("a")["on_end"])
    assert worker.wait(LONG)
    assert log.events == [("a", "ValueError('cannot draw')")]
    assert closed == [True]


def test_an_error_in_on_end_is_reported_and_the_worker_lives_on(worker, monkeypatch):
    reported, log = [], Log()
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(repr(args.exc_value)))

    def on_end(status, error):
        raise ValueError("cannot draw the end")

    worker.submit(lambda: counting(1), on_end=on_end)
    assert worker.wait(LONG)
    assert reported == ["ValueError('cannot draw the end')"]
    worker.submit(lambda: counting(1), **log("b"))
    assert worker.wait(LONG)
    assert log.events == [("b", 1), ("b", "done")]


def test_the_error_of_a_replaced_run_is_not_reported(worker):
    log, failing, resume = Log(), threading.Event(), threading.Event()

    def steps():
        failing.set()
        assert resume.wait(LONG)
        yield from failing_steps()

    worker.submit(lambda: Run(steps(), total=2), **log("old"))
    assert failing.wait(LONG)
    worker.submit(lambda: counting(1), **log("new"))
    resume.set()
    assert worker.wait(LONG)
    assert log.events == [("new", 1), ("new", "done")]


@pytest.mark.parametrize("where", ["on_snapshot", "on_end"])
def test_a_callback_may_submit_the_next_run(worker, where):
    log, ended = Log(), threading.Event()

    def again(*_):
        worker.submit(
            lambda: counting(2), on_snapshot=log("new")["on_snapshot"], on_end=lambda *_: ended.set()
        )

    worker.submit(lambda: counting(5), **{**log("old"), where: again})
    assert ended.wait(LONG)
    assert worker.wait(LONG)
    assert log.events[-2:] == [("new", 1), ("new", 2)]
    assert worker.status == "done"
    if where == "on_snapshot":
        assert log.events == [("new", 1), ("new", 2)], "nothing of the old run follows"


def test_a_callback_may_cancel(worker):
    log = Log()
    worker.submit(lambda: counting(5), on_snapshot=lambda run: worker.cancel(), on_end=log("a")["on_end"])
    assert worker.wait(LONG)
    assert log.events == [("a", "cancelled")]


@pytest.fixture
def eager_threads():
    """Threads switch as often as possible, so that every window between two lines is met."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_threads")
def test_nothing_of_an_old_run_is_seen_after_submit_or_cancel_returned(worker):
    """Three threads submit and cancel as fast as they can; each callback looks whether its run is replaced."""
    turn, start, gone, stale, seen, ends = threading.Lock(), threading.Barrier(3), set(), [], [], []
    latest = [None]

    def submit(job):
        def look(*_):
            seen.append(job)
            if job in gone:
                stale.append(job)

        worker.submit(
            lambda: Run(iter(range(1000)), total=1000),
            on_start=lambda: stale.extend({job} & gone),
            on_snapshot=look,
            on_end=lambda status, error: (look(), ends.append(job)),
        )

    def work(number):
        start.wait(LONG)
        for n in range(200):
            job = (number, n)
            # One at a time, so that it is known which run this one replaces.
            with turn:
                if n % 5 == 4:
                    worker.cancel()
                else:
                    submit(job)
                gone.add(latest[0])
                latest[0] = job

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()
    worker.cancel()
    assert worker.wait(LONG)
    assert stale == []
    assert len(set(seen)) > 5, "too few runs came to a callback for this to test anything"
    assert len(ends) == len(set(ends)), "no run ends twice"


# -- waiting for the run under way ----------------------------------------------------------------------------


def test_what_does_not_replace_comes_after_the_run_under_way_and_only_the_newest_does(worker):
    log, gate = Log(), Gate(1)
    worker.submit(gate.make, **log("first"))
    assert gate.waiting.wait(LONG)
    for name in ("skipped", "second"):
        worker.submit(lambda: counting(1), replace=False, **log(name))
    assert worker.status == "running"
    gate.open.release()
    assert worker.wait(LONG)
    assert log.events == [("first", 0), ("first", "done"), ("second", 1), ("second", "done")]
    assert worker.status == "done"


def test_the_newest_comes_where_none_has_begun(worker):
    log = Log()
    with worker._lock:
        worker.submit(lambda: counting(1), replace=False, **log("skipped"))
        worker.submit(lambda: counting(1), replace=False, **log("newest"))
    assert worker.wait(LONG)
    assert log.events == [("newest", 1), ("newest", "done")]


def test_a_cancel_takes_what_waits_too(worker):
    log, gate = Log(), Gate(1)
    worker.submit(gate.make, **log("first"))
    assert gate.waiting.wait(LONG)
    worker.submit(lambda: counting(1), replace=False, **log("second"))
    worker.cancel()
    gate.open.release()
    assert worker.wait(LONG)
    assert log.events == [("first", "cancelled")]


def test_an_error_in_on_start_goes_to_the_caller_and_leaves_nothing_running(worker):
    def on_start():
        raise ValueError("cannot wipe")

    with pytest.raises(ValueError, match="cannot wipe"):
        worker.submit(counting, on_start=on_start)
    assert worker.status == "error"
    assert worker.wait(0)
    worker.submit(counting)
    assert worker.wait(LONG)
    assert worker.status == "done"


def test_a_wait_is_no_longer_than_its_timeout_while_a_callback_draws(worker):
    drawing, resume = threading.Event(), threading.Event()

    def draw(run):
        drawing.set()
        assert resume.wait(LONG)

    worker.submit(lambda: counting(1), on_snapshot=draw)
    assert drawing.wait(LONG)
    assert not worker.wait(0)
    resume.set()
    assert worker.wait(LONG)
