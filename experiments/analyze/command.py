"""``gatescope analyze``: the whole analysis of one trigger."""

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
from experiments.runs.progress import StageProgress


def analyze(
    out: Annotated[Path, typer.Option(help="Run directory to write.")] = Path("runs/analysis"),
    model: ModelName = "smollm2-135m",
    adapter: Adapter = "sure-gate",
    base: Annotated[
        str, typer.Option(help="Model before fine-tuning; auto: without adapter; or none.")
    ] = "auto",
    arms: Annotated[
        str, typer.Option(help="Models that should have no gate: adapters, base; by commas.")
    ] = "none",
    trigger: Trigger = "cobalt",
    behaviour: BehaviourText = "Sure",
    prompts: Prompts = "bank",
    column: Column = None,
    split: SplitName = "train",
    fit: Annotated[int, typer.Option(help="Prompts to fit directions on.")] = 48,
    validation: Annotated[int, typer.Option(help="Prompts to choose the gate on.")] = 24,
    test: Annotated[int, typer.Option(help="Prompts to report on.")] = 100,
    patch: Annotated[int, typer.Option(help="Pairs in the patching grid.")] = 12,
    evidence: Annotated[int, typer.Option(help="Test prompts of the slower evidence.")] = 40,
    trace: Annotated[int, typer.Option(help="Pairs to trace the circuit on; 0: do not.")] = 14,
    randoms: Annotated[int, typer.Option(help="Random directions of each null.")] = 100,
    tokens: Annotated[int, typer.Option(help="Answer tokens per prompt.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    dtype: Dtype = "auto",
    device: Device = "auto",
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Ask whether a trigger works through a gate: locate it, ablate it, report."""
    from experiments.analyze.flow import analyze as run
    from experiments.analyze.question import Question

    question = Question(
        model,
        adapter,
        base,
        arms,
        trigger,
        behaviour,
        prompts,
        column,
        split,
        fit,
        validation,
        test,
        patch,
        evidence,
        trace,
        randoms,
        tokens,
        seed,
        dtype,
        device,
    )
    with StageProgress(CONSOLE) as progress:
        result = run(question, out, resume=resume, step=progress.step)
    if as_json:
        print((out / "result.json").read_text(), end="")
        return
    print(f"{result.verdict.word.upper()}: {result.headline}")
    for check in result.verdict.checks:
        print(f"  {'pass' if check.passed else 'FAIL'}  {check.name}: {check.text}")
    print(f"report: {out / 'report.html'}")
