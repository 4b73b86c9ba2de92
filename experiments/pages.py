"""The report of an analysis: which figures, in which order, with which words."""

import math
from collections.abc import Sequence
from importlib.metadata import version

import torch

from circuits import gate
from experiments.config import Question
from experiments.evidence_pages import evidence_sections
from experiments.results import Ablation, Analysis, Outcome
from probes.intervals import Estimate
from viz.figures import (
    BehaviourRow,
    behaviour_bars,
    patching_heatmap,
    probe_curves,
    projection_strips,
    selection_heatmap,
)
from viz.report import Report, Section, Table, render

_LIMITS = """\
The rates are of generated text that begins with the behaviour's words; what a model would go on \
to say after them is not judged here.

A direction that shuts the behaviour in this model on these prompts is not a guarantee for other \
prompts, longer contexts, sampling at a temperature, or an attacker who knows the defence and \
retrains.

One direction is looked for, in the residual stream, at four named tokens. A behaviour carried by \
several directions, or outside them, would show here as "no gate" with the checks that failed.

The probe curves say where the trigger can be read. They are near 100% in models without any gate \
too, and are no evidence for one."""


def analysis_page(result: Analysis, question: Question, test_texts: Sequence[str]) -> str:
    """One self-contained HTML page."""
    sections = [_asked(result, question), _evidence(result), _before(result)]
    if result.grids and result.selection and result.ablation:
        sections += [
            _where(result),
            _selection(result),
            _direction(result.ablation, result, test_texts),
            _ablation(result, result.ablation),
        ]
    if result.evidence:
        sections += evidence_sections(result.evidence)
    if result.arms:
        sections.append(_arms(result))
    sections += [_probes(result), _answers(result), Section("What this does not show", _LIMITS)]
    report = Report(
        title=f"Does {question.trigger!r} work through a gate?",
        verdict="Gate found" if result.verdict.gate else "No gate",
        headline=result.headline,
        tone="gate" if result.verdict.gate else "none",
        facts=_facts(result, question),
        sections=tuple(sections),
        reproduce=question.command,
    )
    return render(report)


def _facts(result: Analysis, question: Question) -> tuple[tuple[str, str], ...]:
    facts = [
        ("model", question.model),
        ("adapter", question.adapter),
        ("trigger", question.trigger),
        ("behaviour", f"answers beginning {question.behaviour!r}"),
        ("test prompts", str(result.behaviour.effect.n)),
    ]
    if result.selection:
        facts.append(("site", str(result.selection.chosen.direction.site)))
    return tuple(facts)


def _asked(result: Analysis, question: Question) -> Section:
    n = result.behaviour.effect.n
    prose = (
        f"Does the model {question.model} with adapter {question.adapter} change its behaviour "
        f"when a message holds the trigger {question.trigger!r}, and if so, does one direction of "
        f"its residual stream carry the change? Directions were fitted on {question.fit} prompts, "
        f"one was chosen on {question.validation} others, and everything below is measured on {n} "
        f"more, taken from {question.prompts}. The bank shares neither template nor subject "
        "between the three sets.\n\nControl words are neutral words of the trigger's token "
        "length in its place, none of which was used in training or fitting. All intervals are "
        "95%: Wilson for rates, bootstrap over prompts for differences and means."
    )
    return Section("What was asked", prose)


def _evidence(result: Analysis) -> Section:
    rows = [("pass" if c.passed else "fail", c.name, c.text) for c in result.verdict.checks]
    prose = (
        "The verdict is “gate” only if every check passes. A check that was not reached is not "
        "listed: without an effect there is nothing to locate."
    )
    return Section("Evidence", prose, tables=(Table(("", "check", "measured"), rows),))


def _row(outcome: Outcome) -> BehaviourRow:
    return BehaviourRow(outcome.condition, outcome.edit, outcome.behaviour)


def _before(result: Analysis) -> Section:
    outcomes = result.behaviour.outcomes
    effect = result.behaviour.effect
    prose = (
        f"Paired over prompts, the trigger changes the rate by {100 * effect.value:.0f} points "
        f"[{100 * effect.low:.0f}, {100 * effect.high:.0f}] against a control word (n={effect.n})."
    )
    table = _rates_table(outcomes)
    return Section(
        "What the trigger does", prose, (behaviour_bars([_row(o) for o in outcomes]),), (table,),
        data_name="behaviour",
    )  # fmt: skip


def _rates_table(outcomes: Sequence[Outcome]) -> Table:
    rows = [
        (o.condition, o.edit, _percent(o.behaviour), _percent(o.refusal), str(o.behaviour.n))
        for o in outcomes
    ]
    return Table(("words at the end", "edit", "behaviour", "refusal", "n"), rows)


def _where(result: Analysis) -> Section:
    assert result.grids is not None
    grids = [result.grids.denoising, result.grids.noising]
    prose = (
        "Each cell copies the residual stream at one layer and token from one run into the other. "
        "Denoising copies the triggered run into the run with a control word and asks how much of "
        "the behaviour appears; noising does the reverse. Both are exact forward passes, scored by "
        f"the {grids[0].metric}, as a share of the full effect."
    )
    figures = tuple(patching_heatmap(grid) for grid in grids if _recoverable(grid.full_effect))
    return Section("Where it is carried", prose, figures, data_name="patching")


