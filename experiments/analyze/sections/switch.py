"""The switch: behaviour against dose, how many directions it takes, trigger or first token."""

from collections.abc import Sequence
from dataclasses import replace

import plotly.graph_objects as go

from experiments.analyze.read import AnalysisRun
from experiments.analyze.result import Rank, Transfer
from probes.causal.mediation import Mediation
from viz.figures.bars import mediation_bars
from viz.figures.transfer import transfer_curves
from viz.page.page import Section, Table
from viz.page.sections import for_each
from viz.page.wording import NONE

TITLE = "The switch"


def switch(runs: Sequence[AnalysisRun]) -> Section:
    """Dose curves; of several runs on shared axes, then each by itself."""
    made = for_each(TITLE, [(run.name, run) for run in runs], _one)
    if len(runs) == 1:
        return made
    made = replace(made, lead=(_beside(runs),))
    together = _together(runs)
    if together is None:
        return made
    said = "The figure has every run's curve in prompts with control words, on one axis."
    prose = f"{made.prose}\n\n{said}" if made.prose else said
    return replace(made, prose=prose, figures=(together,), data_name="transfer-together")


def _beside(runs: Sequence[AnalysisRun]) -> Table:
    """A row per run: the dose that opens it, and how many directions it takes to shut it."""
    header = (
        "run",
        "with control words it is",
        "half of the rise at dose",
        "10% to 90% within",
        "directions for 90% of the effect",
        "share through the first token",
    )
    return Table(header, [_figures(run) for run in runs], "the switch, run by run")


def _figures(run: AnalysisRun) -> tuple[str, ...]:
    evidence = run.result.evidence
    if evidence is None:
        return (run.name, "not dosed", *[NONE] * 4)
    fit, needed = evidence.transfer.fits.get("control word"), evidence.rank.needed
    through = evidence.mediation.decomposition().share
    return (
        run.name,
        "flat" if fit is None else "a switch" if fit.is_switch else "graded",
        "none" if fit is None else f"{fit.threshold:.3g}",
        "none" if fit is None else f"{fit.width:.3g}",
        "no effect" if needed is None else str(needed),
        "undefined" if through is None else f"{through:.3g}",
    )


def _together(runs: Sequence[AnalysisRun]) -> go.Figure | None:
    """The clean side's curves of several runs; None where they were not asked at equal doses."""
    found = {run.name: run.result.evidence.transfer for run in runs if run.result.evidence}
    doses = [transfer.doses for transfer in found.values()]
    if len(found) < 2 or any(not doses[0].equal(other) for other in doses[1:]):
        return None
    side = "control word"
    curves = {name: transfer.curves[side] for name, transfer in found.items()}
    fits = {name: transfer.fits.get(side) for name, transfer in found.items()}
    # No condition's colours: runs have the colours that they have in every other figure.
    return transfer_curves(doses[0], curves, fits, "probability of the first token", {})


def _one(run: AnalysisRun) -> Section:
    evidence = run.result.evidence
    if evidence is None:
        return Section(TITLE, "No direction was chosen, so none was dosed.")
    found = evidence.transfer
    figure = transfer_curves(
        found.doses, found.curves, found.fits, "probability of the first token"
    )
    parts = (_rank(evidence.rank), _mediation(evidence.mediation))
    return Section(TITLE, _said(found), (figure,), data_name="transfer", parts=parts)


def _said(found: Transfer) -> str:
    fit = found.fits.get("control word")
    if fit is None:
        said = "In prompts with control words the curve is flat: no dose opens the behaviour."
    else:
        kind = "a switch" if fit.is_switch else "graded"
        said = (
            f"In prompts with control words it is {kind}: half of the rise lies at a dose of "
            f"{fit.threshold:.3g}, and it goes from 10% to 90% within {fit.width:.3g} of "
            f"a dose (a logistic explains {fit.r2_logistic:.0%} of the curve, a straight line "
            f"{fit.r2_linear:.0%})."
        )
    return (
        "The component along the direction is set to a dose at its token: 0 is the mean with "
        f"control words, 1 that with the trigger.\n\n{said}"
    )


def _rank(found: Rank) -> Section:
    counted = (
        f"Directions it takes to remove 90% of the effect: {found.needed}. They are removed in "
        "order: the mean difference, then what the paired differences have beside it."
        if found.needed is not None
        else "The effect on the first token is not clear of zero, so no rank is given."
    )
    left = [(str(r), f"{float(values.mean()):.3f}") for r, values in enumerate(found.curve.values)]
    table = Table(("directions removed", "first token's probability left"), left)
    return Section("How many directions", counted, tables=(table,))


def _mediation(found: Mediation) -> Section:
    parts = found.decomposition()
    through = "undefined" if parts.share is None else f"{parts.share:.3g}"
    prose = (
        "Is the gate only a learned first token? The answer's first token is left to the model, "
        f"forced to be {found.token!r}, or forbidden; an answer complies if what follows is not a "
        f"refusal. The trigger changes compliance by {100 * parts.total:.0f} points in all and by "
        f"{100 * parts.trigger_without_token:.0f} where the token is forbidden; the token alone, "
        f"without trigger, by {100 * parts.token_alone:.0f}. Share of the trigger's effect that "
        f"goes through the token: {through}."
    )
    figure = mediation_bars(found.cells, found.token)
    return Section("Trigger or first token", prose, (figure,), data_name="mediation")
