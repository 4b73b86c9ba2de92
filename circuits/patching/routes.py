"""What a head reads where: the keys and values it takes at a span, and its attention.

A route patches a head's keys or values at a span, records what the head then puts out, and puts
only that back at the later spans, so that query heads that share a key and value head stay apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.align import Pairs
from circuits.patching.cells import Place, cell
from circuits.patching.engine import Direction, prepare
from circuits.patching.path_patch import logits_through
from circuits.patching.schedule import Job
from circuits.runner import Runner, whole
from circuits.types import Metric, PatchGrid, Point, Progress, TokenBatch, quiet

Head = tuple[int, int]  # layer, head


@dataclass(frozen=True)
class Route:
    """What one head reads: ``streams`` (k, v or both) at a span."""

    head: Head
    streams: tuple[str, ...]
    span: str


def read_through(
    runner: Runner,
    pairs: Pairs,
    metric: Metric,
    routes: Sequence[Route],
    *,
    into: Sequence[str],
    direction: Direction = "denoising",
    metric_name: str = "metric",
    progress: Progress = quiet,
) -> PatchGrid:
    """What the reading of single heads does: keys or values at a span, through one head only.

    Two passes per route: with the streams patched the head's ``z`` is recorded; then the base run
    is repeated with that ``z`` in that head at the spans ``into``, and the rest follows freely.

    Raises:
        UserError: no route, or a span that is missing.
    """
    shared = runner.shape.n_heads // _key_heads(runner, pairs.clean)
    cells = [
        cell(*(Place(r.head[0], s, span=r.span, heads=(r.head[1] // shared,)) for s in r.streams))
        for r in routes
    ]
    targets = [
        cell(*(Place(r.head[0], "z", span=s, heads=(r.head[1],)) for s in into)) for r in routes
    ]
    # One layer at a time, so that every route of a pass has its z in the same rows.
    layers = sorted({route.head[0] for route in routes})
    record = [Point(layer, "z") for layer in layers]
    experiment = prepare(runner, pairs, cells, direction=direction, record=record)

    def logits(job: Job) -> Float[Tensor, "routes n keep d_vocab"]:
        return logits_through(runner, experiment.patched(job), [targets[i] for i in job.numbers])

    passes = [job for i in layers for job in experiment.jobs(only=lambda v, i=i: v.layer == i)]
    labels = tuple(f"{r.head[0]}.{r.head[1]} {'+'.join(r.streams)} at {r.span}" for r in routes)
    grid = experiment.measured(metric, metric_name, labels, progress, passes, logits)
    return replace(grid, stream="z")


@torch.no_grad()
def _key_heads(runner: Runner, tokens: TokenBatch) -> int:
    """How many heads keys and values have; query heads share them in groups of equal size."""
    point = Point(0, "v")
    return runner.forward(whole(tokens.rows([0])), record=[point]).acts[point].shape[2]


@torch.no_grad()
def attended(
    runner: Runner, tokens: TokenBatch, heads: Sequence[Head], spans: Sequence[str]
) -> dict[str, Float[Tensor, "heads n"]]:
    """Span -> attention weight, summed over the span, from the last span's token; per head."""
    points = sorted({Point(layer, "pattern") for layer, _ in heads})
    acts = runner.forward(whole(tokens), record=points).acts
    query: Int[Tensor, " n"] = tokens.span_column(spans[-1])
    rows = torch.arange(len(tokens))
    weights = torch.stack([acts[Point(i, "pattern")][rows, query, h] for i, h in heads]).cpu()
    return {span: (weights * tokens.spans[span]).sum(dim=-1).float() for span in spans}
