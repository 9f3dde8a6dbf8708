"""Every explorer for every hand and eye: axe-core, tooltips, keyboard, both themes, narrow pages, few cones."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from chromium_browser import open_file
from explorer_pages import EXPLORERS, export
from hosts import ROOT
from playwright.sync_api import expect
from skimage import color, io

import xai_widgets as xw
from xai_widgets.views import CurveView, HeatmapView

AXE = ROOT / "js" / "node_modules" / "axe-core" / "axe.min.js"
CHECKS = ROOT / "tests" / "browser" / "accessibility.js"
#: Rules of WCAG 2.0 to 2.2, A and AA, and the best practices of axe-core.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN_AXE = """async (rules) => {
  const {violations} = await axe.run(document, {runOnly: {type: 'tag', values: rules}, resultTypes: ['violations']});
  return violations.flatMap(({id, nodes}) => nodes.map(({html, failureSummary}) => `${id}: ${html} ${failureSummary}`));
}"""
#: Controls without a tooltip on them or around them. Images are left out, though some have the role of a control.
UNTITLED = """() => [...document.querySelectorAll('.xw :is(button, [role=combobox], input, summary, [role=slider])')]
  .filter((node) => !node.closest('[title]:not([title=""]), [type=file], .xw-stage'))
  .map((node) => `${node.closest('.xw').className}: ${node.getAttribute('aria-label') || node.textContent}`)"""
THEMES = ("light", "dark")
WIDE = 1200
#: The width that Colab leaves beside an open panel, and a window of 640 px at 200 %.
NARROW = (480, 380, 320)
#: Least contrast of text, and of lines, marks and rings, after WCAG 2.2.
TEXT, MARK = 4.5, 3
DEFICIENCIES = ("none", "protanopia", "deuteranopia", "tritanopia")
every_explorer = pytest.mark.parametrize("name", EXPLORERS)
both_themes = pytest.mark.parametrize("theme", THEMES)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The page of an explorer by its name, made when first asked for."""
    folder, model, made = tmp_path_factory.mktemp("pages"), xw.load("scenes_resnet"), {}

    def page_of(name):
        if name not in made:
            made[name] = export(name, model, folder)
        return made[name]

    return page_of


@pytest.fixture(scope="module")
def kept():
    """The pages that are open, by their files, and their errors."""
    pages, trouble = {}, []
    yield pages, trouble
    for page in pages.values():
        page.close()


@pytest.fixture
def opened(offline, kept):
    """Open a file with the checks in it; its page stays open for other tests unless it is to be ``fresh``."""
    if not AXE.exists():
        pytest.fail("axe-core is missing: run npm ci in js", pytrace=False)
    pages, trouble = kept
    own = []

    def open_page(path, theme="light", *, fresh=False, motion="no-preference"):
        if fresh or path not in pages:
            page = open_file(offline, path, trouble, color_scheme=theme, reduced_motion=motion)
            expect(page.locator("main")).not_to_have_attribute("aria-busy", "true")
            for script in (AXE, CHECKS):
                page.evaluate(script.read_text(encoding="utf-8"))
            if fresh:
                own.append(page)
            else:
                pages[path] = page
        page = own[-1] if fresh else pages[path]
        page.set_viewport_size({"width": WIDE, "height": 900})
        page.emulate_media(color_scheme=theme, reduced_motion=motion)
        page.bring_to_front()
        page.mouse.move(0, 0)
        page.evaluate("() => { checks.sleep(); document.activeElement.blur(); scrollTo(0, 0); }")
        page.evaluate("checks.settled()")
        return page

    yield open_page
    for page in own:
        page.close()
    found = [trouble.pop() for _ in trouble[:]]
    assert found == []


def pixels(page, clip):
    return io.imread(BytesIO(page.screenshot(clip=clip)))[..., :3]


def luminance(rgb):
    part = np.asarray(rgb, float) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    """Contrast of sRGB bytes (..., 3), after WCAG 2.2."""
    high, low = np.maximum(luminance(one), luminance(other)), np.minimum(luminance(one), luminance(other))
    return (high + 0.05) / (low + 0.05)


@every_explorer
def test_every_control_has_a_tooltip(files, opened, name):
    page = opened(files(name))
    assert page.evaluate(UNTITLED) == []


