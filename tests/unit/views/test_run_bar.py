import pytest
from traitlets import TraitError

from xai_widgets.views import RunBar
from xai_widgets.views.remaining import RemainingTime


def click(bar, kind, number):
    """Handle a message from the browser."""
    bar._handle_custom_msg({"type": kind, "id": number}, [])


def test_clicks_reach_their_callbacks():
    bar = RunBar()
    calls = []
    bar.on_run(lambda it: calls.append(("run", it)))
    bar.on_cancel(lambda it: calls.append(("cancel", it)))
    bar.on_restart(lambda it: calls.append(("restart", it)))
    click(bar, "run", 1)
    click(bar, "cancel", 2)
    bar.on_step(lambda it: calls.append(("step", it)))
    click(bar, "restart", 3)
    click(bar, "step", 4)
    assert calls == [("run", bar), ("cancel", bar), ("restart", bar), ("step", bar)]
    assert bar._acknowledged == 4


def test_a_click_is_acknowledged_before_its_callback_runs():
    bar = RunBar()
    seen = []
    bar.on_run(lambda it: seen.append(it._acknowledged))
    click(bar, "run", 7)
    assert seen == [7]


def test_a_callback_can_be_taken_back():
    bar = RunBar()
    calls = []
    bar.on_run(calls.append)
    bar.on_run(calls.append, remove=True)
    click(bar, "run", 1)
    assert calls == []


def test_what_a_callback_raises_is_shown_and_the_others_still_run(caplog):
    bar = RunBar(status="running")
    calls = []

    def fail(_bar):
        raise ValueError("no such layer")

    bar.on_run(fail)
    bar.on_run(calls.append)
    click(bar, "run", 1)
    assert (bar.status, bar.error) == ("error", "ValueError: no such layer")
    assert calls == [bar]
    assert "no such layer" in caplog.text
    click(bar, "run", 2)
    assert bar._acknowledged == 2


@pytest.mark.parametrize("content", [{"type": "dance", "id": 3}, {}])
def test_other_messages_are_left_alone(content):
    bar = RunBar()
    bar._handle_custom_msg(content, [])
    assert bar._acknowledged == 0


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"status": "runing"}, "unknown choice 'runing'; did you mean 'running'"),
        ({"progress": 50}, "expected RunBar.progress to be a number from 0 to 1, got 50"),
    ],
)
def test_bad_values_are_refused(kwargs, words):
    with pytest.raises(TraitError, match=words):
        RunBar(**kwargs)


def test_a_computation_begins_and_ends():
    bar = RunBar(error="of before", message="batch 3")
    bar.begin()
    assert (bar.status, bar.progress, bar.error) == ("running", 0.0, "")
    bar.progress = 0.4
    bar.end("cancelled", None)
    assert (bar.status, bar.progress, bar.message, bar.error) == ("cancelled", 0.4, "", "")
    bar.end("done", None)
    assert (bar.status, bar.progress) == ("done", 1.0)
    bar.end("error", ValueError("no such layer"))
    assert (bar.status, bar.error) == ("error", "no such layer")
    bar.end("error", KeyError())
    assert bar.error == "KeyError"


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self):
        return self.now


def test_the_remaining_time_is_shown_when_the_rate_is_stable():
    clock = Clock()
    left = RemainingTime(clock)
    shown = []
    for second in range(20):
        clock.now = float(second)
        shown.append(left.after(second / 100))
    assert shown[:5] == [None] * 5
    assert shown[-1] == pytest.approx(81, abs=0.5)


def test_a_pause_does_not_count():
    clock = Clock()
    left = RemainingTime(clock)
    for second in range(10):
        clock.now = float(second)
        left.after(second / 100)
    left.pause()
    clock.now = 1000.0
    assert left.after(0.09) == pytest.approx(91, abs=0.5)


def test_no_time_is_shown_while_the_rate_jumps():
    clock = Clock()
    left = RemainingTime(clock)
    shown = []
    for second, progress in enumerate([0, 0.001, 0.002, 0.003, 0.004, 0.005, 0.3, 0.6]):
        clock.now = float(second)
        shown.append(left.after(progress))
    assert shown == [None] * len(shown)


def test_the_bar_shows_no_remaining_time_unless_it_runs():
    bar, clock = RunBar(), Clock()
    bar.begin()
    bar._time = RemainingTime(clock)
    for second in range(10):
        clock.now = float(second)
        bar.progress = second / 100
    assert bar.remaining == pytest.approx(91, abs=0.5)
    bar.queued = True
    assert bar.remaining is None
    bar.queued = False
    assert bar.remaining is not None
    bar.end("cancelled", None)
    assert bar.remaining is None
