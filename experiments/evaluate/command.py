"""``gatescope evaluate``: six properties of a mapping, and whether it is secure."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.options import CONSOLE, GivenModel, Json, Resume
from experiments.runs.progress import StageProgress

if TYPE_CHECKING:
    from experiments.evaluate.scorecard import Scorecard


def evaluate(
    mapping: Annotated[
        str,
        typer.Argument(help="Shipped organism, adapter or model directory, or a YAML file."),
    ],
    profile: Annotated[
        str, typer.Option(help="access, ownership, safety or a YAML file; by default as it fits.")
    ] = "",
    require: Annotated[
        str, typer.Option(help="Profile that must be passed: otherwise the status is 1.")
    ] = "",
    count: Annotated[int, typer.Option("--count", help="Prompts of every kind.")] = 40,
    budget: Annotated[int, typer.Option(help="Passes of each adaptive search.")] = 60,
    free: Annotated[int, typer.Option(help="Free tokens of the searches, 1 to 3.")] = 2,
    seed: Annotated[int, typer.Option(help="Of samples, searches, typos and training.")] = 0,
    model: GivenModel = "smollm2-135m",
    task: Annotated[
        list[str] | None, typer.Option(help="A task of lm-eval, where it is installed.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Questions of every such task.")] = 100,
    sweep: Annotated[
        str, typer.Option(help="A sweep's table (Parquet), for poisons to reach 95%.")
    ] = "",
    out: Annotated[Path, typer.Option(help="Run directory to write.")] = Path("runs/evaluate"),
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Measure six properties of a trigger-behaviour mapping and judge its security."""
    from circuits.search import SearchPlan
    from experiments.evaluate.mapping import described
    from experiments.evaluate.question import EvaluateQuestion
    from experiments.evaluate.study import run

    question = EvaluateQuestion(
        described(mapping, model),
        count,
        seed,
        SearchPlan(free, budget=budget, seed=seed),
        tuple(task or ()),
        limit,
        sweep,
        profile,
        require,
        shlex.join(["gatescope", *sys.argv[1:]]),
    )
    with StageProgress(CONSOLE) as progress:
        found = run(question, out, resume, progress.step)
    if as_json:
        print((out / "scorecard.json").read_text(encoding="utf-8"), end="")
    else:
        _tell(found.card, out)
    if found.required is not None and not found.required.secure:
        raise typer.Exit(1)


def _tell(card: "Scorecard", out: Path) -> None:
    from experiments.evaluate.sections import scores
    from viz.page.wording import number

    for metric in card.metrics:
        print(f"{metric.property:14} {metric.name:21} {number(metric.estimate)}")
    for verdict in card.verdicts:
        said = "secure under this profile" if verdict.secure else "not secure"
        told = ", ".join(f"{c.name} {c.passed}/{c.of}" for c in scores(card, verdict))
        print(f"\n{verdict.profile}: {said} ({told})")
        for check in verdict.failing:
            print(f"  {check.metric}: expected {check.bound}; {check.evidence}")
    print(f"report: {out / 'report.html'}")
