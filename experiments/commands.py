"""The commands as typer runs them: the table's, each loaded when it is asked for."""

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterable
from inspect import Parameter, Signature, getdoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from experiments.options import Json, Resume, answered, parameters
from experiments.runs import interrupts
from experiments.runs.progress import StageProgress
from experiments.runs.terminal import CONSOLE, printable, say
from experiments.studies import COMMANDS

if TYPE_CHECKING:
    from experiments.study import Study

Out = Annotated[Path, typer.Option(help="Run directory to write.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print cells, passes, time and memory; write nothing.")
]


class _Commands(TyperGroup):
    """The table's commands: all are listed, and only the one that is asked for is imported."""

    def __init__(self, **settings: Any) -> None:
        listed = {name: TyperCommand(name, help=getdoc(load)) for name, load in COMMANDS.items()}
        super().__init__(**{**settings, "commands": listed})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, listed, rest = super().resolve_command(ctx, args)
        command = listed and loaded(str(name))
        interrupts.gently()  # what takes long to import is there
        return name, command, rest


def loaded(name: str) -> Any:
    """A command of the table as typer runs it."""
    # Importing torch's compiler, which nothing here uses, makes a directory for it and leaves it.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", tempfile.gettempdir())
    from experiments.study import Study  # with torch, which only a command needs

    about, command = getdoc(COMMANDS[name]), COMMANDS[name]()
    alone = typer.Typer(add_completion=False)
    if isinstance(command, typer.Typer):
        alone.add_typer(command, name=name, help=about)
        return typer.main.get_group(alone).commands[name]
    function = in_terminal(command) if isinstance(command, Study) else command
    alone.command(name, help=about)(function)
    return typer.main.get_command(alone)


def in_terminal(study: "Study[Any, Any, Any]") -> Callable[..., None]:
    """A study as a function that typer reads: the question's options, and those of every run."""
    from experiments.study import run

    def command(*, out: Path, resume: bool, as_json: bool, **values: Any) -> None:
        question = answered(study.question, values)
        if values.get("dry_run"):
            _forecast(study, question, as_json)
            return
        # Whether a run was stopped in between is no part of what makes it again.
        words = [word for word in sys.argv[1:] if word not in ("--resume", "--no-resume")]
        typed = shlex.join(["gatescope", *words])
        with StageProgress(CONSOLE) as progress:
            result = run(study, question, out, resume=resume, step=progress.step, typed=typed)
        if as_json:
            say((out / study.file).read_text(encoding="utf-8").rstrip())
        else:
            say(_lines([*study.lines(result), f"report: {out / 'report.html'}"]))
        if status := study.status(result):
            raise typer.Exit(status)

    common: dict[str, tuple[Any, Any]] = {
        "out": (Out, Path(study.out or f"runs/{study.name}")),
        **({"dry_run": (DryRun, False)} if study.forecast else {}),
        "resume": (Resume, False),
        "as_json": (Json, False),
    }
    every = [
        *parameters(study.question).values(),
        *(
            Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind, default=default)
            for name, (kind, default) in common.items()
        ),
    ]
    command.__signature__ = Signature(every)  # pyright: ignore[reportFunctionMemberAccess]
    command.__annotations__ = {each.name: each.annotation for each in every}
    return command


def _forecast(study: "Study[Any, Any, Any]", question: Any, as_json: bool) -> None:
    """What a run would cost; nothing is written."""
    from experiments.runs.codec import encode

    assert study.forecast is not None  # only then is there the option
    with StageProgress(CONSOLE) as progress:
        subject = study.open(question, progress.step)
        costs = study.forecast(question, subject, progress.step)
    say(json.dumps([encode(c)[0] for c in costs], indent=1) if as_json else _lines(costs))


def _lines(each: Iterable[Any]) -> str:
    return "\n".join(map(str, each))


app = typer.Typer(
    cls=_Commands,
    help="Find, prove and ablate trigger gates in fine-tuned language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        say(f"gatescope {version('gatescope')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version.", is_eager=True, callback=_version),
]


@app.callback()
def _root(version: Version = False) -> None:
    """Find, prove and ablate trigger gates in fine-tuned language models."""
    import warnings

    from transformers.utils import logging

    # Our own progress and our own one-line errors are what a user of the command should see.
    logging.disable_progress_bar()
    warnings.formatwarning = lambda message, *_, **__: printable(f"note: {message}\n")
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module="peft")
