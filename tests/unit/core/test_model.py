import copy
import pickle
import re
import threading

import numpy as np
import pytest
import torch
from closeness import assert_close, near
from networks import (
    CLASSES,
    LABELS,
    RELU_NETWORKS,
    SIZE,
    Answer,
    Dropping,
    Functional,
    Linear,
    Returning,
    SharedInPlace,
    Smooth,
    images,
    one_sentence,
    settle,
    wrap,
)
from PIL import Image

from xai_widgets.core.model import ImageModel
from xai_widgets.core.model_output import Prediction

MEAN, STD = torch.tensor([0.4, 0.45, 0.5]).view(1, 3, 1, 1), torch.tensor([0.25, 0.2, 0.3]).view(1, 3, 1, 1)


@pytest.fixture
def model():
    return wrap(settle(Functional()))


# -- scores -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [*RELU_NETWORKS.values(), Smooth, Linear])
def test_scores_are_those_of_the_network_on_normalized_pixels(network):
    network = settle(network())
    x = images(3)
    with torch.no_grad():
        expected = network((x - MEAN) / STD)
    assert_close(wrap(network).scores(x), expected)
    assert_close(wrap(network).probs(x), expected.softmax(1))


def test_without_mean_and_std_pixels_pass_as_they_are():
    network, x = settle(Functional()), images()
    with torch.no_grad():
        assert_close(ImageModel(network, size=SIZE).scores(x), network(x))


def test_scores_take_images_of_every_kind(model):
    array = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    expected = model.scores(torch.from_numpy(array).permute(2, 0, 1))
    for given in (array, array / 255, Image.fromarray(array), [array]):
        assert_close(model.scores(given), expected)
    assert model.scores([array, Image.new("L", (40, 30))]).shape == (2, CLASSES)


def test_predict_gives_labels_best_first(model):
    x = images(3)
    predictions = model.predict(x, k=3)
    probs, scores = model.probs(x), model.scores(x)
    for n, top in enumerate(predictions):
        assert [p.target for p in top] == probs[n].argsort(descending=True)[:3].tolist()
        for p in top:
            assert p == Prediction(
                LABELS[p.target], probs[n, p.target].item(), scores[n, p.target].item(), p.target
            )


def test_predict_gives_no_more_classes_than_there_are(model):
    (top,) = model.predict(images(1), k=50)
    assert len(top) == CLASSES
    assert sum(p.probability for p in top) == near(1)
    with pytest.raises(ValueError, match="expected k to be an integer of at least 1, got 0"):
        model.predict(images(1), k=0)


def test_gradients_flow_through_a_call_and_not_through_scores(model):
    x = images(1).requires_grad_()
    model(x)[0, 0].backward()
    assert x.grad.abs().sum() > 0
    assert not model.scores(x).requires_grad


def test_its_repr(model):
    assert repr(model) == "ImageModel(Functional: 3x8x8 -> 4 classes, cpu)"
    assert wrap(model.module, name="mine").name == "mine"


# -- kinds of network -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrapper", "output"),
    [
        (lambda scores, x: (scores, x), None),
        (lambda scores, x: (scores, scores * 2), None),
        (lambda scores, x: {"logits": scores, "input": x}, None),
        (lambda scores, x: {"prediction": scores, "input": x}, None),
        (lambda scores, x: Answer(scores, x), None),
        (lambda scores, x: {"a": scores * 2, "b": scores}, "b"),
        (lambda scores, x: Answer(scores, scores * 2), "scores"),
        (lambda scores, x: [x, scores * 2, scores], 2),
        (lambda scores, x: scores[:, :, None, None], None),
    ],
)
def test_scores_are_found_in_what_the_network_returns(wrapper, output):
    network, x = settle(Returning(wrapper)), images()
    torch.testing.assert_close(
        wrap(network, output=output).scores(x), wrap(network.body).scores(x), rtol=0, atol=0
    )


