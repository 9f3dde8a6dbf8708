"""Frames of a moving image wait for the browser."""

import numpy as np
import pytest

from xai_widgets.views import HeatmapView, paced


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(paced.time, "monotonic", lambda: now[0])
    return now


def image(value):
    return np.full((2, 2, 3), value, dtype=np.uint8)


def drawn(view, frame):
    """Handle a message from the browser."""
    view._handle_custom_msg({"type": "drawn", "frame": frame}, [])


def test_the_next_frame_waits_until_the_one_before_was_drawn(clock):
    view = HeatmapView()
    assert view.ready
    view.send_frame(image=image(1), title="first")
    assert (view.title, view.in_flight, view.ready) == ("first", 1, False)
    assert (view.image == 1).all()
    drawn(view, 1)
    assert (view.in_flight, view.ready) == (0, True)


def test_without_an_answer_the_waiting_time_doubles(clock):
    view = HeatmapView()
    sent = []
    for _ in range(100 * 60):
        if view.ready:
            view.send_frame(image=image(0))
            sent.append(clock[0] - 100)
        clock[0] += 0.01
    assert sent == pytest.approx([0, 1, 3, 7, 15, 31], abs=0.1)
    drawn(view, 6)
    assert view.ready


def test_only_frames_that_were_sent_are_confirmed(clock):
    view = HeatmapView()
    view.send_frame(image=image(0))
    drawn(view, 7)
    view.send_frame(image=image(0))
    drawn(view, 0)
    assert view.in_flight == 1


def test_a_frame_is_one_message(clock, monkeypatch):
    view = HeatmapView()
    messages = []
    monkeypatch.setattr(view, "send_state", lambda key=None: messages.append(set(key or ())))
    view.send_frame(image=image(3), notes=["a note"])
    assert messages == [{"image", "notes", "_sent"}]
