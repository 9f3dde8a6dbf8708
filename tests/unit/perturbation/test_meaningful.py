"""Meaningful perturbation against equation 4, written out again and minimized by torch's own Adam."""

import functools
import math
import re

import pytest
import torch
from closeness import assert_close, near
from examples import fewer_examples
from hypothesis import given
from hypothesis import strategies as st
from networks import Dropping, images, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.ops.adam import Adam
from xai_widgets.ops.perturb import perturb, pyramid
from xai_widgets.perturbation.meaningful import MeaningfulSettings, meaningful_perturbation

SIDE = 24
SCALE = SIDE / 224
#: Six cells a side, and shifts by up to two pixels.
SETTINGS = MeaningfulSettings(steps=4, cell=4 / SCALE, smoothing=3 / SCALE, jitter=round(3 / SCALE))
MODES = ["deletion", "preservation"]
PERTURBATIONS = ["blur", "constant", "noise"]


class Average(nn.Module):
    """The score of class 0 is the brightness of the upper left quarter, as seen by a convolution."""

    def forward(self, x):
        bright = x[:, :, : SIDE // 2, : SIDE // 2].mean((1, 2, 3))
        return torch.stack([20 * (bright - 0.75), torch.zeros_like(bright)], 1)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96, 5)
    )
    for parameter in net.parameters():
        parameter.data *= 4
    return ImageModel(net, size=SIDE)


@pytest.fixture(scope="module")
def x():
    return images(2, size=SIDE)


@functools.cache
def weights_of(h, w):
    """g(v - center of u) for every pixel v and every cell u, normalized over the cells."""
    weights = torch.empty(SIDE, SIDE, h, w)
    for row in range(SIDE):
        for column in range(SIDE):
            for i in range(h):
                for j in range(w):
                    down = row + 0.5 - (i + 0.5) * SIDE / h
                    right = column + 0.5 - (j + 0.5) * SIDE / w
                    weights[row, column, i, j] = math.exp(-(down**2 + right**2) / (2 * 3.0**2))
    return weights / weights.sum((2, 3), keepdim=True)


def upsampled(m):
    """Sum over cells u of g(v - center of u) m(u), for one mask."""
    return torch.einsum("rcij,ij->rc", weights_of(*m.shape), m)


def shifted(x, down, right):
    """x(. - tau), the edges repeated."""
    rows, columns = ((torch.arange(SIDE) - by).clamp(min=0) for by in (down, right))
    return x[..., rows, :][..., columns]


def masked(x, mask, perturbation):
    """Return one image (C, H, W) under a mask (H, W)."""
    if perturbation == "blur":
        return perturb(pyramid(x[None], sigma=10 * SCALE), mask[None, None])[0, 0]
    mean = x.mean((1, 2), keepdim=True)
    if perturbation == "constant":
        return mask * x + (1 - mask) * mean
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    deviation = ((x - mean) ** 2).mean((1, 2), keepdim=True).sqrt()
    return mask * x + (1 - mask) * (mean + deviation * noise).clamp(0, 1)


