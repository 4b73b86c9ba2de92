"""The gate read token by token: a few test prompts with the trigger, a control word, neither.

Readings are projections on the gate at its layer, in units of the gap between the fitting prompts'
means: 0 is the mean with control words, 1 that with the trigger, both at the gate's own token.
Tokens of the template's opening are left out: they are equal in every prompt, and attention sinks,
whose activations are a hundred times larger.
"""

import torch

from circuits.models import Model
from circuits.runner import extend, generate, whole
from circuits.tokens import prompts_batch
from circuits.types import MESSAGE, Direction, TokenBatch
from experiments.analyze.examination import Examination
from experiments.analyze.result import ANSWER, TokenReadings

_STAGE = "token readings"
_PROMPTS = 4
_KINDS = ("trigger", "user", "template", "last")  # the first that holds a column names it


def token_readings(exam: Examination, direction: Direction) -> tuple[TokenReadings, ...]:
    """The stage: prompt by prompt, each under the three conditions.

    Empty of a run that is only read and from before it was measured.
    """
    if not exam.can(_STAGE):
        return ()

    def make() -> tuple[TokenReadings, ...]:
        texts = exam.materials.test[:_PROMPTS]
        words = {
            "triggered": [exam.question.trigger] * len(texts),
            "control word": exam.control_words()[: len(texts)],
            "no trigger": [""] * len(texts),
        }
        rows = [
            row
            for condition, each in words.items()
            for row in _read(exam.model, direction, condition, texts, each, exam.question.tokens)
        ]
        order = {text: i for i, text in enumerate(texts)}
        return tuple(sorted(rows, key=lambda row: order[row.prompt]))

    return exam.keep(_STAGE, tuple[TokenReadings, ...], make)


@torch.no_grad()
def _read(
    model: Model,
    direction: Direction,
    condition: str,
    texts: list[str],
    words: list[str],
    length: int,
) -> list[TokenReadings]:
    asked = prompts_batch(model.tokenizer, texts, words if any(words) else None)
    answer = generate(model.runner, asked, length, stop=model.stop_ids)
    batch = extend(asked, answer)
    point = direction.site.point
    acts = model.runner.forward(whole(batch), record=[point], keep=1).acts[point].float().cpu()
    readings = (acts @ direction.vector - direction.clean_mean) / direction.gap
    return [
        _row(model, batch, asked.width, i, condition, words[i], readings[i].tolist())
        for i in range(len(texts))
    ]


def _row(
    model: Model,
    batch: TokenBatch,
    width: int,
    row: int,
    condition: str,
    word: str,
    readings: list[float],
) -> TokenReadings:
    columns = batch.spans[MESSAGE][row].nonzero().flatten().tolist()
    ids = batch.ids[row].tolist()
    ends = [c for c in columns if c >= width and ids[c] in model.stop_ids]
    columns = [c for c in columns if not ends or c <= ends[0]]
    return TokenReadings(
        condition,
        batch.texts[row],
        word,
        tuple(model.tokenizer.decode([ids[c]]) for c in columns),
        tuple(ANSWER if c >= width else _kind(batch, row, c) for c in columns),
        tuple(round(readings[c], 4) for c in columns),
    )


def _kind(batch: TokenBatch, row: int, column: int) -> str:
    """The span of a prompt's column; what the template puts around words is the template's."""
    here = (k for k in _KINDS if k in batch.spans and bool(batch.spans[k][row, column]))
    return next(here, "template")
