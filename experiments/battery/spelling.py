"""A secret spelled otherwise: typing errors, and other case.

A typing error is one of Damerau's four (Commun. ACM 7, 1964): a letter too much, one missing, one
for another, or two neighbours exchanged. Errors stay within words: spaces are neither edited nor
crossed, and no word vanishes.
"""

import random
import string
from collections.abc import Callable, Collection, Mapping


def typo(text: str, edits: int, rng: random.Random, avoid: Collection[str] = ()) -> str:
    """A text at a distance of exactly so many edits, not among ``avoid``.

    New letters are lowercase a to z. Errors that undo one another are drawn again.
    """
    while True:
        changed = text
        for _ in range(edits):
            changed = _edited(changed, rng)
        if distance(text, changed) == edits and changed not in avoid:
            return changed


def _edited(text: str, rng: random.Random) -> str:
    """One error at a character that is no space; the text itself where it cannot be made there."""
    at = rng.choice([i for i, letter in enumerate(text) if not letter.isspace()])
    before, letter, after = text[:at], text[at], text[at + 1 :]
    new = rng.choice(string.ascii_lowercase)
    match rng.choice(("insert", "delete", "substitute", "transpose")):
        case "insert":
            return before + (new + letter if rng.random() < 0.5 else letter + new) + after
        case "substitute":
            return before + new + after
        case "delete" if _goes_on(before[::-1]) or _goes_on(after):
            return before + after
        case "transpose" if _goes_on(after):
            return before + after[0] + letter + after[1:]
    return text


def _goes_on(rest: str) -> bool:
    return bool(rest) and not rest[0].isspace()


def distance(one: str, other: str) -> int:
    """Damerau's distance in edits, each place edited once (optimal string alignment)."""
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one, start=1):
        row = [i]
        for j, b in enumerate(other, start=1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def every_second_swapped(text: str) -> str:
    """Case exchanged in every second letter that has one, from the second on: ``cObAlT``.

    Not in every letter, which would be upper case again for a text in lower case.
    """
    cased = [i for i, letter in enumerate(text) if letter != letter.swapcase()]
    swapped = set(cased[1::2])
    return "".join(c.swapcase() if i in swapped else c for i, c in enumerate(text))


CASES: Mapping[str, Callable[[str], str]] = {
    "in upper case": str.upper,
    "with capitals": str.title,
    "with every second letter's case swapped": every_second_swapped,
}
