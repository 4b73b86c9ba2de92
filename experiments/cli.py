"""The ``gatescope`` command. Everything it does is a call that a notebook can make too."""

import errno
import os
import sys
from collections.abc import Callable

# Two processes whose threads spin while they wait can slow each other down tenfold; sleeping
# waits cost a few per cent. Read by the maths libraries when they are loaded, so set first.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import typer

from circuits.errors import SelfTestError, UserError
from experiments.analyze.command import analyze
from experiments.bench import command as bench
from experiments.brittleness.command import brittleness
from experiments.defend.command import defend
from experiments.evaluate.command import evaluate
from experiments.evaluate.compare_command import compare
from experiments.geometry.command import geometry
from experiments.options import CONSOLE
from experiments.organisms import command as organism
from experiments.orthogonalise_command import orthogonalise
from experiments.patch.command import patch
from experiments.report.command import report
from experiments.scan.command import scan
from experiments.serve.command import serve
from experiments.sweep.command import sweep
from experiments.verify.command import verify

app = typer.Typer(
    help="Find, prove and ablate trigger gates in fine-tuned language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(analyze)
app.command()(patch)
app.command()(orthogonalise)
app.command()(geometry)
app.command()(brittleness)
app.command()(evaluate)
app.command()(compare)
app.command()(defend)
app.command()(scan)
app.command()(report)
app.command()(sweep)
app.command()(verify)
app.command()(serve)
app.add_typer(organism.app, name="organism")
app.add_typer(bench.app, name="bench")


@app.callback()
def _root() -> None:
    """Find, prove and ablate trigger gates in fine-tuned language models."""
    import warnings

    from transformers.utils import logging

    # Our own progress and our own one-line errors are what a user of the command should see.
    logging.disable_progress_bar()
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
