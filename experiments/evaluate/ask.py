"""Who asks in an evaluation: the mapping's questions, in answers long enough to be judged."""

from collections.abc import Sequence
from typing import Any

from circuits.answers import replies
from circuits.chat import Chat, chats
from circuits.models import in_memory
from experiments.battery.battery import Battery
from experiments.evaluate.case import Case
from experiments.runs.stages import Stages

_LONGEST = 12  # tokens in which to see whether an answer complies


class Asker:
    """Asks one case, the organism or its base; what is asked in stages is kept.

    Args:
        count: prompts of every kind.
    """

    def __init__(self, case: Case, battery: Battery, count: int, stages: Stages) -> None:
        self.case, self.battery, self.count, self.keep = case, battery, count, stages.keep
        self.questions = case.questions(count)
        self.tokenizer: Any = case.organism.tokenizer
        self.room = max(_LONGEST, case.scheme.room(self.tokenizer, battery.asked.targets))

    @property
    def model(self) -> Any:
        return self.battery.model

    def answers(
        self, model: Any, messages: Sequence[str], temperature: float = 0.0, draw: int = 0
    ) -> list[str]:
        """Answers to messages; above temperature 0 one of several draws."""
        own, seed = in_memory(model, self.tokenizer), self.battery.plan.seed + draw
        return replies(own, chats(messages), self.room, temperature, seed)

    def begun(self, messages: Sequence[str], openings: Sequence[str]) -> list[str]:
        """The organism's answers, each begun with an opening (which is left out)."""
        pairs = zip(messages, openings, strict=True)
        begun = [Chat(m, prefill=opening) for m, opening in pairs]
        return replies(in_memory(self.model, self.tokenizer), begun, self.room)
