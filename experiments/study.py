"""One shape for every command that measures: a question, what is opened, measured, shown.

To make a command ``X``:

1. ``X/question.py``: a frozen dataclass. A field that the terminal asks for is annotated with
   typer's ``Option`` or ``Argument``, so that help and default stand there (the rules are in
   ``experiments.options``). What cannot be asked is refused in ``__post_init__``, in one line.
2. ``X/study.py``: ``open``, ``identity``, ``measure`` and ``lines`` of this question, and the
   ``STUDY`` of them. ``measure`` returns a record, whose fields are those of the result file.
3. ``X/sections.py``: ``page``, the run's page (viz's ``Report``) of a run and its result; it is
   imported when it is made: plotly is slow.
4. ``X/beside.py``: the ``JOINT`` by which finished runs enter the page of several runs.
5. A row in ``experiments.studies``.

Options, progress, ``--resume``, run directory, result, tables, page and ``--json`` come from here.
``run(STUDY, question, folder)`` is what the command line calls, and what a notebook can.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from circuits.errors import UserError, writing
from circuits.templates import AS_IT_IS
from experiments.checks import text
from experiments.options import command_line
from experiments.runs import files, formats, locks
from experiments.runs.codec import as_json, encode
from experiments.runs.ledger import Ledger
from experiments.runs.stages import Step, stepped

if TYPE_CHECKING:
    from circuits.chat import Chat
    from circuits.rendered import Part
    from viz.page.page import Report, Section, Table

Q, S, R = TypeVar("Q"), TypeVar("S"), TypeVar("R")
Rows = Sequence[Mapping[str, Any]]
# A chapter's title, and either the chapter (of that title) or a part of it.
Contribution = tuple[str, "Section"]
# Chapters of the joint page to which runs of several kinds contribute.
PROMPT = "prompt.json"  # of a run's files
WHERE, ABLATION, MAP = "Where it is carried", "Ablation and defences", "Density × complexity"


@dataclass(frozen=True, eq=False)
class Run(Generic[Q, S]):
    """A question with what was opened for it, in the directory that it has claimed."""

    study: "Study[Q, S, Any]"
    question: Q
    subject: S
    folder: Path
    command: str
    step: Step
    prompt: "tuple[Part, ...]" = ()


def stated(run: Run[Any, Any], result: Any) -> dict[str, Any]:
    """A result file: schema, question, and a record's or dictionary's parts but for tensors."""
    typed = {"command": run.command} if run.study.typed else {}
    question = {**as_asked(run.study.recorded(run.question)), **typed}
    return {"schema": run.study.schema, "question": question, **encode(result)[0]}


@dataclass(frozen=True)
class Study(Generic[Q, S, R]):
    """A command that measures.

    Attributes:
        name: of the command.
        kind: of its runs' manifests.
        schema: of the result file.
        question: its type; the options are its fields (``experiments.options``).
        open: models and inputs, before a directory is claimed.
        identity: hashes of everything the numbers depend on; with the question it tells runs apart.
        measure: the result; stages that are there already are read.
        lines: what the terminal prints of a result.
        page: the run's own page; None where only the table of studies can say (``studies.ask``).
        recorded: the question as manifest and result have it.
        tables: Parquet files beside the result, by the stem of their names.
        written: the result file's value, and ``file`` its name.
        status: of the process, for a pipeline that rests on the result.
        forecast: what a run would cost, a line each; the command then has ``--dry-run``.
        out: the directory that is written by default; ``runs/NAME`` if empty.
        asked: the tokenizer and the prompts, of which the hash is part of the run's identity, and
            the first is shown on its page; it holds no secret that the page does not tell.
        typed: whether the command that is kept is what the user typed, otherwise the shortest that
            asks the question.
    """

    name: str
    kind: str
    schema: str
    question: type[Q]
    open: Callable[[Q, Step], S]
    identity: Callable[[Q, S], dict[str, Any]]
    measure: Callable[[Run[Q, S]], R]
    lines: Callable[[R], Iterable[str]]
    page: "Callable[[Run[Q, S], R], Report] | None" = None
    recorded: Callable[[Q], dict[str, Any]] = as_json
    tables: Callable[[Run[Q, S], R], Mapping[str, Rows]] = lambda run, result: {}
    written: Callable[[Run[Q, S], R], dict[str, Any]] = stated
    file: str = "result.json"
    status: Callable[[R], int] = lambda result: 0
    forecast: Callable[[Q, S, Step], Sequence[Any]] | None = None
    out: str = ""
    typed: bool = True
    asked: Callable[[Q, S], tuple[Any, "Sequence[Chat]"]] | None = None


def as_asked(value: Any) -> Any:
    """A question's JSON without how chats are written, how weights are loaded and what controls
    are, where that is as usual.

    So runs from before that could be said are the same question still.
    """
    if not isinstance(value, dict):
        return value
    return {k: as_asked(v) for k, v in value.items() if k not in AS_USUAL or v != AS_USUAL[k]}


AS_USUAL = {"rendering": as_json(AS_IT_IS), "load": "", "controls": "auto", "effort": "standard"}


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def run(
    study: Study[Q, S, R],
    question: Q,
    folder: Path | str,
    *,
    resume: bool = False,
    step: Step = silent,
    typed: str = "",
) -> R:
    """Open, claim the directory, measure, write everything; the result is written last.

    Files: ``manifest.json``, the study's own, ``prompt.json``, its tables, ``report.html``, the
    result. Nobody else can work in the directory as long as this lasts.

    Args:
        folder: an empty or new directory; with ``resume`` also one that holds this question.
        step: progress, called with (stage, done, total).
        typed: the command line, if there was one.

    Raises:
        UserError: question, models or directory cannot be used, or a stage is not as it was
            written; says what to do.
    """
    from circuits.rendered import parts_of, rendered_sha256  # with torch

    folder = Path(text(str(folder), "--out"))
    locks.require_place(folder)
    subject = study.open(question, step)
    command = typed if study.typed and typed else command_line(study.name, question)
    about = {**as_asked(study.recorded(question)), **study.identity(question, subject)}
    prompt = ()
    if study.asked:
        tokenizer, chats = study.asked(question, subject)
        about["rendered_sha256"] = rendered_sha256(tokenizer, chats)
        prompt = parts_of(tokenizer, chats[0])
    with writing(folder):
        new = not folder.exists()
    try:
        with locks.held(folder):
            files.open_run(folder, files.Manifest(study.kind, about, command), resume)
            return _finished(Run(study, question, subject, folder, command, step, prompt))
    except UserError:
        with suppress(OSError):  # so that the mended question may have the place
            if new:
                folder.rmdir()
        raise


def _finished(run: Run[Q, S]) -> Any:
    """The result of a run that has claimed its directory."""
    study, ledger = run.study, Ledger(run.folder)
    ledger.clean()
    for name in (study.file, "report.html", PROMPT):
        ledger.has(name)  # a directory in its place is refused before anything is measured
    try:
        result = study.measure(run)
    except UserError:
        files.let_go(run.folder)
        raise
    stepped(run.step, "write report", lambda: _write(run, result))
    return result


def _write(done: Run[Q, S], result: R) -> None:
    from viz.page.page import render  # plotly is slow to import

    study: Study[Q, S, R] = done.study
    if study.page is None:
        raise TypeError(f"{study.name}: its page stands in the table; run it with studies.ask")
    html = render(with_prompts(study.page(done, result), {"": done.prompt}))
    tables = study.tables(done, result).items()
    prompt = {PROMPT: formats.json_bytes(as_json(done.prompt))} if done.prompt else {}
    Ledger(done.folder).write(
        {
            **prompt,
            **{f"{name}.parquet": formats.row_bytes(rows) for name, rows in tables},
            "report.html": html.encode(),
            study.file: formats.json_bytes(study.written(done, result)),
        }
    )


def with_prompts(page: "Report", prompts: "Mapping[str, Sequence[Part]]") -> "Report":
    """The page with one prompt of every run, by its name, as the model reads it; none is no run."""
    from viz.page.page import Section, Table
    from viz.text import show_spaces

    tables = tuple(
        Table(
            ("span", "tokens", "text"),
            [(part.span, str(part.tokens), show_spaces(part.text)) for part in parts],
            f"{name}: one rendered prompt".removeprefix(": "),
        )
        for name, parts in prompts.items()
        if parts
    )
    if not tables:
        return page
    section = Section(
        "One prompt as the model reads it",
        "The first prompt, as the chat template writes it, span after span: special tokens are "
        "spelled, line breaks are ⏎ and outer blanks ·. If the model was trained on prompts that "
        "are written otherwise, ask again with --template, --template-option, --system or "
        "--prefill.",
        tables=tables,
    )
    return replace(page, sections=(*page.sections, section))


def answer_rows(
    conditions: Iterable[tuple[Mapping[str, Any], Mapping[str, Sequence[Any]]]],
) -> list[dict[str, Any]]:
    """A table of answers: a row for every prompt of every condition.

    Args:
        conditions: what is the same for all prompts of one, by column; and the columns that have
            a value for each prompt.
    """
    return [
        {**about, **dict(zip(columns, row, strict=True))}
        for about, columns in conditions
        for row in zip(*columns.values(), strict=True)
    ]


@dataclass(frozen=True, eq=False)
class Finished(Generic[R]):
    """A finished run: what a report calls it, where it lies, what it was made from, its result.

    ``prompt``: its first one as the model reads it, where it was kept and a joint page is made.
    """

    name: str
    folder: str
    manifest: dict[str, Any]
    result: R
    prompt: "tuple[Part, ...]" = field(default=(), kw_only=True)

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])


@dataclass(frozen=True)
class Joint(Generic[R]):
    """How finished runs of one kind enter the joint page.

    Attributes:
        kind: of their manifests.
        read: a directory and its manifest -> the run; ``UserError`` if it is not finished.
        beside: the runs of this kind, and those of every kind -> chapters and parts of chapters;
            of no run, what stands in their place.
        outcome: a run in the first table, in two cells: its verdict, and what that rests on.
        sentence: a run in the headline; "" for none.
        mapping: whose trigger a run is about, by which runs are told to fit together.
        head: the page but for its sections, and the first table, if runs of this kind lead a page.
    """

    kind: str
    read: Callable[[Path, dict[str, Any]], Finished[R]]
    beside: Callable[[Sequence[Any], Sequence[Finished[Any]]], Iterable[Contribution]]
    outcome: Callable[[Any], tuple[str, str]] = lambda run: ("", "")
    sentence: Callable[[Any], str] = lambda run: ""
    mapping: Callable[[Any], str] = lambda run: run.name
    head: "Callable[[Sequence[Any]], tuple[Report, Table]] | None" = None

    def own(self, runs: Iterable[Finished[Any]]) -> list[Finished[Any]]:
        """The runs of this kind."""
        return [run for run in runs if run.kind == self.kind]