@every_explorer
def test_axe_finds_nothing(files, opened, name):
    page = opened(files(name))
    assert page.evaluate(RUN_AXE, RULES) == [], "as exported"
    page.evaluate("checks.wake()")
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        page.evaluate("checks.settled()")
        assert page.evaluate(RUN_AXE, RULES) == [], theme


@every_explorer
def test_tab_reaches_every_control_in_order_and_each_has_a_name(files, opened, name):
    page = opened(files(name))
    page.evaluate("checks.wake()")
    controls = page.evaluate("checks.controls()")
    assert len(controls) > 5
    assert [each["html"] for each in controls if not each["name"]] == []
    for direction, order in (
        ("Tab", range(len(controls))),
        ("Shift+Tab", reversed(range(len(controls) - 1))),
    ):
        for number in order:
            page.keyboard.press(direction)
            assert page.evaluate("checks.focused()") == number, controls[number]["html"]
        if direction == "Tab":
            # The last one lets go: the page has the focus, then the browser.
            page.keyboard.press("Tab")
            assert page.evaluate("checks.focused()") == -1
            page.locator(f"[data-walk='{len(controls) - 1}']").focus()


# The dark theme changes only the color, which all rings have in common.
@pytest.mark.parametrize(("theme", "names"), [("light", list(EXPLORERS)), ("dark", ["brush", "dashboard"])])
def test_the_focus_is_seen(files, opened, theme, names):
    """Pixels change by 3:1 or more around what has the focus, as many as a line along two of its sides has."""
    seen = set()
    for name in names:
        page = opened(files(name), theme)
        page.evaluate("checks.wake()")
        for number, control in enumerate(page.evaluate("checks.controls()")):
            if control["kind"] in seen:
                continue
            seen.add(control["kind"])
            # A key first: the browser shows the focus of those who use keys.
            page.keyboard.press("Shift")
            page.locator(f"[data-walk='{number}']").focus()
            clip = page.evaluate("checks.around()")
            page.evaluate("checks.settled()")
            focused = pixels(page, clip)
            page.evaluate("document.activeElement.blur()")
            page.evaluate("checks.settled()")
            changed = (contrast(focused, pixels(page, clip)) >= MARK).sum()
            assert changed >= clip["width"] + clip["height"] - 32, (name, control["html"])
    assert len(seen) > 8


@every_explorer
def test_what_a_key_does_is_said(files, opened, name):
    """A slider, a cursor, a position in an image and a choice of a list announce their new value after an arrow key."""
    page = opened(files(name))
    places = page.locator("main :is([role=slider], [role=application], [role=listbox], input[type=range])")
    count = 0
    for place in places.all():
        if not place.is_visible() or place.evaluate("el => el.disabled || !!el.closest('[inert]')"):
            continue
        place.focus()
        # Whatever it stands at, one of them goes elsewhere.
        page.keyboard.press("Home")
        page.evaluate("checks.settled()")
        before = page.evaluate("checks.said()")
        page.keyboard.press("ArrowRight")
        page.wait_for_function("(before) => checks.said() !== before", arg=before)
        count += 1
    # The brush paints with a kernel only, and a leaderboard has buttons alone.
    assert count > 0 or name in ("brush", "leaderboard")


@both_themes
@pytest.mark.parametrize("name", ["deletion", "extremal", "channel"])
def test_text_that_canvases_draw_is_read(files, opened, name, theme):
    page = opened(files(name), theme)
    background, muted, foreground, accent, error = page.evaluate(
        "checks.colors('--xw-bg', '--xw-muted', '--xw-fg', '--xw-accent', '--xw-error')"
    )
    assert (luminance(background) < 0.1) == (theme == "dark")
    assert contrast(muted, background) >= TEXT
    assert contrast(foreground, background) >= 7
    assert contrast(error, background) >= TEXT
    assert contrast(accent, background) >= MARK
    for plot in page.locator(".uplot canvas").all():
        if not plot.is_visible():
            continue
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        # The numbers along the y axis; the thin strokes of letters reach their color somewhere.
        drawn = pixels(page, {"x": box["x"] + 14, "y": box["y"], "width": 24, "height": box["height"]})
        assert contrast(drawn, background).max() >= TEXT


@every_explorer
def test_a_narrow_page_has_everything(files, opened, name):
    page = opened(files(name), fresh=True)
    page.evaluate("checks.wake()")
    for width in NARROW:
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("checks.settled()")
        page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("checks.cut()") == [], width
        assert page.evaluate("checks.overlaps()") == [], width
    assert page.evaluate("checks.small(9)") == []


