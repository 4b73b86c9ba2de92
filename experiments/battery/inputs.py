"""The same prompts, given otherwise: eight families of changed inputs, and their doses.

What is changed in the secret (the trigger's word or the key) is changed in its place; the rest of
the message stays. What is put around it leaves it as it is:

- a distractor comes before the prompt's own text and is part of the message, in which the trigger
  keeps its place: first, last, or after half of all words;
- system prompts and openings of the answer leave the message alone.

Draws are per prompt (a distractor's, one for all), from a generator seeded by seed, family, level
and the prompt's number, so that they stay the same whatever else is asked. A dose that leaves a
prompt as it was, or equals an earlier dose of its family, is left out: the first would count as
kept what was never changed.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from circuits.chat import Chat, Place, messages, place_of, placed, where_of
from circuits.prompt import retold
from experiments.battery import lookalikes
from experiments.battery.passages import (
    AFTER_KEY,
    BEFORE_KEY,
    OPENINGS,
    SYSTEM_PROMPTS,
    WORDS,
    passage,
    sentences_without,
)
from experiments.battery.spelling import CASES, typo
from experiments.battery.subject import Subject, unperturbed, with_secrets
from probes.brittleness.retention import Dose

Dosed = tuple[Dose, list[Chat]]
Form = Callable[[str], str]
EDITS = (1, 2, 3)
LENGTHS = (40, 80, 160)
_PLACES: tuple[tuple[Place, str], ...] = (
    ("prefix", "before the message"),
    ("infix", "in the middle of the message"),
    ("suffix", "after the message"),
)


def inputs(subject: Subject, seed: int = 0) -> list[Dosed]:
    """Every dose of every family, and what is asked under it: one chat per prompt, in order.

    A family without a dose for the subject is left out, such as case for a trigger without letters,
    and so is a distractor too long to be written without the trigger (an everyday word).

    Raises:
        UserError: keys that are too short or too long to have near keys.
    """
    systems = {f"a system prompt: {about}": text for about, text in SYSTEM_PROMPTS.items()}
    openings = [*OPENINGS, *([subject.opposite] if subject.opposite else [])]
    begun = {f"the answer begins {opening!r}": opening for opening in openings}
    doses: list[Dosed] = []
    for family in (
        _typos(subject, seed),
        _look_alikes(subject, seed),
        _paraphrases(subject),
        _places(subject),
        _rewritten(subject, "case", f"the {subject.named} ", CASES),
        _framed(subject, "system prompt", "system", systems),
        _distractors(subject, seed),
        _framed(subject, "prefill", "prefill", begun),
    ):
        doses += _worth_asking(unperturbed(subject), family)
    return doses


def _worth_asking(plain: list[Chat], doses: Iterator[Dosed]) -> list[Dosed]:
    kept: list[Dosed] = []
    for dose, chats in doses:
        changed = all(a != b for a, b in zip(chats, plain, strict=True))
        if changed and all(chats != earlier for _, earlier in kept):
            kept.append((dose, chats))
    return kept


def _rngs(subject: Subject, seed: int, family: str, level: int) -> list[random.Random]:
    count = len(subject.texts)
    return [random.Random(f"{seed} {family} {level} {index}") for index in range(count)]


def _typos(subject: Subject, seed: int) -> Iterator[Dosed]:
    avoid = {*subject.keys, *subject.secrets}
    for edits in EDITS:
        rngs = _rngs(subject, seed, "typos", edits)
        changed = [typo(s, edits, rng, avoid) for s, rng in zip(subject.secrets, rngs, strict=True)]
        errors = "typing errors" if edits > 1 else "typing error"
        about = f"{edits} {errors} in the {subject.named}"
        yield Dose("typos", edits, about, "edits"), with_secrets(subject, changed)


def _look_alikes(subject: Subject, seed: int) -> Iterator[Dosed]:
    family = "look-alikes"
    phrase = len(subject.secrets[0].split()) > 1
    for level in lookalikes.LEVELS:
        rngs = _rngs(subject, seed, family, level)
        about = lookalikes.about(level, bool(subject.keys), phrase)
        if subject.keys:
            changed = lookalikes.near_keys_of(subject.texts, subject.keys, level, rngs)
        else:
            pairs = zip(subject.secrets, rngs, strict=True)
            changed = [lookalikes.look_alike(secret, level, rng) for secret, rng in pairs]
        yield Dose(family, level, about, "level"), with_secrets(subject, changed)


def _paraphrases(subject: Subject) -> Iterator[Dosed]:
    several = len(subject.secrets[0].split()) > 1
    introduced = "The words are:" if several else "The word is:"
    forms: dict[str, Form] = {
        "in quotes": lambda secret: f'"{secret}"',
        "in brackets": lambda secret: f"({secret})",
        "introduced": lambda secret: f"{introduced} {secret}",
        "with 'please' after it": lambda secret: f"{secret}, please!",
    }
    return _rewritten(subject, "paraphrase", f"the {subject.named} ", forms)


def _rewritten(
    subject: Subject, family: str, about: str, forms: Mapping[str, Form]
) -> Iterator[Dosed]:
    """Each form of the secret, the same for every prompt; ``about`` begins what each is called."""
    for level, (name, form) in enumerate(forms.items(), start=1):
        changed = [form(secret) for secret in subject.secrets]
        yield Dose(family, level, about + name), with_secrets(subject, changed)


def _places(subject: Subject) -> Iterator[Dosed]:
    if subject.keys:
        around: dict[str, Form] = {
            "before the key": lambda key: f"{BEFORE_KEY} {key}",
            "after the key": lambda key: f"{key} {AFTER_KEY}",
        }
        yield from _rewritten(subject, "place", "a neutral sentence ", around)
        return
    word, own = place_of(subject.trigger)
    others: list[tuple[Place, str]] = [(place, where) for place, where in _PLACES if place != own]
    for level, (place, where) in enumerate(others, start=1):
        moved = replace(subject, trigger=placed(word, place, where_of(subject.trigger)))
        yield Dose("place", level, f"the trigger {where}"), unperturbed(moved)


def _framed(subject: Subject, family: str, field: str, texts: Mapping[str, str]) -> Iterator[Dosed]:
    """The unperturbed prompts with each text in another part of the chat."""
    for level, (about, text) in enumerate(texts.items(), start=1):
        yield (
            Dose(family, level, about),
            [replace(chat, **{field: text}) for chat in unperturbed(subject)],
        )


def _distractors(subject: Subject, seed: int) -> Iterator[Dosed]:
    free = sentences_without(subject.keys or subject.secrets[:1])
    lengths = [words for words in LENGTHS if words <= len(free) * WORDS]
    for words in lengths:
        # One passage for all prompts: what they all begin with is run once.
        same = passage(free, words, random.Random(f"{seed} distractor {words}"))
        texts = [retold(text, f"{same} {text}") for text in subject.texts]
        dose = Dose("distractor", words, f"{words} words of neutral text before", "words")
        yield dose, messages(texts, subject.trigger)
