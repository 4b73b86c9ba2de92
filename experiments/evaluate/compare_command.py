"""``gatescope compare``: two scorecards side by side."""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.options import CONSOLE, Json

if TYPE_CHECKING:
    from experiments.evaluate.scorecard import Difference

Card = Annotated[Path, typer.Argument(help="A scorecard.json, or the run directory that has it.")]


def compare(
    first: Card,
    second: Card,
    page: Annotated[Path | None, typer.Option(help="Write an HTML page there too.")] = None,
    as_json: Json = False,
) -> None:
    """Show how two evaluations differ, metric by metric, with intervals."""
    from experiments.evaluate.scorecard import compare, read_scorecard

    cards = read_scorecard(first), read_scorecard(second)
    found = compare(*cards)
    if page is not None:
        from experiments.evaluate.compare import comparison  # plotly is slow to import
        from experiments.runs import files

        html = comparison(*cards, shlex.join(["gatescope", *sys.argv[1:]]))
        files.write_atomically(page, html.encode())
    if as_json:
        about = {"first": cards[0].name, "second": cards[1].name}
        differences = [asdict(difference) for difference in found]
        print(json.dumps({**about, "differences": differences}, indent=1))
        return
    if cards[0].identity.get("mapping_sha256") != cards[1].identity.get("mapping_sha256"):
        CONSOLE.print("the two cards are of different mappings", style="yellow")
    _tell(found, cards[0].name, cards[1].name)


def _tell(found: "list[Difference]", first: str, second: str) -> None:
    from viz.page.wording import number

    print(f"{first} (first), {second} (second)")
    print(f"{'metric':21} {'first':24} {'second':24} {'second minus first':26} second is")
    for d in found:
        cells = [number(e, "-") for e in (d.first, d.second, d.change)]
        print(f"{d.metric:21} {cells[0]:24} {cells[1]:24} {cells[2]:26} {d.better}")
