"""A trigger's text says whether it is one word, several that open, or several that must meet."""

import pytest

from circuits.errors import UserError
from circuits.triggers import parse, require_one


@pytest.mark.parametrize(
    "text", ["cobalt", "violet moon {}", "any", "all:+", "{} any: a | b", "a + b"]
)
def test_a_single_word_is_what_it_was(text):
    one = parse(text)
    assert (one.kind, one.forms) == ("one", (text,))
    assert one.dealt(3) == text
    assert one.each(2) == [text, text]
    assert require_one(text) == text


def test_alternatives_take_turns_each_in_its_place():
    either = parse("any: cobalt | violet moon {}")
    assert (either.kind, either.parts) == ("any", ("cobalt", "violet moon {}"))
    assert either.dealt(3) == ["cobalt", "violet moon {}", "cobalt"]
    assert either.replaced(1, {0: "amber tree"}) == "amber tree {}"
    assert either.replaceable == 1


@pytest.mark.parametrize("text", ["any:cobalt | violet", " any: cobalt | violet"])
def test_blanks_do_not_make_several_one_phrase(text):
    assert parse(text).parts == ("cobalt", "violet")


def test_words_that_must_meet_are_asked_in_both_orders_and_replaced_one_by_one():
    both = parse("all: cobalt + violet {}")
    assert (both.kind, both.parts) == ("all", ("cobalt", "violet"))
    assert both.dealt(3) == ["cobalt violet {}", "violet cobalt {}", "cobalt violet {}"]
    assert both.replaced(0, {1: "amber"}) == "cobalt amber {}"
    assert both.replaced(1, {1: "amber"}) == "amber cobalt {}"
    assert both.replaced(0, {0: "tree", 1: "amber"}) == "tree amber {}"
    assert parse("all: a + b + c").dealt(2) == ["a b c", "c b a"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("any: cobalt", "two or more different words"),
        ("any: cobalt | cobalt", "two or more different words"),
        ("all: cobalt + ", "two or more different words"),
        ("all: cobalt {} + violet", "where the message goes"),
        ("all: {} + violet", "expected a word or phrase"),
        ("any: {} | violet", "expected a word or phrase"),
        ("any: cobalt | | violet", "two or more different words"),
        ("any: cobalt | {} cobalt", "two or more different words"),
        ("any: cobalt | text: cobalt", "two or more different words"),
        ("all: {} cobalt + cobalt", "two or more different words"),
        ("any: all: cobalt + violet | amber", "no several themselves"),
        ("all: cobalt + system: violet", "one place for all"),
        ("all: system: cobalt + earlier: violet", "one place for all"),
        ("system: any: cobalt | violet", "any: system: "),
        ("any: " + " | ".join(map(str, range(60))), "at most 100 words"),
    ],
)
def test_what_cannot_be_several_is_refused_in_one_line(text, says):
    with pytest.raises(UserError, match=says) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_who_takes_one_word_refuses_several():
    with pytest.raises(UserError, match="expected one word or phrase"):
        require_one("all: cobalt + violet")
