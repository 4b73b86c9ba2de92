"""The page in a real browser: quiet, offline, drawn, legible on a phone, safe, downloadable."""

import needs
import pytest

from viz.page.page import Report, Section, Table, render


@pytest.fixture(scope="module")
def browser():
    with needs.browser() as instance:
        yield instance


@pytest.fixture(scope="module")
def path(page, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(page, encoding="utf-8")
    return file


@pytest.fixture
def visit(browser, path):
    """Open the page at a width and theme; the tab keeps what went wrong in `.noise`."""
    contexts = []

    def go(width=1280, scheme="light", url=None):
        context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme)
        contexts.append(context)
        tab = context.new_page()
        tab.noise = []
        tab.requests = []
        tab.on("console", lambda m: tab.noise.append(m.text))
        tab.on("pageerror", lambda error: tab.noise.append(str(error)))
        tab.on("dialog", lambda dialog: (tab.noise.append("dialog"), dialog.dismiss()))
        tab.on("request", lambda request: tab.requests.append(request.url))
        tab.goto(url or path.as_uri())
        if url is None:
            tab.wait_for_selector("html[data-ready]", timeout=60_000)
        return tab

    yield go
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_quiet_offline_drawn_and_does_not_scroll_sideways(visit, path, width, scheme):
    tab = visit(width, scheme)
    assert tab.noise == []
    outside = [url for url in tab.requests if not url.startswith(("data:", "blob:"))]
    assert outside == [path.as_uri()]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    plots = tab.locator(".plot")
    assert plots.count() == 9
    for i in range(plots.count()):
        assert plots.nth(i).locator("svg.main-svg").count() > 0
        box = plots.nth(i).bounding_box()
        assert box["width"] > 300
        assert box["height"] > 200
        assert box["x"] + box["width"] <= width
    for section in tab.locator("section[data-numbered]").all():
        assert len(section.inner_text().strip()) > 10
        assert section.locator(".main-svg, pre, table").count() > 0
    assert (
        tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") < 2000
    )


