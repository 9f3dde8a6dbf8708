import copy
import pickle
import re
import threading

import numpy as np
import pytest
import torch
import torchvision
from networks import (
    CLASSES,
    LABELS,
    RELU_NETWORKS,
    SIZE,
    Answer,
    Concat,
    Dropping,
    Functional,
    Linear,
    Returning,
    Segmentation,
    SharedInPlace,
    Smooth,
    images,
    one_sentence,
    settle,
    wrap,
)
from PIL import Image
from torch import nn

from xai_widgets.model import ImageModel, Prediction

MEAN, STD = torch.tensor([0.4, 0.45, 0.5]).view(1, 3, 1, 1), torch.tensor([0.25, 0.2, 0.3]).view(1, 3, 1, 1)


@pytest.fixture
def model():
    return wrap(settle(Functional()))


# -- scores -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [*RELU_NETWORKS.values(), Smooth, Linear])
def test_scores_are_those_of_the_network_on_normalised_pixels(network):
    network = settle(network())
    x = images(3)
    with torch.no_grad():
        expected = network((x - MEAN) / STD)
    torch.testing.assert_close(wrap(network).scores(x), expected)
    torch.testing.assert_close(wrap(network).probs(x), expected.softmax(1))


def test_without_mean_and_std_pixels_pass_as_they_are():
    network, x = settle(Functional()), images()
    with torch.no_grad():
        torch.testing.assert_close(ImageModel(network, size=SIZE).scores(x), network(x))


def test_scores_take_images_of_every_kind(model):
    array = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    expected = model.scores(torch.from_numpy(array).permute(2, 0, 1))
    for given in (array, array / 255, Image.fromarray(array), [array]):
        torch.testing.assert_close(model.scores(given), expected)
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
    assert sum(p.probability for p in top) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="k is 0, wanted at least 1"):
        model.predict(images(1), k=0)


def test_gradients_flow_through_a_call_and_not_through_scores(model):
    x = images(1).requires_grad_()
    model(x)[0, 0].backward()
    assert x.grad.abs().sum() > 0
    assert not model.scores(x).requires_grad


def test_it_says_what_it_is(model):
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
        torch.testing.assert_close(model.scores(x), network((x - 0.5) / 0.25))
    assert model.scores(Image.new("RGB", (20, 10))).shape == (1, CLASSES)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_of_another_precision_returns_float32(dtype):
    network, x = settle(Functional()), images()
    expected = wrap(network).scores(x)
    model = wrap(copy.deepcopy(network).to(dtype))
    assert model.scores(x).dtype == torch.float32
    torch.testing.assert_close(model.scores(x), expected, rtol=0.05, atol=0.05)
    layer = model.activations(x, "conv2")["conv2"]
    torch.testing.assert_close(model.forward_from("conv2", layer.float()), model.scores(x))
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
        torch.testing.assert_close(model.scores(images()), expected)
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
    assert "wanted 'auto', 'cpu'" in one_sentence(error)


def test_auto_takes_a_device_that_is_there(model):
    assert wrap(settle(Functional()), device="auto").scores(images()).shape == (2, CLASSES)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_scores_on_a_gpu_are_those_on_the_cpu(model):
    there = wrap(model.module, device="cuda")
    assert next(model.module.parameters()).device.type == "cpu"
    torch.testing.assert_close(there.scores(images()).cpu(), model.scores(images()), rtol=1e-3, atol=1e-3)


# -- refusals ---------------------------------------------------------------------------------------------


class Raising(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (nn.Linear(3, 4), "Linear did not take an image"),
        (nn.Conv2d(1, 4, 3), "Conv2d did not take an image"),
        (nn.Embedding(3, 4), "Embedding did not take an image"),
        (nn.Conv2d(3, 4, 30), "Conv2d did not take an image"),
        (Raising(AssertionError("wrong height")), "wrong height"),
        (Raising(KeyError("input_ids")), "input_ids"),
        (Raising(AttributeError("no shape\nsecond line")), "no shape"),
        (Raising(AssertionError()), "AssertionError"),
        (Segmentation(), "returned a dict with 'out', 'aux', wanted class scores"),
        (nn.Conv2d(3, 4, 3), r"returned a tensor of shape \(1, 4, 6, 6\)"),
        (
            Returning(lambda scores, x: {"a": scores, "b": scores}),
            "dict with 'a', 'b', wanted scores.*output=",
        ),
        (Returning(lambda scores, x: None), "returned NoneType"),
        (Returning(lambda scores, x: scores.argmax(1)), "int64"),
        (Returning(lambda scores, x: scores.long()), "int64"),
        (Returning(lambda scores, x: scores[0]), r"shape \(4,\)"),
    ],
)
def test_a_network_that_is_no_classifier_of_images_is_refused(network, says):
    with pytest.raises(ValueError, match=says) as error:
        ImageModel(network, size=SIZE)
    assert "wanted" in one_sentence(error)


