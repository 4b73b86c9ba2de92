"""``python -m experiments.analyze.comparison [RUN ...]``: one page over the organisms' verdicts.

A run's ``result.json`` is kept in ``docs/results/verdict`` under its directory's name;
``docs/results/verdict.md`` is made from all that are kept there.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.analyze.question import Question
from experiments.analyze.written import SCHEMA
from experiments.options import command_line
from experiments.runs.codec import decode
from experiments.runs.kept import RESULTS, keep, kept, listed, ordered, table
from experiments.runs.read import result
from experiments.runs.terminal import say
from probes.stats.intervals import Estimate

PAGE = RESULTS / "verdict.md"
_NONE = "–"
_ABOUT = """# Verdicts: what carries the trigger, and what of it was learned

By `python -m experiments.analyze.comparison RUN ...`. The word is one of five: no effect on what \
was named; inherited effect; gate (one direction passes every check); effect, no single gate \
(several directions); effect, not located (the checks that failed say what would decide it). \
Effects are on the log-odds of the scored token in test prompts, in nats, with 95% intervals."""
_PARTS = """## Reader, relay, writer

The training's change is switched off in one part at a time: everything at the trigger's tokens \
(reader), attention at later tokens (relay), MLPs at later tokens (writer). Given is the share of \
what training has added that is lost, and whether the part was learned (20% or more at the lower \
end, and more than without the change before the trigger) or inherited (less at the upper end)."""
_NULLS = """## What any model has at the direction's site

Removed from triggered prompts / added to prompts with control words: this direction, and in its \
place the base model's own direction, what the base holds of the word, and the behaviour's \
unembedding."""
_GIVEN = """## The direction given to the base

Rate of the behaviour in prompts with control words, with the direction added there."""

_SEVERAL = """## Several directions

Where no direction passes, a subspace of one site is looked for, on validation prompts: exchanging \
it between prompts with trigger and control words must close and open the effect. Figures are of \
test prompts, in shares of the effect in log-odds."""
_DOSES = """## A switch, or a line?

The direction added to prompts with control words at growing doses, in log-odds. Departure is the \
share of the curve's variance that a straight line leaves: a switch leaves more than the linear \
read-out and every untrained word's own direction do; a line does not."""
_MEDIATED = """## Is compliance more than the first token?

Of answers judged to comply, in points: the trigger's whole effect, what is left of it with every \
usual opener forbidden, and what the behaviour's first token does by itself without the trigger."""


def main(runs: Sequence[str]) -> None:
    """Keep the runs named and write the page.

    Raises:
        UserError: a run is not finished, or is no analysis.
    """
    for run in runs:
        keep(PAGE, Path(run).resolve().name, result(Path(run), SCHEMA, "analyze"))
    PAGE.write_text(page(kept(PAGE)))
    say(f"page: {PAGE}")


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The page over organisms' results by name."""
    values = list(ordered(results).items())
    with_parts = [(n, v) for n, v in values if v.get("parts") and v["parts"]["parts"]]
    at_site = [
        (n, v) for n, v in values if v.get("evidence") and v["evidence"]["nulls_at_the_site"]
    ]
    spreads = [_spread(n, v["evidence"]["spread"]) for n, v in _having(values, "spread")]
    paragraphs = [
        _ABOUT,
        table(_VERDICT, [_verdict(*each) for each in values]),
        "Checks that failed: " + "; ".join(_failed(*each) for each in values) + ".",
        _PARTS,
        table(_PART, [_part(*each) for each in with_parts]),
        _NULLS,
        table(_NULL, [_null(*each) for each in at_site]),
        *([_SEVERAL, table(_SPREAD, spreads)] if spreads else []),
        _DOSES,
        table(_DOSE, [_dose(n, v["evidence"]) for n, v in _having(values, "dose_shape")]),
        _MEDIATED,
        table(_MEDIATION, [_mediated(n, v["evidence"]) for n, v in _having(values, "mediation")]),
        _GIVEN,
        table(_GAVE, [row for each in values for row in _gave(*each)]),
        "## Commands and results",
        listed(PAGE, {name: _command(value) for name, value in values}),
    ]
    return "\n\n".join(paragraphs) + "\n"


_VERDICT = (
    "organism",
    "verdict",
    "with the trigger",
    "control words",
    "complies, trigger / control",
    "effect in the base, points",
    "direction",
    "removed",
    "added",
    "harm, nats",
    "n",
)


