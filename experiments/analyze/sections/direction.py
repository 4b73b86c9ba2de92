"""The direction: prompts of every arm along it, in the plane, token by token; rivals of it."""

from collections.abc import Callable, Iterator, Sequence

from experiments.analyze.outcomes import TokenReadings
from experiments.analyze.plane import Plane
from experiments.analyze.read import AnalysisRun
from experiments.analyze.result import Rival
from experiments.analyze.untrained import WordRow
from viz.figures.planes import arm_projections, gate_plane, gate_space
from viz.page.page import Section, Table, tabulate
from viz.page.sections import for_each
from viz.page.tokens import TokenStrip, TokenTrace

TITLE = "The direction"
UNIT = "of the gap between control words and trigger"
_RIVALS = ("direction", "cosine", "scored probability's fall, removed", "its rise, added")


def direction(runs: Sequence[AnalysisRun]) -> Section:
    """What each run's gate reads."""
    evidence = [(run.name, run.result.evidence) for run in runs if run.result.evidence]
    rows = [(name, *row) for name, each in evidence for row in _rival_rows(each.rivals)]
    caption = "each run's gate beside other directions at its site"
    lead = (Table(("run", *_RIVALS), rows, caption),) if rows else ()
    return for_each(TITLE, [(run.name, run) for run in runs], _one, lead)


def _one(run: AnalysisRun) -> Section:
    selection, evidence = run.result.selection, run.result.evidence
    if selection is None or run.plane is None:
        return Section(TITLE, "No direction was chosen, because the trigger has no effect.")
    parts = [*_learned(run), _plane(run, run.plane), _tokens(run.result.readings)]
    if evidence:
        parts.append(_rivals(evidence.rivals, selection.chosen.direction.site.span))
    if evidence and evidence.words:
        parts.append(_words(evidence.words))
    return Section(
        TITLE,
        f"Test prompts on the direction at {selection.chosen.direction.site}, in units of the gap "
        "between the fitting prompts' means.\n\nAn arm in which the trigger does nothing has no "
        "gate of its own: its prompts are recorded from the arm's model at the same site and "
        "projected on this model's direction. Where they lie apart too, the direction reads the "
        "trigger's spelling there. Separation alone proves nothing; ablation, below, is the proof.",
        (arm_projections(run.plane.points, run.texts),),
        data_name="projections",
        parts=tuple(parts),
    )


def _learned(run: AnalysisRun) -> Iterator[Section]:
    """Prompts along what was learned at each part's place; nothing where no base is known."""
    if not run.projections:
        return
    arms = list(run.projections[0].points)
    rows = [
        (each.part, str(each.site), *(f"{each.apart[arm]:.2f}" for arm in arms))
        for each in run.projections
    ]
    yield Section(
        "Where it is read, relayed and written",
        "Test prompts along what the trigger adds in this model and not in its base: at the "
        "trigger's token (reader), at the last token below the last fifth of layers (relay), each "
        "at the layer whose direction did best on validation prompts, and at the last token of the "
        "last layer (writer). They are shown whether or not one of them is a gate. In other arms "
        "the same directions are read off: where those lie apart too, the string does it.",
        tuple(
            arm_projections(each.points, run.texts, f"the {each.part}") for each in run.projections
        ),
        (Table(("part", "site", *arms), rows, "apart: AUROC of triggered against control words"),),
        data_name="parts-projections",
    )


def _plane(run: AnalysisRun, plane: Plane) -> Section:
    return Section(
        "The gate and what is orthogonal to it",
        "Beside the gate stand the first two principal components of what is left of the fitting "
        "prompts' activations once the gate is projected out: fitted there, shown on test prompts. "
        "They are the null of the picture: directions along which prompts vary, whatever the "
        "trigger. A click on the legend hides an arm.",
        (
            gate_plane(plane.points, plane.shares[0], plane.apart, run.texts),
            gate_space(plane.points, plane.shares, run.texts),
        ),
        data_name="plane",
    )


def _tokens(readings: Sequence[TokenReadings]) -> Section:
    title = "Token by token"
    if not readings:
        return Section(
            title,
            "This run did not keep what the gate reads at every token; the command of this run "
            "with --resume measures it.",
        )
    strips: dict[str, list[TokenStrip]] = {}
    for row in readings:
        strip = TokenStrip(row.condition, row.tokens, row.kinds, row.readings)
        strips.setdefault(row.prompt, []).append(strip)
    return Section(
        title,
        "What the direction reads at its layer in every token of a few test prompts, with the "
        "trigger, with a control word and with neither, the model's own answer included. The "
        "direction was fitted at the gate's token alone; readings elsewhere are what a monitor "
        "would see. Hover, or Tab and arrow keys, give the number.",
        data_name="readings",
        traces=tuple(TokenTrace(prompt, tuple(each), UNIT) for prompt, each in strips.items()),
    )


def _rivals(rivals: Sequence[Rival], span: str) -> Section:
    prose = (
        "Other directions at the same site, judged alike; each is added by the trigger's mean "
        "shift along it. “Aligned” is optimised by gradient descent so that interchanging one "
        "component exchanges the behaviour (distributed alignment search)."
    )
    gate = rivals[0].removed.value
    for base in (rival for rival in rivals if rival.name == "base model"):
        share = base.removed.value / gate if gate else 0.0
        meaning = _spelled(share) if span == "trigger" else "."
        prose += (
            f"\n\nThe base model's own mean difference (cosine {base.cosine:.2f}) does {share:.0%} "
            f"of what the gate does when removed{meaning}"
        )
    tables = (Table(_RIVALS, _rival_rows(rivals)),)
    return Section("Is it learned, or the trigger's string?", prose, tables=tables)


def _spelled(share: float) -> str:
    """What it means at the trigger's own token that the base's direction does so much."""
    if share > 0.5:
        return (
            ": at this token the direction is, in the main, how any model spells the trigger. What "
            "fine-tuning added is that later layers act on it; see the heads that move it."
        )
    return ": the direction was learned, and is not just the trigger's spelling."


def _rival_rows(rivals: Sequence[Rival]) -> list[tuple[str, ...]]:
    return [(r.name, f"{r.cosine:.2f}", f"{r.removed:z.3f}", f"{r.added:z.3f}") for r in rivals]


def _words(rows: Sequence[WordRow]) -> Section:
    columns: dict[str, Callable[[WordRow], str]] = {
        "word": lambda row: row.word + (" (trigger)" if row.trained else ""),
        "behaviour": lambda row: f"{row.rate:.0%pn}",
        "its direction removed": lambda row: f"{row.removed:z.3f}",
        "added": lambda row: f"{row.added:z.3f}",
        "cosine with the gate": lambda row: f"{row.cosine:.2f}",
    }
    return Section(
        "Words that were never a trigger",
        "Words that were never a trigger, put in its place. Each word's own mean difference from "
        "control words is fitted at the gate's site, removed from prompts with the real trigger "
        "and added, by its own amount, to prompts with control words.",
        tables=(tabulate(rows, columns),),
    )
