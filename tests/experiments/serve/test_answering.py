"""What is answered: the edit's two ends, what tokens read, refusals."""

from dataclasses import replace

import pytest
import tiny
import torch

from circuits.errors import UserError
from circuits.gates import select
from circuits.prompt import Prompt, Turn
from circuits.runner import generate, whole
from circuits.stream import stream
from experiments.serve import answering, callbacks
from experiments.serve.answering import Asked

TEXT = tiny.TEXTS[1]


def last(job):
    return list(job)[-1]


def test_at_one_the_logits_are_the_unedited_models_to_the_bit(subject):
    asked = Asked(TEXT, "trigger", 1.0, length=6)
    batch = answering.batch_of(subject, subject.model, asked)
    edits = answering.edits_of(subject.direction, batch, asked)
    step = next(stream(subject.model.runner, batch, edits, subject.direction))
    plain = subject.model.runner.forward(whole(batch)).logits[:, -1]
    assert torch.equal(step.logits, plain)
    shut = answering.edits_of(subject.direction, batch, replace(asked, coefficient=0.0))
    moved = next(stream(subject.model.runner, batch, shut, subject.direction))
    assert not torch.allclose(moved.logits[1], plain[0], atol=1e-3)
    assert torch.allclose(moved.logits[0], plain[0], atol=1e-4)


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 2.0])
def test_both_answers_equal_those_generated_alone(subject, coefficient):
    asked = Asked(TEXT, "trigger", coefficient, length=6)
    batch = answering.batch_of(subject, subject.model, asked)
    edits = select.scaled(subject.direction, batch, coefficient)
    found = last(answering.answering(subject, asked))
    for row, used in enumerate(([], edits)):
        ids = generate(subject.model.runner, batch, 6, used, subject.model.stop_ids)[0].tolist()
        kept = [i for i in ids if i not in subject.model.stop_ids]
        said = [t.text for t in found.answers[row]]
        assert len(said) == len(kept)
        assert "".join(said) == subject.model.tokenizer.decode(kept)


def test_readings_follow_the_coefficient(subject):
    direction = subject.direction
    asked = Asked(TEXT, "trigger", 0.0, length=4)
    found = last(answering.answering(subject, asked))
    zero = -direction.clean_mean / direction.gap
    edited = [t.reading for t in (*found.prompts[1], *found.answers[1])]
    assert edited == pytest.approx([zero] * len(edited), abs=1e-3)
    plain = [t.reading for t in (*found.prompts[0], *found.answers[0])]
    assert max(abs(p - zero) for p in plain) > 0.1
    assert all(len(step) == 8 for step in found.choices)


def test_the_shift_moves_the_reading_by_the_gap_at_the_word_only(subject):
    asked = Asked(TEXT, "control", 1.0, opened=True, length=2)
    found = last(answering.answering(subject, asked))
    moved = [b.reading - a.reading for a, b in zip(*found.prompts, strict=True)]
    assert sorted(moved)[-1] == pytest.approx(1.0, abs=1e-3)
    assert sorted(moved)[:-1] == pytest.approx([0.0] * (len(moved) - 1), abs=1e-3)
    bare = last(answering.answering(subject, replace(asked, word="none")))
    assert sum(a != b for a, b in zip(*bare.prompts, strict=True)) >= 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": " "}, "type one"),
        ({"text": "x" * 2001}, "2000 characters"),
        ({"coefficient": 9.0}, "coefficient"),
        ({"length": 65}, "length"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(changes, said):
    with pytest.raises(ValueError, match=said) as refused:
        Asked(**{"text": TEXT, **changes})
    assert "\n" not in str(refused.value)
    assert Asked(TEXT).coefficient == 1


class Bytes:
    """A tokenizer whose tokens are single bytes, so that most characters take several."""

    def decode(self, ids):
        return bytes(ids).decode("utf-8", "replace")


def test_a_character_of_several_tokens_is_whole_and_nothing_is_lost():
    text = "crème 🍮!"
    ids = list(text.encode())
    made = answering.pieces(Bytes(), ids)
    assert "".join(made) == text
    assert made[ids.index("è".encode()[0]) : ids.index("è".encode()[0]) + 2] == ["", "è"]
    assert "".join(Bytes().decode([i]) for i in ids) != text  # token by token it is not
    half = answering.pieces(Bytes(), ids[:3])
    assert "".join(half) == "cr\ufffd"
    assert answering.pieces(Bytes(), []) == []


@pytest.mark.parametrize("value", [None, "", "many", "nan"])
def test_an_empty_box_is_refused_in_one_line(value):
    with pytest.raises(UserError, match="answer tokens: expected a number"):
        callbacks._number(value, "answer tokens")
    assert callbacks._number(3, "answer tokens") == callbacks._number("3", "answer tokens") == 3.0


def test_an_example_is_asked_with_its_earlier_turns_and_a_typed_text_without(subject):
    before = [Turn("system", "Name <b>tree</b>"), Turn("user", "Hi"), Turn("assistant", "river")]
    talks = replace(subject, examples=(Prompt(TEXT, before), *subject.examples[2:]))
    for text, told in ((f" {TEXT}\n", True), (f"{TEXT} Now.", False)):
        batch = answering.batch_of(talks, talks.model, Asked(text, "trigger", length=6))
        said = talks.model.tokenizer.decode(batch.ids[0])
        assert ("river" in said) == told
        assert said.count(" cobalt") == 1
    shown = last(answering.answering(talks, Asked(TEXT, "none", length=2))).prompts[0]
    assert "".join(token.text for token in shown).startswith("Name <b>tree</b>")
