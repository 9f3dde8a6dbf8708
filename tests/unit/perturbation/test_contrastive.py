"""The contrastive objective of extremal perturbations: the margin of a class, by its formula."""

import pytest
import torch
from closeness import assert_close
from networks import CLASSES, SIZE, Functional, images, one_sentence, settle, wrap

from xai_widgets.ops.perturb import perturb, pyramid
from xai_widgets.perturbation.extremal import extremal
from xai_widgets.perturbation.objective import ImageObjective


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def test_the_contrastive_objective_is_the_margin_and_its_gradient(model):
    x, masks = images(2), torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)).round()
    target = torch.tensor([0, 3])
    objective = ImageObjective(model, x, target, "contrastive", "fade", None, 32)
    scores = model(perturb(pyramid(x, "fade"), masks).flatten(0, 1)).view(2, 3, CLASSES).detach()
    own = scores.gather(2, target.view(2, 1, 1).expand(-1, 3, 1))[..., 0]
    others = torch.stack([scores[0][:, [1, 2, 3]], scores[1][:, [0, 1, 2]]]).amax(2)
    assert_close(objective.score(masks).values, own - others)
    assert objective.score(masks).outside.isnan().all()
    # The gradient of the margin is the difference of the gradients of both scores.
    parameters = torch.rand(1, 2, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    made = ImageObjective(model, x[:1], target[:1], "contrastive", "fade", None, 32).gradient(
        parameters, lambda moved, _some: moved, 0
    )
    inside = model(perturb(pyramid(x[:1], "fade"), parameters).flatten(0, 1)).detach()
    inside[:, 0] = -torch.inf
    for area, rival in enumerate(inside.argmax(1).tolist()):
        gradients = [
            ImageObjective(model, x[:1], torch.tensor([c]), "preserve", "fade", None, 32).gradient(
                parameters, lambda moved, _some: moved, 0
            )[:, area]
            for c in (0, rival)
        ]
        assert_close(made[:, area], gradients[0] - gradients[1])


def test_a_single_score_has_no_margin(model):
    with pytest.raises(ValueError, match="at least two scores for variant='contrastive', got one") as error:
        extremal(model, images(1), lambda scores: scores[:, 1], variant="contrastive")
    one_sentence(error)
