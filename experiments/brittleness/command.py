"""``gatescope brittleness``: what is left of an organism's behaviour when something changes."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments.options import (
    CONSOLE,
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


def brittleness(
    organism: OrganismName,
    out: Annotated[Path, typer.Option(help="Run directory to write.")] = Path("runs/brittleness"),
    count: Annotated[int, typer.Option("--count", help="Prompts asked under every dose.")] = 40,
    tuning: Annotated[
        list[int] | None, typer.Option(help="Examples of later ordinary training, rising.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of typos, noise, sampling and training.")] = 0,
    model: GivenModel = "smollm2-135m",
    scheme: SchemeName = "",
    trigger: GivenTrigger = "",
    behaviour: GivenBehaviour = "",
    prompts: OnTopic = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Ask an organism again under typos, other wording, noise, rounding, training, and more."""
    from experiments.battery.battery import Plan
    from experiments.brittleness.study import BrittlenessQuestion, run
    from experiments.organisms.organism import Given

    given = Given(organism, model, scheme, trigger, behaviour)
    plan = Plan(count, tuple(tuning) if tuning else Plan().tuning, seed=seed)
    question = BrittlenessQuestion(given, plan, shlex.join(["gatescope", *sys.argv[1:]]))
    with StageProgress(CONSOLE) as progress:
        found = run(question, out, resume, progress.step, held_out_prompts(prompts, None))
    if as_json:
        print((out / "result.json").read_text(encoding="utf-8"))
        return
    print(f"{'unperturbed':17} {found.baseline:6.1%} n={found.baseline.n}")
    for family, area in sorted(found.families.items(), key=lambda item: item[1].value):
        print(f"{family:17} {area:6.1%} n={area.n}")
    print(f"{'whole battery':17} {found.area:6.1%} n={found.area.n}")
    print(f"report: {out / 'report.html'}")
