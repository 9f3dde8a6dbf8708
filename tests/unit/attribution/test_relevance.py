"""Invalid rules and composites of LRP."""

import pytest
from networks import one_sentence

from xai_widgets.attribution.lrp_rules import AlphaBeta, Epsilon, Gamma, ZBox, as_composite


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ("epsilon_pluss", ValueError, "unknown composite 'epsilon_pluss'; did you mean 'epsilon_plus'"),
        (3, TypeError, "expected composite to be a name, a Rule or a Composite, got 3"),
        (ZBox(), ValueError, "only as first= of a Composite"),
    ],
)
def test_what_is_no_composite_is_refused(given, kind, message):
    with pytest.raises(kind, match=message) as error:
        as_composite(given)
    one_sentence(error)


@pytest.mark.parametrize(
    "make",
    [lambda: Epsilon(-1.0), lambda: Gamma(-0.1), lambda: AlphaBeta(2.0, 0.5), lambda: AlphaBeta(0.0, -1.0)],
)
def test_settings_of_rules_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="expected") as error:
        make()
    one_sentence(error)
