"""A patching experiment: two unedited runs, the cells that can have an effect, their passes."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.align import Pairs, SpanPairs
from circuits.backends.fastpath import fast_path
from circuits.errors import UserError, expect
from circuits.metrics import Generated, Measure, checked
from circuits.patching.cells import Cell, Grid, Place, Sweep, listed
from circuits.patching.schedule import Job, Variant, jobs
from circuits.patching.suffix import Sides, run_sides
from circuits.patching.variants import Layout, Pass, covered, undefined
from circuits.runner import Runner, Shape, complete, generate
from circuits.types import HEAD_STREAMS, PatchGrid, Point, Progress, TokenBatch

Direction = Literal["denoising", "noising"]
Logits = Callable[[Job], Float[Tensor, "variants n keep d_vocab"]]
# A pass holds at most so many tokens by its last layer.
_TOKENS_PER_FORWARD = 4096


@dataclass(frozen=True)
class Experiment:
    """A patching experiment whose two unedited runs are done.

    Attributes:
        grid: the cells; ``variants`` are those that can have an effect.
        keep: how many last columns the metric sees.
        shared: whether the fast path is taken.
        most_tokens: of a pass, by its last layer; None is what suits the device.
    """

    runner: Runner
    sides: Sides
    grid: Grid
    variants: tuple[Variant, ...]
    direction: Direction
    keep: int
    shared: bool
    most_tokens: int | None = None

    def measured(
        self,
        metric: Measure,
        name: str,
        labels: tuple[str, ...] | None,
        progress: Progress,
        passes: Sequence[Job] | None = None,
        logits: Logits | None = None,
    ) -> PatchGrid:
        """Run every pass and collect the metric's values, per cell and example."""
        steps = self.measuring(metric, name, labels, passes, logits)
        while True:
            try:
                progress(*next(steps))
            except StopIteration as end:
                return end.value

    @torch.no_grad()
    def measuring(
        self,
        metric: Measure,
        name: str,
        labels: tuple[str, ...] | None = None,
        passes: Sequence[Job] | None = None,
        logits: Logits | None = None,
    ) -> Generator[tuple[int, int], None, PatchGrid]:
        """The same a pass at a time: yields (passes done, passes to do), returns the grid.

        ``passes`` (all by default) are run by ``logits``, by default each as one plain patch. Where
        that is given, a cell without counterpart in the source is what it patches, not undefined.
        """
        sides = self.sides
        base = self._unedited(metric, sides.base.tokens, sides.base.logits)
        source = self._unedited(metric, sides.source_tokens, sides.logits)
        values = base.expand(len(self.grid.cells), -1).clone()
        if passes is None:
            passes = self.jobs(generated=isinstance(metric, Generated))
        for done, job in enumerate(passes, 1):
            for part, scores in self.scored(metric, job, logits):
                values[torch.tensor(part.numbers, device=values.device)] = scores.to(values)
            yield done, len(passes)
        values = finite(values, "patching", "; check dtype")
        return PatchGrid(
            direction=self.direction,
            stream=self.grid.stream,
            metric=name,
            labels=labels or self.grid.labels,
            values=(values if logits else self._with_undefined(values)).reshape(
                *self.grid.shape, -1
            ),
            base=base.cpu(),
            source=source.cpu(),
            axes=self.grid.axes,
            path="shared" if self.shared else "plain",
        )

    def jobs(
        self, generated: bool = False, only: Callable[[Variant], bool] = lambda variant: True
    ) -> list[Job]:
        """The passes to run. To generate, variants run from the first difference and layer on."""
        base, variants = self.sides.base, [v for v in self.variants if only(v)]
        if generated or not self.shared:
            variants = [Variant(v.number, 0, 0) for v in variants]
        width = base.width if self.shared else base.tokens.width
        limit = self.most_tokens or tokens_per_forward(self.runner.shape)
        return jobs(variants, len(base.tokens), width, limit)

    def patched(self, job: Job, shared: Layout = "joined") -> Pass:
        """The pass of a job, in the layout given where work is shared."""
        cells = [self.grid.cells[number] for number in job.numbers]
        return Pass(self.sides, job, cells, shared if self.shared else "plain")

    def scored(
        self, metric: Measure, job: Job, logits: Logits | None = None
    ) -> list[tuple[Job, Float[Tensor, "variants n"]]]:
        """The metric's values of a job's variants; halved for as long as memory does not suffice.

        Raises:
            torch.OutOfMemoryError: a single variant does not fit.
        """
        try:
            return [(job, self._scored(metric, job, logits or self._logits))]
        except torch.OutOfMemoryError:
            if len(job.variants) == 1:
                raise
        return [part for half in job.halves() for part in self.scored(metric, half, logits)]

    def _scored(self, metric: Measure, job: Job, logits: Logits) -> Float[Tensor, "variants n"]:
        if isinstance(metric, Generated):
            scores = metric.scored(self._answers(metric, job))
        else:
            scores = checked(metric, rearrange(logits(job), "variant n ... -> (variant n) ..."))
        return rearrange(scores, "(variant n) -> variant n", variant=len(job.variants))

    def _logits(self, job: Job) -> Float[Tensor, "variants n keep d_vocab"]:
        variants = self.patched(job)
        return variants.logits(variants.run(self.runner, self.keep), self.keep)

    def _answers(self, metric: Generated, job: Job) -> Int[Tensor, "rows length"]:
        """Greedy answers under the patch, which acts on the prompt only."""
        variants = self.patched(job, "stacked")
        first = variants.run(self.runner, grow=True)
        mask = variants.window().mask
        return complete(self.runner, first, mask, metric.length, stop=metric.stop)

    def _unedited(
        self, metric: Measure, tokens: TokenBatch, logits: Float[Tensor, "n keep d_vocab"]
    ) -> Float[Tensor, " n"]:
        if not isinstance(metric, Generated):
            return checked(metric, logits)
        return metric.scored(generate(self.runner, tokens, metric.length, stop=metric.stop))

    def _with_undefined(self, values: Float[Tensor, "cells n"]) -> Float[Tensor, "cells n"]:
        for number, cell in enumerate(self.grid.cells):
            for place in cell:
                values[number, undefined(self.sides, place)] = torch.nan
        return values


