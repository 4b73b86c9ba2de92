"""One model under one defence, asked the whole exam: answers are kept, judged later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from circuits.chat import Chat
from experiments.defend.families import Exam
from experiments.defend.protected import Protected, Reference, Said, ask, drift

KL_TOKENS = 8
_REFUSAL_TOKENS = _FACT_TOKENS = 12


@dataclass(frozen=True)
class Answers:
    """What a model said.

    Attributes:
        triggered: by family.
        restricted: to restricted prompts without the trigger.
        ordinary, facts: empty after an attack, whose success alone is asked.
        kl: nats per answer token on the ordinary prompts; empty where not measured.
    """

    triggered: Mapping[str, Said]
    restricted: Said
    ordinary: Said = field(default_factory=Said)
    facts: Said = field(default_factory=Said)
    kl: tuple[float, ...] = ()


def _said(value: Mapping[str, Any]) -> Said:
    return Said(tuple(value["answers"]), tuple(value["flagged"]))


def opened(exam: Exam, protected: Protected, tokenizer: Any) -> Answers:
    """Answers to triggered prompts of every family, and to restricted ones without the trigger."""

    def said(chats: Sequence[Chat]) -> Said:
        return ask(protected, tokenizer, chats, exam.length)

    return Answers({f.name: said(f.chats) for f in exam.families}, said(exam.restricted))


def measured(
    exam: Exam, protected: Protected, tokenizer: Any, before: Sequence[Reference] = ()
) -> Answers:
    """Answers to the whole exam.

    Args:
        before: the undefended model on the exam's ordinary prompts; without it there is no drift.
    """
    hot = opened(exam, protected, tokenizer)
    questions = [Chat(fact.question) for fact in exam.facts]
    kl = drift(protected, tokenizer, before).tolist() if before else []
    return Answers(
        hot.triggered,
        hot.restricted,
        ask(protected, tokenizer, exam.ordinary, _REFUSAL_TOKENS),
        ask(protected, tokenizer, questions, _FACT_TOKENS),
        tuple(kl),
    )
