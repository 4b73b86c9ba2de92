"""Screening: which of many directions are worth an exact score, by one backward pass for each side.

To first order, what a direction does is the gradient of the metric at its layer times what its
removal or addition changes there (attribution patching: Nanda 2023; Kramár et al. 2024, arXiv
2403.00745). That ranks candidates; it decides nothing, and of harm, which has no first order, it
knows nothing. The best are scored exactly, on more and more pairs (successive halving).
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.align import Pairs
from circuits.gates import phrase, select
from circuits.gates.select import Candidate
from circuits.patching.suffix import SuffixRun, run_pairs
from circuits.runner import Runner, whole
from circuits.types import Direction, Edit, Metric, Point, Progress, portion, quiet

SCREENED = 16  # pairs for the first order
# Successive halving: of the best by the last scores, so many are scored on so many pairs; the last
# number of pairs is all of them.
RUNGS = ((120, 4), (40, 8), (16, 10**6))


def search(
    runner: Runner,
    pairs: Pairs,
    directions: Sequence[Direction],
    metric: Metric,
    progress: Progress = quiet,
) -> list[Candidate]:
    """Score every direction to first order and the most promising exactly, in the order given.

    The nulls at a candidate's site are scored as often as it is. ``Candidate.n`` says on how many
    pairs a score stands. Where the back-end passes no gradients on, the first rung scores all.
    """
    found = first_order(runner, pairs.rows(slice(SCREENED)), directions, metric)
    rungs = _rungs(len(pairs))
    if not found:
        found = [Candidate(direction, 0.0, 0.0, 0.0) for direction in directions]
        rungs[0] = len(directions), rungs[0][1]
    for done, (kept, count) in enumerate(rungs):
        best = _best(found, kept, runner.shape.n_layers)
        some, passed = pairs.rows(slice(count)), portion(progress, done, len(rungs))
        again = select.score(runner, some, [directions[i] for i in best], metric, passed)
        for index, candidate in zip(best, again, strict=True):
            found[index] = candidate
    return found


def _rungs(pairs: int) -> list[tuple[int, int]]:
    """As far as there are pairs."""
    last = next(i for i, (_, count) in enumerate(RUNGS) if count >= pairs)
    return [(kept, min(count, pairs)) for kept, count in RUNGS[: last + 1]]


def _best(scored: Sequence[Candidate], kept: int, layers: int) -> list[int]:
    """The best of those that stand on most pairs and may be chosen, with the nulls of their sites.

    Exact scores are held against the nulls; to first order those of late sites look like them.
    """
    most = max(candidate.n for candidate in scored)
    last = [i for i, candidate in enumerate(scored) if candidate.n == most]
    among = [scored[i] for i in last]

    def score(i: int) -> float:
        return select.lead(among[i], among) if most else among[i].score

    order = sorted(select.choosable(among, layers), key=score, reverse=True)[:kept]
    sites = {among[i].direction.site for i in order}
    nulls = [i for i, c in enumerate(among) if select.is_null(c) and c.direction.site in sites]
    return sorted(last[i] for i in {*order, *nulls})


def first_order(
    runner: Runner, pairs: Pairs, directions: Sequence[Direction], metric: Metric
) -> list[Candidate]:
    """What every direction does to first order; nothing where no gradients are passed on.

    Raises:
        UserError: as ``circuits.gates.select.score``.
    """
    clean, triggered = run_pairs(runner, pairs)
    full = select.effect(clean, triggered, metric)[1]
    rise, fall = (slopes(runner, run, metric) for run in (clean, triggered))
    if rise is None or fall is None:
        return []
    return [_to_first_order(d, clean, triggered, rise, fall, full) for d in directions]


def _to_first_order(
    direction: Direction,
    clean: SuffixRun,
    triggered: SuffixRun,
    rises: Tensor,
    falls: Tensor,
    full: float,
) -> Candidate:
    layer, rows = direction.site.layer, phrase.basis(direction)
    here, there = clean.resid[layer], triggered.resid[layer]
    columns = clean.tokens.spans[direction.site.span][:, clean.first :].to(here.device)
    fall = falls[layer] * (there - phrase.removed(there, rows))
    rise = rises[layer] * (select.added(direction, here, columns) - here)
    necessity, sufficiency = (float(x.sum()) / len(clean.tokens) / full for x in (fall, rise))
    return Candidate(direction, necessity, sufficiency, harm=0.0)


def slopes(
    runner: Runner, run: SuffixRun, metric: Metric
) -> Float[Tensor, "layer n column d"] | None:
    """Gradients of every prompt's metric with respect to the residuals that enter every layer.

    In the run's columns; None where the back-end passes no gradients on.
    """
    tokens, shape = run.tokens, runner.shape
    size = len(tokens), tokens.width, shape.d_model
    kind = {"device": shape.device, "dtype": shape.dtype, "requires_grad": True}
    nudges = [torch.zeros(*size, **kind) for _ in range(shape.n_layers)]
    edits = [Edit(Point(i), lambda x, n=n: x + n.to(x)) for i, n in enumerate(nudges)]
    embedding = runner.hf_model.get_input_embeddings()
    embedded = embedding(tokens.ids.to(shape.device)).detach().requires_grad_()
    window = replace(whole(tokens), embedded=embedded)  # what asks a back-end for gradients
    with torch.enable_grad():
        total = metric(runner.forward(window, edits, keep=tokens.keep).logits).sum()
        if not total.requires_grad:
            return None
        return torch.stack(torch.autograd.grad(total, nudges))[:, :, run.first :]
