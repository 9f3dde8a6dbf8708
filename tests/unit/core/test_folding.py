"""Passes with folded batch norm: the scores of the plain pass, always with the current weights."""

import warnings
from collections import UserList

import pytest
import timm
import torch
import torch.nn.functional as F
from closeness import assert_close
from networks import CLASSES, KINDS, SIZE, Drawn, Dropping, SharedInPlace, images, settle, wrap
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint
from torchvision_networks import BUILDERS

from xai_widgets.core import folding
from xai_widgets.core.folding import LEAST_IMAGES
from xai_widgets.core.hooks import record_outputs
from xai_widgets.core.model import ImageModel

TIMM = ["tf_efficientnet_lite0", "mobilenetv3_small_050", "regnetx_002", "test_vit", "test_byobnet"]


@pytest.fixture(autouse=True)
def small_networks_too(monkeypatch):
    """Fold the small networks of these tests, too."""
    monkeypatch.setattr(folding, "PER_SITE", 0)


class Counting(TorchDispatchMode):
    """Counts the batch norms that run."""

    def __init__(self):
        super().__init__()
        self.batch_norms = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.batch_norms += "batch_norm" in str(func) and "backward" not in str(func)
        return func(*args, **(kwargs or {}))


def batch_norms(model, x, *, folded=True):
    """Return how many batch norms run in a pass without gradients, after one that may record the network."""
    scores(model, x, folded=folded)
    with torch.no_grad(), Counting() as counting:
        model(x, folded=folded)
    return counting.batch_norms


def settled(network):
    """Return a network in eval mode whose batch norms are far from the identity."""
    torch.manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(part.weight, 0.6, 1.4)
            nn.init.normal_(part.bias, 0, 0.2)
            nn.init.normal_(part.running_mean, 0, 0.2)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return network.eval()


def scores(model, x, *, folded):
    with torch.no_grad():
        return model(x, folded=folded)


