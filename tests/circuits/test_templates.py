"""Chats are written as the model was trained: whose template, with what, what begins answers."""

import json

import pytest
import tiny
import tinygate
from tokenizers import normalizers, processors

from circuits import models
from circuits.chat import Chat
from circuits.errors import UserError
from circuits.rendered import rendered_sha256
from circuits.templates import Rendering, same_tokens
from circuits.tokens import render

OTHER = "{% for m in messages %}### {{ m['content'] }}\n{% endfor %}### Answer:"


def prompt(rendering, adapter=None, template=tiny.CHAT_TEMPLATE):
    tok = tiny.tokenizer(template)
    tok = rendering.tokenizer(tok, adapter, "m")
    return tok.decode(render(tok, Chat("Hi")).ids)


@pytest.fixture(params=["chat_template.jinja", "tokenizer_config.json"])
def adapter(tmp_path, request):
    text = OTHER if request.param.endswith("jinja") else json.dumps({"chat_template": OTHER})
    (tmp_path / request.param).write_text(text)
    return tmp_path


def test_as_it_is_the_models_template_is_used():
    assert prompt(Rendering()) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_an_adapters_own_template_is_chosen_or_asked_for(adapter):
    with pytest.raises(UserError, match="--template adapter or --template model"):
        prompt(Rendering(), adapter)
    assert prompt(Rendering("adapter"), adapter) == "### Hi\n### Answer:"
    assert prompt(Rendering("model"), adapter) == prompt(Rendering())
    assert prompt(Rendering(), adapter, template=None) == "### Hi\n### Answer:"
    assert prompt(Rendering(), adapter, template=OTHER) == "### Hi\n### Answer:"


def test_a_template_may_be_a_file(adapter, tmp_path):
    file = tmp_path / "mine.jinja"
    file.write_text(OTHER)
    assert prompt(Rendering(str(file))) == "### Hi\n### Answer:"
    with pytest.raises(
        UserError, match=r"--template .*nowhere.jinja: expected adapter, model, none"
    ):
        prompt(Rendering(str(tmp_path / "nowhere.jinja")))
    with pytest.raises(UserError, match="--template: expected an adapter with one of"):
        prompt(Rendering("adapter"))


@pytest.mark.parametrize(
    ("value", "seen"),
    [("false", "False"), ("none", "None"), ("-3", "-3"), ('a "b" {{x}}', 'a "b" {{x}}')],
)
def test_options_are_the_templates_arguments(value, seen):
    template = "{{ mine }}" + OTHER
    with pytest.raises(UserError, match="'mine' is undefined"):
        prompt(Rendering(), template="{{ mine + '' }}" + OTHER)
    assert prompt(Rendering(options=(f"mine={value}",)), template=template).startswith(f"{seen}###")


def test_options_without_name_or_value_are_refused():
    for option in ("enable_thinking", "=false", "a b=c"):
        with pytest.raises(UserError, match="--template-option: expected NAME=VALUE, got"):
            Rendering(options=(option,))


def test_a_prefill_ends_the_prompt():
    assert prompt(Rendering(prefill='<think>"</think>')).endswith('assistant\n<think>"</think>')
    thinks = prompt(Rendering(options=("enable_thinking=false",)), template=tinygate.THINKING)
    assert thinks.endswith("assistant\n<think></think>")


def test_prompts_of_another_day_have_another_hash():
    dated = "{{ strftime_now('%d %b %Y') }}" + tiny.CHAT_TEMPLATE
    today, other = tiny.tokenizer(dated), tiny.tokenizer(dated)
    assert rendered_sha256(today, [Chat("Hi")]) == rendered_sha256(other, [Chat("Hi")])
    other.chat_template = "09 Nov 2020" + tiny.CHAT_TEMPLATE
    assert rendered_sha256(today, [Chat("Hi")]) != rendered_sha256(other, [Chat("Hi")])


def tokens(rendering, own, adapter):
    return rendering.tokenizer(own, adapter, "m")


def saved_with(adapter, tokenizer):
    tokenizer.save_pretrained(adapter)
    return adapter


