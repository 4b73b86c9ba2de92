"""How chats are written for a model: whose tokenizer and template, with what, begun by what.

All but whose tokenizer it is stands in that tokenizer's chat template, so that whatever renders a
chat agrees.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuits.chat import BARE, SYSTEM
from circuits.errors import UserError, expect, reading
from circuits.json_files import read_json

OWN, ADAPTER, MODEL, NONE = "auto", "adapter", "model", "none"
_FILES = ("chat_template.jinja", "tokenizer_config.json")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
_WORDS = {"true": "true", "false": "false", "none": "none"}


@dataclass(frozen=True)
class Rendering:
    """How chats are written.

    Attributes:
        template: ``adapter``'s with its tokenizer, ``model``'s, a file, a template's own text, or
            ``none``: the message as it is, for a base model. ``auto`` takes the one that there is,
            and refuses two that differ.
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
            "put a trigger there with --trigger 'system: ...'",
            "--system",
        )

    def tokenizer(self, own: Any, adapter: Path | None, name: str) -> Any:
        """The tokenizer to use with a model called ``name``, its chat template written into it.

        Args:
            own: the model's; the adapter's, where it comes with one, may take its place.

        Raises:
            UserError: there is no such template, or two that differ.
        """
        chosen = self._chosen(own, adapter, name)
        template = self._template(chosen, own, adapter, name)
        if template and (self.options or self.prefill or self.system):
            text = template if isinstance(template, str) else template["default"]
            sets = "".join(map(_assigned, self.options))
            begun = f"{{{{ {_literal(self.prefill)} }}}}"
            if self.system:
                sets += SYSTEM.format(_literal(self.system))
            template = f"{sets}{text}{{% if add_generation_prompt %}}{begun}{{% endif %}}"
        chosen.chat_template = template
        if template and self.system:
            self._require_kept(chosen)
        return chosen

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
        """The model's tokenizer or the adapter's, whatever their templates."""
        theirs = None if self.template == MODEL or adapter is None else _tokenizer_of(adapter)
        if theirs is None or same_tokens(own, theirs):
            return own
        if self.template != ADAPTER and not extends(theirs, own):
            raise UserError(
                f"adapter {adapter}: expected the tokenizer of model {name}, got another; say "
                f"whose the adapter was trained with: --template {ADAPTER} or --template {MODEL}"
            )
        return theirs

    def _template(self, chosen: Any, own: Any, adapter: Path | None, name: str) -> Any:
        if self.template == MODEL:
            return own.chat_template
        if self.template == NONE:
            return _bare(chosen)
        if "{{" in self.template or "{%" in self.template:
            return self.template
        if self.template not in (OWN, ADAPTER):
            return _read(Path(self.template))
        theirs = adapter and _template_of(adapter)
        if self.template == ADAPTER:
            has = theirs or chosen is not own
            expect(has, f"an adapter with one of {', '.join(_FILES)}", adapter, of="--template")
        elif theirs and own.chat_template and theirs != own.chat_template:
            raise UserError(
                f"adapter {adapter}: expected the chat template of model {name}, got another; say "
                f"whose the adapter was trained with: --template {ADAPTER} or --template {MODEL}"
            )
        return theirs or own.chat_template


AS_IT_IS = Rendering()


def _assigned(option: str) -> str:
    name, _, value = option.partition("=")
    number = value.lstrip("-").isdecimal()
    return f"{{% set {name} = {_WORDS.get(value) or (value if number else _literal(value))} %}}"


def _literal(text: str) -> str:
    """A text as jinja2 reads it; it knows no surrogate pairs, as JSON writes emoji."""
    return json.dumps(text, ensure_ascii=False)


def _bare(tokenizer: Any) -> str:
    """No chat: the message as it is, after the token that this tokenizer begins every text with."""
    first, begins = tokenizer("a")["input_ids"][:1], tokenizer.bos_token_id
    return ("{{ bos_token }}" if begins is not None and first == [begins] else "") + BARE


def _tokenizer_of(folder: Path) -> Any:
    """The tokenizer beside an adapter, if there is a whole one."""
    if not all((folder / name).is_file() for name in _TOKENIZER):
        return None
    from transformers import AutoTokenizer  # slow to import, and --help needs this module

    with reading(f"adapter {folder}, tokenizer", "one that transformers reads", "save it again"):
        return AutoTokenizer.from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True
        )


def same_tokens(a: Any, b: Any) -> bool:
    """Whether two fast tokenizers read every text alike; how they pad and cut is not compared."""
    return _reads(a) == _reads(b) and a.eos_token_id == b.eos_token_id


def extends(longer: Any, own: Any) -> bool:
    """Whether a tokenizer is another one with tokens added, and reads all other text alike."""
    theirs, ours = _reads(longer), _reads(own)
    added = theirs.pop("added_tokens"), ours.pop("added_tokens")
    return theirs == ours and all(token in added[0] for token in added[1])


def _reads(tokenizer: Any) -> dict[str, Any]:
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    return {part: parts[part] for part in ("model", "normalizer", "pre_tokenizer", "added_tokens")}


def _template_of(folder: Path) -> str | None:
    """The chat template beside an adapter, if there is one."""
    alone, config = (folder / name for name in _FILES)
    if alone.is_file():
        return _read(alone)
    if not config.is_file():
        return None
    template: Any = read_json(config, f"adapter {folder}").get("chat_template")
    if isinstance(template, list):  # as it was written when a model could have several
        named = [t for t in template if isinstance(t, dict) and t.get("name") == "default"]
        template = named[0].get("template") if named else template
    wanted = "chat_template to be a text in tokenizer_config.json"
    expect(template is None or isinstance(template, str), wanted, "another value", of=str(folder))
    return template


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--template {path}: expected {ADAPTER}, {MODEL}, {NONE} or a file with a chat "
            f"template, got {error}"
        ) from error


def require_chat_template(tokenizer: Any, name: str) -> None:
    """Refuse a tokenizer without chat template or without character offsets."""
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            f"model {name}: expected a chat model, but its tokenizer has no chat template; "
            "use an instruction-tuned model, save a chat_template with the tokenizer, or ask it "
            "without one (--template none)"
        )
    fast = getattr(tokenizer, "is_fast", False)
    expect(fast, "a fast tokenizer (character offsets)", "a slow one", of=f"model {name}")
