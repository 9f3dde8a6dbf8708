"""Every explorer keeps its results when it is stopped, goes on from them, and is done when all of them are complete."""

import threading

import pytest
import torch
from small_explorers import (
    EXPLORERS,
    NOISE_MASK,
    call_before_passes,
    classifier,
    concept_explorer,
    photos,
    residual,
)

import xai_widgets as xw
from xai_widgets.core.scheduler import UNSEEN, VISIBLE, scheduler

PATIENCE = 120


class Passes:
    """Counts the passes of networks on threads of workers, and stops an explorer before one of them."""

    def __init__(self):
        self.count, self.stop_at, self.stop = 0, None, None
        self.stopped = threading.Event()

    def __call__(self):
        if threading.current_thread() is threading.main_thread():
            return
        self.count += 1
        if self.count == self.stop_at:
            self.stop()
            self.stopped.set()


@pytest.fixture
def passes(monkeypatch):
    passes = Passes()
    call_before_passes(monkeypatch, passes)
    return passes


#: Explorers that have not begun; methods of many passes are left out, so that the tests are short.
MAKERS = {
    "attribution": lambda model: xw.AttributionExplorer(
        model, photos(2), ["gradient", "occlusion"], start=False
    ),
    "deletion": lambda model: xw.DeletionExplorer(
        model, photos(1)[0], ["gradient", "occlusion"], steps=40, batch_size=8, start=False
    ),
    "race": lambda model: xw.MaskComparison(
        model, photos(1)[0], ["gradient", "extremal"], areas=(0.2, 0.5), start=False
    ),
    "sanity": lambda model: xw.SanityExplorer(model, photos(1)[0], ["gradient", "occlusion"], start=False),
    "leaderboard": lambda model: xw.LeaderboardExplorer(
        model, photos(3), ["gradient", "occlusion"], ["png_size"], start=False
    ),
    "extremal": lambda model: xw.ExtremalExplorer(model, photos(1)[0], areas=(0.2, 0.5), start=False),
    "channel": lambda model: xw.ChannelExplorer(model, photos(1)[0], images=photos(3), start=False),
    "class": lambda model: xw.ClassExplorer(model, photos(2), count=3, design=16, scored=2, start=False),
    "feature": lambda model: xw.FeatureExplorer(
        model, "relu", images=photos(3), steps=4, wall_steps=3, batch_size=2, start=False
    ),
    "inverse": lambda model: xw.InverseExplorer(
        model, photos(1)[0], lam=(0.0, 0.5), methods=["gradient"], start=False
    ),
    "noise_mask": lambda model: xw.NoiseMaskExplorer(
        model, photos(1)[0], layers=["relu", "scores"], betas=(0.5, 1), settings=NOISE_MASK, start=False
    ),
    "concept": lambda model: concept_explorer(model, start=False),
    "similarity": lambda model: xw.SimilarityExplorer(
        model, photos(2), components=2, corpus=photos(2), start=False
    ),
}


def make(name, model):
    return MAKERS[name](model)


def finish(explorer):
    assert explorer.wait(PATIENCE)
    assert (explorer.run_bar.status, explorer.run_bar.error) == ("done", "")


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("part", [0.3, 0.8])
def test_resume_repeats_no_pass(name, part, passes):
    """A computation that was stopped and resumed takes the same passes as one that was not."""
    explorer = make(name, classifier())
    explorer.compute()
    finish(explorer)
    whole, passes.count = passes.count, 0
    explorer.close()
    explorer = make(name, classifier())
    passes.stop_at, passes.stop = max(1, int(part * whole)), explorer.cancel
    try:
        explorer.compute()
        assert passes.stopped.wait(PATIENCE)
        assert explorer.wait(PATIENCE)
        assert explorer.run_bar.status == "cancelled"
        known = {key: outcome.result for key, outcome in explorer.study.store.items()}
        explorer.run_bar._handle(None, {"type": "run"}, None)
        finish(explorer)
        assert passes.count == whole
        assert known.keys() <= set(explorer.study.store)
    finally:
        explorer.close()


def test_the_inverse_of_a_regression_goes_on_too():
    explorer = xw.RegressionInverseExplorer(residual(), torch.rand(1, 1, 24, 24), lam=(0.0, 0.2), start=False)
    stopped = threading.Event()

    def stop(change):
        if 0.3 < change["new"] < 1 and not stopped.is_set():
            explorer.cancel()
            stopped.set()

    explorer.run_bar.observe(stop, "progress")
    try:
        explorer.compute()
        assert stopped.wait(PATIENCE)
        assert explorer.run_bar.status == "cancelled"
        before = explorer.run_bar.progress
        explorer.compute()
        assert explorer.run_bar.progress >= before
        finish(explorer)
    finally:
        explorer.close()


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "feature"])
def test_restart_discards_all_results_and_computes_them_anew(name):
    explorer = make(name, classifier())
    try:
        explorer.compute()
        finish(explorer)
        assert explorer.run_bar.restart.startswith("Restart: discard")
        known = dict(explorer.study.store.items())
        left = []
        explorer.run_bar.observe(
            lambda change: left.append(len(explorer.study.store)) if change["new"] == "running" else None,
            "status",
        )
        explorer.run_bar._handle(None, {"type": "restart"}, None)
        finish(explorer)
        assert left[0] == 0
        assert explorer.study.store.keys() == known.keys()
        assert all(outcome is not known[key] for key, outcome in explorer.study.store.items())
    finally:
        explorer.close()


