"""What of the training carries the trigger: its three parts, and what is lost without each."""

from collections.abc import Callable

from experiments.analyze.parts import LEARNED, Part, Parts
from viz.figures.forest import ForestRow, forest
from viz.figures.marks import describe
from viz.page.page import Section, tabulate
from viz.text import escape
from viz.theme import BLUE, GREY

_TITLE = "What training changed: reader, relay, writer"
_WHAT = {
    "reader": "everything at the trigger's tokens: where it is told from other words",
    "relay": "attention at later tokens: what brings it to where the answer is made",
    "writer": "MLPs and unembedding at later tokens: what makes the behaviour likely",
    "together": "all three",
    "elsewhere": "everything at tokens before the trigger: the null",
}


def carriers(parts: Parts | None) -> tuple[Section, ...]:
    """One section, or none where no base is known."""
    if parts is None:
        return ()
    if not parts.parts:
        return (Section(_TITLE, f"It could not be told apart: {parts.why}."),)
    rows = [p for p in (*parts.parts, parts.together, parts.elsewhere) if p is not None]
    columns: dict[str, Callable[[Part], str]] = {
        "part": lambda part: part.name,
        "what it is": lambda part: _WHAT[part.name],
        "": lambda part: parts.word(part) if part in parts.parts else "",
        "lost without it": lambda part: f"{part.necessity:.2f}",
        "alone in the base": lambda part: f"{part.sufficiency:.2f}",
        "harm, nats": lambda part: f"{part.harm:.3f}",
    }
    return (
        Section(
            _TITLE,
            "The training's change of the weights is switched on and off by place and module, "
            f"exactly. It has added {parts.effect:.1f} nats to the trigger's effect on the "
            f"log-odds of what is scored (n = {rows[0].necessity.n} test prompts); what follows "
            "are shares of that. Shares need not add up: a part may need another. Learned: at "
            f"least {LEARNED:.0%} is lost without it, at the lower end, and more than without the "
            "null; inherited: less is, at the upper end, so that the model before fine-tuning does "
            "that part as well. Harm: KL of the first answer token in prompts with control words.",
            (_figure(parts, rows),),
            (tabulate(rows, columns),),
            data_name="parts",
        ),
    )


def _figure(parts: Parts, rows: list[Part]):
    shades = {"lost without it": BLUE, "alone in the base": GREY}
    lines = [
        ForestRow(
            f"{part.name}, {way}",
            estimate,
            f"<b>{escape(part.name)}</b>: {way}<br>{describe(estimate)}",
            shades[way],
            note=parts.word(part) if part in parts.parts and estimate is part.necessity else "",
            apart=i > 0 and estimate is part.necessity,
        )
        for i, part in enumerate(rows)
        for way, estimate in zip(shades, (part.necessity, part.sufficiency), strict=True)
    ]
    return forest(
        lines,
        "What of the training carries the trigger",
        "shares of what training has added to the trigger's effect; 95% intervals",
        "share",
        LEARNED,
        "learned from here on",
    )
