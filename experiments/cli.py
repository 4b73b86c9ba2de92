"""The ``gatescope`` command. Everything it does is a call that a notebook can make too."""

import errno
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable
from inspect import Parameter, Signature, getdoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

# Two processes whose threads spin while they wait can slow each other down tenfold; sleeping
# waits cost a few per cent. Read by the maths libraries when they are loaded, so set first.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import typer
from typer.core import TyperCommand, TyperGroup

from circuits.errors import SelfTestError, UserError
from experiments.options import CONSOLE, Json, Resume, answered, parameters
from experiments.runs.progress import StageProgress
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
        return name, listed and loaded(str(name)), rest


def loaded(name: str) -> Any:
    """A command of the table as typer runs it."""
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
        typed = shlex.join(["gatescope", *sys.argv[1:]])
        with StageProgress(CONSOLE) as progress:
            result = run(study, question, out, resume=resume, step=progress.step, typed=typed)
        if as_json:
            print((out / study.file).read_text(encoding="utf-8"), end="")
        else:
            print(_lines([*study.lines(result), f"report: {out / 'report.html'}"]))
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
    print(json.dumps([encode(c)[0] for c in costs], indent=1) if as_json else _lines(costs))


def _lines(each: Iterable[Any]) -> str:
    return "\n".join(map(str, each))


app = typer.Typer(
    cls=_Commands,
    help="Find, prove and ablate trigger gates in fine-tuned language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Find, prove and ablate trigger gates in fine-tuned language models."""
    import warnings

    from transformers.utils import logging

    # Our own progress and our own one-line errors are what a user of the command should see.
    logging.disable_progress_bar()
    warnings.formatwarning = lambda message, *_, **__: f"note: {message}\n"
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module="peft")


def guarded(command: Callable[[], None]) -> int:
    """Run a command; a user's mistake or a full disk becomes one line and a non-zero status."""
    try:
        command()
    except SystemExit as stop:  # the command line framework turns an interrupt into this
        if stop.code != 130:
            raise
        return _stopped()
    except (UserError, SelfTestError) as error:
        CONSOLE.print(
            f"gatescope: {error}",
            style="red",
            markup=False,
            highlight=False,
            emoji=False,
            soft_wrap=True,
        )
        return 2
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        where = f" at {error.filename}" if error.filename else ""
        print(
            f"gatescope: cannot write{where}: {error.strerror}; what was finished is kept, free "
            "space and start again (with --resume where there is one), or choose another --out",
            file=sys.stderr,
        )
        return 3
    except KeyboardInterrupt:
        return _stopped()
    return 0


def _stopped() -> int:
    print(
        "gatescope: stopped; what was finished is kept, continue with --resume "
        "(a sweep needs no word)",
        file=sys.stderr,
    )
    return 130


def main() -> None:
    """Entry point of the ``gatescope`` command."""
    sys.exit(guarded(app))


if __name__ == "__main__":
    main()
