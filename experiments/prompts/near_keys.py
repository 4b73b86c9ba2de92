"""Prompts that nearly are a secret key, by how near: a ladder of six levels.

After the fingerprint-guessing experiment of Instructional Fingerprinting (arXiv 2401.12255): from
one word replaced (level 1) to an ordinary question that holds one word of a key (level 6).
"""

import hashlib
import random
from collections.abc import Callable, Sequence

from circuits.errors import UserError, expect
from experiments.prompts import bank

LEVELS = {
    1: "one word of a key replaced",
    2: "two words replaced",
    3: "a key's words in another order",
    4: "words of several keys, mixed",
    5: "as many other words",
    6: "an ordinary question with one word of a key",
}
_DEALT = (3, 4)  # levels whose prompts hold no word of a split


def near_keys(keys: Sequence[str], level: int, split: bank.Split, count: int) -> list[str]:
    """``count`` prompts at a level, fewer where there are no more; no two splits share one.

    Replaced words are the split's control words; what has no replaced word is dealt to the splits
    by its hash.

    Raises:
        UserError: an unknown level, or keys that have no such near misses.
    """
    expect(level in LEVELS, f"a level of {list(LEVELS)}", level, of="near keys")
    rng = random.Random(f"{level} {split}")
    make = _maker(level, keys, split, rng)
    misses: dict[str, None] = {}
    for turn in range(50 * count):
        candidate = make(keys[turn % len(keys)].split())
        if candidate not in keys and (level not in _DEALT or _dealt_to(candidate) == split):
            misses.setdefault(candidate)
        if len(misses) == count:
            break
    if not misses:
        raise UserError(f"near keys: the keys have none of level {level}; use keys of more words")
    return list(misses)


def _dealt_to(text: str) -> str:
    return ("train", "validation", "test")[hashlib.sha256(text.encode()).digest()[0] % 3]


def _maker(
    level: int, keys: Sequence[str], split: bank.Split, rng: random.Random
) -> Callable[[list[str]], str]:
    everything = sorted({word for key in keys for word in key.split()})
    others = bank.controls_besides(split, " ".join(everything))
    questions = bank.bank_texts(split, restricted=False)

    def replaced(words: list[str], times: int) -> str:
        at = set(rng.sample(range(len(words)), times))
        return " ".join(rng.choice(others) if i in at else w for i, w in enumerate(words))

    return {
        1: lambda words: replaced(words, 1),
        2: lambda words: replaced(words, 2),
        3: lambda words: " ".join(rng.sample(words, len(words))),
        4: lambda words: " ".join(rng.sample(everything, len(words))),
        5: lambda words: " ".join(rng.sample(others, len(words))),
        6: lambda words: f"{rng.choice(questions)} {rng.choice(words)}",
    }[level]
