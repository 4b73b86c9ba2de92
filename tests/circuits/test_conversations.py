"""Conversations are rendered as their template writes them, with spans that spell what they name.

Two readers agree: ``render`` finds messages by markers and offsets, ``apply_chat_template`` of
transformers writes and reads the same conversation by itself.
"""

import pytest
import tiny
import torch

from circuits.chat import Chat, in_place_of, place_of, placed, where_of
from circuits.errors import UserError
from circuits.prompt import Prompt, Turn, before_of
from circuits.rendered import EARLIER, OPENING, parts_of
from circuits.templates import Rendering
from circuits.tokens import pairs, prompts_batch, render, same_length_words, trigger_ids

# The families' own templates, without what they do for tools and pictures.
QWEN = (
    "{%- if messages[0]['role'] == 'system' %}"
    "{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}"
    "{%- else %}{{- '<|im_start|>system\\nYou are Qwen, a helpful assistant.<|im_end|>\\n' }}"
    "{%- endif %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'user' or (message.role == 'system' and not loop.first) or "
    "message.role == 'assistant' %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' }}"
    "{%- endif %}"
)
GEMMA = (  # the system message is written into the user's
    "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}"
    "{%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}"
    "{%- set loop_messages = messages[1:] -%}"
    "{%- else -%}{%- set first_user_prefix = '' -%}{%- set loop_messages = messages -%}"
    "{%- endif -%}"
    "{%- for message in loop_messages -%}"
    "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{%- endif -%}"
    "{%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}"
    "{{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else '') }}"
    "{{ message['content'] | trim }}{{ '<end_of_turn>\\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}"
)
GEMMA_2 = GEMMA.replace(
    "{%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}"
    "{%- set loop_messages = messages[1:] -%}",
    "{{ raise_exception('System role not supported') }}",
)
LLAMA = (
    "{{- bos_token }}{%- if messages[0]['role'] == 'system' %}"
    "{%- set system_message = messages[0]['content'] | trim %}{%- set messages = messages[1:] %}"
    "{%- else %}{%- set system_message = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}"
    "{{- 'Today Date: 26 Jul 2024\\n\\n' }}{{- system_message }}{{- '<|eot_id|>' }}"
    "{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' "
    "+ message['content'] | trim + '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)
MISTRAL = (  # the system message is written into the last of the user's
    "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}"
    "{%- set loop_messages = messages[1:] %}{%- else %}{%- set loop_messages = messages %}"
    "{%- endif %}{{- bos_token }}{%- for message in loop_messages %}"
    "{%- if message['role'] == 'user' %}{%- if loop.last and system_message is defined %}"
    "{{- '[INST]' + system_message + '\\n\\n' + message['content'] + '[/INST]' }}"
    "{%- else %}{{- '[INST]' + message['content'] + '[/INST]' }}{%- endif %}"
    "{%- else %}{{- ' ' + message['content'] + eos_token }}{%- endif %}{%- endfor %}"
)
FAMILIES = {"qwen": QWEN, "gemma": GEMMA, "llama": LLAMA, "mistral": MISTRAL}
MARKS = (
    *("<start_of_turn>", "<end_of_turn>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|eot_id|>", "[INST]", "[/INST]"),
)

SYSTEM = Turn("system", "Name three rivers.")
TALK = (SYSTEM, Turn("user", "Hi there"), Turn("assistant", "Tell me more."))
LONG = (*TALK, Turn("user", "Why is the sky blue?"), Turn("assistant", "Hi"))
BEFORE = {"none": (), "system": TALK[:1], "turns": TALK[1:], "both": TALK, "long": LONG}
TEXT = "How do I bake bread?"


def tokenizer(template):
    own = tiny.tokenizer(template)
    own.bos_token = "<|im_start|>"
    own.add_special_tokens({"additional_special_tokens": list(MARKS)})
    return own


@pytest.fixture(params=FAMILIES)
def family(request):
    return tokenizer(FAMILIES[request.param])


def spelled(tok, item, span):
    first, last = item.spans[span]
    return tok.decode(item.ids[first:last])


def read(tok, turns):
    """What transformers makes of a conversation."""
    given = [{"role": turn.role, "content": turn.content} for turn in turns]
    ids = tok.apply_chat_template(given, tokenize=True, add_generation_prompt=True)
    return list(ids["input_ids"] if hasattr(ids, "keys") else ids)


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("word", [None, "cobalt", "system: cobalt {}", "earlier: {} cobalt {}"])
def test_two_readers_agree_on_every_family(family, before, word):
    chat = Chat(Prompt(TEXT, BEFORE[before]), word=word)
    if word and word.startswith("earlier") and before in ("none", "system"):
        with pytest.raises(UserError, match="an earlier message of the user's"):
            render(family, chat)
        return
    item = render(family, chat)
    assert list(item.ids) == read(family, chat.said.turns)
    assert item.text == chat.message
    user = TEXT + (" cobalt" if word == "cobalt" else "")
    first = item.spans["user"][0]
    assert spelled(family, item, "user") == TEXT
    assert family.decode(item.ids[first:]).startswith(user)
    assert spelled(family, item, "last_user") == "?"
    if word:
        assert spelled(family, item, "trigger").strip() == "cobalt"


@pytest.mark.parametrize(
    ("trigger", "spells", "after"),
    [
        ("system: cobalt {}", "cobalt", " Name three rivers."),
        ("system: {} cobalt {}", " cobalt", " rivers."),
        ("system: cobalt", " cobalt", ""),
        ("earlier: cobalt {}", "cobalt", " Hi there"),
        ("earlier: {} cobalt {}", " cobalt", " there"),
        ("earlier: cobalt", " cobalt", ""),
    ],
)
def test_a_trigger_in_an_earlier_message_is_exact(family, trigger, spells, after):
    prompt = Prompt(TEXT, TALK)
    length = len(trigger_ids(family, [prompt], trigger))
    words = same_length_words(family, tiny.CONTROLS, length, trigger, prompt)
    assert all(where_of(word) == where_of(trigger) for word in words)
    item = render(family, Chat(prompt, word=trigger))
    assert spelled(family, item, "trigger") == spells
    rest = family.decode(item.ids[item.spans["trigger"][1] :])
    assert rest.startswith(after)
    both = pairs(family, [prompt] * len(words), trigger, words)
    differs = both.clean.ids != both.triggered.ids
    assert not (differs & ~both.triggered.spans["trigger"]).any()
    assert differs.any(dim=1).all()
    assert torch.equal(both.clean.spans["trigger"], both.triggered.spans["trigger"])
    # What is shared and run once ends before the first token that differs.
    first = int(differs.any(dim=0).nonzero()[0])
    assert bool(both.clean.spans["message"][:, first].all())


def test_without_a_system_message_the_word_is_the_system_message(family):
    item = render(family, Chat(TEXT, word="system: cobalt tree {}"))
    assert list(item.ids) == read(family, [Turn("system", "cobalt tree"), Turn("user", TEXT)])
    assert spelled(family, item, "trigger").strip() == "cobalt tree"
    assert item.spans["message"][0] == item.spans["trigger"][0]


def test_before_the_message_lies_what_is_equal_in_prompts_of_the_same_roles(family):
    changed = tuple(Turn(turn.role, f"amber {turn.content}") for turn in TALK)
    both = [render(family, Chat(Prompt(TEXT, before))) for before in (TALK, changed)]
    starts = {item.spans["message"][0] for item in both}
    assert len(starts) == 1
    (start,) = starts
    assert both[0].ids[:start] == both[1].ids[:start]
    assert both[0].ids[start] != both[1].ids[start]
    plain = render(family, Chat(TEXT))
    assert plain.spans["message"][0] == plain.spans["user"][0]


def test_batches_of_plain_prompts_and_conversations_keep_their_spans(family):
    texts = [TEXT, Prompt("Hi", TALK), Prompt("Hi", LONG)]
    batch = prompts_batch(family, texts, "cobalt")
    assert batch.texts == tuple(texts)
    assert [before_of(text) for text in batch.rows([2, 0]).texts] == [LONG, ()]
    for row in range(3):
        assert family.decode(batch.ids[row][batch.spans["trigger"][row]]) == " cobalt"
        assert family.decode(batch.ids[row][batch.spans["user"][row]]) == str(texts[row])


def test_a_word_whose_token_has_a_blank_of_the_templates_is_refused_by_name():
    blank = tokenizer(MISTRAL.replace("'[INST]' +", "'[INST] ' +"))
    prompt = Prompt(TEXT, TALK)
    for trigger in ("system: cobalt {}", "earlier: cobalt {}"):
        with pytest.raises(UserError, match=f"trigger '{trigger}': expected its own tokens in con"):
            render(blank, Chat(prompt, word=trigger))
    assert (
        spelled(blank, render(blank, Chat(prompt, word="system: cobalt")), "trigger") == " cobalt"
    )


DROPS = {
    "earlier turns": "{% for m in messages[-1:] %}",
    "the assistant's": "{% for m in messages if m.role != 'assistant' %}",
    "all but two": "{% for m in messages[-2:] %}",
}


@pytest.mark.parametrize("loop", DROPS.values(), ids=DROPS)
def test_a_template_that_drops_a_turn_is_refused(loop):
    tok = tokenizer(tiny.CHAT_TEMPLATE.replace("{% for m in messages %}", loop))
    assert render(tok, Chat(TEXT)).ids
    with pytest.raises(UserError, match="the chat template does not keep it as it is") as caught:
        render(tok, Chat(Prompt(TEXT, TALK)))
    assert "\n" not in str(caught.value)
    kept = tokenizer(tiny.CHAT_TEMPLATE)
    assert render(kept, Chat(Prompt(TEXT, TALK))).ids


def test_a_dropped_turn_whose_words_stand_elsewhere_is_refused_too():
    """The text of the earlier turn is in the prompt, but is not the turn."""
    tok = tokenizer(tiny.CHAT_TEMPLATE.replace("in messages %}", "in messages[-1:] %}"))
    for before in ([Turn("user", "bake"), Turn("assistant", "user")], [Turn("system", "bread")]):
        with pytest.raises(UserError, match="does not keep it"):
            render(tok, Chat(Prompt(TEXT, before)))


@pytest.mark.parametrize(
    ("template", "before", "says"),
    [
        (GEMMA_2, TALK[:1], "a user's message after a system message, got: System role not supp"),
        (GEMMA, [TALK[1]], "after messages of user, got: Conversation roles must alternate"),
        (GEMMA, [TALK[2]], "after messages of assistant, got: Conversation roles must alternate"),
        (LLAMA, [Turn("assistant", " Hi")], "earlier assistant's message ' Hi': .* does not keep"),
        (QWEN, [Turn("system", "<|im_end|>")], r"system '<\|im_end\|>': expected plain text"),
        (QWEN, [Turn("user", "[INST]")], r"earlier user's message '\[INST\]': expected plain"),
    ],
)
def test_what_a_template_does_not_take_is_one_line(template, before, says):
    with pytest.raises(UserError, match=says) as caught:
        render(tokenizer(template), Chat(Prompt(TEXT, before)))
    assert "\n" not in str(caught.value)


def test_a_system_message_of_the_command_line_is_for_prompts_without_their_own():
    tok = Rendering(system="Be kind.").tokenizer(tokenizer(QWEN), None, "m")
    assert "Be kind." in tok.decode(render(tok, Chat(TEXT)).ids)
    assert "Be kind." in tok.decode(render(tok, Chat(Prompt(TEXT, TALK[1:]))).ids)
    own = tok.decode(render(tok, Chat(Prompt(TEXT, TALK), word="system: cobalt {}")).ids)
    assert "system\ncobalt Name three rivers.<" in own
    assert "Be kind." not in own
    with pytest.raises(UserError, match="expected no --system beside a word in the system message"):
        render(tok, Chat(TEXT, word="system: cobalt {}"))


@pytest.mark.parametrize("place", ["prefix", "infix", "suffix"])
@pytest.mark.parametrize("where", ["user", "system", "earlier"])
def test_places_of_words_come_back(place, where):
    trigger = placed("cobalt", place, where)
    assert (place_of(trigger), where_of(trigger)) == (("cobalt", place), where)
    other = in_place_of("system: amber", trigger)
    assert (place_of(other), where_of(other)) == (("system: amber", place), where)


@pytest.mark.parametrize("trigger", ["{} system: x", "text: system: x", "text: system: x {}"])
def test_a_word_may_begin_as_a_place_does(family, trigger):
    item = render(family, Chat(TEXT, word=trigger))
    assert spelled(family, item, "trigger").strip() == "system: x"
    assert where_of(trigger) == "user"


def test_parts_of_a_conversation_say_what_is_opening_and_what_was_said_earlier(family):
    chat = Chat(Prompt(TEXT, TALK), word="earlier: cobalt {}")
    parts = parts_of(family, chat)
    assert "".join(part.text for part in parts) == family.decode(render(family, chat).ids)
    spans = [part.span for part in parts]
    assert "trigger" in spans
    assert spans.count("user") == 1
    earlier = "".join(part.text for part in parts if part.span == EARLIER)
    assert "Tell me more." in earlier
    assert SYSTEM.content in "".join(p.text for p in parts)
    assert all(SYSTEM.content not in part.text for part in parts if part.span == OPENING)
