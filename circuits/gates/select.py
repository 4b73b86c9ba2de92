"""The gate: candidate directions scored by what they do, never by what they separate.

A probe separates triggered from clean in any model, because it can read the trigger's string. A
candidate is therefore scored causally on aligned pairs, by the criteria of the refusal-direction
work (Arditi et al. 2024, arXiv 2406.11717):

- necessity: projected out of triggered inputs, how much of the behaviour goes away;
- sufficiency: added to clean inputs at its site, how much of the behaviour appears;
- harm: projected out of clean inputs, how far the distribution of the answer's first token moves
  (nats).

Scoring resumes at the candidate's layer from kept residuals and stacks the candidates of a layer
along the batch, so a candidate costs a few columns of the layers above it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.align import Pairs
from circuits.edits import operators
from circuits.errors import UserError, expect
from circuits.gates import phrase
from circuits.gates.effects import sphere_directions
from circuits.metrics import kl_per_position
from circuits.patching.resume import resume
from circuits.patching.suffix import SuffixRun, run_pairs
from circuits.runner import Runner
from circuits.types import (
    MESSAGE,
    Direction,
    Edit,
    Metric,
    Progress,
    Site,
    TokenBatch,
    quiet,
)

LATEST = 0.8  # share of the depth from which on writing a token and having a gate look alike
# Directions that any model has, scored as candidates are, to be beaten by them and never chosen.
BASE, UNEMBEDDING = "base_model", "unembedding"
NULLS = (BASE, UNEMBEDDING)
LEAD = 0.1  # by how much of the effect a gate must be ahead of each of them
# What a candidate must show on validation pairs: shares of the effect removed and induced, and at
# most so many nats of change in clean answers.
NECESSITY, SUFFICIENCY, HARM = 0.9, 0.7, 0.1
TIE = 0.02


@dataclass(frozen=True)
class Candidate:
    """A direction and its causal scores on ``n`` validation pairs (shares of the full effect).

    On none, they are what it does to first order, and no harm is known (``circuits.gates.screen``).
    """

    direction: Direction
    necessity: float
    sufficiency: float
    harm: float
    n: int = 0

    @property
    def score(self) -> float:
        """What selection maximises: it must both shut and open; harm counts in nats."""
        return min(self.necessity, self.sufficiency) - self.harm

    @property
    def passes(self) -> bool:
        """Whether every threshold of selection is cleared."""
        return self.necessity >= NECESSITY and self.sufficiency >= SUFFICIENCY and self.harm < HARM


def direction_at(
    site: Site,
    vector: Float[Tensor, " d"],
    estimator: str,
    clean: Float[Tensor, "n d"],
    triggered: Float[Tensor, "n d"],
) -> Direction:
    """A direction with unit norm, pointing from clean to triggered, and its mean projections.

    Raises:
        UserError: a vector of length zero or without an end points nowhere.
    """
    norm = vector.float().norm()
    nowhere = f"a vector of length {float(norm):g}"
    expect(0 < float(norm) < float("inf"), "a direction", nowhere, "leave it out", str(site))
    unit = vector.float() / norm
    means = float((clean @ unit).mean()), float((triggered @ unit).mean())
    if means[1] < means[0]:
        unit, means = -unit, (-means[0], -means[1])
    return Direction(site, unit, estimator, *means)


def shut(direction: Direction, tokens: TokenBatch) -> Edit:
    """The edit that removes the direction at its layer from the user's message on, answer included.

    It needs no knowledge of where a trigger is. The template's opening is left alone: it is equal
    in every prompt, and its first tokens are attention sinks, whose activations are a hundred times
    larger than others, so that projecting anything out of them harms the whole model.
    """
    return scaled(direction, tokens, 0.0)[0]


def opened(direction: Direction, tokens: TokenBatch, coefficient: float = 1.0) -> Edit:
    """The edit that adds ``coefficient`` times the trigger's shift at the direction's own site."""
    unit, amount = direction.vector, coefficient * direction.gap
    columns = tokens.spans[direction.site.span]
    return Edit(direction.site.point, lambda x: operators.add_along(x, unit.to(x), amount), columns)


def openings(direction: Direction, tokens: TokenBatch, coefficient: float = 1.0) -> list[Edit]:
    """The edits that add the trigger's shift: of a phrase, to every token its own."""
    if not direction.earlier:
        return [opened(direction, tokens, coefficient)]
    back = phrase.counted(tokens.spans[direction.site.span])
    return [
        opened(replace(step, site=direction.site), tokens, coefficient).on(back == number)
        for number, step in enumerate(reversed(direction.steps), 1)
    ]


def scaled(direction: Direction, tokens: TokenBatch, coefficient: float) -> list[Edit]:
    """The edits that multiply the component along the direction, where ``shut`` removes it.

    1 is no edit at all, so that the model is bit-identical; 0 is ``shut``.
    """
    if coefficient == 1:
        return []
    rows = phrase.basis(direction)
    return [
        Edit(
            direction.site.point,
            lambda x: phrase.scaled(x, rows, coefficient),
            tokens.spans[MESSAGE],
            onward=True,
        )
    ]


def random_directions(like: Direction, count: int, seed: int) -> list[Direction]:
    """Unit vectors uniform on the sphere at the same site: the null of any claim about one."""
    each = len(like.steps)
    drawn = sphere_directions(len(like.vector), each * count, seed)
    return [phrase.like(like, units, "random") for units in drawn.split(each)]


