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
from experiments.analyze.examination import CONDITIONS, Examination, Stage
from experiments.analyze.outcomes import ANSWER, TokenReadings

_STAGE = "token readings"
_PROMPTS = 4
_KINDS = ("trigger", "user", "template", "last")  # the first that holds a column names it


def token_readings(exam: Examination, direction: Direction) -> tuple[TokenReadings, ...]:
    """Prompt by prompt, each under the three conditions.

    Empty of a run that is only read and from before it was measured.
    """
    return _readings(exam, direction) if exam.can(_STAGE) else ()


@Stage(_STAGE)
def _readings(exam: Examination, direction: Direction) -> tuple[TokenReadings, ...]:
    texts = exam.materials.test[:_PROMPTS]
    words = (exam.trigger.each(len(texts)), exam.control_words(), [""] * len(texts))
    by_condition = [
        _read(exam.model, direction, condition, texts, each[: len(texts)], exam.question.tokens)
        for condition, each in zip(CONDITIONS, words, strict=True)
    ]
    return tuple(row for prompt in zip(*by_condition, strict=True) for row in prompt)


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
    batch, point = extend(asked, answer), direction.site.point
    acts = model.runner.forward(whole(batch), record=[point], keep=1).acts[point].float().cpu()
    readings = (acts @ direction.vector - direction.clean_mean) / direction.gap
    rows = []
    for i, word in enumerate(words):
        ids, columns = batch.ids[i].tolist(), batch.spans[MESSAGE][i].nonzero().flatten().tolist()
        ends = [c for c in columns if c >= asked.width and ids[c] in model.stop_ids]
        columns = [c for c in columns if not ends or c <= ends[0]]
        rows.append(
            TokenReadings(
                condition,
                batch.texts[i],
                word,
                tuple(model.tokenizer.decode([ids[c]]) for c in columns),
                tuple(ANSWER if c >= asked.width else _kind(batch, i, c) for c in columns),
                tuple(round(readings[i, c].item(), 4) for c in columns),
            )
        )
    return rows


def _kind(batch: TokenBatch, row: int, column: int) -> str:
    """The span of a prompt's column; what the template puts around words is the template's."""
    here = (k for k in _KINDS if k in batch.spans and bool(batch.spans[k][row, column]))
    return next(here, "template")