def prepare(
    runner: Runner,
    pairs: Pairs,
    what: Sweep | Sequence[Cell],
    *,
    direction: Direction = "denoising",
    keep: int | None = None,
    shared: bool | None = None,
    most_tokens: int | None = None,
    record: Sequence[Point] = (),
    source: Runner | None = None,
) -> Experiment:
    """Run both sides, find the cells that can have an effect, and plan their passes.

    ``keep`` last columns are scored, by default those that say the answer (``TokenBatch.keep``).
    ``shared`` forces the fast or the plain path; by default the model's check decides.
    ``most_tokens`` bounds a pass, for who must not wait for a long one. ``record`` are further
    points of the base run to keep. ``source`` is the model patched from, if it is another
    (``circuits.patching.between``).
    """
    expect(direction in get_args(Direction), "denoising or noising", direction, of="direction")
    models = (runner,) if source is None else (runner, source)
    keep = keep or pairs.clean.keep
    fast = all(fast_path(m).holds for m in models) if shared is None else shared
    n_layers = runner.shape.n_layers
    if isinstance(what, Sweep):
        points = [Point(layer, what.stream) for layer in range(n_layers)]
    else:
        check_layers(what, n_layers)
        points = sorted({p.point for cell in what for p in cell})
    if isinstance(pairs, SpanPairs) and any(p.stream == "pattern" for p in points):
        raise UserError("pattern: expected pairs of equal length; a pattern has a key per column")
    sides = run_sides(
        runner, pairs, direction, points, keep, shared=fast, further=record, source=source
    )
    if isinstance(what, Sweep):
        heads = sides.acts[points[0]].shape[2] if what.head else 1
        grid = what.grid(n_layers, heads, range(sides.base.first, sides.base.tokens.width))
    else:
        check_places(sides, what)
        grid = listed(what)
    variants = tuple(_live(sides, grid.cells))
    return Experiment(runner, sides, grid, variants, direction, keep, fast, most_tokens)


