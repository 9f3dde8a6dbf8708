"""Recovery of labels by masks, and detection of adversarial images by their maps."""

import pytest
import torch
from closeness import assert_close
from networks import one_sentence
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.learned import Probed, detect_probed, recover_labels
from xai_widgets.perturbation.meaningful import MeaningfulSettings


class SpotOrBar(nn.Module):
    """Class 0: how bright the left half is. Class 1: ten times how checkered the right half is."""

    def __init__(self):
        super().__init__()
        board = torch.ones(16, 8)
        board[::2, ::2] = board[1::2, 1::2] = -1
        self.register_buffer("board", board)

    def forward(self, x):
        gray = x.mean(1)
        return 10 * torch.stack([gray[:, :, :8].mean((1, 2)), (self.board * gray[:, :, 8:]).mean((1, 2))], 1)


@pytest.fixture(scope="module")
def probed():
    """An image of class 0, whose right half a checkerboard turns into one of class 1."""
    model = ImageModel(SpotOrBar(), size=16)
    x = torch.full((1, 3, 16, 16), 0.5)
    x[..., :8] = 0.3
    image = x.clone()
    image[..., 8:] += 0.45 * model.module.board
    old, new = (model.scores(each).argmax(1) for each in (x, image))
    assert (old, new) == (0, 1)
    return model, Probed("checkerboard", x, image, old, new, None, 1)


def test_a_mask_on_the_perturbation_recovers_the_label(probed):
    model, adversarial = probed
    run = recover_labels(model, adversarial, settings=MeaningfulSettings(steps=60))
    found = run.result(progress=False)
    assert run.done == run.total == 4
    assert found.recovered.all()
    assert found.share() == 1
    # The mask deletes the checkerboard and leaves the left half; turned, it does the opposite.
    assert found.masks[0, :, 8:].mean() < found.masks[0, :, :8].mean()
    assert_close(found.labels, model.scores(found.images).argmax(1))


def test_ranks_are_those_of_the_clean_class(probed):
    model, adversarial = probed
    found = recover_labels(model, adversarial, settings=MeaningfulSettings(steps=1)).result(progress=False)
    for ranks in (found.ranks, found.turned, found.blurred):
        assert ranks.shape == (1,)
        assert 1 <= ranks <= 2
    assert found.share(found.ranks, best=2) == 1


def test_images_that_kept_their_class_do_not_count(probed):
    model, adversarial = probed
    kept = Probed(
        "nothing", adversarial.original, adversarial.original, adversarial.old, adversarial.old, None, 1
    )
    found = recover_labels(model, kept, settings=MeaningfulSettings(steps=1)).result(progress=False)
    assert torch.tensor(found.share()).isnan()


def test_maps_that_differ_are_detected_and_equal_ones_are_not():
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(24, 28, 28, generator=generator)
    smooth = nn.functional.avg_pool2d(torch.rand(24, 1, 28, 28, generator=generator), 5, 1, 2)[:, 0]
    assert detect_probed(clean, smooth, folds=2, epochs=25).accuracy > 0.9
    others = torch.rand(24, 28, 28, generator=generator)
    assert 0.3 < detect_probed(clean, others, folds=2, epochs=5).accuracy < 0.7


def test_detection_leaves_the_random_numbers_of_torch():
    maps = torch.rand(2, 4, 8, 8)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    detect_probed(*maps, folds=2, epochs=1)
    assert torch.equal(torch.rand(1), expected)


def test_too_few_images_are_an_error():
    with pytest.raises(ValueError, match="at least 10 images") as caught:
        detect_probed(torch.rand(4, 8, 8), torch.rand(4, 8, 8))
    one_sentence(caught)
