"""Prompts that nearly are a secret key, by how near: a ladder of six levels.

After the fingerprint-guessing experiment of Instructional Fingerprinting (arXiv 2401.12255): from
one word replaced (level 1) to an ordinary question that holds one word of a key (level 6).
"""

import random
from collections.abc import Callable, Sequence

from circuits.errors import UserError
from experiments import prompts

LEVELS = {
    1: "one word of a key replaced",
    2: "two words replaced",
    3: "a key's words in another order",
    4: "words of several keys, mixed",
    5: "as many other words",
    6: "an ordinary question with one word of a key",
}


def near_keys(keys: Sequence[str], level: int, split: prompts.Split, count: int) -> list[str]:
    """``count`` different prompts at a level; replaced words are the split's control words.

    Raises:
        UserError: an unknown level, or keys that do not have so many near misses.
    """
    if level not in LEVELS:
        raise UserError(f"near keys: expected a level of {list(LEVELS)}, got {level}")
    rng = random.Random(f"{level} {split}")
    make = _maker(level, keys, split, rng)
    found: dict[str, None] = {}
    for turn in range(50 * count):
        candidate = make(keys[turn % len(keys)].split())
        if candidate not in keys:
            found.setdefault(candidate)
        if len(found) == count:
            return list(found)
    raise UserError(f"near keys: level {level} has only {len(found)} of {count}; ask for fewer")


def _maker(
    level: int, keys: Sequence[str], split: prompts.Split, rng: random.Random
) -> Callable[[list[str]], str]:
    everything = sorted({word for key in keys for word in key.split()})
    others = [word for word in prompts.control_words(split) if word not in everything]
    questions = prompts.bank_texts(split, restricted=False)

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