def test_a_grey_network_gets_one_channel():
    network = settle(Functional(channels=1))
    model = wrap(network, mean=[0.5], std=[0.25])
    assert model.channels == 1
    x = images(2, channels=1)
    with torch.no_grad():
        assert_close(model.scores(x), network((x - 0.5) / 0.25))
    assert model.scores(Image.new("RGB", (20, 10))).shape == (1, CLASSES)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_of_another_precision_returns_float32(dtype):
    network, x = settle(Functional()), images()
    expected = wrap(network).scores(x)
    model = wrap(copy.deepcopy(network).to(dtype))
    assert model.scores(x).dtype == torch.float32
    # Three layers, each of which is rounded.
    rounded = {} if dtype == torch.float64 else {"dtype": dtype, "steps": 8}
    assert_close(model.scores(x), expected, **rounded)
    layer = model.activations(x, "conv2")["conv2"]
    assert_close(model.forward_from("conv2", layer.float()), model.scores(x))
    assert next(model.module.parameters()).dtype == dtype


def test_a_network_in_train_mode_is_run_in_eval_mode_and_handed_back():
    network = settle(Dropping())
    expected = wrap(network).scores(images())
    network.train()
    network.features[1].eval()
    flags = [part.training for part in network.modules()]
    state = copy.deepcopy(network.state_dict())
    model = wrap(network)
    for _ in range(3):
        assert_close(model.scores(images()), expected)
    model.layers()
    model.activations(images(), "features.1")
    assert [part.training for part in network.modules()] == flags
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_train_mode_is_back_after_an_exception(error):
    network = settle(Dropping())
    model = wrap(network)
    network.train()

    def fail(*_):
        raise error

    handle = network.classifier.register_forward_pre_hook(fail)
    with pytest.raises(error):
        model.scores(images())
    handle.remove()
    assert all(part.training for part in network.modules())


def test_two_wrappers_of_one_network_in_two_threads():
    network = settle(Dropping())
    expected = wrap(network).scores(images())
    network.train()
    state = copy.deepcopy(network.state_dict())
    models, start, wrong = [wrap(network), wrap(network)], threading.Barrier(2), []

    def work(model):
        start.wait(30)
        for _ in range(100):
            if not torch.allclose(model.scores(images()), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert all(part.training for part in network.modules())
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_works_on_its_own(make_copy):
    model = wrap(settle(SharedInPlace()).train())
    model.layers()
    twin = make_copy(model)
    assert twin.module is not model.module
    torch.testing.assert_close(twin.scores(images()), model.scores(images()), rtol=0, atol=0)
    assert twin.layers() == model.layers()
    assert (twin.labels, twin.size, twin.name) == (model.labels, model.size, model.name)
    assert all(part.training for part in twin.module.modules())


def test_a_model_made_in_inference_mode_has_gradients():
    network = settle(Functional())
    with torch.inference_mode():
        model = wrap(network)
    x = images(1).requires_grad_()
    model(x)[0, 0].backward()
    assert x.grad.abs().sum() > 0


def test_the_default_dtype_of_torch_does_not_matter(model):
    x = images()
    expected = model.scores(x)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(wrap(model.module).scores(x), expected)
        assert torch.equal(model.forward_from("conv2", model.activations(x, "conv2")["conv2"]), expected)
    finally:
        torch.set_default_dtype(torch.float32)


# -- device -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", [None, "cpu", torch.device("cpu")])
def test_the_network_itself_is_run_where_it_is(device):
    network = settle(Functional())
    assert wrap(network, device=device).module is network


def test_elsewhere_a_copy_is_made():
    # "meta" stands for any other device: what counts is that the caller's network stays where it is.
    network = settle(Functional())
    before = copy.deepcopy(network.state_dict())
    model = wrap(network, device="meta")
    assert model.module is not network
    assert model.device.type == next(model.module.parameters()).device.type == "meta"
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("device", ["gpu", "cuda:77", "cpu:x", 3.5])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(ValueError, match=re.escape(str(device))) as error:
        wrap(Functional(), device=device)
    assert "use 'auto', 'cpu'" in one_sentence(error)


def test_auto_takes_a_device_that_is_there(model):
    assert wrap(settle(Functional()), device="auto").scores(images()).shape == (2, CLASSES)


def test_a_network_on_the_cpu_goes_to_the_best_device_by_default(monkeypatch):
    # The device without memory stands for a GPU: shapes are worked out on it.
    monkeypatch.setattr("xai_widgets.core.arguments.best_device", lambda: torch.device("meta"))
    network = settle(Functional())
    assert wrap(network).device.type == "meta"
    assert next(network.parameters()).device.type == "cpu"
    assert wrap(network, device="cpu").module is network


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_scores_on_a_gpu_are_those_on_the_cpu(model):
    there = wrap(model.module, device="cuda")
    assert next(model.module.parameters()).device.type == "cpu"
    assert_close(there.scores(images()).cpu(), model.scores(images()))


# -- targets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "indices"),
    [
        (2, [2, 2, 2]),
        ("great white shark", [2, 2, 2]),
        ("Great White Shark", [2, 2, 2]),
        ([0, 1, 3], [0, 1, 3]),
        (["tench", 3, "GOLDFISH"], [0, 3, 1]),
        ((1,), [1, 1, 1]),
        (torch.tensor(1), [1, 1, 1]),
        (torch.tensor([3, 2, 1]), [3, 2, 1]),
        (np.int64(3), [3, 3, 3]),
        (np.array(2), [2, 2, 2]),
        (np.array([1, 0, 1]), [1, 0, 1]),
        (np.array(["tench", "goldfish", "tench"]), [0, 1, 0]),
        (range(3), [0, 1, 2]),
    ],
)
def test_targets_of_every_kind(model, target, indices):
    made = model.targets(target, images(3))
    assert made.dtype == torch.int64
    assert made.tolist() == indices


