"""Chats are written as the model was trained: whose template, with what, what begins answers."""

import json

import pytest
import tiny
import tinygate

from circuits.chat import Chat
from circuits.errors import UserError
from circuits.rendered import rendered_sha256
from circuits.templates import Rendering
from circuits.tokens import render

OTHER = "{% for m in messages %}### {{ m['content'] }}\n{% endfor %}### Answer:"


def prompt(rendering, adapter=None, template=tiny.CHAT_TEMPLATE):
    tok = tiny.tokenizer(template)
    rendering.write(tok, adapter, "m")
    return tok.decode(render(tok, Chat("Hi")).ids)


@pytest.fixture(params=["chat_template.jinja", "tokenizer_config.json"])
def adapter(tmp_path, request):
    text = OTHER if request.param.endswith("jinja") else json.dumps({"chat_template": OTHER})
    (tmp_path / request.param).write_text(text)
    return tmp_path


def test_as_it_is_the_models_template_is_used():
    assert prompt(Rendering()) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_case_7_an_adapters_own_template_is_chosen_or_asked_for(adapter):
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
        UserError, match=r"--template .*nowhere.jinja: expected adapter, model or a"
    ):
        prompt(Rendering(str(tmp_path / "nowhere.jinja")))
    with pytest.raises(UserError, match="--template: expected an adapter with one of"):
        prompt(Rendering("adapter"))


@pytest.mark.parametrize(
    ("value", "seen"),
    [("false", "False"), ("none", "None"), ("-3", "-3"), ('a "b" {{x}}', 'a "b" {{x}}')],
)
def test_case_8_options_are_the_templates_arguments(value, seen):
    template = "{{ mine }}" + OTHER
    with pytest.raises(UserError, match="'mine' is undefined"):
        prompt(Rendering(), template="{{ mine + '' }}" + OTHER)
    assert prompt(Rendering(options=(f"mine={value}",)), template=template).startswith(f"{seen}###")


def test_options_without_name_or_value_are_refused():
    for option in ("enable_thinking", "=false", "a b=c"):
        with pytest.raises(UserError, match="--template-option: expected NAME=VALUE, got"):
            Rendering(options=(option,))


def test_case_8_a_prefill_ends_the_prompt():
    assert prompt(Rendering(prefill='<think>"</think>')).endswith('assistant\n<think>"</think>')
    thinks = prompt(Rendering(options=("enable_thinking=false",)), template=tinygate.THINKING)
    assert thinks.endswith("assistant\n<think></think>")


def test_case_24_prompts_of_another_day_have_another_hash():
    dated = "{{ strftime_now('%d %b %Y') }}" + tiny.CHAT_TEMPLATE
    today, other = tiny.tokenizer(dated), tiny.tokenizer(dated)
    assert rendered_sha256(today, [Chat("Hi")]) == rendered_sha256(other, [Chat("Hi")])
    other.chat_template = "09 Nov 2020" + tiny.CHAT_TEMPLATE
    assert rendered_sha256(today, [Chat("Hi")]) != rendered_sha256(other, [Chat("Hi")])
