"""The base class of views."""

import gc
import math
import weakref

import numpy as np
import pytest

import xai_widgets.views
from xai_widgets.views import ClassPicker, HeatmapView, OrderedMaskView, View

VIEWS = [HeatmapView, OrderedMaskView]
ALL = [
    value
    for name in xai_widgets.views.__all__
    if isinstance(value := getattr(xai_widgets.views, name), type) and value is not View
]


@pytest.mark.parametrize("view", VIEWS)
def test_unknown_keyword_names_the_nearest(view):
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'positon'; did you mean 'position'"):
        view(positon=[0, 0])


@pytest.mark.parametrize("view", VIEWS)
def test_refresh_sends_an_array_again(view, monkeypatch):
    widget = view(image=np.zeros((2, 2, 3), np.uint8))
    sent = []
    monkeypatch.setattr(widget, "send_state", sent.append)
    widget.image[0, 0] = 255
    widget.refresh("image")
    assert sent == ["image"]
    with pytest.raises(ValueError, match="did you mean 'image'"):
        widget.refresh("imag")


@pytest.mark.parametrize("view", ALL)
def test_the_documentation_is_made_from_the_help_of_the_traits(view):
    own = view.class_traits(sync=True).keys() - View.__mro__[1].class_traits().keys()
    assert {"title", "width", "_channels"} <= own
    sections = view.__doc__.split("Attributes\n----------\n")
    assert len(sections) == 2
    documented = {line.split(" : ")[0] for line in sections[1].splitlines() if " : " in line}
    assert documented >= {name for name in own if not name.startswith("_")}
    assert not any(name in documented for name in own if name.startswith("_"))
    assert all(view.class_traits()[name].help for name in own)


@pytest.mark.parametrize("view", ALL)
def test_every_default_can_be_passed(view):
    one = view()
    for name in view.class_traits(sync=True).keys() - View.__mro__[1].class_traits().keys():
        value = getattr(one, name)
        given = getattr(view(**{name: value}), name)
        assert given is value is None or given == value, name


@pytest.mark.parametrize("view", VIEWS)
def test_closing_releases_the_view_and_its_arrays(view):
    widget = view(image=np.zeros((4, 4, 3), np.uint8))
    refs = [weakref.ref(widget), weakref.ref(widget.image)]
    widget.close()
    # close() leaves the layout registered with ipywidgets, as for every widget; it holds nothing of the view.
    del widget
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


@pytest.mark.parametrize("view", ALL)
def test_the_bundle_is_text_not_a_watched_path(view):
    assert "render" in view._esm
    assert ".xw" in view._css


def test_nan_in_a_list_reaches_the_browser_as_none():
    picker = ClassPicker(labels=["a", "b"], probabilities=[float("nan"), 0.5])
    assert picker.get_state("probabilities") == {"probabilities": [None, 0.5]}
    assert math.isnan(picker.probabilities[0])
