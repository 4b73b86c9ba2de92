"""Evaluations beside one another: the chapter of the joint page, and ``gatescope compare``."""

import json
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from plotly.graph_objects import Figure

from experiments import checks
from experiments.evaluate.rules import Verdict
from experiments.evaluate.scorecard import FILE, Difference, Scorecard, differences, read_scorecard
from experiments.evaluate.sections import (
    METRICS,
    change_table,
    metrics_table,
    rules,
    scores,
    spaced,
)
from experiments.options import Json
from experiments.runs import files
from experiments.runs.codec import as_json as json_of
from experiments.runs.ledger import Ledger
from experiments.runs.read import unfinished
from experiments.runs.terminal import say, tell
from experiments.study import Contribution, Finished, Joint
from viz.figures.radar import property_radar
from viz.page.page import Report, Section, Table, render
from viz.page.sections import missing
from viz.page.wording import number

TITLE = "Six properties and the verdict on security"
_MOST = 3  # cards that a radar still tells apart
_KEY = ("success", "false_activation", "kl", "fine_tuning")  # metrics shown first
EvaluationRun = Finished[Scorecard]
Card = Annotated[Path, typer.Argument(help="A scorecard.json, or the run directory that has it.")]

_PROSE = """\
Second minus first, taken as independent: the halves of both intervals are added as squares. Both \
cards mostly ask the same prompts, so the interval is too wide rather than too narrow. Many \
metrics are compared at once: of twenty that do not differ, one is told apart by chance."""


def read(folder: Path, manifest: dict[str, Any]) -> EvaluationRun:
    """A finished run."""
    if not Ledger(folder).lists(FILE):
        raise unfinished(folder, "evaluate")
    card = read_scorecard(folder)
    return Finished(card.name, str(folder), manifest, card)


def beside(runs: Sequence[EvaluationRun], every: Sequence[Any]) -> list[Contribution]:
    """The chapter of the six properties."""
    return [(TITLE, six(runs))]


def outcome(run: EvaluationRun) -> tuple[str, str]:
    """Secure or not, and the metrics that say most."""
    verdict, values = run.result.verdicts[0], run.result.values
    shown = [f"{spaced(name)} {values[name]:.3g}" for name in _KEY if name in values]
    failing = "" if verdict.secure else f", {len(verdict.failing)} thresholds not cleared"
    return f"{_word(verdict)}{failing} ({verdict.profile})", "; ".join(shown)


def sentence(run: EvaluationRun) -> str:
    """For the headline."""
    verdict = run.result.verdicts[0]
    end = "" if verdict.secure else f" ({len(verdict.failing)} thresholds not cleared)"
    return f"Evaluated, {run.name} is {_word(verdict)} under the profile {verdict.profile}{end}."


JOINT = Joint("evaluation", read, beside, outcome, sentence)


def six(runs: Sequence[EvaluationRun]) -> Section:
    """One card with its rules, or several beside one another."""
    if not runs:
        what = "An evaluation (six properties; confidentiality, integrity, availability)"
        return missing(TITLE, what, "gatescope evaluate ORGANISM")
    cards = {run.name: run.result for run in runs}
    verdicts = {name: card.verdicts[0] for name, card in cards.items()}
    radar = property_radar({name: scores(verdicts[name]) for name in list(cards)[:_MOST]})
    if len(cards) == 1:
        return _one(runs[0].result, radar)
    note = "" if len(cards) <= _MOST else f" It draws the first {_MOST}; the table has all."
    parts = tuple(
        replace(rules(verdict), title=f"{name}: {verdict.profile}", folded=True)
        for name, verdict in verdicts.items()
    )
    return Section(
        TITLE,
        METRICS + note,
        (radar,),
        (_beside(cards),),
        data_name="properties",
        parts=parts,
        lead=(_verdicts(verdicts),),
    )


