"""Every method with a callable on the raw output as its target."""

from dataclasses import replace

import captum.attr
import pytest
import torch
from closeness import assert_close
from networks import SIZE, Functional, images, quick, settle
from raw_networks import CLASSES, Detector, Embedder, Regression, Segmenter, box_detector, seeded, wrapped

from xai_widgets.core.model import ImageModel
from xai_widgets.inverse import layer_wise, operation_wise, reproduce_integrated_gradients
from xai_widgets.methods import METHODS, as_method
from xai_widgets.metrics.deletion import deletion, insertion
from xai_widgets.metrics.sanity import weight_randomization
from xai_widgets.perturbation import ExtremalSettings, extremal, score_masks
from xai_widgets.studies import EvaluationStudy
from xai_widgets.targets import BoxScore, ClassAreas, DetectedClasses, Output, Pixel, Region, Similarity

#: Methods of attention, which these networks do not have.
ATTENTION = {name for name, method in METHODS.items() if "attention" in method.requires}
#: Methods that need the probability of a class, and refuse plain numbers.
PROBABILISTIC = {"meta_saliency", "minimal_image", "prediction_difference", "meaningful_perturbation"}

#: Methods that invert the scores of all classes, those of the others to 0: a callable has no others.
ALL_SCORES = {"operation_wise_inverse"}


def third(output):
    return output[:, 3]


def plain_classifier():
    """A classifier whose scores are used as they are, like those of a callable."""
    return ImageModel(settle(Functional()), size=SIZE, activation=None)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, method in METHODS.items()
        if name not in PROBABILISTIC | ATTENTION | ALL_SCORES and method.uses_class
    ],
)
def test_a_callable_that_picks_a_class_is_the_class_bit_for_bit(name):
    model, method = plain_classifier(), METHODS[name]
    options = quick(method, batch_size=2)
    for number in (3, third):
        try:
            found = method(model, images(), number, **options)
        except ValueError as error:
            # CAM needs a network that ends in a global average.
            found = str(error)
            assert "global average" in found
        if number == 3:
            expected = found
    if name == "rise":
        # One product for all classes adds in another order.
        assert_close(found, expected)
    else:
        assert torch.equal(found, expected) if isinstance(found, torch.Tensor) else found == expected


def test_the_published_search_of_a_class_uses_mirrored_images_with_a_callable_too():
    model = ImageModel(settle(Functional()), size=SIZE)
    settings = replace(ExtremalSettings.torchray(), steps=40, grid=1, sigma=1.0)
    options = quick(METHODS["extremal"], batch_size=2) | {"settings": settings}
    by_index = extremal(model, images(), 3, **options).result(progress=False)
    by_callable = extremal(model, images(), third, **options).result(progress=False)
    assert torch.equal(by_index.saliency(), by_callable.saliency())
    unmirrored = extremal(plain_classifier(), images(), 3, **options).result(progress=False)
    assert not torch.equal(by_index.scores, unmirrored.scores)


CASES = {
    "pixel": (lambda: wrapped(seeded(Segmenter), ClassAreas()), Pixel(3, 4, 2)),
    "region": (lambda: wrapped(seeded(Segmenter), ClassAreas()), Region(torch.eye(SIZE), 1)),
    "class area": (lambda: wrapped(seeded(Segmenter), ClassAreas()), 1),
    "box": (lambda: wrapped(seeded(Detector), DetectedClasses(CLASSES)), BoxScore((1, 1, 6, 6), 2)),
    "regression": (lambda: ImageModel(seeded(Regression), size=SIZE, activation=None), Output(1)),
    "embedding": (lambda: wrapped(seeded(Embedder), Similarity(torch.tensor([1.0, -2, 3, 0, 1]))), 0),
}


@pytest.mark.parametrize("case", CASES)
def test_every_method_explains_it_or_refuses_with_a_reason(case):
    make, target = CASES[case]
    model, refused = make(), {}
    for name, method in METHODS.items():
        try:
            saliency = method.saliency(model, images(), target, **quick(method, batch_size=2))
        except ValueError as error:
            refused[name] = str(error)
        else:
            assert len(saliency) == 2
            assert saliency.isfinite().all(), name
    assert all("expected" in message and "\n" not in message for message in refused.values())
    assert set(refused) >= PROBABILISTIC | ATTENTION
    others = {name for name in refused if name not in PROBABILISTIC | ATTENTION | {"cam"}}
    # A softmax and the best box have no backward rule; the pixels of a map do, and the norm of an embedding in LRP.
    with_rules = {name for name, method in METHODS.items() if "rules" in method.requires}
    with_rules -= {"lrp"} if case == "embedding" else set()
    # The best box is not the last of a chain of units.
    with_units = {name for name, method in METHODS.items() if "units" in method.requires and case == "box"}
    assert others == (set() if case in ("pixel", "region", "regression") else with_rules | with_units)
    if case == "embedding":
        assert all("in 'the target similarity to the vector'" in refused[name] for name in others)


