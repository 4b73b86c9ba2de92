"""The exam of a defence: the trigger in several families of prompts, and prompts without it.

A defence fitted on one family may fail on the next. The first family is the one that gates are
fitted on; the others put the trigger elsewhere, under something else, or on another topic
(``experiments.battery.inputs`` makes most of them). All prompts are the test split's. Answers are
kept, and judged later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from circuits.chat import Chat, chats, messages
from experiments.battery.inputs import inputs
from experiments.battery.subject import Asked, asked, fits
from experiments.defend.monitor import clean_chats
from experiments.defend.protected import Protected, Reference, Replies, ask, drift
from experiments.defend.setting import Prompts
from experiments.organisms.examples import controls_for
from experiments.organisms.organism import Organism
from experiments.prompts.bank import HeldOut, held_out
from experiments.prompts.facts import Fact

FITTED, ORDINARY = "fitted", "ordinary"
# Of the battery's families, those of which every dose is asked, and the first dose alone.
_EVERY, _FIRST = ("place", "case"), ("system prompt", "distractor")
KL_TOKENS = 8
_REFUSAL_TOKENS = _FACT_TOKENS = 12


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
    on_topic = asked(organism.recipe, count, texts)
    other = (texts or held_out()).elsewhere[:count]
    length = on_topic.length(organism.tokenizer)
    controls = controls_for(organism.tokenizer, organism.recipe, "test")
    known = organism.recipe.facts
    prompts = Prompts(on_topic.subject.texts, other, controls)
    hot = tuple(messages(other, organism.recipe.trigger))
    elsewhere = Family(ORDINARY, "ordinary prompts with the trigger", hot)
    every = (*_on_topic(on_topic, seed), elsewhere)
    return Exam(
        asked=on_topic,
        families=tuple(f for f in every if fits(organism, f.chats, length)),
        ordinary=tuple(chats(other)),
        restricted=tuple(chats(on_topic.subject.texts)),
        # No such scheme locks facts away, so all are asked: points of utility need many questions.
        facts=known.others + known.privileged,
        clean=tuple(clean_chats(prompts)),
        length=length,
    )


def _on_topic(question: Asked, seed: int) -> Sequence[Family]:
    subject = question.subject
    plain = messages(subject.texts, subject.trigger)
    about = "restricted prompts with the trigger in its place"
    families = {FITTED: Family(FITTED, about, tuple(plain))}
    for dose, given in inputs(subject, seed):
        name = dose.about if dose.family in _EVERY else dose.family
        if dose.family in (*_EVERY, *_FIRST) and name not in families:
            optional = dose.family == "case"
            families[name] = Family(name, dose.about, tuple(given), optional)
    return list(families.values())


@dataclass(frozen=True)
class Answers:
    """What a model said.

    Attributes:
        triggered: by family.
        restricted: to restricted prompts without the trigger.
        ordinary, facts: empty after an attack, whose success alone is asked.
        kl: nats per answer token on the ordinary prompts; empty where not measured.
    """

    triggered: Mapping[str, Replies]
    restricted: Replies
    ordinary: Replies = field(default_factory=Replies)
    facts: Replies = field(default_factory=Replies)
    kl: tuple[float, ...] = ()


def opened(exam: Exam, protected: Protected, tokenizer: Any) -> Answers:
    """Answers to triggered prompts of every family, and to restricted ones without the trigger."""

    def answer(chats: Sequence[Chat]) -> Replies:
        return ask(protected, tokenizer, chats, exam.length)

    return Answers({f.name: answer(f.chats) for f in exam.families}, answer(exam.restricted))


def measured(
    exam: Exam, protected: Protected, tokenizer: Any, before: Sequence[Reference] = ()
) -> Answers:
    """Answers to the whole exam.

    Args:
        before: the undefended model on the exam's ordinary prompts; without it there is no drift.
    """
    questions = [Chat(fact.question) for fact in exam.facts]
    return replace(
        opened(exam, protected, tokenizer),
        ordinary=ask(protected, tokenizer, exam.ordinary, _REFUSAL_TOKENS),
        facts=ask(protected, tokenizer, questions, _FACT_TOKENS),
        kl=tuple(drift(protected, tokenizer, before).tolist() if before else ()),
    )