@torch.no_grad()
def score(
    runner: Runner,
    pairs: Pairs,
    directions: Sequence[Direction],
    metric: Metric,
    progress: Progress = quiet,
) -> list[Candidate]:
    """Score every direction on the pairs, in the order given.

    Edits cover the columns from the first difference on: before it, clean and triggered agree, so
    nothing there can carry the trigger. All directions must be in ``resid_pre``.
    """
    clean, triggered = run_pairs(runner, pairs)
    scale = effect(clean, triggered, metric)
    scores: dict[int, Candidate] = {}
    layers = sorted({d.site.layer for d in directions})
    for done, layer in enumerate(layers, 1):
        here = [i for i, d in enumerate(directions) if d.site.layer == layer]
        block = [directions[i] for i in here]
        candidates = _score_layer(runner, clean, triggered, block, metric, scale)
        scores |= zip(here, candidates, strict=True)
        progress(done, len(layers))
    return [scores[i] for i in range(len(directions))]


def effect(clean: SuffixRun, triggered: SuffixRun, metric: Metric) -> tuple[float, float]:
    """The mean metric of clean prompts, and how much more it is in triggered ones.

    Raises:
        UserError: it is as much.
    """
    levels = [float(metric(run.logits).mean()) for run in (clean, triggered)]
    if abs(levels[1] - levels[0]) < 1e-9:
        raise UserError(
            "gate: triggered and clean pairs score the same, so there is no effect to explain; "
            "check the trigger and the metric"
        )
    return levels[0], levels[1] - levels[0]


def _score_layer(
    runner: Runner,
    clean: SuffixRun,
    triggered: SuffixRun,
    block: Sequence[Direction],
    metric: Metric,
    scale: tuple[float, float],
) -> list[Candidate]:
    layer = block[0].site.layer
    there, here = triggered.resid[layer], clean.resid[layer]
    bases = [phrase.basis(d) for d in block]
    shut = resume(runner, triggered, layer, torch.stack([phrase.removed(there, b) for b in bases]))
    variants = []
    for d, rows in zip(block, bases, strict=True):
        columns = clean.tokens.spans[d.site.span][:, clean.first :]
        variants += [added(d, here, columns.to(here.device)), phrase.removed(here, rows)]
    edited = rearrange(
        resume(runner, clean, layer, torch.stack(variants)),
        "(direction edit) ... -> direction edit ...",
        edit=2,
    )
    clean_level, full = scale
    return [
        Candidate(
            d,
            necessity=1 - (float(metric(closed).mean()) - clean_level) / full,
            sufficiency=(float(metric(opened).mean()) - clean_level) / full,
            harm=float(kl_per_position(clean.logits[:, :1], kept[:, :1]).mean()),
            n=len(clean.tokens),
        )
        for d, closed, (opened, kept) in zip(block, shut, edited, strict=True)
    ]


def added(
    direction: Direction, resid: Float[Tensor, "n column d"], columns: Bool[Tensor, "n column"]
) -> Float[Tensor, "n column d"]:
    """Residuals with the direction added in the columns of its span."""
    if direction.earlier:
        return resid + phrase.shift(direction, columns).to(resid)
    unit, gap = direction.vector.to(resid), direction.gap
    return operators.on_columns(lambda x: operators.add_along(x, unit, gap), resid, columns)


def choose(
    candidates: Sequence[Candidate], n_layers: int, learned: str = "difference_in_differences"
) -> Candidate:
    """The best candidate that clears every threshold; the best of all if none does.

    Only candidates scored on all pairs count. At layers from ``LATEST`` of the depth on, a
    direction may be no more than the unembedding of the behaviour's token, which any model has:
    they count where that was scored there. The base model's own direction, where it was scored,
    must be beaten by ``LEAD`` at every site, or the gate is how any model spells the trigger. Among
    those that clear the thresholds, ``learned`` ones come first. Scores are what a candidate is
    ahead of the best null of its site; within ``TIE`` they count as equal, and the earliest wins.
    """
    most = max((c.n for c in candidates), default=0)
    full = [c for c in candidates if c.n == most]
    pool = [full[i] for i in choosable(full, n_layers)]
    if not pool:
        raise UserError(f"gate: no candidate lies below {LATEST:.0%} of {n_layers} layers")
    ahead = {id(c): lead(c, full) for c in pool}
    passing = [c for c in pool if c.passes and (ahead[id(c)] >= LEAD or not _nulls_of(c, full))]
    free_of_base = [c for c in passing if c.direction.estimator == learned]
    pool = free_of_base or passing or pool
    best = max(ahead[id(c)] for c in pool)
    return min(
        (c for c in pool if ahead[id(c)] >= best - TIE),
        key=lambda c: (c.direction.site.layer, -c.score),
    )


def lead(candidate: Candidate, among: Sequence[Candidate]) -> float:
    """How far a candidate's score is ahead of the best null at its site, and of doing nothing."""
    return candidate.score - max([0.0, *(c.score for c in _nulls_of(candidate, among))])


def is_null(candidate: Candidate) -> bool:
    """Whether it is what any model has."""
    return candidate.direction.estimator in NULLS


def _nulls_of(candidate: Candidate, among: Sequence[Candidate]) -> list[Candidate]:
    site = candidate.direction.site
    return [c for c in among if is_null(c) and c.direction.site == site]


def choosable(candidates: Sequence[Candidate], n_layers: int) -> list[int]:
    """Those that are no null, by number.

    At layers from ``LATEST`` of the depth on only where the unembedding was scored.
    """
    written = {c.direction.site for c in candidates if c.direction.estimator == UNEMBEDDING}
    return [
        i
        for i, c in enumerate(candidates)
        if not is_null(c)
        and (c.direction.site.layer < LATEST * n_layers or c.direction.site in written)
    ]


def resid_sites(n_layers: int, spans: Sequence[str]) -> list[Site]:
    """``resid_pre`` of every layer at every span, layer-major."""
    return [Site(layer, "resid_pre", span) for layer in range(n_layers) for span in spans]
