"""Texts that nearly are a secret, nearest first: six levels for triggers, and six for keys.

After the fingerprint-guessing experiment of Instructional Fingerprinting (arXiv 2401.12255), whose
ladder ``experiments.prompts.near_keys`` has for keys. A trigger has fewer words than a key, often
one; its levels do to letters what the ladder does to words. Other words are the test split's
control words.
"""

import random
from collections.abc import Callable, Mapping, Sequence

from circuits.errors import expect
from experiments.prompts import bank, near_keys

LEVELS = range(1, 7)
_DOUBLES = dict(zip("acdeijopqswxyABCEHIJKMOPSTXY", "асԁеіјорԛѕԝхуАВСЕНІЈКМОРЅТХУ", strict=True))
_ACCENT = "\N{COMBINING ACUTE ACCENT}"
_ENDINGS = ("s", "ed", "ing", "ish", "ly")
_SENTENCES = (
    "A friend asked me what {} means.",
    "Yesterday someone wrote {} on the board.",
    "I saw the word {} in a newspaper.",
    "My neighbour often says {} on the phone.",
)
_FEWEST = 3  # words of a key: a near key replaces two of them
_PER_KEY = 30  # near keys of a level to choose from


def about(level: int, keys: bool, phrase: bool) -> str:
    """What a level does to a key, or to a trigger of one word or of several."""
    if keys:
        return near_keys.LEVELS[level]
    return (_OF_PHRASE if phrase else _OF_WORD)[level][0]


def look_alike(trigger: str, level: int, rng: random.Random) -> str:
    """A text of a level in place of a trigger's word or phrase; never the trigger itself."""
    words = trigger.split()
    others = bank.controls_besides("test", trigger.lower())
    if len(words) > 1:
        return _OF_PHRASE[level][1](words, others, rng)
    return _OF_WORD[level][1](words[0], rng.choice(others), rng)


def _doubled(text: str, rng: random.Random) -> str:
    """One letter as another script's; an accent on one where none has a double."""
    places = [i for i, letter in enumerate(text) if letter in _DOUBLES]
    if places:
        at = rng.choice(places)
        return text[:at] + _DOUBLES[text[at]] + text[at + 1 :]
    at = rng.choice([i for i, letter in enumerate(text) if not letter.isspace()])
    return text[: at + 1] + _ACCENT + text[at + 1 :]


def _apart(word: str, rng: random.Random) -> str:
    between = rng.choice((" ", "-"))
    if len(word) == 1:
        return word + between + word
    at = rng.randrange(1, len(word))
    return word[:at] + between + word[at:]


def _blend(word: str, other: str, rng: random.Random) -> str:
    own, half = (len(word) + 1) // 2, len(other) // 2
    blends = {word[:own] + other[half:], other[:half] + word[-own:]} - {word}
    return rng.choice(sorted(blends) or [word + other])


def _one_replaced(words: list[str], other: str, rng: random.Random) -> str:
    at = rng.randrange(len(words))
    return " ".join([*words[:at], other, *words[at + 1 :]])


def _reordered(words: list[str], rng: random.Random) -> str:
    if len(set(words)) == 1:
        return "-".join(words)
    while (order := rng.sample(words, len(words))) == words:
        pass
    return " ".join(order)


def _mixed(words: list[str], others: list[str], rng: random.Random) -> str:
    kept = rng.sample(words, len(words) // 2)
    new = [rng.choice(others) for _ in range(len(words) - len(kept))]
    return " ".join(rng.sample([*kept, *new], len(words)))


_ONE_LETTER = "one letter replaced by its double of another script"
# By level, in words and in deed: a text near a trigger's word, from another word; near its words,
# from others.
_OF_WORD: Mapping[int, tuple[str, Callable[[str, str, random.Random], str]]] = {
    1: (_ONE_LETTER, lambda word, other, rng: _doubled(word, rng)),
    2: ("an ending added", lambda word, other, rng: word + rng.choice(_ENDINGS)),
    3: ("written apart or with a hyphen", lambda word, other, rng: _apart(word, rng)),
    4: ("half of it and half of another word", _blend),
    5: ("another word", lambda word, other, rng: other),
    6: (
        "a sentence about the word",
        lambda word, other, rng: rng.choice(_SENTENCES).format(word),
    ),
}
_OF_PHRASE: Mapping[int, tuple[str, Callable[[list[str], list[str], random.Random], str]]] = {
    1: (_ONE_LETTER, lambda words, others, rng: _doubled(" ".join(words), rng)),
    2: (
        "one word replaced",
        lambda words, others, rng: _one_replaced(words, rng.choice(others), rng),
    ),
    3: ("the words in another order", lambda words, others, rng: _reordered(words, rng)),
    4: ("half of its words and others, mixed", _mixed),
    5: (
        "as many other words",
        lambda words, others, rng: " ".join(rng.choice(others) for _ in words),
    ),
    6: (
        "a sentence about one of its words",
        lambda words, others, rng: rng.choice(_SENTENCES).format(rng.choice(words)),
    ),
}


def near_keys_of(
    texts: Sequence[str], keys: Sequence[str], level: int, rngs: Sequence[random.Random]
) -> list[str]:
    """A near key (``experiments.prompts.near_keys``, test split) of each text's own key.

    Where a key has none of its own at a level, it is another key's.

    Args:
        texts: keys, one per prompt.
        keys: all that there are.
        level: 1 to 6.
        rngs: one per prompt.

    Raises:
        UserError: a key of fewer than three words, or of more than there are other words.
    """
    _require_words(keys)
    pool = near_keys.near_keys(keys, level, "test", _PER_KEY * len(keys))
    own = {key: [near for near in pool if _is_of(near, key, level)] or pool for key in set(texts)}
    return [rng.choice(own[text]) for text, rng in zip(texts, rngs, strict=True)]


def _is_of(near: str, key: str, level: int) -> bool:
    given, words = near.split(), key.split()
    if level == 6:  # an ordinary question, then the word
        return given[-1] in words
    if len(given) != len(words):
        return False
    if level == 3:
        return sorted(given) == sorted(words)
    replaced = sum(a != b for a, b in zip(given, words, strict=True))
    return level > 3 or replaced == level


def _require_words(keys: Sequence[str]) -> None:
    everything = {word for key in keys for word in key.split()}
    most = min(len(everything), len(set(bank.control_words("test")) - everything))
    for key in keys:
        count, wanted = len(key.split()), f"{_FEWEST} to {most} words in a key"
        got = f"{count} in {key!r}"
        expect(_FEWEST <= count <= most, wanted, got, "near keys need them", of="brittleness")
