"""The super-resolution network: its layers, loading, training, and the gain of its weights."""

import json
from dataclasses import replace

import pytest
import torch
from closeness import assert_close
from torch import nn

import xai_widgets
from xai_widgets.data import low_resolution as data
from xai_widgets.inverse import find_units
from xai_widgets.ops import color
from xai_widgets.zoo import files, super_resolution, train_sr

pytest.importorskip("skimage")
pytest.importorskip("sklearn")

PATH = files.weights_path("scenes_sr")
SHORT = train_sr.Recipe(steps=20, batch=8, patch=24, sizes=(0.5,), threads=1)


def test_the_network_is_a_chain_of_units_without_a_skip():
    network = super_resolution.build()
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) >= 8
    assert {m.kernel_size for m in convolutions} == {(3, 3)}
    assert {type(m) for m in network.children()} == {nn.Conv2d, nn.ReLU}
    units = find_units(network)
    assert [unit.name for unit in units] == [f"relu{i}" for i in range(1, 8)] + ["conv8"]


@pytest.mark.parametrize("shape", [(1, 1, 17, 30), (3, 1, 8, 8)])
def test_the_residual_has_the_shape_of_the_image(shape):
    network = xai_widgets.load("scenes_sr", device="cpu")
    x = torch.rand(shape)
    assert network(x).shape == shape
    assert network(x).min() < 0
    assert_close(network.enhance(x), (x + network(x)).clamp(0, 1))
    assert not network.enhance(x).requires_grad


