"""What a head reads where: the keys and values it takes at a span, and its attention.

A route patches a head's keys or values at a span, records what the head then puts out, and puts
only that back at the later spans, so that query heads that share a key and value head stay apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.metrics import checked
from circuits.patching.cells import Place, cell
from circuits.patching.engine import Direction, Experiment, finite, prepare
from circuits.patching.schedule import Job
from circuits.patching.variants import Layout, Pass
from circuits.runner import Runner, whole
from circuits.types import Metric, PatchGrid, Point, Progress, TokenBatch, TokenPairs, quiet

Head = tuple[int, int]  # layer, head


@dataclass(frozen=True)
class Route:
    """What one head reads: ``streams`` (k, v or both) at a span."""

    head: Head
    streams: tuple[str, ...]
    span: str


@torch.no_grad()
def read_through(
    runner: Runner,
    pairs: TokenPairs,
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
    found = prepare(runner, pairs, cells, direction=direction)
    base, source = (checked(metric, x) for x in (found.sides.base.logits, found.sides.logits))
    values = base.expand(len(routes), -1).clone()
    # One layer at a time, so that every route of a pass has its z in the same rows.
    layers = sorted({route.head[0] for route in routes})
    passes = [job for i in layers for job in found.jobs(only=lambda v, i=i: v.layer == i)]
    for done, job in enumerate(passes, 1):
        logits = _routed(found, job, [routes[number].head for number in job.numbers], into)
        scores = checked(metric, logits.flatten(0, 1)).unflatten(0, logits.shape[:2])
        values[torch.tensor(job.numbers, device=values.device)] = scores
        progress(done, len(passes))
    labels = tuple(f"{r.head[0]}.{r.head[1]} {'+'.join(r.streams)} at {r.span}" for r in routes)
    return PatchGrid(
        direction,
        "z",
        metric_name,
        labels,
        finite(values),
        base.cpu(),
        source.cpu(),
        ("cell",),
        "shared" if found.shared else "plain",
    )


def _routed(
    found: Experiment, job: Job, heads: Sequence[Head], into: Sequence[str]
) -> Float[Tensor, "routes n keep d_vocab"]:
    """Last logits of a job's routes, all of one layer."""
    layout: Layout = "joined" if found.shared else "plain"
    point = Point(heads[0][0], "z")
    first = Pass(found.sides, job, [found.cells[number] for number in job.numbers], layout)
    act = first.run(found.runner, record=[point]).acts[point]
    seen = act[:, first.skipped :].unflatten(0, (-1, first.n))[first.offset :]
    targets = [cell(*(Place(i, "z", span=s, heads=(h,)) for s in into)) for i, h in heads]
    again = Pass(found.sides, job, targets, layout, {point: seen}).run(found.runner)
    return again.logits.unflatten(0, (-1, first.n))[first.offset :]


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
