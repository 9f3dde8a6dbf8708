"""Channels that are switched off in the channel explorer, and the channel that each class needs."""

import numpy as np
import pytest
from closeness import near
from traitlets import TraitError

from xai_widgets.core.images import to_uint8
from xai_widgets.explorers import ChannelExplorer
from xai_widgets.features import top_activations
from xai_widgets.perturbation.area_search import AreaSettings
from xai_widgets.perturbation.channel import channel_extremal, class_channels

PATIENCE = 60
QUICK = AreaSettings(steps=8, neighbor_exchange_every=2)


@pytest.fixture
def others():
    return list(np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8))


def explorer_of(model, *arguments, **options):
    return ChannelExplorer(model, *arguments, **{"settings": QUICK, "batch_size": 6, **options})


def test_channels_switched_off_in_the_list_are_removed_from_the_layer(model, image):
    explorer = explorer_of(model, image, target=2)
    assert explorer.wait(PATIENCE)
    first, second = explorer.result.order[0, :2].tolist()
    explorer.gallery.off = [0, 1]
    assert explorer.wait(PATIENCE)
    assert explorer.off == sorted([first, second])
    activation = model.activations(image, "2")["2"].detach().clone()
    activation[:, [first, second]] = 0
    expected = model.probabilities(model.forward_from("2", activation))[0].detach()
    shown = explorer.switched
    assert shown.values == near(expected.topk(3).values.view(1, 1, 3).numpy())
    assert shown.indices.ravel().tolist() == expected.topk(3).indices.tolist()
    assert shown.target_values == near(expected[2].view(1, 1).numpy())
    assert shown.reference == near(model.probs(image)[0].numpy())
    assert shown.title == f"Without channels {min(first, second)}, {max(first, second)}"
    explorer.off = []
    assert explorer.gallery.off == []
    assert shown.values == near(model.probs(image)[0].topk(3).values.view(1, 1, 3).numpy())
    assert shown.reference is None


def test_switches_stay_with_another_image_and_end_with_another_layer(model, image):
    explorer = explorer_of(model, image, target=2)
    assert explorer.wait(PATIENCE)
    explorer.off = [3]
    explorer.image = 255 - image
    assert explorer.wait(PATIENCE)
    assert explorer.off == [3]
    assert explorer.gallery.off == [explorer.result.order[0].tolist().index(3)]
    explorer.layer_picker.value = "3"
    assert explorer.off == []
    with pytest.raises(TraitError, match="from 0 to 3"):
        explorer.off = [4]


def test_the_switches_are_part_of_the_state(model, image):
    explorer = explorer_of(model, image, target=2)
    assert explorer.wait(PATIENCE)
    explorer.off = [1]
    again = explorer_of(model, image, state=explorer.state())
    assert again.wait(PATIENCE)
    assert again.off == [1]


def test_the_channel_that_each_class_needs_is_that_of_its_mean_mask(model, image, others):
    explorer = explorer_of(model, image, target=2, images=others, patches=2)
    assert explorer.wait(PATIENCE)
    explorer.list_picker.value = "classes"
    assert explorer.wait(PATIENCE)
    study = explorer._class_study
    results = [
        channel_extremal(model, one, layer="2", settings=study.settings).result(progress=False)
        for one in others
    ]
    expected = class_channels(results)
    names = [model.labels[index] for index in expected.classes.tolist()]
    gallery = explorer.gallery
    assert sorted(label.split(":")[0] for label in gallery.row_labels) == sorted(names)
    for label in gallery.row_labels:
        row = names.index(label.split(":")[0])
        channel = int(expected.top()[row, 0])
        share, count = 100 * float(expected.means[row, channel]), int(expected.counts[row])
        assert label.startswith(f"{names[row]}: k* = {channel} \u00b7 {share:.0f} % of {count} image")
    side = explorer._image_study.patches("2")[-1].top.side
    top = top_activations(model, others, layer="2", k=2, side=side).result(progress=False)
    channels = [int(label.split("k* = ")[1].split()[0]) for label in gallery.row_labels]
    assert np.array_equal(gallery.images, to_uint8(top.patches(channels).flatten(0, 1)))
    # The map and the curves are still those of the image, and switches those of the channels of classes.
    assert explorer.heatmap.maps is not None
    gallery.off = [0]
    assert explorer.wait(PATIENCE)
    assert explorer.off == [channels[0]]
    explorer.list_picker.value = "image"
    assert explorer.wait(PATIENCE)
    assert gallery.row_labels[0].startswith("channel ")
    explorer.close()


def test_without_other_images_there_are_no_classes(model, image):
    explorer = explorer_of(model, image, start=False)
    assert explorer._class_study is None
    explorer.close()
