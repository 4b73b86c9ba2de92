"""``gatescope geometry``: density and complexity of one organism."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments.options import (
    CONSOLE,
    Elsewhere,
    GivenBehaviour,
    GivenModel,
    GivenTrigger,
    Json,
    OnTopic,
    OrganismName,
    Resume,
    SchemeName,
    held_out_prompts,
)
from experiments.runs.progress import StageProgress


def geometry(
    organism: OrganismName,
    out: Annotated[Path, typer.Option(help="Run directory to write.")] = Path("runs/geometry"),
    pairs: Annotated[int, typer.Option(help="Prompts with and without the trigger.")] = 150,
    model: GivenModel = "smollm2-135m",
    scheme: SchemeName = "",
    trigger: GivenTrigger = "",
    behaviour: GivenBehaviour = "",
    prompts: OnTopic = None,
    other_prompts: Elsewhere = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Measure how dense and how complex an organism's gate is, by layer, beside what nulls give."""
    from experiments.geometry.prediction import foretold
    from experiments.geometry.record import late
    from experiments.geometry.study import GeometryQuestion, run
    from experiments.geometry.summary import band
    from experiments.organisms.organism import Given

    given = Given(organism, model, scheme, trigger, behaviour)
    command = shlex.join(["gatescope", *sys.argv[1:]])
    question = GeometryQuestion(given, pairs, command=command)
    with StageProgress(CONSOLE) as progress:
        texts = held_out_prompts(prompts, other_prompts)
        report = run(question, out, resume, progress.step, texts)
    if as_json:
        print((out / "result.json").read_text(encoding="utf-8"))
        return
    layers = late(report.layers[-1] + 1)
    for name in report.organism.values:
        found = band(report, name, layers)
        null = band(report, name, layers, "untrained_trigger")
        print(f"{name:29} {found:8.3f}   untrained trigger {null:8.3f}")
    said = foretold(report)
    beyond = f" (beyond what it has seen: {', '.join(said.outside)})" if said.outside else ""
    print(f"the zoo's predictor, not shown to hold across schemes: {said.area:.0%} kept{beyond}")
    print(f"report: {out / 'report.html'}")