@pytest.mark.parametrize("name", MAKERS)
def test_done_means_that_each_key_is_complete_and_progress_only_grows(name):
    explorer = make(name, classifier())
    progress, complete = [], []
    explorer.run_bar.observe(lambda change: progress.append(change["new"]), "progress")
    explorer.run_bar.observe(
        lambda change: (
            complete.append(all(explorer.study.outcome(key).complete for key in explorer._keys()))
            if change["new"] == "done"
            else None
        ),
        "status",
    )
    try:
        explorer.compute()
        finish(explorer)
        assert complete
        assert all(complete)
        assert progress == sorted(progress)
        assert progress[-1] == 1
    finally:
        explorer.close()


def test_the_button_is_run_then_stop_then_resume(passes):
    explorer = make("deletion", classifier())
    bar = explorer.run_bar
    passes.stop_at, passes.stop = 5, explorer.cancel
    try:
        assert (bar.label, bar.runnable, bar.restart) == ("Run", True, "")
        explorer.compute()
        assert passes.stopped.wait(PATIENCE)
        assert explorer.wait(PATIENCE)
        assert (bar.status, bar.label, bar.runnable) == ("cancelled", "Resume", True)
        assert bar.restart
        explorer.compute()
        finish(explorer)
        assert (bar.label, bar.runnable) == ("Run", False)
    finally:
        explorer.close()


# -- the queue ----------------------------------------------------------------------------------------------


def show(explorer, state):
    explorer.run_bar._see(None, {"type": "view", "id": "1", "state": state}, None)


@pytest.fixture
def pair(gate, model, image):
    """Two explorers of a network whose passes stand at a gate; the first one computes."""
    gate.shut = True
    made = [xw.DeletionExplorer(model, image, ["gradient"], steps=8, start=False) for _ in range(2)]
    made[0].compute()
    gate.stopped()
    made[1].compute()
    yield made
    gate.open()
    for explorer in made:
        explorer.close()
    for explorer in made:
        assert explorer.wait(PATIENCE)


def test_what_is_visible_is_computed_first(pair, gate):
    first, second = pair
    ends = []
    for explorer in pair:
        explorer.run_bar.observe(
            lambda change, one=explorer: ends.append(one) if change["new"] == "done" else None, "status"
        )
    show(second, "visible")
    assert (first._worker.level, second._worker.level) == (UNSEEN, VISIBLE)
    gate.open()
    for explorer in pair:
        assert explorer._worker._idle.wait(PATIENCE)
    assert ends == [second, first]


def test_an_explorer_whose_view_is_removed_pauses_until_it_is_shown_again(pair, gate):
    first, second = pair
    show(first, "visible")
    show(first, "gone")
    gate.open()
    assert second._worker._idle.wait(PATIENCE)
    assert (first.run_bar.status, second.run_bar.status) == ("running", "done")
    assert first._worker._current in scheduler._waiting
    show(first, "unseen")
    assert first._worker._idle.wait(PATIENCE)
    assert first.run_bar.status == "done"


def test_a_wait_computes_what_is_paused(pair, gate):
    first, _ = pair
    first.hidden = True
    gate.open()
    assert first.wait(PATIENCE)
    assert first.run_bar.status == "done"


def test_a_hidden_tab_of_a_dashboard_pauses(model, image):
    board = xw.dashboard(model, [image], explorers=["deletion", "extremal"])
    try:
        assert [name for name, made in board.explorers.items() if made.hidden] == []
        board.show("extremal")
        assert [name for name, made in board.explorers.items() if made.hidden] == ["deletion"]
        board.show("deletion")
        assert [name for name, made in board.explorers.items() if made.hidden] == ["extremal"]
        assert board.wait(PATIENCE)
    finally:
        board.close()


def test_the_active_method_is_computed_first_and_all_get_rough_curves_before_fine_ones(model, image):
    names = ["gradient", "gradient_x_input", "guided_backprop"]
    explorer = xw.DeletionExplorer(model, image, names, steps=80, batch_size=8, start=False)
    order = []
    original = explorer.study._compute

    def noted(key, store, again):
        for changed in original(key, store, again):
            order.append((key.method, explorer.study.is_rough(key)))
            yield changed

    explorer.study._compute = noted
    explorer.curves.frame = 1
    try:
        explorer.compute()
        finish(explorer)
        assert order[0] == ("gradient_x_input", True)
        firsts = [
            next(i for i, (name, rough) in enumerate(order) if name == each and not rough) for each in names
        ]
        lasts = [max(i for i, (name, _) in enumerate(order) if name == each) for each in names]
        assert max(firsts) < min(lasts)
        assert firsts[1] == min(firsts)
        assert lasts[1] == min(lasts)
    finally:
        explorer.close()


def test_the_explorers_of_the_contract_exist():
    assert {*MAKERS, "brush", "dashboard"} <= set(EXPLORERS)
