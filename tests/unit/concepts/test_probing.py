"""Probing against the activations of all images at once."""

import pickle

import numpy as np
import pytest
import torch
from closeness import assert_close
from networks import Tokens, settle
from planted import SIZE, Squares, activations, planted

from xai_widgets.concepts import load_probe, probe
from xai_widgets.concepts.probing import MEMORY
from xai_widgets.core.model import ImageModel
from xai_widgets.data.base import Concept, ConceptImages, Example

MODEL, DATA = planted(), Squares(30)


def done(*args, **kwargs):
    return probe(*args, **{"layer": "relu"} | kwargs).result(progress=False)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_bits_are_those_above_the_quantile(batch_size):
    made = done(MODEL, DATA, quantile=0.05, batch_size=batch_size)
    activation = activations(MODEL, DATA)
    values = activation.movedim(1, 0).flatten(1).numpy()
    expected = np.quantile(values, 0.95, axis=1, method="inverted_cdf")
    assert np.array_equal(made.thresholds.numpy(), expected)
    assert torch.equal(made.bits(), activation > made.thresholds[:, None, None])
    assert torch.equal(made.bits(4, 9), made.bits()[4:9])
    assert torch.equal(made.bits_of([9, 2]), made.bits()[[9, 2]])
    assert_close(made.pooled, activation.mean((2, 3)))


def test_concepts_and_masks_are_those_of_the_data():
    made = done(MODEL, DATA)
    for image, example in enumerate(DATA):
        masks = made.label_masks(image)
        assert set(masks) == set(example.masks)
        assert all(np.array_equal(masks[c], example.masks[c]) for c in masks)
        assert made.present[image].nonzero()[:, 0].tolist() == sorted(example.masks)
    assert made.positives.tolist() == [20, 30, 0]
    assert torch.equal(made.pixels, made.masks().flatten(1).sum(1))


def test_validation_uses_the_given_thresholds():
    given = torch.linspace(0.05, 0.3, 6)
    made = done(MODEL, DATA, thresholds=given)
    assert torch.equal(made.bits(), activations(MODEL, DATA) > given[:, None, None])
    assert made.quantile is None


def test_a_sample_is_used_where_memory_is_short():
    exact = done(MODEL, DATA, quantile=0.1)
    sampled = done(MODEL, DATA, quantile=0.1, memory=6 * 8 * 200, batch_size=8)
    assert exact.error == 0
    assert sampled.error == pytest.approx((0.1 * 0.9 / 200) ** 0.5)
    assert torch.equal(sampled.bits(), activations(MODEL, DATA) > sampled.thresholds[:, None, None])
    assert exact_share(sampled) == pytest.approx(0.1, abs=5 * sampled.error)
    assert MEMORY > 6 * 8 * 200


def exact_share(made):
    return float(made.bits().float().mean((0, 2, 3))[0])


def test_a_folder_is_opened_again(tmp_path):
    made = done(MODEL, DATA, folder=tmp_path / "new", quantile=0.1)
    again = load_probe(tmp_path / "new")
    assert torch.equal(again.bits(), made.bits())
    assert torch.equal(again.masks(), made.masks())
    assert again.concepts == made.concepts
    assert repr(again).replace("again", "made") == repr(made)
    with pytest.raises(ValueError, match="expected an empty folder"):
        done(MODEL, DATA, folder=tmp_path / "new")
    with pytest.raises(FileNotFoundError, match=r"probe\.json"):
        load_probe(tmp_path)


def test_temporary_files_are_removed():
    made = done(MODEL, DATA)
    folder = made.folder
    assert folder.is_dir()
    del made
    assert not folder.exists()


def test_a_canceled_probe_is_incomplete_and_removes_its_files():
    run = probe(MODEL, DATA, layer="relu", batch_size=8)
    for _ in run:
        run.cancel()
    snapshot = run.latest
    assert not snapshot.complete
    assert not snapshot.folder.exists()
    with pytest.raises(RuntimeError, match="expected a complete probe, got 8 of 30 images"):
        snapshot.bits()


def test_a_rotation_replaces_the_activations():
    rotation = torch.linalg.qr(torch.randn(6, 6)).Q
    made = done(MODEL, DATA, rotation=rotation, quantile=0.1)
    turned = torch.einsum("ij,njhw->nihw", rotation, activations(MODEL, DATA))
    assert torch.equal(made.bits(), turned > made.thresholds[:, None, None])
    with pytest.raises(ValueError, match="expected an orthogonal rotation"):
        done(MODEL, DATA, rotation=2 * rotation)


class Cropped(ConceptImages):
    """A square at the left border of a wide image, outside of its central crop, and one at the center."""

    concepts = (Concept("border"), Concept("center"))

    def __len__(self):
        return 2

    def _read(self, index):
        image, masks = np.zeros((32, 64, 3), np.uint8), np.zeros((2, 32, 64), bool)
        masks[0, :, :8] = True
        masks[1, 8:16, 32:40] = True
        return Example(image, masks=dict(enumerate(masks)), labels=())


def test_masks_are_resized_and_cropped_like_the_images():
    made = done(planted(), Cropped())
    assert made.present.tolist() == [[False, True]] * 2
    expected = np.zeros((SIZE, SIZE), bool)
    expected[4:8, 8:12] = True
    assert np.array_equal(made.label_masks(0)[1], expected)
    small = done(planted(), Cropped(), label_size=4)
    assert small.label_masks(0)[1].sum() == 1


class Labeled(Squares):
    """The left half is known for the whole image only."""

    def _read(self, index):
        example = super()._read(index)
        return Example(example.image, masks={c: m for c, m in example.masks.items() if c != 1}, labels=(1,))


def test_concepts_without_pixels_are_present_but_not_segmented():
    made = done(MODEL, Labeled(12))
    assert made.positives.tolist() == [8, 12, 0]
    assert made.segmented.tolist() == [8, 0, 0]


def test_a_probe_with_a_folder_is_pickled_by_its_folder(tmp_path):
    made = done(MODEL, Squares(6), folder=tmp_path / "kept")
    assert torch.equal(pickle.loads(pickle.dumps(made)).bits(), made.bits())
    with pytest.raises(TypeError, match="pass `folder`"):
        pickle.dumps(done(MODEL, Squares(6)))


def test_tokens_are_probed_at_their_positions():
    model = ImageModel(settle(Tokens()), size=8, device="cpu")
    name = model.default_layer()
    made = probe(model, Squares(12), layer=name, quantile=0.1).result(progress=False)
    activation = activations(model, Squares(12), name)
    assert torch.equal(made.bits(), activation > made.thresholds[:, None, None])


def test_wrong_arguments():
    with pytest.raises(TypeError, match="expected a concept data set"):
        probe(MODEL, [np.zeros((8, 8, 3))])
    with pytest.raises(ValueError, match="unknown layer 'rel'; did you mean 'relu'"):
        probe(MODEL, DATA, layer="rel")
    with pytest.raises(ValueError, match="expected quantile"):
        probe(MODEL, DATA, quantile=0)
    with pytest.raises(ValueError, match="unknown concept 'squares'; did you mean 'square'"):
        done(MODEL, DATA).images_of("squares")
