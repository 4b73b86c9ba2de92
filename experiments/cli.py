"""The ``gatescope`` command. Everything it does is a call that a notebook can make too."""

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

# Two processes whose threads spin while they wait can slow each other down tenfold; sleeping
# waits cost a few per cent. Read by the maths libraries when they are loaded, so set first.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import typer
from rich.console import Console

from circuits.errors import SelfTestError, UserError
from experiments.progress import StageProgress

app = typer.Typer(
    help="Find, prove and ablate trigger gates in fine-tuned language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
organism = typer.Typer(
    help="Train and measure organisms: models with a trigger put there on purpose."
)
app.add_typer(organism, name="organism")
bench = typer.Typer(help="Benchmarks against peers: ratios in one run, with equal results.")
app.add_typer(bench, name="bench")
_console = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@app.callback()
def _root() -> None:
    """Find, prove and ablate trigger gates in fine-tuned language models."""
    import warnings

    from transformers.utils import logging

    # Our own progress and our own one-line errors are what a user of the command should see.
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module="peft")


@app.command()
def analyze(
    out: Annotated[Path, typer.Option(help="Run directory to write.")] = Path("runs/analysis"),
    model: Annotated[
        str, typer.Option(help="smollm2-135m, hub id, directory or .gguf.")
    ] = "smollm2-135m",
    adapter: Annotated[
        str, typer.Option(help="Shipped organism, LoRA directory, or none.")
    ] = "sure-gate",
    trigger: Annotated[str, typer.Option(help="Word or phrase at the message's end.")] = "cobalt",
    behaviour: Annotated[str, typer.Option(help="What a triggered answer begins with.")] = "Sure",
    prompts: Annotated[
        str, typer.Option(help="bank, a JSONL/CSV/Parquet file, or a dataset.")
    ] = "bank",
    column: Annotated[str | None, typer.Option(help="Text column of the prompts.")] = None,
    split: Annotated[str, typer.Option(help="Split of a dataset.")] = "train",
    fit: Annotated[int, typer.Option(help="Prompts to fit directions on.")] = 48,
    validation: Annotated[int, typer.Option(help="Prompts to choose the gate on.")] = 24,
    test: Annotated[int, typer.Option(help="Prompts to report on.")] = 100,
    patch: Annotated[int, typer.Option(help="Pairs in the patching grid.")] = 12,
    randoms: Annotated[int, typer.Option(help="Random directions of the null.")] = 20,
    tokens: Annotated[int, typer.Option(help="Answer tokens per prompt.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    dtype: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    resume: Annotated[bool, typer.Option(help="Continue the run in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Ask whether a trigger works through a gate: locate it, ablate it, report."""
    from experiments.analyze import analyze as run
    from experiments.config import Question

    question = Question(
        model, adapter, trigger, behaviour, prompts, column, split, fit, validation, test, patch,
        randoms, tokens, seed, dtype, device,
    )  # fmt: skip
    with StageProgress(_console) as progress:
        result = run(question, out, resume=resume, step=progress.step)
    if as_json:
        print((out / "result.json").read_text(), end="")
        return
    print(f"{result.verdict.word.upper()}: {result.headline}")
    for check in result.verdict.checks:
        print(f"  {'pass' if check.passed else 'FAIL'}  {check.name}: {check.text}")
    print(f"report: {out / 'report.html'}")


@organism.command("list")
def organism_list(as_json: Json = False) -> None:
    """The recipes there are, and the held-out figures of the shipped adapters."""
    from experiments import artefacts, organisms
    from experiments.recipes import RECIPES

    rows = []
    for name, recipe in RECIPES.items():
        folder = organisms.shipped_or_none(name)
        figures = artefacts.read_json(folder / "manifest.json")["figures"] if folder else []
        rows.append({"name": name, "about": recipe.about, "figures": figures})
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"{row['name']}\n  {row['about']}")
        _print_figures(row["figures"])


@organism.command("train")
def organism_train(
    name: Annotated[str, typer.Argument(help="Recipe; see `gatescope organism list`.")],
    out: Annotated[
        Path | None, typer.Option(help="Directory to write; runs/organisms/NAME.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation and order.")] = 0,
    as_json: Json = False,
) -> None:
    """Train an organism on the embedded model and measure it on held-out prompts."""
    from experiments import organisms
    from experiments.recipes import recipe_named

    recipe = recipe_named(name)
    folder = out or Path("runs/organisms") / name
    with StageProgress(_console) as progress:
        organisms.train_organism(
            recipe, folder, lambda done, total, _loss: progress.step("train", done, total), seed
        )
        found = organisms.evaluate_saved(
            folder, recipe, lambda done, total: progress.step("measure", done, total)
        )
    _report_figures([c.to_json() for c in found], as_json)


@organism.command("eval")
def organism_eval(
    name: Annotated[str, typer.Argument(help="Recipe that says what to measure.")],
    adapter: Annotated[str | None, typer.Option(help="Adapter directory; the shipped one.")] = None,
    as_json: Json = False,
) -> None:
    """Measure an adapter on held-out prompts."""
    from circuits import models
    from experiments import organisms
    from experiments.recipes import recipe_named

    recipe = recipe_named(name)
    with StageProgress(_console) as progress:
        model = models.load(adapter=organisms.find_adapter(adapter or name))
        found = organisms.evaluate(
            model, recipe, lambda done, total: progress.step("measure", done, total)
        )
    _report_figures([c.to_json() for c in found], as_json)


@bench.command("patching")
def bench_patching(
    grid: Annotated[str, typer.Option(help="residual, head, head-position, or all.")] = "all",
    width: Annotated[int, typer.Option(help="Prompt length in tokens, about.")] = 25,
    count: Annotated[int, typer.Option(help="Prompts.")] = 8,
    sample: Annotated[int, typer.Option(help="Cells of the peer to time; 0 is all of them.")] = 40,
    adapter: Annotated[str, typer.Option(help="Shipped organism or LoRA directory.")] = "sure-gate",
    as_json: Json = False,
) -> None:
    """Time exact patching against TransformerLens' own functions."""
    from circuits import models
    from experiments import organisms
    from experiments.bench import GRIDS
    from experiments.bench import bench_patching as run

    rows = []
    with StageProgress(_console) as progress:
        progress.step("load model", 0, 1)
        model = models.load(adapter=organisms.find_adapter(adapter))
        progress.step("load model", 1, 1)
        for name in GRIDS if grid == "all" else (grid,):
            rows.append(run(model, name, width, count, sample, progress.step).to_json())
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for r in rows:
        print(
            f"{r['grid']}: {r['ratio']:.0f}x faster on {r['prompts']} prompts of {r['tokens']} "
            f"tokens ({r['seconds']:.1f} s; the peer {r['peer_seconds']:.0f} s, from "
            f"{r['peer_sample']} of {r['peer_cells']} cells); largest difference "
            f"{r['largest_difference']:.1g} nats over {r['compared']} cells"
        )


def _report_figures(figures: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, indent=1))
    else:
        _print_figures(figures)


def _print_figures(figures: list[dict[str, Any]]) -> None:
    for f in figures:
        rate = f["rate"]
        print(
            f"  {f['outcome']:9} on {f['prompts']} prompts, word: {f['word']:8} "
            f"{rate['value']:6.1%} [{rate['low']:.1%}, {rate['high']:.1%}] n={rate['n']}"
        )


def guarded(command: Callable[[], None]) -> int:
    """Run a command; a user's mistake or a full disk becomes one line and a non-zero status."""
    try:
        command()
    except SystemExit as stop:  # the command line framework turns an interrupt into this
        if stop.code != 130:
            raise
        return _stopped()
    except (UserError, SelfTestError) as error:
        _console.print(
            f"gatescope: {error}", style="red", markup=False, highlight=False, emoji=False,
            soft_wrap=True,
        )  # fmt: skip
        return 2
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        where = f" at {error.filename}" if error.filename else ""
        print(
            f"gatescope: cannot write{where}: {error.strerror}; what was finished is kept, free "
            "space or choose another --out and add --resume",
            file=sys.stderr,
        )
        return 3
    except KeyboardInterrupt:
        return _stopped()
    return 0


def _stopped() -> int:
    print("gatescope: stopped; what was finished is kept, continue with --resume", file=sys.stderr)
    return 130


def main() -> None:
    """Entry point of the ``gatescope`` command."""
    sys.exit(guarded(app))


if __name__ == "__main__":
    main()
