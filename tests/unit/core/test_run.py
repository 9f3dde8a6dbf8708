import threading

import pytest
from tqdm.auto import tqdm

from xai_widgets.core.run import Run

LONG = 30  # seconds after which a wait has failed; nothing here takes them


def counting(n=5, closed=None):
    def steps():
        try:
            yield from range(1, n + 1)
        finally:
            if closed is not None:
                closed.append(True)

    return Run(steps(), total=n, name="count")


# -- Run --------------------------------------------------------------------------------------------------


def test_snapshots_come_in_order_with_progress():
    run = counting(4)
    assert (run.progress, run.latest, run.done) == (0, None, 0)
    seen = [(snapshot, run.latest, run.done, run.progress) for snapshot in run]
    assert seen == [(1, 1, 1, 0.25), (2, 2, 2, 0.5), (3, 3, 3, 0.75), (4, 4, 4, 1.0)]
    assert not run.cancelled


def test_result_is_the_last_snapshot():
    closed = []
    assert counting(3, closed).result(progress=False) == 3
    assert closed == [True]


def test_the_bar_shows_name_and_progress(capsys):
    counting(3).result()
    assert "count" in capsys.readouterr().err
    counting(3).result(progress=False)
    assert capsys.readouterr().err == ""


def test_the_bar_of_a_run_that_ends_early_is_complete(monkeypatch):
    seen = []

    class Bar(tqdm):
        def close(self):
            seen.append((self.n, self.total))
            super().close()

    monkeypatch.setattr("xai_widgets.core.run.tqdm", Bar)
    assert Run(iter([1, 2]), total=5).result() == 2
    assert seen[0] == (2, 2)


def test_progress_stays_in_range():
    run = Run(iter([1, 2, 3]), total=2)
    list(run)
    assert run.progress == 1
    assert Run(iter([]), total=0).progress == 1


def test_cancel_stops_before_the_next_step_and_closes_the_steps():
    closed, seen = [], []
    run = counting(5, closed)
    for snapshot in run:
        seen.append(snapshot)
        if snapshot == 2:
            run.cancel()
    assert seen == [1, 2]
    assert (run.cancelled, run.latest, run.progress, closed) == (True, 2, 0.4, [True])
    assert run.result(progress=False) == 2


def test_cancel_from_another_thread_is_seen():
    entered, resume, seen = threading.Event(), threading.Event(), []

    def steps():
        yield 1
        entered.set()
        resume.wait(LONG)
        yield 2
        yield 3

    run = Run(steps(), total=3)
    thread = threading.Thread(target=lambda: seen.extend(run))
    thread.start()
    entered.wait(LONG)
    run.cancel()
    resume.set()
    thread.join(LONG)
    assert seen == [1, 2], "the step under way is finished, none is begun after it"


def test_a_run_cancelled_at_once_has_no_result():
    run = counting()
    run.cancel()
    with pytest.raises(
        RuntimeError, match="expected a run with a result, got 'count', stopped before its first one"
    ):
        run.result(progress=False)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_keeps_what_was_reached_and_cleans_up(error):
    closed = []

    def steps():
        try:
            yield "half"
            raise error
        finally:
            closed.append(True)

    run = Run(steps(), total=2)
    with pytest.raises(error):
        run.result(progress=False)
    assert (run.latest, run.done, closed) == ("half", 1, [True])


def test_an_interrupt_between_steps_closes_the_steps():
    closed = []
    run = counting(5, closed)

    def interrupted():
        for _ in run:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert closed == [True]
    assert run.latest == 1
