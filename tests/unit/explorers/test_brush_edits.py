"""Two edits of the brush without a browser: their scores, the one that is edited, and copies."""

import numpy as np
import pytest
import torch
from closeness import assert_close
from explorers.test_brush import settle

from xai_widgets.explorers.brush import PerturbationBrush
from xai_widgets.explorers.brush_edits import FILLS


@pytest.fixture
def model(ungated):
    return ungated


def box(left, top, right, bottom):
    mask = np.zeros((16, 16), np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def expected(brush, mask):
    m = torch.from_numpy(mask / np.float32(255))
    fill = brush._fill(FILLS[brush.brush.fill], m)
    return brush.model.probs(torch.lerp(brush.image, fill, m))[0]


@pytest.mark.parametrize("fill", FILLS)
def test_each_edit_has_the_scores_of_its_own_mask(brush, fill):
    first, second = box(0, 0, 6, 9), box(7, 3, 16, 16)
    brush.pair_check.value = True
    brush.brush.fill = FILLS.index(fill)
    brush.brush.mask, brush.other.mask = first, second
    settle(brush)
    for mask, view, scores in (
        (first, brush.brush, brush.scores),
        (second, brush.other, brush.other_scores),
    ):
        probs = expected(brush, mask)
        assert scores.indices[0, 0].tolist() == probs.topk(5).indices.tolist()
        assert_close(scores.target_values, probs[brush.target].item())
        assert_close(scores.reference, brush.model.probs(brush.image)[0])
        m = torch.from_numpy(mask / np.float32(255))
        drawn = view.fills[FILLS.index(fill)] / 255
        np.testing.assert_allclose(
            drawn, brush._fill(fill, m)[0].permute(1, 2, 0), atol=0.51 / 255, err_msg="not the fill it got"
        )


def test_one_pass_scores_both(brush):
    brush.pair_check.value = True
    settle(brush)
    batches = []
    hook = brush.model.module.register_forward_pre_hook(lambda _module, given: batches.append(len(given[0])))
    brush.other.mask = box(0, 0, 4, 4)
    settle(brush)
    brush.pair_check.value = False
    settle(brush)
    hook.remove()
    assert batches == [2, 1]


def test_the_views_of_two_edits_replace_those_of_one_and_come_back(brush):
    assert brush._holder.children == (brush._one,)
    assert brush.edit_picker.layout.display == "none"
    assert (brush.brush.title, brush.brush.copy_label) == ("Paint over the image", "")
    brush.brush.mask = box(1, 1, 5, 5)
    brush.pair_check.value = True
    assert brush._holder.children == (brush._two,)
    assert brush.edit_picker.layout.display is None
    assert [view.title for view in (brush.brush, brush.other)] == ["Edit A", "Edit B"]
    assert [view.copy_label for view in (brush.brush, brush.other)] == ["Copy to B", "Copy to A"]
    assert brush.other.mask is None
    brush.pair_check.value = False
    assert brush._holder.children == (brush._one,)
    assert (brush.brush.mask == box(1, 1, 5, 5)).all()


def test_a_copy_is_a_mask_of_its_own(brush):
    brush.pair_check.value = True
    brush.brush.mask = first = box(1, 1, 5, 5)
    brush.brush._copied += 1
    assert (brush.other.mask == first).all()
    brush.other.mask = box(0, 0, 2, 2)
    assert (brush.brush.mask == first).all()
    brush.brush.mask = None
    brush.brush._copied += 1
    assert not brush.other.mask.any()
    brush.other.mask = box(0, 0, 3, 3)
    brush.other._copied += 1
    settle(brush)
    assert (brush.brush.mask == box(0, 0, 3, 3)).all()
    assert_close(brush.scores.values, brush.other_scores.values)


def test_a_stroke_chooses_the_edit_that_refine_and_paint_change(brush):
    brush.brush._stroke += 1
    assert brush.edited is brush.brush
    brush.pair_check.value = True
    brush.brush.mask = first = box(1, 1, 5, 5)
    brush.other.mask = box(4, 4, 12, 12)
    brush.other._stroke += 1
    assert brush.edit_picker.value == "B"
    assert brush.edited is brush.other
    settle(brush)
    before = brush.other_scores.target_values[0, 0]
    brush.restart()
    settle(brush)
    assert brush.run_bar.status == "done"
    assert brush.other_scores.target_values[0, 0] <= before
    assert brush.other._step == 1
    assert (brush.brush.mask == first).all()
    brush.paint("gradient", area=0.25)
    assert brush.other.mask.sum() == 255 * 64
    assert (brush.brush.mask == first).all()
    brush.edit_picker.value = "A"
    brush.paint("gradient", area=0.125)
    assert brush.brush.mask.sum() == 255 * 32
    # Alone, edit A is the one that is changed, whatever was chosen before.
    brush.edit_picker.value = "B"
    brush.pair_check.value = False
    assert brush.edited is brush.brush


def test_another_image_clears_both_and_the_state_has_the_choice(brush, model, image):
    brush.pair_check.value, brush.edit_picker.value, brush.brush.shape = True, "B", "box"
    brush.other.mask = box(0, 0, 4, 4)
    state = brush.state()
    brush.image = np.ascontiguousarray(image[::-1])
    settle(brush)
    assert brush.brush.mask is None
    assert brush.other.mask is None
    assert (brush.other.image == image[::-1]).all()
    again = PerturbationBrush(model, image, state=state)
    assert (again.pair_check.value, again.edit_picker.value, again.brush.shape) == (True, "B", "box")
    assert again._holder.children == (again._two,)
    again.close()


def test_both_edits_are_compared_with_the_image_in_its_layers(model, image):
    brush = PerturbationBrush(model, image, layers="1")
    settle(brush)
    assert brush.similarity.labels == ["image", "painted"]
    assert len(brush.similarity.images) == 2
    brush.pair_check.value = True
    brush.other.mask = box(0, 0, 8, 8)
    settle(brush)
    assert brush.similarity.labels == ["image", "A", "B"]
    assert len(brush.similarity.images) == 3
    assert (brush.similarity.images[0] == brush.similarity.images[1]).all()
    assert not (brush.similarity.images[0] == brush.similarity.images[2]).all()
    brush.close()
