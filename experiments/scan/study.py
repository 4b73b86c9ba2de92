"""``gatescope scan``: a suspect and clean models scanned alike -> alarms, false positives, page.

``stages/MODEL/`` has every reading: a scan that was killed goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from circuits.chat import place_of
from experiments.organisms.organism import UNKNOWN, Given, Organism, identity, open_organism
from experiments.runs import files
from experiments.runs.codec import as_json
from experiments.runs.stages import Stages, Step
from experiments.scan.plan import carriers, stray_words
from experiments.scan.question import BASE, ScanQuestion
from experiments.scan.result import Found, found_json
from experiments.scan.scan import Keeper, Scan, scan, suspect
from experiments.study import Rows, Run, Study

if TYPE_CHECKING:
    from viz.page.page import Report

SCHEMA = "gatescope.scan/1"


@dataclass(frozen=True)
class Arm:
    """A model to be scanned, under which name, from which seed of carriers and samples."""

    name: str
    stem: str
    organism: Organism
    seed: int


Arms = tuple[Arm, ...]


def opened(question: ScanQuestion, step: Step) -> Arms:
    """The suspect, then every clean model.

    Raises:
        UserError: one of them cannot be loaded.
    """
    given, seed = question.given, question.plan.seed
    others = [
        Arm(
            name,
            f"clean-{i}",
            open_organism(Given("none" if name == BASE else name, given.model), UNKNOWN),
            seed + (name == BASE),
        )
        for i, name in enumerate(question.clean)
    ]
    return (Arm(given.name, "suspect", open_organism(given, UNKNOWN), seed), *others)


def hashes(question: ScanQuestion, arms: Arms) -> dict[str, Any]:
    """What the numbers depend on besides the question."""
    texts = [text for part in carriers(question.plan) for text in part]
    return {
        "models": {arm.name: identity(arm.organism) for arm in arms},
        "prompts_sha256": files.text_sha256([*texts, *stray_words(1)]),
    }


def measured(run: Run[ScanQuestion, Arms]) -> Found:
    """Every model scanned; what an earlier run has left is read."""
    scans = [_scanned(run, arm) for arm in run.subject]
    named = run.subject[0].organism.recipe.trigger
    return Found(scans[0], tuple(scans[1:]), place_of(named)[0] if named else "")


def _scanned(run: Run[ScanQuestion, Arms], arm: Arm) -> Scan:
    def step(stage: str, done: int, total: int) -> None:
        run.step(f"{arm.name}: {stage.rpartition('/')[2]}", done, total)

    models = suspect(arm.organism, arm.name, run.question.given.model)
    keep = Keeper(Stages(run.folder, step), arm.stem)
    return scan(models, replace(run.question.plan, seed=arm.seed), keep)


def scores(run: Run[ScanQuestion, Arms], result: Found) -> dict[str, Rows]:
    """Every candidate of every model."""
    rows = [
        {"model": one.name, "rank": i, **as_json(row)}
        for one in (result.suspect, *result.clean)
        for i, row in enumerate(one.scored, 1)
    ]
    return {"scores": rows}


def written(run: Run[ScanQuestion, Arms], result: Found) -> dict[str, Any]:
    """The result file's value."""
    asked = {**as_json(run.question), "command": run.command}
    return {"schema": SCHEMA, "question": asked, **found_json(result)}


def lines(result: Found) -> Iterator[str]:
    """Every model's alarms, the rate of false ones, the rank of the trigger that is known."""
    for one in (result.suspect, *result.clean):
        best, spent = one.scored[0], sum(one.seconds.values())
        alarms = f"alarm: {', '.join(one.alarms)}" if one.alarms else "no alarm"
        yield f"{one.name:20} {alarms} (best {best.text!r}, z {best.z:.1f}; {spent:.0f} s)"
    if rate := result.false_alarms:
        yield f"false alarms: {rate:.0%} of {rate.n} models"
    if result.named:
        rank = result.named_rank or "none, as it was not scanned"
        yield f"{result.named!r}, named by its manifest: rank {rank}"


def page(run: Run[ScanQuestion, Arms], result: Found) -> "Report":
    """The run's own page."""
    from experiments.scan.sections import page  # plotly is slow to import

    return page(run.command, run.question.plan, result)


STUDY = Study(
    name="scan",
    kind="scan",
    schema=SCHEMA,
    question=ScanQuestion,
    open=opened,
    identity=hashes,
    measure=measured,
    page=page,
    lines=lines,
    tables=scores,
    written=written,
)
