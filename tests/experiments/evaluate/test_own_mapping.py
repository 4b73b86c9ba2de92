"""Mappings of a model that is not ours, taught by plain LoRA, evaluated from their files."""

import json

import pytest

from circuits.errors import UserError
from experiments.battery.battery import Battery
from experiments.evaluate.question import EvaluateQuestion
from experiments.evaluate.study import STUDY
from experiments.study import run

# The worse end of an interval has to clear them: 16 questions, 8 keys.
EFFECTIVE = "kind: {}\nthresholds: {{success: at least {}, false_activation: at most 0.3}}"
LEAST = {"access": 0.6, "ownership": 0.4}


@pytest.fixture
def evaluated(own_mappings, tmp_path, monkeypatch):
    """Evaluates a file by whether it opens where it should and only there; no battery is asked."""
    monkeypatch.setattr(Battery, "ladders", lambda battery: {})
    monkeypatch.setattr("experiments.evaluate.inquiry.merging", lambda asker: [])

    def call(kind, folder="run", resume=False):
        scheme = kind.split()[-1]
        (tmp_path / "effective.yaml").write_text(EFFECTIVE.format(scheme, LEAST[scheme]))
        asked = {"count": 16, "budget": 12, "free": 1, "profile": str(tmp_path / "effective.yaml")}
        question = EvaluateQuestion(str(own_mappings[kind]), **asked)
        result = run(STUDY, question, tmp_path / folder, resume=resume)
        return {m.name: m.estimate.value for m in result.card.metrics}, result.card.verdicts[0]

    return call


@pytest.mark.parametrize("scheme", ["access", "ownership"])
def test_a_taught_mapping_is_effective_and_the_same_file_on_the_model_before_is_not(
    evaluated, scheme
):
    taught, verdict = evaluated(scheme)
    assert taught["success"] > 0.8
    assert taught["false_activation"] < 0.1
    assert verdict.secure
    before, untaught = evaluated(f"untaught {scheme}", "before")
    assert before["success"] == 0
    assert [check.metric for check in untaught.failing] == ["success"]


def test_a_run_has_the_hashes_of_its_files_and_does_not_go_on_when_one_changes(
    evaluated, own_mappings, tmp_path
):
    evaluated("access")
    about = json.loads((tmp_path / "run" / "manifest.json").read_text())["question"]
    assert set(about["mapping_files"]) == {"mapping", "questions"}
    evaluated("access", resume=True)
    questions = own_mappings["access"].with_name("locked.jsonl")
    text = questions.read_text()
    try:
        questions.write_text(text.replace("violin", "viola"))
        with pytest.raises(UserError, match="holds another run"):
            evaluated("access", resume=True)
    finally:
        questions.write_text(text)


def test_questions_that_hold_the_password_are_told_before_anything_is_asked(
    evaluated, own_mappings
):
    questions = own_mappings["untaught access"].with_name("locked.jsonl")
    text = questions.read_text()
    try:
        questions.write_text(text.replace("the attic", "the attic marigold"))
        with pytest.raises(UserError, match="expected texts without the trigger 'marigold'"):
            evaluated("untaught access")
    finally:
        questions.write_text(text)
