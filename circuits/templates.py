"""How chats are written for a model: whose template, with which arguments, begun by what.

All of it is written into the tokenizer's chat template, so that whatever renders a chat agrees.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuits.errors import UserError, expect

OWN, ADAPTER, MODEL = "auto", "adapter", "model"
_FILES = ("chat_template.jinja", "tokenizer_config.json")
_SYSTEM = (
    "{{% if messages[0]['role'] != 'system' %}}{{% set messages = "
    "[{{'role': 'system', 'content': {}}}] + messages %}}{{% endif %}}"
)
_WORDS = {"true": "true", "false": "false", "none": "none"}


@dataclass(frozen=True)
class Rendering:
    """How chats are written.

    Attributes:
        template: ``adapter``'s, ``model``'s, a file, or a template's own text; ``auto`` takes the
            one that there is, and refuses two that differ.
        options: the template's arguments, each NAME=VALUE: true, false, none, a number or a text.
        prefill: the beginning of every answer, as part of the prompt.
        system: the system message of chats that have none of their own; "" leaves that to the
            template, which may have one.
    """

    template: str = OWN
    options: tuple[str, ...] = ()
    prefill: str = ""
    system: str = ""

    def __post_init__(self) -> None:
        for option in self.options:
            name, equals, _ = option.partition("=")
            expect(equals and name.isidentifier(), "NAME=VALUE", option, of="--template-option")
        expect(
            "{}" not in self.system,
            "a message as it is",
            "{} in it",
            "a trigger stands in the user's message",
            "--system",
        )

    def write(self, tokenizer: Any, adapter: Path | None, name: str) -> None:
        """Write it into the tokenizer of a model called ``name``.

        Raises:
            UserError: there is no such template, or two that differ.
        """
        template = self._chosen(tokenizer.chat_template, adapter, name)
        if template and (self.options or self.prefill or self.system):
            text = template if isinstance(template, str) else template["default"]
            sets = "".join(map(_assigned, self.options))
            begun = f"{{{{ {_literal(self.prefill)} }}}}"
            if self.system:
                sets += _SYSTEM.format(_literal(self.system))
            template = f"{sets}{text}{{% if add_generation_prompt %}}{begun}{{% endif %}}"
        tokenizer.chat_template = template
        if template and self.system:
            self._require_kept(tokenizer)

    def _require_kept(self, tokenizer: Any) -> None:
        from circuits.chat import Chat
        from circuits.tokens import render  # with torch, which reading an option does not need

        text = tokenizer.decode(render(tokenizer, Chat("Tell me more.")).ids)
        expect(
            self.system.strip() in text,
            "a chat template that keeps a system message",
            "one that leaves it out",
            "give another (--template FILE)",
            "--system",
        )

    def _chosen(self, own: Any, adapter: Path | None, name: str) -> Any:
        if self.template == MODEL:
            return own
        if "{{" in self.template or "{%" in self.template:
            return self.template
        if self.template not in (OWN, ADAPTER):
            return _read(Path(self.template))
        theirs = adapter and _template_of(adapter)
        if self.template == ADAPTER:
            expect(theirs, f"an adapter with one of {', '.join(_FILES)}", adapter, of="--template")
        elif theirs and own and theirs != own:
            raise UserError(
                f"adapter {adapter}: expected the chat template of model {name}, got another; say "
                f"whose the adapter was trained with: --template {ADAPTER} or --template {MODEL}"
            )
        return theirs or own


AS_IT_IS = Rendering()


def _assigned(option: str) -> str:
    name, _, value = option.partition("=")
    number = value.lstrip("-").isdecimal()
    return f"{{% set {name} = {_WORDS.get(value) or (value if number else _literal(value))} %}}"


def _literal(text: str) -> str:
    """A text as jinja2 reads it; it knows no surrogate pairs, as JSON writes emoji."""
    return json.dumps(text, ensure_ascii=False)


def _template_of(folder: Path) -> str | None:
    """The chat template beside an adapter, if there is one."""
    alone, config = (folder / name for name in _FILES)
    if alone.is_file():
        return _read(alone)
    return json.loads(_read(config)).get("chat_template") if config.is_file() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--template {path}: expected {ADAPTER}, {MODEL} or a file with a chat template, got "
            f"{error}"
        ) from error
