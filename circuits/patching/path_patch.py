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
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import UserError
from circuits.patching.cells import Cell, Place, Sweep
from circuits.patching.engine import Direction, Pairs, check_layers, check_places, prepare
from circuits.patching.schedule import Job
from circuits.patching.variants import Blocks, Pass
from circuits.runner import Runner
from circuits.types import Edit, Metric, PatchGrid, Point, Progress, quiet

SENDERS = ("z", "attn_out", "mlp_out")
RECEIVERS = ("q", "k", "v")
_WRITES = {"z": "attn_out", "attn_out": "attn_out", "mlp_out": "mlp_out"}
Held = Literal["all", "attention"]


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
    targets = _targets(receivers)
    streams = ("attn_out", "mlp_out") if held == "all" else ("attn_out",)
    outputs = [Point(layer, s) for layer in range(runner.shape.n_layers) for s in streams]
    if targets:
        check_layers([targets], runner.shape.n_layers)
    experiment = prepare(
        runner,
        pairs,
        senders,
        direction=direction,
        record=[*outputs, *(p.point for p in targets)],
    )
    _check_senders(experiment.grid.cells)
    check_places(experiment.sides, [targets])
    # A receiver reads what is written below it; for the others there is no path.
    end = max((p.layer for p in targets), default=runner.shape.n_layers)

    def logits(job: Job) -> Float[Tensor, "senders n keep d_vocab"]:
        step = experiment.patched(job)
        holding = [_held_at(step, point) for point in outputs]
        return logits_through(runner, step, [targets] * len(job.variants), holding)

    passes = experiment.jobs(only=lambda variant: variant.layer < end)
    grid = experiment.measured(metric, metric_name, labels, progress, passes, logits)
    return grid if isinstance(senders, Sweep) else replace(grid, axes=("sender",))


def logits_through(
    runner: Runner, step: Pass, targets: Sequence[Cell], edits: Sequence[Edit] = ()
) -> Float[Tensor, "variants n keep d_vocab"]:
    """The logits that are scored where the variants of a pass act through their targets only.

    The targets are recorded in the pass; the base run is repeated with them alone set to that.
    Without targets, the pass's own logits.
    """
    points = sorted({place.point for cell in targets for place in cell})
    keep = step.sides.logits.shape[1]
    out = step.run(runner, keep, edits=edits, record=points)
    if not points:
        return step.logits(out, keep)
    layer = points[0].layer if step.layout == "joined" else 0
    variants = tuple(replace(v, layer=layer) for v in step.job.variants)
    own = {point: _received(step, point, out.acts[point]) for point in points}
    again = Pass(step.sides, Job(step.job.start, variants), targets, step.layout, own)
    return again.logits(again.run(runner, keep), keep)


def _received(step: Pass, point: Point, acts: Tensor) -> Blocks:
    """A target's value in every variant; the base run's in those that are not below it."""
    blocks = step.blocks(acts)[step.offset :]
    base = step.sides.base.acts[point][:, step.start :]
    return torch.cat([blocks, base.expand(len(step.cells) - len(blocks), *base.shape)])


def _held_at(senders: Pass, point: Point) -> Edit:
    """An output is the base run's, but for the senders' own."""
    base = senders.sides.base.acts[point][:, senders.start :]
    free = [
        i
        for i, cell in enumerate(senders.cells)
        if any(p.layer == point.layer and _WRITES[p.stream] == point.stream for p in cell)
    ]

    def hold(x: Tensor) -> Tensor:
        present = range(-senders.offset, len(x) // senders.n - senders.offset)
        held = [i for i in present if i not in free]
        return senders.changed(x, held, lambda old: base.to(x).expand_as(old))

    return Edit(point, hold)


def _check_senders(senders: Sequence[Cell]) -> None:
    for cell in senders:
        if len({p.layer for p in cell}) > 1:
            raise UserError(
                f"path: expected a sender in one layer, got {', '.join(map(str, cell))}"
            )
        for place in cell:
            if place.stream not in SENDERS:
                raise UserError(f"path: sender {place}: expected a stream of {', '.join(SENDERS)}")


def _targets(receivers: Sequence[Place] | str) -> Cell:
    """The receivers, none for the logits, after refusing what cannot receive."""
    if receivers == "logits":
        return ()
    if isinstance(receivers, str):
        raise UserError(f"path: expected receivers or 'logits', got {receivers!r}")
    if not receivers:
        raise UserError("path: expected at least one receiver, got none")
    for place in receivers:
        if place.stream not in RECEIVERS:
            raise UserError(f"path: receiver {place}: expected a stream of {', '.join(RECEIVERS)}")
    return tuple(receivers)
