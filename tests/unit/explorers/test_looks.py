"""No two methods that are shown together look alike."""

from hypothesis import given
from hypothesis import strategies as st

from xai_widgets.explorers.deletion import DEFAULTS
from xai_widgets.explorers.looks import Looks
from xai_widgets.methods.registry import methods_by_name
from xai_widgets.views.plot import LOOKS, PALETTE, curve_look

NAMES = list(methods_by_name(DEFAULTS.options()))
CHOICES = st.lists(st.lists(st.sampled_from(NAMES), unique=True), min_size=1, max_size=6)


def test_there_are_looks_for_all_methods():
    assert 1 < len(NAMES) <= LOOKS
    looks = Looks().take(NAMES)
    assert len({curve_look({"look": look}, 0) for look in looks.values()}) == len(NAMES)


@given(CHOICES)
def test_methods_chosen_together_differ_and_keep_their_looks(choices):
    looks, before = Looks(), {}
    for names in choices:
        now = looks.take(names)
        assert list(now) == names
        assert len({curve_look({"look": look}, 0) for look in now.values()}) == len(names)
        assert all(now[name] == before[name] for name in names if name in before)
        before = now


@given(st.lists(st.sampled_from(NAMES), unique=True, max_size=len(PALETTE)))
def test_so_many_methods_as_there_are_colors_differ_in_color(names):
    colors = {curve_look({"look": look}, 0)[0] for look in Looks().take(names).values()}
    assert len(colors) == len(names)