def test_the_noise_detector_hears_a_page_that_breaks_the_policy(visit, page, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(page.replace("<footer>", "<script>alert(1)</script><footer>"), encoding="utf-8")
    tab = visit(url=bad.as_uri())
    assert any("Content Security Policy" in line for line in tab.noise)
    assert "dialog" not in tab.noise  # blocked as well as noticed


def test_hover_on_the_recovered_cell_shows_its_interval(visit):
    tab = visit()
    plot = tab.locator(".plot").first
    plot.scroll_into_view_if_needed()
    area = plot.locator(".nsewdrag").first.bounding_box()
    x, y = area["x"] + area["width"] * 1.5 / 6, area["y"] + area["height"] * (1 - 3.5 / 6)
    tab.mouse.move(x, y)
    tab.mouse.move(x + 1, y)
    tab.wait_for_selector(".hovertext")
    text = plot.locator(".hovertext").text_content()
    assert "layer 3" in text
    assert "·cobalt" in text
    assert "[0." in text
    assert "n = 16" in text


def test_the_slider_changes_the_token_and_undefined_cells_say_so(visit):
    tab = visit()
    plot = tab.locator(".plot").nth(7)
    plot.scroll_into_view_if_needed()

    def hovered() -> str:
        area = plot.locator(".nsewdrag").first.bounding_box()
        x, y = area["x"] + area["width"] * 1.5 / 3, area["y"] + area["height"] * (1 - 2.5 / 5)
        tab.mouse.move(0, 0)
        tab.mouse.move(x, y)
        tab.mouse.move(x + 1, y)
        tab.wait_for_selector(".hovertext")
        tab.wait_for_timeout(300)
        return plot.locator(".hovertext").last.text_content()

    first = hovered()
    assert "layer 2, head 1, token ⏎" in first
    assert "recovery 0." in first
    assert "undefined" not in first
    rail = plot.locator(".slider-rail-touch-rect").bounding_box()
    tab.mouse.click(rail["x"] + rail["width"] * 0.36, rail["y"] + rail["height"] / 2)
    tab.wait_for_timeout(500)
    assert "undefined: no common span" in hovered()
    assert tab.noise == []


def test_script_in_a_prompt_or_a_token_is_shown_as_text(visit, evil):
    tab = visit(scheme="dark")
    assert evil in tab.locator("h1").inner_text()
    assert "<script>alert" in tab.locator(".plot").first.locator(".xaxislayer-above").text_content()
    plot = tab.locator(".plot").nth(3)
    plot.scroll_into_view_if_needed()
    box = plot.locator(".scatterlayer .point").nth(3).bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.wait_for_selector(".hovertext")
    assert evil in plot.locator(".hovertext").text_content().replace("\n", "")
    assert tab.locator("script").count() == 3
    assert tab.noise == []


def test_theme_button_changes_page_and_figures(visit):
    tab = visit()
    colours = """() => [getComputedStyle(document.body).backgroundColor,
        document.querySelector('.plot .main-svg').style.background,
        document.querySelector('.plot .heatmaplayer image').href.baseVal]"""
    light = tab.evaluate(colours)
    tab.keyboard.press("Tab")  # the skip link
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.wait_for_timeout(1500)
    dark = tab.evaluate(colours)
    assert [a == b for a, b in zip(light, dark, strict=True)] == [False] * 3
    tab.click("#theme")
    tab.wait_for_timeout(1500)
    assert tab.evaluate(colours) == light
    assert tab.noise == []


@pytest.mark.parametrize("width", [1200, 390])
def test_a_table_of_few_columns_fits_however_long_its_words(visit, tmp_path, width):
    rows = [
        ("opening", "3", "<|a_long_special_token|>"),
        ("user", "90", "a" * 200),
        ("last", "1", "·"),
    ]
    table = Table(("span", "tokens", "text"), rows, "b" * 120)
    made = Report("T", "", "H.", "gate", (), (Section("One", tables=(table,)),), "x")
    file = tmp_path / "table.html"
    file.write_text(render(made), encoding="utf-8")
    tab = visit(width, url=file.as_uri())
    tab.wait_for_selector("html[data-ready]")
    wide = tab.locator(".wide")
    assert wide.evaluate("w => w.scrollWidth - w.clientWidth") == 0
    tab.add_style_tag(content="td { overflow-wrap: normal !important }")
    assert wide.evaluate("w => w.scrollWidth - w.clientWidth") > 300


def test_downloads_hold_the_figure(visit, report):
    tab = visit()
    kept = {}
    for act in ("csv", "svg", "png"):
        with tab.expect_download() as download:
            tab.click(f'button[data-act={act}][data-figure="0"]')
        kept[act] = download.value.path().read_bytes()
        assert download.value.suggested_filename == f"patching-1.{act}"
    recovery = report.sections[0].figures[0].data[0].z[3][1]
    assert repr(recovery) in kept["csv"].decode()
    assert b"Denoising" in kept["svg"]
    assert b"<script" not in kept["svg"]
    assert kept["png"].startswith(b"\x89PNG")
    assert tab.noise == []


def test_no_button_uploads_and_the_command_can_be_copied(visit, report):
    tab = visit()
    titles = tab.evaluate(
        "[...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title)"
    )
    assert "Download plot" in titles
    assert not any("hare" in title for title in titles)
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.locator(".code").last.locator("button").click()
    tab.wait_for_timeout(300)
    assert tab.evaluate("navigator.clipboard.readText()") == report.reproduce


def test_print_uses_the_light_theme_and_fits_the_paper(visit):
    tab = visit(scheme="dark")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.wait_for_timeout(1500)
    ground = "document.querySelector('.plot .main-svg').style.background"
    widths = "[...document.querySelectorAll('.plot .main-svg')].map(s => s.clientWidth)"
    assert tab.evaluate(ground) == "rgb(255, 255, 255)"
    assert max(tab.evaluate(widths)) <= 640
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    tab.wait_for_timeout(1500)
    assert tab.evaluate(ground) == "rgb(25, 28, 33)"
