"""The perturbation explainers as attribution methods: run to the end, and reduced to their saliency map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from xai_widgets.attribution.registry import Method
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


def as_attribution(explain: Callable[..., Run[Any]], title: str, source: str) -> Method:
    """A method whose attribution (N, 1, H, W) is the saliency map of a finished run."""

    def function(model: ImageModel, x: Tensor, target: Tensor, **options: Any) -> Tensor:
        saliency: Tensor = explain(model, x, target, **options).result(progress=False).saliency()
        return saliency[:, None]

    function.__doc__ = explain.__doc__
    return Method(function, explain.__name__, title, source=source)


#: Every perturbation explainer, by name, as a method.
METHODS: dict[str, Method] = {
    explain.__name__: as_attribution(explain, title, source)
    for explain, title, source in (
        (occlusion, "Occlusion", "Zeiler and Fergus 2014"),
        (variable_occlusion, "Occlusion, variable radius", "Fong and Vedaldi 2017"),
        (rise, "RISE", "Petsiuk et al. 2018"),
        (lime, "LIME", "Ribeiro et al. 2016"),
        (kernel_shap, "Kernel SHAP", "Lundberg and Lee 2017"),
        (minimal_image, "Minimal image", "Zhou et al. 2015"),
        (greedy_regions, "Greedy regions (XRAI)", "Kapishnikov et al. 2019"),
        (prediction_difference, "Prediction difference", "Zintgraf et al. 2017"),
        (meaningful_perturbation, "Meaningful perturbation", "Fong and Vedaldi 2017"),
        (noise_mask, "Noise mask", "Liao 2018"),
        (extremal, "Extremal perturbation", "Fong et al. 2019"),
        (channel_extremal, "Extremal channels", "Fong et al. 2019"),
    )
}
