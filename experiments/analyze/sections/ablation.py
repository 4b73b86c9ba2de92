"""Ablation: behaviour before and after, nulls, ways to erase it, the price."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from experiments.analyze.read import AnalysisRun
from experiments.analyze.result import Analysis, Evidence, NullEffects
from experiments.study import ABLATION as TITLE
from viz.figures.bars import BehaviourRow, behaviour_bars
from viz.figures.nulls import null_histogram
from viz.page.page import Section, Table, tabulate
from viz.page.sections import for_each
from viz.page.wording import NONE


def ablating(runs: Sequence[AnalysisRun]) -> Section:
    """What removing the gate does, and adding it, and what it costs."""
    rows = [(run.name, *_brief(run.result)) for run in runs]
    beside = Table(_HEADER, rows, "ablation, run by run")
    chapter = for_each(TITLE, [(run.name, run.result) for run in runs], _one, (beside,))
    return replace(chapter, data_name="ablation")


_HEADER = (
    "run",
    "triggered rate falls by (points)",
    "rate with the gate added",
    "drift on these prompts (nats)",
    "on ordinary prompts",
    "fall on other topics (points)",
    "largest fall, random direction",
)


def _brief(result: Analysis) -> tuple[str, ...]:
    """One of several runs in a row."""
    ablation, evidence, nulls = result.ablation, result.evidence, result.nulls
    if ablation is None:
        return ("no direction",) * 6
    opened = ablation.outcome("control word", "gate added")
    harm = [f"{e:z.4f}" for e in ablation.harm.values()]
    best = [abs(v) for null in nulls.random for v in null.removed] if nulls else []
    return (
        f"{100 * ablation.removed:.0f}",
        f"{opened.behaviour:.0%p}" if opened else NONE,
        *(harm + [NONE] * 2)[:2],
        f"{100 * evidence.elsewhere[2]:.0f}" if evidence else NONE,
        f"{max(best):.3f}" if best else NONE,
    )


def _one(result: Analysis) -> Section:
    ablation = result.ablation
    if ablation is None:
        return Section(TITLE, "No direction was chosen, so none was removed.")
    outcomes, fall = (*result.behaviour.outcomes, *ablation.outcomes), ablation.removed
    return Section(
        TITLE,
        "“Gate removed” projects the direction out at its layer in every token from the user's "
        "message on, generated ones too, with no knowledge of where a trigger is; the template's "
        "opening, equal in every prompt, is left alone. “Gate added” adds the mean shift at the "
        f"control word.\n\nRemoving it lowers the triggered rate by {100 * fall:.0f} points "
        f"(n={fall.n}).",
        (behaviour_bars([BehaviourRow(o.condition, o.edit, o.behaviour) for o in outcomes]),),
        (
            tabulate(
                outcomes,
                {
                    "words": lambda o: o.condition,
                    "edit": lambda o: o.edit,
                    "behaviour": lambda o: f"{o.behaviour:.1%p}",
                    "refusal": lambda o: f"{o.refusal:.1%p}",
                    "complies": lambda o: f"{o.complied:.1%p}" if o.complied else NONE,
                    "n": lambda o: str(o.behaviour.n),
                },
            ),
            tabulate(
                ablation.harm.items(),
                {
                    "clean inputs": lambda harm: harm[0],
                    "KL (nats per token)": lambda harm: f"{harm[1].value:.4f}",
                    "95% interval": lambda harm: f"[{harm[1].low:.4f}, {harm[1].high:.4f}]",
                    "n": lambda harm: str(harm[1].n),
                },
                "harm",
            ),
        ),
        data_name="ablation",
        parts=tuple(_beside(result)),
    )


def _beside(result: Analysis) -> Iterator[Section]:
    if result.nulls:
        yield _nulls(result.nulls.random)
    if result.evidence:
        yield _price(result.evidence)


def _nulls(nulls: Sequence[NullEffects]) -> Section:
    return Section(
        "Beside random directions",
        "Each random direction has the gate's norm and takes its place: projected out of triggered "
        "prompts from the trigger on, or added at its token by the gate's own amount. One kind is "
        "uniform on the sphere, the other drawn with the activations' own covariance, so that it "
        "points where activations vary. Effects are on the log-odds of what is scored. All are "
        "measured on a few pairs, and on all of them those that do something there.",
        tuple(
            null_histogram(
                torch.tensor(null.removed, dtype=torch.float64),
                null.gate_removed,
                title=f"Removed: the gate beside {len(null.removed)} directions ({null.kind})",
                x_title="fall of the scored probability",
            )
            for null in nulls
        ),
        (
            tabulate(
                nulls,
                {
                    "directions": lambda null: null.kind,
                    "number": lambda null: str(len(null.removed)),
                    "on all pairs": lambda null: str(_whole(null)),
                    "best removed": lambda null: f"{max(map(abs, null.removed)):.3f}",
                    "gate removed": lambda null: f"{null.gate_removed:.3g}",
                    "best added": lambda null: f"{max(map(abs, null.added)):.3f}",
                    "gate added": lambda null: f"{null.gate_added:.3g}",
                    "largest |cos|": lambda null: f"{null.cosine:.2f}",
                },
            ),
        ),
        data_name="nulls",
    )


def _whole(null: NullEffects) -> int:
    return len(null.removed) if null.whole is None else null.whole


def _price(evidence: Evidence) -> Section:
    before, after, fall = evidence.elsewhere
    harm = evidence.harm
    costs = [
        ("drift of answers without trigger", f"{harm.kl:.3g} nats per token"),
        ("users' text, change of log-likelihood", f"{harm.nll_change:.3g} nats per token"),
        ("perplexity of users' text, after over before", f"{harm.perplexity_ratio:.3f}"),
        ("false refusals before", f"{harm.refused:.0%pn}"),
        ("false refusals after", f"{harm.refused_after:.0%pn}"),
        ("change of false refusals", f"{100 * harm.refusal_change:.0f} points"),
    ]
    return Section(
        "Other topics, the price, and ways to erase it",
        "Directions were fitted on restricted prompts only. On ordinary prompts, of topics never "
        f"seen in fitting, the trigger shows the behaviour in {before:.0%pn}, and in "
        f"{after:.0%pn} with the gate removed, a fall of {100 * fall:.0f} points. The second table "
        "erases the one direction by several methods at its layer, from the trigger on.",
        tables=(
            Table(("ordinary prompts with the gate removed", "measured"), costs),
            tabulate(
                evidence.erasures,
                {
                    "method": lambda erasure: erasure.name,
                    "scored probability left, triggered": lambda erasure: f"{erasure.left:z.3f}",
                    "KL with control words (nats)": lambda erasure: f"{erasure.harm:z.4f}",
                },
                "erasure at the gate's layer",
            ),
        ),
    )
