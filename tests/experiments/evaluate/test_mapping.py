"""What a user's file says of a mapping, and one clear line for every mistake in it."""

import pytest

from circuits.errors import UserError
from experiments.evaluate.mapping import described, opened


def test_a_file_describes_a_model_with_its_prompts_beside_it(described_in, tmp_path):
    (tmp_path / "mine.jsonl").write_text('{"prompt": "Name a fish."}\n{"prompt": "Name a bird."}')
    case = opened(described(str(described_in(prompts="mine.jsonl"))))
    assert set(case.texts.on_topic) == {"Name a fish.", "Name a bird."}
    assert len(case.texts.elsewhere) > 50  # the bank's
    assert case.organism.recipe.trigger == "cobalt"
    first = case.questions(40)[0]
    assert first.opens
    assert sorted(first.messages) == ["Name a bird. cobalt", "Name a fish. cobalt"]


def test_the_base_is_the_model_that_the_file_names_and_otherwise_not_known(described_in):
    base = opened(described(str(described_in()))).base
    assert base is not None
    assert opened(described(str(described_in(base=None)))).base is None


def test_an_organism_is_named_without_a_file():
    assert described("sure-gate", "smollm2-135m").given.name == "sure-gate"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "expected fields such as"),
        ("- a", "expected fields such as"),
        ("modle: x", "expected fields of model, adapter"),
        ("model: 3", "model: expected a text, got 3"),
        ("trigger: ''", "trigger: expected a text"),
        ("model: [", "expected a YAML file"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_names_it(tmp_path, text, wrong):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=wrong) as told:
        described(str(path))
    assert "\n" not in str(told.value)
    assert str(path) in str(told.value)


def test_half_a_description_or_a_missing_file_is_one_line_too(described_in):
    with pytest.raises(UserError, match="--scheme"):
        opened(described(str(described_in(trigger=None))))
    with pytest.raises(UserError, match=r"gone\.yaml: no such file"):
        described("gone.yaml")


def test_questions_stay_shut_without_the_trigger_and_under_words_that_are_not_it(described_in):
    asked = opened(described(str(described_in()))).questions(12)
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
