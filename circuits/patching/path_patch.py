"""Path patching: the effect of a sender on the output through chosen receivers only.

Wang et al. 2022 (arXiv 2211.00593) and Goldowsky-Dill et al. 2023 (arXiv 2304.05969). A path runs
from a sender (a head's ``z``, ``attn_out`` or ``mlp_out``) along the residual stream straight into
receivers (a head's ``q``, ``k`` or ``v``), or into the logits:

1. the sender takes its value from the source run while every other attention output and, by
   default, every other MLP output is held at the base run's; the receivers' inputs are recorded.
   Since all else is held, one pass gives them for every receiver layer at once;
2. the base run is repeated with the receivers set to what was recorded; the rest follows freely.

For the logits as receiver, step 1's own logits are the result.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from circuits.errors import UserError
from circuits.metrics import checked
from circuits.patching.cells import Cell, Place, Sweep
from circuits.patching.engine import Direction, Experiment, Pairs, finite, prepare
from circuits.patching.schedule import Job, Variant
from circuits.patching.suffix import run_suffix
from circuits.patching.variants import Layout, Pass
from circuits.runner import Runner
from circuits.types import Edit, Metric, PatchGrid, Point, Progress, quiet

SENDERS = ("z", "attn_out", "mlp_out")
RECEIVERS = ("q", "k", "v")
_WRITES = {"z": "attn_out", "attn_out": "attn_out", "mlp_out": "mlp_out"}
Held = Literal["all", "attention"]


@torch.no_grad()
def path_patch(
    runner: Runner,
    pairs: Pairs,
    metric: Metric,
    senders: Sweep | Sequence[Cell],
    receivers: Sequence[Place] | Literal["logits"] = "logits",
    *,
    direction: Direction = "denoising",
    held: Held = "all",
    metric_name: str = "metric",
    labels: tuple[str, ...] | None = None,
    progress: Progress = quiet,
) -> PatchGrid:
    """Patch the path from every sender to all receivers together.

    Args:
        runner, pairs, metric, direction, metric_name, labels, progress: as in ``patch``.
        senders: cells of the streams z, attn_out and mlp_out, each of one layer.
        receivers: places of the streams q, k and v, or ``logits``.
        held: hold ``all`` other outputs, so that only the direct path counts, or only those of
            ``attention``, so that MLPs pass on what reaches them (as in Wang et al.).

    Raises:
        UserError: a sender or receiver of another stream.
    """
    experiment = prepare(runner, pairs, senders, direction=direction)
    _check(experiment.cells, receivers)
    reached = [] if receivers == "logits" else list(receivers)
    found = _Paths(experiment, reached, _held_points(runner.shape.n_layers, held))
    base, source = (checked(metric, x) for x in (found.sides.base.logits, found.sides.logits))
    values = base.expand(len(experiment.cells), -1).clone()
    passes = experiment.jobs(only=found.reached)
    for done, job in enumerate(passes, 1):
        logits = found.logits(job)
        scores = checked(metric, logits.flatten(0, 1)).unflatten(0, logits.shape[:2])
        values[torch.tensor(job.numbers, device=values.device)] = scores
        progress(done, len(passes))
    return PatchGrid(
        direction=direction,
        stream=experiment.stream,
        metric=metric_name,
        labels=labels or experiment.labels,
        values=finite(values).reshape(*experiment.shape, -1),
        base=base.cpu(),
        source=source.cpu(),
        axes=experiment.axes if isinstance(senders, Sweep) else ("sender",),
        path="shared" if experiment.shared else "plain",
    )


def _check(senders: Sequence[Cell], receivers: Sequence[Place] | str) -> None:
    for cell in senders:
        if len({p.layer for p in cell}) > 1:
            raise UserError(
                f"path: expected a sender in one layer, got {', '.join(map(str, cell))}"
            )
        for place in cell:
            if place.stream not in SENDERS:
                raise UserError(f"path: sender {place}: expected a stream of {', '.join(SENDERS)}")
    if isinstance(receivers, str):
        if receivers != "logits":
            raise UserError(f"path: expected receivers or 'logits', got {receivers!r}")
        return
    if not receivers:
        raise UserError("path: expected at least one receiver, got none")
    for place in receivers:
        if place.stream not in RECEIVERS:
            raise UserError(f"path: receiver {place}: expected a stream of {', '.join(RECEIVERS)}")


def _held_points(n_layers: int, held: Held) -> list[Point]:
    streams = ("attn_out", "mlp_out") if held == "all" else ("attn_out",)
    return [Point(layer, stream) for layer in range(n_layers) for stream in streams]


class _Paths:
    """Both steps for the senders of one job."""

    def __init__(self, experiment: Experiment, receivers: list[Place], held: list[Point]) -> None:
        self.sides, self.runner = experiment.sides, experiment.runner
        self.cells, self.receivers, self.held = experiment.cells, tuple(receivers), held
        self.layout: Layout = "joined" if experiment.shared else "plain"
        base = self.sides.base
        points = {*held, *(p.point for p in receivers)}
        self.acts = run_suffix(
            self.runner, base.tokens, base.first, points, shared=experiment.shared
        ).acts

    def reached(self, variant: Variant) -> bool:
        """Whether a sender lies below some receiver; otherwise there is no path."""
        layer = max(p.layer for p in self.cells[variant.number])
        return not self.receivers or any(p.layer > layer for p in self.receivers)

    def logits(self, job: Job) -> Float[Tensor, "senders n 1 d_vocab"]:
        """Last logits with every sender's path patched."""
        cells = [self.cells[number] for number in job.numbers]
        senders = Pass(self.sides, job, cells, self.layout)
        points = sorted({p.point for p in self.receivers})
        found = senders.run(self.runner, edits=self._holding(senders), record=points)
        if not points:
            return found.logits.unflatten(0, (-1, senders.n))[senders.offset :]
        layer = points[0].layer if self.layout == "joined" else 0
        received = Pass(
            self.sides,
            Job(job.start, tuple(Variant(v.number, layer, v.start) for v in job.variants)),
            [self.receivers] * len(cells),
            self.layout,
            {p: self._received(senders, p, found.acts[p]) for p in points},
        ).run(self.runner)
        return received.logits.unflatten(0, (-1, senders.n))[senders.offset :]

    def _received(self, senders: Pass, point: Point, acts: Tensor) -> Shaped[Tensor, "..."]:
        """A receiver's input from every sender; the base run's from those not below it."""
        blocks = acts[:, senders.skipped :].unflatten(0, (-1, senders.n))[senders.offset :]
        missing = len(senders.cells) - len(blocks)
        base = self.acts[point][:, senders.start :]
        return torch.cat([blocks, base.expand(missing, *base.shape)])

    def _holding(self, senders: Pass) -> list[Edit]:
        """Every held output is the base run's, but for the senders' own."""
        return [self._held_at(senders, point) for point in self.held]

    def _held_at(self, senders: Pass, point: Point) -> Edit:
        own = [
            senders.offset + i
            for i, cell in enumerate(senders.cells)
            if any(p.layer == point.layer and _WRITES[p.stream] == point.stream for p in cell)
        ]
        base = self.acts[point][:, senders.start :]

        def hold(x: Tensor) -> Tensor:
            opening, suffix = x[:, : senders.skipped], x[:, senders.skipped :]
            blocks = suffix.unflatten(0, (-1, senders.n))
            found = base.to(x).expand_as(blocks).clone()
            found[own] = blocks[own]
            return torch.cat([opening, found.flatten(0, 1)], dim=1)

        return Edit(point, hold)
