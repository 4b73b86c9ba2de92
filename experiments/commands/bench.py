"""``gatescope bench``: ratios against peers in one run, with equal results."""

import json
from typing import Annotated

import typer

from experiments.commands.shared import CONSOLE, Json
from experiments.progress import StageProgress

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
    from circuits import models
    from experiments import organisms
    from experiments.bench import GRIDS
    from experiments.bench import bench_patching as run
    from experiments.bench_scaling import bench_scaling

    with StageProgress(CONSOLE) as progress:
        progress.step("load model", 0, 1)
        model = models.load(adapter=organisms.find_adapter(adapter))
        progress.step("load model", 1, 1)
        names = GRIDS if grid == "all" else (grid,)
        timings = [run(model, name, width, count, sample, progress.step) for name in names]
        scalings = bench_scaling(model, progress.step) if scaling else []
    if as_json:
        found = {"grids": timings, "scaling": scalings}
        print(json.dumps({k: [x.to_json() for x in v] for k, v in found.items()}, indent=1))
        return
    for line in map(str, [*timings, *scalings]):
        print(line)
