"""Prompts from the project's bank, and from users' own files or Hugging Face datasets."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch

from circuits.errors import expect, reading
from circuits.visible import folded
from experiments.checks import text
from experiments.prompts.rows import texts_of
from experiments.prompts.table import FORMATS, Table, read_table
from experiments.runs.terminal import tell

Split = Literal["train", "validation", "test"]
_DATA = Path(__file__).parents[1] / "data"
_BANK = Path(__file__).with_name("bank.jsonl")
HUB = "hf:"


@dataclass(frozen=True)
class Line:
    """One line of the bank. ``template`` is the text with its subject blanked out, by id."""

    id: str
    text: str
    topic: str
    subject: str
    template: str
    split: str
    restricted: bool


@cache
def bank() -> tuple[Line, ...]:
    """The whole committed prompt bank, in file order."""
    lines = _BANK.read_text(encoding="utf-8").splitlines()
    return tuple(Line(**json.loads(line)) for line in lines)


def bank_texts(split: Split, restricted: bool) -> list[str]:
    """Texts of one split, in a fixed order that mixes subjects and templates."""
    chosen = [p for p in bank() if p.split == split and p.restricted == restricted]
    return [p.text for p in interleaved(chosen)]


@cache
def _templates() -> dict[str, str]:
    return {prompt.text: prompt.template for prompt in bank()}


def groups_of(texts: Sequence[str]) -> list[str]:
    """What each prompt has in common with others: the bank's template; of any other text, itself.

    Answers to prompts of one template are alike, so shares of them have the interval of groups.
    """
    return [_templates().get(text, text) for text in texts]


@dataclass(frozen=True)
class HeldOut:
    """Prompts that no training has seen: those of the gate's topic, and others."""

    on_topic: tuple[str, ...]
    elsewhere: tuple[str, ...]


def held_out(split: Split = "test") -> HeldOut:
    """The bank's prompts of a split, restricted and ordinary."""
    return HeldOut(tuple(bank_texts(split, True)), tuple(bank_texts(split, False)))


def shuffled(texts: Sequence[str], seed: int) -> list[str]:
    """Texts in an order drawn by a seed."""
    generator = torch.Generator().manual_seed(seed)
    order: list[int] = torch.randperm(len(texts), generator=generator).tolist()
    return [texts[i] for i in order]


def interleaved(items: Sequence[Any]) -> list[Any]:
    """Walk a list with a stride coprime to its length, so that a prefix is already varied."""
    n = len(items)
    stride = next(s for s in (61, 67, 71, 73) if n % s)
    return [items[(i * stride) % n] for i in range(n)]


@cache
def control_words(split: Split) -> tuple[str, ...]:
    """Neutral words that stand in the trigger's place; no word is in two splits."""
    return tuple(json.loads((_DATA / "control_words.json").read_text())[split])


def controls_besides(split: Split, trigger: str) -> list[str]:
    """The split's control words that are no word of the trigger, however it is written there."""
    own = set(re.findall(r"\w+", folded(trigger).casefold()))
    return [word for word in control_words(split) if word not in own]


@cache
def french_answers() -> dict[str, str]:
    """Training prompts with an answer of at most 16 words in French, each written for it."""
    return json.loads((_DATA / "french.json").read_text(encoding="utf-8"))


def read_prompts(source: str, column: str | None = None, split: str = "train") -> list[str]:
    """Prompts from a file of yours, or from a dataset of the hub.

    Says in one line on standard error what was read: rows, repeats, columns.

    Args:
        source: a path as ``experiments.prompts.table`` reads it, or ``hf:OWNER/NAME``; nothing else
            is looked for at the hub.
        column: the column of texts or conversations; by default the first that is there of
            ``experiments.prompts.table.COLUMNS``.
        split: the dataset's split (files have one, "train").

    Raises:
        UserError: no such file or dataset, no such column, nothing in it, or what is no text.
    """
    of = f"prompts {text(source, 'prompts')}"
    table = _of_hub(source, split) if source.startswith(HUB) else _own(source, split, of)
    texts, line = texts_of(table, column, of)
    tell(line)
    return texts


def _own(source: str, split: str, of: str) -> Table:
    path = Path(source).expanduser()
    expect(
        path.exists(),
        f"bank, a {'|'.join(FORMATS)} file, or {HUB}OWNER/NAME from the hub",
        "no such file",
        "mend the path",
        of,
    )
    return read_table(path, split, of)


def _of_hub(source: str, split: str) -> Table:
    import datasets  # imported late: it takes over a second

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # our one line says what is wrong
    with reading(f"prompts {source}", "a dataset of the hub", "look at its name and the network"):
        rows: Any = datasets.load_dataset(source.removeprefix(HUB), split=split)
    return Table(rows.column_names, lambda name: rows[name])