def objective(model, x, m, target, mode, perturbation, shift, settings):
    """The three terms of equation 4 for one image."""
    mask = upsampled(m)
    # Blurring and shifting are not the same at the edges: the levels are blurred, then shifted.
    whole = [masked(x, torch.full_like(mask, level / 7), perturbation) for level in range(8)]
    levels = shifted(torch.stack(whole), *shift)[None]
    score = model(perturb(levels, mask[None, None])[0]).softmax(1)[0, target]
    # Within [0, 1] this is the absolute value, but for its gradient at the very end.
    area = settings.l1 * ((1 - m) if mode == "deletion" else m).sum()
    steps = [(m[1:] - m[:-1]), (m[:, 1:] - m[:, :-1])]
    roughness = settings.l2 * sum((step.abs() ** settings.beta).sum() for step in steps)
    return score, area, roughness


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_every_step_is_adam_on_equation_4(model, x, mode, perturbation):
    target = 3
    run = meaningful_perturbation(model, x, target, mode=mode, perturbation=perturbation, settings=SETTINGS)
    snapshots = list(run)
    assert [snapshot.step for snapshot in snapshots] == list(range(5))
    for n in range(2):
        adam, generator = Adam(0.1), torch.Generator().manual_seed(0)
        clear = torch.ones(6, 6, dtype=torch.bool)
        for at, snapshot in enumerate(snapshots):
            last = snapshot is snapshots[-1]
            shift = [0, 0] if last else torch.randint(3, (2,), generator=generator).tolist()
            m = snapshot.coarse[n].clone().requires_grad_()
            assert_close(snapshot.masks[n], upsampled(m).detach())
            score, area, roughness = objective(model, x[n], m, target, mode, perturbation, shift, SETTINGS)
            loss = area + roughness + (score if mode == "deletion" else -score)
            for mine, theirs in (
                (snapshot.scores, score), (snapshot.areas, area), (snapshot.roughnesses, roughness),
                (snapshot.losses, loss),
            ):  # fmt: skip
                assert mine[n].item() == near(theirs.item())
            if last:
                break
            (gradient,) = torch.autograd.grad(loss, m)
            expected = (m.detach() + adam.step(gradient)).clamp(0, 1)
            # Adam divides by the size of the gradient; where that is next to nothing, rounding shows.
            clear &= gradient.abs() > 1e-2 * gradient.abs().max()
            assert clear.sum() > 12
            assert_close(snapshots[at + 1].coarse[n][clear], expected[clear])


@pytest.mark.parametrize("mode", MODES)
def test_the_start_is_the_smallest_sufficient_disc(model, x, mode):
    target = 2
    first = next(iter(meaningful_perturbation(model, x, target, mode=mode, settings=SETTINGS)))
    for n in range(2):
        scores, discs = [], []
        for radius in range(6):
            inside = torch.tensor(
                [[float(math.hypot(i - 2.5, j - 2.5) < radius) for j in range(6)] for i in range(6)]
            )
            disc = 1 - inside if mode == "deletion" else inside
            shown = masked(x[n], upsampled(disc), "blur")
            scores.append(model.probs(shown.clamp(0, 1))[0, target].item())
            discs.append(disc)
        # From the untouched image down to the blurred one, or from the blurred one up to the image.
        change = [(scores[0] - s) if mode == "deletion" else (s - scores[0]) for s in scores]
        expected = next(k for k in range(6) if change[k] >= 0.99 * change[-1])
        assert torch.equal(first.coarse[n], discs[expected])


