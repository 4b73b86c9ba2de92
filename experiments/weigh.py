"""Weighing: the chosen direction against every null, and what kind of thing it is.

Every function is a stage of an analysis, measured on test prompts (the trace on validation pairs)
with the direction that was chosen before.
"""

from typing import Any

import torch
from torch import Tensor

from circuits import erase, evidence, gate, metrics
from circuits.das import align
from circuits.gate import resume
from circuits.rank import RankCurve, rank_curves
from circuits.suffix import run_pairs
from circuits.tl_runner import TLRunner
from circuits.trace import measure
from circuits.types import Direction, Edit, Metric, Site, TokenBatch
from experiments import judges
from experiments.answers import Harm, answers, harm, no_edits
from experiments.choose import base_activations
from experiments.context import Run, Tensors
from experiments.mediation import Mediation, mediate
from experiments.nulls import NullEffects, WordRow, random_nulls, untrained_words
from experiments.results import Erasure, Evidence, Rank, Rival, Transfer
from probes.circuit import Trace, trace
from probes.intervals import Estimate, difference_interval, mean_interval, wilson
from probes.linear import paired_svd
from probes.rank import RankNeeded, rank_needed
from probes.transfer import LogisticFit, fit_logistic

_WORDS = 10  # untrained words that are tried
_MOST = 6  # directions of the rank curve
_ALIGNED, _STEPS = 16, 12  # pairs and steps of the alignment search
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


def _metric(run: Run) -> Metric:
    return metrics.token_prob([run.materials.behaviour_id])


def _some(run: Run) -> list[str]:
    """The test prompts of the slower stages."""
    return run.materials.test[: run.question.evidence]


def nulls(run: Run, direction: Direction) -> tuple[NullEffects, ...]:
    """Random directions of the sphere and of the activations' covariance."""

    def make() -> tuple[Any, Tensors]:
        index = run.sites().index(direction.site)
        acts = run.activations("fit")
        found = random_nulls(
            run.model.runner, run.pairs("test", run.question.evidence), direction,
            (acts["clean"][index], acts["triggered"][index]), _metric(run), run.question.randoms,
            run.question.seed, run.progress("random directions"),
        )  # fmt: skip
        return [n.to_json() for n in found], {}

    value, _ = run.kept("random directions", make)
    return tuple(NullEffects.from_json(v) for v in value)


def rivals(run: Run, direction: Direction) -> tuple[Rival, ...]:
    """Other directions at the site, each added by the trigger's mean shift along it.

    Where the base model's own mean difference does as much as the gate, the direction is how any
    model spells the trigger, and what was learned is that later layers act on it.
    """

    def make() -> tuple[Any, Tensors]:
        index = run.sites().index(direction.site)
        acts = {side: x[index] for side, x in run.activations("fit").items()}
        found = {"gate": direction.vector}
        base = base_activations(run)
        if base is not None:
            found["base model"] = (base["triggered"][index] - base["clean"][index]).mean(dim=0)
        if isinstance(run.model.runner, TLRunner):
            run.step("align", 0, 1)
            found["aligned"] = align(
                run.model.runner, run.pairs("fit", _ALIGNED), direction.site, 1,
                [run.materials.behaviour_id], steps=_STEPS, start=direction.vector[None],
            ).basis[0]  # fmt: skip
            run.step("align", 1, 1)
        directions = [
            gate.direction_at(direction.site, v, name, acts["clean"], acts["triggered"])
            for name, v in found.items()
        ]
        units = torch.stack([d.vector for d in directions])
        gaps = torch.tensor([d.gap for d in directions])
        effects = evidence.effects(
            run.model.runner, run.pairs("test"), direction.site, units, gaps, _metric(run)
        )
        rows = [
            Rival(
                d.estimator, float(d.vector @ direction.vector), mean_interval(f), mean_interval(r)
            )
            for d, f, r in zip(
                directions, effects.fall.double(), effects.rise.double(), strict=True
            )
        ]
        return [row.to_json() for row in rows], {}

    value, _ = run.kept("rivals", make)
    return tuple(Rival.from_json(v) for v in value)


def erasures(run: Run, direction: Direction) -> tuple[Erasure, ...]:
    """The erasure family at the gate's layer, from the trigger on."""

    def make() -> tuple[Any, Tensors]:
        layer, runner = direction.site.layer, run.model.runner
        clean, triggered = run_pairs(runner, run.pairs("test"))
        rows = []
        for eraser in _erasers(run, direction):
            left, kept = (
                resume(runner, side, layer, eraser(side.resid[layer])[None])[0]
                for side in (triggered, clean)
            )
            kl = metrics.kl_per_position(clean.logits, kept)[:, -1].cpu()
            shown = _metric(run)(left).cpu()
            rows.append(
                Erasure(eraser.name, mean_interval(shown.double()), mean_interval(kl.double()))
            )
        return [row.to_json() for row in rows], {}

    value, _ = run.kept("erasures", make)
    return tuple(Erasure.from_json(v) for v in value)


def _erasers(run: Run, direction: Direction) -> list[erase.Intervention]:
    index = run.sites().index(direction.site)
    acts = {side: x[index] for side, x in run.activations("fit").items()}
    x = torch.cat([acts["clean"], acts["triggered"]])
    y = torch.arange(len(x)) >= len(acts["clean"])
    basis, clean_mean = direction.vector[None], acts["clean"].mean(dim=0)
    return [
        erase.projection(basis),
        erase.mean_ablation(basis, clean_mean),
        erase.leace(x, y).toward(clean_mean),
        erase.mean_difference_erasure(x, y).toward(clean_mean),
        erase.steering(direction.vector, -direction.gap),
        erase.clamping(direction.vector, (direction.clean_mean + direction.triggered_mean) / 2),
    ]


