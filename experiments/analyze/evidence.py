"""Weighing: the chosen direction against every null, and what kind of thing it is.

Every function is a stage of an analysis, measured on test prompts (the trace on validation pairs)
with the direction that was chosen before.
"""

from typing import Any

import torch

from circuits import metrics
from circuits.answers import answers, no_edits
from circuits.gates import effects, select
from circuits.patching.trace import measure
from circuits.types import Direction, Edit, TokenBatch
from experiments import judges
from experiments.analyze.harm import Harm, harm
from experiments.analyze.locate import metric_name
from experiments.analyze.mediate import mediate
from experiments.analyze.nulls import NullEffects, random_nulls
from experiments.analyze.rivals import erasures, first_token, rank, rivals
from experiments.analyze.run import Run, Tensors
from experiments.analyze.untrained import WordRow, untrained_words
from experiments.analyze.weighed import Evidence, Transfer
from experiments.runs import files
from experiments.runs.codec import as_json, decode
from probes.causal.circuit import Trace
from probes.causal.mediation import Mediation
from probes.causal.tracing import trace
from probes.causal.transfer import LogisticFit, fit_logistic
from probes.stats.intervals import Estimate, difference_interval, wilson

_WORDS = 10  # untrained words that are tried
_MEDIATED = 12  # answer tokens in which a refusal can be told


def weigh(run: Run, direction: Direction) -> Evidence:
    """All of it, in the report's order."""
    return Evidence(
        nulls=nulls(run, direction),
        rivals=rivals(run, direction),
        erasures=erasures(run, direction),
        words=words(run, direction),
        transfer=transfer(run, direction),
        rank=rank(run, direction.site),
        mediation=mediation(run, direction),
        elsewhere=elsewhere(run, direction),
        harm=ordinary_harm(run, direction),
        trace=traced(run),
    )


def _some(run: Run) -> list[str]:
    """The test prompts of the slower stages."""
    return run.materials.test[: run.question.evidence]


def nulls(run: Run, direction: Direction) -> tuple[NullEffects, ...]:
    """Random directions of the sphere and of the activations' covariance."""

    def make() -> tuple[Any, Tensors]:
        index = run.sites().index(direction.site)
        acts = run.activations("fit")
        found = random_nulls(
            run.model.runner,
            run.pairs("test", run.question.evidence),
            direction,
            (acts["clean"][index], acts["triggered"][index]),
            first_token(run),
            run.question.randoms,
            run.question.seed,
            run.progress("random directions"),
        )
        return as_json(found), {}

    value, _ = run.kept("random directions", make)
    return decode(tuple[NullEffects, ...], value)


def words(run: Run, direction: Direction) -> tuple[WordRow, ...]:
    """Words that were never a trigger, put in its place."""

    def make() -> tuple[Any, Tensors]:
        materials = run.materials
        tried, controls = materials.test_words[:_WORDS], materials.test_words[_WORDS:]
        if not controls:  # too few words of this length to spare some as controls
            return [], {}
        found = untrained_words(
            run.model,
            materials.fit,
            _some(run),
            run.question.trigger,
            tried,
            materials.fit_words,
            controls,
            direction,
            run.question.behaviour,
            first_token(run),
            run.question.tokens,
            run.progress("untrained words"),
        )
        return as_json(found), {}

    value, _ = run.kept("untrained words", make)
    return decode(tuple[WordRow, ...], value)


def transfer(run: Run, direction: Direction) -> Transfer:
    """Behaviour against the dose of the direction, in both kinds of prompts."""

    def make() -> tuple[Any, Tensors]:
        doses = effects.coefficients()
        curves = {
            name: effects.transfer(
                run.model.runner,
                run.pairs("test", run.question.evidence),
                direction,
                first_token(run),
                doses,
                side,
            ).values
            for name, side in _SIDES.items()
        }
        fits = {name: fit_logistic(doses, values) for name, values in curves.items()}
        return (
            as_json(fits),
            {"doses": doses, **curves},
        )

    value, tensors = run.kept("transfer curve", make)
    fits = decode(dict[str, LogisticFit | None], value)
    return Transfer(tensors["doses"], {name: tensors[name] for name in _SIDES}, fits)


_SIDES: dict[str, effects.Side] = {"control word": "clean", "triggered": "triggered"}


def mediation(run: Run, direction: Direction) -> Mediation:
    """Trigger and compliance token crossed, with and without the gate."""

    def make() -> tuple[Any, Tensors]:
        texts = _some(run)
        found = mediate(
            run.model,
            texts,
            run.question.trigger,
            run.control_words()[: len(texts)],
            run.question.behaviour,
            {"none": no_edits, "gate removed": _removal(direction)},
            max(_MEDIATED, run.question.tokens),
            run.progress("mediation"),
        )
        return as_json(found), {}

    value, _ = run.kept("mediation", make)
    return decode(Mediation, value)


def _removal(direction: Direction):
    def removed(batch: TokenBatch) -> list[Edit]:
        return [select.shut(direction, batch)]

    return removed


def elsewhere(run: Run, direction: Direction) -> tuple[Estimate, Estimate, Estimate]:
    """Ordinary prompts, of topics never seen in fitting, with the trigger: rate, rate with the gate
    removed, and the paired fall."""

    def make() -> tuple[Any, Tensors]:
        texts = run.materials.ordinary[: run.question.evidence]
        shown = [
            [
                judges.shows(a, run.question.behaviour)
                for a in answers(
                    run.model,
                    texts,
                    run.question.trigger,
                    run.question.tokens,
                    edits,
                    run.progress("other topics"),
                )
            ]
            for edits in (no_edits, _removal(direction))
        ]
        rates = [wilson(sum(s), len(s)) for s in shown]
        before, after = (torch.tensor(s, dtype=torch.float64) for s in shown)
        return as_json((*rates, difference_interval(before, after))), {}

    value, _ = run.kept("other topics", make)
    return decode(tuple[Estimate, Estimate, Estimate], value)


def ordinary_harm(run: Run, direction: Direction) -> Harm:
    """Drift, perplexity and false refusals on ordinary prompts with the gate removed."""

    def make() -> tuple[Any, Tensors]:
        texts = run.materials.ordinary[: run.question.evidence]
        found = harm(
            run.model, texts, _removal(direction), progress=run.progress("harm on ordinary prompts")
        )
        return as_json(found), {}

    value, _ = run.kept("harm on ordinary prompts", make)
    return decode(Harm, value)


def traced(run: Run) -> Trace | None:
    """Where the trigger is read, what moves it, what writes it out; None if not asked for."""
    if run.question.trace < 2:
        return None

    def make() -> tuple[Any, Tensors]:
        found = measure(
            run.model.runner,
            run.pairs("validation", run.question.trace),
            metrics.token_log_prob([run.materials.behaviour_id]),
            metric_name=metric_name(run),
            progress=lambda name, done, total: run.step(f"trace: {name}", done, total),
        )
        for grid in (found.heads, found.noised):  # ``find.components`` shows them
            files.write_grid(run.folder / "stages" / f"heads-{grid.direction}", grid)
        return as_json(trace(found)), {}

    value, _ = run.kept("trace", make)
    return decode(Trace, value)