def tokens_per_forward(shape: Shape) -> int:
    """How many tokens a pass may hold: what keeps a CPU's caches warm, or half a GPU's free memory.

    A token takes about forty residuals' worth of intermediate tensors.
    """
    if not shape.device.startswith("cuda"):
        return _TOKENS_PER_FORWARD
    free, _ = torch.cuda.mem_get_info(shape.device)
    return max(_TOKENS_PER_FORWARD, int(free / 2 / (40 * shape.d_model * shape.dtype.itemsize)))


def check_layers(cells: Sequence[Cell], n_layers: int) -> None:
    """Refuse no cells, and places in layers that the model does not have."""
    if not cells:
        raise UserError("patching: expected at least one cell, got none")
    for place in (p for cell in cells for p in cell):
        if not 0 <= place.layer < n_layers:
            raise UserError(f"{place}: expected a layer in 0..{n_layers - 1}")


def check_places(sides: Sides, cells: Sequence[Cell]) -> None:
    """Refuse spans, columns and heads that the two runs do not have."""
    base = sides.base
    for place in (p for cell in cells for p in cell):
        if place.span is not None and place.span not in base.tokens.spans:
            raise UserError(
                f"site {place}: expected a span of {', '.join(sorted(base.tokens.spans))}, got "
                f"{place.span!r}; or a column, as in 'at column {base.first}'"
            )
        if place.column is not None and not base.first <= place.column < base.tokens.width:
            raise UserError(
                f"{place}: column {place.column} is outside {base.first}..{base.tokens.width - 1}, "
                "the columns from the first difference on; before it, both runs are equal"
            )
        count = base.acts[place.point].shape[2] if place.stream in HEAD_STREAMS else 0
        for head in place.heads or ():
            if not 0 <= head < count:
                raise UserError(f"{place}: head {head}: expected 0..{count - 1}")


def _live(sides: Sides, cells: Sequence[Cell]) -> list[Variant]:
    """The cells at which base and source differ for some prompt (one host sync per point)."""
    differs = {
        point: _differing(sides.base.acts[point] != sides.acts[point], point)
        for point in {p.point for cell in cells for p in cell}
    }
    live = []
    for number, cell in enumerate(cells):
        here = [(covered(sides, place), place) for place in cell]
        if any(_differs(columns, differs[place.point], place) for columns, place in here):
            starts = [int(c.any(dim=0).nonzero()[0]) for c, _ in here if bool(c.any())]
            live.append(Variant(number, min(p.layer for p in cell), min(starts)))
    return live


def _differing(
    differs: Bool[Tensor, "n column *rest"], point: Point
) -> Bool[Tensor, "n column *head"]:
    return differs.flatten(3 if point.stream in HEAD_STREAMS else 2).any(dim=-1).cpu()


def _differs(columns: Tensor, differs: Bool[Tensor, "n column *head"], place: Place) -> bool:
    if differs.ndim == 3:
        heads = slice(None) if place.heads is None else list(place.heads)
        differs = differs[:, :, heads].any(dim=-1)
    return bool((differs & columns).any())


def finite(values: Tensor, what: str, advice: str = "") -> Tensor:
    """Values on the host, refused if one is not finite (checked once, after the loop)."""
    values = values.cpu()
    if not bool(values.isfinite().all()):
        raise UserError(f"{what}: expected finite metric values, got NaN or infinity{advice}")
    return values
