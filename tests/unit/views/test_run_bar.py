import pytest
from traitlets import TraitError

from xai_widgets.views import RunBar


def click(bar, kind, number):
    """Handle a message from the browser."""
    bar._handle_custom_msg({"type": kind, "id": number}, [])


def test_clicks_reach_their_callbacks():
    bar = RunBar()
    calls = []
    bar.on_run(lambda it: calls.append(("run", it)))
    bar.on_cancel(lambda it: calls.append(("cancel", it)))
    click(bar, "run", 1)
    click(bar, "cancel", 2)
    assert calls == [("run", bar), ("cancel", bar)]
    assert bar._acknowledged == 2


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
