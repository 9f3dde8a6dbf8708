"""The controls of one line: list, check box and menu of display settings."""

import pytest
from traitlets import TraitError

from xai_widgets.views import CheckView, DisplayMenu, HeatmapView, SelectView
from xai_widgets.views.display_menu import SETTINGS


def test_the_first_option_is_chosen_unless_another_is():
    assert SelectView(options=["a", "b"]).value == "a"
    assert SelectView(options=["a", "b"], value="b").value == "b"
    assert SelectView().value == ""


def test_other_options_keep_the_choice_or_begin_with_the_first():
    select = SelectView(options=["a", "b"], value="b")
    select.options = ["c", "b"]
    assert select.value == "b"
    select.options = ["c", "d"]
    assert select.value == "c"
    select.options = []
    assert select.value == ""


def test_a_value_that_is_no_option_is_refused_with_the_nearest():
    with pytest.raises(TraitError, match="unknown option 'layer_3'; did you mean 'layer3'"):
        SelectView(options=["layer3"], value="layer_3")
    with pytest.raises(TraitError, match="to have each name once, got 'a' twice"):
        SelectView(options=["a", "a"])


def test_a_check_box():
    box = CheckView(title="Gray image", value=True)
    box.value = False
    with pytest.raises(TraitError):
        box.value = "yes"


def test_a_menu_takes_the_settings_of_views():
    menu, heatmap = DisplayMenu(), HeatmapView()
    shared = [name for name in SETTINGS if heatmap.has_trait(name)]
    assert set(SETTINGS) - set(shared) == {"scale", "threshold"}
    assert {name: getattr(menu, name) for name in shared} == {name: getattr(heatmap, name) for name in shared}
    assert DisplayMenu(shown=["gray", "opacity"]).shown == ["opacity", "gray"]
    with pytest.raises(TraitError, match="unknown setting 'opacty'; did you mean 'opacity'"):
        DisplayMenu(shown=["opacty"])


def test_a_change_in_the_browser_is_acknowledged():
    box = CheckView()
    box._handle_custom_msg({"type": "ping", "id": 3}, [])
    assert box._acknowledged == 3
    box._handle_custom_msg({"type": "other", "id": 4}, [])
    assert box._acknowledged == 3