def test_an_output_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="'logits', 'input', wanted") as error:
        wrap(Returning(lambda scores, x: {"logits": scores, "input": x}), output="scores")
    one_sentence(error)


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (torchvision.models.resnet18, "resnet18"),
        (nn.Linear, "Linear"),
        ("resnet18", "str"),
        (None, "NoneType"),
        (wrap(settle(Functional())), "ImageModel"),
    ],
)
def test_what_is_no_network_is_refused(module, says):
    with pytest.raises(TypeError, match=f"module is {says}, wanted a torch.nn.Module") as error:
        ImageModel(module)
    one_sentence(error)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"labels": ["a", "b"]}, "2 labels were given for 4 classes"),
        ({"mean": [0.5, 0.5]}, "mean has 2"),
        ({"mean": [0.5] * 3, "std": [0.5]}, "mean has 3 and std 1"),
        ({"mean": 0.5, "std": None}, "mean is 0.5"),
        ({"std": [0.2, 0.0, 0.2]}, "std above 0"),
        ({"std": [0.2, -1.0, 0.2]}, "std above 0"),
        ({"mean": [0.2, float("nan"), 0.2]}, "finite"),
        ({"size": 0}, "size is 0"),
        ({"size": -3}, "size is -3"),
        ({"size": 8.5}, "size is 8.5"),
        ({"size": (8, 8, 8)}, r"size is \(8, 8, 8\)"),
        ({"size": "8"}, "size is '8'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, says):
    with pytest.raises(ValueError, match=says) as error:
        wrap(settle(Functional()), **options)
    assert "wanted" in one_sentence(error)


@pytest.mark.parametrize("size", [8, (8, 8), [8, 8], np.int64(8), np.array([8, 8])])
def test_sizes_of_every_kind(size):
    assert wrap(settle(Functional()), size=size).size == (8, 8)


def test_tensors_of_a_size_the_network_does_not_take_are_refused(model):
    for call in (model.scores, model.predict, model.prepare, lambda x: model.activations(x, "conv1")):
        with pytest.raises(
            ValueError, match="images of 5 x 6 do not go through Functional, wanted 8 x 8"
        ) as error:
            call(torch.rand(1, 3, 5, 6))
        one_sentence(error)


def test_tensors_of_another_size_that_the_network_takes_are_taken():
    model = wrap(settle(Concat()))
    x = torch.rand(2, 3, 11, 6)
    assert model.scores(x).shape == (2, CLASSES)
    assert model.activations(x, "stem")["stem"].shape == (2, 6, 11, 6)
    kept = model.activations(x, "stem")["stem"]
    torch.testing.assert_close(model.forward_from("stem", kept), model.scores(x))


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
    ("target", "kind", "says"),
    [
        (4, ValueError, "class 4 is out of range, wanted 0 to 3"),
        (-1, ValueError, "class -1 is out of range, wanted 0 to 3"),
        ("goldfsh", ValueError, "unknown label 'goldfsh'; did you mean 'goldfish'"),
        ("???", ValueError, r"unknown label '\?\?\?'; wanted one of tench, goldfish"),
        ([0, 9, 1], ValueError, "class 9 is out of range"),
        ([0, 1], ValueError, "2 targets were given for 3 images"),
        ([], ValueError, "0 targets were given for 3 images"),
        (1.0, TypeError, "a target is 1.0"),
        (True, TypeError, "a target is True"),
        (torch.tensor([0.5, 1, 2]), TypeError, "a target is 0.5"),
        (torch.tensor([[0], [1], [2]]), TypeError, r"a target is \[0\]"),
        (np.array([True, False, True]), TypeError, "a target is True"),
        (object, TypeError, "a target is <class 'object'>"),
    ],
)
def test_a_target_that_does_not_exist_is_refused(model, target, kind, says):
    with pytest.raises(kind, match=says) as error:
        model.targets(target, images(3))
    one_sentence(error)


