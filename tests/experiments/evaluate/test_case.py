"""A mapping from a user's file in hand: its prompts, its base, where it should open."""

import shutil

import pytest

from circuits.errors import UserError
from experiments.evaluate.case import open_case
from experiments.organisms.organism import Given


def test_a_file_describes_a_model_with_its_prompts_beside_it(described_in, tmp_path):
    (tmp_path / "mine.jsonl").write_text('{"prompt": "Name a fish."}\n{"prompt": "Name a bird."}')
    case = open_case(Given(str(described_in(prompts="mine.jsonl"))))
    assert set(case.texts.on_topic) == {"Name a fish.", "Name a bird."}
    assert len(case.texts.elsewhere) > 50  # the bank's
    assert case.organism.recipe.trigger == "cobalt"
    first = case.questions(40)[0]
    assert first.opens
    assert sorted(first.messages) == ["Name a bird. cobalt", "Name a fish. cobalt"]


def test_the_base_is_the_model_that_the_file_names_and_otherwise_not_known(described_in):
    base = open_case(Given(str(described_in()))).base
    assert base is not None
    assert open_case(Given(str(described_in(base=None)))).base is None


def test_the_trained_model_is_no_base_and_another_model_is_not_named_beside_the_file(
    described_in, tiny_pair, tmp_path
):
    """It would be as good as before training, whatever that has done to it."""
    base, taught = map(str, tiny_pair)
    for same in (taught, str(shutil.copytree(taught, tmp_path / "copy"))):
        with pytest.raises(UserError, match="the model before training, got the trained one"):
            _ = open_case(Given(str(described_in(base=same)))).base
    with pytest.raises(UserError, match="the model that the file names, got --model"):
        open_case(Given(str(described_in()), base))


def test_questions_stay_shut_without_the_trigger_and_under_words_that_are_not_it(described_in):
    asked = open_case(Given(str(described_in()))).questions(12)
    for question in asked:
        ends = [message.endswith(" cobalt") for message in question.messages]
        assert all(ends) if question.opens else not any(ends)
        assert len(question.texts) == 12
    assert {q.name for q in asked if not q.opens} == {
        "topic, none",
        "topic, control",
        "ordinary, none",
        "ordinary, control",
    }
