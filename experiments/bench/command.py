"""``gatescope bench``: ratios against peers in one run, with equal results."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from circuits.models import Model
from experiments.bench import app as app_bench
from experiments.bench import gate, opened_set, patching, planted_page, planted_set
from experiments.bench.scaling import bench_scaling
from experiments.options import Json
from experiments.organisms.organism import load_model
from experiments.runs import codec
from experiments.runs.progress import StageProgress
from experiments.runs.stages import Step, stepped
from experiments.runs.terminal import CONSOLE, say

Organism = Annotated[str, typer.Option(help="Shipped organism or LoRA directory.")]
Set = Annotated[str, typer.Option("--set", help="Seeds: first or second.")]
Kept = Annotated[Path, typer.Option(help="Where results are kept, and gone on with.")]
app = typer.Typer(help="Benchmarks against peers: ratios in one run, with equal results.")


@app.command("patching")
def bench_patching(
    grid: Annotated[str, typer.Option(help="residual, head, head-position, or all.")] = "all",
    width: Annotated[int, typer.Option(help="Prompt length in tokens, about.")] = 25,
    count: Annotated[int, typer.Option(help="Prompts.")] = 8,
    sample: Annotated[int, typer.Option(help="Cells of the peer to time; 0 is all of them.")] = 40,
    adapter: Organism = "sure-gate",
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Also time against layers, tokens and prompts.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Time exact patching against TransformerLens' own functions."""
    patching.require(grid, width, count, sample)
    with StageProgress(CONSOLE) as progress:
        step, model = progress.step, _loaded(adapter, progress.step)
        names = patching.GRIDS if grid == "all" else (grid,)
        timings = [patching.bench_patching(model, n, width, count, sample, step) for n in names]
        scalings = bench_scaling(model, step) if scaling else []
    everything = {"grids": timings, "scaling": scalings}
    _say("\n".join(map(str, [*timings, *scalings])), codec.as_json(everything), as_json)


@app.command("gate")
def bench_gate(
    count: Annotated[int, typer.Option(help="Prompts to fit on, and to choose on.")] = 64,
    sample: Annotated[int, typer.Option(help="Candidates of the plain loop to time.")] = 6,
    adapter: Organism = "sure-gate",
    as_json: Json = False,
) -> None:
    """Time the whole gate search, and its scoring against a loop of full passes."""
    gate.require(count, sample)
    with StageProgress(CONSOLE) as progress:
        model = _loaded(adapter, progress.step)
        timing = gate.bench_gate(model, count, sample, progress.step)
    more = {"search_seconds": timing.search_seconds}
    _say(str(timing), codec.as_json(timing) | more, as_json)


@app.command("app")
def bench_app(
    subject: Annotated[str, typer.Argument(help="What serve takes.")] = "sure-gate",
    tabs: Annotated[int, typer.Option(help="Browser tabs that ask at once.")] = 8,
    seconds: Annotated[float, typer.Option(help="How long they ask.")] = 120.0,
    as_json: Json = False,
) -> None:
    """Let tabs of a real browser ask again and again: first tokens, lost answers, memory."""
    with StageProgress(CONSOLE) as progress:
        result = app_bench.soak(subject, tabs, seconds, progress.step)
    more = {"median_s": result.quantile(0.5), "p95_s": result.quantile(0.95)}
    _say(str(result), codec.as_json(result) | more, as_json)


@app.command("planted")
def bench_planted(
    which: Set = "first",
    count: Annotated[int, typer.Option(help="Plans of each kind; 0: all of the set.")] = 0,
    out: Kept = planted_page.KEPT,
    as_json: Json = False,
) -> None:
    """Plant models of known truth from seeds, and put each through the analysis itself."""
    with StageProgress(CONSOLE) as progress:
        scores = planted_set.bench_planted(which, count, out, progress.step)
    planted_page.write(out)
    _say(planted_set.text(scores), codec.as_json(scores), as_json)


@app.command("opened")
def bench_opened(
    which: Set = "first",
    count: Annotated[int, typer.Option(help="Models; 0: all of the set.")] = 0,
    out: Kept = planted_page.KEPT,
    as_json: Json = False,
) -> None:
    """Train models through one layer's attention or MLP, at one place: is it what is named?"""
    with StageProgress(CONSOLE) as progress:
        scores = opened_set.bench_opened(which, count, out, progress.step)
    planted_page.write(out)
    _say(opened_set.text(scores), codec.as_json(scores), as_json)


def _loaded(adapter: str, step: Step) -> Model:
    return stepped(step, "load model", lambda: load_model(adapter))


def _say(text: str, value: Any, as_json: bool) -> None:
    say(json.dumps(value, indent=1) if as_json else text)
