"""A direction for every layer, so that any of them can be watched: an analysis' or fitted here."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from circuits import metrics, tokens
from circuits.gates import phrase, select
from circuits.gates.select import Candidate
from circuits.models import Model
from circuits.record import record
from circuits.types import Direction, Site, quiet
from experiments.judges.criterion import criterion
from experiments.judges.fork import fork
from experiments.runs import older
from experiments.runs.stages import Stages

Layers = dict[int, Candidate]
_FIT, _SCORED = 16, 8  # pairs that directions are fitted on, and others that they are scored on


def of_run(folder: Path, chosen: Direction | None) -> Layers:
    """The best-scored candidate of every layer of a finished analysis.

    At its own layer the chosen direction stands, whatever other candidates score there.
    """
    stages = Stages(folder)
    if chosen is None or not stages.has("selection"):
        return {}
    scored = stages.keep("selection", tuple[Candidate, ...], tuple, older.candidates)

    def own(one: Candidate) -> bool:
        return (one.direction.site, one.direction.estimator) == (chosen.site, chosen.estimator)

    # Of those of one layer, the last stands; exact scores before those of first order.
    ordered = sorted(scored, key=lambda c: (c.direction.site.layer, own(c), c.n > 0, c.score))
    return {c.direction.site.layer: c for c in ordered}


def fitted(
    model: Model,
    fit: Sequence[str],
    score: Sequence[str],
    trigger: str,
    controls: tuple[str, ...],
    behaviour: str,
    progress: select.Progress = quiet,
) -> tuple[Direction, Layers]:
    """The mean difference at the trigger's tokens in every layer, and the one that acts best.

    A quick guess: scored by what it does on a few pairs, put to no proof.

    Args:
        fit, score: disjoint prompts.
        behaviour: its first token's probability is what is scored.

    Raises:
        UserError: the trigger has no effect that a direction could explain.
    """
    runner = model.runner
    sites = [Site(i, "resid_pre", "trigger") for i in range(runner.shape.n_layers)]
    pairs = tokens.pairs(model.tokenizer, list(fit[:_FIT]), trigger, controls)
    pairs, earlier = phrase.apart(pairs)
    places = [replace(site, span=span) for site in sites for span in (*earlier, site.span)]
    acts = [record(runner, side, places) for side in (pairs.clean, pairs.triggered)]
    clean, hot = (side.unflatten(0, (len(sites), -1)) for side in acts)
    directions = [
        phrase.joined([_shift(site, *both) for both in zip(clean[i], hot[i], strict=True)])
        for i, site in enumerate(sites)
    ]
    some = list(score[:_SCORED])
    words = tokens.dealt(controls, len(some))
    parted = fork(model, some, trigger, words, criterion(behaviour), strict=False)
    others = tokens.pairs(parted.scored(model).tokenizer, some, trigger, controls)
    metric = metrics.token_prob([parted.token])
    scored = select.score(runner, others, directions, metric, progress)
    best = select.choose(scored, runner.shape.n_layers).direction
    return best, {one.direction.site.layer: one for one in scored}


def _shift(site: Site, clean: Float[Tensor, "n d"], hot: Float[Tensor, "n d"]) -> Direction | None:
    """The mean difference at a token; None where there is none."""
    shift = (hot - clean).mean(dim=0)
    return select.direction_at(site, shift, "mean_difference", clean, hot) if shift.any() else None
