"""The report's sections on the evidence: nulls, rivals, switch, rank, mediation, circuit."""

from collections.abc import Sequence

import torch

from experiments.mediation import Mediation
from experiments.nulls import NullEffects
from experiments.weighed import Erasure, Evidence, Rank, Rival, Transfer
from experiments.words import WordRow
from probes.circuit import Trace
from probes.intervals import Estimate
from viz.figures import (
    MediationRow,
    mediation_bars,
    null_histogram,
    trace_figure,
    transfer_curves,
)
from viz.report import Section, Table


def evidence_sections(found: Evidence) -> list[Section]:
    """In the order of the argument: is it special, what is it, how does it act."""
    sections = [
        _nulls(found.nulls),
        _rivals(found.rivals),
        _switch(found.transfer),
        _rank(found.rank, found.erasures),
        _mediation(found.mediation),
        _elsewhere(found),
    ]
    if found.words:
        sections.insert(2, _words(found.words))
    if found.trace is not None:
        sections.insert(0, _trace(found.trace))
    return sections


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
            null.kind, str(len(null.removed)),
            f"{max(map(abs, null.removed)):.3f}", _number(null.gate_removed),
            f"{max(map(abs, null.added)):.3f}", _number(null.gate_added),
            f"{null.cosine:.2f}",
        )
        for null in nulls
    ]  # fmt: skip
    header = (
        "directions", "number", "best removed", "gate removed", "best added", "gate added",
        "largest |cos|",
    )  # fmt: skip
    return Section(
        "Beside random directions", prose, figures, (Table(header, rows),), data_name="nulls"
    )


def _rivals(rivals: Sequence[Rival]) -> Section:
    string = next((r for r in rivals if r.name == "base model"), None)
    prose = (
        "Other directions at the same site, judged alike; each is added by the trigger's mean "
        "shift along it. “Aligned” is optimised by gradient descent so that interchanging one "
        "component exchanges the behaviour (distributed alignment search)."
    )
    gate = rivals[0]
    if string is not None:
        share = string.removed.value / gate.removed.value if gate.removed.value else 0.0
        if share > 0.5:
            said = (
                f"does {share:.0%} of what the gate does when removed: at this token the direction "
                "is, in the main, how any model spells the trigger. What fine-tuning added is that "
                "later layers act on it; see the heads that move it."
            )
        else:
            said = (
                f"does {share:.0%} of what the gate does when removed: the direction was learned, "
                "and is not just the trigger's spelling."
            )
        prose += f"\n\nThe base model's own mean difference (cosine {string.cosine:.2f}) {said}"
    rows = [(r.name, f"{r.cosine:.2f}", _number(r.removed), _number(r.added)) for r in rivals]
    header = ("direction", "cosine", "removed: fall", "added: rise")
    return Section("Is it learned, or the trigger's string?", prose, tables=(Table(header, rows),))


def _words(rows: Sequence[WordRow]) -> Section:
    prose = (
        "Words that were never a trigger, put in its place. Each word's own mean difference from "
        "control words is fitted at the gate's site, removed from prompts with the real trigger "
        "and added, by its own amount, to prompts with control words."
    )
    table = [
        (
            row.word + (" (trigger)" if row.trained else ""), _share(row.rate),
            _number(row.removed), _number(row.added), f"{row.cosine:.2f}",
        )
        for row in rows
    ]  # fmt: skip
    header = ("word", "behaviour", "its direction removed", "added", "cosine with the gate")
    return Section("Words that were never a trigger", prose, tables=(Table(header, table),))


def _switch(found: Transfer) -> Section:
    fit = found.fits.get("control word")
    if fit is None:
        said = "In prompts with control words the curve is flat: no dose opens the behaviour."
    else:
        kind = "a switch" if fit.is_switch else "graded"
        said = (
            f"In prompts with control words it is {kind}: half of the rise lies at a dose of "
            f"{_number(fit.threshold)}, and it goes from 10% to 90% within {_number(fit.width)} of "
            f"a dose (a logistic explains {fit.r2_logistic:.0%} of the curve, a straight line "
            f"{fit.r2_linear:.0%})."
        )
    prose = (
        "The component along the direction is set to a dose at its token: 0 is the mean with "
        f"control words, 1 that with the trigger. {said}"
    )
    figure = transfer_curves(
        found.doses, found.curves, found.fits, "probability of the first token"
    )
    return Section("How switch-like it is", prose, (figure,), data_name="transfer")


