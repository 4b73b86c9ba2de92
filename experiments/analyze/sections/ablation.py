"""Ablation: behaviour before and after, nulls, ways to erase it, the price."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from experiments.analyze.nulls import NullEffects
from experiments.analyze.read import AnalysisRun
from experiments.analyze.result import Ablation, Analysis, Erasure, Evidence, Outcome
from experiments.study import ABLATION as TITLE
from viz.figures.bars import BehaviourRow, behaviour_bars
from viz.figures.nulls import null_histogram
from viz.page.page import Section, Table
from viz.page.sections import for_each
from viz.page.wording import NONE


def ablating(runs: Sequence[AnalysisRun]) -> Section:
    """What removing the gate does."""
    made = for_each(TITLE, [(run.name, run) for run in runs], _one)
    lead = (_beside(runs),) if len(runs) > 1 else ()
    return replace(made, data_name="ablation", lead=lead)


def _beside(runs: Sequence[AnalysisRun]) -> Table:
    """A row per run: what removing and adding its gate does, and what it costs."""
    header = (
        "run",
        "triggered rate falls by (points)",
        "rate with the gate added",
        "drift on these prompts (nats)",
        "on ordinary prompts",
        "fall on other topics (points)",
        "largest fall, random direction",
    )
    return Table(header, [_figures(run) for run in runs], "ablation, run by run")


def _figures(run: AnalysisRun) -> tuple[str, ...]:
    ablation, evidence = run.result.ablation, run.result.evidence
    if ablation is None:
        return (run.name, *["no direction"] * 6)
    opened = ablation.outcome("control word", "gate added")
    harm = [f"{e:z.4f}" for e in ablation.harm.values()]
    best = [abs(v) for null in evidence.nulls for v in null.removed] if evidence else []
    return (
        run.name,
        f"{100 * ablation.removed:.0f}",
        f"{opened.behaviour:.0%p}" if opened else NONE,
        *(harm + [NONE] * 2)[:2],
        f"{100 * evidence.elsewhere[2]:.0f}" if evidence else NONE,
        f"{max(best):.3f}" if best else NONE,
    )


def _one(run: AnalysisRun) -> Section:
    result = run.result
    if result.ablation is None:
        return Section(TITLE, "No direction was chosen, so none was removed.")
    made = _ablation(result, result.ablation)
    if result.evidence is None:
        return made
    parts = (_nulls(result.evidence.nulls), _price(result.evidence))
    return Section(TITLE, made.prose, made.figures, made.tables, data_name="ablation", parts=parts)


def _ablation(result: Analysis, ablation: Ablation) -> Section:
    outcomes = (*result.behaviour.outcomes, *ablation.outcomes)
    harm = [
        (kind, f"{e.value:.4f}", f"[{e.low:.4f}, {e.high:.4f}]", str(e.n))
        for kind, e in ablation.harm.items()
    ]
    removed = ablation.removed
    prose = (
        "“Gate removed” projects the direction out at its layer in every token from the user's "
        "message on, generated ones too, with no knowledge of where a trigger is; the template's "
        "opening, equal in every prompt, is left alone. “Gate added” adds the mean shift at the "
        f"control word.\n\nRemoving it lowers the triggered rate by {100 * removed:.0f} points "
        f"(n={removed.n})."
    )
    rows = [
        (o.condition, o.edit, f"{o.behaviour:.1%p}", f"{o.refusal:.1%p}", str(o.behaviour.n))
        for o in outcomes
    ]
    return Section(
        TITLE,
        prose,
        (behaviour_bars([_row(o) for o in outcomes]),),
        (
            Table(("words", "edit", "behaviour", "refusal", "n"), rows),
            Table(("clean inputs", "KL (nats per token)", "95% interval", "n"), harm, "harm"),
        ),
    )


def _row(outcome: Outcome) -> BehaviourRow:
    return BehaviourRow(outcome.condition, outcome.edit, outcome.behaviour)


def _nulls(nulls: Sequence[NullEffects]) -> Section:
    prose = (
        "Each random direction has the gate's norm and takes its place: projected out of triggered "
        "prompts from the trigger on, or added at its token by the gate's own amount. One kind is "
        "uniform on the sphere, the other drawn with the activations' own covariance, so that it "
        "points where activations vary. Effects are on the probability of the first answer token."
    )
    figures = tuple(
        null_histogram(
            torch.tensor(null.removed, dtype=torch.float64),
            null.gate_removed,
            title=f"Removed: the gate beside {len(null.removed)} directions ({null.kind})",
            x_title="fall of the first token's probability",
        )
        for null in nulls
    )
    rows = [
        (
            null.kind,
            str(len(null.removed)),
            f"{max(map(abs, null.removed)):.3f}",
            f"{null.gate_removed:.3g}",
            f"{max(map(abs, null.added)):.3f}",
            f"{null.gate_added:.3g}",
            f"{null.cosine:.2f}",
        )
        for null in nulls
    ]
    header = (
        "directions",
        "number",
        "best removed",
        "gate removed",
        "best added",
        "gate added",
        "largest |cos|",
    )
    return Section(
        "Beside random directions", prose, figures, (Table(header, rows),), data_name="nulls"
    )


def _price(found: Evidence) -> Section:
    before, after, fall = found.elsewhere
    harm = found.harm
    prose = (
        "Directions were fitted on restricted prompts only. On ordinary prompts, of topics never "
        f"seen in fitting, the trigger shows the behaviour in {before:.0%pn}, and in "
        f"{after:.0%pn} with the gate removed, a fall of {100 * fall:.0f} points. The second table "
        "erases the one direction by several methods at its layer, from the trigger on."
    )
    rows = [
        ("drift of answers without trigger", f"{harm.kl:.3g} nats per token"),
        ("users' text, change of log-likelihood", f"{harm.nll_change:.3g} nats per token"),
        ("perplexity of users' text, after over before", f"{harm.perplexity_ratio:.3f}"),
        ("false refusals before", f"{harm.refused:.0%pn}"),
        ("false refusals after", f"{harm.refused_after:.0%pn}"),
        ("change of false refusals", f"{100 * harm.refusal_change:.0f} points"),
    ]
    table = Table(("ordinary prompts with the gate removed", "measured"), rows)
    return Section(
        "Other topics, the price, and ways to erase it",
        prose,
        tables=(table, _erasures(found.erasures)),
    )


def _erasures(erasures: Sequence[Erasure]) -> Table:
    rows = [(e.name, f"{e.left:z.3f}", f"{e.harm:z.4f}") for e in erasures]
    header = ("method", "first token left, triggered", "KL with control words (nats)")
    return Table(header, rows, "erasure at the gate's layer")
