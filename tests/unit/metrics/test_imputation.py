"""ROAD: the imputed pixels solve the linear system, and scores are those of the imputed images."""

import numpy as np
import pytest
import torch
from closeness import assert_close, near
from networks import SIZE, Functional, images, settle, wrap

from xai_widgets.metrics import impute, ordering, road

WEIGHTS = {(-1, 0): 1 / 6, (1, 0): 1 / 6, (0, -1): 1 / 6, (0, 1): 1 / 6} | {
    (a, b): 1 / 12 for a in (-1, 1) for b in (-1, 1)
}


def solved(image, gone):
    """Solve the system of the source for one channel (H, W) with numpy."""
    height, width = image.shape
    where = [tuple(each) for each in np.argwhere(gone)]
    index = {each: n for n, each in enumerate(where)}
    matrix, right = np.zeros((len(where), len(where))), np.zeros(len(where))
    for (row, column), n in index.items():
        for (down, across), weight in WEIGHTS.items():
            other = row + down, column + across
            if not (0 <= other[0] < height and 0 <= other[1] < width):
                continue
            matrix[n, n] += weight
            if other in index:
                matrix[n, index[other]] -= weight
            else:
                right[n] += weight * image[other]
    filled = image.copy()
    filled[gone] = np.linalg.solve(matrix, right)
    return filled


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_imputed_pixels_solve_the_system(share):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 19, 23, generator=generator, dtype=torch.float64)
    gone = torch.rand(2, 19, 23, generator=generator) < share
    gone[0] = False
    gone[0, 2:17, 3:20] = True
    made = impute(x, gone, noise=0)
    for n in range(2):
        for channel in range(3):
            expected = solved(x[n, channel].numpy(), gone[n].numpy())
            # Iterations end at a residual of 3e-6; the condition of the system multiplies it.
            np.testing.assert_allclose(made[n, channel].numpy(), expected, atol=2e-3)
        assert torch.equal(made[n][:, ~gone[n]], x[n][:, ~gone[n]])


def test_all_removed_pixels_become_the_mean_and_none_stay():
    x = images(2)
    whole = torch.ones(2, SIZE, SIZE, dtype=torch.bool)
    assert_close(impute(x, whole, noise=0), x.mean((2, 3), keepdim=True).expand_as(x))
    assert torch.equal(impute(x, ~whole), x)


def test_noise_is_on_removed_pixels_alone_and_follows_the_seed():
    x = torch.full((1, 3, 30, 30), 0.5)
    gone = torch.zeros(1, 30, 30, dtype=torch.bool)
    gone[:, 5:25, 5:25] = True
    made = impute(x, gone, noise=0.05, seed=1)
    assert (made[..., gone[0]] - 0.5).std().item() == pytest.approx(0.05, rel=0.15)
    assert torch.equal(made, impute(x, gone, noise=0.05, seed=1))
    assert not torch.equal(made, impute(x, gone, noise=0.05, seed=2))


def test_scores_are_those_of_the_imputed_images():
    model, x, target = wrap(settle(Functional())), images(2), [1, 2]
    saliency = torch.randn(2, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    found = road(model, x, saliency, target, shares=(0.25, 0.5), seed=4)
    for n in range(2):
        for sign, scores in ((1, found.most), (-1, found.least)):
            ranks = ordering(sign * saliency[n : n + 1])
            for at, share in enumerate((0.25, 0.5)):
                image = impute(x[n : n + 1], ranks < round(share * SIZE**2), seed=4)
                assert_close(scores[n, at], model.probs(image)[0, target[n]])
    assert found.score.tolist() == near(((found.least - found.most) / 2).mean(1).tolist())
