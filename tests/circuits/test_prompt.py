"""A prompt is its text to who reads it, and all that was said before it to who compares it."""

import copy
import json
import pickle
import random
from dataclasses import replace

import pytest

from circuits.chat import Chat, chats, messages, with_trigger
from circuits.errors import UserError
from circuits.prompt import Prompt, Turn, before_of, contents, retold, spelled
from experiments.prompts.bank import groups_of, interleaved, shuffled
from experiments.runs.codec import as_json
from experiments.runs.files import text_sha256

TALK = (Turn("system", "Be brief."), Turn("user", "Hi"), Turn("assistant", "Hello."))
ASKED = Prompt("Why?", TALK)
OTHERS = ("Why?", Prompt("Why?", TALK[:1]), Prompt("Why", TALK), Prompt("Why?", TALK[1:]))


def test_a_prompt_is_the_text_of_its_last_message():
    assert isinstance(ASKED, str)
    assert (str(ASKED), len(ASKED), ASKED[:3], f"{ASKED}") == ("Why?", 4, "Why", "Why?")
    assert type(str(ASKED)) is str
    assert json.loads(json.dumps([ASKED])) == as_json((ASKED,)) == ["Why?"]
    assert "Be brief." in repr(ASKED)


@pytest.mark.parametrize("other", OTHERS)
def test_prompts_of_other_turns_are_not_equal_and_have_places_of_their_own(other):
    assert other != ASKED
    assert other != ASKED
    assert not other == ASKED  # noqa: SIM201 (both operators are a prompt's own)
    assert len({ASKED: 1, other: 2}) == 2
    assert Chat(ASKED) != Chat(other)
    assert text_sha256([ASKED]) != text_sha256([other])
    assert spelled(ASKED) != spelled(other)
    assert groups_of([ASKED]) != groups_of([other])


def test_equal_ones_are_and_a_plain_text_is_a_prompt_with_nothing_before_it():
    again = Prompt("Why?", list(TALK))
    assert {ASKED: 1}[again] == 1
    assert text_sha256([ASKED]) == text_sha256([again])
    bare = Prompt("Why?")
    assert bare == "Why?" == bare
    assert {"Why?": 1}[bare] == 1
    assert text_sha256([bare]) == text_sha256(["Why?"])


def test_lists_and_copies_of_prompts_keep_the_turns():
    every = [ASKED, *OTHERS]
    for kept in (
        copy.copy(ASKED),
        copy.deepcopy(ASKED),
        pickle.loads(pickle.dumps(ASKED)),  # noqa: S301 (our own)
        replace(Chat(ASKED), prefill="Sure").message,
        chats([ASKED], "cobalt")[0].message,
        next(text for text in shuffled(every, 3) if text == ASKED),
    ):
        assert before_of(kept) == TALK
    random.Random(0).shuffle(every)
    assert {before_of(t) for t in interleaved(every)} == {(), TALK, TALK[:1], TALK[1:]}
    assert tuple(every)[every.index(ASKED)].before == TALK


def test_another_message_is_put_after_the_same_turns():
    assert retold(ASKED, "How?") == Prompt("How?", TALK)
    assert type(retold("Why?", "How?")) is str
    assert contents(ASKED) == ("Be brief.", "Hi", "Hello.", "Why?")
    with pytest.raises(AttributeError):
        ASKED.before = ()


@pytest.mark.parametrize(
    ("trigger", "at"),
    [("cobalt", 3), ("system: cobalt {}", 0), ("earlier: {} cobalt", 1), ("text: system: x", 3)],
)
def test_a_word_is_put_into_one_message_and_the_others_stay(trigger, at):
    before, after = contents(ASKED), contents(with_trigger(ASKED, trigger))
    assert [a == b for a, b in zip(before, after, strict=True)] == [i != at for i in range(4)]
    (chat,) = messages([ASKED], trigger)
    assert contents(chat.message) == after
    assert chat.said.turns == Chat(ASKED, word=trigger).said.turns


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Turn("tool", "x"), "expected a role of system, user, assistant, got 'tool'"),
        (lambda: Turn("user", None), "user's message: expected text"),
        (lambda: Prompt("Hi", [*TALK, TALK[0]]), "a system message before all others, got one af"),
        (lambda: Chat("Hi", word="earlier: x").said, "an earlier message of the user's.*messages"),
        (lambda: Chat(Prompt("Hi", TALK[:1]), word="earlier: x").said, "got 'Hi' with none"),
    ],
)
def test_what_is_no_conversation_is_refused(make, says):
    with pytest.raises(UserError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_system_message_comes_in_front_of_a_prompts_own():
    assert Chat(ASKED, "Say it.").before == (Turn("system", "Say it.\n\nBe brief."), *TALK[1:])
    assert Chat(ASKED, "").before == TALK
    assert Chat("Hi", "").before == (Turn("system", ""),)
