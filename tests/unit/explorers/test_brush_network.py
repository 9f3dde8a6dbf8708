"""The network of a brush in the browser: what is sent, who scores what, and networks that are refused."""

import re

import numpy as np
import pytest
import torch
from closeness import assert_close
from networks import images
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.explorers import PerturbationBrush
from xai_widgets.exporting import export

pytest.importorskip("onnxscript")
PATIENCE = 60


def make_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )


@pytest.fixture(scope="module")
def model():
    return ImageModel(make_network(), size=16, labels=["a", "b", "c"], name="small")


@pytest.fixture
def brush(model):
    explorer = PerturbationBrush(model, images(1, size=16), network=True)
    yield settled(explorer)
    explorer.close()


def settled(brush):
    assert brush.wait(PATIENCE)
    return brush


@pytest.fixture
def passes(brush):
    """Count the passes of the network."""
    calls = []
    hook = brush.model.module.register_forward_hook(lambda *_: calls.append(1))
    yield calls
    hook.remove()


def stroke(brush, mask, number=1):
    """Return the message of a stroke from a browser that has the network."""
    data = {"dtype": "uint8", "shape": list(mask.shape), "data": memoryview(mask.tobytes())}
    brush.set_state({"mask": data, "_stroke": number, "_live": True})


def painting(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)


def test_the_browser_gets_what_it_needs(brush):
    facts, (data, image) = brush._inside._sent()
    assert facts["name"] == "small"
    assert facts["size"] == len(data)
    assert [each["brush"] for each in facts["brushes"]] == [brush.brush.model_id, brush.other.model_id]
    assert (facts["picker"], facts["pair"]) == (brush.class_picker.model_id, brush.pair_check.model_id)
    x = torch.from_numpy(np.frombuffer(image, "float32").copy()).view(1, 3, 16, 16)
    assert torch.equal(x, brush.image)
    assert_close(facts["expected"], brush.model.scores(x)[0])
    assert_close(brush._inside._file.scores(x), brush.model.scores(x))
    assert_close(brush.brush._pixels, brush.image[0])


def test_what_the_browser_answers_takes_no_pass(brush, passes):
    before = brush.scores.values
    mask = painting()
    stroke(brush.brush, mask)
    brush.brush.set_state({"fill": 2})
    settled(brush)
    assert passes == []
    assert np.array_equal(brush.brush.mask, mask)
    assert np.array_equal(brush.scores.values, before)
    # A mask of Python, which the browser may not be there to answer.
    brush.brush.mask = painting(1)
    settled(brush)
    assert passes


def test_a_stroke_discards_the_pass_for_the_mask_before_it(brush):
    """The scores that the browser sets stay: the kernel's are of an older mask."""
    brush.brush.mask = painting(1)
    stroke(brush.brush, painting())
    data = np.array([[[0.5, 0.25, 0.25]]], np.float32)
    brush.scores.values = data
    settled(brush)
    assert np.array_equal(brush.scores.values, data)


def test_a_page_that_opens_again_gets_its_scores_from_the_kernel(brush, passes):
    stroke(brush.brush, painting())
    assert passes == []
    brush.network_view._handle_custom_msg({"type": "open", "id": 1}, [])
    assert not brush.brush._live
    settled(brush)
    assert passes
    m = torch.from_numpy(painting() / np.float32(255))
    x = brush.image
    probs = brush.model.probs(torch.lerp(x, brush._fill("blur", m), m))[0]
    assert_close(brush.scores.values.ravel(), probs.sort(descending=True).values)


def test_the_similarity_of_a_painted_image_is_left_to_the_kernel(model):
    brush = settled(PerturbationBrush(model, images(1, size=16), layers="0", network=True))
    before, compared = brush.scores.values, brush.similarity.images
    stroke(brush.brush, painting())
    settled(brush)
    assert np.array_equal(brush.scores.values, before)
    assert not np.array_equal(brush.similarity.images, compared)
    brush.close()


def test_a_network_that_was_trained_further_is_sent_again():
    model = ImageModel(make_network(), size=16, labels=["a", "b", "c"], name="small")
    brush = settled(PerturbationBrush(model, images(1, size=16), network=True))
    view, first = brush.network_view, brush._inside._file
    brush.restart()
    settled(brush)
    assert view._version == 0
    with torch.no_grad():
        model.module[4].bias += 1
        model.module[0].weight *= 2
    brush.restart()
    settled(brush)
    assert view._version == 1
    second = brush._inside._file
    assert_close(second.scores(brush.image), model.scores(brush.image))
    assert not torch.allclose(first.scores(brush.image), second.scores(brush.image))
    brush.close()


def test_half_precision(model):
    brush = PerturbationBrush(model, images(1, size=16), network="half")
    facts, _ = brush._inside._sent()
    assert facts["half"]
    brush.close()


def test_networks_that_cannot_be_exported_are_refused_by_name(model):
    class Data(nn.Module):
        def forward(self, x):
            rows = [row for row in x if float(row.detach().sum()) > -1]
            return torch.stack(rows).mean((2, 3))

    refused = ImageModel(Data(), size=16, labels=["a", "b", "c"], name="branching")
    with pytest.raises(ValueError, match=re.escape("torch.onnx.export can convert, got branching")):
        PerturbationBrush(refused, images(1, size=16), network=True)
    with pytest.raises(ValueError, match="targets, which are Python functions"):
        PerturbationBrush(model, images(1, size=16), target=lambda out: out[:, 0], network=True)
    with pytest.raises(ValueError, match="unknown network 'double'"):
        PerturbationBrush(model, images(1, size=16), network="double")


def test_a_page_without_a_kernel_has_no_line_about_the_kernel(brush, tmp_path):
    page = export(brush, tmp_path / "page.html")
    assert page.network is None
    page = export(brush, tmp_path / "page.html", network=True)
    assert page.network is not None
    # The views in the notebook still have what the browser needs.
    assert brush.brush._pixels is not None


def test_without_it_nothing_is_sent(model):
    brush = PerturbationBrush(model, images(1, size=16))
    assert brush.network_view is None
    assert brush.brush._pixels is None
    brush.close()
