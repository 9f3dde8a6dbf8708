"""An explorer whose cell was run again is closed and freed when neither the page nor a variable has it."""

import gc
import threading
import weakref
from types import SimpleNamespace

import ipywidgets
import pytest
from small_explorers import EXPLORERS, Network, call_before_passes, classifier, photos

import xai_widgets as xw
from xai_widgets.explorers import replaced
from xai_widgets.explorers.replaced import Displays, close_unless_held

PATIENCE = 60
REGISTERED = ipywidgets.widgets.widget._instances


def registered():
    gc.collect()
    return set(REGISTERED)


@pytest.fixture
def held(monkeypatch):
    """Passes of networks on threads of workers stand until the end of the test."""
    inside, let_go = threading.Event(), threading.Event()

    def stand():
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            assert let_go.wait(PATIENCE)

    call_before_passes(monkeypatch, stand)
    yield inside, let_go
    let_go.set()


def pause(explorer):
    for part in getattr(explorer, "explorers", {"": explorer}).values():
        part.hidden = True
        # The scores of a stroke are not paused.
        part.wait_for_quick(PATIENCE)


@pytest.mark.parametrize("name", EXPLORERS)
@pytest.mark.parametrize("when", ["done", "in mid run"])
def test_one_that_nothing_holds_is_closed_and_freed_with_its_network_and_results(name, when):
    before = registered()
    network = Network()
    model = classifier(network)
    explorer = EXPLORERS[name](model)
    pause(explorer)
    if when == "done":
        assert explorer.wait(PATIENCE)
    references = [weakref.ref(one) for one in (explorer, network, model)]
    del explorer, network, model
    gc.collect()
    assert references[0]() is not None
    # A result that is being drawn holds the explorer for a moment.
    assert any(close_unless_held(references[0]) or threading.Event().wait(0.02) for _ in range(500))
    # A pass that has begun ends first.
    for _ in range(500):
        if all(reference() is None for reference in references):
            break
        threading.Event().wait(0.02)
        gc.collect()
    assert [reference() for reference in references] == [None] * 3
    assert registered() <= before


def test_a_paused_computation_ends_with_its_explorer(held):
    inside, let_go = held
    explorer = xw.DeletionExplorer(classifier(), photos(1)[0], ["gradient"], steps=8)
    assert inside.wait(PATIENCE)
    explorer.hidden = True
    worker = explorer._worker
    reference = weakref.ref(explorer)
    del explorer
    assert close_unless_held(reference)
    let_go.set()
    assert worker.wait(PATIENCE)
    assert worker.status == "cancelled"


def test_one_that_a_variable_holds_stays_and_works():
    before = registered()
    explorer = xw.DeletionExplorer(classifier(), photos(1)[0], ["gradient"], steps=8)
    part, reference = explorer.heatmap, weakref.ref(explorer)
    assert explorer.wait(PATIENCE)
    made = registered() - before
    assert not close_unless_held(reference)
    del explorer
    # A part refers to its explorer.
    assert not close_unless_held(reference)
    assert registered() - before == made
    explorer = reference()
    part.comm.handle_msg(
        {"content": {"data": {"method": "update", "state": {"opacity": 0.25}}}, "buffers": []}
    )
    assert part.opacity == 0.25
    explorer.image = photos(2)[1]
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.status == "done"
    explorer.close()


def test_one_of_which_a_part_is_shown_alone_stays():
    explorer = xw.DeletionExplorer(classifier(), photos(1)[0], ["gradient"], steps=8)
    assert explorer.wait(PATIENCE)
    explorer.heatmap._repr_mimebundle_()
    reference = weakref.ref(explorer)
    del explorer
    assert not close_unless_held(reference)
    reference().close()


class Shell:
    """A kernel's shell that runs cells with names, and keeps their results."""

    def __init__(self):
        self.events, self.callbacks = self, {}
        self.kernel = self
        self.cell, self.user_ns = "", {"_oh": {}}
        self.user_ns_hidden, self.displayhook = {}, SimpleNamespace()
        self.count = 0

    def register(self, name, callback):
        self.callbacks[name] = callback

    def get_parent(self, _channel):
        return {"metadata": {"cellId": self.cell}}

    def run(self, cell, make, displays):
        self.cell = cell
        self.callbacks["pre_run_cell"](SimpleNamespace(cell_id=cell))
        result = make()
        displays.add(result)
        self.count += 1
        names = self.user_ns
        for space in (names, self.user_ns_hidden, vars(self.displayhook)):
            space["__"], space["_"] = space.get("_"), result
        names[f"_{self.count}"] = names["_oh"][self.count] = result
        self.callbacks["post_run_cell"](None)
        return weakref.ref(result)


def show(panel, state):
    panel.menu._see(None, {"type": "view", "id": "1", "state": state}, None)


@pytest.fixture
def shell(monkeypatch):
    monkeypatch.setattr(replaced, "GRACE", 0.2)
    return Shell()


def is_freed(reference):
    for _ in range(200):
        if reference() is None:
            return True
        threading.Event().wait(0.02)
    return False


def make():
    return xw.DeletionExplorer(classifier(), photos(1)[0], ["gradient"], steps=8)


def test_a_cell_that_runs_again_frees_its_explorer_once_its_view_is_gone(shell):
    displays = Displays(shell)
    first = shell.run("a", make, displays)
    show(first(), "visible")
    second = shell.run("a", make, displays)
    show(second(), "visible")
    assert first() is not None
    show(first(), "gone")
    assert is_freed(first)
    assert shell.user_ns["_oh"].keys() == {2}
    assert second() is not None
    # Its output was cleared, but ``Out`` has it still.
    show(second(), "gone")
    assert not threading.Event().wait(0.2)
    assert second() is shell.user_ns["_oh"][2]
    second().close()


def test_one_with_another_name_is_freed_when_that_is_deleted(shell):
    displays = Displays(shell)
    first = shell.run("a", make, displays)
    kept = [first()]
    show(first(), "visible")
    second = shell.run("a", make, displays)
    show(first(), "gone")
    # It is found to be held.
    for _ in range(500):
        if first() in displays._counts:
            break
        threading.Event().wait(0.02)
    assert first() is shell.user_ns["_oh"][1]
    kept.clear()
    shell.callbacks["post_run_cell"](None)
    assert is_freed(first)
    second().close()


def test_a_tab_that_is_shown_alone_is_left_to_its_explorer(shell, monkeypatch):
    monkeypatch.setattr(replaced, "running_shell", lambda: shell)
    monkeypatch.setattr(replaced, "_displays", None)
    explorer = xw.InverseExplorer(classifier(), photos(1)[0], lam=(0, 0.5), methods=[], start=False)
    tab = explorer.show("settings")
    assert tab._repr_mimebundle_() is not None
    assert explorer._repr_mimebundle_() is not None
    assert list(replaced._displays._cells) == [explorer]
    explorer.close()