@pytest.mark.parametrize("mode", MODES)
def test_the_mask_finds_what_the_score_comes_from(mode):
    x = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2)) * 0.5 + 0.25
    x[:, :, : SIDE // 2, : SIDE // 2] = 0.9
    quick = MeaningfulSettings(steps=60, cell=4 / SCALE, smoothing=3 / SCALE, l1=1e-2)
    run = meaningful_perturbation(
        ImageModel(Average(), size=SIDE), x, 0, mode=mode, settings=quick, perturbation="constant"
    )
    snapshots = list(run)
    saliency = snapshots[-1].saliency()[0]
    assert saliency[:9, :9].mean() > 4 * saliency[15:].mean()
    assert snapshots[-1].losses < snapshots[0].losses
    assert snapshots[-1].areas < snapshots[0].areas
    if mode == "preservation":
        assert torch.equal(saliency, snapshots[-1].masks[0])
    else:
        assert torch.equal(saliency, 1 - snapshots[-1].masks[0])


def test_images_do_not_influence_each_other(model, x):
    def masks(x, target, **options):
        run = meaningful_perturbation(
            model, x, target, settings=SETTINGS, perturbation="noise", seed=3, **options
        )
        return run.result(progress=False).masks

    together = masks(x, [1, 3])
    assert torch.equal(together, masks(x, [1, 3]))
    assert_close(together, masks(x, [1, 3], batch_size=1))
    for n, target in enumerate([1, 3]):
        assert_close(together[n], masks(x[n], target)[0])


def test_the_seed_decides_the_jitter(model, x):
    first, second = (
        meaningful_perturbation(model, x, 3, mode="preservation", settings=SETTINGS, seed=seed).result(
            progress=False
        )
        for seed in (0, 1)
    )
    assert not torch.equal(first.masks, second.masks)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_inside_no_grad_and_inference_mode(model, x, mode):
    expected = meaningful_perturbation(model, x, settings=SETTINGS).result(progress=False)
    with mode():
        run = meaningful_perturbation(model, x, settings=SETTINGS)
        for snapshot in run:
            # Whoever draws a snapshot does so under their own mode.
            assert not torch.is_grad_enabled()
            assert not snapshot.masks.requires_grad
    assert torch.equal(run.latest.masks, expected.masks)


def test_network_and_random_numbers_stay_and_an_interrupt_keeps_the_latest():
    network = settle(Dropping()).train()
    network.features[0].weight.requires_grad_(False)
    model = wrap(network)

    def seen():
        tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        return {name: (t.tolist(), t.requires_grad, t._version) for name, t in tensors.items()} | {
            "gradients": [p.grad for p in network.parameters()],
            "training": [part.training for part in network.modules()],
            "random": torch.get_rng_state().tolist(),
            "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        }

    before = seen()
    run = meaningful_perturbation(model, images(), 1, perturbation="noise")

    def stop_after_three():
        for snapshot in run:
            assert seen() == before
            if snapshot.step == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_after_three()
    assert run.latest.step == 2
    assert run.total == 301
    assert seen() == before


def test_a_score_that_a_blur_does_not_lower_has_a_finite_mask(model):
    flat = torch.full((1, 3, SIDE, SIDE), 0.5)
    for mode in MODES:
        found = meaningful_perturbation(model, flat, mode=mode, settings=SETTINGS).result(progress=False)
        assert torch.isfinite(found.masks).all()
        assert ((found.saliency() >= 0) & (found.saliency() <= 1)).all()


@fewer_examples(2)
@given(st.integers(5, 60), st.integers(5, 60))
def test_there_are_28_cells_along_the_short_side_or_one_a_pixel(height, width):
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    model = ImageModel(net, size=(height, width))
    run = meaningful_perturbation(model, torch.rand(1, 3, height, width), 0)
    coarse = next(iter(run)).coarse
    assert min(coarse.shape[1:]) == min(28, height, width)
    assert run.latest.masks.shape == (1, height, width)


@given(st.integers(1, 12), st.floats(1e-3, 1), st.integers(0, 99))
def test_adam_is_torchs_adam(steps, learning_rate, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(3, 2, generator=generator)
    theirs = values.clone().requires_grad_()
    mine, optimizer, adam = values.clone(), torch.optim.Adam([theirs], lr=learning_rate), Adam(learning_rate)
    for step in range(steps):
        gradient = torch.randn(len(mine), 2, generator=generator)
        theirs.grad = torch.zeros(3, 2)
        theirs.grad[: len(mine)] = gradient
        optimizer.step()
        mine = mine + adam.step(gradient)
        assert_close(mine, theirs[: len(mine)].detach())
        if step == 4:
            rows = torch.tensor([True, True, False])
            adam.keep(rows)
            mine = mine[rows]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "deletoin"}, "unknown mode 'deletoin'; did you mean 'deletion'"),
        ({"perturbation": "blurr"}, "unknown perturbation 'blurr'; did you mean 'blur'?"),
        ({"batch_size": 0}, "expected batch_size to be an integer of at least 1, got 0"),
        ({"target": 9}, "expected a class from 0 to "),
    ],
)
def test_bad_input_is_named_in_one_sentence(model, x, options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        meaningful_perturbation(model, x, **options)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("learning_rate", 0), ("beta", 0.5), ("l1", -1), ("smoothing", 0), ("jitter", math.nan)],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"expected {name} to be .*, got {value}"):
        MeaningfulSettings(**{name: value})


def test_a_bare_network_is_refused(x):
    with pytest.raises(TypeError, match="expected an ImageModel"):
        meaningful_perturbation(Average(), x)
