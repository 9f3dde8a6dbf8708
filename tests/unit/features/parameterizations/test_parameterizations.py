"""Contract of all parameterizations: images in [0, 1] of any size, gradients, seeds, and independent images."""

import pytest
import torch
from closeness import assert_close
from networks import Functional, settle, wrap

from xai_widgets.features import visualize
from xai_widgets.features.objectives import Channel, ClassScore
from xai_widgets.features.parameterizations import (
    CPPN,
    DeepPrior,
    Fourier,
    MagnitudeConstrained,
    Paired,
    Pixels,
)

ALL = [Pixels(), Pixels("decorrelated"), Fourier(), Fourier("independent", decay=1.5), CPPN(8, 3),
       MagnitudeConstrained(), DeepPrior(8, 3), Paired(DeepPrior(8, 2)), Paired(Fourier())]  # fmt: skip
NAMES = [f"{type(each).__name__}{index}" for index, each in enumerate(ALL)]
each_one = pytest.mark.parametrize("parameterization", ALL, ids=NAMES)


def started(parameterization, shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return parameterization.start(shape, generator=generator, device=torch.device("cpu"))


@each_one
@pytest.mark.parametrize("size", [(8, 8), (16, 24), (9, 15)])
def test_images_lie_between_zero_and_one_and_have_gradients(parameterization, size):
    drawing = started(parameterization, (2, 3, *size))
    leaves = [each.clone().requires_grad_() for each in drawing.variables]
    images = drawing.draw(leaves)
    assert images.shape == (2, 3, *size)
    assert 0 <= images.min() <= images.max() <= 1
    weights = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad((images * weights).sum(), leaves)
    assert all(each.isfinite().all() for each in gradients)
    assert all(len(each) == 2 for each in drawing.variables)
    assert any(each.any() for each in gradients)


@each_one
def test_a_seed_starts_the_same_image(parameterization):
    first, again, other = (started(parameterization, (2, 3, 8, 8), seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first.variables, again.variables, strict=True))
    assert torch.equal(first.draw(first.variables), again.draw(again.variables))
    assert not all(torch.equal(a, b) for a, b in zip(first.variables, other.variables, strict=True))


@each_one
def test_images_do_not_depend_on_each_other(parameterization):
    drawing = started(parameterization, (2, 3, 8, 8))
    generator = torch.Generator().manual_seed(2)
    moved = [each + torch.randn(each.shape, generator=generator) for each in drawing.variables]
    mixed = [torch.cat([a[:1], b[1:]]) for a, b in zip(drawing.variables, moved, strict=True)]
    assert_close(drawing.draw(mixed)[0], drawing.draw(drawing.variables)[0])
    assert_close(drawing.draw(mixed)[1], drawing.draw(moved)[1])


@each_one
def test_the_activation_rises(parameterization):
    model = wrap(settle(Functional()))
    for objective in (ClassScore(2), Channel("conv1", 3)):
        run = visualize(model, objective, parameterization=parameterization, steps=40, count=2, transforms=())
        assert run.result(progress=False).rose.all()


@pytest.mark.parametrize("parameterization", ALL[:4], ids=NAMES[:4])
@pytest.mark.parametrize("size", [(8, 8), (9, 15)])
def test_a_drawing_starts_from_an_image(parameterization, size):
    x = torch.rand(2, 3, *size)
    drawing = parameterization.start_from(x)
    # Colors keep a distance of 1 / 1000 from 0 and 1.
    expected = x.clamp(1e-3, 1 - 1e-3)
    assert_close(drawing.draw(drawing.variables), expected, steps=1e4)


@pytest.mark.parametrize("parameterization", [CPPN(), MagnitudeConstrained(), DeepPrior()])
def test_others_cannot_draw_any_image(parameterization):
    with pytest.raises(ValueError, match=r"can start from an image.*try Fourier"):
        parameterization.start_from(torch.rand(1, 3, 8, 8))


def test_a_pair_starts_alike():
    for inner in (Fourier(), DeepPrior(8, 2)):
        drawing = started(Paired(inner), (4, 3, 8, 8))
        images = drawing.draw(drawing.variables)
        assert torch.equal(images[:2], images[2:])
        assert not torch.equal(images[0], images[1])
    with pytest.raises(ValueError, match="even number"):
        started(Paired(Fourier()), (3, 3, 8, 8))


@pytest.mark.parametrize(
    "make", [lambda: Pixels("rgb"), lambda: Fourier(decay=-1), lambda: CPPN(0), lambda: DeepPrior(levels=0)]
)
def test_values_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match=r"colors|expected"):
        make()
