"""The noise mask against equations 3 to 5 written out again, and its convergence."""

import re

import pytest
import torch
from closeness import assert_close, near, rounding
from hypothesis import given
from hypothesis import strategies as st
from networks import Dropping, Functional, SharedInPlace, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.perturbation.noise_mask import NoiseMaskSettings, masked_input, noise_mask

SHORT = NoiseMaskSettings(max_steps=6, window=3, tolerance=0)


class Quarter(nn.Module):
    """Depends on the upper left quarter only."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 16, 4)

    def forward(self, x):
        return self.fc(x[:, :, :4, :4].flatten(1))


class Blind(nn.Module):
    """Returns the same for every image."""

    def forward(self, x):
        return torch.stack([x.sum((1, 2, 3)) * 0, torch.ones(len(x))], 1)


def features(model, layer, x):
    if layer is None:
        return model(x).flatten()
    found = {}
    module = model.module.get_submodule(layer)
    handle = module.register_forward_hook(lambda _m, _i, output: found.update(out=output.clone()))
    model(x)
    handle.remove()
    return found["out"].flatten()


@pytest.mark.parametrize("noise", ["uniform", "normal"])
@pytest.mark.parametrize("layer", [None, "block1", "conv1"])
def test_every_step_is_adam_on_equation_5(layer, noise):
    model, x = wrap(settle(SharedInPlace())), images(2)
    steps = NoiseMaskSettings(max_steps=6, window=100, beta=0.7)
    run = noise_mask(model, x, layer=layer, noise=noise, settings=steps, seed=5, every=1)
    snapshots = list(run)
    mean = torch.tensor([122.46, 114.26, 101.374]).view(3, 1, 1) / 255
    std = torch.tensor([70.63, 68.61, 71.93]).view(3, 1, 1) / 255
    for n in range(2):
        generator = torch.Generator().manual_seed(5)

        def draw(generator=generator):
            if noise == "uniform":
                return torch.rand(3, 8, 8, generator=generator)
            return mean + std * torch.randn(3, 8, 8, generator=generator)

        original = features(model, layer, x[n : n + 1]).detach()
        worst = ((original - features(model, layer, draw()[None]).detach()) ** 2).mean()
        v = torch.logit(torch.full((8, 8), 0.98)).requires_grad_()
        optimizer = torch.optim.Adam([v], lr=0.015)
        for snapshot in snapshots:
            m = v.sigmoid()
            loss = (
                (original - features(model, layer, (m * x[n] + (1 - m) * draw())[None])) ** 2
            ).mean() / worst
            assert snapshot.areas[-1, n].item() == near(m.mean().item())
            assert snapshot.losses[-1, n].item() == near(loss.item(), scale=1)
            optimizer.zero_grad()
            (m.mean() + 0.7 * loss).backward()
            optimizer.step()
            # Adam divides by the size of the gradient; where that is next to nothing, rounding shows.
            far = (snapshot.masks[n, 0] - v.sigmoid()).abs()
            assert far.mean() < rounding(1)
            assert snapshot.step == len(snapshot.areas) == len(snapshot.losses)


def test_the_mask_keeps_what_the_scores_come_from():
    model = ImageModel(settle(Quarter()), size=8)
    quick = NoiseMaskSettings(max_steps=200, learning_rate=0.2)
    snapshots = list(noise_mask(model, images(2), settings=quick))
    found = snapshots[-1]
    assert torch.equal(found.saliency(), found.masks[:, 0])
    assert found.masks.shape == (2, 1, 8, 8)
    for mask in found.saliency():
        assert mask[:4, :4].mean() > 0.3
        assert mask[4:].max() < 0.02
        assert mask[:, 4:].max() < 0.02
    objective = found.areas + found.losses
    assert (objective[-50:].mean(0) < objective[:50].mean(0)).all()


def test_the_loss_in_percent_is_the_mean_of_the_last_window():
    found = noise_mask(wrap(settle(Functional())), images(2), settings=SHORT).result(progress=False)
    assert_close(found.loss_percent, 100 * found.losses[-3:].mean(0))
    first = next(iter(noise_mask(wrap(settle(Functional())), images(2), settings=SHORT, every=1)))
    assert_close(first.loss_percent, 100 * first.losses[0])


def test_each_image_converges_on_its_own_and_the_run_ends_when_all_have():
    model, x = wrap(settle(Functional())), images(3)
    soon = NoiseMaskSettings(max_steps=1000, learning_rate=0.3, window=15, tolerance=0.05)
    run = noise_mask(model, x, settings=soon, every=7)
    together = run.result(progress=False)
    assert together.flat.all()
    assert together.step < 1000
    assert run.done == -(-together.step // 7)
    ends = together.areas.isfinite().sum(0).tolist()
    assert len(set(ends)) > 1
    assert max(ends) == together.step
    for n in range(3):
        alone = noise_mask(model, x[n], settings=soon).result(progress=False)
        assert alone.step == ends[n]
        assert_close(alone.masks[0], together.masks[n])
        # Converged: the last window is not lower than the one before, but every earlier one was.
        windows = (alone.areas + alone.losses)[:, 0].unflatten(0, (-1, 15)).mean(1)
        falls = windows[1:] <= 0.95 * windows[:-1]
        assert falls.tolist() == [True] * (len(falls) - 1) + [False]


def test_batches_and_targets_have_no_influence_and_the_seed_decides():
    model, x = wrap(settle(Functional())), images(3)

    def masks(**options):
        return noise_mask(model, x, settings=SHORT, **options).result(progress=False).masks

    assert torch.equal(masks(), masks())
    assert torch.equal(masks(), masks(target=[1, 2, 3]))
    assert_close(masks(), masks(batch_size=2))
    assert not torch.equal(masks(), masks(seed=1))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_inside_no_grad_and_inference_mode(mode):
    model, x = wrap(settle(Functional())), images(2)
    expected = noise_mask(model, x, settings=SHORT).result(progress=False)
    with mode():
        run = noise_mask(model, x, settings=SHORT, every=1)
        for snapshot in run:
            assert not torch.is_grad_enabled()
            assert not snapshot.masks.requires_grad
    assert torch.equal(run.latest.masks, expected.masks)


def test_network_and_random_numbers_stay_and_an_interrupt_keeps_the_latest():
    network = settle(Dropping()).train()
    network.requires_grad_(False)
    model = wrap(network)

    def seen():
        tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        return {name: (t.tolist(), t.requires_grad, t._version) for name, t in tensors.items()} | {
            "hooks": [len(part._forward_hooks) for part in network.modules()],
            "training": [part.training for part in network.modules()],
            "random": torch.get_rng_state().tolist(),
            "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        }

    model.layers()
    before = seen()
    run = noise_mask(model, images(), layer="features", every=2)

    def stop_after_four():
        for snapshot in run:
            assert seen() == before
            if snapshot.step == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_after_four()
    assert run.latest.step == 4
    assert len(run.latest.areas) == 4
    assert seen() == before


def test_an_earlier_snapshot_is_not_changed_by_later_steps():
    run = iter(noise_mask(wrap(settle(Functional())), images(1), settings=SHORT, every=1))
    first = next(run)
    masks, areas = first.masks.clone(), first.areas.clone()
    list(run)
    assert torch.equal(first.masks, masks)
    assert torch.equal(first.areas, areas)


def test_a_layer_that_does_not_distinguish_the_image_from_noise_has_no_loss():
    model = ImageModel(Blind(), size=8)
    found = noise_mask(model, images(1), settings=SHORT).result(progress=False)
    assert found.loss_percent.tolist() == [0]
    assert (found.masks < 0.98).all()


@given(st.floats(0.01, 0.99), st.integers(0, 99))
def test_normal_noise_has_the_given_mean_and_deviation(level, seed):
    network = nn.Flatten()
    model = ImageModel(network, mean=[0.0], std=[1.0], size=30)
    nothing = NoiseMaskSettings(max_steps=1, start=1e-9)
    x = torch.full((1, 1, 30, 30), level)
    run = noise_mask(model, x, noise="normal", mean=[level], std=[0.1], settings=nothing, seed=seed)
    run.result(progress=False)
    generator = torch.Generator().manual_seed(seed)
    first, second = ((torch.randn(1, 30, 30, generator=generator) ** 2).mean() for _ in range(2))
    # The network returns the noise itself, less the level.
    expected = second / first
    assert run.latest.losses.item() == near(expected.item(), scale=expected * (1 + level / 0.1))


def test_grey_networks_get_grey_natural_noise():
    model = wrap(settle(Functional(channels=1)), mean=[0.5], std=[0.25])
    found = noise_mask(model, images(1, channels=1), noise="normal", settings=SHORT).result(progress=False)
    assert torch.isfinite(found.masks).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"noise": "unform"}, "unknown noise 'unform'; did you mean 'uniform'"),
        ({"layer": "conv3"}, "unknown layer 'conv3'; did you mean 'conv"),
        ({"target": 9}, "expected a class from 0 to "),
        ({"batch_size": 0}, "expected batch_size to be an integer of at least 1, got 0"),
        ({"every": 0}, "expected every to be an integer of at least 1, got 0"),
        ({"mean": [0.5] * 3}, "expected noise='normal' with mean or std"),
        ({"noise": "normal", "std": [0.5]}, "expected std to be 3 numbers, got [0.5]"),
    ],
)
def test_bad_input_is_named_in_one_sentence(options, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        noise_mask(wrap(settle(Functional())), images(1), **options)
    one_sentence(caught)


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate", 0), ("beta", -1), ("start", 1), ("start", 0), ("max_steps", 0), ("window", 0)],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"expected {name} to be .*, got {value}"):
        NoiseMaskSettings(**{name: value})


def test_a_bare_network_is_refused():
    with pytest.raises(TypeError, match="expected an ImageModel"):
        noise_mask(Functional(), images(1))


@pytest.mark.parametrize("noise", ["uniform", "normal"])
def test_a_continued_search_is_the_longer_one(noise):
    model, x = wrap(settle(SharedInPlace())), images(2)
    short, long = (NoiseMaskSettings(max_steps=steps, window=100) for steps in (3, 6))
    longer = noise_mask(model, x, noise=noise, settings=long, seed=5).result(progress=False)
    first = noise_mask(model, x, noise=noise, settings=short, seed=5).result(progress=False)
    second = noise_mask(model, x, noise=noise, settings=short, seed=5, start=first).result(progress=False)
    assert second.step == 6
    assert second.masks == near(longer.masks)
    assert second.losses == near(longer.losses, scale=1)
    # The first result is left as it was, and can be continued again.
    again = noise_mask(model, x, noise=noise, settings=short, seed=5, start=first).result(progress=False)
    assert again.masks == near(second.masks)


def test_a_converged_search_is_continued_for_a_window_at_least():
    settings = NoiseMaskSettings(max_steps=20, window=2, tolerance=0.5)
    model, x = wrap(settle(SharedInPlace())), images(1)
    first = noise_mask(model, x, settings=settings).result(progress=False)
    assert first.flat.all()
    second = noise_mask(model, x, settings=settings, start=first).result(progress=False)
    assert second.step > first.step
    assert len(second.areas) == second.step
    assert second.areas.isfinite().all()


@pytest.mark.parametrize("start", [3, "mask of one image"])
def test_a_start_of_other_images_is_refused(start):
    model = wrap(settle(SharedInPlace()))
    if start != 3:
        start = noise_mask(model, images(1), settings=SHORT).result(progress=False)
    with pytest.raises((TypeError, ValueError), match="expected start"):
        noise_mask(model, images(2), settings=SHORT, start=start)


def test_the_masked_input_has_noise_outside_of_the_mask():
    x, masks = images(2), torch.zeros(2, 1, 8, 8)
    masks[:, :, :4] = 1
    found = masked_input(x, masks, seed=3)
    assert torch.equal(found[:, :, :4], x[:, :, :4])
    noise = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(3))
    assert torch.equal(found[1, :, 4:], noise[:, 4:])
    normal = masked_input(x, masks, noise="normal")
    assert 0 <= normal.min() <= normal.max() <= 1
