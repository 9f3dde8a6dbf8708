"""Occlusions in torchvision v2 and in a DataLoader with workers."""

import pytest
import torch
from networks import one_sentence
from torch.utils.data import DataLoader, TensorDataset

from xai_widgets.learned import BatchAugmentation, Cutout, HideAndSeek, JointCollate

v2 = pytest.importorskip("torchvision.transforms.v2")
tv_tensors = pytest.importorskip("torchvision.tv_tensors")


def dataset(count=8):
    return TensorDataset(1 + torch.rand(count, 3, 16, 16), torch.arange(count))


@pytest.mark.parametrize("transform", [HideAndSeek(fill=(0.1, 0.2, 0.3)), Cutout(side=6, fill=0.5)])
def test_a_compose_of_torchvision_keeps_labels_and_classes(transform):
    image = tv_tensors.Image(1 + torch.rand(3, 16, 16))
    label = torch.tensor(3)
    changed, same = v2.Compose([v2.RandomHorizontalFlip(0.0), transform])(image, label)
    assert isinstance(changed, tv_tensors.Image)
    assert same is label
    hidden = changed < 1
    assert hidden.any()
    assert torch.equal(hidden.all(0), hidden.any(0))
    assert torch.equal(changed[~hidden], image[~hidden])


def test_images_of_a_batch_get_masks_of_their_own():
    torch.manual_seed(0)
    hidden = HideAndSeek()(torch.ones(8, 3, 16, 16)) == 0
    assert len({tuple(each.flatten().tolist()) for each in hidden}) == 8
    assert HideAndSeek()(torch.ones(2, 4, 3, 16, 16)).shape == (2, 4, 3, 16, 16)


def test_a_joint_batch_is_identical_but_for_the_occlusions():
    # Preprocessing happens before, in the dataset.
    loader = DataLoader(dataset(), batch_size=4, collate_fn=JointCollate(HideAndSeek()))
    for x, y in loader:
        assert x.shape == (8, 3, 16, 16)
        assert torch.equal(y[:4], y[4:])
        hidden = x[4:] == 0
        assert torch.equal(x[4:][~hidden], x[:4][~hidden])
        assert 0.2 < hidden.float().mean() < 0.8
        assert (x[:4] >= 1).all()


def test_the_duplicated_baseline():
    x, y = next(iter(DataLoader(dataset(), batch_size=4, collate_fn=JointCollate())))
    assert torch.equal(x[:4], x[4:])
    assert torch.equal(y[:4], y[4:])


def test_batch_augmentation_transforms_each_copy_independently():
    torch.manual_seed(0)
    transform = v2.Compose([v2.RandomHorizontalFlip(0.5), Cutout(side=4)])
    x, y = next(iter(DataLoader(dataset(4), batch_size=4, collate_fn=BatchAugmentation(transform, copies=3))))
    assert x.shape == (12, 3, 16, 16)
    assert torch.equal(y, torch.arange(4).repeat(3))
    masks = (x == 0).all(1).view(3, 4, 16, 16)
    assert not torch.equal(masks[0], masks[1])


def test_workers_draw_different_masks_and_a_seed_repeats_them():
    def epoch(seed):
        loader = DataLoader(
            TensorDataset(torch.ones(8, 3, 16, 16)),
            batch_size=2,
            num_workers=2,
            collate_fn=JointCollate(HideAndSeek()),
            generator=torch.Generator().manual_seed(seed),
        )
        return torch.cat([batch[2:] for (batch,) in loader])

    first, again, other = epoch(1), epoch(1), epoch(2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({tuple((each == 0).flatten().tolist()) for each in first}) == 8


def test_images_alone_are_collated():
    collated = JointCollate(Cutout(side=4))([torch.ones(3, 8, 8), torch.ones(3, 8, 8)])
    assert collated.shape == (4, 3, 8, 8)


def test_bytes_are_an_error():
    with pytest.raises(TypeError, match="ToDtype") as caught:
        HideAndSeek()(torch.zeros(3, 8, 8, dtype=torch.uint8))
    one_sentence(caught)


def test_invalid_options_are_an_error_at_once():
    for make in (
        lambda: HideAndSeek(keep_patch=2),
        lambda: Cutout(patches=0),
        lambda: BatchAugmentation(len, copies=0),
    ):
        with pytest.raises(ValueError, match="expected"):
            make()
    assert repr(Cutout(patches=6, side=56)) == "Cutout(patches=6, side=56)"
