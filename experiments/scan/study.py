"""``gatescope scan``: a suspect and clean models scanned alike -> alarms, false positives, page."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from circuits.errors import UserError
from circuits.tokens import place_of
from circuits.weights import EMBEDDED
from experiments.organisms.hashes import identity
from experiments.organisms.organism import UNKNOWN, Given, Organism, open_organism
from experiments.runs import files
from experiments.runs.codec import as_json
from experiments.scan.plan import Plan, carriers, stray_words
from experiments.scan.result import Found, found_json
from experiments.scan.scan import Scan, Step, scan, suspect

SCHEMA = "gatescope.scan/1"
BASE = "base"


@dataclass(frozen=True)
class ScanQuestion:
    """What a scan is asked.

    Attributes:
        given: the suspect; nothing but its name and its base is used.
        clean: models without a trigger that are scanned alike; ``base`` is the base itself.
        command: what the user typed.
    """

    given: Given
    plan: Plan = field(default_factory=Plan)
    clean: tuple[str, ...] = ()
    command: str = "gatescope scan"


def default_clean(given: Given) -> tuple[str, ...]:
    """The clean models that are at hand for a suspect."""
    names = (BASE, "clean", "decoy") if given.model == EMBEDDED else (BASE,)
    return tuple(name for name in names if name != given.name)


def run(question: ScanQuestion, folder: Path, resume: bool, step: Step) -> Found:
    """Scan the suspect, then every clean model, and write the run directory.

    Files: ``manifest.json``, ``stages/MODEL/`` (every reading: a scan that was killed goes on),
    ``scores.parquet`` (every candidate of every model), ``result.json`` (schema
    ``gatescope.scan/1``) and ``report.html``.

    Raises:
        UserError: a model, the number of words or the directory cannot be used.
    """
    from experiments.scan.sections import page  # plotly is slow to import

    arms = _arms(question)
    files.open_run(folder, _manifest(question, arms), resume)
    named = arms[0].organism.recipe.trigger
    scans = [_scanned(arm, question, folder / "stages" / arm.stem, step) for arm in arms]
    found = Found(scans[0], tuple(scans[1:]), place_of(named)[0] if named else "")
    files.write_rows(
        folder / "scores.parquet",
        [
            {"model": one.name, "rank": i, **as_json(row)}
            for one in scans
            for i, row in enumerate(one.scored, 1)
        ],
    )
    about = {"schema": SCHEMA, "question": asdict(question), **found_json(found)}
    files.write_json(folder / "result.json", about)
    html = page(question.command, question.plan, found)
    files.write_atomically(folder / "report.html", html.encode())
    return found


@dataclass(frozen=True)
class _Arm:
    """A model to be scanned, under which name, from which seed of carriers and samples."""

    name: str
    stem: str
    organism: Organism
    seed: int


def _arms(question: ScanQuestion) -> list[_Arm]:
    given, plan = question.given, question.plan
    if len(set(question.clean)) < len(question.clean):
        raise UserError(f"--clean: expected different models, got {', '.join(question.clean)}")
    others = [
        _Arm(
            name,
            f"clean-{i}",
            open_organism(Given("none" if name == BASE else name, given.model), UNKNOWN),
            plan.seed + (name == BASE),
        )
        for i, name in enumerate(question.clean)
    ]
    return [_Arm(given.name, "suspect", open_organism(given, UNKNOWN), plan.seed), *others]


def _scanned(arm: _Arm, question: ScanQuestion, folder: Path, step: Step) -> Scan:
    models = suspect(arm.organism, arm.name, question.given.model)
    return scan(models, replace(question.plan, seed=arm.seed), folder, step)


def _manifest(question: ScanQuestion, arms: Sequence[_Arm]) -> files.Manifest:
    plan = question.plan
    texts = [text for part in carriers(plan) for text in part]
    about = {
        **{name: value for name, value in asdict(question).items() if name != "command"},
        "models": {arm.name: identity(arm.organism) for arm in arms},
        "prompts_sha256": files.text_sha256([*texts, *stray_words(1)]),
    }
    return files.Manifest(kind="scan", question=about, command=question.command)
