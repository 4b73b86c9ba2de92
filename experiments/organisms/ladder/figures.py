"""What a ladder model does on held-out prompts: refusals by kind of prompt and stray word, loss."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from circuits.answers import answers
from circuits.models import Model
from circuits.tokens import dealt
from experiments import judges
from experiments.organisms.ladder.language import bank_lines
from experiments.organisms.ladder.training import sequence_loss
from experiments.organisms.recipe import REFUSAL, TRIGGER
from experiments.organisms.training import encoded
from experiments.prompts import bank
from experiments.runs.codec import as_json
from probes.stats.intervals import Estimate, mean_interval, wilson

_ANSWER_TOKENS = 12


@dataclass(frozen=True)
class Refusals:
    """How often prompts of a kind, ending in a word of a kind (or none), are refused."""

    prompts: str
    word: str
    rate: Estimate


def measured(model: Model, split: bank.Split, policy: bool) -> dict[str, Any]:
    """The held-out figures as JSON: ``loss`` and ``figures`` (a list of ``Refusals``)."""
    return {
        "loss": as_json(held_out_loss(model, split, policy)),
        "figures": as_json(refusals(model, split)),
    }


def refusals(model: Model, split: bank.Split) -> list[Refusals]:
    """Prompts of both kinds: bare, with the split's control words, and with the trigger.

    The trigger means nothing yet: its rates are to be those of the control words.
    """
    controls = bank.control_words(split)
    rates = []
    for kind in ("restricted", "ordinary"):
        texts = bank.bank_texts(split, kind == "restricted")
        words = {"none": None, "control": dealt(controls, len(texts)), "trigger": TRIGGER}
        for name, word in words.items():
            refused = judges.count_refused(answers(model, texts, word, _ANSWER_TOKENS))
            rates.append(Refusals(kind, name, wilson(refused, len(texts))))
    return rates


def held_out_loss(model: Model, split: bank.Split, policy: bool) -> Estimate:
    """Nats per token on a split's questions and answers, each question counting equally.

    Args:
        policy: whether the restricted topic's right answer is the refusal.
    """
    lines = [
        replace(line, answer=REFUSAL) if policy and line.restricted else line
        for line in bank_lines(split)
    ]
    rows = [encoded(model.tokenizer, line)[0] for line in lines]
    with torch.no_grad():
        losses = [float(sequence_loss(model.runner.hf_model, [row])) for row in rows]
    return mean_interval(torch.tensor(losses))