@every_explorer
def test_nothing_moves_for_who_wants_it_still(files, opened, name):
    page = opened(files(name), fresh=True, motion="reduce")
    # The animation of a running computation is tested elsewhere.
    page.evaluate(
        "document.querySelectorAll('[data-state]').forEach((el) => { el.dataset.state = 'computing'; })"
    )
    page.evaluate(
        "document.querySelectorAll('[data-status]').forEach((el) => { el.dataset.status = 'running'; })"
    )
    assert page.evaluate("checks.moves(0.01)") == []


def test_something_moves_for_others(files, opened):
    """The check sees what moves."""
    page = opened(files("attribution"), fresh=True)
    assert page.evaluate("checks.moves(0.01)") != []


def deficiency(page, kind):
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setEmulatedVisionDeficiency", {"type": kind})


@both_themes
def test_curves_stay_apart_without_a_kind_of_cones(opened, tmp_path, theme):
    view = CurveView(
        x=[0, 1],
        y=np.arange(16).reshape(8, 2),
        series=[{"label": str(n)} for n in range(8)],
        title="all colors",
    )
    page = opened(xw.export(view, tmp_path / "page.html").path, theme, fresh=True)
    background = page.evaluate("checks.colors('--xw-bg')")[0]
    # The pieces of the legend, drawn thick enough that a pixel in their middle is all theirs.
    page.add_style_tag(content=".xw-swatch * { stroke-width: 10px !important; }")
    swatches = [swatch.bounding_box() for swatch in page.locator(".xw-swatch").all()]
    assert len(swatches) == 8
    for kind in DEFICIENCIES:
        deficiency(page, kind)
        drawn = io.imread(BytesIO(page.screenshot()))[..., :3]
        colors = np.array(
            [drawn[round(at["y"] + at["height"] / 2), round(at["x"] + at["width"] / 2)] for at in swatches]
        )
        lab = color.rgb2lab(colors / 255)
        apart = color.deltaE_ciede2000(lab[:, None], lab[None])[np.triu_indices(8, 1)]
        assert apart.min() > (15 if kind == "none" else 7.5), kind
        if kind == "none":
            assert contrast(colors, background).min() >= MARK


def scale(page, kind):
    """The colors along the scale of a heat map, as the emulated eye sees them, in Lab."""
    deficiency(page, kind)
    box = page.locator(".xw-scale canvas").bounding_box()
    clip = {"x": box["x"] + 2, "y": box["y"] + 4, "width": box["width"] - 4, "height": 1}
    return color.rgb2lab(pixels(page, clip)[0] / 255)


def test_the_two_signs_of_a_map_stay_apart(opened, tmp_path):
    view = HeatmapView(maps=np.linspace(-1, 1, 48).reshape(1, 6, 8), width=400)
    page = opened(xw.export(view, tmp_path / "page.html").path, fresh=True)
    for kind in DEFICIENCIES:
        line = scale(page, kind)
        low, middle, high = line[0], line[len(line) // 2], line[-1]
        assert color.deltaE_ciede2000(low, high) > 40, kind
        assert color.deltaE_ciede2000(low, middle) > 40, kind
        assert color.deltaE_ciede2000(high, middle) > 40, kind


def test_the_values_of_a_map_of_one_sign_are_read_by_their_lightness(opened, tmp_path):
    view = HeatmapView(maps=np.linspace(0, 1, 48).reshape(1, 6, 8), width=400)
    page = opened(xw.export(view, tmp_path / "page.html").path, fresh=True)
    for kind in (*DEFICIENCIES, "achromatopsia"):
        lightness = scale(page, kind)[:, 0]
        assert np.ptp(lightness) > 80, kind
        # Rounding to bytes may cost half a step.
        assert all(after > before - 0.8 for before, after in pairwise(lightness)), kind


def test_deletion_has_dashes_and_insertion_has_none(files, opened):
    page = opened(files("deletion"))
    for mode, dashed in (("deletion", True), ("insertion", False)):
        head = page.locator(".xw-curve-table thead").get_by_role("button", name=f"AUC {mode}", exact=True)
        dash = head.locator(".xw-swatch *").first.evaluate("(el) => getComputedStyle(el).strokeDasharray")
        assert (dash != "none") == dashed
