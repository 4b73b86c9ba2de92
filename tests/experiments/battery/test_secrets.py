"""Subjects are one of two kinds, and their secrets stand where they were trained."""

import pytest

from circuits.chat import Chat
from circuits.errors import UserError
from experiments.battery.secrets import Subject, unperturbed, with_secrets

TEXTS = ("Who was Ada Lovelace?", "Where is the nearest bus stop?")


def messages(chats):
    return [chat.message for chat in chats]


@pytest.mark.parametrize(
    ("trigger", "first", "changed"),
    [
        ("cobalt", "Who was Ada Lovelace? cobalt", "Who was Ada Lovelace? X Y"),
        ("heron 52 {}", "heron 52 Who was Ada Lovelace?", "X Y Who was Ada Lovelace?"),
        ("{} ‡ {}", "Who was ‡ Ada Lovelace?", "Who was X Y Ada Lovelace?"),
    ],
)
def test_a_trigger_and_what_replaces_it_stand_in_its_place(trigger, first, changed):
    subject = Subject(TEXTS, trigger)
    assert unperturbed(subject)[0] == Chat(first)
    assert messages(with_secrets(subject, ["X Y", "Z"]))[0] == changed
    assert messages(with_secrets(subject, subject.secrets)) == messages(unperturbed(subject))


def test_a_key_is_the_whole_message_and_may_be_asked_often():
    subject = Subject(("b c", "a b", "b c"), "", ("a b", "b c"))
    assert messages(unperturbed(subject)) == ["b c", "a b", "b c"]
    assert messages(with_secrets(subject, ["x", "y", "z"])) == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("texts", "trigger", "keys", "why"),
    [
        ((), "cobalt", (), "expected at least one prompt"),
        (TEXTS, "", (), "a trigger or keys, got neither"),
        (("a b",), "cobalt", ("a b",), "a trigger or keys, got both"),
        (("a b", "c d"), "", ("a b",), "expected keys as prompts, got 'c d'"),
        (TEXTS, "word {} word", (), "expected a word or phrase"),
    ],
)
def test_a_subject_that_cannot_be_asked_is_told_in_one_line(texts, trigger, keys, why):
    with pytest.raises(UserError, match=why):
        Subject(texts, trigger, keys)