def test_random_weights_depend_on_their_seed_and_leave_the_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a, b, c = (super_resolution.build(seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(a.conv3.weight, b.conv3.weight)
    assert not torch.equal(a.conv3.weight, c.conv3.weight)
    assert not a.training
    loaded = xai_widgets.load("scenes_sr", weights=None, device="cpu")
    assert torch.equal(loaded.conv3.weight, a.conv3.weight)


@pytest.mark.parametrize(("name", "scale"), [("camera", 2), ("coffee", 4)])
def test_the_committed_weights_have_the_gain_of_their_report(name, scale):
    report = json.loads(PATH.with_suffix(".json").read_text())["psnr"][f"x{scale}"]
    x, g = data.blurred_pair(color.luminance(data.load_photograph(name)), scale)
    network = xai_widgets.load("scenes_sr", device="cpu")
    bicubic = data.psnr(x, g, border=scale).item()
    enhanced = data.psnr(network.enhance(x), g, border=scale).item()
    assert bicubic == pytest.approx(report["photographs"][name]["bicubic"], abs=0.005)
    assert enhanced == pytest.approx(report["photographs"][name]["network"], abs=0.02)
    assert enhanced > bicubic + 0.4


def test_report_belongs_to_the_weights():
    report = json.loads(PATH.with_suffix(".json").read_text())
    state, facts = files.read(PATH)
    assert report["bytes"] == PATH.stat().st_size < 300_000
    assert report["parameters"] == sum(value.numel() for value in state.values())
    assert report["training_photographs"] == list(data.TRAINING)
    assert facts["steps"] == report["recipe"]["steps"]
    assert facts["scales"] == list(data.SCALES)
    for scale in data.SCALES:
        row = report["psnr"][f"x{scale}"]
        assert set(row["photographs"]) == set(data.TEST)
        assert facts["gain"][f"x{scale}"] == row["gain"]
        assert row["gain"] == pytest.approx(row["network"] - row["bicubic"], abs=0.011)
        assert all(each["network"] > each["bicubic"] for each in row["photographs"].values())
    from safetensors.torch import load_file

    assert {value.dtype for value in load_file(PATH).values()} == {torch.float16}


def test_files_that_do_not_fit_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="expected the weights of scenes_sr"):
        xai_widgets.load("scenes_sr", weights=files.weights_path("scenes_vgg"))
    broken = tmp_path / "net.safetensors"
    broken.write_bytes(PATH.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        xai_widgets.load("scenes_sr", weights=broken)
    with pytest.raises(ValueError, match=r"expected the path of a \.pth or \.safetensors file"):
        xai_widgets.load("scenes_sr", weights="nowhere.pth")
    with pytest.raises(ValueError, match="expected an available device, got 'gpu5'"):
        xai_widgets.load("scenes_sr", device="gpu5")
    with pytest.raises(ValueError, match="'scenes_sr'"):
        xai_widgets.load("scene_sr")
    monkeypatch.setattr(files, "WEIGHTS", tmp_path / "empty")
    with pytest.raises(RuntimeError, match=r"python -m xai_widgets.zoo.train_sr"):
        xai_widgets.load("scenes_sr")


def test_patches_are_those_of_the_pairs_whatever_way_they_are_turned():
    sources = train_sr.pairs(SHORT, ("coins",))
    assert len(sources) == 3
    x, g = train_sr.draw(sources, SHORT, torch.Generator().manual_seed(0))
    assert x.shape == g.shape == (8, 1, 24, 24)
    again = train_sr.draw(sources, SHORT, torch.Generator().manual_seed(0))
    assert torch.equal(x, again[0])
    windows = [g_source.unfold(0, 24, 1).unfold(1, 24, 1).flatten(0, 1) for _, g_source in sources]
    for low, truth in zip(x[:, 0], g[:, 0], strict=True):
        # x and g were turned alike.
        assert torch.corrcoef(torch.stack([low.flatten(), truth.flatten()]))[0, 1] > 0.7
        ways = [turned for k in range(4) for turned in (truth.rot90(k), truth.rot90(k).flip(1))]
        assert any((window == way).all((1, 2)).any() for window in windows for way in ways)


def test_a_short_run_learns_and_a_stopped_one_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(train_sr, "CHECKPOINT_EVERY", 10)
    monkeypatch.setattr(data, "TRAINING", ("coins",))
    straight = tmp_path / "a.safetensors"
    report = train_sr.train(SHORT, straight, tmp_path / "a.checkpoint")
    assert report["bytes"] == straight.stat().st_size
    assert not (tmp_path / "a.checkpoint").exists()

    class Stop(Exception):
        pass

    def drawn_until(last, draw=train_sr.draw):
        calls = iter(range(100))

        def drawn(*given):
            if next(calls) == last:
                raise Stop
            return draw(*given)

        return drawn

    stopped = tmp_path / "b.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(train_sr, "draw", drawn_until(15))
        with pytest.raises(Stop):
            train_sr.train(SHORT, stopped, tmp_path / "b.checkpoint")
    assert not stopped.exists()
    with monkeypatch.context() as patch:
        # Ten steps were kept, ten are left.
        patch.setattr(train_sr, "draw", drawn_until(10))
        train_sr.train(SHORT, stopped, tmp_path / "b.checkpoint")
    for key, value in files.read(straight)[0].items():
        torch.testing.assert_close(files.read(stopped)[0][key], value, atol=1e-3, rtol=1e-2)


def test_training_learns_the_residual_of_one_patch(tmp_path, monkeypatch):
    x, g = data.blurred_pair(color.luminance(data.load_photograph("coins"))[:, :, 100:124, 100:124], 3)
    network = super_resolution.build()
    before = (g - x).abs().mean()
    monkeypatch.setattr(train_sr, "pairs", lambda *_: [(x[0, 0], g[0, 0])])
    train_sr.fit(network, replace(SHORT, steps=300, batch=4), tmp_path / "c.checkpoint")
    with torch.no_grad():
        assert (network(x) - (g - x)).abs().mean() < 0.8 * before
    assert not network.training


def test_inner_bfloat16_changes_the_residual_little():
    network = xai_widgets.load("scenes_sr", device="cpu")
    x, _ = data.blurred_pair(color.luminance(data.load_photograph("camera"))[:, :, 100:184, 200:284], 3)
    with torch.no_grad():
        exact, fast = network(x), train_sr.residual(network, x)
    assert (exact - fast).abs().mean() < 0.1 * exact.abs().mean()