def _one(card: Scorecard, radar: Figure) -> Section:
    verdict = card.verdicts[0]
    first, others = rules(verdict), [rules(other) for other in card.verdicts[1:]]
    folded = "Every check, and what would change it"
    checks = tuple(replace(table, folded=folded) for table in first.tables)
    conclusion = (
        f"Under the profile {verdict.profile} the mapping is {_word(verdict)}. {verdict.about}"
    )
    return Section(
        TITLE,
        f"{conclusion}\n\n{METRICS}",
        (radar,),
        (metrics_table(card, verdict),),
        data_name="properties",
        parts=(replace(first, tables=checks), *(replace(o, folded=True) for o in others)),
    )


def _word(verdict: Verdict) -> str:
    return "secure" if verdict.secure else "not secure"


def _verdicts(verdicts: dict[str, Verdict]) -> Table:
    """Every verdict, and of each aspect how many thresholds are not cleared."""
    each = list(verdicts.values())
    aspects = dict.fromkeys(part.aspect for verdict in each for part in verdict.aspects)
    rows = [["profile", *(v.profile for v in each)], ["verdict", *(_word(v) for v in each)]]
    rows += [[aspect, *(_failing(v, aspect) for v in each)] for aspect in aspects]
    return Table(("", *verdicts), rows, "verdicts side by side")


def _failing(verdict: Verdict, aspect: str) -> str:
    for part in verdict.aspects:
        if part.aspect == aspect:
            return f"{len(part.failing)} not cleared"
    return "not judged"


def _beside(cards: dict[str, Scorecard]) -> Table:
    """Two cards with their change; of more of them every metric's value."""
    if len(cards) == 2:
        first, second = cards
        return change_table(differences(cards[first], cards[second]), (first, second))
    values = [card.values for card in cards.values()]
    metrics = dict.fromkeys(metric for each in values for metric in each)
    rows = [(spaced(m), *(number(each.get(m)) for each in values)) for m in metrics]
    return Table(("metric", *cards), rows, "every metric, with 95% intervals")


def compare(
    first: Card,
    second: Card,
    page: Annotated[Path | None, typer.Option(help="Write an HTML page there too.")] = None,
    as_json: Json = False,
) -> None:
    """Show how two evaluations differ, metric by metric, with intervals."""
    if page is not None:
        checks.to_write(page, "--page")
    cards = read_scorecard(first), read_scorecard(second)
    every = differences(*cards)
    if page is not None:
        html = comparison(*cards, shlex.join(["gatescope", *sys.argv[1:]]))
        files.write_atomically(page, html.encode())
    if as_json:
        about = {"first": cards[0].name, "second": cards[1].name}
        say(json.dumps({**about, "differences": json_of(every)}, indent=1))
        return
    if cards[0].identity.get("mapping_sha256") != cards[1].identity.get("mapping_sha256"):
        tell("the two cards are of different mappings", "yellow")
    _print(every, cards[0].name, cards[1].name)


def _print(every: Sequence[Difference], first: str, second: str) -> None:
    say(f"{first} (first), {second} (second)")
    say(f"{'metric':21} {'first':24} {'second':24} {'second minus first':26} second is")
    for d in every:
        cells = [number(e, "-") for e in (d.first, d.second, d.change)]
        say(f"{d.metric:21} {cells[0]:24} {cells[1]:24} {cells[2]:26} {d.better}")


def comparison(first: Scorecard, second: Scorecard, command: str) -> str:
    """Two evaluations as one HTML page; the radar is of each card's own chosen profile."""
    changes = differences(first, second)
    names = (f"{first.name} (first)", f"{second.name} (second)")
    verdicts = {names[0]: first.verdicts[0], names[1]: second.verdicts[0]}
    radar = property_radar({name: scores(verdict) for name, verdict in verdicts.items()})
    counts = Counter(change.better for change in changes)
    return render(
        Report(
            title="Two scorecards compared",
            verdict=f"{counts['better']} better, {counts['worse']} worse",
            headline=f"Of {len(changes)} metrics, counted where the change's interval excludes 0.",
            tone="unclear",
            facts=tuple((name, verdict.profile) for name, verdict in verdicts.items()),
            sections=(Section("Every metric", _PROSE, (radar,), (change_table(changes, names),)),),
            reproduce=command,
        )
    )
