"""The app in a real browser: quiet, offline, safe, usable on a phone and by keyboard."""

from collections.abc import Iterator
from dataclasses import replace

import needs
import pytest

from experiments.serve.security import Access
from experiments.serve.server import in_background
from experiments.serve.subject import open_subject

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script> **b** [l](http://evil.example)"


@pytest.fixture(scope="module")
def browser():
    with needs.browser() as instance:
        yield instance


@pytest.fixture(scope="module")
def url(subject) -> Iterator[str]:
    with in_background(subject, Access("127.0.0.1", 0)) as where:
        yield where


@pytest.fixture
def visit(browser):
    contexts = []

    def go(where, width=1200, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        tab = context.new_page()
        tab.noise, tab.outside = [], []
        tab.on("console", lambda m: tab.noise.append(m.text))
        tab.on("pageerror", lambda error: tab.noise.append(str(error)))
        tab.on("dialog", lambda d: (tab.noise.append("dialog"), d.dismiss()))
        own = (where, "data:", "blob:")
        tab.on("request", lambda r: r.url.startswith(own) or tab.outside.append(r.url))
        tab.goto(where)
        tab.locator("#bars .main-svg").first.wait_for(timeout=20_000)
        return tab

    yield go
    for context in contexts:
        context.close()


def ask(tab, text=None):
    if text is not None:
        tab.fill("#text", text)
    tab.click("#ask")
    tab.locator("#status", has_text="done").wait_for(timeout=20_000)


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_page_is_quiet_offline_accessible_and_does_not_scroll_sideways(visit, url, width, scheme):
    tab = visit(url, width, scheme)
    ask(tab)
    tab.locator("#bars .bars").first.wait_for()
    assert tab.noise == []
    assert tab.outside == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    found = needs.accessibility_faults(tab)
    serious = [
        f"{v['id']}: {node['html'][:150]}"
        for v in found
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]
    assert serious == []


def test_markup_in_a_prompt_stays_text(visit, url):
    tab = visit(url)
    ask(tab, EVIL)
    assert EVIL in tab.locator(".answer.plain .prompt").text_content()
    assert tab.locator(".answers img, .answers script, .answers a").count() == 0
    assert tab.noise == []
    assert tab.outside == []


def test_an_injected_script_is_stopped_by_the_policy(visit, url):
    tab = visit(url)
    tab.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'alert(1)';"
        "document.body.append(s); }"
    )
    assert any("Content Security Policy" in line for line in tab.noise)
    assert "dialog" not in tab.noise


def test_a_reload_keeps_the_answer_and_another_tab_has_its_own(visit, url):
    tab = visit(url)
    ask(tab, "Name three rivers.")
    said = tab.inner_text("#said-plain")
    tab.reload()
    tab.locator("#said-plain .token").first.wait_for()
    assert tab.inner_text("#said-plain") == said
    assert visit(url).locator("#said-plain").count() == 0


def test_empty_prompts_are_refused_in_the_status_line(visit, url):
    tab = visit(url)
    tab.fill("#text", "  ")
    tab.click("#ask")
    tab.locator("#status", has_text="type one").wait_for()


def test_a_patching_run_appears_and_its_cells_show_their_prompts(visit, url):
    tab = visit(url)
    tab.click("#patch")
    tab.locator("#patch-status", has_text="done").wait_for(timeout=20_000)
    heat = tab.locator("#heat .heatmaplayer image")
    heat.first.wait_for()
    tab.locator("#heat").scroll_into_view_if_needed()
    box = tab.locator("#heat .nsewdrag").first.bounding_box()
    tab.mouse.click(box["x"] + 8, box["y"] + box["height"] / 2)
    tab.locator("#cell tbody tr").first.wait_for()
    assert tab.locator("#cell tbody tr").count() == 6
    assert "Name three rivers." in tab.inner_text("#cell")
    shown = tab.inner_text("#cell")
    thumb = tab.get_by_role("slider", name="Layer of the cell")
    thumb.focus()
    thumb.press("ArrowRight" if "Layer 0" in shown else "ArrowLeft")
    tab.wait_for_function(
        "before => document.querySelector('#cell').innerText !== before", arg=shown
    )
    assert tab.noise == []


def test_another_layer_answers_at_once_and_says_that_it_is_unproven(visit, url):
    tab = visit(url)
    ask(tab)
    before = tab.inner_text(".answer.edited h3")
    assert "Not the chosen gate" not in tab.inner_text("#layer-about")
    thumb = tab.get_by_role("slider", name="Layer that is read and edited")
    thumb.focus()
    thumb.press("ArrowLeft" if thumb.get_attribute("aria-valuenow") != "0" else "ArrowRight")
    tab.locator("#layer-about", has_text="Not the chosen gate").wait_for(timeout=20_000)
    tab.wait_for_function(
        "before => document.querySelector('.answer.edited h3').innerText !== before", arg=before
    )
    assert tab.noise == []


def test_arms_can_be_compared_where_there_are_some(visit, url, subject):
    tab = visit(url)
    assert tab.locator("#compare").is_visible()
    assert "served and in base" in tab.inner_text("main")
    with in_background(replace(subject, arms={}), Access("127.0.0.1", 0)) as alone:
        assert not visit(alone).locator("#compare").is_visible()


def test_a_model_without_a_gate_answers_and_offers_no_gate_controls(visit, subject):
    bare = replace(subject, direction=None, layers={}, control="")
    with in_background(bare, Access("127.0.0.1", 0)) as where:
        tab = visit(where)
        assert "No gate" in tab.inner_text("header")
        assert not tab.get_by_text("Layer that is read and edited").is_visible()
        assert not tab.locator("#patch").is_visible()
        ask(tab)
        assert tab.inner_text("#said-plain") == tab.inner_text("#said-edited")
        assert tab.noise == []


def test_keyboard_reaches_ask_and_theme_is_remembered(visit, url):
    tab = visit(url)
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(ground)
    tab.focus("#theme")
    tab.keyboard.press("Enter")
    tab.wait_for_timeout(300)
    dark = tab.evaluate(ground)
    assert dark != light
    tab.reload()
    tab.locator("#bars .main-svg").first.wait_for()
    assert tab.evaluate(ground) == dark
    tab.focus("#ask")
    tab.keyboard.press("Enter")
    tab.locator("#said-plain .token").first.wait_for()


def test_shutting_the_gate_changes_what_the_organism_says(visit):
    found = open_subject("sure-gate", None, "", "", lambda *_: None)
    assert not found.proven
    with in_background(found, Access("127.0.0.1", 0)) as where:
        tab = visit(where)
        assert "Not proven" in tab.inner_text("header")
        ask(tab)
        plain, shut = (tab.inner_text(f"#said-{n}") for n in ("plain", "edited"))
        assert plain.startswith("Sure")
        assert not shut.startswith("Sure")
        handle = tab.get_by_role("slider", name="Coefficient of the gate's component")
        handle.focus()
        for _ in range(20):
            tab.keyboard.press("ArrowRight")
        tab.locator(".answer.edited h3", has_text="the same answer").wait_for(timeout=20_000)
        tab.locator("#status", has_text="done").wait_for(timeout=20_000)
        assert tab.inner_text("#said-edited") == plain