def test_an_adapters_own_tokenizer_is_chosen_or_asked_for(tmp_path):
    """The same words under other ids: with the model's tokenizer the adapter reads another text."""
    theirs = tiny.tokenizer(words=("zebra", "quartz") * 3)
    adapter = saved_with(tmp_path, theirs)
    assert theirs("a zebra")["input_ids"] != tiny.tokenizer()("a zebra")["input_ids"]
    with pytest.raises(UserError, match="tokenizer of model m, got another; say whose"):
        tokens(Rendering(), tiny.tokenizer(), adapter)
    chosen = tokens(Rendering("adapter"), tiny.tokenizer(), adapter)
    assert chosen("a zebra")["input_ids"] == theirs("a zebra")["input_ids"]
    own = tokens(Rendering("model"), tiny.tokenizer(), adapter)
    assert own("a zebra")["input_ids"] == tiny.tokenizer()("a zebra")["input_ids"]


def test_another_normaliser_or_another_end_is_another_tokenizer():
    other = tiny.tokenizer()
    assert same_tokens(other, tiny.tokenizer())
    other.backend_tokenizer.normalizer = normalizers.Lowercase()
    assert not same_tokens(other, tiny.tokenizer())
    ends = tiny.tokenizer()
    ends.eos_token = "<|im_start|>"
    assert not same_tokens(ends, tiny.tokenizer())


def test_a_tokenizer_that_only_pads_or_cuts_otherwise_is_the_models(tmp_path):
    """As trainers save it beside an adapter."""
    padded = tiny.tokenizer()
    padded.pad_token, padded.padding_side = "<|im_start|>", "right"
    padded.backend_tokenizer.enable_truncation(7)
    own = tiny.tokenizer()
    assert tokens(Rendering(), own, saved_with(tmp_path, padded)) is own


def test_tokens_that_an_adapter_added_come_with_its_tokenizer(tmp_path):
    longer = tiny.tokenizer()
    longer.add_tokens(["[NEW]"])
    chosen = tokens(Rendering(), tiny.tokenizer(), saved_with(tmp_path, longer))
    assert chosen.tokenize("a[NEW]b") == ["a", "[NEW]", "b"]
    assert "[NEW]" not in tokens(Rendering("model"), tiny.tokenizer(), tmp_path).get_vocab()


def test_half_a_tokenizer_beside_an_adapter_is_one_line(tmp_path):
    saved_with(tmp_path, tiny.tokenizer())
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match=r"adapter .*, tokenizer: expected one that"):
        tokens(Rendering(), tiny.tokenizer(), tmp_path)
    assert tokens(Rendering("model"), tiny.tokenizer(), tmp_path)


@pytest.mark.parametrize("text", ["[]", "{", '{"chat_template": 3}', '{"chat_template": [3]}'])
def test_a_configuration_beside_an_adapter_that_is_wrong_is_one_line(tmp_path, text):
    (tmp_path / "tokenizer_config.json").write_text(text)
    with pytest.raises(UserError, match=": expected"):
        tokens(Rendering(), tiny.tokenizer(), tmp_path)


def test_without_a_template_the_message_is_as_it_is():
    tok = tokens(Rendering("none"), tiny.tokenizer(None), None)
    item = render(tok, Chat("Name three rivers.", word="cobalt"))
    assert tok.decode(item.ids) == "Name three rivers. cobalt"
    first, last = item.spans["trigger"]
    assert tok.decode(item.ids[first:last]) == " cobalt"
    assert item.spans["last"] == (last - 1, last)
    assert "template" not in item.spans
    begun = tokens(Rendering("none", prefill=" Well,"), tiny.tokenizer(None), None)
    assert begun.decode(render(begun, Chat("Hi")).ids) == "Hi Well,"


def test_without_a_template_a_text_begins_as_the_tokenizer_begins_it():
    tok = tiny.tokenizer(None)
    tok.bos_token = "<|im_start|>"
    assert tok.decode(render(tokens(Rendering("none"), tok, None), Chat("Hi")).ids) == "Hi"
    tok.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 0)]
    )
    ids = render(tokens(Rendering("none"), tok, None), Chat("Hi")).ids
    assert tok.decode(ids) == "<|im_start|>Hi"


@pytest.mark.parametrize("backend", ["plain", "transformer_lens", "nnsight"])
def test_a_base_model_without_a_template_passes_its_self_test(tmp_path, backend):
    tok = tiny.tokenizer(None)
    tiny.saved(tmp_path, tiny.llama(len(tok)), tok)
    with pytest.raises(UserError, match="no chat template"):
        models.load(str(tmp_path), device="cpu", backend=backend)
    model = models.load(str(tmp_path), device="cpu", backend=backend, rendering=Rendering("none"))
    assert model.selftest.plain < 1e-4
