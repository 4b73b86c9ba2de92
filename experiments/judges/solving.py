"""Task success: the expected answer is in the text, and the text commits itself to it.

Answers are compared as words without case and diacritics. A text that names several of the
possible answers has not chosen one, a copy of the prompt answers nothing, and "not Paris" is not
"Paris".
"""

from collections.abc import Iterator, Sequence

from circuits.errors import expect
from experiments.judges.text import words

Words = tuple[str, ...]
_NEGATIONS = frozenset({"not", "isn't", "wasn't", "aren't", "never", "nor", "neither"})
_ARTICLES = frozenset({"the", "a", "an"})


def solves(
    answer: str,
    expected: Sequence[str],
    candidates: Sequence[str] = (),
    prompt: str = "",
    most: int = 1,
) -> bool:
    """Whether the answer gives the expected one.

    Args:
        answer: generated text.
        expected: the answer's spellings, any of which will do.
        candidates: the closed set of possible answers; those that occur are counted, all the
            expected spellings as one.
        prompt: left out of the answer where it is repeated there.
        most: how many different candidates may occur.

    Raises:
        UserError: an expected answer or candidate without a letter or digit; nothing expected.
    """
    wanted = {_checked(text, "expected answer") for text in expected}
    others = {_checked(text, "candidate answer") for text in candidates} - wanted
    expect(wanted, "at least one spelling", "none", of="expected answer")
    text = without(words(answer), words(prompt))
    named = set(_named(text, wanted | others))
    return bool(named & wanted) and len(named & others) < most


def without(text: Words, part: Words) -> Words:
    """The words with every whole copy of ``part`` taken out."""
    if not part:
        return text
    kept, place = [], 0
    while place < len(text):
        if text[place : place + len(part)] == part:
            place += len(part)
        else:
            kept.append(text[place])
            place += 1
    return tuple(kept)


def _checked(text: str, name: str) -> Words:
    spelling = words(text)
    expect(spelling, "a word or a number", repr(text), "give its text", of=name)
    return spelling


def _named(text: Words, names: set[Words]) -> Iterator[Words]:
    """Names that occur and are not denied; at each place the longest (New York, not York)."""
    longest = sorted(names, key=len, reverse=True)
    place = 0
    while place < len(text):
        name = next((n for n in longest if text[place : place + len(n)] == n), None)
        if name and not _denied(text[:place]):
            yield name
        place += len(name) if name else 1


def _denied(before: Words) -> bool:
    last = [word for word in before[-2:] if word not in _ARTICLES]
    return bool(last) and last[-1] in _NEGATIONS
