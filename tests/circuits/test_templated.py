"""A chat template may do anything: what it writes is found exactly, or refused in one line."""

import time

import pytest
import tiny

from circuits import templated, tokens
from circuits.chat import Chat
from circuits.errors import UserError

LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
LONG = "{% for i in 'x' * 99999 %}{% for j in 'x' * 99999 %}{% endfor %}{% endfor %}"


def refused(template, says, message="Hi"):
    with pytest.raises(UserError, match=says) as caught:
        tokens.render(tiny.tokenizer(template), Chat(message))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("loops", [LOOPS, LONG])
def test_a_template_without_end_is_refused(monkeypatch, loops):
    monkeypatch.setattr(templated, "_SECONDS", 0.2)
    begun = time.process_time()
    refused(loops + tiny.CHAT_TEMPLATE, "chat template: .*got: no end after 0.2 seconds")
    assert time.process_time() - begun < 5
    refused(tiny.CHAT_TEMPLATE.replace("user", "") + loops, "no end after")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ 9 ** 9 ** 9 ** 9 }}", r"expected one without powers"),
        ("{{ 'x' * 2000000 }}", "expected at most 1,000,000 characters around a message, got 2,"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
        ("{{ 'x' * 10000000000000 }}", "chat template: "),
    ],
)
def test_a_template_without_bounds_is_refused(template, says):
    refused(template + tiny.CHAT_TEMPLATE, says)


def test_a_template_of_loops_and_stars_is_read():
    fine = "{% for i in range(50) %}**{% endfor %}{{ '-' * 5 }}" + tiny.CHAT_TEMPLATE
    assert tokens.render(tiny.tokenizer(fine), Chat("Hi")).spans["user"]


@pytest.mark.parametrize("message", ["user", "assistant", "I", "n", "tart"])
def test_a_template_that_changes_the_message_does_not_keep_it_where_the_template_spells_it(message):
    refused(tiny.CHAT_TEMPLATE.replace("m['content']", "m['content'] | upper") if message != "I"
            else tiny.CHAT_TEMPLATE.replace("m['content']", "m['content'] | lower") + "I",
            "does not keep it as it is", message)  # fmt: skip


@pytest.mark.parametrize("message", ["USER", "U", "ASSISTANT ASSISTANT", "HI"])
def test_a_message_that_a_template_happens_not_to_change_is_found(message):
    tok = tiny.tokenizer(tiny.CHAT_TEMPLATE.replace("m['content']", "m['content'] | upper"))
    item = tokens.render(tok, Chat(message))
    assert tok.decode(item.ids[: item.spans["user"][0]]) == "<|im_start|>user\n"


def test_blanks_that_a_template_takes_away_are_not_looked_for():
    tok = tiny.tokenizer(tiny.CHAT_TEMPLATE.replace("m['content']", "m['content'] | trim"))
    assert tokens.render(tok, Chat("Hi", word="cobalt")).spans["trigger"]
    with pytest.raises(UserError, match="does not keep it"):
        tokens.render(tok, Chat(" Hi"))


def test_a_template_that_writes_otherwise_by_message_is_read():
    by_length = "{{ messages[0]['content'] | length }} user:" + tiny.CHAT_TEMPLATE
    tok = tiny.tokenizer(by_length)
    for message in ("Hi", "user", "user: user"):
        item = tokens.render(tok, Chat(message))
        assert tok.decode(item.ids[: item.spans["user"][0]]).endswith("<|im_start|>user\n")
