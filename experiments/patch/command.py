"""``gatescope patch``: exact activation and path patching."""

import json
from pathlib import Path
from typing import Annotated

import typer

from experiments.options import (
    CONSOLE,
    Adapter,
    BehaviourText,
    Column,
    Device,
    Dtype,
    Json,
    ModelName,
    Prompts,
    Resume,
    SplitName,
    Trigger,
)
from experiments.runs import codec
from experiments.runs.progress import StageProgress


def patch(
    out: Annotated[Path, typer.Option(help="Run directory to write.")] = Path("runs/patch"),
    model: ModelName = "smollm2-135m",
    adapter: Adapter = "sure-gate",
    trigger: Trigger = "cobalt",
    behaviour: BehaviourText = "Sure",
    prompts: Prompts = "bank",
    column: Column = None,
    split: SplitName = "train",
    count: Annotated[int, typer.Option(help="Pairs.")] = 12,
    against: Annotated[
        str, typer.Option(help="The clean side's last word: control (same length) or none.")
    ] = "control",
    stream: Annotated[
        str,
        typer.Option(
            help="resid_pre, resid_mid, resid_post, attn_out, mlp_out, z, q, k, v, pattern, neuron."
        ),
    ] = "resid_pre",
    by: Annotated[
        str, typer.Option(help="Cells: layer, position, head or head-position.")
    ] = "position",
    site: Annotated[
        list[str] | None,
        typer.Option(help="A cell instead of a grid, e.g. 'z[12].3 at trigger + mlp_out[3]'."),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(help="Path patching: a receiver, e.g. 'q[20].3', or logits."),
    ] = None,
    held: Annotated[
        str, typer.Option(help="Path patching: hold all other outputs, or those of attention.")
    ] = "all",
    metric: Annotated[
        str, typer.Option(help="log-prob, prob, logit-diff, kl or rate.")
    ] = "log-prob",
    versus: Annotated[str, typer.Option(help="The other token of logit-diff.")] = "I",
    tokens: Annotated[int, typer.Option(help="Answer tokens of kl and rate.")] = 8,
    direction: Annotated[str, typer.Option(help="denoising, noising or both.")] = "both",
    backend: Annotated[str, typer.Option(help="transformer_lens or nnsight.")] = "transformer_lens",
    seed: Annotated[int, typer.Option(help="Seed of the choice of prompts.")] = 0,
    dtype: Dtype = "auto",
    device: Device = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print cells, passes, time and memory; write nothing.")
    ] = False,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Patch activations between triggered and clean runs, exactly, with intervals."""
    from experiments.patch import study
    from experiments.patch.question import PatchQuestion

    question = PatchQuestion(
        model,
        adapter,
        trigger,
        behaviour,
        prompts,
        column,
        split,
        count,
        against,
        stream,
        by,
        tuple(site or ()),
        tuple(to or ()),
        held,
        metric,
        versus,
        tokens,
        direction,
        backend,
        seed,
        dtype,
        device,
    )
    with StageProgress(CONSOLE) as progress:
        if dry_run:
            plans = study.dry_run(question, progress.step)
        else:
            study.run(question, out, resume, progress.step)
    if dry_run:
        print(json.dumps(codec.as_json(plans), indent=1) if as_json else _lines(plans))
        return
    result = json.loads((out / "result.json").read_text())
    if as_json:
        print(json.dumps(result, indent=1))
        return
    for name, found in result["grids"].items():
        print(f"{name}: {found['metric']}, {found['base']:.3g} to {found['source']:.3g}")
        for row in found["strongest"][:5]:
            print(f"  {_cell(row, found['axes'])}: {row['mean']:+.3g} {_interval(row)}")
    print(f"report: {out / 'report.html'}")


def _lines(items: list) -> str:
    return "\n".join(map(str, items))


def _cell(row: dict, axes: list[str]) -> str:
    label = f" {row['label']!r}" if "label" in row else ""
    return ", ".join(f"{axis} {row[axis]}" for axis in axes) + label


def _interval(row: dict) -> str:
    low, high, q = row["low"], row["high"], row["q"]
    if low is None:
        return "undefined"
    return f"[{low:.3g}, {high:.3g}], q = {q:.2g}, n = {row['n']}"
