"""The page as text: escaped, self-contained, one plotly, scripts only by hash, sound JSON."""

import base64
import hashlib
import json
import math
import re
import time
from dataclasses import replace
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest

from viz.data import to_csv
from viz.page.page import Report, Section, Table, render


class Page(HTMLParser):
    """Start tags with attributes, the scripts' text, and all other text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.text = ""
        self._script: list[str] | None = None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if tag == "script":
            self._script = []

    def handle_data(self, data):
        if self._script is None:
            self.text += data
        else:
            self._script.append(data)

    def handle_endtag(self, tag):
        if tag == "script" and self._script is not None:
            self.scripts.append((self.tags[-1][1], "".join(self._script)))
            self._script = None

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def parsed(page) -> Page:
    return Page(page)


@pytest.fixture(scope="module")
def payload(parsed) -> dict:
    (text,) = [text for attrs, text in parsed.scripts if attrs.get("type") == "application/json"]

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def small(**changes) -> Report:
    base = Report("T", "V", "H", "none", (), (Section("Only", "Text."),), "")
    return replace(base, **changes)


def test_plotly_is_inlined_once_and_nothing_is_loaded(page, parsed):
    assert page.count("* plotly.js v") == 1
    assert len(parsed.scripts) == 3  # data, plotly, ours
    assert len(page.encode()) < 8e6
    for _, attrs in parsed.tags:
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            assert not re.match(r"\s*(https?:)?//", attrs.get(name, ""))
        assert not any(name.startswith("on") for name in attrs)
    style = re.search(r"<style>(.*?)</style>", page, re.S)
    assert style
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_policy_allows_exactly_the_two_scripts(page, parsed):
    (policy,) = [
        a["content"] for a in parsed.all("meta") if a.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data: blob:"
    assert "unsafe" not in rules["script-src"]
    assert "connect-src" not in rules
    run = [text for attrs, text in parsed.scripts if not attrs.get("type")]
    digests = [base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in run]
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    assert "\r" not in page  # a browser would rewrite it and break the hash


def test_hostile_text_stays_text_everywhere(page, parsed, evil):
    assert evil not in page  # not even inside the JSON, where it would end the element
    assert parsed.text.count(evil) >= 4  # title, heading, headline, prose, table
    assert not parsed.all("b")
    assert not parsed.all("i")
    assert "last & <b>first</b>" in parsed.text
    assert "a < b && c" in parsed.text


def test_order_is_verdict_contents_sections(page, parsed, report):
    places = [page.index(mark) for mark in ('id="verdict"', "<nav", 'id="s1"', 'id="s2"')]
    assert places == sorted(places)
    ids = [attrs["id"] for attrs in parsed.all("h2") if "id" in attrs]
    links = [a["href"][1:] for a in parsed.all("a") if a["href"].startswith("#s")]
    assert links == ids
    assert len(ids) == len(report.sections) + 1
    assert report.reproduce in parsed.text


def test_blank_lines_part_paragraphs(parsed):
    page = render(small(sections=(Section("S", "one\nstill one\n\n two \n\n\n"),)))
    body = page[page.index('id="s1"') : page.index("<footer>")]
    assert body.count("<p>") == 2
    assert render(small(sections=(Section("S"),))).count("<p>") == page.count("<p>") - 2


def test_each_figure_has_its_data_caption_and_buttons(parsed, payload, report):
    figures = [figure for section in report.sections for figure in section.figures]
    assert len(payload["figures"]) == len(parsed.all("figure")) == len(figures)
    for given, sent in zip(figures, payload["figures"], strict=True):
        assert sent["csv"] == to_csv(given)
        assert "template" not in sent["layout"]
        assert len(sent["data"]) == len(given.data)
    first = payload["figures"][0]
    recovery = first["data"][0]["z"][3][1]
    assert repr(recovery) in first["csv"]
    names = [figure["name"] for figure in payload["figures"]]
    assert names[:3] == ["patching-1", "patching-2", "probes"]
    assert len(set(names)) == len(names)
    acts = [a["data-act"] for a in parsed.all("button") if "data-figure" in a]
    assert acts == ["csv", "svg", "png"] * len(figures)


def test_templates_for_both_themes_differ(payload):
    light, dark = (payload["templates"][name]["layout"] for name in ("light", "dark"))
    assert light["paper_bgcolor"] != dark["paper_bgcolor"]
    assert light["colorscale"] != dark["colorscale"]


def test_nan_and_infinity_become_null():
    figure = go.Figure(go.Scatter(x=[1, 2, 3], y=[math.nan, math.inf, 1.0]))
    parsed = Page(render(small(sections=(Section("S", figures=(figure,)),))))
    data = next(text for attrs, text in parsed.scripts if attrs.get("type"))
    assert json.loads(data)["figures"][0]["data"][0]["y"] == [None, None, 1.0]


def test_tables_escape_and_set_numbers_flush_right():
    table = Table(("name", "rate"), (("a", "0.5"), ("b", "-1.2e-3"), ("c", "96% [80, 99]")), "C")
    page = render(small(sections=(Section("S", tables=(table,)),)))
    assert page.count('class="num"') == 4  # three cells and their header
    assert '<td class="num">0.5</td>' in page
    assert '<td class="brief">a</td>' in page
    assert '96% <span class="interval">[80, 99]</span>' in page


def test_a_heading_that_says_nothing_is_no_heading_and_tables_are_no_landmarks():
    page = render(small(sections=(Section("S", tables=(Table(("a", ""), (("1", "x"),)),) * 2),)))
    assert page.count("<th ") == 2
    assert page.count('<td class="brief"></td>') == 2
    assert 'role="region"' not in page


def test_parts_of_parts_are_folded_and_their_names_are_text(evil):
    inner = Section(evil, "Deep.", folded=True, lead=(Table(("h",), (("1",),), "first"),))
    page = render(small(sections=(Section("S", parts=(Section(evil, "Text.", parts=(inner,)),)),)))
    assert evil not in page
    assert page.index("<h3>") < page.index('<details class="part"><summary><h4>')
    assert len(Page(page).all("details")) == 1


def test_line_ends_and_surrogates_do_not_break_the_page():
    page = render(small(title="a\r\nb \ud800 c"))
    assert "\r" not in page
    assert page.encode("utf-8")


def test_an_unknown_tone_is_refused():
    with pytest.raises(ValueError, match="tone"):
        render(small(tone="maybe"))
    assert "tone-unclear" in render(small(tone="unclear"))


def test_rendering_is_deterministic(report, page):
    assert render(report) == page


def test_a_long_cell_is_text_at_once_and_numbers_are_numbers():
    begun = time.process_time()
    (kind,) = Table(("x",), [("1" + " " * 30_000 + "x",), ("1 [" + "](" * 30_000,)]).kinds
    assert time.process_time() - begun < 0.5
    assert kind == "long"
    cells = ["1.5 [0.4, 2.6] (n = 12)", "-3%", "", "1e-5", "≈ 4"]
    assert Table(("x",), [(cell,) for cell in cells]).kinds == ["num"]
