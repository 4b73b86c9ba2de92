"""Several words as the trigger, and words of other lengths: the verdict is what was planted."""

from dataclasses import replace

import severalgates as planted

from experiments.analyze.ablate import behaviour
from experiments.analyze.changed import changed
from experiments.analyze.examination import Examination
from experiments.analyze.flow import analysis
from experiments.analyze.headline import headline
from experiments.analyze.materials import UNEQUAL
from experiments.analyze.outcomes import Behaviour
from experiments.analyze.question import Question, trained_words
from experiments.analyze.read import AnalysisRun
from experiments.analyze.result import GATE, NO_EFFECT, UNDECIDED
from experiments.analyze.sections.verdict import why
from experiments.analyze.verdict import NEEDED, judge
from experiments.analyze.written import analysis_json

ANY, ALL = "any: cobalt | violet", "all: cobalt + violet"


def of(tmp_path, make, words, trigger, tok=None, **changes) -> Examination:
    tok = tok or planted.words_tokenizer("violet")
    model, base = (make(tok, *words, copies=copies) for copies in (True, False))
    return planted.examined(tmp_path, tok, model, base, trigger, **changes)


def told(exam) -> tuple[Behaviour, str]:
    """What is said before anything is located."""
    before = behaviour(exam)
    return before, headline(judge(before), before)


def page(exam, result) -> str:
    run = AnalysisRun(
        name="planted",
        folder="",
        manifest={},
        result=result,
        question=exam.question,
        texts=(),
        rates={},
        plane=None,
        notes=exam.materials.notes,
    )
    section = why([run])
    return section.prose + "".join(str(table) for table in section.tables)


def test_alternatives_that_each_open_share_a_gate(tmp_path):
    exam = of(tmp_path, planted.opened_by, ("cobalt", "violet"), ANY)
    result = analysis(exam, tuple)
    assert result.verdict.word == GATE, [c.text for c in result.verdict.checks if not c.passed]
    several = result.behaviour.several
    assert [(s.name, s.rate.value, s.rate.n) for s in several.shares] == [
        ("'cobalt'", 1.0, 10),
        ("'violet'", 1.0, 10),
    ]
    assert "each opens by itself" in result.headline
    assert "Its alternatives take turns" in page(exam, result)
    again = Examination(tmp_path, exam.question)  # without a model, from what was kept
    assert behaviour(again) == result.behaviour


def test_an_alternative_that_does_nothing_is_seen_and_there_is_no_gate_of_both(tmp_path):
    exam = of(tmp_path, planted.opened_by, ("cobalt",), ANY)
    before, said = told(exam)
    opens, idle = before.several.shares
    assert (opens.rate.value, idle.rate.value) == (1.0, 0.0)
    assert "not shown to open: 'violet'" in said
    verdict = judge(before)
    (check,) = [c for c in verdict.checks if c.name == "every alternative opens"]
    assert not check.passed
    assert verdict.word == UNDECIDED


def test_words_that_must_meet_have_a_gate_that_no_half_opens(tmp_path):
    exam = of(tmp_path, planted.met_by, ("cobalt", "violet"), ALL)
    result = analysis(exam, tuple)
    assert result.verdict.word == GATE, [c.text for c in result.verdict.checks if not c.passed]
    several = result.behaviour.several
    assert result.behaviour.triggered.behaviour.value == 1
    assert [share.rate.value for share in several.shares] == [0, 0]
    assert [share.rate.n for share in several.shares] == [20, 20]
    assert result.behaviour.effect == several.effect
    assert "all are needed" in result.headline
    assert str(result.selection.chosen.direction.site) == f"resid_pre[{planted.COPY + 1}] at last"
    assert "another word for 'cobalt'" in page(exam, result)
    written = analysis_json(result, exam.question, exam.model.selftest)
    assert written["behaviour"]["several"]["shares"][0]["rate"]["n"] == 20


def test_a_half_that_opens_by_itself_is_seen_and_nothing_is_called_an_and_gate(tmp_path):
    before, said = told(of(tmp_path, planted.opened_by, ("cobalt",), ALL))
    without_cobalt, without_violet = before.several.shares
    assert (without_cobalt.rate.value, without_violet.rate.value) == (0, 1)
    assert before.effect.value == 0  # beside the strongest half
    assert "not an AND gate: another word for 'violet' may be enough" in said
    assert judge(before).word == NO_EFFECT


def test_each_word_is_needed_only_where_every_half_is_shut(tmp_path):
    before, _ = told(of(tmp_path, planted.met_by, ("cobalt", "violet"), ALL))
    (check,) = [c for c in judge(before).checks if c.name == NEEDED]
    assert check.passed


def test_control_words_of_other_lengths_stand_in_and_the_gate_is_found(tmp_path):
    tok = planted.bare_tokenizer()
    exam = of(tmp_path, planted.opened_by, ("cobalt",), "cobalt", tok, trace=2)
    result = analysis(exam, tuple)
    assert result.verdict.word == GATE, [c.text for c in result.verdict.checks if not c.passed]
    assert result.evidence.trace is None  # left out by name
    assert UNEQUAL in exam.materials.notes
    assert "of other token lengths" in page(exam, result)


def test_without_a_gate_control_words_of_other_lengths_find_none(tmp_path):
    tok = planted.bare_tokenizer()
    exam = of(tmp_path, planted.opened_by, (), "cobalt", tok)
    before, said = told(exam)
    assert judge(before).word == NO_EFFECT
    assert "no effect of the trigger to locate" in said


def test_a_pair_organism_is_asked_about_both_of_its_words():
    assert trained_words("pair-gate") == ("all: clock + wolf", "Sure")
    assert Question(adapter="pair-gate").trigger == "all: clock + wolf"


def test_one_control_word_is_not_held_against_itself(tmp_path):
    exam = of(tmp_path, planted.met_by, ("cobalt", "violet"), ALL)
    before, own = behaviour(exam), exam.materials.test_controls
    assert "first token" in {each.name for each in changed(exam, before)}
    one = replace(own, slots={slot: words[:1] for slot, words in own.slots.items()})
    materials = replace(exam.materials, test_controls=one)
    assert materials.second_words(4) == list(materials.test_words)  # a half of each kind, no other
    again = Examination(tmp_path / "one", exam.question, materials)
    assert "first token" not in {each.name for each in changed(again, before)}
