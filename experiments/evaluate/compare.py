"""``gatescope compare``: two scorecards side by side, and the page of both."""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from experiments.evaluate.scorecard import Difference, Scorecard, differences, read_scorecard
from experiments.evaluate.sections import scores
from experiments.evaluate.tables import change_table
from experiments.options import CONSOLE, Json
from experiments.runs import files
from experiments.runs.codec import as_json as json_of
from viz.figures.radar import property_radar
from viz.page.page import Report, Section, render
from viz.page.wording import number

Card = Annotated[Path, typer.Argument(help="A scorecard.json, or the run directory that has it.")]

_PROSE = """\
Second minus first, taken as independent: the halves of both intervals are added as squares. Both \
cards mostly ask the same prompts, so the interval is too wide rather than too narrow. Many \
metrics are compared at once: of twenty that do not differ, one is told apart by chance."""


def compare(
    first: Card,
    second: Card,
    page: Annotated[Path | None, typer.Option(help="Write an HTML page there too.")] = None,
    as_json: Json = False,
) -> None:
    """Show how two evaluations differ, metric by metric, with intervals."""
    cards = read_scorecard(first), read_scorecard(second)
    every = differences(*cards)
    if page is not None:
        html = comparison(*cards, shlex.join(["gatescope", *sys.argv[1:]]))
        files.write_atomically(page, html.encode())
    if as_json:
        about = {"first": cards[0].name, "second": cards[1].name}
        print(json.dumps({**about, "differences": json_of(every)}, indent=1))
        return
    if cards[0].identity.get("mapping_sha256") != cards[1].identity.get("mapping_sha256"):
        CONSOLE.print("the two cards are of different mappings", style="yellow")
    _print(every, cards[0].name, cards[1].name)


def _print(every: Sequence[Difference], first: str, second: str) -> None:
    print(f"{first} (first), {second} (second)")
    print(f"{'metric':21} {'first':24} {'second':24} {'second minus first':26} second is")
    for d in every:
        cells = [number(e, "-") for e in (d.first, d.second, d.change)]
        print(f"{d.metric:21} {cells[0]:24} {cells[1]:24} {cells[2]:26} {d.better}")


def comparison(first: Scorecard, second: Scorecard, command: str) -> str:
    """Two evaluations as one HTML page; the radar is of each card's own chosen profile."""
    found = differences(first, second)
    names = (f"{first.name} (first)", f"{second.name} (second)")
    cards = dict(zip(names, (first, second), strict=True))
    radar = property_radar({n: scores(card, card.verdicts[0]) for n, card in cards.items()})
    told = {word: sum(d.better == word for d in found) for word in ("better", "worse")}
    return render(
        Report(
            title="Two scorecards compared",
            verdict=f"{told['better']} better, {told['worse']} worse",
            headline=f"Of {len(found)} metrics, counted where the change's interval excludes 0.",
            tone="unclear",
            facts=tuple((n, card.verdicts[0].profile) for n, card in cards.items()),
            sections=(Section("Every metric", _PROSE, (radar,), (change_table(found, names),)),),
            reproduce=command,
        )
    )
