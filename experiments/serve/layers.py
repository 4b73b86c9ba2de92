"""A direction for every layer, so that any of them can be watched: an analysis' or fitted here."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from circuits import metrics, tokens
from circuits.gates import select
from circuits.gates.select import Candidate
from circuits.models import Model
from circuits.record import record
from circuits.types import Direction, Site
from experiments.runs import files

Layers = dict[int, Candidate]
_FIT, _SCORED = 16, 8  # pairs that directions are fitted on, and others that they are scored on


def of_run(folder: Path, chosen: Direction | None) -> Layers:
    """The best-scored candidate of every layer of a finished analysis.

    At its own layer the chosen direction stands, whatever other candidates score there.
    """
    stages = folder / "stages"
    if chosen is None or not (stages / "selection.json").is_file():
        return {}
    rows = files.read_json(stages / "selection.json")
    vectors = files.read_tensors(stages / "selection.safetensors")["vectors"].float()
    found: Layers = {}
    for row, vector in zip(rows, vectors, strict=True):
        site = Site(row["layer"], row["stream"], row["span"])
        means = row["clean_mean"], row["triggered_mean"]
        direction = Direction(site, vector / vector.norm(), row["estimator"], *means)
        scores = (row["necessity"], row["sufficiency"], row["harm"], row["n"])
        one = Candidate(direction, *scores)
        if site == chosen.site and row["estimator"] == chosen.estimator:
            one = replace(one, direction=chosen)
        found[site.layer] = max(found.get(site.layer, one), one, key=_place(chosen))
    return dict(sorted(found.items()))


def _place(chosen: Direction):
    return lambda one: (one.direction is chosen, one.score)


def fitted(
    model: Model,
    fit: Sequence[str],
    score: Sequence[str],
    trigger: str,
    controls: tuple[str, ...],
    behaviour: str,
    progress: select.Progress = lambda done, total: None,
) -> tuple[Direction, Layers]:
    """The mean difference at the trigger of every layer, and the one that acts best.

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
    clean, hot = (record(runner, side, sites) for side in (pairs.clean, pairs.triggered))
    made = [
        select.direction_at(
            site, (hot[i] - clean[i]).mean(dim=0), "mean_difference", clean[i], hot[i]
        )
        for i, site in enumerate(sites)
    ]
    others = tokens.pairs(model.tokenizer, list(score[:_SCORED]), trigger, controls)
    first = model.tokenizer(behaviour, add_special_tokens=False)["input_ids"][0]
    found = select.score(runner, others, made, metrics.token_prob([first]), progress)
    best = select.choose(found, runner.shape.n_layers).direction
    return best, {one.direction.site.layer: one for one in found}
