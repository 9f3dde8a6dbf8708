"""State, code, undo and images of the user, of every explorer and of the dashboard."""

import io
import json
import sys
import threading

import numpy as np
import pytest
import torch
from explorers.test_contract import EXPLORERS, PATIENCE, classifier, photos, residual
from PIL import Image
from small_explorers import NOISE_MASK, concept_splits
from traitlets import TraitError

import xai_widgets as xw
from xai_widgets.explorers import history
from xai_widgets.explorers.opening import open_photograph

MAKERS = {
    **EXPLORERS,
    "regression_inverse": lambda _model: xw.RegressionInverseExplorer(
        residual(), torch.rand(1, 1, 24, 24), lam=(0.0, 0.2)
    ),
}


@pytest.fixture
def make():
    made = []

    def maker(name):
        made.append(MAKERS[name](classifier()))
        assert made[-1].wait(PATIENCE)
        return made[-1]

    yield maker
    for one in made:
        one.close()


def test_the_state_can_be_read_while_a_worker_sets_attributes(make):
    explorer, ends = make("deletion"), threading.Event()

    def work():
        while not ends.is_set():
            for number in range(50):
                setattr(explorer, f"_result_{number}", number)
            for number in range(50):
                delattr(explorer, f"_result_{number}")

    interval, worker = sys.getswitchinterval(), threading.Thread(target=work)
    sys.setswitchinterval(1e-6)
    try:
        worker.start()
        expected = explorer.state()
        for _ in range(400):
            assert explorer.state() == expected
    finally:
        ends.set()
        worker.join()
        sys.setswitchinterval(interval)


def views(explorer):
    """Return the entries that a user can change without another computation."""
    return {
        name: value
        for name, value in explorer.state().items()
        if name.endswith((".opacity", ".fade", ".colormap", ".fraction"))
    }


def change(explorer):
    """Change what can be changed, and return the new values."""
    given = {}
    for name, value in views(explorer).items():
        if isinstance(value, bool):
            given[name] = not value
        elif isinstance(value, float):
            given[name] = 0.0 if value >= 0.5 else 1.0
    explorer.load_state(given)
    return given


@pytest.mark.parametrize("name", MAKERS)
def test_a_state_is_json_and_is_set_again(name, make):
    explorer = make(name)
    before = explorer.state()
    assert json.loads(json.dumps(before)) == before
    assert before["explorer"] == type(explorer).__name__
    given = change(explorer)
    assert given or name == "regression_inverse"
    assert all(explorer.state()[key] == value for key, value in given.items())
    explorer.load_state(json.loads(json.dumps(before)))
    assert explorer.wait(PATIENCE)
    assert explorer.state() == before


@pytest.mark.parametrize("name", MAKERS)
def test_an_unknown_entry_is_an_error_that_names_the_nearest(name, make):
    explorer = make(name)
    before = explorer.state()
    known = next(key for key in before if key != "explorer" and len(key) > 4)
    with pytest.raises(ValueError, match=f"did you mean '{known}'"):
        explorer.load_state({**before, f"{known}s": 1})
    with pytest.raises(ValueError, match="expected a state of"):
        explorer.load_state({"explorer": "Microscope"})
    assert explorer.state() == before


@pytest.mark.parametrize("name", MAKERS)
def test_code_makes_the_explorer_in_its_state(name, make):
    explorer = make(name)
    change(explorer)
    code = explorer.code()
    names = {"model": classifier(), "photos": photos, "network": residual()}
    names |= {"image": photos(1)[0], "images": photos(2), "corpus": photos(2), "settings": NOISE_MASK}
    names["train"], names["val"] = concept_splits()
    names["concepts"] = {"first": photos(10), "second": photos(20)[10:]}
    if name == "regression_inverse":
        names["image"] = torch.rand(1, 1, 24, 24)
    exec(code, names)
    other = names["explorer"]
    try:
        assert other.wait(PATIENCE)
        assert type(other) is type(explorer)
        differences = {key for key, value in other.state().items() if explorer.state()[key] != value}
        assert differences == set()
    finally:
        other.close()


def test_a_state_is_given_to_the_constructor_and_computed_once(make):
    first = make("deletion")
    first.target = 3
    first.method_picker.selected = ["gradient"]
    first.curves.fraction = 0.5
    state = first.state()
    other = xw.DeletionExplorer(
        classifier(), photos(1)[0], ["gradient", "guided_backprop"], steps=8, state=state
    )
    try:
        assert other.wait(PATIENCE)
        assert (other.target, other.heatmap.fraction if other.heatmap.has_trait("fraction") else 0.5) == (
            3,
            0.5,
        )
        assert other.state() == state
        assert {key.method for key, outcome in other.study.store.items() if outcome.complete} >= {"gradient"}
    finally:
        other.close()


def test_a_state_given_to_the_constructor_is_kept_when_results_arrive_first(make, monkeypatch):
    """The curve takes the nearest step if it knows the steps already; the areas that are linked to it do not."""
    load = xw.MaskComparison._load

    def late(self, state, **options):
        assert self.wait(PATIENCE)
        load(self, state, **options)

    monkeypatch.setattr(xw.MaskComparison, "_load", late)
    explorer = xw.MaskComparison(
        classifier(), photos(1)[0], ["gradient"], areas=(0.2, 0.5), state={"curves.fraction": 1.0}
    )
    try:
        assert explorer.curves.fraction == 0.5
        assert explorer.state()["curves.fraction"] == 1.0
        assert (explorer.menu.undos, explorer.menu.redos) == (0, 0)
    finally:
        explorer.close()


