"""The ready targets, by hand on made-up outputs."""

from types import SimpleNamespace

import pytest
import torch
from closeness import assert_close
from networks import SIZE, images
from raw_networks import CLASSES, Detector, Embedder, Regression, Segmenter, seeded, wrapped

from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS
from xai_widgets.targets import (
    BoxScore,
    ClassArea,
    ClassAreas,
    DetectedClasses,
    Label,
    Output,
    Pixel,
    Region,
    Similarities,
    Similarity,
)
from xai_widgets.targets.detection import detections, iou

MAPS = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))


def test_a_pixel_is_the_position_of_the_map_that_covers_it():
    assert torch.equal(Pixel(1, 4, 2)(MAPS), MAPS[:, 2, 1, 4])
    # In an image of twice the size.
    assert torch.equal(Pixel(3, 9, 2)({"out": MAPS}, size=(8, 12)), MAPS[:, 2, 1, 4])
    assert torch.equal(Pixel(7, 11)(SimpleNamespace(logits=MAPS), size=(8, 12)), MAPS[:, 0, 3, 5])
    # A depth has no channels.
    assert torch.equal(Pixel(1, 4, entry="depth")({"depth": MAPS[:, 0]}), MAPS[:, 0, 1, 4])


def test_a_region_is_the_weighted_mean_of_its_positions():
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[1, 2:4] = True
    assert_close(Region(mask, 1)(MAPS), MAPS[:, 1, 1, 2:4].mean(1))
    assert_close(Region(torch.full((4, 6), 0.5), 1)(MAPS), MAPS[:, 1].mean((1, 2)))
    # The mask has the size of the image: a quarter of a position counts a quarter.
    fine = torch.zeros(8, 12)
    fine[2:4, 4:6], fine[2, 6] = 1, 1
    expected = (MAPS[:, 1, 1, 2] + MAPS[:, 1, 1, 3] / 4) / 1.25
    assert_close(Region(fine, 1)(MAPS, size=(8, 12)), expected)


def test_the_predicted_region_is_where_the_class_has_the_highest_score():
    model = wrapped(seeded(Segmenter), ClassAreas())
    x = images(1)
    out = model.raw_output(x)["out"]
    found = out[0].argmax(0)
    class_index = int(found.flatten().mode().values)
    region = Region.predicted(model, x, class_index)
    assert torch.equal(region.mask.bool(), found == class_index)
    assert_close(region({"out": out}), out[:, class_index][:, found == class_index].mean(1))
    absent = wrapped(seeded(Segmenter), ClassAreas(), size=SIZE).raw_output(x)["out"][0].argmax(0)
    missing = [index for index in range(CLASSES) if not bool((absent == index).any())]
    for index in missing:
        with pytest.raises(
            ValueError, match=f"expected a class that Segmenter finds .* got {index}; it finds"
        ):
            Region.predicted(model, x, index)


def test_areas_are_mean_probabilities():
    assert_close(ClassAreas()(MAPS), MAPS.softmax(1).mean((2, 3)))
    assert_close(ClassAreas()(MAPS).sum(1), torch.ones(2))
    assert_close(ClassArea(1)({"out": MAPS}), MAPS.softmax(1)[:, 1].mean((1, 2)))
    # A map of one channel is that of a label.
    assert_close(ClassArea()(MAPS[:, :1]), MAPS[:, 0].sigmoid().mean((1, 2)))


def test_outputs_and_labels():
    table = torch.tensor([[1.0, -2.0], [3.0, 0.5]])
    assert Output(1)(table).tolist() == [-2.0, 0.5]
    assert Output(1, near=-1.5)(table).tolist() == [-0.5, -2.0]
    assert Output(entry="angle")({"angle": table[:, 0], "speed": table}).tolist() == [1.0, 3.0]
    assert_close(Label(1)(table), table[:, 1].sigmoid())