@pytest.mark.parametrize("name", [*BUILDERS, *TIMM])
def test_folded_scores_are_the_plain_ones_and_fewer_batch_norms_run(name, monkeypatch):
    # Also for images so small that folding takes longer than it saves.
    monkeypatch.setattr(folding, "PER_WEIGHT", 0)
    network = BUILDERS[name](5) if name in BUILDERS else timm.create_model(name, num_classes=5)
    model = ImageModel(settled(network), size=160 if name == "test_vit" else 64, device="cpu")
    size = model.size[0]
    x = torch.rand(8, 3, size, size)
    plain = scores(model, x, folded=False)
    for _ in range(2):
        assert_close(scores(model, x, folded=True), plain, steps=1024)
    total = batch_norms(model, x, folded=False)
    # Only in a DenseNet are most batch norms after a concatenation.
    left = {"densenet": total - 1, "test_vit": total}.get(name, total // 2)
    assert batch_norms(model, x) <= left


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
def test_every_kind_of_block_keeps_its_scores(kind, bias):
    model, x = wrap(settled(Drawn([kind, "chain", kind], bias))), images(64)
    assert_close(scores(model, x, folded=True), scores(model, x, folded=False))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_a_frozen_pass_are_the_plain_ones(dtype):
    model, x = wrap(settled(SharedInPlace()).to(dtype)), images(64)

    def gradient(folded):
        pixels = x.clone().requires_grad_()
        return torch.autograd.grad(model(pixels, frozen=True, folded=folded)[:, 1].sum(), pixels)[0]

    plain = gradient(False)
    assert batch_norms(model, x) < batch_norms(model, x, folded=False)
    assert_close(gradient(True), plain)


def test_a_pass_with_gradients_of_the_parameters_is_not_folded():
    model, x = wrap(settled(SharedInPlace())), images(64)
    pixels = x.clone().requires_grad_()
    with Counting() as counting:
        model(pixels, folded=True).sum().backward()
    assert counting.batch_norms == batch_norms(model, x, folded=False)
    assert all(value.grad is not None for value in model.module.parameters())


def test_small_outputs_are_not_worth_folding(monkeypatch):
    model, x = wrap(settled(SharedInPlace())), images(64)
    plain = batch_norms(model, x, folded=False)
    assert batch_norms(model, x) < plain
    monkeypatch.setattr(folding, "PER_SITE", 10**6)
    assert batch_norms(model, x) == plain


def test_few_images_are_not_worth_folding():
    model = wrap(settled(SharedInPlace()))
    assert batch_norms(model, images(LEAST_IMAGES - 1)) == batch_norms(model, images(1), folded=False)


def edit_in_place(network):
    network.block1.conv1.weight.add_(0.3)
    network.block1.bn1.running_mean.add_(0.3)


def edit_data(network):
    # An edit that no version counter shows.
    network.block1.conv1.weight.data.add_(0.3)
    network.block1.bn1.weight.data.add_(0.3)


def replace_modules(network):
    network.block1.conv1 = nn.Conv2d(6, 6, 3, padding=1)
    network.block1.bn1 = settled(nn.BatchNorm2d(6))


def remove_the_norm(network):
    network.block1.bn1 = nn.Identity()


def change_eps(network):
    network.block1.bn1.eps = 1.0


def train_a_step(network):
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    with torch.enable_grad():
        F.cross_entropy(network(images(4)), torch.arange(4)).backward()
    optimizer.step()


@pytest.mark.parametrize(
    "edit", [edit_in_place, edit_data, replace_modules, remove_the_norm, change_eps, train_a_step]
)
def test_changes_of_the_network_between_passes_are_seen(edit):
    model, x = wrap(settled(SharedInPlace())), images(64)
    before = scores(model, x, folded=True)
    with torch.no_grad():
        edit(model.module)
    plain = scores(model, x, folded=False)
    assert not torch.allclose(plain, before, rtol=1e-3)
    for _ in range(2):
        assert_close(scores(model, x, folded=True), plain)


def test_the_network_is_not_changed():
    network = settle(Dropping()).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    model = wrap(network)
    scores(model, images(64), folded=True)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(part.training for part in network.modules())


class Reused(nn.Module):
    """The output of a convolution has another use than batch norm, or two of them."""

    def __init__(self, use):
        super().__init__()
        self.use, self.kept = use, UserList()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm, self.other = nn.BatchNorm2d(6), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x):
        z = self.conv(x)
        y = self.norm(z)
        if self.use == "after":
            y = y + z
        elif self.use == "twice":
            y = y + self.other(z)
        elif self.use == "statistics":
            y = y * z.std()
        elif self.use == "kept":
            self.kept.append(z)
        return self.fc(F.relu(y).mean((2, 3)))


@pytest.mark.parametrize("use", ["after", "twice", "statistics", "kept"])
def test_a_convolution_whose_output_is_used_otherwise_is_not_folded(use):
    model, x = wrap(settled(Reused(use))), images(64)
    assert batch_norms(model, x) == batch_norms(model, x, folded=False)
    assert_close(scores(model, x, folded=True), scores(model, x, folded=False))
    if use == "kept":
        inputs = (x - model.mean) / model.std
        model.module.kept.clear()
        scores(model, x, folded=True)
        assert_close(model.module.kept[-1], model.module.conv(inputs))


class Changing(Reused):
    """Another path for dark images."""

    def __init__(self):
        super().__init__("after")

    def forward(self, x):
        self.use = "none" if x.mean() > 0 else "after"
        return super().forward(x)


def test_a_pass_that_takes_another_path_is_run_without_folding():
    model = ImageModel(settled(Changing()), size=SIZE, mean=[0.5] * 3, std=[0.5] * 3, device="cpu")
    bright, dark = images(64) / 4 + 0.7, images(64) / 4
    assert batch_norms(model, bright) < batch_norms(model, bright, folded=False) + 1
    for x in (bright, dark, bright, dark, bright):
        assert_close(scores(model, x, folded=True), scores(model, x, folded=False))


class Checkpointed(Reused):
    """The backward pass computes convolution and batch norm again."""

    def forward(self, x):
        y = checkpoint(lambda x: F.relu(self.norm(self.conv(x))), x, use_reentrant=False)
        return self.fc(y.mean((2, 3)))