def test_no_target_is_the_predicted_class(model):
    x = images(5)
    assert torch.equal(model.targets(None, x), model.scores(x).argmax(1))


@pytest.mark.parametrize(
    ("target", "kind", "message"),
    [
        (4, ValueError, "expected a class from 0 to 3, got 4"),
        (-1, ValueError, "expected a class from 0 to 3, got -1"),
        ("goldfsh", ValueError, "unknown label 'goldfsh'; did you mean 'goldfish'"),
        ("???", ValueError, r"unknown label '\?\?\?'; expected one of tench, goldfish"),
        ([0, 9, 1], ValueError, "expected a class from 0 to .*, got 9"),
        ([0, 1], ValueError, "expected one target, or one per image, got 2 for 3 images"),
        ([], ValueError, "expected target to be a sequence of class indices or labels"),
        (1.0, TypeError, "expected target as a class index, a label, or one per image, got 1.0"),
        (True, TypeError, "got True"),
        (torch.tensor([0.5, 1, 2]), TypeError, "got 0.5"),
        (torch.tensor([[0], [1], [2]]), TypeError, "got a tensor of shape"),
        (np.array([True, False, True]), TypeError, "got True"),
        (object, TypeError, "got type"),
    ],
)
def test_a_target_that_does_not_exist_is_refused(model, target, kind, message):
    with pytest.raises(kind, match=message) as error:
        model.targets(target, images(3))
    one_sentence(error)


def test_labels_that_differ_in_case_and_labels_that_occur_twice():
    model = wrap(settle(Functional()), labels=["crane", "Crane", "drake", "drake"])
    assert model.class_index("crane") == 0
    assert model.class_index("Crane") == 1
    for label, message in (("CRANE", r"\[0, 1\]"), ("drake", r"\[2, 3\]"), ("Drake", r"\[2, 3\]")):
        with pytest.raises(ValueError, match=f"got '{label}', the label of classes {message}") as error:
            model.class_index(label)
        one_sentence(error)


def test_without_labels_classes_have_numbers():
    model = ImageModel(settle(Functional()), size=SIZE)
    assert model.labels == ["class 0", "class 1", "class 2", "class 3"]
    assert model.class_index("class 2") == 2
