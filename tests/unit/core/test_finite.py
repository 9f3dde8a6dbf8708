"""Outputs that are not finite are refused, also where the check is postponed."""

import pytest
import torch

from xai_widgets.core.finite import FiniteChecks
from xai_widgets.core.guard import guarded, thread_state
from xai_widgets.core.validation import check_finite


class Elsewhere(torch.Tensor):
    """A tensor that reports an accelerator as its device."""

    @property
    def device(self):
        return torch.device("cuda")


def elsewhere(*values):
    return torch.tensor(values).as_subclass(Elsewhere)


def test_a_check_on_the_cpu_is_not_postponed():
    with FiniteChecks().collect(), pytest.raises(ValueError, match="got NaN scores from the network 'net'"):
        check_finite(torch.tensor([torch.nan]), "net")


@pytest.mark.parametrize(("value", "kind"), [(torch.nan, "NaN"), (torch.inf, "infinite")])
def test_a_postponed_check_is_made_by_the_next_read(value, kind):
    checks = FiniteChecks()
    with checks.collect():
        check_finite(elsewhere(1.0), "first")
        check_finite(elsewhere(0.0, value), "net", "activations")
    with pytest.raises(
        ValueError, match=f"expected finite activations, got {kind} activations from the network 'net'"
    ):
        checks.read()
    # It was read.
    assert checks.read() == []


def test_a_score_of_minus_infinity_excludes_a_class():
    checks = FiniteChecks()
    with checks.collect():
        check_finite(elsewhere(1.0, -torch.inf), "net")
    assert checks.read() == []


def test_numbers_are_read_with_the_checks_in_the_shape_of_their_tensors():
    checks = FiniteChecks()
    with checks.collect():
        check_finite(elsewhere(1.0), "net")
    assert checks.read(torch.tensor(0.5), torch.tensor([[1, 2]]), torch.zeros(0)) == [[0.5], [1.0, 2.0], []]


def test_checks_are_not_postponed_after_the_block_nor_after_an_interrupt():
    checks = FiniteChecks()

    @guarded
    def interrupted():
        thread_state.pending = []
        raise KeyboardInterrupt

    with checks.collect():
        pass
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert thread_state.pending is None
    with pytest.raises(ValueError, match="NaN"):
        check_finite(elsewhere(torch.nan), "net")