def _verdict(name: str, value: Mapping[str, Any]) -> tuple[str, ...]:
    behaviour, gate, ablation = value["behaviour"], value["gate"], value["ablation"]
    triggered, control = (_outcome(behaviour["outcomes"], c) for c in ("triggered", "control word"))
    base = behaviour.get("base")
    complies = (value.get("evidence") or {}).get("complies") or {}
    complied = [_rate(complies.get(word)) for word in ("triggered", "control word")]
    edited = ablation["outcomes"] if ablation else ()
    harm = ablation["harm_nats"].values() if ablation else ()
    return (
        f"`{name}`",
        f"**{value['verdict']}**",
        _rate(triggered["behaviour"]),
        _rate(control["behaviour"]),
        " / ".join(complied),
        f"{100 * _estimate(base):.0f}" if base else _NONE,
        f"{gate['stream']}[{gate['layer']}] at {gate['span']}, {gate['estimator']}"
        if gate
        else _NONE,
        _rate(_outcome(edited, "triggered").get("behaviour")),
        _rate(_outcome(edited, "control word", "gate added").get("behaviour")),
        f"{max(h['value'] for h in harm):.3f}" if harm else _NONE,
        str(triggered["behaviour"]["n"]),
    )


def _outcome(outcomes: Iterable[Mapping[str, Any]], condition: str, edit: str = "") -> Any:
    """The first of a condition, under an edit if one is named; {} where there is none."""
    alike = (o for o in outcomes if o["condition"] == condition and edit in ("", o["edit"]))
    return next(alike, {})


def _failed(name: str, value: Mapping[str, Any]) -> str:
    failed = [check["name"] for check in value["checks"] if not check["passed"]]
    return f"`{name}` {', '.join(failed) or 'none'}"


_PART = ("organism", "added, nats", "reader", "relay", "writer", "before the trigger", "n")


def _part(name: str, value: Mapping[str, Any]) -> tuple[str, ...]:
    parts = value["parts"]
    shares = [
        f"{_estimate(part['necessity']):.2f} {parts['words'][part['name']]}"
        for part in parts["parts"]
    ]
    null = f"{_estimate(parts['elsewhere']['necessity']):.2f}"
    effect = parts["effect"]
    return (f"`{name}`", f"{_estimate(effect):.1f}", *shares, null, str(effect["n"]))


_NULL = (
    "organism",
    "effect",
    "this direction",
    "base model's own direction",
    "the word's own content",
    "the behaviour's unembedding",
)


def _null(name: str, value: Mapping[str, Any]) -> tuple[str, ...]:
    there = value["evidence"]["nulls_at_the_site"]
    rows = {null["name"]: null for null in there["nulls"]}
    both = [there, *(rows.get(kind) for kind in _NULL[3:])]
    cells = (
        " / ".join(f"{_estimate(row[way]):.1f}" for way in ("removed", "added")) if row else _NONE
        for row in both
    )
    return (f"`{name}`", f"{_estimate(there['effect']):.1f}", *cells)


Values = list[tuple[str, Mapping[str, Any]]]


def _having(values: Values, part: str) -> Values:
    """Those whose evidence has it."""
    return [(name, value) for name, value in values if (value.get("evidence") or {}).get(part)]


_SPREAD = ("organism", "site", "directions", "closed", "opened", "n")


def _spread(name: str, spread: Mapping[str, Any]) -> tuple[str, ...]:
    site = "{stream}[{layer}] at {span}".format(**spread["site"])
    ends = [_rate(spread[end]) for end in ("necessity", "sufficiency")]
    n = str(spread["necessity"]["n"])
    return (f"`{name}`", site, str(spread["rank"]), *ends, n)


_DOSE = ("organism", "word", "rise, nats", "departure", "of the linear read-out", "n")


def _dose(name: str, evidence: Mapping[str, Any]) -> tuple[str, ...]:
    shape = evidence["dose_shape"]
    line = [f"{_estimate(n['departure']):.2f}" for n in shape["nulls"] if "word" not in n["name"]]
    rise, departure = (_estimate(shape[part]) for part in ("rise", "departure"))
    about = (f"{rise:.1f}", f"{departure:.2f}", line[0] if line else _NONE, str(rise.n))
    return (f"`{name}`", shape["word"], *about)


_MEDIATION = ("organism", "whole effect", "openers forbidden", "token alone", "n, groups")


def _mediated(name: str, evidence: Mapping[str, Any]) -> tuple[str, ...]:
    shares = evidence["mediation"]["none"]
    parts = [_estimate(shares[p]) for p in ("total", "trigger_without_token", "token_alone")]
    return (f"`{name}`", *(f"{100 * part:.0f}" for part in parts), str(parts[0].n))


_GAVE = ("organism", "given to", "before", "after", "n")


def _gave(name: str, value: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (f"`{name}`", g["name"], _rate(g["before"]), _rate(g["after"]), str(g["after"]["n"]))
        for g in value.get("given") or ()
    ]


def _command(value: Mapping[str, Any]) -> str:
    return command_line("analyze", decode(Question, value["question"]))


def _estimate(value: Any) -> Estimate:
    return decode(Estimate, value)


def _rate(value: Any) -> str:
    return f"{_estimate(value):.0%p}" if value else _NONE


if __name__ == "__main__":
    main(sys.argv[1:])