def test_a_similarity_is_the_cosine():
    embeddings = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
    output = {"last_hidden_state": torch.rand(2, 7, 2), "image_embeds": embeddings}
    assert_close(Similarity([0.0, 2.0])(output), [0.8, 0.0])
    several = Similarities({"up": [0.0, 1.0], "right": torch.tensor([5.0, 0.0])}, scale=100)
    assert_close(several(output), [[80.0, 60.0], [0.0, 100.0]])
    assert several.labels == ["up", "right"]


def test_similarities_to_texts_classify_like_clip():
    vectors = {"a cat": torch.randn(5), "a dog": torch.randn(5)}
    model = wrapped(seeded(Embedder), Similarities(vectors, scale=100), activation="softmax")
    embedding = model.raw_output(images())["image_embeds"]
    cosines = torch.stack([torch.cosine_similarity(embedding, each[None]) for each in vectors.values()], 1)
    assert model.labels == ["a cat", "a dog"]
    assert_close(model.probs(images()), (100 * cosines).softmax(1), scale=100.0)


def test_the_similarity_to_the_image_itself_is_one():
    model = wrapped(seeded(Embedder), Similarity(torch.ones(5)))
    x = images()
    target = Similarity.to_image(model, x[:1], "itself")
    assert target.label == "similarity to itself"
    assert_close(model.with_target(target).scores(x[:1]), [[1.0]])
    assert model.with_target(target).scores(x)[1].item() < 1


def test_the_overlap_of_boxes():
    boxes = torch.tensor([[0.0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6], [0, 0, 4, 4]])
    assert_close(iou(boxes, (0, 0, 2, 2)), [1, 1 / 7, 0, 1 / 4])


def test_a_box_has_the_score_of_the_detection_that_fits_it_best():
    found = {
        "boxes": torch.tensor([[0.0, 0, 2, 2], [0, 0, 4, 4], [0, 0, 2, 2]]),
        "labels": torch.tensor([1, 1, 2]),
        "scores": torch.tensor([0.3, 0.9, 0.8], requires_grad=True),
    }
    nothing = {name: each[:0] for name, each in found.items()}
    scores = BoxScore((0, 0, 2, 2), 1)([found, nothing])
    assert_close(scores, [0.3, 0.0])
    assert_close(BoxScore((0, 0, 4, 4), 1)([found]), [0.9])
    assert BoxScore((0, 0, 4, 4), 3)([found]).tolist() == [0.0]
    (gradient,) = torch.autograd.grad(scores.sum(), found["scores"])
    assert_close(gradient, [1.0, 0.0, 0.0])
    assert_close(DetectedClasses(4)([found, nothing]), [[0, 0.9, 0.8, 0], [0, 0, 0, 0]])


def test_the_score_of_a_box_falls_as_the_box_moves_away():
    box = torch.tensor([[1.0, 1, 3, 3]], requires_grad=True)
    found = {"boxes": box, "labels": torch.tensor([1]), "scores": torch.tensor([0.5])}
    (gradient,) = torch.autograd.grad(BoxScore((0, 0, 2, 2), 1)([found]).sum(), box)
    # Towards the box, the left and upper sides have to be smaller.
    assert (gradient[0, :2] < 0).all()


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_boxes_of_a_transformer_are_relative_to_the_image(activation):
    logits = torch.randn(1, 2, 4)
    output = {"logits": logits, "pred_boxes": torch.tensor([[[0.5, 0.5, 0.5, 1.0], [0.1, 0.1, 0.1, 0.1]]])}
    boxes, scores = detections(output, (10, 20), activation)[0]
    assert_close(boxes[0], [5.0, 0.0, 15.0, 10.0])
    expected = logits[0].softmax(-1)[:, :3] if activation == "softmax" else logits[0].sigmoid()
    assert_close(scores, expected)
    target = BoxScore((5, 0, 15, 10), 1, activation)
    assert_close(target(output, size=(10, 20)), expected[:1, 1])