class Detached(Reused):
    """Batch norm lets no gradient pass, but a path beside it does."""

    def forward(self, x):
        z = self.conv(x)
        with torch.no_grad():
            y = self.norm(z)
        return self.fc(torch.cat([y, x], 1)[:, 1:7].relu().mean((2, 3)))


@pytest.mark.parametrize("kind", [Checkpointed, Detached])
def test_gradients_are_the_plain_ones_where_the_network_computes_its_own(kind):
    model, x = wrap(settled(kind("none"))), images(4)
    gradients = []
    for folded in (True, False):
        own = x.clone().requires_grad_()
        gradients += torch.autograd.grad(model(own, frozen=True, folded=folded)[:, 0].sum(), own)
    assert_close(*gradients)


class Balanced(nn.Module):
    """Batch norm returns 0 for a black image up to rounding, which decides whether the ReLU passes a gradient."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.fc = nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.Linear(64, CLASSES)
        settled(self)
        with torch.no_grad():
            factor = self.norm.weight / (self.norm.running_var + self.norm.eps).sqrt()
            self.norm.bias.copy_((self.norm.running_mean - self.conv.bias) * factor)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).relu().mean((2, 3)))


def test_a_network_is_folded_where_rounding_alone_changes_the_gradient_of_an_image():
    model = ImageModel(Balanced().eval(), size=SIZE, mean=[0.0] * 3, std=[1.0] * 3, device="cpu")

    def gradient(x, folded):
        own = x.clone().requires_grad_()
        with Counting() as counting:
            found = torch.autograd.grad(model(own, frozen=True, folded=folded)[:, 0].sum(), own)[0]
        return found, counting.batch_norms

    black = torch.zeros(4, 3, SIZE, SIZE)
    plain, folded = gradient(black, False)[0], gradient(black, True)[0]
    assert (folded - plain).norm() > folding.GRADIENT_TOLERANCE * plain.norm()
    x = images(4)
    found, number = gradient(x, True)
    assert number == 0
    assert_close(found, gradient(x, False)[0])


class Exchanging(Reused):
    """The same functions for every image, but dark images add the convolution in place of the pixels."""

    def forward(self, x):
        z = self.conv(x)
        y = self.norm(z)
        return self.fc((y + (x.repeat(1, 2, 1, 1) if x.mean() > 0 else z.repeat(1, 1, 1, 1))).mean((2, 3)))


def test_a_pass_in_which_the_same_functions_get_other_tensors_is_run_without_folding():
    model = ImageModel(settled(Exchanging("none")), size=SIZE, mean=[0.5] * 3, std=[0.5] * 3, device="cpu")
    for x in (images(64) / 4 + 0.7, images(64) / 4):
        assert_close(scores(model, x, folded=True), scores(model, x, folded=False))


def test_recording_a_network_draws_no_random_numbers():
    class Noisy(Reused):
        def forward(self, x):
            return super().forward(x + 1e-6 * torch.randn_like(x))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = wrap(settled(Noisy("none")))
    drawn = []
    for _ in range(2):
        torch.manual_seed(0)
        scores(model, images(64), folded=True)
        drawn.append(torch.rand(1))
    assert torch.equal(*drawn)


def test_hooks_see_the_output_of_the_convolution():
    model, x = wrap(settled(SharedInPlace())), images(64)
    scores(model, x, folded=True)
    with torch.no_grad(), record_outputs(model.find_layers(["block1.conv1"])) as outputs:
        model(x, folded=True)
    assert_close(outputs["block1.conv1"], model.activations(x, "block1.conv1")["block1.conv1"])
    seen = []
    model.module.block1.conv1.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    scores(model, x, folded=True)
    assert_close(seen[-1], outputs["block1.conv1"])


def test_batch_statistics_and_autocast_are_left_alone():
    model, x = wrap(settled(SharedInPlace())), images(64)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(scores(model, x, folded=True), scores(model, x, folded=False))
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, track_running_stats=False), nn.Flatten(), nn.LazyLinear(CLASSES)
    )
    with pytest.warns(UserWarning, match="depend on the other images"):
        model = wrap(network)
    assert torch.equal(scores(model, x, folded=True), scores(model, x, folded=False))