def test_labels_that_differ_in_case_and_labels_that_occur_twice():
    model = wrap(settle(Functional()), labels=["crane", "Crane", "drake", "drake"])
    assert model.class_index("crane") == 0
    assert model.class_index("Crane") == 1
    for label, says in (("CRANE", r"\[0, 1\]"), ("drake", r"\[2, 3\]"), ("Drake", r"\[2, 3\]")):
        with pytest.raises(ValueError, match=f"label '{label}' names classes {says}, wanted one of") as error:
            model.class_index(label)
        one_sentence(error)


def test_without_labels_classes_have_numbers():
    model = ImageModel(settle(Functional()), size=SIZE)
    assert model.labels == ["class 0", "class 1", "class 2", "class 3"]
    assert model.class_index("class 2") == 2


# -- layers -----------------------------------------------------------------------------------------------


def test_layers_come_in_the_order_in_which_they_finish():
    layers = wrap(settle(SharedInPlace())).layers()
    assert [layer.name for layer in layers] == [
        "conv1", "pool", "block1.conv1", "block1.bn1", "block1.conv2", "block1",
        "block2.conv1", "block2.bn1", "block2.conv2", "relu", "block2", "average", "fc",
    ]  # fmt: skip
    found = {layer.name: layer for layer in layers}
    assert found["conv1"] == ("conv1", "Conv2d", (6, 8, 8), 1, False)
    assert found["pool"] == ("pool", "MaxPool2d", (6, 4, 4), 1, True)
    assert found["relu"] == ("relu", "ReLU", (6, 4, 4), 5, False)
    assert found["fc"] == ("fc", "Linear", (4,), 1, False)


def test_layers_that_never_run_or_return_no_tensor_are_not_listed():
    class Some(nn.Module):
        def __init__(self):
            super().__init__()
            self.idle = nn.Conv2d(3, 3, 1)
            self.pair = Returning(lambda scores, x: (scores, x))

        def forward(self, x):
            return self.pair(x)

    names = [layer.name for layer in wrap(Some()).layers()]
    assert "pair.body.conv1" in names
    assert not {"idle", "pair"} & set(names)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer4"),
        ("vgg11_bn", "features.27"),
        ("googlenet", "inception5b"),
        ("densenet121", "features"),
    ],
)
def test_the_default_layer_is_the_last_with_places_before_pooling(name, layer):
    # Its own way to draw random weights takes seconds and changes nothing here.
    options = {"init_weights": False} if name in ("googlenet", "vgg11_bn") else {}
    model = ImageModel(getattr(torchvision.models, name)(weights=None, **options), size=64)
    assert model.default_layer() == layer


def test_a_network_without_places_has_no_default_layer():
    with pytest.raises(ValueError, match="Linear has no layer with an output") as error:
        wrap(settle(Linear())).default_layer()
    one_sentence(error)


# -- activations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", RELU_NETWORKS.values())
def test_activations_are_what_a_hook_sees_before_anything_changes_them(network):
    network = settle(network())
    model, x = wrap(network), images(3)
    once = [layer.name for layer in model.layers() if layer.calls == 1]
    seen, handles = {}, []
    for name in once:
        handles.append(
            network.get_submodule(name).register_forward_hook(
                lambda m, i, o, name=name: seen.update({name: o.detach().clone()})
            )
        )
    scores = model.scores(x)
    for handle in handles:
        handle.remove()
    kept = model.activations(x, once)
    assert list(kept) == once
    for name in once:
        assert torch.equal(kept[name], seen[name]), name
    assert torch.equal(model.scores(x), scores)


def test_activations_of_one_layer_and_of_a_layer_that_runs_several_times():
    model, x = wrap(settle(SharedInPlace())), images()
    kept = model.activations(x, "relu")
    assert list(kept) == ["relu"]
    assert torch.equal(kept["relu"], model.activations(x, ["block2"])["block2"])


