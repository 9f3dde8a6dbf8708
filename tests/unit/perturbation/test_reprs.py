"""The short `repr` of every result of the package."""

import dataclasses

import pytest
import torch
from networks import Functional, images, settle, wrap
from perturbation.test_contract import EVERY

from xai_widgets import perturbation
from xai_widgets.perturbation import class_channels, score_masks

#: A line of a terminal or two.
LONGEST = 350


@pytest.fixture(scope="module")
def results():
    """A result of every method, of two images, and those of the other functions."""
    model, x = wrap(settle(Functional())), images(2)
    made = {name: explain(model, x, **options) for name, (explain, options) in EVERY.items()}
    made = {name: run.result(progress=False) for name, run in made.items()}
    made["class_channels"] = class_channels(made["channel_extremal"])
    made["score_masks"] = score_masks(model, x, torch.ones(2, 30, 8, 8))
    made["masks"] = made["rise"].masks
    return made


def test_every_result_class_is_tried(results):
    public = [getattr(perturbation, name) for name in perturbation.__all__]
    classes = {
        each for each in public if isinstance(each, type) and dataclasses.is_dataclass(each)
        and not each.__name__.endswith("Settings")
    }  # fmt: skip
    assert classes <= {type(result) for result in results.values()}


@pytest.mark.parametrize("name", [*EVERY, "class_channels", "score_masks", "masks"])
def test_a_repr_is_one_short_line_with_shapes_and_numbers(results, name):
    text = repr(results[name])
    assert text.startswith(f"{type(results[name]).__name__}(")
    assert "\n" not in text
    assert "tensor(" not in text
    assert len(text) <= LONGEST
    for field in dataclasses.fields(results[name]):
        assert (f"{field.name}=" in text) == field.repr


def test_the_repr_of_an_extremal_perturbation_shows_its_choices(results):
    text = repr(results["extremal"])
    for part in (
        "masks=Tensor(2, 2, 8, 8)",
        "areas=[0.1, 0.3]",
        "variant='preserve'",
        "tau=1",
        "size=(8, 8)",
    ):
        assert part in text
