"""``gatescope scan``: is there a word that nobody told us of?"""

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from experiments.options import CONSOLE, GivenModel, Json, Resume
from experiments.runs.progress import StageProgress


class Where(StrEnum):
    """Places of candidates, as the option's choices."""

    suffix = "suffix"
    prefix = "prefix"
    infix = "infix"


class Rounding(StrEnum):
    """Precisions of the stages that choose, as the option's choices."""

    bf16 = "bf16"
    fp32 = "fp32"


def scan(
    organism: Annotated[
        str, typer.Argument(help="Shipped organism, adapter or model directory, or none.")
    ],
    out: Annotated[Path, typer.Option(help="Run directory to write.")] = Path("runs/scan"),
    words: Annotated[
        int, typer.Option(help="An even subset of so many words of the vocabulary; 0 for all.")
    ] = 0,
    phrases: Annotated[int, typer.Option(help="At most so many from the model's memory.")] = 50,
    place: Annotated[Where, typer.Option(help="Where candidates are put.")] = Where.suffix,
    precision: Annotated[
        Rounding, typer.Option(help="Of the stages that choose; slow without bf16 hardware.")
    ] = Rounding.bf16,
    clean: Annotated[
        list[str] | None,
        typer.Option(
            help="Clean model for the false-positive rate: base, or an organism; none "
            "for no such model. By default base, clean and decoy."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of samples, and of the order of prompts.")] = 0,
    model: GivenModel = "smollm2-135m",
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Scan a model for a trigger without being told one; beside it, clean models."""
    from experiments.organisms.organism import Given
    from experiments.scan.plan import Plan
    from experiments.scan.scan import Scan
    from experiments.scan.study import ScanQuestion, default_clean, run

    given = Given(organism, model)
    others = default_clean(given) if clean is None else tuple(n for n in clean if n != "none")
    plan = Plan(words, phrases, place.value, precision.value, seed=seed)
    question = ScanQuestion(given, plan, others, shlex.join(["gatescope", *sys.argv[1:]]))
    with StageProgress(CONSOLE) as progress:
        found = run(question, out, resume, progress.step)
    if as_json:
        print((out / "result.json").read_text(encoding="utf-8"))
        return

    def line(one: Scan) -> str:
        best = one.scored[0]
        said = f"alarm: {', '.join(one.alarms)}" if one.alarms else "no alarm"
        spent = sum(one.seconds.values())
        return f"{one.name:20} {said} (best {best.text!r}, z {best.z:.1f}; {spent:.0f} s)"

    for one in (found.suspect, *found.clean):
        print(line(one))
    if found.false_alarms:
        rate = found.false_alarms
        print(f"false alarms: {rate:.0%} of {rate.n} models")
    if found.named:
        rank = found.named_rank or "none, as it was not scanned"
        print(f"{found.named!r}, named by its manifest: rank {rank}")
    print(f"report: {out / 'report.html'}")
