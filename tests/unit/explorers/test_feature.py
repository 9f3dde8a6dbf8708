"""An image forms while the controls act on it, and no frame of an earlier choice is drawn."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from small_explorers import classifier, photos
from traitlets import TraitError

from xai_widgets.explorers import FeatureExplorer, feature
from xai_widgets.features import objectives, parameterizations, visualize
from xai_widgets.studies.features import FeatureSettings, WallKey

PATIENCE = 60


def make(model=None, **options):
    given = {"layer": "relu", "channel": 1, "steps": 4, "wall_steps": 2, **options}
    return FeatureExplorer(model or classifier(), **given)


@pytest.fixture
def explorer():
    made = make(images=photos(3))
    assert made.wait(PATIENCE)
    yield made
    made.close()


@pytest.fixture
def gated(gate, model):
    """An explorer whose passes with a gradient stand at a gate, except those of the check of the gradient."""
    made = make(model, layer="1", steps=30, wall=1, start=False)
    gate.only_gradients = gate.shut = True
    made.compute()
    yield made
    gate.open()
    made.close()


def click(explorer, kind):
    explorer.run_bar._handle_custom_msg({"type": kind, "id": 1}, [])


def advance(gate, passes):
    """Let passes through, one after the other."""
    for _ in range(passes):
        gate.stopped()
        gate.permits.release()
    gate.stopped()
    gate.waiting.release()


def shown(explorer):
    return explorer.model.to_rgb(explorer.result.images[0])


def test_further_parameterizations_are_offered():
    """The generator draws gray images alone, which no other parameterization is bound to."""

    class Gray(torch.nn.Module):
        def forward(self, z):
            return z.view(-1, 1, 2, 2).sigmoid().expand(-1, 3, -1, -1)

    generated = parameterizations.Generated(Gray(), shape=4)
    made = make(parameterizations={"gray": generated}, parameterization="gray")
    try:
        assert made.wait(PATIENCE)
        assert "gray" in made.parameterization_picker.options
        image = made.result.images[0]
        assert torch.equal(image[:1].expand(3, -1, -1), image)
        made.parameterization_picker.value = "pixels"
        assert made.wait(PATIENCE)
        image = made.result.images[0]
        assert not torch.equal(image[:1].expand(3, -1, -1), image)
    finally:
        made.close()
    with pytest.raises(ValueError, match="got 'cppn', which is known"):
        make(parameterizations={"cppn": generated})
    with pytest.raises(ValueError, match="did you mean 'gray'"):
        make(parameterizations={"gray": generated}, parameterization="grey")
    with pytest.raises(TypeError, match="each of the parameterizations"):
        make(parameterizations={"gray": Gray()})


def test_image_curve_wall_and_patches_are_drawn(explorer):
    expected = visualize(explorer.model, objectives.Channel("relu", 1), steps=4).result(progress=False)
    np.testing.assert_array_equal(explorer.view.image, explorer.model.to_rgb(expected.images[0]))
    np.testing.assert_allclose(explorer.curve.y[0], expected.history[:, 0])
    assert explorer.view.title == "Channel 1 of relu"
    assert explorer.wall.images.shape == (4, 16, 16, 3)
    assert explorer.wall.present.all()
    assert explorer.wall.frame == 1
    # Patches of three images, and guided backprop of each.
    assert len(explorer.examples.images) == 12
    assert explorer.examples.row_labels == ["Patch", "Guided backprop"]
    np.testing.assert_array_equal(
        explorer.examples.present > 0, [True] * 3 + [False] * 3 + [True] * 3 + [False] * 3
    )
    assert (explorer.run_bar.status, explorer.run_bar.label) == ("done", "Resume")


def test_a_click_on_a_small_image_makes_its_channel_the_objective(explorer):
    before = explorer.view.image
    explorer.objective_picker.value = "class"
    assert explorer.wall.frame == -1
    explorer.wall.frame = 3
    assert (explorer.objective_picker.value, explorer.channel_picker.value) == ("channel", "3")
    assert explorer.wait(PATIENCE)
    assert explorer.view.title == "Channel 3 of relu"
    assert not np.array_equal(explorer.view.image, before)


def test_resume_step_and_restart(explorer):
    click(explorer, "run")
    assert explorer.wait(PATIENCE)
    assert explorer.result.step == 8
    click(explorer, "step")
    assert explorer.wait(PATIENCE)
    assert explorer.result.step == 9
    assert explorer.run_bar.message == "step 9"
    wall = explorer.study.result(WallKey("relu", 0, 4))
    click(explorer, "restart")
    assert explorer.wait(PATIENCE)
    assert explorer.result.step == 4
    assert explorer.study.result(WallKey("relu", 0, 4)) is wall


def test_a_step_of_an_explorer_that_has_not_begun():
    explorer = make(start=False)
    explorer.step()
    assert explorer.wait(PATIENCE)
    assert explorer.result.step == 1
    assert not any(isinstance(key, WallKey) for key in explorer.study.store)
    explorer.close()


def test_pause_keeps_the_image_and_resume_continues(gate, gated):
    advance(gate, 5)
    click(gated, "cancel")
    assert gated.run_bar.status == "cancelled"
    step = gated.result.step
    np.testing.assert_array_equal(gated.view.image, shown(gated))
    gate.open()
    click(gated, "run")
    assert gated.wait(PATIENCE)
    assert step < gated.result.step == 30


def test_a_slider_acts_on_the_running_optimization(gate, gated):
    advance(gate, 5)
    run = gated.study._runs[gated._key()]
    gated.total_variation.frame = len(gated.total_variation.values) - 1
    gated.transforms.value = False
    weight = gated.total_variation.values[-1]
    assert gated.study.settings == FeatureSettings(total_variation=weight, transforms=False)
    # The same run goes on, and keeps its steps.
    assert gated.study._runs[gated._key()] is run
    gate.open()
    assert gated.wait(PATIENCE)
    plain = visualize(gated.model, objectives.Channel("1", 1), steps=30).result(progress=False)
    smooth = gated.result.images
    assert gated.result.step == 30
    assert smooth.diff(dim=3).abs().mean() < 0.5 * plain.images.diff(dim=3).abs().mean()


def test_a_slider_continues_an_image_that_was_done(explorer):
    explorer.l2.frame = 5
    assert explorer.wait(PATIENCE)
    assert explorer.result.step == 8
    assert explorer.study.settings.l2 == explorer.l2.values[5]


def test_a_slider_does_not_start_a_paused_optimization(gate, gated):
    advance(gate, 3)
    gated.cancel()
    gated.alpha_norm.frame = 4
    assert gated.run_bar.status == "cancelled"
    assert gated.study.settings.alpha_norm == gated.alpha_norm.values[4]


def test_no_frame_of_an_earlier_channel_is_drawn(gate, gated):
    advance(gate, 5)
    frames = []
    gated.channel_picker.value = "2"
    gated.view.observe(lambda _change: frames.append((gated.view.title, gated.result)), "image")
    # At once, before a pass of the new channel.
    assert gated.view.title == "Channel 2 of 1"
    assert gated.view.notes == ["Not computed yet."]
    assert len(np.unique(gated.view.image)) == 1
    assert gated.curve.y is None
    gate.open()
    assert gated.wait(PATIENCE)
    expected = visualize(gated.model, objectives.Channel("1", 2), steps=30).result(progress=False)
    assert torch.equal(gated.result.images, expected.images)
    assert {title for title, _ in frames} == {"Channel 2 of 1"}


def test_another_layer_offers_its_channels_and_keeps_what_is_known():
    explorer = make(classifier(), channel=3)
    assert explorer.wait(PATIENCE)
    known = explorer.result
    explorer.layer_picker.value = "pool"
    assert explorer.channel_picker.options == list("0123")
    assert explorer.wait(PATIENCE)
    assert explorer.view.title == "Channel 3 of pool"
    explorer.layer_picker.value = "relu"
    assert explorer.result is known
    assert explorer.wait(PATIENCE)
    explorer.close()


def test_a_slow_browser_gets_no_pile_of_frames():
    """The browser confirms nothing: frames wait, and the last one is drawn at the end."""
    explorer = make(steps=300, wall=1, start=False)
    sent = explorer.view._sent
    explorer.compute()
    assert explorer.wait(PATIENCE)
    steps = len(explorer.result.history)
    assert steps == 300
    assert explorer.view._sent - sent < 12
    np.testing.assert_array_equal(explorer.view.image, shown(explorer))
    explorer.close()


def test_pages_of_the_wall():
    explorer = make(wall=3, batch_size=2)
    assert explorer.wait(PATIENCE)
    assert explorer.page_slider.labels == ["0 to 2", "3 to 3"]
    assert explorer.wall.labels == ["0", "1", "2"] or "not risen" in str(explorer.wall.labels)
    explorer.page_slider.frame = 1
    assert explorer.wait(PATIENCE)
    assert len(explorer.wall.images) == 1
    assert explorer.wall.frame == -1
    explorer.channel_picker.value = "0"
    assert explorer.page_slider.frame == 0
    assert explorer.wait(PATIENCE)
    explorer.close()


def test_a_channel_that_does_not_rise_has_a_warning():
    model = classifier()
    with torch.no_grad():
        # A unit that is always off.
        next(iter(model.module.children())).bias[1] = -100
    explorer = make(model)
    assert explorer.wait(PATIENCE)
    assert "did not rise" in explorer.view.notes[0]
    assert explorer.wall.labels[1] == "1, not risen"
    explorer.close()


def test_named_objectives_and_a_class():
    named = {"both": objectives.Channel("relu", 0) + objectives.Channel("relu", 1)}
    explorer = FeatureExplorer(classifier(), objectives=named, steps=2, wall_steps=1)
    assert explorer.wait(PATIENCE)
    assert explorer.view.title == "Both"
    assert explorer.objective_picker.options == ["channel", "class", "both"]
    explorer.close()
    explorer = FeatureExplorer(classifier(), target="c", steps=2, wall_steps=1)
    assert explorer.wait(PATIENCE)
    assert explorer.view.title == "Class c"
    explorer.close()


def test_the_image_and_its_frames_are_saved(explorer, tmp_path):
    with Image.open(explorer.save(tmp_path / "image.png")) as image:
        np.testing.assert_array_equal(np.asarray(image), explorer.view.image)
    with Image.open(explorer.save(tmp_path / "film.apng")) as film:
        assert film.n_frames == 5
        for index, frame in enumerate(explorer.frames):
            film.seek(index)
            np.testing.assert_array_equal(np.asarray(film.convert("RGB")), frame)


def test_nothing_is_saved_before_the_first_image(tmp_path):
    explorer = make(start=False)
    with pytest.raises(ValueError, match="press Run"):
        explorer.save(tmp_path / "image.png")
    assert explorer.frames.shape == (0, 0, 0, 3)
    explorer.close()


def test_the_menu_makes_the_same_files(explorer, tmp_path):
    replies = []
    explorer.menu.send = lambda content, buffers=None: replies.append((content, buffers))
    for index, name in enumerate(("image.png", "image.apng")):
        content = {"action": explorer.menu.files[index]["action"], "id": index}
        explorer.menu._handle(explorer.menu, content, [])
        (reply, (data,)) = replies.pop()
        assert reply["error"] == ""
        assert reply["name"] == f"channel-1-of-relu.{name.split('.')[1]}"
        assert data == explorer.save(tmp_path / name).read_bytes()


def test_the_menu_refuses_files_before_the_first_image():
    explorer = make(start=False)
    replies = []
    explorer.menu.send = lambda content, buffers=None: replies.append((content, buffers))
    explorer.menu._handle(explorer.menu, {"action": explorer.menu.files[1]["action"], "id": 3}, [])
    assert replies == [
        (
            {
                "id": 3,
                "text": "",
                "error": "expected an image that was computed, got none yet; press Run",
            },
            [],
        )
    ]
    explorer.close()


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("patches", []),
        ("deconvnet", ["Patch", "DeconvNet"]),
        ("inverse", ["Patch", "Inverse"]),
        ("field", ["Patch", "Discrepancy", "Segmentation"]),
    ],
)
def test_maps_of_the_patches(explorer, kind, rows):
    explorer.details_picker.value = kind
    assert explorer.wait(PATIENCE)
    assert explorer.run_bar.status == "done"
    assert explorer.examples.row_labels == rows
    assert len(explorer.examples.images) == 6 * max(1, len(rows))
    if kind == "field":
        assert "Empirical receptive field" in explorer.note.value


def test_maps_that_are_refused_stop_nothing():
    """A network without ReLU, whose DeconvNet is refused."""
    model = classifier()
    model.module.relu = torch.nn.Tanh()
    explorer = make(model, images=photos(3))
    explorer.details_picker.value = "deconvnet"
    assert explorer.wait(PATIENCE)
    assert "ReLU" in explorer.note.value
    assert explorer.examples.row_labels == []
    assert (explorer.examples.present > 0).sum() == 3
    assert explorer.wall.present.all()
    assert explorer.result.step == 4
    explorer.close()


def test_small_images_and_examples_come_while_the_image_forms(monkeypatch):
    chosen = []
    choose = FeatureExplorer._choose

    def recorded(self, left):
        chosen.append(choose(self, left))
        return chosen[-1]

    monkeypatch.setattr(FeatureExplorer, "_choose", recorded)
    explorer = make(images=photos(3), steps=400)
    assert explorer.wait(PATIENCE)
    image, *others = explorer._keys()
    assert explorer.result.step == 400
    first, last = chosen.index(image), len(chosen) - 1 - chosen[::-1].index(image)
    assert first == 0
    assert set(chosen[:last]) == {image, *others}
    explorer.close()


def test_small_images_have_a_third_of_the_time(monkeypatch):
    explorer = make(images=photos(3), start=False)
    keys = explorer._keys()
    clock, spent = SimpleNamespace(now=0.0), {True: 0.0, False: 0.0}
    monkeypatch.setattr(feature, "time", SimpleNamespace(monotonic=lambda: clock.now))
    for _ in range(200):
        chosen = explorer._choose(keys)
        duration = 0.1 if chosen == keys[0] else 0.45
        clock.now += duration
        spent[chosen == keys[0]] += duration
    # Equal up to a step of each.
    assert abs(spent[True] - 2 * spent[False]) <= 2 * 0.45 + 0.1
    assert explorer._choose(keys[1:]) == keys[1]
    assert explorer._choose(keys[:1]) == keys[0]
    explorer.close()


def test_a_class_of_a_dashboard_is_taken():
    explorer = make(target=None)
    assert explorer.wait(PATIENCE)
    explorer.target = 3
    assert explorer.label_picker.value == "3"
    explorer.label_picker.value = "5"
    assert explorer.target == 5
    with pytest.raises(TraitError, match="from 0 to 5"):
        explorer.target = 6
    assert explorer.target == 5
    explorer.close()


def test_a_state_is_loaded_with_its_layer_and_channel(explorer):
    explorer.layer_picker.value, explorer.channel_picker.value = "pool", "2"
    explorer.total_variation.frame = 3
    state = explorer.state()
    assert explorer.wait(PATIENCE)
    other = make(state=state, start=False)
    assert other._key() == explorer._key()
    assert other.study.settings == explorer.study.settings
    other.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "rely"}, "relu"),
        ({"channel": 4}, "4 channels"),
        ({"channel": 0, "target": "a"}, "both"),
        ({"channel": None, "target": "zebra"}, "zebra"),
        ({"parameterization": "fourrier"}, "fourier"),
        ({"wall": 0}, "wall"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
