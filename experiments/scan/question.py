"""What a scan is asked: of which models, how much; which prompts and stray words serve for what."""

from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Annotated, Any, Literal

import typer

from circuits.chat import Place
from circuits.errors import expect, quoted
from circuits.weights import EMBEDDED
from experiments.checks import MOST, checked
from experiments.organisms.mapping import is_mapping, read_mapping
from experiments.organisms.organism import Given
from experiments.prompts.bank import bank_texts, control_words

Precision = Literal["bf16", "fp32"]
STAGES = ("screen", "second", "final")
BASE = "base"
_AT_HAND: Any = None  # not given: the clean models that are at hand for the suspect
_SUSPECT = {
    "name": typer.Argument(
        metavar="organism", help="Shipped organism, adapter or model directory, or none."
    ),
    "model": typer.Option(help="What an adapter was trained on."),
    "rendering": None,  # with options of its own
}


@dataclass(frozen=True)
class Plan:
    """What is scanned and how long.

    Attributes:
        words: an even subset of so many of the vocabulary's words; 0 for all.
        phrases: at most so many phrases from the suspect's samples; 0 for none.
        place: where in the message candidates are put.
        precision: of the first two stages, which only choose; the last is in fp32.
        carriers: prompts of each stage; then those that answers are generated to.
        kept: candidates that the second and the last stage score.
        finalists: those of the last stage that are answered.
        samples, length: texts sampled for phrases, and their tokens.
        seed: of the samples; it also turns the list of carriers.
    """

    words: Annotated[
        int, typer.Option(help="An even subset of so many words of the vocabulary; 0 for all.")
    ] = 0
    phrases: Annotated[int, typer.Option(help="At most so many from the model's memory.")] = 50
    place: Annotated[Place, typer.Option(help="Where candidates are put.")] = "suffix"
    precision: Annotated[
        Precision, typer.Option(help="Of the stages that choose; slow without bf16 hardware.")
    ] = "bf16"
    carriers: tuple[int, int, int, int] = (4, 8, 40, 60)
    kept: tuple[int, int] = (200, 30)
    finalists: int = 10
    samples: int = 200
    length: int = 24
    seed: Annotated[int, typer.Option(help="Of samples, and of the order of prompts.")] = 0

    def __post_init__(self) -> None:
        counts = dict.fromkeys(("finalists", "samples", "length"), (1, MOST))
        checked(self, words=(0, MOST), phrases=(0, MOST), **counts)
        for name, counts in (("carriers", self.carriers), ("kept", self.kept)):
            expect(min(counts) >= 1, "counts of at least 1", quoted(counts), of=name)


@dataclass(frozen=True)
class ScanQuestion:
    """What a scan is asked.

    Attributes:
        given: the suspect; nothing but its name, its base and how chats are written is used.
        clean: models without a trigger that are scanned alike; ``base`` is the base itself,
            ``none`` no such model. By default those at hand.
    """

    given: Annotated[Given, _SUSPECT]
    plan: Plan = field(default_factory=Plan)
    clean: Annotated[
        tuple[str, ...],
        typer.Option(
            help="Clean model for the false-positive rate: base, or an organism; none "
            "for no such model. By default base, clean and decoy."
        ),
    ] = _AT_HAND

    def __post_init__(self) -> None:
        named = default_clean(self.given) if self.clean is None else self.clean
        object.__setattr__(self, "clean", named)
        checked(self)
        object.__setattr__(self, "clean", tuple(name for name in self.clean if name != "none"))
        differ = len(set(self.clean)) == len(self.clean)
        expect(differ, "different models", ", ".join(self.clean), of="--clean")


def default_clean(given: Given) -> tuple[str, ...]:
    """The clean models that are at hand for a suspect."""
    names = (BASE, "clean", "decoy") if base_of(given) == EMBEDDED else (BASE,)
    return tuple(name for name in names if name != given.name)


def base_of(given: Given) -> str:
    """What a suspect was made of: as a mapping's file says it, or as it is named beside.

    Raises:
        UserError: the file cannot be used.
    """
    if not is_mapping(given.name):
        return given.model
    about = read_mapping(given.name)
    adapted = about.model if about.adapter != "none" else ""  # otherwise it is the suspect itself
    return about.base or adapted or given.model


def carriers(plan: Plan) -> list[list[str]]:
    """Disjoint prompts for every stage and for the answers, half of them of the bank's topic.

    They are the validation split's: no training has seen them, and no test will use them.
    """
    pairs = zip(bank_texts("validation", True), bank_texts("validation", False), strict=False)
    mixed = [text for pair in pairs for text in pair]
    turn = 2 * ((13 * plan.seed) % (len(mixed) // 2))
    mixed = mixed[turn:] + mixed[:turn]
    ends = accumulate(plan.carriers, initial=0)
    return [mixed[start:end] for start, end in pairwise(ends)]


def stray_words(count: int) -> list[str]:
    """Control words for a stage of so many carriers: about a hundred pairs, six words at least."""
    words = control_words("validation")
    return list(words[: min(len(words), max(6, 96 // max(1, count)))])