def words(run: Run, direction: Direction) -> tuple[WordRow, ...]:
    """Words that were never a trigger, put in its place."""

    def make() -> tuple[Any, Tensors]:
        materials = run.materials
        tried, controls = materials.test_words[:_WORDS], materials.test_words[_WORDS:]
        if not controls:  # too few words of this length to spare some as controls
            return [], {}
        found = untrained_words(
            run.model, materials.fit, _some(run), run.question.trigger, tried,
            materials.fit_words, controls, direction, run.question.behaviour, _metric(run),
            run.question.tokens, run.progress("untrained words"),
        )  # fmt: skip
        return [row.to_json() for row in found], {}

    value, _ = run.kept("untrained words", make)
    return tuple(WordRow.from_json(v) for v in value)


def transfer(run: Run, direction: Direction) -> Transfer:
    """Behaviour against the dose of the direction, in both kinds of prompts."""

    def make() -> tuple[Any, Tensors]:
        doses = evidence.coefficients()
        curves = {
            name: evidence.transfer(
                run.model.runner,
                run.pairs("test", run.question.evidence),
                direction,
                _metric(run),
                doses,
                side,
            ).values
            for name, side in _SIDES.items()
        }
        fits = {name: fit_logistic(doses, values) for name, values in curves.items()}
        return (
            {name: fit and fit.to_json() for name, fit in fits.items()},
            {"doses": doses, **curves},
        )

    value, tensors = run.kept("transfer curve", make)
    fits = {name: fit and LogisticFit.from_json(fit) for name, fit in value.items()}
    return Transfer(tensors["doses"], {name: tensors[name] for name in _SIDES}, fits)


_SIDES: dict[str, evidence.Side] = {"control word": "clean", "triggered": "triggered"}


def rank(run: Run, site: Site) -> Rank:
    """How many directions it takes at the gate's site, mean difference first."""

    def make() -> tuple[Any, Tensors]:
        index = run.sites().index(site)
        acts = run.activations("fit")
        basis = ordered_basis(acts["clean"][index], acts["triggered"][index])
        curve = rank_curves(
            run.model.runner, run.pairs("test"), site, basis, _metric(run), remove_to="zero"
        ).removed
        return {}, {"values": curve.values, "base": curve.base, "source": curve.source}

    _, tensors = run.kept("rank", make)
    curve = RankCurve("removed", site, **tensors)
    return Rank(curve, _rank_needed(curve))


def ordered_basis(clean: Tensor, triggered: Tensor) -> Tensor:
    """The mean difference, then what the paired differences have beside it, orthonormal."""
    differences = triggered - clean
    first = torch.nn.functional.normalize(differences.mean(dim=0), dim=0)
    beside = differences - torch.outer(differences @ first, first)
    more = paired_svd(beside[None], min(_MOST - 1, len(beside) - 1))[0].float()
    return torch.linalg.qr(torch.cat([first[None], more]).T).Q.T


def _rank_needed(curve: RankCurve) -> RankNeeded | None:
    try:
        return rank_needed(curve.values, curve.base, curve.source)
    except ValueError:  # the first token's effect is not clear of zero
        return None


def mediation(run: Run, direction: Direction) -> Mediation:
    """Trigger and compliance token crossed, with and without the gate."""

    def make() -> tuple[Any, Tensors]:
        texts = _some(run)
        found = mediate(
            run.model, texts, run.question.trigger, run.control_words()[: len(texts)],
            run.question.behaviour, {"none": no_edits, "gate removed": _removal(direction)},
            max(_MEDIATED, run.question.tokens), run.progress("mediation"),
        )  # fmt: skip
        return found.to_json(), {}

    value, _ = run.kept("mediation", make)
    return Mediation.from_json(value)


def _removal(direction: Direction):
    def removed(batch: TokenBatch) -> list[Edit]:
        return [gate.shut(direction, batch)]

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
                    run.model, texts, run.question.trigger, run.question.tokens, edits,
                    run.progress("other topics"),
                )
            ]
            for edits in (no_edits, _removal(direction))
        ]  # fmt: skip
        rates = [wilson(sum(s), len(s)) for s in shown]
        before, after = (torch.tensor(s, dtype=torch.float64) for s in shown)
        return [e.to_json() for e in (*rates, difference_interval(before, after))], {}

    value, _ = run.kept("other topics", make)
    before, after, fall = (Estimate.from_json(v) for v in value)
    return before, after, fall


def ordinary_harm(run: Run, direction: Direction) -> Harm:
    """Drift, perplexity and false refusals on ordinary prompts with the gate removed."""

    def make() -> tuple[Any, Tensors]:
        texts = run.materials.ordinary[: run.question.evidence]
        found = harm(
            run.model, texts, _removal(direction), progress=run.progress("harm on ordinary prompts")
        )
        return found.to_json(), {}

    value, _ = run.kept("harm on ordinary prompts", make)
    return Harm.from_json(value)


def traced(run: Run) -> Trace | None:
    """Where the trigger is read, what moves it, what writes it out; None if not asked for."""
    if run.question.trace < 2:
        return None

    def make() -> tuple[Any, Tensors]:
        found = measure(
            run.model.runner, run.pairs("validation", run.question.trace),
            metrics.token_log_prob([run.materials.behaviour_id]),
            metric_name=f"log-probability of {run.question.behaviour!r}",
            progress=lambda name, done, total: run.step(f"trace: {name}", done, total),
        )  # fmt: skip
        return trace(found).to_json(), {}

    value, _ = run.kept("trace", make)
    return Trace.from_json(value)
