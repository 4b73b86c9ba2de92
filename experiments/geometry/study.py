"""``gatescope geometry``: pairs -> activations (kept) -> density and complexity -> page."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.geometry.design import Design, design
from experiments.geometry.prediction import foretold
from experiments.geometry.record import Recorded, record
from experiments.organisms.hashes import identity
from experiments.organisms.organism import Given, Organism, open_organism
from experiments.prompts.bank import HeldOut
from experiments.runs import files
from probes.geometry import GeometryReport, geometry

SCHEMA = "gatescope.geometry/1"
ACTIVATIONS, RESULT = "activations.safetensors", "result.json"
Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class GeometryQuestion:
    """What a geometry is asked.

    Attributes:
        given: the organism.
        pairs: prompts with and without the trigger, half of them of its topic.
        crossed: how many of them are followed from clean to triggered.
        command: what the user typed.
    """

    given: Given
    pairs: int = 150
    crossed: int = 24
    command: str = "gatescope geometry"


def run(
    question: GeometryQuestion, folder: Path, resume: bool, step: Step, texts: HeldOut | None = None
) -> GeometryReport:
    """Record, measure, and write the run directory.

    Files: ``manifest.json``, ``activations.safetensors``, ``result.json`` (schema
    ``gatescope.geometry/1``) and ``report.html``.

    Raises:
        UserError: organism, prompts or directory cannot be used.
    """
    from experiments.geometry.sections import page  # plotly is slow to import

    organism = open_organism(question.given)
    made = design(organism.recipe, organism.tokenizer, question.pairs, texts)
    files.open_run(folder, _manifest(question, organism, made), resume)
    found = recorded(question, organism, made, folder, step)
    step("geometry", 0, 1)
    report = geometry(found.sets(made))
    step("geometry", 1, 1)
    said = foretold(report)
    about = {
        "schema": SCHEMA,
        "question": asdict(question),
        "report": report.to_json(),
        "foretold": said.to_json(),
    }
    html = page(question.given.name, question.command, organism.recipe, report, found, said)
    files.write_json(folder / RESULT, about)
    files.write_atomically(folder / "report.html", html.encode())
    return report


def recorded(
    question: GeometryQuestion, organism: Organism, made: Design, folder: Path, step: Step
) -> Recorded:
    """The activations: read where an earlier run has left them, otherwise recorded and kept."""
    path = folder / ACTIVATIONS
    if not path.is_file():
        found = record(
            organism, made, question.crossed, lambda done, total: step("record", done, total)
        )
        files.write_tensors(path, found.tensors(), {"of": question.given.name})
    return Recorded.from_tensors(files.read_tensors(path))


def _manifest(question: GeometryQuestion, organism: Organism, made: Design) -> files.Manifest:
    texts = [repr(chat) for side in (made.clean, made.triggered, made.untrained) for chat in side]
    about: dict[str, Any] = {
        **{name: value for name, value in asdict(question).items() if name != "command"},
        **identity(organism),
        "prompts_sha256": files.text_sha256([*texts, *made.targets]),
    }
    return files.Manifest(kind="geometry", question=about, command=question.command)
