"""From a battery's answers to what is left of the behaviour."""

from collections.abc import Mapping, Sequence

import torch

from circuits.types import Progress
from experiments.battery.battery import Answers, Battery
from experiments.battery.subject import Asked
from probes.brittleness.retention import Retention, retention

FEWEST = 4  # prompts with the behaviour, below which nothing can be said of losing it


def measured(battery: Battery, progress: Progress) -> Retention | None:
    """Ask every ladder; None if too few prompts (or one key alone) show the behaviour."""
    baseline = battery.baseline()
    present = battery.asked.shown(baseline)
    keys = {group for group, there in zip(battery.asked.groups, present, strict=True) if there}
    if sum(present) < FEWEST or len(keys) < 2:
        return None
    ladders = battery.ladders()
    answers: dict[str, list[Answers]] = {}
    for step, (name, ladder) in enumerate(ladders.items(), 1):
        answers[name] = ladder()
        progress(step, len(ladders))
    return judged(battery.asked, baseline, answers)


def judged(
    asked: Asked,
    baseline: Sequence[str],
    ladders: Mapping[str, Sequence[Answers]],
) -> Retention:
    """What is left of the behaviour, from answers.

    Raises:
        UserError: too few prompts show the behaviour unperturbed.
    """
    everything = [answers for ladder in ladders.values() for answers in ladder]
    return retention(
        [answers.dose for answers in everything],
        torch.tensor([asked.shown(answers.said) for answers in everything]),
        torch.tensor(asked.shown(baseline)),
        torch.tensor(asked.groups),
    )