def test_with_start_false_a_state_computes_nothing():
    other = xw.DeletionExplorer(
        classifier(), photos(1)[0], ["gradient"], steps=8, start=False, state={"target": 2}
    )
    assert other.target == 2
    assert other.run_bar.status == "idle"
    other.close()


def test_a_value_that_an_entry_cannot_have_leaves_the_state(make):
    explorer = make("deletion")
    before = explorer.state()
    with pytest.raises(TraitError):
        explorer.load_state({"curves.fraction": 0.5, "heatmap.colormap": "rainbow"})
    assert explorer.state() == before
    with pytest.raises(TypeError, match="expected state to be a dictionary"):
        explorer.load_state("deletion")


def test_steps_are_undone_redone_and_reset(make, monkeypatch):
    explorer = make("deletion")
    clock = [0.0]
    monkeypatch.setattr(history.time, "monotonic", lambda: clock[0])
    first = explorer.state()
    clock[0] = 10
    explorer.curves.fraction = 0.25
    clock[0] = 10.1
    explorer.curves.fraction = 0.5
    clock[0] = 20
    explorer.heatmap.opacity = 0.1
    assert (explorer.menu.undos, explorer.menu.redos) == (2, 0)
    explorer.undo()
    assert (explorer.heatmap.opacity, explorer.curves.fraction) == (first["display.opacity"], 0.5)
    explorer.undo()
    assert explorer.state() == first
    assert (explorer.menu.undos, explorer.menu.redos) == (0, 2)
    explorer.undo()
    explorer.redo()
    assert explorer.curves.fraction == 0.5
    explorer.redo()
    assert explorer.heatmap.opacity == 0.1
    explorer.reset()
    assert explorer.state() == first
    explorer.undo()
    assert explorer.heatmap.opacity == 0.1


def test_the_pointer_and_results_are_no_steps(make):
    explorer = make("deletion")
    explorer.heatmap.position = [0.5, 0.5]
    explorer.compute(again=True)
    assert explorer.wait(PATIENCE)
    assert explorer.menu.undos == 0


def encoded(image, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def sent(explorer, data, name="cat.png"):
    """Send an image as the browser does, and return the replies."""
    replies = []
    explorer.menu.send = lambda content, buffers=None: replies.append(content)
    explorer.menu._handle(explorer.menu, {"action": "image", "id": 1, "name": name}, [memoryview(data)])
    return replies


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in MAKERS
        if name not in ("concept", "feature", "leaderboard", "similarity", "regression_inverse")
    ],
)
def test_an_image_of_the_user_is_shown(name, make):
    explorer = make(name)
    image = np.random.default_rng(7).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert explorer.menu.opens
    assert sent(explorer, encoded(image)) == [{"id": 1, "text": "", "error": ""}]
    assert explorer.wait(PATIENCE)
    if name == "class":
        shown = explorer.model.images(explorer.images[-1])[0]
    else:
        shown = explorer.images[-1] if name == "attribution" else explorer.image[0]
    assert torch.equal((shown * 255).round().byte().cpu(), torch.from_numpy(image).permute(2, 0, 1))


def test_explorers_without_a_way_to_replace_their_images_open_none(make):
    assert not make("similarity").menu.opens


def test_other_files_are_refused_with_a_reason(make):
    explorer = make("deletion")
    before = explorer.image
    (reply,) = sent(explorer, b"%PDF-1.4", "thesis.pdf")
    assert "expected an image file such as JPEG or PNG, got 'thesis.pdf'" in reply["error"]
    (reply,) = sent(explorer, encoded(photos(1)[0])[:60])
    assert "expected a" in reply["error"]
    assert explorer.image is before


def test_the_size_of_a_file_and_of_an_image_is_limited(monkeypatch):
    with pytest.raises(ValueError, match=r"at most 10 MiB, got 'big.png' of 11.0 MiB"):
        open_photograph(bytes(11 * 2**20), "big.png")
    monkeypatch.setattr("xai_widgets.explorers.opening.MAX_PIXELS", 100)
    with pytest.raises(ValueError, match="megapixels, got the file of 16 x 16 pixels"):
        open_photograph(encoded(photos(1)[0]))


def test_code_names_what_it_cannot_write(make):
    code = make("deletion").code()
    assert code.startswith("import xai_widgets as xw\n")
    assert "# Define before: model, image." in code
    assert "methods=['gradient', 'guided_backprop']" in code
    model = xw.load("scenes_resnet")
    explorer = xw.PerturbationBrush(model, photos(1)[0])
    assert "model = xw.load('scenes_resnet')" in explorer.code()
    explorer.close()


def test_the_explorers_of_a_dashboard_are_made_for_their_state(make):
    board = make("dashboard")
    board.show("deletion")
    board.explorers["deletion"].curves.fraction = 0.5
    board.frame = 1
    assert board.wait(PATIENCE)
    state = board.state()
    assert state["deletion.curves.fraction"] == 0.5
    other = make("dashboard")
    other.load_state(state)
    assert other.wait(PATIENCE)
    assert other.explorers["deletion"].curves.fraction == 0.5
    assert other.state() == state
