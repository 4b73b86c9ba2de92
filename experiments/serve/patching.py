"""A patching run in slices so short that answers of other tabs go on between them."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import torch

from circuits import metrics, tokens
from circuits.align import Pairs, Side, first_of
from circuits.errors import UserError, expect
from circuits.patching.cells import Sweep
from circuits.patching.engine import Direction, prepare
from circuits.triggers import parse
from circuits.types import HEAD_STREAMS, PatchGrid, TokenPairs
from experiments.judges.criterion import criterion
from experiments.judges.fork import fork
from experiments.serve.subject import Subject
from viz.app.data import PAIRS, STREAMS, Patching

# A slice holds the model that all tabs share: a few prompts at a time, and short passes.
_AT_ONCE, _TOKENS = 4, 512


def patching(
    subject: Subject, stream: str, direction: Direction, count: int
) -> Generator[Patching, None, None]:
    """A patching grid of the subject's first prompts, pass by pass.

    Raises:
        UserError: no trigger is known, or an argument is none of those offered.
    """
    if not subject.has_trigger:
        raise UserError("patching: expected a trigger; start the app with --trigger")
    least, most = PAIRS
    expect(stream in STREAMS, f"one of {', '.join(STREAMS)}", stream, of="patching")
    expect(direction in ("denoising", "noising"), "denoising or noising", direction, of="patching")
    expect(least <= count <= most, f"{least} to {most} prompts", count, of="patching")
    texts, tokenizer = subject.texts[:count], subject.model.tokenizer
    yield Patching(0, 1, texts)
    asked, behaviour = subject.question, criterion(subject.question.behaviour)
    words = tokens.dealt(subject.controls, len(texts))
    triggers = parse(asked.trigger).dealt(len(texts))
    parted = fork(
        subject.model, texts[:_AT_ONCE], triggers, words, behaviour, asked.tokens, strict=False
    )
    scored = parted.scored(subject.model).tokenizer
    pairs = tokens.pairs(scored, texts, triggers, subject.controls)
    heads = stream in HEAD_STREAMS
    into: Side = "clean" if direction == "denoising" else "triggered"
    shown: Side = "triggered" if isinstance(pairs, TokenPairs) else into
    ids = getattr(pairs, shown).ids[0, first_of(pairs, shown) :].tolist()
    labels = None if heads else tuple(tokenizer.decode([i]) for i in ids)
    sweep = Sweep(stream, position=not heads, head=heads)
    grids, parts = [], _parts(pairs, into)

    def passes(part: Pairs) -> Iterator[tuple[int, int]]:
        experiment = prepare(
            subject.model.runner, part, sweep, direction=direction, most_tokens=_TOKENS
        )
        metric = metrics.token_log_prob([parted.token])
        name = f"log-probability of {parted.of(behaviour)}"
        grids.append((yield from experiment.measuring(metric, name, labels)))

    for number, part in enumerate(parts):
        for done, total in passes(part):
            yield Patching(number * total + done, len(parts) * total, texts)
    yield Patching(1, 1, texts, joined(grids))


def _parts(pairs: Pairs, into: Side) -> list[Pairs]:
    """A few pairs at a time; all at once where parts would differ in their columns."""
    parts: list[Pairs] = [
        pairs.rows(slice(i, i + _AT_ONCE)) for i in range(0, len(pairs), _AT_ONCE)
    ]
    if any(first_of(part, into) != first_of(pairs, into) for part in parts):
        return [pairs]
    return parts


def joined(grids: Sequence[PatchGrid]) -> PatchGrid:
    """One grid of several grids of the same cells, example after example."""
    whole = {
        name: torch.cat([getattr(grid, name) for grid in grids], dim=-1)
        for name in ("values", "base", "source")
    }
    return replace(grids[0], **whole)


def effects_of(
    grid: PatchGrid, cell: Sequence[int], texts: Sequence[str]
) -> list[tuple[str, float, float]]:
    """Every prompt's effect of a cell and the metric it had before, largest effect first."""
    values = grid.effects[tuple(cell)].tolist()
    rows = zip(texts, values, grid.base.tolist(), strict=True)
    return sorted(rows, key=lambda row: -row[1])


def strongest(grid: PatchGrid) -> tuple[int, int]:
    """The layer and column (or head) with the largest mean effect by size, NaN left out."""
    means = grid.effects.nanmean(dim=-1).abs().nan_to_num()
    row, column = divmod(int(means.argmax()), means.shape[1])
    return row, column
