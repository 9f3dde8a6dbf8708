"""Stores of results: bounded in memory, exact on disk."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

from xai_widgets.studies import DiskStore, Outcome, ResultStore
from xai_widgets.studies.store import nbytes


class Key(NamedTuple):
    method: str
    image: int
    layer: str | None = None


def test_the_result_used_longest_ago_is_dropped_first():
    store = ResultStore(max_bytes=100)
    for name in "abc":
        store[name] = Outcome(torch.zeros(8))
        assert "a" not in store or store["a"].result is not None
    # Three results of 32 bytes fit; "a" was used last.
    assert list(store) == ["b", "c", "a"] or set(store) == set("abc")
    store["a"]
    store["d"] = Outcome(torch.zeros(8))
    assert "b" not in store
    assert {"a", "c", "d"} == set(store)
    assert store.nbytes == 96


def test_the_latest_result_is_kept_whatever_its_size():
    store = ResultStore(max_bytes=10)
    store["large"] = Outcome(torch.zeros(1000))
    assert store["large"].result.numel() == 1000
    store["small"] = Outcome(torch.zeros(1))
    assert list(store) == ["small"]


def test_shared_arrays_count_once():
    array = np.zeros(10, dtype=np.float32)
    assert nbytes((array, {"again": array}, Outcome(torch.zeros(2, dtype=torch.float64)))) == 40 + 16


@pytest.mark.parametrize(
    "result",
    [
        None,
        0.25,
        "a word",
        torch.arange(6.0).view(2, 3),
        np.arange(3, dtype=np.int32),
        ("score", {"values": [1, 2.5], 3: torch.tensor([True])}, (np.float64(0.1), None)),
    ],
)
def test_a_folder_returns_what_was_stored(result, tmp_path):
    key = Key("lrp", 3)
    DiskStore(tmp_path)[key] = Outcome(result, "", ("a warning",), complete=True)
    outcome = DiskStore(tmp_path)[key]
    assert outcome.warnings == ("a warning",)
    assert outcome.complete
    assert same(outcome.result, result)


def same(first, second):
    if isinstance(second, torch.Tensor | np.ndarray):
        equal = torch.equal if isinstance(second, torch.Tensor) else np.array_equal
        return type(first) is type(second) and first.dtype == second.dtype and equal(first, second)
    if isinstance(second, tuple | list):
        return type(first) is type(second) and all(map(same, first, second))
    if isinstance(second, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in second)
    return first == second


def test_a_folder_is_a_mapping(tmp_path):
    store = DiskStore(tmp_path)
    assert len(store) == 0
    assert store.get(Key("lrp", 1)) is None
    store[Key("lrp", 1)] = Outcome(1.0)
    store[Key("lrp", 1)] = Outcome(2.0)
    store[Key("cam", 2, "conv1")] = Outcome(error="no such layer", complete=True)
    assert len(store) == 2
    assert set(store) == {("lrp", 1, None), ("cam", 2, "conv1")}
    assert store[Key("lrp", 1)].result == 2.0
    assert store[Key("cam", 2, "conv1")].error == "no such layer"
    del store[Key("lrp", 1)]
    assert Key("lrp", 1) not in store
    with pytest.raises(KeyError):
        del store[Key("lrp", 1)]


def test_what_cannot_be_stored_is_refused_and_leaves_no_file(tmp_path):
    store = DiskStore(tmp_path)
    with pytest.raises(TypeError, match="expected a result of numbers"):
        store["a"] = Outcome(object())
    with pytest.raises(TypeError, match="expected a key of strings"):
        store[object()] = Outcome(1)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_file_that_was_there(tmp_path, monkeypatch):
    store = DiskStore(tmp_path)
    store["a"] = Outcome(1)

    def full(self, data):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        store["a"] = Outcome(2)
    monkeypatch.undo()
    assert store["a"].result == 1
    assert len(list(tmp_path.iterdir())) == 1
