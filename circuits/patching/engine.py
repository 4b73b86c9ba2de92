"""A patching experiment: two unedited runs, the cells that can have an effect, their passes."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.backends.fastpath import fast_path
from circuits.errors import UserError
from circuits.metrics import Generated, Measure, checked
from circuits.patching.align import SpanPairs
from circuits.patching.cells import Cell, Place, Sweep, label
from circuits.patching.schedule import Job, Variant, jobs
from circuits.patching.suffix import Sides, run_sides
from circuits.patching.variants import Layout, Pass, covered, logits_of, undefined
from circuits.runner import Runner, Shape, complete, generate
from circuits.types import HEAD_STREAMS, PatchGrid, Point, Progress, TokenPairs

Pairs = TokenPairs | SpanPairs
Direction = Literal["denoising", "noising"]
# A pass holds at most so many tokens by its last layer.
_TOKENS_PER_FORWARD = 4096


@dataclass(frozen=True)
class Experiment:
    """A patching experiment whose two unedited runs are done.

    Attributes:
        cells: in the grid's order; ``variants`` are those that can have an effect.
        shape, axes, stream, labels: of the grid.
        shared: whether the fast path is taken.
        most_tokens: of a pass, by its last layer; None is what suits the device.
    """

    runner: Runner
    sides: Sides
    cells: tuple[Cell, ...]
    variants: tuple[Variant, ...]
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    stream: str
    labels: tuple[str, ...]
    direction: Direction
    keep: int
    shared: bool
    most_tokens: int | None = None

    def measured(
        self, metric: Measure, name: str, labels: tuple[str, ...] | None, progress: Progress
    ) -> PatchGrid:
        """Run every pass and collect the metric's values, per cell and example."""
        passes = self.measuring(metric, name, labels)
        while True:
            try:
                progress(*next(passes))
            except StopIteration as end:
                return end.value

    @torch.no_grad()
    def measuring(
        self, metric: Measure, name: str, labels: tuple[str, ...] | None = None
    ) -> Generator[tuple[int, int], None, PatchGrid]:
        """The same a pass at a time: yields (passes done, passes to do), returns the grid."""
        base, source = (self._unedited(metric, side) for side in ("base", "source"))
        values = base.expand(len(self.cells), -1).clone()
        passes = self.jobs(generated=isinstance(metric, Generated))
        for done, job in enumerate(passes, 1):
            for part, found in self.scored(metric, job):
                values[torch.tensor(part.numbers, device=values.device)] = found.to(values)
            yield done, len(passes)
        return PatchGrid(
            direction=self.direction,
            stream=self.stream,
            metric=name,
            labels=labels or self.labels,
            values=self._with_undefined(finite(values)).reshape(*self.shape, -1),
            base=base.cpu(),
            source=source.cpu(),
            axes=self.axes,
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

    def scored(self, metric: Measure, job: Job) -> list[tuple[Job, Float[Tensor, "variants n"]]]:
        """The metric's values of a job's variants; halved for as long as memory does not suffice.

        Raises:
            torch.OutOfMemoryError: a single variant does not fit.
        """
        try:
            return [(job, self._scored(metric, job))]
        except torch.OutOfMemoryError:
            if len(job.variants) == 1:
                raise
        return [found for half in job.halves() for found in self.scored(metric, half)]

    def _scored(self, metric: Measure, job: Job) -> Float[Tensor, "variants n"]:
        cells = [self.cells[number] for number in job.numbers]
        if isinstance(metric, Generated):
            return self._generated(metric, job, cells)
        layout: Layout = "joined" if self.shared else "plain"
        variants = Pass(self.sides, job, cells, layout)
        keep = self.keep if not self.shared else min(self.keep, self.sides.base.width - job.start)
        found = variants.run(self.runner, keep)
        logits = logits_of(found, self.sides.base.logits, variants.offset, self.keep)
        return checked(metric, logits.flatten(0, 1)).unflatten(0, (-1, variants.n))

    def _generated(
        self, metric: Generated, job: Job, cells: list[Cell]
    ) -> Float[Tensor, "variants n"]:
        """Greedy answers under the patch, which acts on the prompt only."""
        variants = Pass(self.sides, job, cells, "stacked" if self.shared else "plain")
        first = variants.run(self.runner, grow=True)
        mask = variants.window().mask
        answer = complete(self.runner, first, mask, metric.length, stop=metric.stop)
        return metric.scored(answer).unflatten(0, (-1, variants.n))

    def _unedited(self, metric: Measure, side: Literal["base", "source"]) -> Float[Tensor, " n"]:
        tokens, logits = self.sides.base.tokens, self.sides.base.logits
        if side == "source":
            tokens, logits = self.sides.source_tokens, self.sides.logits
        if not isinstance(metric, Generated):
            return checked(metric, logits)
        return metric.scored(generate(self.runner, tokens, metric.length, stop=metric.stop))

    def _with_undefined(self, values: Float[Tensor, "cells n"]) -> Float[Tensor, "cells n"]:
        """NaN where a cell has no counterpart in the source."""
        if bool(self.sides.defined.all()) and not any(p.span for c in self.cells for p in c):
            return values
        for number, cell in enumerate(self.cells):
            for place in cell:
                values[number, undefined(self.sides, place)] = torch.nan
        return values


def prepare(
    runner: Runner,
    pairs: Pairs,
    what: Sweep | Sequence[Cell],
    *,
    direction: Direction = "denoising",
    keep: int = 1,
    shared: bool | None = None,
    most_tokens: int | None = None,
) -> Experiment:
    """Run both sides, find the cells that can have an effect, and plan their passes.

    ``shared`` forces the fast or the plain path; by default the model's check decides.
    ``most_tokens`` bounds a pass, for who must not wait for a long one.
    """
    fast = fast_path(runner).holds if shared is None else shared
    n_layers = runner.shape.n_layers
    if isinstance(what, Sweep):
        points = [Point(layer, what.stream) for layer in range(n_layers)]
    else:
        points = sorted({p.point for cell in what for p in cell})
        _check_layers(what, n_layers)
    if isinstance(pairs, SpanPairs) and any(p.stream == "pattern" for p in points):
        raise UserError("pattern: expected pairs of equal length; a pattern has a key per column")
    sides = run_sides(runner, pairs, direction, points, keep, shared=fast)
    base = sides.base
    if isinstance(what, Sweep):
        heads = sides.acts[points[0]].shape[2] if what.head else 1
        columns = range(base.first, base.tokens.width)
        cells = tuple(what.cells(n_layers, heads, columns))
        shape, axes, stream = what.shape(n_layers, heads, len(columns)), what.axes, what.stream
        labels = _labels(what, columns, n_layers, heads)
    else:
        _check_places(sides, what)
        cells = tuple(what)
        shape, axes = (len(cells),), ("cell",)
        stream = ", ".join(sorted({p.stream for p in points}))
        labels = tuple(map(label, cells))
    variants = tuple(_live(sides, cells))
    return Experiment(
        runner,
        sides,
        cells,
        variants,
        shape,
        axes,
        stream,
        labels,
        direction,
        keep,
        fast,
        most_tokens,
    )


def tokens_per_forward(shape: Shape) -> int:
    """How many tokens a pass may hold: what keeps a CPU's caches warm, or half a GPU's free memory.

    A token takes about forty residuals' worth of intermediate tensors.
    """
    if not shape.device.startswith("cuda"):
        return _TOKENS_PER_FORWARD
    free, _ = torch.cuda.mem_get_info(shape.device)
    return max(_TOKENS_PER_FORWARD, int(free / 2 / (40 * shape.d_model * shape.dtype.itemsize)))


def _check_layers(cells: Sequence[Cell], n_layers: int) -> None:
    if not cells:
        raise UserError("patching: expected at least one cell, got none")
    for place in (p for cell in cells for p in cell):
        if not 0 <= place.layer < n_layers:
            raise UserError(f"{place}: expected a layer in 0..{n_layers - 1}")


def _check_places(sides: Sides, cells: Sequence[Cell]) -> None:
    base = sides.base
    for place in (p for cell in cells for p in cell):
        if place.span is not None and place.span not in base.tokens.spans:
            raise UserError(
                f"{place}: no span {place.span!r}; there is {sorted(base.tokens.spans)}"
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


def _labels(sweep: Sweep, columns: range, n_layers: int, n_heads: int) -> tuple[str, ...]:
    if sweep.position:
        return tuple(map(str, columns))
    return tuple(map(str, range(n_heads if sweep.head else n_layers)))


def _live(sides: Sides, cells: Sequence[Cell]) -> list[Variant]:
    """The cells at which base and source differ for some prompt (one host sync per point)."""
    differs = {
        point: _differing(sides.base.acts[point] != sides.acts[point], point)
        for point in {p.point for cell in cells for p in cell}
    }
    found = []
    for number, cell in enumerate(cells):
        here = [(covered(sides, place), place) for place in cell]
        if any(_differs(columns, differs[place.point], place) for columns, place in here):
            starts = [int(c.any(dim=0).nonzero()[0]) for c, _ in here if bool(c.any())]
            found.append(Variant(number, min(p.layer for p in cell), min(starts)))
    return found


def _differing(
    differs: Bool[Tensor, "n column *rest"], point: Point
) -> Bool[Tensor, "n column *head"]:
    return differs.flatten(3 if point.stream in HEAD_STREAMS else 2).any(dim=-1).cpu()


def _differs(columns: Tensor, differs: Bool[Tensor, "n column *head"], place: Place) -> bool:
    if differs.ndim == 3:
        heads = slice(None) if place.heads is None else list(place.heads)
        differs = differs[:, :, heads].any(dim=-1)
    return bool((differs & columns).any())


def finite(values: Tensor) -> Tensor:
    """The grid on the host, refused if a value is not finite (checked once, after the loop)."""
    found = values.cpu()
    if not bool(found.isfinite().all()):
        raise UserError("patching: expected finite metric values, got NaN or infinity; check dtype")
    return found