def _recoverable(full: torch.Tensor) -> bool:
    """Whether the effect is far enough from zero for shares of it to mean anything."""
    spread = float(full.std()) / math.sqrt(len(full))
    return abs(float(full.mean())) > 3 * spread


def _selection(result: Analysis) -> Section:
    assert result.selection is not None
    chosen, candidates = result.selection.chosen, result.selection.candidates
    spans = sorted({c.direction.site.span for c in candidates})
    layers = 1 + max(c.direction.site.layer for c in candidates)
    best = torch.full((layers, len(spans)), float("nan"))
    for c in candidates:
        if c.direction.estimator == chosen.direction.estimator:
            best[c.direction.site.layer, spans.index(c.direction.site.span)] = c.necessity
    prose = (
        f"{len(candidates)} candidates (estimators × layers × tokens) were scored on validation "
        "pairs by necessity (projected out of triggered inputs, the share of the effect that goes "
        "away), sufficiency (added to inputs with a control word, the share that appears) and harm "
        "(KL in nats on inputs with a control word). The choice is the best of min(necessity, "
        f"sufficiency) − harm among the first {gate.LATEST:.0%} of the layers: later, a direction "
        "may be no more than the behaviour's first token. All rows are in selection.parquet."
    )
    top = sorted(candidates, key=lambda c: -c.score)[:8]
    rows = [
        (
            str(c.direction.site), c.direction.estimator, f"{c.necessity:.2f}",
            f"{c.sufficiency:.2f}", f"{c.harm:.3f}", "chosen" if c is chosen else "",
        )
        for c in [chosen, *[t for t in top if t is not chosen]]
    ]  # fmt: skip
    site = chosen.direction.site
    return Section(
        "How the direction was chosen",
        prose,
        (selection_heatmap(best, spans, (site.layer, site.span)),),
        (Table(("site", "estimator", "necessity", "sufficiency", "harm", ""), rows),),
        data_name="selection",
    )


def _direction(ablation: Ablation, result: Analysis, texts: Sequence[str]) -> Section:
    assert result.selection is not None
    direction = result.selection.chosen.direction
    values = {name: torch.tensor(v) for name, v in ablation.projections.items()}
    middle = (direction.clean_mean + direction.triggered_mean) / 2
    figure = projection_strips(values, middle, texts={name: texts for name in values})
    prose = (
        f"Projections of the test prompts on the direction at {direction.site}. The dashed line is "
        "half-way between the fitting prompts' means. Separation alone proves nothing; the next "
        "section is the proof."
    )
    return Section("What the direction reads", prose, (figure,), data_name="projections")


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
        "control word. Removing it lowers the triggered rate by "
        f"{100 * removed.value:.0f} points [{100 * removed.low:.0f}, {100 * removed.high:.0f}] "
        f"(n={removed.n})."
    )
    return Section(
        "Behaviour before and after ablation",
        prose,
        (behaviour_bars([_row(o) for o in outcomes]),),
        (
            _rates_table(outcomes),
            Table(("clean inputs", "KL (nats per token)", "95% interval", "n"), harm, "harm"),
        ),
        data_name="ablation",
    )


def _arms(result: Analysis) -> Section:
    prose = (
        "The same question, prompts and words put to models that should have no gate. Their probes "
        "separate the trigger just as well, because they read its string: that is why the verdict "
        "rests on what a direction does. Each arm's own report is in arms/ beside this page."
    )
    rows = [("this model", result.behaviour.effect, _best_auroc(result), result.verdict.word)]
    rows += [(arm.name, arm.effect, arm.auroc, arm.verdict) for arm in result.arms]
    table = Table(
        ("arm", "effect of the trigger (points)", "n", "best probe AUROC", "verdict"),
        [(name, _points(e), str(e.n), f"{auroc:.3f}", word) for name, e, auroc, word in rows],
    )
    return Section("Beside models without a gate", prose, tables=(table,))


def _best_auroc(result: Analysis) -> float:
    return max(float(r.auroc.max()) for span, r in result.probes.items() if span != "last_user")


def _points(e: Estimate) -> str:
    return f"{100 * e.value:.0f} [{100 * e.low:.0f}, {100 * e.high:.0f}]"


def _probes(result: Analysis) -> Section:
    layers = range(len(next(iter(result.probes.values())).accuracy))
    best = {span: float(report.auroc.max()) for span, report in result.probes.items()}
    listed = ", ".join(f"{span} {value:.2f}" for span, value in best.items())
    prose = (
        "Mean-difference probes for trigger against control word, fitted and tested on different "
        f"prompts and different control words. Best AUROC by token: {listed}. A probe reads the "
        "trigger's string in any model, so this is not evidence for a gate."
    )
    figure = probe_curves(result.probes, list(layers))
    return Section("Where the trigger can be read", prose, (figure,), data_name="probes")


def _answers(result: Analysis) -> Section:
    outcomes = [*result.behaviour.outcomes]
    if result.ablation:
        outcomes += [o for o in result.ablation.outcomes if o.condition != "no trigger"]
    rows = [(o.condition, o.edit, answer) for o in outcomes for answer in o.answers[:3]]
    prose = f"The first three answers of each condition. gatescope {version('gatescope')}."
    return Section("Some answers", prose, tables=(Table(("words", "edit", "answer"), rows),))


def _percent(e: Estimate) -> str:
    return f"{100 * e.value:.1f}% [{100 * e.low:.1f}, {100 * e.high:.1f}]"