def test_the_class_of_an_output_decides_between_softmax_and_sigmoid():
    made = type("DeformableDetrObjectDetectionOutput", (SimpleNamespace,), {})
    output = made(logits=torch.zeros(1, 2, 3), pred_boxes=torch.rand(1, 2, 4))
    assert detections(output, (8, 8))[0].scores.shape == (2, 3)
    plain = {"logits": output.logits, "pred_boxes": output.pred_boxes}
    assert detections(plain, (8, 8))[0].scores.shape == (2, 2)


def test_the_best_detections_are_targets_with_their_own_scores():
    model = wrapped(seeded(Detector), DetectedClasses(CLASSES))
    x = images(1)
    found = BoxScore.detected(model, x, count=3)
    values = [model.with_target(each).scores(x).item() for each in found]
    assert len(found) == 3
    assert values == sorted(values, reverse=True)
    assert_close(values[0], model.scores(x).max())
    assert all(each.class_index == 1 for each in BoxScore.detected(model, x, class_index=1))


def test_a_regression_has_plain_numbers_of_any_sign():
    model = ImageModel(seeded(Regression), size=SIZE, activation=None, labels=["angle", "speed"])
    x = images()
    assert model.value_name == "score"
    named = wrapped(model.module, {"angle": Output(0), "speed": Output(1)})
    assert torch.equal(named.scores(x), model.scores(x))
    assert torch.equal(METHODS["gradient"](model, x, "speed"), METHODS["gradient"](named, x, "speed"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pixel(-1, 0), "expected row to be an integer of at least 0, got -1"),
        (lambda: Pixel(4, 0)(MAPS), "expected row from 0 to 3, got 4"),
        (lambda: Pixel(0, 12)(MAPS, size=(8, 12)), "expected column from 0 to 11, got 12"),
        (lambda: Pixel(0, 0, 3)(MAPS), "expected class_index from 0 to 2, got 3"),
        (
            lambda: Pixel(0, 0)({"x": 1}),
            r"expected a network with a map of scores \(N, C, h, w\) .* a dict with 'x'",
        ),
        (lambda: Region(torch.zeros(4, 6)), "expected a mask with values of at least 0, some above 0"),
        (
            lambda: Region(torch.ones(3, 3))(MAPS, size=(8, 12)),
            r"of the image, \(8, 12\), or of the map, \(4, 6\), got",
        ),
        (lambda: Output(2)(torch.zeros(1, 2)), "expected an output from 0 to 1, got 2"),
        (lambda: Output()(MAPS), r"expected a network with numbers \(N, K\)"),
        (lambda: Similarity(torch.zeros(3)), "expected vector other than 0"),
        (lambda: Similarity([1.0, 2.0])(torch.ones(1, 3)), "of the length of the embeddings, 3, got 2"),
        (lambda: Similarity([1.0])(MAPS), r"one embedding per image, \(N, D\)"),
        (lambda: Similarities({"a": [1.0], "b": [1.0, 2.0]}), r"vectors of one length, got lengths \[1, 2\]"),
        (lambda: BoxScore((2, 0, 0, 2), 1), r"a box as \(left, top, right, bottom\), got \(2, 0, 0, 2\)"),
        (
            lambda: BoxScore((0, 0, 2, 2), 1)(MAPS),
            "expected a detector that returns boxes, labels and scores",
        ),
        (lambda: BoxScore((0, 0, 2, 2), 1, "tanh"), "unknown activation 'tanh'"),
        (
            lambda: DetectedClasses(1)(
                [{"boxes": torch.ones(1, 4), "labels": torch.tensor([2]), "scores": torch.ones(1)}]
            ),
            "expected a label for each of 3 classes, got 1",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_targets_print_briefly():
    assert repr(Pixel(3, 4, 1)) == "Pixel(row=3, column=4, class_index=1, entry=None)"
    assert repr(Region(torch.ones(4, 6))) == "Region(mask=Tensor(4, 6), class_index=0, entry=None)"
    assert len(repr(Similarity(torch.ones(512)))) < 80
    assert repr(DetectedClasses(91)) == "DetectedClasses(91 classes)"
    assert BoxScore((0, 0, 2, 2), 1).label == "class 1 in box (0, 0, 2, 2)"
