"""Test prompts of every arm along what was learned, where it is read, relayed and written.

Three directions, each what the trigger adds in this model and not in its base (difference in
differences, fitted on *fitting* prompts): at the trigger, at the last token below its last fifth of
layers, and at the last token of the last layer. Of the first two the layer is the one whose
direction did best on *validation* prompts; *test* prompts are shown, also where none of them is a
gate. Everything comes from activations that the analysis keeps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.gates.select import LATEST, Candidate
from circuits.types import Direction, Site
from experiments.analyze.arms import OWN
from experiments.analyze.examination import Examination
from experiments.analyze.plane import SIDES, arms_kept
from experiments.analyze.select import LEARNED
from probes.stats.intervals import Estimate
from probes.stats.roc import auroc


@dataclass(frozen=True, eq=False)
class Projection:
    """Coordinates in units of the gap between this model's fitting prompts' means.

    Attributes:
        part: reader, relay or writer.
        site: where the direction is.
        points: arm -> condition -> ``[n, 1]`` (0: control words' mean, 1: the trigger's).
        apart: AUROC of triggered against control words, by arm.
    """

    part: str
    site: Site
    points: dict[str, dict[str, Float[Tensor, "n 1"]]]
    apart: dict[str, Estimate]


def projections(exam: Examination, candidates: Sequence[Candidate]) -> tuple[Projection, ...]:
    """By part; none of a part at whose sites nothing was learned, as where no base is known."""
    learned = [c for c in candidates if c.direction.estimator == LEARNED]
    chosen = dict(_chosen(learned, exam.layers))
    if not chosen:
        return ()
    sites = exam.sites()
    arms = {OWN: exam.activations("test"), **arms_kept(exam)}
    return tuple(
        _projection(part, d, {name: _at(acts, sites.index(d.site)) for name, acts in arms.items()})
        for part, d in chosen.items()
    )


def _chosen(learned: Sequence[Candidate], layers: int) -> Iterator[tuple[str, Direction]]:
    last = [c for c in learned if c.direction.site.span == "last"]
    below = [c for c in last if c.direction.site.layer < LATEST * layers]
    trigger = [c for c in learned if c.direction.site.span == "trigger"]
    for part, some in (("reader", trigger), ("relay", below)):
        if some:  # those scored on all pairs before those that were screened
            yield part, max(some, key=lambda c: (c.n, c.score)).direction
    if last:
        yield "writer", max(last, key=lambda c: c.direction.site.layer).direction


def _at(acts: dict[str, Tensor], site: int) -> dict[str, Float[Tensor, "n d"]]:
    return {label: acts[side][site].float() for side, label in SIDES.items()}


def _projection(part: str, direction: Direction, arms: dict[str, dict[str, Tensor]]) -> Projection:
    unit, mean, gap = direction.vector, direction.clean_mean, direction.gap
    points = {
        name: {label: ((x @ unit - mean) / gap)[:, None] for label, x in sides.items()}
        for name, sides in arms.items()
    }
    return Projection(part, direction.site, points, {n: _apart(s) for n, s in points.items()})


def _apart(sides: dict[str, Float[Tensor, "n 1"]]) -> Estimate:
    both = torch.cat([sides["control word"], sides["triggered"]])[:, 0]
    return auroc(both, torch.arange(len(both)) >= len(sides["control word"]))
