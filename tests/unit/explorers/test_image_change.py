"""Another image replaces the old one in every explorer: nothing of the old one is shown again."""

import threading
from hashlib import blake2b

import numpy as np
import pytest
from small_explorers import METHODS, call_before_passes, classifier, photos

import xai_widgets as xw
from xai_widgets.views import View
from xai_widgets.views.array_list import Arrays
from xai_widgets.views.arrays import Array
from xai_widgets.views.static_repr import walk_widgets

PATIENCE = 120
OLD, NEW = photos(2)

#: Explorers of one image that compute.
MAKERS = {
    "attribution": lambda model, image: xw.AttributionExplorer(model, [image], [*METHODS, "occlusion"]),
    "deletion": lambda model, image: xw.DeletionExplorer(model, image, METHODS, steps=40, batch_size=8),
    "comparison": lambda model, image: xw.MaskComparison(
        model, image, ["gradient", "extremal"], areas=(0.2, 0.5)
    ),
    "extremal": lambda model, image: xw.ExtremalExplorer(model, image, areas=(0.2, 0.5)),
    "channel": lambda model, image: xw.ChannelExplorer(model, image, images=photos(4)[2:]),
    "inverse": lambda model, image: xw.InverseExplorer(model, image, lam=(0.0, 0.5), methods=METHODS),
    "brush": lambda model, image: xw.PerturbationBrush(model, image, start="gradient"),
    "dashboard": lambda model, image: xw.dashboard(
        model,
        # The image that is given is the first one.
        [image, NEW if image is OLD else OLD],
        explorers=["deletion", "extremal", "channels", "inverse", "brush"],
        options={
            "deletion": {"methods": METHODS, "steps": 40, "batch_size": 8},
            "inverse": {"lam": (0.0, 0.5), "methods": METHODS},
        },
    ),
}


def begin(name, model, image):
    """Return an explorer that computes; a dashboard with all of its tabs, a brush that refines."""
    explorer = MAKERS[name](model, image)
    if name == "brush":
        explorer.wait(PATIENCE)
        explorer.compute(again=True)
    if name == "dashboard":
        for tab in explorer._pages:
            explorer.show(tab)
        explorer.show("deletion")
        # All of them compute.
        for other in explorer.explorers.values():
            other.hidden = False
    return explorer


def replace(name, explorer):
    if name == "attribution":
        explorer.images = [NEW]
    elif name == "dashboard":
        explorer.frame = 1
    else:
        explorer.image = NEW


def parts(explorer):
    """Return the views of an explorer, for a dashboard those in tabs that are filled."""
    return [part for part in walk_widgets(explorer) if isinstance(part, View)]


def digests(value):
    """Return the digests of an array and of its parts along the first axes, except constants."""
    array = np.asarray(value)
    known = array[np.isfinite(array)] if array.dtype.kind == "f" else array.ravel()
    if known.size == 0 or (known == known[0]).all():
        return set()
    found = {blake2b(np.ascontiguousarray(array).tobytes()).digest()}
    # Single rows of two masks may agree by chance.
    rows = 2 if array.dtype == np.uint8 else 1
    return found.union(*(digests(part) for part in array)) if array.ndim > rows else found


class Shown:
    """All that the views of an explorer show from now on, by digest, with the name of the view and its trait."""

    def __init__(self, explorer):
        self.all = {}
        self._known = set()
        self.watch(explorer)

    def watch(self, explorer):
        for part in parts(explorer):
            for name, trait in part.traits().items():
                if isinstance(trait, Array | Arrays) and (id(part), name) not in self._known:
                    self._known.add((id(part), name))
                    self.add(part, name, getattr(part, name))
                    part.observe(
                        lambda change: self.add(change["owner"], change["name"], change["new"]), name
                    )

    def add(self, part, name, value):
        # All images of a dashboard stay in its picker. Positions on an axis, and which images of a gallery exist, are
        # not pixels.
        picker = isinstance(part, xw.GalleryView) and part.title == "Image"
        axis = name in ("x", "present")
        if value is not None and not picker and not axis:
            for array in value if isinstance(value, list | tuple) else [value]:
                for digest in digests(array):
                    self.all[digest] = f"{type(part).__name__}.{name}"


class Gate:
    """Holds threads of workers before one pass of the network."""

    def __init__(self):
        self.count, self.hold_at = 0, None
        self.held, self.opened = threading.Event(), threading.Event()

    def __call__(self):
        if threading.current_thread() is threading.main_thread():
            return
        self.count += 1
        if self.hold_at is not None and self.count >= self.hold_at and not self.opened.is_set():
            self.held.set()
            assert self.opened.wait(PATIENCE)


@pytest.fixture
def gate(monkeypatch):
    gate = Gate()
    call_before_passes(monkeypatch, gate)
    yield gate
    gate.opened.set()


def finished(name, image):
    """Return all that is shown of one image, until the end."""
    explorer = begin(name, classifier(), image)
    shown = Shown(explorer)
    try:
        assert explorer.wait(PATIENCE)
        return shown.all
    finally:
        explorer.close()


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("part", [0.3, 0.8])
def test_nothing_of_an_older_image_is_shown_after_another_one(name, part, gate):
    old = finished(name, OLD)
    passes, gate.count = gate.count, 0
    forbidden = old.keys() - finished(name, NEW).keys()
    assert forbidden
    gate.count, gate.hold_at = 0, max(1, int(part * passes))
    explorer = begin(name, classifier(), OLD)
    try:
        assert gate.held.wait(PATIENCE)
        replace(name, explorer)
        shown = Shown(explorer)
        gate.opened.set()
        assert explorer.wait(PATIENCE)
        for tab in getattr(explorer, "_pages", ()):
            explorer.show(tab)
            shown.watch(explorer)
        assert explorer.wait(PATIENCE)
        found = {where for digest, where in shown.all.items() if digest in forbidden}
        assert found == set()
    finally:
        gate.opened.set()
        explorer.close()
