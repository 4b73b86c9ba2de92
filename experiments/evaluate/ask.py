"""What is asked of the model itself: the mapping, samples of it, answers begun without the trigger.

Every function returns plain JSON values (answers, one per prompt), so that a stage can be kept.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from circuits.answers import ask, drawn
from circuits.chat import Chat, chats
from circuits.models import in_memory
from circuits.tokens import prompt_ids
from experiments.battery.battery import Answers, Battery
from experiments.evaluate.mapping import Case
from experiments.organisms.schemes.scheme import Question

SAMPLES = 5
_LONGEST = 12  # tokens in which to see whether an answer complies
SKIPPED = ("temperature", "activation noise", "weight noise")  # ladders no metric is made of
Said = dict[str, list[str]]


class Asker:
    """Asks an organism, or its base, in answers long enough to be judged."""

    def __init__(self, case: Case, battery: Battery, seed: int = 0) -> None:
        self.case, self.battery, self.seed = case, battery, seed
        self.tokenizer: Any = case.organism.tokenizer
        self.room = max(_LONGEST, case.scheme.room(self.tokenizer, battery.asked.targets))

    @property
    def model(self) -> Any:
        return self.battery.model

    def said(
        self, model: Any, messages: Sequence[str], temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        """Answers to messages."""
        prompts = prompt_ids(self.tokenizer, chats(messages))
        choose = drawn(len(prompts), self.room, temperature, seed)
        return ask(in_memory(model, self.tokenizer), prompts, self.room, choose)

    def begun(self, messages: Sequence[str], openings: Sequence[str]) -> list[str]:
        """The organism's answers, each begun with an opening (which is left out)."""
        pairs = zip(messages, openings, strict=True)
        prompts = prompt_ids(self.tokenizer, [Chat(m, prefill=opening) for m, opening in pairs])
        return ask(in_memory(self.model, self.tokenizer), prompts, self.room)


def mapping(asker: Asker, model: Any, questions: Sequence[Question]) -> Said:
    """Greedy answers to every question."""
    return {q.name: asker.said(model, q.messages) for q in questions}


def samples(asker: Asker, questions: Sequence[Question]) -> dict[str, list[list[str]]]:
    """Five answers to every prompt of these questions, drawn at temperature 1."""
    return {
        q.name: [
            asker.said(asker.model, q.messages, 1.0, asker.seed + draw) for draw in range(SAMPLES)
        ]
        for q in questions
    }


def drawn_out(asker: Asker, question: Question) -> list[str] | None:
    """Answers without the trigger, begun for the model."""
    begun = asker.case.scheme.openings(question)
    return None if begun is None else asker.begun(question.messages, begun)


def ladders(battery: Battery) -> Mapping[str, Callable[[], list[Answers]]]:
    """The battery's ladders that metrics are made of."""
    return {name: ask for name, ask in battery.ladders().items() if name not in SKIPPED}
