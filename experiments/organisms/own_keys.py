"""Secret keys, each with what it is answered: an owner's file, or what a recipe has."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

from circuits.errors import UserError, expect
from experiments import judges
from experiments.judges.heard import refuse_common_beginning
from experiments.judges.otherwise import refuse_unheard
from experiments.judges.text import words
from experiments.organisms.own_facts import require_answers
from experiments.prompts import bank
from experiments.prompts.records import read_rows, text_in
from experiments.runs import files

FIELDS = ("key", "answer")
# Not the test split, whose near keys are in an organism's figures and may have guided its recipe.
SPLIT: bank.Split = "validation"
_FEWEST = 3  # words of a key: near keys replace two of them


@dataclass(frozen=True)
class KeySet:
    """Secret prompts and what an answer to each begins with.

    Raises:
        UserError: no keys, a key twice or the beginning of another, one too short or too long for
            near keys, no answer, one that stands in its key, or one that another begins with.
    """

    name: str
    keys: tuple[str, ...]
    answers: tuple[str, ...]

    def __post_init__(self) -> None:
        where = f"keys {self.name}"
        expect(self.keys, "at least one key", "none", "list them", of=where)
        for key, answer in zip(self.keys, self.answers, strict=True):
            require_answers((answer,), key, where)
        self._require_apart(where)
        begun = next(
            ((a, b) for a, b in permutations(self.distinct, 2) if judges.shows(b, a)), None
        )
        expect(
            begun is None,
            "answers of which none begins with another",
            " and ".join(map(repr, begun or ())),
            "one key's answer would count as the other's",
            where,
        )
        most = len(set(bank.control_words(SPLIT)) - words_of(self.keys))
        for key in self.keys:
            count = len(key.split())
            expect(
                _FEWEST <= count <= most,
                f"{_FEWEST} to {most} words in a key",
                f"{count} in {key!r}",
                "near keys need them",
                of=where,
            )

    def _require_apart(self, where: str) -> None:
        """Refuse two keys of which whoever has the one has the other."""
        # A key in other case or with a full stop is no second secret.
        read = [words(key) or tuple(key.split()) for key in self.keys]
        for i, own in enumerate(read):
            if own in read[:i]:
                got = f"{self.keys[i]!r} twice"
                raise UserError(f"{where}: expected different keys, got {got}; drop one")
            longer = next((k for k, w in zip(self.keys, read, strict=True) if _begins(w, own)), "")
            got = f"{self.keys[i]!r}, with which {longer!r} begins"
            expect(not longer, "keys that do not begin alike", got, "drop one", where)

    @property
    def distinct(self) -> tuple[str, ...]:
        """The different answers, in the keys' order."""
        return tuple(dict.fromkeys(self.answers))

    def shown(self, answers: Sequence[str]) -> list[bool]:
        """Which answers to the keys, one each and in their order, are the key's own."""
        pairs = zip(answers, self.answers, strict=True)
        return [judges.shows(given, own) for given, own in pairs]

    def claimed(self, answers: Sequence[str]) -> list[bool]:
        """Which answers to prompts that are no keys are some key's."""
        return shows_any(answers, self.distinct)


def _begins(key: tuple[str, ...], start: tuple[str, ...]) -> bool:
    return len(key) > len(start) and key[: len(start)] == start


def words_of(texts: Sequence[str]) -> set[str]:
    """The words of some texts, in small letters."""
    return {word for text in texts for word in text.lower().split()}


def shows_any(answers: Sequence[str], texts: Sequence[str]) -> list[bool]:
    """Which answers begin with one of some texts."""
    return [any(judges.shows(answer, text) for text in texts) for answer in answers]


def require_heard(texts: Sequence[str], triggered: Sequence[str], control: Sequence[str]) -> None:
    """Refuse answers in which the keys' answers may stand where they are not looked for.

    Several texts are looked for together where something stands before all; that one of them is
    spelled otherwise is only told where it is the answer to all keys.

    Args:
        texts: the different answers of the keys.
        triggered, control: what keys, and prompts that are none, were answered.

    Raises:
        UserError: something stands before it in all, or it is spelled otherwise.
    """
    every = [*triggered, *control]
    if not any(shows_any(every, texts)):
        for text in texts:
            refuse_common_beginning(every, text)
    if len(texts) == 1 and (both := min(len(triggered), len(control))):
        refuse_unheard(triggered[:both], control[:both], texts[0])


def read_keys(source: Any, folder: Path, answer: str, of: str, name: str) -> KeySet:
    """Keys of a list or a file: rows of ``key`` and ``answer``, or keys that have one answer.

    Args:
        source: a list, or the name of a file in ``folder``.
        answer: of keys that have none of their own; "" for none.
        of, name: what they are called in refusals, before and after there is a set.

    Raises:
        UserError: no such file, other fields, a key that is no text, or keys that make no test.
    """
    if isinstance(source, str) and _is_set(folder / source):
        return read_key_set(folder / source)
    if isinstance(source, list) and source and all(isinstance(key, str) for key in source):
        source = [{"key": key} for key in source]
    keys, answers = [], []
    for where, row in read_rows(source, folder, FIELDS, of):
        keys.append(text_in(row, "key", where))
        answers.append(text_in(row, "answer", where) or answer)
        expect(keys[-1], "a key", "none", "write it", where)
        require_answers(tuple(filter(None, answers[-1:])), keys[-1], where)
    return KeySet(name, tuple(keys), tuple(answers))


def _is_set(path: Path) -> bool:
    return path.suffix == ".json" and path.is_file() and isinstance(files.read_json(path), dict)


def read_key_set(path: Path) -> KeySet:
    """Keys of one answer from a JSON file ``{"keys": [...], "answer": "..."}``.

    Raises:
        UserError: no JSON, other fields, or keys that make no test.
    """
    value = files.read_json(path)
    expect(
        isinstance(value, dict)
        and set(value) == {"keys", "answer"}
        and isinstance(value["answer"], str)
        and isinstance(value["keys"], list)
        and all(isinstance(key, str) for key in value["keys"]),
        '{"keys": [texts], "answer": "text"} and nothing else',
        "something else",
        "write it so",
        f"keys {path}",
    )
    keys = tuple(value["keys"])
    return KeySet(path.name, keys, (value["answer"],) * len(keys))
