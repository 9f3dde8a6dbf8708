"""The registry of metrics: facts that hold for each of them, and the scores that they give one explanation."""

import math
from dataclasses import replace

import pytest
import torch
from closeness import near
from networks import SharedInPlace, images, settle, wrap

from xai_widgets import metrics
from xai_widgets.methods import METHODS
from xai_widgets.metrics import METRICS, Explanation, Metric, get, metrics_by_name
from xai_widgets.metrics.deletion import Curve
from xai_widgets.metrics.monotonicity import curve_monotonicity
from xai_widgets.ops.fill import fill_image

#: Side of the image, on which a blur can be seen.
SIDE = 24


@pytest.fixture(scope="module")
def explanation():
    model = wrap(settle(SharedInPlace()), size=SIDE)
    method = METHODS["gradient"]
    # Some metrics are undefined for an image that is no less probable, or no simpler, when it is blurred.
    several = images(20, size=SIDE)
    fall = model.probs(several) - model.probs(fill_image("blur", several))
    row, target = divmod(int(fall.argmax()), fall.shape[1])
    x = several[row : row + 1]
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[2:5, 2:5] = True
    saliency, other = (METHODS[name].saliency(model, x, target) for name in ("gradient", "guided_backprop"))
    parts, permuted = {"eye": torch.tensor([[3, 4]])}, wrap(settle(SharedInPlace(), seed=3), size=SIDE)
    return Explanation(
        model,
        x,
        target,
        saliency,
        mask=mask,
        difficult=True,
        parts=parts,
        method=method,
        permuted=permuted,
        reference=other,
    )


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_has_its_facts_and_a_score_within_its_bounds(name, explanation):
    metric = METRICS[name]
    assert metric.name == name
    assert metric.title
    assert metric.measures
    assert metric.direction in ("higher", "lower")
    assert metric.bounds[0] < metric.bounds[1]
    assert metric.best == metric.bounds[1 if metric.direction == "higher" else 0]
    score = metric(explanation)
    assert metric.bounds[0] <= score <= metric.bounds[1]
    if metric.binary:
        assert score in (0, 1)


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.needs])
def test_a_missing_part_is_named(name, explanation):
    for need in METRICS[name].needs:
        with pytest.raises(ValueError, match=f"expected an explanation with (a )?{need}"):
            METRICS[name](replace(explanation, **{need: None}))


def test_scores_are_those_of_the_functions(explanation):
    model, x, target, saliency = explanation.model, explanation.x, explanation.target, explanation.saliency
    for name, function in (("deletion", metrics.deletion), ("insertion", metrics.insertion)):
        auc = function(model, x, saliency, target, steps=9).result(progress=False).auc.item()
        assert METRICS[name](explanation, steps=9) == auc
        assert METRICS[name].with_options(steps=9)(explanation) == auc
    run = metrics.weight_randomization(model, x, target, explain="gradient", seed=3)
    agreement = run.result(progress=False).spearman_abs.nan_to_num(0).clamp(min=0).mean().item()
    assert METRICS["randomization"](explanation, seed=3) == near(agreement)
    assert METRICS["ssim"](explanation) == metrics.ssim(saliency, explanation.reference).item()


def test_maps_of_two_resolutions_are_compared_at_the_larger_one(explanation):
    coarse = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.interpolate(coarse[None], (SIDE, SIDE), mode="bilinear")[0]
    assert METRICS["pearson"](replace(explanation, saliency=fine, reference=coarse)) == near(1)


def test_pointing_is_a_hit_on_the_object_alone(explanation):
    on = explanation.mask.float()[None]
    far = torch.zeros_like(on)
    far[0, -1, -1] = 1
    assert METRICS["pointing"](replace(explanation, saliency=on)) == 1
    assert METRICS["pointing"](replace(explanation, saliency=far)) == 0
    assert math.isnan(METRICS["pointing"](replace(explanation, mask=torch.zeros_like(explanation.mask))))
    assert METRICS["pointing_difficult"](replace(explanation, saliency=on)) == 1
    assert math.isnan(METRICS["pointing_difficult"](replace(explanation, saliency=on, difficult=False)))


@pytest.mark.parametrize(
    ("scores", "expected"), [([0.1, 0.3, 0.5, 0.5], 1), ([0.1, 0.3, 0.2, 0.5], 0), ([0.1, 0.6, 0.2, 0.5], 1)]
)
def test_monotonicity_ends_where_the_whole_image_is_reached(scores, expected):
    # From no pixel, which does not count, in three steps to all of them.
    curve = Curve("insertion", torch.arange(4) / 3, torch.tensor([scores]), None, None)
    assert curve_monotonicity(curve).share == expected


def test_the_mean_of_pointing_is_over_classes_and_without_spread():
    scores, targets = [1.0, 1.0, 0.0, 0.0, math.nan], [0, 0, 0, 5, 5]
    mean, spread, n = METRICS["pointing"].summarize(scores, targets)
    assert (mean, math.isnan(spread), n) == (near((2 / 3 + 0) / 2), True, 4)
    assert METRICS["deletion"].summarize(scores, targets) == near((0.5, 3**-0.5, 4))
    mean, spread, n = METRICS["deletion"].summarize(scores[:1], targets[:1])
    assert (mean, math.isnan(spread), n) == (1.0, True, 1)
    mean, spread, n = METRICS["pointing"].summarize(scores[-1:], targets[-1:])
    assert (math.isnan(mean), math.isnan(spread), n) == (True, True, 0)


def test_names_and_options_that_do_not_exist_get_the_nearest():
    with pytest.raises(ValueError, match="unknown metric 'delition'; did you mean 'deletion'"):
        get("delition")
    with pytest.raises(TypeError, match="unexpected keyword argument 'step'; did you mean 'steps'"):
        METRICS["deletion"].with_options(step=3)


def test_metrics_are_named_or_your_own():
    mine = Metric(lambda explanation: 0.5, "mine", "Mine", "agreement", "higher", "nothing")
    assert list(metrics_by_name(["deletion", mine])) == ["deletion", "mine"]
    assert list(metrics_by_name("ssim")) == ["ssim"]
    with pytest.raises(ValueError, match="at least one metric"):
        metrics_by_name([])
    with pytest.raises(ValueError, match="'ssim' twice"):
        metrics_by_name(["ssim", "ssim"])


def test_results_print_in_one_short_line(explanation):
    model, x, target, saliency = explanation.model, explanation.x, explanation.target, explanation.saliency
    task = metrics.PointingTask.from_masks([{target: explanation.mask}])
    curve = metrics.deletion(model, x, saliency, target, steps=4).result(progress=False)
    results = [
        curve,
        curve_monotonicity(curve),
        task,
        metrics.pointing_game(saliency, task),
        metrics.weight_randomization(model, x, target).result(progress=False),
        metrics.choose_threshold(saliency, explanation.mask[None]),
        metrics.method_cost(model, x, target),
    ]
    for result in results:
        assert repr(result).startswith(type(result).__name__)
        assert len(repr(result)) < 120
        assert "tensor(" not in repr(result)
    assert repr(curve) == f"Curve(deletion, images: 1, steps: 4, auc: {curve.auc.item():.3f})"
