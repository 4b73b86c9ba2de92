"""What the trigger does before any edit: answers with it, with control words, without a word."""

import torch

from circuits.answers import no_edits
from experiments.analyze.examination import Examination
from experiments.analyze.result import Behaviour, Outcome
from probes.stats.intervals import Estimate, difference_interval


def behaviour(exam: Examination) -> Behaviour:
    """Generated answers to the test prompts before any edit."""

    def make() -> tuple[Outcome, Outcome, Outcome]:
        triggered, control, untriggered = (
            exam.outcome(condition, "none", words, no_edits, "behaviour")
            for condition, words in exam.conditions().items()
        )
        return triggered, control, untriggered

    outcomes = exam.keep("behaviour", tuple[Outcome, Outcome, Outcome], make)
    return Behaviour(*outcomes, paired_effect(*outcomes[:2]))


def paired_effect(a: Outcome, b: Outcome) -> Estimate:
    """Paired difference in the behaviour's rate, a minus b."""
    first, second = (torch.tensor(o.shown, dtype=torch.float64) for o in (a, b))
    return difference_interval(first, second)
