"""The cards of methods."""

from io import BytesIO

import pytest
from PIL import Image

from xai_widgets.explorers.method_choice import method_picker
from xai_widgets.methods import METHODS, as_method, card
from xai_widgets.methods.cards import IMAGES


def test_a_card_has_the_facts_of_the_registry():
    method = METHODS["integrated_gradients"]
    assert card("integrated_gradients").facts == {
        "Formula": method.formula,
        "Cost": str(method.cost),
        "Guarantees": method.guarantees,
        "Limits": method.limits,
        "Source": method.source,
    }
    text, page = repr(card("lrp")), METHODS["lrp"]._repr_html_()
    for fact in (METHODS["lrp"].title, METHODS["lrp"].source):
        assert fact in text
        assert fact in page
    assert "data:image/webp;base64," in page


def test_text_is_escaped():
    html = as_method(("<b>", lambda model, x, target: x))._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


def test_methods_that_run_on_a_bundled_network_have_an_example():
    drawn = {path.stem for path in IMAGES.glob("*.webp")}
    assert drawn == {name for name, method in METHODS.items() if "attention" not in method.requires}
    for path in IMAGES.iterdir():
        assert Image.open(path).size == (292, 144)
    assert sum(path.stat().st_size for path in IMAGES.iterdir()) < 200_000


def test_an_unknown_method_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'lrp'"):
        card("lpr")


def test_a_picker_sends_the_example_of_the_card_that_is_open():
    picker = method_picker(METHODS, [])
    assert picker.cards["lrp"]["Source"] == METHODS["lrp"].source
    picker._card = "lrp"
    assert Image.open(BytesIO(picker._image)).format == "WEBP"
    picker._card = "legrad"
    assert picker._image == b""
