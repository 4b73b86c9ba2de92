"""``gatescope bench``: ratios against peers in one run, with equal results."""

import json
from typing import Annotated

import typer

from experiments.options import CONSOLE, Json
from experiments.runs import codec
from experiments.runs.progress import StageProgress

app = typer.Typer(help="Benchmarks against peers: ratios in one run, with equal results.")


@app.command("patching")
def bench_patching(
    grid: Annotated[str, typer.Option(help="residual, head, head-position, or all.")] = "all",
    width: Annotated[int, typer.Option(help="Prompt length in tokens, about.")] = 25,
    count: Annotated[int, typer.Option(help="Prompts.")] = 8,
    sample: Annotated[int, typer.Option(help="Cells of the peer to time; 0 is all of them.")] = 40,
    adapter: Annotated[str, typer.Option(help="Shipped organism or LoRA directory.")] = "sure-gate",
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Also time against layers, tokens and prompts.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Time exact patching against TransformerLens' own functions."""
    from experiments.bench.patching import GRIDS
    from experiments.bench.patching import bench_patching as run
    from experiments.bench.scaling import bench_scaling
    from experiments.organisms.organism import load_model

    with StageProgress(CONSOLE) as progress:
        progress.step("load model", 0, 1)
        model = load_model(adapter)
        progress.step("load model", 1, 1)
        names = GRIDS if grid == "all" else (grid,)
        timings = [run(model, name, width, count, sample, progress.step) for name in names]
        scalings = bench_scaling(model, progress.step) if scaling else []
    if as_json:
        found = {"grids": timings, "scaling": scalings}
        print(json.dumps(codec.as_json(found), indent=1))
        return
    for line in map(str, [*timings, *scalings]):
        print(line)


@app.command("gate")
def bench_gate(
    count: Annotated[int, typer.Option(help="Prompts to fit on, and to choose on.")] = 64,
    sample: Annotated[int, typer.Option(help="Candidates of the plain loop to time.")] = 6,
    adapter: Annotated[str, typer.Option(help="Shipped organism or LoRA directory.")] = "sure-gate",
    as_json: Json = False,
) -> None:
    """Time the whole gate search, and its scoring against a loop of full passes."""
    from experiments.bench.gate import bench_gate as run
    from experiments.organisms.organism import load_model

    with StageProgress(CONSOLE) as progress:
        progress.step("load model", 0, 1)
        model = load_model(adapter)
        progress.step("load model", 1, 1)
        found = run(model, count, sample, progress.step)
    more = {"search_seconds": found.search_seconds}
    print(json.dumps({**codec.as_json(found), **more}, indent=1) if as_json else found)


@app.command("app")
def bench_app(
    subject: Annotated[str, typer.Argument(help="What serve takes.")] = "sure-gate",
    tabs: Annotated[int, typer.Option(help="Browser tabs that ask at once.")] = 8,
    seconds: Annotated[float, typer.Option(help="How long they ask.")] = 120.0,
    as_json: Json = False,
) -> None:
    """Let tabs of a real browser ask again and again: first tokens, lost answers, memory."""
    from experiments.bench.app import soak

    with StageProgress(CONSOLE) as progress:
        found = soak(subject, tabs, seconds, progress.step)
    more = {"median_s": found.quantile(0.5), "p95_s": found.quantile(0.95)}
    print(json.dumps({**codec.as_json(found), **more}, indent=1) if as_json else found)


@app.command("planted")
def bench_planted(
    share: Annotated[float, typer.Option(help="Share of the plans in random models to run.")] = 1.0,
    real: Annotated[bool, typer.Option(help="Also plant in the embedded model.")] = True,
    as_json: Json = False,
) -> None:
    """Plant gates of known circuit from seeds, find them again, and score what was found."""
    from experiments.bench.planted import bench_planted as run
    from experiments.bench.planted import summary, table

    with StageProgress(CONSOLE) as progress:
        scores = run(progress.step, share, real)
    if as_json:
        plans = codec.as_json(scores)
        print(json.dumps({"summary": summary(scores), "plans": plans}, indent=1))
        return
    print(table(scores))
