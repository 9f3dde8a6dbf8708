"""Perturbation explainers equal Captum's where both compute the same thing."""

import captum.attr
import pytest
import torch
from captum._utils.models.model import Model
from captum.attr._core.lime import get_exp_kernel_similarity_function
from closeness import assert_close
from twins import model_of, photographs

from xai_widgets.perturbation.occlusion import occlusion
from xai_widgets.perturbation.surrogate import kernel_shap, lime

#: A network with random weights and a bundled one.
NETWORKS = ["resnet", "scenes_vgg"]


def setting(name):
    model = model_of(name)
    x = photographs(model.size[0])
    target = model.scores(x).argmax(1)
    target[1] = (target[1] + 1) % len(model.labels)
    return model, x, target


def checked(expected):
    """Check that the result of another implementation is not 0 and return it."""
    assert expected.abs().max() > 0
    return expected


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("part", "step"), [(4, 8), (3, 7), (6, 6)])
def test_occlusion_equals_captums(name, part, step):
    model, x, target = setting(name)
    window, stride = x.shape[2] // part, x.shape[2] // step
    made = occlusion(model, x, target, window=window, stride=stride, fill=0.5).result(progress=False)
    expected = captum.attr.Occlusion(model).attribute(
        x,
        target=target,
        sliding_window_shapes=(3, window, window),
        strides=(3, stride, stride),
        baselines=0.5,
        perturbations_per_eval=16,
    )
    # Occlusion is measured by a difference of scores.
    assert_close(made.saliency(), checked(expected[:, 0]), scale=model.scores(x), dtype=torch.float32)


def cells(x, rows, columns):
    """A grid of segments, (H, W)."""
    height, width = x.shape[2:]
    return torch.arange(height)[:, None] * rows // height * columns + torch.arange(width) * columns // width


@pytest.mark.parametrize("name", NETWORKS)
def test_kernel_shap_equals_captums_shapley_values(name):
    model, x, target = setting(name)
    segments = cells(x, 2, 2)
    made = kernel_shap(model, x, target, segments=segments, fill=0.5, output="score").result(progress=False)
    # Over all orders of four segments, the mean contribution of a segment.
    expected = captum.attr.ShapleyValues(model).attribute(
        x, target=target, feature_mask=segments[None, None], baselines=0.5, perturbations_per_eval=16
    )
    assert_close(made.saliency(), checked(expected[:, 0]), scale=model.scores(x))


class Ridge(Model):
    """The linear model that LimeBase fits, by its normal equations; scikit-learn, which Captum's needs, is not here."""

    def fit(self, train_data, **options):
        shown, answers, weights = next(iter(train_data))[:3]
        design = torch.cat([shown, torch.ones(len(shown), 1)], 1).double()
        penalty = torch.eye(design.shape[1], dtype=torch.float64)
        penalty[-1, -1] = 0
        left = design.T @ (weights.double().view(-1, 1) * design) + penalty
        self.solved = torch.linalg.solve(left, design.T @ (weights * answers).double().flatten())

    def representation(self):
        return self.solved[:-1]

    def __call__(self, x):
        return x


def captums_lime(model, image, target, segments, coalitions, samples):
    kernel = get_exp_kernel_similarity_function("cosine", kernel_width=0.25)

    def similarity(original, perturbed, coalition, **options):
        # The distance of a coalition to the whole image is meant, and Captum's kernel compares its first two.
        return kernel(torch.ones_like(coalition), coalition, coalition)

    def masked(coalition, original, **options):
        return torch.where(coalition[0][segments] > 0, original, 0.5)

    base = captum.attr.LimeBase(
        model,
        Ridge(),
        similarity_func=similarity,
        perturb_func=lambda original, **options: next(coalitions)[None],
        perturb_interpretable_space=True,
        from_interp_rep_transform=masked,
        to_interp_rep_transform=None,
    )
    return base.attribute(image, target=target, n_samples=samples)


@pytest.mark.parametrize("name", NETWORKS)
def test_lime_equals_captums(name):
    """The same coalitions go to Captum's framework, which masks, asks, and weighs them by its own kernel."""
    model, x, target = setting(name)
    samples, segments = 40, cells(x, 3, 4)
    run = lime(model, x, target, segments=segments, samples=samples, fill=0.5, output="score")
    made = run.result(progress=False)
    shown = torch.rand((samples, 12), generator=torch.Generator().manual_seed(0)) < 0.5
    shown[0] = True
    for n, image in enumerate(x):
        expected = captums_lime(model, image[None], target[n].item(), segments, iter(shown.float()), samples)
        assert_close(made.values[n], checked(expected), scale=model.scores(x), dtype=torch.float32)
