"""Contract of every method that hides parts of an image: its call, its snapshots, an unchanged network."""

import numpy as np
import pytest
import torch
from networks import LABELS, SIZE, Functional, images, quick, settle, wrap
from snapshot import Broken, everything

from xai_widgets import perturbation
from xai_widgets.methods import family

#: Methods with quick options: several batches, and several snapshots, on each of two images.
EVERY = {
    name: (getattr(perturbation, name), quick(method, batch_size=2))
    for name, method in family("perturbation").items()
}
#: Those that do not optimize.
EXPLAINERS = {name: each for name, each in EVERY.items() if "settings" not in each[1]}


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


@pytest.mark.parametrize("name", EXPLAINERS)
def test_every_snapshot_has_a_map_of_each_image(name, model):
    explain, options = EXPLAINERS[name]
    run = explain(model, images(2), **options)
    count = 0
    for shot in run:
        count += 1
        saliency = shot.saliency()
        assert saliency.shape == (2, SIZE, SIZE)
        assert saliency.dtype == torch.float32
        assert saliency.device == model.device
        assert torch.isfinite(saliency).all()
        assert not saliency.requires_grad
    assert 2 <= count <= run.total
    # At the end every image has a map of its own.
    assert all(each.max() > each.min() for each in saliency)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_the_same_call_gives_the_same_bits_in_any_mode(name, model):
    explain, options = EXPLAINERS[name]
    expected = explain(model, images(2), **options).result(progress=False).saliency()
    torch.manual_seed(99)
    assert torch.equal(explain(model, images(2), **options).result(progress=False).saliency(), expected)
    for mode in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with mode():
            made = explain(model, images(2), **options).result(progress=False).saliency()
        assert torch.equal(made, expected)


@pytest.mark.parametrize("begun", [torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("name", EVERY)
def test_a_run_may_be_made_begun_and_ended_in_different_modes(name, begun, model):
    explain, options = EVERY[name]
    ended = torch.enable_grad if begun is torch.inference_mode else torch.inference_mode
    # A minimal image is one of the predicted class.
    target = [] if name == "minimal_image" else [[1, 3]]
    expected = explain(model, images(2), *target, **options)
    with begun():
        run = explain(model, images(2), *target, **options)
        steps = iter(run)
        next(steps)
    with ended():
        for _ in steps:
            pass
    assert torch.equal(run.latest.saliency(), expected.result(progress=False).saliency())


@pytest.mark.parametrize("name", EXPLAINERS)
def test_arrays_and_labels_are_accepted(name, model):
    explain, options = EXPLAINERS[name]
    image = np.random.default_rng(3).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    predicted = int(model.scores(image).argmax())
    one, other = (
        explain(model, image, target, **options).result(progress=False)
        for target in (predicted, LABELS[predicted])
    )
    assert torch.equal(one.saliency(), other.saliency())


@pytest.mark.parametrize("name", EXPLAINERS)
def test_gray_images_that_are_not_square_are_accepted(name):
    explain, options = EXPLAINERS[name]
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
    )
    own = (torch.arange(10)[:, None] // 5 * 2 + torch.arange(8) // 4).long()
    options = {key: own if key == "segments" else value for key, value in options.items()}
    if "regions" in options:
        options["regions"] = own == torch.arange(4)[:, None, None]
    model = wrap(settle(network), mean=[0.5], std=[0.25], size=(10, 8), labels=None)
    x = torch.rand(1, 1, 10, 8, generator=torch.Generator().manual_seed(0))
    assert explain(model, x, **options).result(progress=False).saliency().shape == (1, 10, 8)


@pytest.mark.parametrize("event", ["normal", "raising", "interrupted"])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", EXPLAINERS)
def test_the_network_of_the_caller_is_unchanged(name, train, event):
    explain, options = EXPLAINERS[name]
    network = settle(Broken())
    model, x = wrap(network), images(2)
    model.layers()
    network.train(train)
    network.conv1.weight.requires_grad_(False)
    before, pixels = everything(network), x.clone()
    run = explain(model, x, **options)
    error = {"raising": RuntimeError("forward broke"), "interrupted": KeyboardInterrupt()}.get(event)
    if error is not None:
        steps = iter(run)
        next(steps)
        network.fuse[:] = ["forward", error, 0]
        with pytest.raises(type(error)):
            list(steps)
        # The latest snapshot is kept.
        assert run.latest is not None
        network.fuse[:] = [None, None, 0]
    else:
        run.result(progress=False)
    after = everything(network)
    for what in before:
        assert after[what] == before[what], what
    assert torch.equal(x, pixels)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_a_cancel_stops_before_the_next_batch(name, model):
    explain, options = EXPLAINERS[name]
    run = explain(model, images(2), **options)
    for _ in run:
        run.cancel()
    assert run.done == 1
    assert run.latest.saliency().shape == (2, SIZE, SIZE)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_a_bare_network_is_refused(name):
    explain, options = EXPLAINERS[name]
    with pytest.raises(TypeError, match="expected an ImageModel"):
        explain(Functional(), images(1), **options)