@pytest.mark.parametrize("call", ["activations", "forward_from"])
def test_a_layer_that_does_not_exist_is_refused_with_the_nearest(model, call):
    def use(name):
        if call == "activations":
            return model.activations(images(), [name])
        return model.forward_from(name, images())

    with pytest.raises(ValueError, match="unknown layer 'conv_1'; did you mean 'conv1'") as error:
        use("conv_1")
    one_sentence(error)
    with pytest.raises(ValueError, match="unknown layer 'xyz'; wanted one of conv1, conv2, fc") as error:
        use("xyz")
    one_sentence(error)


# -- from a layer on --------------------------------------------------------------------------------------

CUTS = {
    "functional": {"conv1", "conv2", "fc"},
    "shared_in_place": {"conv1", "pool", "block1", "block2", "average", "fc"},
    "concat": {"stem", "head"},
    "dropping": {
        "features", "features.0", "features.1", "features.2", "features.3", "features.4",
        "classifier", "classifier.0", "classifier.1", "classifier.2",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", RELU_NETWORKS)
def test_from_every_layer_that_cuts_the_network_the_scores_are_the_same(name):
    model, x = wrap(settle(RELU_NETWORKS[name]())), images(3)
    for layer in model.layers():
        activation = model.activations(x, layer.name)[layer.name]
        before = activation.clone()
        if layer.name in CUTS[name]:
            scores = model.forward_from(layer.name, activation)
            torch.testing.assert_close(scores, model.scores(x), rtol=1e-5, atol=1e-6)
            assert torch.equal(activation, before)
        else:
            with pytest.raises(ValueError, match="wanted one that everything passes through once") as error:
                model.forward_from(layer.name, activation)
            near = re.search(r"such as '(.*)'$", one_sentence(error)).group(1)
            assert near in CUTS[name], "what is offered has to work"


@pytest.mark.parametrize(("name", "size"), [("resnet18", 64), ("vgg11_bn", 32), ("googlenet", 64)])
def test_torchvision_networks_run_from_their_default_layer(name, size):
    # Its own way to draw random weights takes seconds and changes nothing here.
    options = {"init_weights": False} if name in ("googlenet", "vgg11_bn") else {}
    model = ImageModel(getattr(torchvision.models, name)(weights=None, **options), size=size)
    x, layer = images(2, size=size), model.default_layer()
    torch.testing.assert_close(
        model.forward_from(layer, model.activations(x, layer)[layer]), model.scores(x), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("layer", "near"), [("block1.conv1", "block1"), ("block2.bn1", "block2"), ("relu", "block2")]
)
def test_layers_inside_skips_and_shared_layers_are_refused(layer, near):
    model = wrap(settle(SharedInPlace()))
    activation = model.activations(images(), layer)[layer]
    with pytest.raises(ValueError, match=f"layer '{layer}' .* such as '{near}'") as error:
        model.forward_from(layer, activation)
    one_sentence(error)


def test_gradients_flow_from_the_scores_to_the_activation():
    model, x = wrap(settle(SharedInPlace())), images()
    activation = model.activations(x, "conv1")["conv1"].requires_grad_()
    (gradient,) = torch.autograd.grad(model.forward_from("conv1", activation)[:, 1].sum(), activation)
    at = gradient.abs().flatten().argmax()
    step = torch.zeros(activation.numel())
    step[at] = 1e-2
    changed = activation.detach() + step.view(activation.shape)
    with torch.no_grad():
        slope = (model.forward_from("conv1", changed) - model.forward_from("conv1", activation))[
            :, 1
        ].sum() / 1e-2
    torch.testing.assert_close(slope, gradient.flatten()[at], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("shape", [(2, 5, 8, 8), (2, 6), (6, 8, 8), (2, 6, 3, 3)])
def test_an_activation_that_does_not_fit_is_refused(model, shape):
    with pytest.raises(ValueError, match=re.escape(f"{shape}, wanted (N, 6, 8, 8)")) as error:
        model.forward_from("conv1", torch.zeros(shape))
    one_sentence(error)


def test_a_network_that_fixes_its_batch_runs_from_its_layers_too():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.fc = nn.Linear(4, CLASSES)

        def forward(self, x):
            n = x.shape[0]
            return self.fc(self.conv(x).mean((2, 3)).reshape(n, 4))

    model, x = wrap(settle(Fixed())), images(3)
    kept = model.activations(x, "conv")["conv"]
    torch.testing.assert_close(model.forward_from("conv", kept), model.scores(x))
