"""The perturbation explainers as attribution methods: run to the end, and reduced to their saliency map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from xai_widgets.attribution.registry import Cost, Method
from xai_widgets.model import ImageModel
from xai_widgets.perturbation.channel import channel_extremal
from xai_widgets.perturbation.difference import prediction_difference
from xai_widgets.perturbation.extremal import extremal
from xai_widgets.perturbation.meaningful import meaningful_perturbation
from xai_widgets.perturbation.noise_mask import noise_mask
from xai_widgets.perturbation.occlusion import occlusion, variable_occlusion
from xai_widgets.perturbation.regions import greedy_regions, minimal_image
from xai_widgets.perturbation.rise import rise
from xai_widgets.perturbation.surrogate import kernel_shap, lime
from xai_widgets.run import Run


def as_attribution(explain: Callable[..., Run[Any]], **facts: Any) -> Method:
    """A method whose attribution (N, 1, H, W) is the saliency map of a finished run; facts as for :class:`Method`."""

    def function(model: ImageModel, x: Tensor, target: Tensor, **options: Any) -> Tensor:
        saliency: Tensor = explain(model, x, target, **options).result(progress=False).saliency()
        return saliency[:, None]

    function.__doc__ = explain.__doc__
    return Method(function, explain.__name__, **facts)


_ALL = (
    as_attribution(
        occlusion,
        title="Occlusion",
        source="Zeiler and Fergus 2014",
        formula="mean over the windows w that cover a pixel of S_c(x) - S_c(x with w filled)",
        cost=Cost(1, 0, "windows", 1, 0),
        limits="As coarse as its window; what two distant parts show alike is found by hiding neither alone.",
    ),
    as_attribution(
        variable_occlusion,
        title="Occlusion, variable radius",
        source="Fong and Vedaldi 2017",
        formula="the centre of the smallest disc among the tenth that lower S_c most",
        cost=Cost(1, 0, "discs", 1, 0),
        limits="Draws one place, not the extent of an object.",
    ),
    as_attribution(
        rise,
        title="RISE",
        source="Petsiuk et al. 2018",
        formula="E[p_c(m * x) m] / E[m] over random masks m",
        cost=Cost(0, 0, "masks", 1, 0, note="fewer where the map comes to rest before"),
        promises="unbiased: the mean probability of the class where a pixel is shown",
        limits="Noisy: small objects need more masks, and the map is no finer than their cells.",
    ),
    as_attribution(
        lime,
        title="LIME",
        source="Ribeiro et al. 2016",
        formula="w of the linear model w_0 + w z of f(z), segments z shown or not, weighted by nearness to all shown",
        cost=Cost(0, 0, "samples", 1, 0),
        limits="As fine as its superpixels, and it depends on them and on what fills those that are hidden.",
    ),
    as_attribution(
        kernel_shap,
        title="Kernel SHAP",
        source="Lundberg and Lee 2017",
        formula="phi of f(0) + phi z nearest to f(z) by Shapley weights, segments z shown or not",
        cost=Cost(0, 0, "samples", 1, 0),
        promises="its segments sum to f(all shown) - f(none shown)",
        limits="As fine as its superpixels, and it depends on them and on what fills those that are hidden.",
    ),
    as_attribution(
        minimal_image,
        title="Minimal image",
        source="Zhou et al. 2015",
        formula="delete the segment without which p_c falls least, until the network says something else",
        cost=Cost(1, 0, "sets of segments tried", 1, 0),
        promises="what is left is still the class",
        limits="Refuses classes other than the predicted one; greedy, so that a smaller image may exist.",
    ),
    as_attribution(
        greedy_regions,
        title="Greedy regions (XRAI)",
        source="Kapishnikov et al. 2019",
        formula="the next region R to M has the largest sum of A(u) over u in R - M by |R - M|",
        cost=Cost(0, 0, "steps", 2, 2, note="for integrated gradients from black and white, else that of A"),
        limits="Its edges are those of the regions, whatever the network sees.",
    ),
    as_attribution(
        prediction_difference,
        title="Prediction difference",
        source="Zintgraf et al. 2017",
        formula="log2 odds(c given x) - log2 odds(c given x without a patch), the patch drawn anew from its window",
        cost=Cost(1, 0, "samples of each patch", 1, 0),
        limits="Small patches hardly change what a network says; patches are drawn as if pixels were jointly normal.",
    ),
    as_attribution(
        meaningful_perturbation,
        title="Meaningful perturbation",
        source="Fong and Vedaldi 2017",
        formula="min over m of l1 sum |1 - m| + l2 sum |grad m|^beta + p_c(m (x) x)",
        cost=Cost(0, 0, "steps", 1, 1, note="and a few forward ones for the disc that it starts with"),
        limits="The balance of its three terms decides the size of the region; an optimum may be a local one.",
    ),
    as_attribution(
        noise_mask,
        title="Noise mask",
        source="Liao 2018",
        formula="min over m of mean m + beta mean (F(x) - F(m x + (1 - m) U))^2, U noise",
        cost=Cost(1, 0, "steps", 1, 1, note="as many as the loss takes to be flat; besides one of noise"),
        limits="Looks at no class: what is kept is all that the scores, or a layer, tell of the image.",
    ),
    as_attribution(
        extremal,
        title="Extremal perturbation",
        source="Fong et al. 2019",
        formula="max over smooth masks m of area a of S_c(m (x) x)",
        cost=Cost(
            1, 0, "steps of each area", 1, 1, note="and forward ones to choose a start and to score cut masks"
        ),
        promises="masks of exactly their area",
        limits="The search may end in a local optimum; the map sums a few areas, one mask each.",
    ),
    as_attribution(
        channel_extremal,
        title="Extremal channels",
        source="Fong et al. 2019",
        formula="max over masks m of a of K channels of S_c(m * a_k), map sum_k m_k a_k",
        cost=Cost(1, 0, "steps of each number of channels", 1, 1, note="from the layer on"),
        promises="masks of exactly so many channels",
        limits="Refuses layers that not everything passes through; as coarse as its layer.",
    ),
)

#: Every perturbation explainer, by name, as a method.
METHODS: dict[str, Method] = {each.name: each for each in _ALL}
