"""``gatescope defend``: defences of an organism, put to the test, also against who knows them."""

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
    OrganismName,
    Resume,
    SchemeName,
)
from experiments.runs.progress import StageProgress


def defend(
    organism: OrganismName,
    out: Annotated[Path, typer.Option(help="Run directory to write.")] = Path("runs/defend"),
    analysis: Annotated[
        Path | None, typer.Option("--run", help="A finished analysis to take the gate from.")
    ] = None,
    defence: Annotated[
        list[str] | None, typer.Option(help="One defence, repeatable; all by default.")
    ] = None,
    count: Annotated[int, typer.Option("--count", help="Prompts to a family.")] = 40,
    attacker: Annotated[bool, typer.Option(help="Train an adaptive attacker as well.")] = True,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    model: GivenModel = "smollm2-135m",
    scheme: SchemeName = "",
    trigger: GivenTrigger = "",
    behaviour: GivenBehaviour = "",
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Judge defences on several prompt families, by their harm, and against who knows them."""
    from experiments.defend.attacker import Budget
    from experiments.defend.question import DefenceQuestion
    from experiments.defend.study import run
    from experiments.organisms.organism import Given

    question = DefenceQuestion(
        Given(organism, model, scheme, trigger, behaviour),
        tuple(defence or ()),
        count,
        str(analysis) if analysis else "",
        Budget() if attacker else None,
        seed,
        shlex.join(["gatescope", *sys.argv[1:]]),
    )
    with StageProgress(CONSOLE) as progress:
        found = run(question, out, resume, progress.step)
    if as_json:
        print((out / "result.json").read_text(encoding="utf-8"))
        return
    from experiments.defend.sections import headline

    print(
        f"{'defence':18} {'success, worst family':24} {'attacked':18} {'drift':>8} "
        f"{'utility':>8} holds"
    )
    for row in found.rows:
        worst, utility = f"{row.worst.after:.0%}", f"{100 * row.utility.difference.value:+.1f}"
        attacked = f"{row.attack.worst.after:.0%}" if row.attack else ""
        print(
            f"{row.name:18} {worst:24} {attacked:18} {row.kl.value:8.4f} "
            f"{utility:>8} {'yes' if row.holds else 'no'}"
        )
    print(headline(found))
    print(f"report: {out / 'report.html'}")
