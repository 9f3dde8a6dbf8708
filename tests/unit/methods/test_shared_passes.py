"""Methods that are computed one after the other share the passes that they have in common."""

import torch
from networks import SharedInPlace, images, settle, wrap

from xai_widgets.core.guard import thread_state
from xai_widgets.methods import METHODS
from xai_widgets.methods.gradients import layer_gradient, score_gradient
from xai_widgets.methods.shared_passes import SharedPasses
from xai_widgets.studies import AttributionKey, AttributionStudy

#: Eight methods that need three passes: one to the pixels, one to the default layer, and a guided one to the pixels.
EIGHT = (
    "gradient",
    "gradient_x_input",
    "grad_cam",
    "grad_cam_plus_plus",
    "guided_grad_cam",
    "linear_approximation",
    "norm_grad",
    "selective_norm_grad",
)


def passes(model, run):
    """Return the number of passes that a function runs."""
    counts = []
    model.module.register_forward_hook(lambda *_: counts.append(1))
    run()
    model.module._forward_hooks.clear()
    return len(counts)


def test_eight_methods_of_an_explorer_run_three_passes():
    model, x = wrap(settle(SharedInPlace())), images(1)
    study = AttributionStudy(model, x, list(EIGHT))
    model.default_layer()
    study.scores(0)
    keys = [AttributionKey(name, 0, 1) for name in EIGHT]
    # The first pass to a layer learns whether it depends on the pixels.
    METHODS["grad_cam"](model, x, 1)
    assert passes(model, lambda: study.compute(keys, progress=False)) == 3
    for key in keys:
        alone = METHODS[key.method].saliency(model, x, 1)
        assert torch.equal(study.result(key), alone[0])
    assert thread_state.shared is None


def test_a_study_that_computes_again_uses_the_current_weights():
    model, x = wrap(settle(SharedInPlace())), images(1)
    study, key = AttributionStudy(model, x, ["gradient"]), AttributionKey("gradient", 0, 1)
    before = study.compute([key], progress=False)[key].result
    with torch.no_grad():
        model.module.fc.weight.mul_(2)
    after = study.compute([key], again=True, progress=False)[key].result
    assert torch.equal(after, METHODS["gradient"].saliency(model, x, 1)[0])
    assert not torch.equal(after, before)


def test_results_are_those_of_the_image_the_class_and_the_layer():
    model, target = wrap(settle(SharedInPlace())), torch.tensor([1])
    x, other = images(2).split(1)
    shared = SharedPasses()
    calls = [
        lambda: [score_gradient(model, x, target)],
        lambda: [score_gradient(model, other, target)],
        lambda: [score_gradient(model, x, target + 1)],
        lambda: layer_gradient(model, x, target, "block1"),
        lambda: layer_gradient(model, x, target, "block2"),
    ]
    for _ in range(2):
        for call in calls:
            with shared.active():
                found = call()
            for ours, alone in zip(found, call(), strict=True):
                assert torch.equal(ours, alone)
            # A method may change what it gets.
            for each in found:
                each.zero_()


def test_backward_rules_and_hooks_have_passes_of_their_own():
    model, x = wrap(settle(SharedInPlace())), images(1)
    names = ["gradient", "guided_backprop", "deconvnet", "norm_grad", "norm_grad_convolution"]
    study = AttributionStudy(model, x, names)
    for key, outcome in study.compute([AttributionKey(name, 0, 1) for name in names], progress=False).items():
        assert torch.equal(outcome.result, METHODS[key.method].saliency(model, x, 1)[0])
