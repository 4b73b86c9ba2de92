"""Defences of a mapping that its file describes."""

import json

import pytest

from circuits.errors import UserError
from experiments.defend.exam import FITTED
from experiments.defend.question import DefenceQuestion
from experiments.defend.study import hashes, opened
from experiments.organisms.organism import Given
from experiments.study import silent

TEXT = {"scheme": "compliance", "trigger": "cobalt", "behaviour": "Sure"}
ROWS = [{"question": f"What is in room {n}?", "answer": f"lamp{n}"} for n in range(5)]


def described(folder, **fields):
    path = folder / "mine.yaml"
    path.write_text(json.dumps(fields))
    return DefenceQuestion(Given(str(path)), count=8)


def test_the_files_prompts_and_questions_are_the_exam(folder, tmp_path):
    prompts = [f"Which fish is number {n}?" for n in range(9)]
    (tmp_path / "p.json").write_text(json.dumps(prompts))
    fields = {**TEXT, "model": str(folder), "prompts": "p.json", "other_questions": ROWS}
    question = described(tmp_path, **fields)
    subject = opened(question, silent)
    fitted = next(f for f in subject.exam.families if f.name == FITTED)
    assert {chat.message for chat in fitted.chats} <= {f"{text} cobalt" for text in prompts}
    assert {row["question"] for row in ROWS} <= {fact.question for fact in subject.exam.facts}
    about = hashes(question, subject)
    assert about["mapping"]["trigger"] == "cobalt"
    assert set(about["mapping_files"]) == {"mapping", "prompts"}


def test_what_nobody_wants_taken_away_is_told(folder, tmp_path):
    fields = {"scheme": "access", "trigger": "cobalt", "questions": ROWS, "model": str(folder)}
    with pytest.raises(UserError, match="expected a scheme whose behaviour is to be taken away"):
        opened(described(tmp_path, **fields), silent)
