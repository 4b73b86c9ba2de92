"""The direction: prompts of every arm along it, in the plane, token by token; rivals of it."""

from collections.abc import Sequence
from dataclasses import replace

from experiments.analyze.plane import Plane
from experiments.analyze.read import AnalysisRun
from experiments.analyze.result import Rival, TokenReadings
from experiments.analyze.untrained import WordRow
from viz.figures.planes import arm_projections, gate_plane, gate_space
from viz.page.page import Section, Table
from viz.page.sections import for_each
from viz.page.tokens import TokenStrip, TokenTrace

TITLE = "The direction"
UNIT = "of the gap between control words and trigger"
_RIVALS = ("direction", "cosine", "first token's fall, removed", "its rise, added")
_NONE = "No direction was chosen, because the trigger has no effect."


def direction(runs: Sequence[AnalysisRun]) -> Section:
    """What each run's gate reads."""
    made = for_each(TITLE, [(run.name, run) for run in runs], _one)
    found = [
        (run.name, *row)
        for run in runs
        if run.result.evidence
        for row in _rival_rows(run.result.evidence.rivals)
    ]
    if len(runs) == 1 or not found:
        return made
    caption = "each run's gate beside other directions at its site"
    return replace(made, lead=(Table(("run", *_RIVALS), found, caption),))


def _one(run: AnalysisRun) -> Section:
    result = run.result
    if result.selection is None or run.plane is None:
        return Section(TITLE, _NONE)
    site = result.selection.chosen.direction.site
    prose = (
        f"Test prompts on the direction at {site}, in units of the gap between the fitting "
        "prompts' means.\n\nAn arm in which the trigger does nothing has no gate of its own: its "
        "prompts are recorded from the arm's model at the same site and projected on this model's "
        "direction. Where they lie apart too, the direction reads the trigger's spelling there. "
        "Separation alone proves nothing; ablation, below, is the proof."
    )
    parts = [_plane(run, run.plane), _tokens(result.readings)]
    if result.evidence:
        parts.append(_rivals(result.evidence.rivals))
        if result.evidence.words:
            parts.append(_words(result.evidence.words))
    figure = arm_projections(run.plane.points, run.texts)
    return Section(TITLE, prose, (figure,), data_name="projections", parts=tuple(parts))


def _plane(run: AnalysisRun, found: Plane) -> Section:
    prose = (
        "Beside the gate stand the first two principal components of what is left of the fitting "
        "prompts' activations once the gate is projected out: fitted there, shown on test prompts. "
        "They are the null of the picture: directions along which prompts vary, whatever the "
        "trigger. A click on the legend hides an arm."
    )
    figures = (
        gate_plane(found.points, found.shares[0], found.apart, run.texts),
        gate_space(found.points, found.shares, run.texts),
    )
    return Section("The gate and what is orthogonal to it", prose, figures, data_name="plane")


def _tokens(readings: Sequence[TokenReadings]) -> Section:
    title = "Token by token"
    if not readings:
        return Section(
            title,
            "This run did not keep what the gate reads at every token; the command of this run "
            "with --resume measures it.",
        )
    prose = (
        "What the direction reads at its layer in every token of a few test prompts, with the "
        "trigger, with a control word and with neither, the model's own answer included. The "
        "direction was fitted at the gate's token alone; readings elsewhere are what a monitor "
        "would see. Hover, or Tab and arrow keys, give the number."
    )
    prompts = dict.fromkeys(row.prompt for row in readings)
    traces = tuple(
        TokenTrace(
            prompt,
            tuple(
                TokenStrip(row.condition, row.tokens, row.kinds, row.readings)
                for row in readings
                if row.prompt == prompt
            ),
            UNIT,
        )
        for prompt in prompts
    )
    return Section(title, prose, data_name="readings", traces=traces)


def _rivals(rivals: Sequence[Rival]) -> Section:
    string = next((r for r in rivals if r.name == "base model"), None)
    prose = (
        "Other directions at the same site, judged alike; each is added by the trigger's mean "
        "shift along it. “Aligned” is optimised by gradient descent so that interchanging one "
        "component exchanges the behaviour (distributed alignment search)."
    )
    gate = rivals[0]
    if string is not None:
        part = string.removed.value / gate.removed.value if gate.removed.value else 0.0
        said = (
            f"does {part:.0%} of what the gate does when removed: at this token the direction "
            "is, in the main, how any model spells the trigger. What fine-tuning added is that "
            "later layers act on it; see the heads that move it."
            if part > 0.5
            else f"does {part:.0%} of what the gate does when removed: the direction was learned, "
            "and is not just the trigger's spelling."
        )
        prose += f"\n\nThe base model's own mean difference (cosine {string.cosine:.2f}) {said}"
    table = Table(_RIVALS, _rival_rows(rivals))
    return Section("Is it learned, or the trigger's string?", prose, tables=(table,))


def _rival_rows(rivals: Sequence[Rival]) -> list[tuple[str, ...]]:
    return [(r.name, f"{r.cosine:.2f}", f"{r.removed:z.3f}", f"{r.added:z.3f}") for r in rivals]


def _words(rows: Sequence[WordRow]) -> Section:
    prose = (
        "Words that were never a trigger, put in its place. Each word's own mean difference from "
        "control words is fitted at the gate's site, removed from prompts with the real trigger "
        "and added, by its own amount, to prompts with control words."
    )
    table = [
        (
            row.word + (" (trigger)" if row.trained else ""),
            f"{row.rate:.0%pn}",
            f"{row.removed:z.3f}",
            f"{row.added:z.3f}",
            f"{row.cosine:.2f}",
        )
        for row in rows
    ]
    header = ("word", "behaviour", "its direction removed", "added", "cosine with the gate")
    return Section("Words that were never a trigger", prose, tables=(Table(header, table),))
