"""The content of an ONNX file has the scores of the model; what cannot be exported is refused with its reason."""

import re
import sys

import pytest
import torch
from closeness import assert_close
from networks import images, one_sentence
from torch import nn

from xai_widgets.core.linear_head import linear_head
from xai_widgets.core.model import ImageModel
from xai_widgets.core.onnx_export import network_file

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(64, 5))


def wrap(module, **options):
    return ImageModel(module, size=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), **options)


class Entry(nn.Module):
    """Returns scores in a dictionary, beside something else."""

    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, pixel_values, scale=1.0):
        return {"features": pixel_values, "logits": scale * self.network(pixel_values)}


class OneImage(nn.Module):
    """Takes one image at a time."""

    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, x):
        return self.network(x).reshape(1, 5)


class Branching(nn.Module):
    """Its operations depend on the values of the pixels."""

    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, x):
        return self.network(x) if x.detach().mean().item() > 0 else self.network(-x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: wrap(network()),
        lambda: wrap(Entry(), inputs={"scale": 2.0}, image_argument="pixel_values"),
        lambda: wrap(network().to(torch.bfloat16)),
    ],
    ids=["plain", "dictionary", "bfloat16"],
)
def test_the_file_has_the_scores_of_the_network(make):
    model = make()
    file = network_file(model)
    assert (file.shape, file.classes, file.batches, file.half) == ((3, 16, 16), 5, True, False)
    x = images(3, size=16)
    expected = ImageModel(model.module.float(), size=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)).scores(x)
    assert_close(file.scores(x), expected, steps=64)


def test_a_network_of_one_image_is_run_image_by_image():
    model = wrap(OneImage())
    file = network_file(model)
    assert not file.batches
    x = images(2, size=16)
    expected = torch.cat([model.scores(each[None]) for each in x])
    assert_close(file.scores(x), expected, steps=64)


def test_half_precision_halves_the_weights_and_rounds_them():
    model = wrap(network())
    full, half = network_file(model), network_file(model, half=True)
    large = 64 * 27
    # The names of the new nodes take a few bytes.
    assert 2 * large - 500 < len(full.data) - len(half.data) <= 2 * large
    x = images(2, size=16)
    assert 0 < (half.scores(x) - model.scores(x)).abs().max() < 2e-2
    assert half.error == pytest.approx((half.scores(x) - model.scores(x)).abs().max().item(), rel=20)
    assert str(half).startswith("0.0 MB, weights in half precision, scores within ")


@pytest.mark.parametrize("half", [False, True])
def test_the_weights_of_the_linear_head_are_found_in_the_file(half):
    model = wrap(network())
    x = images(2, size=16)
    file = network_file(model, x, half=half, head=linear_head(model, x))
    weights = model.module[-1].weight.detach()
    dtype = torch.float32 if file.head_dtype == "float32" else torch.float16
    found = torch.frombuffer(bytearray(file.data), dtype=dtype, count=weights.numel(), offset=file.offset)
    assert torch.equal(found, weights.flatten().to(dtype))
    assert_close(file.scores(x), model.scores(x), steps=2**14 if half else 64)


def test_layers_are_further_outputs_once_each():
    model = wrap(network())
    x = images(2, size=16)
    file = network_file(model, x, head=linear_head(model, x), layers=["0", "2", "0"])
    assert file.layers == ("2", "0")
    found = onnx.reference.ReferenceEvaluator(onnx.load_from_string(file.data)).run(
        [file.output("0"), file.output("2")], {"pixels": x.numpy()}
    )
    for layer, values in zip(("0", "2"), found, strict=True):
        assert_close(torch.from_numpy(values), model.activations(x, layer)[layer], steps=64)


def test_the_network_stays_as_it_is():
    module = network().train()
    module[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    parameters = list(module.parameters())
    network_file(wrap(module))
    assert all(part.training for part in module.modules())
    assert all(one is other for one, other in zip(module.parameters(), parameters, strict=True))
    assert [each.requires_grad for each in parameters] == [False, True, True, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not any(module._forward_hooks)


def test_what_cannot_be_exported_is_refused_by_name():
    with pytest.raises(
        ValueError, match=r"^expected a network that torch\.onnx\.export can convert, got branching "
    ) as error:
        network_file(wrap(Branching(), name="branching"))
    one_sentence(error)
    areas = wrap(network(), targets={"first": lambda output: output[:, 0]}, name="areas")
    with pytest.raises(ValueError, match=re.escape("got areas with targets")):
        network_file(areas)
    with pytest.raises(TypeError, match="expected an ImageModel"):
        network_file(network())


def test_a_network_too_large_for_a_page_is_refused(monkeypatch):
    monkeypatch.setattr("xai_widgets.core.onnx_export.LARGEST", 4000)
    with pytest.raises(ValueError, match="in half precision it takes half of that"):
        network_file(wrap(network()))


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'xai-widgets[onnx]'")):
        network_file(wrap(network()))
