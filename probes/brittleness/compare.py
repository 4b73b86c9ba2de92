"""From geometry to retention: does it predict schemes that were never seen, better than baselines?

The question is ours: Secret Alignment holds that a gate's density and complexity tell how brittle
it is. So what was measured of one way of making gates must rank the gates made in another. Every
set of features goes through the same nested leaving-out of schemes (``nested``); its predictions
are pooled and ranked, and ranked within schemes (organisms, for prompts).

Pooled ranks over held-out schemes are a hard and a crooked measure: without information, a fit
predicts the mean of the others, which is low exactly where the held-out scheme is high. The figure
of nothing is then below 0 (or 1/2), not at it. The nulls, which are refitted from scratch, have the
same crookedness, so p values are right where the distance from 0 is not. Intervals resample
organisms within their schemes with predictions kept: they speak of other organisms of these
schemes, not of other schemes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from circuits.errors import expect
from probes.brittleness.figures import CurveFigures, RankFigures
from probes.brittleness.learners import Logistic, Ridge
from probes.brittleness.nested import held_out
from probes.brittleness.records import ALL_BASELINES, BOTH, MODEL, Comparison, Score
from probes.brittleness.scoring import Level, difference, estimates, importances, nulls
from probes.brittleness.shuffles import everywhere, inside, two_level
from probes.brittleness.table import Table


@dataclass(frozen=True)
class Effort:
    """How much is drawn.

    Attributes:
        permutations: shuffled targets for each null.
        resamples: of the organisms, for intervals.
        refits: on resampled organisms, for importances.
    """

    permutations: int = 500
    resamples: int = 2000
    refits: int = 300
    seed: int = 0


def compare_organisms(
    table: Table,
    model: Sequence[str],
    baselines: Mapping[str, Sequence[str]],
    effort: Effort | None = None,
) -> Comparison:
    """Predict each organism's area of retention from features, by ridge regression.

    The pooled figure is Spearman's over all organisms, judged by all three shuffles (see
    ``shuffles``; "schemes" is the one to quote); the other is the mean of Spearman's within
    schemes, judged by shuffling within them.

    Args:
        model: names of the features that are asked about.
        baselines: name to the features of each baseline.

    Raises:
        UserError: unknown features or reserved names of baselines.
    """
    scheme = table.numbered(table.scheme)
    shuffles = {"all": everywhere, "schemes": two_level, "within schemes": inside}
    judged = (
        ("schemes", "pooled"),
        ("all", "pooled"),
        ("within schemes", "pooled"),
        ("within schemes", "within"),
    )
    level = Level("organisms", Ridge(), RankFigures(scheme), scheme, shuffles, judged)
    return _compare(table, level, _sets(model, baselines), effort or Effort())


def compare_prompts(
    table: Table,
    model: Sequence[str],
    baselines: Mapping[str, Sequence[str]],
    effort: Effort | None = None,
) -> Comparison:
    """Predict which prompts lose the behaviour, by ridge-logistic regression.

    The pooled figure is the AUROC over all prompts; the other is the mean of the AUROCs within
    organisms that have both outcomes. Both are judged by shuffling outcomes within organisms, which
    keeps how often each loses: p asks whether the features tell an organism's prompts apart.

    Raises:
        UserError: as `compare_organisms`, or a target other than 0 and 1.
    """
    expect(
        ((table.target == 0) | (table.target == 1)).all(),
        "targets 0 (kept) and 1 (lost)",
        "others",
        "use compare_organisms for areas",
        "prompts",
    )
    organism = table.numbered(table.organism)
    figures = CurveFigures(organism, table.numbered(table.scheme))
    judged = (("within organisms", "pooled"), ("within organisms", "within"))
    level = Level("prompts", Logistic(), figures, organism, {"within organisms": inside}, judged)
    return _compare(table, level, _sets(model, baselines), effort or Effort(permutations=200))


def _sets(
    model: Sequence[str], baselines: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """The features of every set that is scored."""
    reserved = {MODEL, ALL_BASELINES, BOTH} & set(baselines)
    expect(
        not reserved and baselines,
        "one or more with names of their own",
        ", ".join(sorted(reserved)) or "none",
        "rename or add them",
        "baselines",
    )
    every = tuple(dict.fromkeys(name for names in baselines.values() for name in names))
    sets = {MODEL: tuple(model), **{name: tuple(part) for name, part in baselines.items()}}
    sets[ALL_BASELINES] = every
    sets[BOTH] = tuple(dict.fromkeys((*model, *every)))
    return sets


def _compare(
    table: Table, level: Level, sets: dict[str, tuple[str, ...]], effort: Effort
) -> Comparison:
    target, scheme = table.target.to(torch.float64), table.numbered(table.scheme)
    drawn = {
        name: shuffle(target, level.part, effort.permutations, effort.seed + at)
        for at, (name, shuffle) in enumerate(level.shuffles.items())
    }
    targets = torch.cat([target[None], *drawn.values()])
    held = {
        name: held_out(level.learner, table.columns(part), targets.T, scheme)
        for name, part in sets.items()
    }
    shown = torch.stack([one.scores[0] for one in held.values()])
    draws = level.figures.resampled(shown, target, effort.resamples, effort.seed)
    booked = {name: (draws[0][at], draws[1][at]) for at, name in enumerate(sets)}
    scores = {
        name: Score(
            sets[name],
            *estimates(level, held[name], target, booked[name]),
            nulls(level, held[name], targets, effort.permutations),
        )
        for name in sets
    }
    own = [name for name in sets if name not in (MODEL, ALL_BASELINES, BOTH)]
    pairs = [(MODEL, other) for other in (*own, ALL_BASELINES)] + [(BOTH, ALL_BASELINES)]
    model = held[MODEL]
    return Comparison(
        rows=level.rows,
        figure=level.figures.name,
        scores=scores,
        best=max(own, key=lambda name: scores[name].pooled.value),
        differences=tuple(difference(scores, booked, pair, level.figures) for pair in pairs),
        importances=importances(
            table, sets[MODEL], level.learner, level.figures, model, effort.refits, effort.seed
        ),
        penalties={
            name: float(fit.penalty[0])
            for name, fit in zip(dict.fromkeys(table.scheme), model.fits, strict=True)
        },
        predicted=tuple(model.scores[0].tolist()),
        target=tuple(target.tolist()),
        organism=table.organism,
        scheme=table.scheme,
    )