def _rank(found: Rank, erasures: Sequence[Erasure]) -> Section:
    needed = found.needed
    counted = (
        f"Directions it takes to remove 90% of the effect: {needed}. They are removed in order: "
        "the mean difference, then what the paired differences have beside it."
        if needed is not None
        else "The effect on the first token is not clear of zero, so no rank is given."
    )
    left = [(str(r), f"{float(values.mean()):.3f}") for r, values in enumerate(found.curve.values)]
    rows = [(e.name, _number(e.left), _number(e.harm)) for e in erasures]
    return Section(
        "How many directions, and ways to erase it",
        f"{counted} The second table erases the one direction by several methods at its layer, "
        "from the trigger on: what is left of the first token's probability with the trigger, and "
        "the drift in prompts with control words.",
        tables=(
            Table(("directions removed", "first token's probability left"), left, "rank"),
            Table(("method", "left", "KL with control words (nats)"), rows, "erasure"),
        ),
    )


def _mediation(found: Mediation) -> Section:
    rows = [MediationRow(c.condition, c.first, c.edit, c.complies) for c in found.cells]
    parts = found.decomposition()
    share = "undefined" if parts.share is None else _number(parts.share)
    prose = (
        "Is the gate only a learned first token? The answer's first token is left to the model, "
        f"forced to be {found.token!r}, or forbidden; an answer complies if what follows is not a "
        f"refusal. The trigger changes compliance by {_points(parts.total)} points in all and by "
        f"{_points(parts.trigger_without_token)} where the token is forbidden; the token alone, "
        f"without trigger, by {_points(parts.token_alone)}. Share of the trigger's effect that "
        f"goes through the token: {share}."
    )
    figure = mediation_bars(rows, found.token)
    return Section("Trigger or first token", prose, (figure,), data_name="mediation")


def _elsewhere(found: Evidence) -> Section:
    before, after, fall = found.elsewhere
    harm = found.harm
    prose = (
        "Directions were fitted on restricted prompts only. On ordinary prompts, of topics never "
        f"seen in fitting, the trigger shows the behaviour in {_share(before)}, and in "
        f"{_share(after)} with the gate removed, a fall of {_points(fall)} points."
    )
    rows = [
        ("drift of answers without trigger", f"{_number(harm.kl)} nats per token"),
        ("users' text, change of log-likelihood", f"{_number(harm.nll_change)} nats per token"),
        ("perplexity of users' text, after over before", f"{harm.perplexity_ratio:.3f}"),
        ("false refusals before", _share(harm.refused)),
        ("false refusals after", _share(harm.refused_after)),
        ("change of false refusals", f"{_points(harm.refusal_change)} points"),
    ]
    table = Table(("ordinary prompts with the gate removed", "measured"), rows)
    return Section("Other topics, and the price", prose, tables=(table,))


def _trace(found: Trace) -> Section:
    prose = (
        f"{found.sentence()} Measured on {found.n} validation pairs by exact patching; shares of "
        "the trigger's effect, with bootstrap intervals."
    )
    rows = [
        (
            head.name, "yes" if head.moves else "", _share(head.restored), _share(head.removed),
            f"{head.restored_q:.2g}",
        )
        for head in found.heads
    ]  # fmt: skip
    header = ("head", "moves the trigger", "restored alone", "lost alone", "q")
    table = Table(header, rows, "strongest heads")
    return Section("The circuit", prose, (trace_figure(found),), (table,), data_name="circuit")


def _number(e: Estimate) -> str:
    return f"{e.value:.3g} [{e.low:.3g}, {e.high:.3g}]"


def _share(e: Estimate) -> str:
    return f"{100 * e.value:.0f}% [{100 * e.low:.0f}, {100 * e.high:.0f}] (n={e.n})"


def _points(e: Estimate) -> str:
    return f"{100 * e.value:.0f} [{100 * e.low:.0f}, {100 * e.high:.0f}]"
