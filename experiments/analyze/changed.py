"""What else the trigger changes, where it does not bring about what was named.

Every measure is taken with the trigger and with a control word in the same prompt, and subtracted
prompt by prompt. The first token and its distribution are held against those with a *second*
control word on both sides: any two words make some difference, and that is not the trigger's.
The intervals are wide enough to hold together with 95% (Bonferroni).
"""

from collections.abc import Callable, Hashable, Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.answers import answers
from circuits.chat import Words, chats
from circuits.metrics import kl_from
from circuits.scores import forced
from circuits.tokens import prompt_ids, text_ids
from experiments import judges
from experiments.analyze.examination import Examination, Stage
from experiments.analyze.outcomes import Behaviour, Change, Unit
from experiments.judges.criterion import JUDGED
from probes.stats.intervals import difference_interval, mean_interval, rate

CHANGED = "what else changed"
_LEVEL = 1 - 0.05 / 5  # five measures
_Both = tuple[Float[Tensor, " n"], Float[Tensor, " n"]]  # with the trigger, with control words


@Stage(CHANGED)
def changed(exam: Examination, before: Behaviour) -> tuple[Change, ...]:
    """Refusal, compliance and length of the answers, the first token and its distribution."""
    sides, groups = _answers(exam, before), before.triggered.groups
    measures: dict[str, tuple[Unit, _Both]] = {
        "refusal": ("share", _of(sides, lambda texts: map(judges.refuses, texts))),
        "compliance": ("share", _of(sides, exam.complied)),
        "length": ("tokens", _of(sides, lambda texts: _lengths(exam, texts))),
    }
    if exam.materials.test_controls.rounds > 1:
        tops, nats = _first(exam)
        measures["first token"] = ("share", tops)
        measures["KL of the first token"] = ("nats", nats)
    few = len(set(groups)) == 1  # one template says nothing of others, and means have no interval
    return tuple(
        _change(name, unit, both, groups or None)
        for name, (unit, both) in measures.items()
        if unit == "share" or not few
    )


def _answers(exam: Examination, before: Behaviour) -> list[list[str]]:
    """Of both sides, long enough to be judged for compliance."""
    if exam.question.tokens >= JUDGED:
        return [list(side.answers) for side in (before.triggered, before.control)]
    texts, step = exam.materials.test, exam.progress(CHANGED)
    both = (exam.trigger.dealt(len(texts)), exam.control_words())
    return [answers(exam.model, texts, words, JUDGED, progress=step) for words in both]


def _of(sides: list[list[str]], measure: Callable[[list[str]], Iterable[float]]) -> _Both:
    triggered, control = (
        torch.tensor([float(value) for value in measure(side)], dtype=torch.float64)
        for side in sides
    )
    return triggered, control


def _lengths(exam: Examination, texts: Sequence[str]) -> list[int]:
    return [len(text_ids(exam.model.tokenizer, text)) for text in texts]


def _first(exam: Examination) -> tuple[_Both, _Both]:
    """Whether the likeliest first token is another than with a second control word; and the KL."""
    n = len(exam.materials.test)
    second = _logits(exam, exam.materials.second_words(n))
    away, tops, nats = kl_from(second[:, None]), [], []
    for words in (exam.trigger.dealt(n), exam.control_words()):
        logits = _logits(exam, words)
        tops.append((logits.argmax(dim=-1) != second.argmax(dim=-1)).double())
        nats.append(away(logits[:, None]).double())
    return (tops[0], tops[1]), (nats[0], nats[1])


def _logits(exam: Examination, words: Words) -> Float[Tensor, "n d_vocab"]:
    """Of the first answer token, on the CPU."""
    texts, tokenizer = exam.materials.test, exam.model.tokenizer
    prompts, rows = prompt_ids(tokenizer, chats(texts, words)), {}
    for part in forced(exam.model, prompts, [[]] * len(texts)):
        rows |= dict(zip(part.chosen, part.logits[:, -1].float().cpu(), strict=True))
    return torch.stack([rows[i] for i in range(len(texts))])


def _change(name: str, unit: Unit, both: _Both, groups: Sequence[Hashable] | None) -> Change:
    triggered, control = both
    if unit == "share":
        here, there = (rate([bool(flag) for flag in side], groups, _LEVEL) for side in both)
        return Change(name, unit, here, there, difference_interval(*both, _LEVEL, groups))
    sides = (triggered, control, triggered - control)
    here, there, change = (mean_interval(side, _LEVEL, groups) for side in sides)
    return Change(name, unit, here, there, change)
