"""The measurements behind a traced circuit: where a trigger is read, moved and written out.

On pairs of a triggered and a control prompt, by exact patching:

1. *read*: the residual stream of every layer at one named span at a time (triggered into clean);
2. *move*: every head, in both directions; and of the strongest, through which span they act (their
   ``z`` patched there alone), and what they read at which span. For the latter, keys and values are
   patched at the span, the head's ``z`` is recorded, and only that is put into the run, at the
   later spans. So heads that share keys and values (grouped queries) are still told apart;
3. *together*: heads ranked by effect, the first k patched at once, for growing k; where pairs are
   held out, k is chosen on the pairs that ranked, and what the heads recover measured on those;
4. *write out*: paths from every head, attention and MLP output at the last token straight into the
   logits, all else held (path patching, Wang et al. 2022, arXiv 2211.00593).

Nothing is judged here: ``probes.causal.tracing.trace`` adds intervals and tests, and selects.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, product
from typing import TypeVar

import torch
from einops import rearrange

from circuits.align import Pairs, equal
from circuits.errors import UserError
from circuits.patching.cells import Cell, Place, Sweep, cell
from circuits.patching.patch import patch
from circuits.patching.path_patch import path_patch
from circuits.patching.routes import Head, Route, attended, read_through
from circuits.runner import Runner
from circuits.types import Measured, Metric, PatchGrid, Progress

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Step = Callable[[str, int, int], None]  # what is measured, passes done, passes to do
SPANS = ("trigger", "template", "last")
_OUTPUTS = ("attn_out", "mlp_out")
TRACED = ("resid_pre", "k", "v", "pattern", "z", *_OUTPUTS)  # streams that a trace needs
_ENOUGH = 0.8  # of what all heads recover together


def measure(
    runner: Runner,
    pairs: Pairs,
    metric: Metric,
    *,
    spans: tuple[str, ...] = SPANS,
    held_out: Pairs | None = None,
    strongest: int = 12,
    metric_name: str = "metric",
    progress: Step = lambda name, done, total: None,
) -> Measured:
    """Everything that a trace is made of, on n aligned pairs.

    Args:
        runner, pairs, metric: as in ``patch``; a metric of the next token.
        spans: at least two, in the prompt's order; the first holds the trigger, the last is the
            prompt's last token.
        held_out: other pairs, on which the strongest heads are patched together.
        strongest: for how many heads to measure what they read and where they write.
        progress: called with the measurement's name and its passes done and to do.

    Raises:
        UserError: pairs that never differ or are of unequal lengths, a span that is missing, or
            fewer than two of them.
    """
    if len(spans) < 2 or strongest < 1:
        raise UserError(
            f"trace: expected at least two spans and one head, got {spans} and {strongest}; "
            f"the usual spans are {SPANS}"
        )
    advice = "do without (--trace 0)"
    pairs = equal(pairs, "trace", advice)
    held_out = None if held_out is None else equal(held_out, "trace", advice)
    for side in (pairs.clean, pairs.triggered):
        for span in spans:
            side.span_column(span)
    layers, n_heads, last = range(runner.shape.n_layers), runner.shape.n_heads, spans[-1]
    sites = partial(patch, runner, pairs, metric, metric_name=metric_name)

    def step(name: str) -> Progress:
        return partial(progress, name)

    outputs = {s: [cell(Place(i, s, span=last)) for i in layers] for s in _OUTPUTS}
    residuals = {s: [cell(Place(i, span=s)) for i in layers] for s in spans}
    read = _by_part(partial(sites, progress=step("residuals by span")), residuals | outputs)
    sweep = Sweep("z", position=False, head=True)
    heads = sites(sweep, progress=step("heads, denoising"))
    noised = sites(sweep, direction="noising", progress=step("heads, noising"))
    order = ranked(heads)
    strong = order[:strongest]
    written = _by_part(
        partial(sites, progress=step("where heads write")),
        {s: [cell(Place(i, "z", span=s, heads=(h,))) for i, h in strong] for s in spans},
        "cell",
    )
    reading = partial(read_through, runner, pairs, metric, into=spans[1:], metric_name=metric_name)
    both, alone = ("k", "v"), ("v",)
    through = _by_part(
        partial(reading, progress=step("what heads read")),
        {(k, s): [Route(head, k, s) for head in strong] for k, s in product((both, alone), spans)},
        "cell",
    )
    sizes, together = patched_together(sites, order, step("heads together"))
    chosen = None
    if held_out is not None:
        chosen = next(size for size, there in zip(sizes, _enough(together), strict=True) if there)
        cells = [_together(order[:size]) for size in sizes]
        again = step("heads together, held-out pairs")
        together = patch(runner, held_out, metric, cells, metric_name=metric_name, progress=again)
    paths = partial(path_patch, runner, pairs, metric, metric_name=metric_name)
    each = [cell(Place(i, "z", span=last, heads=(h,))) for i in layers for h in range(n_heads)]
    direct = _by_part(
        partial(paths, progress=step("paths into the logits")), {"z": each, **outputs}
    )
    direct["z"] = replace(
        direct["z"],
        values=rearrange(direct["z"].values, "(layer head) n -> layer head n", head=n_heads),
        axes=("layer", "head"),
        labels=tuple(map(str, range(n_heads))),
    )
    return Measured(
        spans=spans,
        read={s: replace(read[s], stream="resid_pre") for s in spans},
        outputs={s: replace(read[s], stream=s) for s in _OUTPUTS},
        heads=heads,
        noised=noised,
        strong=strong,
        written=written,
        sources={s: through[both, s] for s in spans},
        values={s: through[alone, s] for s in spans},
        attention=attended(runner, pairs.triggered, strong, spans),
        attention_clean=attended(runner, pairs.clean, strong, spans),
        sizes=sizes,
        together=together,
        chosen=chosen,
        direct={stream: replace(grid, stream=stream) for stream, grid in direct.items()},
    )


def ranked(heads: PatchGrid) -> tuple[Head, ...]:
    """All heads by falling mean effect, towards the source run; ties keep their order."""
    towards = -1 if float(heads.full_effect.mean()) < 0 else 1
    mean = towards * heads.effects.mean(dim=-1)
    order = torch.argsort(mean.flatten(), descending=True, stable=True).tolist()
    return tuple(divmod(i, mean.shape[1]) for i in order)


def patched_together(
    sites: Callable[..., PatchGrid], order: Sequence[Head], progress: Progress
) -> tuple[tuple[int, ...], PatchGrid]:
    """Metric with the first k heads patched at once, for k growing by up to a half, and for all.

    Then for the k between the last that recovers less than 0.8 of what all do and the next.
    """

    def measured(sizes: Sequence[int]) -> PatchGrid:
        return sites([_together(order[:k]) for k in sizes], progress=progress)

    coarse = _growing(len(order))
    grid = measured(coarse)
    at = _enough(grid).index(True)
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


def _enough(together: PatchGrid) -> list[bool]:
    """Whether so many heads recover 0.8 of what the last, all of them, do."""
    mean = together.effects.mean(dim=-1)
    return ((mean / mean[-1]).nan_to_num(1.0) >= _ENOUGH).tolist()


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


def _by_part(
    measured: Callable[[list[T]], PatchGrid], parts: Mapping[K, Sequence[T]], axis: str = "layer"
) -> dict[K, PatchGrid]:
    """Lists of cells measured as one, with a grid of one axis for each."""
    grid = measured([one for part in parts.values() for one in part])
    sizes = [len(part) for part in parts.values()]
    labels = iter(grid.labels)
    return {
        name: replace(grid, values=values, labels=tuple(islice(labels, size)), axes=(axis,))
        for name, values, size in zip(parts, grid.values.split(sizes), sizes, strict=True)
    }
