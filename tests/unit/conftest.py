"""Being here puts this folder on the path, so that ``networks`` is found by the tests in the folders below."""

import sys
import threading
import time
import traceback

import pytest

#: Seconds in which the computations of a test end after it.
PATIENCE = 60


@pytest.fixture(autouse=True)
def turn_is_free_again():
    """Fail a test whose computation keeps the turn, without which no later test computes anything."""
    yield
    module = sys.modules.get("xai_widgets.core.scheduler")
    if module is None:
        return
    scheduler, end = module.scheduler, time.monotonic() + PATIENCE
    while scheduler._holder or scheduler._urgent:
        if time.monotonic() > end:
            names = {each.ident: each.name for each in threading.enumerate()}
            stacks = [
                f"{names.get(ident)}:\n{''.join(traceback.format_stack(frame))}"
                for ident, frame in sys._current_frames().items()
            ]
            holder, urgent = scheduler._holder, scheduler._urgent
            scheduler.reset()
            first = f"a computation keeps the turn: {holder}, {urgent} urgent"
            pytest.fail("\n".join([first, *stacks]), pytrace=False)
        time.sleep(0.01)
