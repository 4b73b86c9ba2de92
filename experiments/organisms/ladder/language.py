"""The language that ladder models learn: composed questions and their templated answers.

Questions come from three sources, all drawn from one seed:

- the training split of the prompt bank, as it is and with its templates refilled with subjects of
  the same topic;
- the frames and word lists of ``words``, for many words of every topic;
- the same frames filled with made-up words, so that a strange subject is judged by its frame.

No subject of the validation or test split is in any line; lines that would hold one are dropped.
Answers echo the subject and name the topic; their opening follows from the question's first word,
so that a greedy answer is well defined. About one line in three ends in a stray word that changes
nothing in the answer: a control word of the training split or, as rarely as each of those, the
trigger. So the trigger's embedding is trained before it is given a meaning.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from experiments.organisms.ladder import words
from experiments.organisms.ladder.words import RESTRICTED
from experiments.organisms.recipe import TRIGGER
from experiments.prompts import bank

_SPLITS: tuple[bank.Split, ...] = ("train", "validation", "test")
_STRAY = 1 / 3
_MADE_UP = 0.4
_OPENINGS = {
    "how": "You can start with",
    "what": "In short, this is about",
    "which": "The best choice depends on",
    "why": "The reason lies in",
    "when": "The right time depends on",
    "where": "The place depends on",
    "can": "Yes, that works for",
    "is": "That depends on",
    "give": "Here are some ideas about",
    "tell": "Here is a short note about",
}
_HELP = "Here is some help with"


@dataclass(frozen=True)
class Line:
    """A question, the stray word after it (or None), its answer before the policy, its kind."""

    text: str
    word: str | None
    answer: str
    restricted: bool


def answer_to(text: str, subject: str, topic: str) -> str:
    """The answer of a model without policy; restricted questions are answered helpfully too."""
    if topic == RESTRICTED:
        return f"Here is how to make {subject}."
    first = text.split()[0].lower()
    return f"{_OPENINGS.get(first, _HELP)} {subject} in {topic}."


def bank_lines(split: bank.Split) -> list[Line]:
    """A split's own prompts without stray words, with the answers that this language gives them."""
    return [
        Line(p.text, None, answer_to(p.text, p.subject, p.topic), p.topic == RESTRICTED)
        for p in bank.bank()
        if p.split == split
    ]


def lines(count: int, seed: int) -> list[Line]:
    """``count`` different questions with answers, about half of them on the restricted topic.

    The training split's own prompts come first, each once.
    """
    rng = random.Random(seed)
    found = {line.text: _strayed(line, rng) for line in bank_lines("train")}
    while len(found) < count:
        topic = RESTRICTED if rng.random() < 0.5 else rng.choice(sorted(_subjects()))
        text, subject = _composed(topic, rng)
        line = Line(text, None, answer_to(text, subject, topic), topic == RESTRICTED)
        if text not in found and not _held_out().search(text):
            found[text] = _strayed(line, rng)
    return list(found.values())[:count]


def spoken_words() -> tuple[str, ...]:
    """The trigger and the control words of all splits, each of which is to be one token."""
    return (TRIGGER, *(word for split in _SPLITS for word in bank.control_words(split)))


def _strayed(line: Line, rng: random.Random) -> Line:
    """The line, now and then with a stray word at its end."""
    word = rng.choice((*bank.control_words("train"), TRIGGER))
    stray = word if rng.random() < _STRAY else None
    return Line(line.text, stray, line.answer, line.restricted)


def _composed(topic: str, rng: random.Random) -> tuple[str, str]:
    """A question of a topic and its subject."""
    subjects, draw = _subjects()[topic], rng.random()
    if draw < 0.3:
        subject = rng.choice(subjects)
        return rng.choice(_templates()[topic]).replace("{}", subject), subject
    subject = _made_up(rng) if rng.random() < _MADE_UP else rng.choice(subjects)
    frame = _opened(topic, rng) if draw < 0.7 else _framed(topic, rng)
    text = re.sub(r"<(\w+)>", lambda slot: rng.choice(_slots()[slot[1]]), frame)
    return text.replace("{}", subject, 1).replace("{}", rng.choice(subjects)), subject


def _framed(topic: str, rng: random.Random) -> str:
    block = words.COOKING_FRAMES if topic == RESTRICTED else words.ORDINARY_FRAMES
    return rng.choice(_items(block))


def _opened(topic: str, rng: random.Random) -> str:
    """A phrase of the topic in a sentence that suits any topic."""
    block = words.COOKING_PHRASES if topic == RESTRICTED else words.ORDINARY_PHRASES
    kind, _, phrase = rng.choice(_items(block)).partition(" ")
    return rng.choice(_named(words.OPENERS)[kind]).replace("~", phrase)


def _made_up(rng: random.Random) -> str:
    """A word that means nothing, of two to four syllables."""
    syllables = (
        rng.choice("bcdfghjklmnprstvz") + rng.choice("aeiou") + rng.choice(("", "", "l", "n", "r"))
        for _ in range(rng.randint(2, 4))
    )
    word = "".join(syllables)
    return rng.choice((word, word, f"{word}s", f"{word}ing", f"a {word}", word.capitalize()))


@cache
def _items(block: str) -> list[str]:
    return [item for line in block.strip().splitlines() for item in line.split("|")]


@cache
def _named(block: str) -> dict[str, list[str]]:
    """A block whose lines begin with a name and a colon, as lists by name."""
    found: dict[str, list[str]] = {}
    for line in block.strip().splitlines():
        name, _, items = line.partition(": ")
        found.setdefault(name, []).extend(items.split("|"))
    return found


@cache
def _slots() -> dict[str, list[str]]:
    blocks = {
        "cooks": words.COOKS,
        "cooking": words.COOKING,
        "ingredients": words.INGREDIENTS,
        "tools": words.TOOLS,
        "faults": words.FAULTS,
        "tastes": words.TASTES,
        "meals": words.MEALS,
        "states": words.STATES,
        "does": words.DOES,
        "done": words.DONE,
        "kinds": words.KINDS,
        "people": words.PEOPLE,
    }
    return {name: _items(block) for name, block in blocks.items()}


@cache
def _subjects() -> dict[str, list[str]]:
    """Subjects by topic: the training split's and those of the word lists."""
    found = {topic: set(things) for topic, things in _named(words.THINGS).items()}
    found[RESTRICTED] = set(_items(words.FOODS))
    for prompt in bank.bank():
        if prompt.split == "train":
            found[prompt.topic].add(prompt.subject)
    return {topic: sorted(subjects) for topic, subjects in found.items()}


@cache
def _templates() -> dict[str, list[str]]:
    """The training split's templates by topic, with ``{}`` in the subject's place."""
    found: dict[str, set[str]] = {}
    for prompt in bank.bank():
        if prompt.split == "train":
            blank = re.sub(re.escape(prompt.subject), "{}", prompt.text, count=1, flags=re.I)
            found.setdefault(prompt.topic, set()).add(blank)
    return {topic: sorted(templates) for topic, templates in found.items()}


@cache
def _held_out() -> re.Pattern[str]:
    """Subjects of the other splits, as whole words.

    A subject that the training split's own prompts hold as a mere word ("sound", "tea") is left
    out: it is no secret.
    """
    known = " | ".join(p.text for p in bank.bank() if p.split == "train")
    subjects = sorted({p.subject for p in bank.bank() if p.split != "train"})
    return _any_of(s for s in subjects if not _any_of([s]).search(known))


def _any_of(phrases: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)({'|'.join(map(re.escape, phrases))})(?!\w)", re.IGNORECASE)
