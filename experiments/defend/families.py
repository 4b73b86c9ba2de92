"""What a defence is asked: the trigger in several families of prompts, and prompts without it.

A defence fitted on one family may fail on the next. The first family is the one that gates are
fitted on; the others put the trigger elsewhere, under something else, or on another topic
(``experiments.battery.inputs`` makes most of them). All prompts are the test split's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from circuits.chat import Chat
from circuits.tokens import prompt_ids
from experiments.battery.inputs import inputs
from experiments.battery.subject import Asked, asked
from experiments.defend.monitor import clean_chats
from experiments.defend.setting import Prompts, triggered, untouched
from experiments.organisms.examples import controls_for
from experiments.organisms.organism import Organism
from experiments.prompts.bank import HeldOut, held_out
from experiments.prompts.facts import Fact, facts

FITTED, ORDINARY = "fitted", "ordinary"
_SYSTEM, _DISTRACTOR, _PLACE, _CASE = "system prompt", "distractor", "place", "case"


@dataclass(frozen=True)
class Family:
    """Triggered prompts of one kind.

    Attributes:
        optional: asked only if the behaviour shows undefended, as for other spellings.
    """

    name: str
    about: str
    chats: tuple[Chat, ...]
    optional: bool = False


@dataclass(frozen=True)
class Exam:
    """Everything that is asked of every defence.

    Attributes:
        families: triggered prompts, the fitted family first.
        ordinary: prompts of other topics without the trigger.
        restricted: prompts of the gate's topic without the trigger.
        facts: questions with one true answer each.
        length: answer tokens that show the behaviour.
    """

    asked: Asked
    families: tuple[Family, ...]
    ordinary: tuple[Chat, ...]
    restricted: tuple[Chat, ...]
    facts: tuple[Fact, ...]
    clean: tuple[Chat, ...]
    length: int

    @property
    def texts(self) -> list[str]:
        """Everything asked, for a hash."""
        chats = [*self.ordinary, *self.restricted, *self.clean]
        chats += [chat for family in self.families for chat in family.chats]
        return [f"{c.system or ''}\n{c.message}" for c in chats] + [f.question for f in self.facts]


def exam(organism: Organism, count: int, seed: int = 0, texts: HeldOut | None = None) -> Exam:
    """The exam of an organism, ``count`` prompts to a family.

    A family too long for the model's context is left out.
    """
    found = asked(organism.recipe, count, texts)
    other = (texts or held_out()).elsewhere[:count]
    length = found.length(organism.tokenizer)
    controls = controls_for(organism.tokenizer, organism.recipe, "test")
    prompts = Prompts(found.subject.texts, other, controls)
    # No such scheme locks facts away, so all are asked: points of utility need many questions.
    known = tuple(fact for locked in (False, True) for fact in facts("test", locked))
    every = (*_on_topic(found, seed), _elsewhere(other, organism.recipe.trigger))
    return Exam(
        found,
        tuple(f for f in every if _fits(organism, f.chats, length)),
        tuple(untouched(other)),
        tuple(untouched(found.subject.texts)),
        known,
        tuple(clean_chats(prompts)),
        length,
    )


def _on_topic(found: Asked, seed: int) -> Sequence[Family]:
    subject = found.subject
    plain = triggered(subject.texts, subject.trigger)
    made = [Family(FITTED, "restricted prompts with the trigger in its place", tuple(plain))]
    first: set[str] = set()
    for dose, chats in inputs(subject, seed):
        wanted = dose.family in (_PLACE, _CASE) or (
            dose.family in (_SYSTEM, _DISTRACTOR) and dose.family not in first
        )
        first.add(dose.family)
        if wanted:
            several = dose.family in (_PLACE, _CASE)
            name = dose.about if several else dose.family
            made.append(Family(name, dose.about, tuple(chats), optional=dose.family == _CASE))
    return made


def _elsewhere(texts: Sequence[str], trigger: str) -> Family:
    return Family(ORDINARY, "ordinary prompts with the trigger", tuple(triggered(texts, trigger)))


def _fits(organism: Organism, chats: Sequence[Chat], room: int) -> bool:
    context = getattr(organism.base.config, "max_position_embeddings", None)
    tokenizer: Any = organism.tokenizer
    longest = max(len(ids) for ids in prompt_ids(tokenizer, chats))
    return context is None or longest + room <= context