def test_a_detector_of_torchvision_is_explained_whatever_number_of_boxes_it_finds():
    model = wrapped(seeded(box_detector), DetectedClasses(CLASSES), size=32)
    x = images(2, size=32)
    target = BoxScore.detected(model, x[:1])[0]
    assert model.with_target(target).scores(x[:1]).item() == pytest.approx(model.scores(x[:1]).max().item())
    for name in ("gradient", "grad_cam", "guided_backprop", "rise", "occlusion", "extremal"):
        options = {"masks": 4} if name == "rise" else quick(METHODS[name], batch_size=2)
        options = {
            key: value for key, value in options.items() if key not in ("segments", "window", "stride")
        }
        saliency = METHODS[name].saliency(model, x, target, **options)
        assert saliency.isfinite().all()
        assert (saliency != 0).any()


def test_the_layer_of_a_segmentation_is_not_its_map():
    assert CASES["pixel"][0]().default_layer() == "relu"


def test_metrics_and_masks_take_callables():
    model = CASES["pixel"][0]()
    x, target = images(), Pixel(3, 4, 2)
    derived = model.with_target(target)
    saliency = METHODS["gradient"].saliency(model, x, target)
    for curve in (deletion, insertion):
        made = curve(model, x, saliency, target, steps=4).result(progress=False)
        assert made.value_name == "score"
        assert torch.equal(made.scores, curve(derived, x, saliency, 0, steps=4).result(progress=False).scores)
    masks = torch.ones(2, 1, SIZE, SIZE)
    assert torch.equal(score_masks(model, x, masks, target).whole, derived.scores(x)[:, 0])
    checked = weight_randomization(model, x[:1], target, layers=["head"]).result(progress=False)
    assert torch.equal(checked.maps[0], METHODS["gradient"].saliency(model, x[:1], target))


@pytest.mark.parametrize("invert", [layer_wise, operation_wise])
def test_an_output_of_a_regression_is_inverted(invert):
    model = CASES["regression"][0]()
    by_callable = invert(model, images(1), Output(1)).result(progress=False)
    assert by_callable.output.shape[-1] == 1
    assert ((by_callable.alpha >= 0) & (by_callable.alpha <= 1)).all()
    assert reproduce_integrated_gradients(model, images(1), Output(1)).result(progress=False) is not None


def test_an_inverse_without_a_chain_is_refused_with_a_reason():
    model = wrapped(seeded(box_detector), DetectedClasses(CLASSES), size=32)
    with pytest.raises(ValueError, match="expected a network whose pass can be replayed") as error:
        layer_wise(model, images(1, size=32), BoxScore((1, 1, 6, 6), 2))
    assert "\n" not in str(error.value)


def test_an_evaluation_takes_the_model_of_a_callable():
    model, x, target = CASES["pixel"][0](), images(), Pixel(3, 4, 2)
    study = EvaluationStudy(model.with_target(target), x, ["gradient"], ["deletion"])
    study.compute(study.cells())
    saliency = METHODS["gradient"].saliency(model, x, target)
    expected = deletion(model, x, saliency, target).result(progress=False).auc
    assert_close([score.value for _, score in study.scores()], expected)
    with pytest.raises(TypeError, match=r"pass model.with_target\(callable\)"):
        EvaluationStudy(model, x, ["gradient"], ["deletion"], targets=target)


def test_an_object_of_another_library_is_created_for_the_model_with_the_targets():
    model, x, target = CASES["regression"][0](), images(), Output(1)
    derived = model.with_target(target)
    method = as_method(captum.attr.Saliency(derived))
    options = {"abs": False}
    assert_close(method(model, x, target, **options), METHODS["gradient"](model, x, target))
    # The module itself returns both outputs, whose first one is not the target.
    with pytest.raises(ValueError, match="created for an ImageModel with targets"):
        as_method(captum.attr.Saliency(model.module))(model, x, target, **options)
