"""The cache folder and the fingerprint of a network."""

import sys
from pathlib import Path

import pytest
import torch
from networks import Functional, settle, wrap
from torch import nn

from xai_widgets.core.caching import cache_folder, digest_of, fingerprint, read_weights, save_weights
from xai_widgets.errors import ExplanationWarning


def test_the_folder_is_that_of_the_platform(monkeypatch, tmp_path):
    monkeypatch.setenv("XAI_WIDGETS_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("XAI_WIDGETS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == tmp_path / "xai_widgets"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "xai_widgets"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "xai_widgets"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "xai_widgets"


def test_the_fingerprint_is_that_of_the_weights():
    network = settle(Functional())
    before = fingerprint(wrap(network))
    assert fingerprint(wrap(network)) == before
    assert fingerprint(wrap(network, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))) != before
    with torch.no_grad():
        network.fc.bias[0] += 1e-6
    assert fingerprint(wrap(network)) != before


def test_half_precision_and_scalars_have_a_fingerprint():
    assert digest_of(torch.ones(3, dtype=torch.bfloat16)) != digest_of(torch.zeros(3, dtype=torch.bfloat16))
    assert digest_of(torch.tensor(1.0)) != digest_of(torch.tensor(2.0))


def test_weights_come_back(tmp_path):
    path, layer = tmp_path / "deep" / "some.safetensors", nn.Linear(3, 2)
    assert read_weights(path) is None
    save_weights(path, layer, {"layers": ["a", "b"], "loss": 0.5})
    state, facts = read_weights(path)
    assert torch.equal(state["weight"], layer.weight)
    assert facts == {"layers": ["a", "b"], "loss": 0.5}
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_broken_file_is_reported(tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"nothing")
    with pytest.warns(ExplanationWarning, match="training again"):
        assert read_weights(path) is None
