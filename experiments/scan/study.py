"""``gatescope scan``: a suspect and clean models scanned alike -> alarms, false positives, page.

``stages/MODEL/`` has every reading: a scan that was killed goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from circuits.chat import Chat, chats, place_of
from experiments.organisms.organism import UNKNOWN, Given, Organism, identity, open_organism
from experiments.runs import files, older
from experiments.runs.codec import as_json
from experiments.runs.stages import Stages, Step
from experiments.scan.question import BASE, ScanQuestion, base_of, carriers, stray_words
from experiments.scan.scan import SCHEMA, Scan, ScanResult, readers, scan, scan_json
from experiments.study import Rows, Run, Study, stated


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
            open_organism(_like(given, "none" if name == BASE else name), UNKNOWN),
            seed + (name == BASE),
        )
        for i, name in enumerate(question.clean)
    ]
    return (Arm(given.name, "suspect", open_organism(given, UNKNOWN), seed), *others)


def _like(given: Given, name: str) -> Given:
    """Another adapter of the suspect's model, asked as it is."""
    return Given(name, base_of(given), rendering=given.rendering)


def hashes(question: ScanQuestion, arms: Arms) -> dict[str, Any]:
    """What the numbers depend on besides the question."""
    texts = [text for part in carriers(question.plan) for text in part]
    return {
        "models": {arm.name: identity(arm.organism) for arm in arms},
        "prompts_sha256": files.text_sha256([*texts, *stray_words(1)]),
    }


def measured(run: Run[ScanQuestion, Arms]) -> ScanResult:
    """Every model scanned; what an earlier run has left is read."""
    scans = [_scanned(run, arm) for arm in run.subject]
    trigger = run.subject[0].organism.recipe.trigger
    return ScanResult(scans[0], tuple(scans[1:]), place_of(trigger)[0] if trigger else "")


def _scanned(run: Run[ScanQuestion, Arms], arm: Arm) -> Scan:
    def step(stage: str, done: int, total: int) -> None:
        run.step(f"{arm.name}: {stage.rpartition('/')[2]}", done, total)

    plan, model = run.question.plan, base_of(run.question.given)
    own, base = readers(arm.organism, arm.name, model, plan.place)
    stages = Stages(run.folder, step, older=older.beside, part=arm.stem)
    return scan(arm.name, own, base, replace(plan, seed=arm.seed), stages)


def scores(run: Run[ScanQuestion, Arms], result: ScanResult) -> dict[str, Rows]:
    """Every candidate of every model."""
    rows = [
        {"model": one.name, "rank": i, **as_json(row)}
        for one in (result.suspect, *result.clean)
        for i, row in enumerate(one.scored, 1)
    ]
    return {"scores": rows}


def written(run: Run[ScanQuestion, Arms], result: ScanResult) -> dict[str, Any]:
    """The result file's value."""
    named = {"word": result.named, "rank": result.named_rank}
    parts = {
        "suspect": scan_json(result.suspect),
        "clean": [scan_json(one, best=10) for one in result.clean],
        "false_alarms": result.false_alarms,
        "named": named if result.named else None,
    }
    return stated(run, parts)


def lines(result: ScanResult) -> Iterator[str]:
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


def _asked(question: ScanQuestion, arms: Arms) -> tuple[Any, list[Chat]]:
    """The carriers, to which a scan puts its words."""
    texts = [text for part in carriers(question.plan) for text in part]
    return arms[0].organism.tokenizer, chats(texts)


def _page(run: Run[ScanQuestion, Arms], result: ScanResult) -> Any:
    from experiments.scan.sections import page  # plotly is slow to import

    return page(run, result)


STUDY = Study(
    name="scan",
    kind="scan",
    schema=SCHEMA,
    question=ScanQuestion,
    open=opened,
    identity=hashes,
    measure=measured,
    asked=_asked,
    lines=lines,
    page=_page,
    tables=scores,
    written=written,
)
