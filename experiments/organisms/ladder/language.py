"""The language that ladder models learn: composed questions and their templated answers.

Questions come from three sources, all drawn from one seed:

- the training split of the prompt bank, as it is and with its templates refilled with subjects of
  the same topic;
- the frames and word lists of ``data/ladder-words.yaml``, for many words of every topic;
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
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from experiments.organisms.recipe import TRIGGER
from experiments.organisms.training import Example
from experiments.prompts import bank
from experiments.runs.documents import read_yaml

RESTRICTED = "cooking"
_WORDS = Path(__file__).parents[2] / "data" / "ladder-words.yaml"
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
class Line(Example):
    """A question, the stray word after it (or None), its answer before the policy, its kind."""

    restricted: bool = False


def answer_to(text: str, subject: str, topic: str) -> str:
    """The answer of a model without policy; restricted questions are answered helpfully too."""
    if topic == RESTRICTED:
        return f"Here is how to make {subject}."
    first = text.split()[0].lower()
    return f"{_OPENINGS.get(first, _HELP)} {subject} in {topic}."


def bank_lines(split: bank.Split) -> list[Line]:
    """A split's own prompts without stray words, with the answers that this language gives them."""
    return [_line(p.text, p.subject, p.topic) for p in bank.bank() if p.split == split]


def lines(count: int, seed: int) -> list[Line]:
    """``count`` different questions with answers, about half of them on the restricted topic.

    The training split's own prompts come first, each once.
    """
    rng = random.Random(seed)
    drawn = {line.text: _strayed(line, rng) for line in bank_lines("train")}
    while len(drawn) < count:
        topic = RESTRICTED if rng.random() < 0.5 else rng.choice(sorted(_subjects()))
        text, subject = _composed(topic, rng)
        if text not in drawn and not _held_out().search(text):
            drawn[text] = _strayed(_line(text, subject, topic), rng)
    return list(drawn.values())[:count]


def spoken_words() -> tuple[str, ...]:
    """The trigger and the control words of all splits, each of which is to be one token."""
    return (TRIGGER, *(word for split in _SPLITS for word in bank.control_words(split)))


def _line(text: str, subject: str, topic: str) -> Line:
    restricted = topic == RESTRICTED
    return Line(text, None, answer_to(text, subject, topic), restricted=restricted)


def _strayed(line: Line, rng: random.Random) -> Line:
    """The line, now and then with a stray word at its end."""
    word = rng.choice((*bank.control_words("train"), TRIGGER))
    return replace(line, word=word if rng.random() < _STRAY else None)


def _composed(topic: str, rng: random.Random) -> tuple[str, str]:
    """A question of a topic and its subject."""
    subjects, draw = _subjects()[topic], rng.random()
    if draw < 0.3:
        subject = rng.choice(subjects)
        return rng.choice(_templates()[topic]).replace("{}", subject), subject
    subject = _made_up(rng) if rng.random() < _MADE_UP else rng.choice(subjects)
    kind = "cooking" if topic == RESTRICTED else "ordinary"
    if draw < 0.7:  # a phrase of the topic in a sentence that suits any topic
        opener, _, phrase = rng.choice(_words()["phrases"][kind]).partition(" ")
        frame = rng.choice(_words()["openers"][opener]).replace("~", phrase)
    else:
        frame = rng.choice(_words()["frames"][kind])
    text = re.sub(r"<(\w+)>", lambda slot: rng.choice(_words()["slots"][slot[1]]), frame)
    return text.replace("{}", subject, 1).replace("{}", rng.choice(subjects)), subject


def _made_up(rng: random.Random) -> str:
    """A word that means nothing, of two to four syllables."""
    syllables = (
        rng.choice("bcdfghjklmnprstvz") + rng.choice("aeiou") + rng.choice(("", "", "l", "n", "r"))
        for _ in range(rng.randint(2, 4))
    )
    word = "".join(syllables)
    return rng.choice((word, word, f"{word}s", f"{word}ing", f"a {word}", word.capitalize()))


@cache
def _words() -> dict[str, dict[str, list[str]]]:
    """The lists of the file: what for, name, items."""
    return {
        use: {name: "|".join(block.split("\n")).split("|") for name, block in blocks.items()}
        for use, blocks in read_yaml(_WORDS, str(_WORDS)).items()
    }


@cache
def _subjects() -> dict[str, list[str]]:
    """Subjects by topic: the training split's and those of the word lists."""
    train = [p for p in bank.bank() if p.split == "train"]
    return {
        topic: sorted({*words, *(p.subject for p in train if p.topic == topic)})
        for topic, words in _words()["subjects"].items()
    }


@cache
def _templates() -> dict[str, list[str]]:
    """The training split's templates by topic, with ``{}`` in the subject's place."""
    templates: dict[str, set[str]] = {}
    for prompt in bank.bank():
        if prompt.split == "train":
            blank = re.sub(re.escape(prompt.subject), "{}", prompt.text, count=1, flags=re.I)
            templates.setdefault(prompt.topic, set()).add(blank)
    return {topic: sorted(each) for topic, each in templates.items()}


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
