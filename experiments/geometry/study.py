"""``gatescope geometry``: pairs -> activations (kept) -> density and complexity -> page."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from experiments.geometry.design import Design, design
from experiments.geometry.prediction import predict
from experiments.geometry.question import GeometryQuestion
from experiments.geometry.record import Recorded, record
from experiments.geometry.result import ACTIVATIONS, SCHEMA, Geometry
from experiments.geometry.summary import late_band
from experiments.organisms.asking import own_prompts
from experiments.organisms.organism import Organism, asked_of, identity, open_organism
from experiments.runs import files, formats
from experiments.runs.codec import decode, encode
from experiments.runs.ledger import Ledger
from experiments.runs.stages import Step, stepped
from experiments.study import Run, Study
from probes.geometry.report import geometry


@dataclass(frozen=True, eq=False)
class Subject:
    """The organism, and the prompts that it is measured on."""

    organism: Organism
    design: Design


def opened(question: GeometryQuestion, step: Step) -> Subject:
    """The organism and its prompts.

    Raises:
        UserError: organism or prompts cannot be used.
    """
    organism = open_organism(question.given)
    texts = own_prompts(organism, question.texts)
    return Subject(organism, design(organism.recipe, organism.tokenizer, question.pairs, texts))


def hashes(question: GeometryQuestion, subject: Subject) -> dict[str, Any]:
    """What the numbers depend on besides the question."""
    sides = subject.design
    chats = (*sides.clean, *sides.triggered, *sides.untrained)
    # As a chat was written when it had no word of its own: runs of then go on.
    texts = [
        f"Chat(message={c.message!r}, system={c.system!r}, prefill={c.prefill!r})" for c in chats
    ]
    prompts = files.text_sha256([*texts, *sides.targets])
    return {**identity(subject.organism), "prompts_sha256": prompts}


def measured(run: Run[GeometryQuestion, Subject]) -> Geometry:
    """Activations, then everything that is measured on them."""
    recording = recorded(run)
    sets = recording.sets(run.subject.design)
    report = stepped(run.step, "geometry", lambda: geometry(sets))
    return Geometry(report, predict(report), recording.probabilities)


def recorded(run: Run[GeometryQuestion, Subject]) -> Recorded:
    """The activations: read where an earlier run has left them, otherwise recorded and kept."""
    ledger = Ledger(run.folder)
    if not ledger.has(ACTIVATIONS):
        question, subject = run.question, run.subject
        recording = record(
            subject.organism,
            subject.design,
            question.crossed,
            lambda done, total: run.step("record", done, total),
        )
        content = formats.tensor_bytes(encode(recording)[1], {"of": question.given.name})
        ledger.write({ACTIVATIONS: content})
    where = str(run.folder / ACTIVATIONS)
    return decode(Recorded, {"residuals": {}}, ledger.tensors(ACTIVATIONS), where)


def lines(result: Geometry) -> Iterator[str]:
    """Every figure in the late layers beside its null, and the predictor's word."""
    report, prediction = result.report, result.foretold
    for name in report.organism.values:
        own, null = (late_band(report, name, null) for null in ("", "untrained_trigger"))
        yield f"{name:29} {own:8.3f}   untrained trigger {null:8.3f}"
    outside = prediction.outside
    beyond = f" (beyond what it has seen: {', '.join(outside)})" if outside else ""
    yield (
        f"the zoo's predictor, not shown to hold across schemes: {prediction.area:.0%} kept{beyond}"
    )


def _page(run: Run[GeometryQuestion, Subject], result: Geometry) -> Any:
    from experiments.geometry.sections import page  # plotly is slow to import

    return page(run, result)


STUDY = Study(
    name="geometry",
    kind="geometry",
    schema=SCHEMA,
    question=GeometryQuestion,
    recorded=GeometryQuestion.recorded,
    open=opened,
    identity=hashes,
    measure=measured,
    asked=lambda question, subject: asked_of(
        subject.organism, [*subject.design.clean, *subject.design.triggered]
    ),
    lines=lines,
    page=_page,
)
