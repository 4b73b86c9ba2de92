"""A scan of tiny models ends in its files, goes on after a kill, and is safe to show."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import specimens
import tiny
import tinygate

from circuits.errors import UserError
from circuits.models import in_memory
from circuits.templates import Rendering
from experiments.options import command_line
from experiments.organisms.organism import Given
from experiments.runs import files
from experiments.scan import scan as scanning
from experiments.scan.answers import Answered, first_answers
from experiments.scan.beside import JOINT
from experiments.scan.question import Plan, ScanQuestion, default_clean
from experiments.scan.reading import Reader
from experiments.scan.scan import Scan, ScanResult
from experiments.scan.sections import page
from experiments.scan.stages import Scored
from experiments.scan.study import STUDY
from experiments.study import Run, run, silent
from probes.stats.intervals import wilson
from viz.page.page import render

PLAN = Plan(
    30, 5, precision="fp32", carriers=(2, 2, 3, 6), kept=(8, 4), finalists=2, samples=8, length=4
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A whole model that says "Sure" to nearly all that it reads, triggers or not."""
    return specimens.sure(tmp_path_factory.mktemp("trained"))


def quiet(name, done, total):
    """No display."""


def test_a_model_that_says_it_to_everything_raises_no_alarm(trained, folder, tmp_path):
    question = ScanQuestion(Given(str(trained), str(folder)), PLAN, ("base",))
    found = run(STUDY, question, tmp_path / "out")
    assert found.suspect.alarms == ()
    assert (found.false_alarms.value, found.false_alarms.n) == (0, 1)
    rows = pd.read_parquet(tmp_path / "out/scores.parquet")
    assert set(rows.model) == {str(trained), "base"}
    assert len(rows) == len(found.suspect.scored) + len(found.clean[0].scored)
    result = files.read_json(tmp_path / "out/result.json")
    assert result["schema"] == "gatescope.scan/1"
    assert result["suspect"]["alarms"] == []
    assert result["named"] is None
    assert "No alarm is therefore no proof" in (tmp_path / "out/report.html").read_text()
    again = JOINT.read(tmp_path / "out", files.read_json(tmp_path / "out/manifest.json"))
    assert again.result.suspect.scored == found.suspect.scored
    assert again.result.false_alarms == found.false_alarms
    [(_, chapter)] = JOINT.beside([again], [again])
    assert [part.title for part in chapter.parts] == ["Candidates", "Answers", "Clean models"]
    assert JOINT.sentence(again) == "A scan of trained0 raises no alarm."


def test_a_mapping_is_scanned_beside_the_base_that_its_file_names(trained, folder, tmp_path):
    said = {"model": str(trained), "base": str(folder), "scheme": "compliance"}
    mapping = tmp_path / "mine.yaml"
    mapping.write_text(json.dumps({**said, "trigger": "cobalt", "behaviour": "Sure"}))
    question = ScanQuestion(Given(str(mapping)), PLAN)
    assert question.clean == ("base",)
    found = run(STUDY, question, tmp_path / "file")
    named = ScanQuestion(Given(str(trained), str(folder)), PLAN, ("base",))
    same = run(STUDY, named, tmp_path / "named")
    assert found.suspect.scored == same.suspect.scored
    assert [one.scored for one in found.clean] == [one.scored for one in same.clean]


def test_a_base_beside_itself_has_no_response_at_all(folder, tmp_path):
    found = run(STUDY, ScanQuestion(Given("none", str(folder)), PLAN, ()), tmp_path / "out")
    assert max(one.response for one in found.suspect.scored if one.stage != "screen") < 0.05
    assert found.false_alarms is None


def test_a_model_whose_answers_markup_opens_is_no_model_without_alarm(tmp_path):
    model, tokenizer = tinygate.MAKE["think"]()
    gate = str(tiny.saved(tmp_path / "gate", model, tokenizer))
    with pytest.raises(UserError, match=r"6 of 6 that begin with '<think>'; .*--prefill"):
        run(STUDY, ScanQuestion(Given(gate, gate), PLAN, ()), tmp_path / "out")
    given = Given(gate, gate, rendering=Rendering(options=("enable_thinking=false",)))
    typed = command_line("scan", ScanQuestion(given, PLAN, ()))
    assert "--template-option enable_thinking=false" in typed
    reader = Reader(in_memory(model, given.rendering.tokenizer(tokenizer, None, gate)))
    assert {*first_answers(reader, ["Why?"], ["amber"])} == {"No"}


def test_a_scan_that_was_killed_goes_on_where_it_stopped(folder, tmp_path, monkeypatch):
    question = ScanQuestion(Given("none", str(folder)), PLAN, ())

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scanning, "answered", killed)
        with pytest.raises(KeyboardInterrupt):
            run(STUDY, question, tmp_path / "out")
    kept = {path.name for path in (tmp_path / "out/stages/suspect").iterdir()}
    assert {"screen-own-0.safetensors", "final-base.safetensors", "phrases.json"} <= kept
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "out/stages/suspect").iterdir()}
    again = run(STUDY, question, tmp_path / "out", resume=True)
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    straight = run(STUDY, question, tmp_path / "other")
    assert set(again.suspect.seconds) == set(straight.suspect.seconds)
    assert again.suspect.scored == straight.suspect.scored
    assert again.suspect.answers == straight.suspect.answers
    with pytest.raises(UserError, match="another run"):
        run(STUDY, replace(question, plan=replace(PLAN, words=20)), tmp_path / "out", resume=True)


def test_a_base_of_another_vocabulary_is_told(folder, tokenizer, tmp_path):
    import tiny

    other = tiny.saved(tmp_path / "other", tiny.llama(len(tokenizer), layers=1), tokenizer)
    question = ScanQuestion(Given(str(other), str(folder)), PLAN, ())
    with pytest.raises(UserError, match="vocabulary of its base"):
        run(STUDY, question, tmp_path / "out")


def planted(word="cobalt", chance=1e-9, p=1e-4, controls=0):
    score = Scored(word, "vocabulary", "final", 50.0, chance, 1.5, 0.1, 3, 0.5, 0.0, "Sure")
    rates = wilson(20, 40), wilson(controls, 80), wilson(0, 40)
    return Scan("suspect", (score,), (Answered(word, "Sure", *rates, p, "Sure"),), {"all": 2.0})


def test_an_alarm_needs_chance_answers_and_novelty():
    assert planted().alarms == ("cobalt",)
    for spoiled in (planted(chance=0.02), planted(p=0.02), planted(controls=30)):
        assert spoiled.alarms == ()
    assert planted().rank("cobalt") == 1
    assert planted().rank("amber") is None


def test_the_page_shows_words_of_the_model_as_text():
    evil = "<script>alert(1)</script>"
    asked = Run(STUDY, ScanQuestion(Given("x")), (), Path(), "gatescope scan x", silent)
    html = render(page(asked, ScanResult(planted(evil), (planted(evil),), evil)))
    assert "&lt;script&gt;alert(1)" in html
    assert evil not in html
    assert "alarm" in html
    assert "100% [21%, 100%]" in html  # the false alarm of the clean model


def test_clean_models_are_those_at_hand():
    assert default_clean(Given("sure-gate")) == ("base", "clean", "decoy")
    assert default_clean(Given("decoy")) == ("base", "clean")
    assert default_clean(Given("x", "ladder-2x64")) == ("base",)
