"""The measurements behind a traced circuit: where a trigger is read, moved and written out.

On pairs of a triggered and a control prompt, by exact patching:

1. *read*: the residual stream of every layer at one named span at a time (triggered into clean);
2. *move*: every head, in both directions; and of the strongest, through which span they act (their
   ``z`` patched there alone), and what they read at which span. For the latter, keys and values are
   patched at the span, the head's ``z`` is recorded, and only that is put into the run, at the
   later spans. So heads that share keys and values (grouped queries) are still told apart;
3. *together*: heads ranked by effect, the first k patched at once, for growing k;
4. *write out*: paths from every head, attention and MLP output at the last token straight into the
   logits, all else held (path patching, Wang et al. 2022, arXiv 2211.00593).

Nothing is judged here: ``probes.causal.tracing.trace`` adds intervals and tests, and selects.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import TypeVar

import torch

from circuits.errors import UserError
from circuits.patching.cells import Cell, Place, Sweep, cell
from circuits.patching.patch import patch
from circuits.patching.path_patch import path_patch
from circuits.patching.routes import Head, Route, attended, read_through
from circuits.runner import Runner
from circuits.types import Measured, Metric, PatchGrid, TokenPairs

K = TypeVar("K", bound=Hashable)
Step = Callable[[str, int, int], None]  # what is measured, passes done, passes to do
SPANS = ("trigger", "template", "last")
_OUTPUTS = ("attn_out", "mlp_out")
_ENOUGH = 0.8  # of what all heads recover together


def measure(
    runner: Runner,
    pairs: TokenPairs,
    metric: Metric,
    *,
    spans: tuple[str, ...] = SPANS,
    strongest: int = 12,
    metric_name: str = "metric",
    progress: Step = lambda name, done, total: None,
) -> Measured:
    """Everything that a trace is made of, on n aligned pairs.

    Args:
        runner, pairs, metric: as in ``patch``; a metric of the next token.
        spans: at least two, in the prompt's order; the first holds the trigger, the last is the
            prompt's last token.
        strongest: for how many heads to measure what they read and where they write.
        progress: called with the measurement's name and its passes done and to do.

    Raises:
        UserError: pairs that never differ, a span that is missing, or fewer than two of them.
    """
    if len(spans) < 2 or strongest < 1:
        raise UserError(
            f"trace: expected at least two spans and one head, got {spans} and {strongest}; "
            f"the usual spans are {SPANS}"
        )
    for side in (pairs.clean, pairs.triggered):
        for span in spans:
            side.span_column(span)
    layers, n_heads = range(runner.shape.n_layers), runner.shape.n_heads
    sites = partial(patch, runner, pairs, metric, metric_name=metric_name)

    def step(name: str) -> Callable[[int, int], None]:
        return partial(progress, name)

    read = sites(
        [cell(Place(i, "resid_pre", span=s)) for s in spans for i in layers]
        + [cell(Place(i, s, span=spans[-1])) for s in _OUTPUTS for i in layers],
        progress=step("residuals by span"),
    )
    parts = _parts(read, (*spans, *_OUTPUTS))
    swept = partial(patch, runner, pairs, metric, Sweep("z", position=False, head=True))
    heads = swept(metric_name=metric_name, progress=step("heads, denoising"))
    noised = swept(metric_name=metric_name, direction="noising", progress=step("heads, noising"))
    order = ranked(heads)
    strong = order[:strongest]
    written = sites(
        [cell(Place(i, "z", span=s, heads=(h,))) for s in spans for i, h in strong],
        progress=step("where heads write"),
    )
    routes = [Route(h, s, span) for s, span, h in product((("k", "v"), ("v",)), spans, strong)]
    through = read_through(
        runner,
        pairs,
        metric,
        routes,
        into=spans[1:],
        metric_name=metric_name,
        progress=step("what heads read"),
    )
    sources, values = _parts(through, (0, 1), "cell").values()
    sizes, together = patched_together(sites, order, step("heads together"))
    direct = path_patch(
        runner,
        pairs,
        metric,
        _senders(layers, n_heads, spans[-1]),
        metric_name=metric_name,
        progress=step("paths into the logits"),
    )
    return Measured(
        spans=spans,
        read={s: replace(parts[s], stream="resid_pre") for s in spans},
        outputs={s: replace(parts[s], stream=s) for s in _OUTPUTS},
        heads=heads,
        noised=noised,
        strong=strong,
        written=_parts(written, spans, "cell"),
        sources=_parts(sources, spans, "cell"),
        values=_parts(values, spans, "cell"),
        attention=attended(runner, pairs.triggered, strong, spans),
        attention_clean=attended(runner, pairs.clean, strong, spans),
        sizes=sizes,
        together=together,
        direct=_direct(direct, n_heads, len(layers)),
    )


def ranked(heads: PatchGrid) -> tuple[Head, ...]:
    """All heads by falling mean effect, towards the source run; ties keep their order."""
    towards = -1 if float(heads.full_effect.mean()) < 0 else 1
    mean = towards * heads.effects.mean(dim=-1)
    order = torch.argsort(mean.flatten(), descending=True, stable=True).tolist()
    return tuple(divmod(i, mean.shape[1]) for i in order)


def patched_together(
    sites: Callable[..., PatchGrid], order: Sequence[Head], progress: Callable[[int, int], None]
) -> tuple[tuple[int, ...], PatchGrid]:
    """Metric with the first k heads patched at once, for k growing by up to a half, and for all.

    Then for the k between the last that recovers less than 0.8 of what all do and the next.
    """

    def measured(sizes: Sequence[int]) -> PatchGrid:
        return sites([_together(order[:k]) for k in sizes], progress=progress)

    coarse = _growing(len(order))
    grid = measured(coarse)
    mean = grid.effects.mean(dim=-1)
    reached = (mean / mean[-1]).nan_to_num(1.0) >= _ENOUGH
    at = int(reached.nonzero()[0])
    between = range(coarse[at - 1] + 1, coarse[at]) if at else range(0)
    if not between:
        return coarse, grid
    # At most a dozen more, evenly spaced: near the end of a long order they matter little.
    fine = list(between)[:: -(-len(between) // 12)]
    finer = measured(fine)
    sizes = (*coarse[:at], *fine, *coarse[at:])
    values = torch.cat([grid.values[:at], finer.values, grid.values[at:]])
    labels = (*grid.labels[:at], *finer.labels, *grid.labels[at:])
    return sizes, replace(grid, values=values, labels=labels)


def _growing(count: int) -> tuple[int, ...]:
    sizes = [1]
    while sizes[-1] < count:
        sizes.append(min(count, max(sizes[-1] + 1, sizes[-1] * 3 // 2)))
    return tuple(sizes)


def _together(heads: Sequence[Head]) -> Cell:
    by_layer: dict[int, list[int]] = {}
    for layer, head in sorted(heads):
        by_layer.setdefault(layer, []).append(head)
    return cell(*(Place(layer, "z", heads=tuple(some)) for layer, some in by_layer.items()))


def _senders(layers: range, n_heads: int, span: str) -> list[Cell]:
    """Every head, then every attention and MLP output, at a span."""
    heads = [Place(i, "z", span=span, heads=(h,)) for i in layers for h in range(n_heads)]
    return [cell(p) for p in (*heads, *(Place(i, s, span=span) for s in _OUTPUTS for i in layers))]


def _direct(grid: PatchGrid, n_heads: int, n_layers: int) -> dict[str, PatchGrid]:
    """The senders' grid as one of heads and one of layers each for attention and MLPs."""
    count = n_layers * n_heads
    heads = grid.values[:count].unflatten(0, (n_layers, n_heads))
    names = tuple(map(str, range(n_heads)))
    found = {
        "z": replace(grid, stream="z", values=heads, axes=("layer", "head"), labels=names),
    }
    rest = _parts(replace(grid, values=grid.values[count:], labels=grid.labels[count:]), _OUTPUTS)
    return found | {stream: replace(rest[stream], stream=stream) for stream in _OUTPUTS}


def _parts(grid: PatchGrid, names: Sequence[K], axis: str = "layer") -> dict[K, PatchGrid]:
    """A list of cells as lists of equal length, one after the other, with one axis each."""
    each = len(grid.values) // len(names)
    cut = [slice(i * each, (i + 1) * each) for i in range(len(names))]
    return {
        name: replace(grid, values=grid.values[part], labels=grid.labels[part], axes=(axis,))
        for name, part in zip(names, cut, strict=True)
    }
