"""The commands; each is imported when it is asked for.

A command is a loader: its docstring is the command's help, and it returns a ``Study``, a function
that typer reads, or a typer application with commands of its own.
"""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.study import Joint, Run
    from viz.page.page import Report

COMMANDS: dict[str, Callable[[], Any]] = {}  # by name, as they are listed
STUDIES: list[str] = []  # those of them that leave runs


def ask(name: str, question: Any, folder: Path, **how: Any) -> Any:
    """A study's result, as from the command line; ``how`` as for ``experiments.study.run``."""
    from experiments.study import run

    return run(COMMANDS[name](), question, folder, **how)


def joints() -> "list[Joint[Any]]":
    """Every kind of run that a joint page shows, in the order of its chapters."""
    return [import_module(f"experiments.{name}.beside").JOINT for name in STUDIES]


def _command(load: Callable[[], Any]) -> Callable[[], Any]:
    COMMANDS[load.__name__.replace("_", "-")] = load
    return load


def _study(load: Callable[[], Any]) -> Callable[[], Any]:
    STUDIES.append(load.__name__)
    return _command(load)


@_study
def analyze() -> Any:
    """Ask whether a trigger works through a gate: locate it, ablate it, report."""
    from experiments.analyze.study import STUDY, finished

    def page(run: "Run[Any, Any]", result: Any) -> "Report":
        from experiments.report.page import page  # plotly is slow to import

        return page([finished(run, result)], run.command, joints())

    return replace(STUDY, page=page)


@_study
def patch() -> Any:
    """Patch activations between runs, or exchange parts with another model, exactly."""
    from experiments.patch.study import STUDY

    return STUDY


@_command
def orthogonalise() -> Any:
    """Save a copy of a run's model whose weights cannot write the gate's direction.

    Unlike an edit it acts at every layer and token, so measure its harm: analyse the copy.
    """
    from experiments.orthogonalise import orthogonalise

    return orthogonalise


@_study
def geometry() -> Any:
    """Measure how dense and how complex an organism's gate is, by layer, beside what nulls give."""
    from experiments.geometry.study import STUDY

    return STUDY


@_study
def brittleness() -> Any:
    """Ask an organism again under typos, other wording, noise, rounding, training, and more."""
    from experiments.brittleness.study import STUDY

    return STUDY


@_study
def evaluate() -> Any:
    """Measure six properties of a trigger-behaviour mapping and judge its security."""
    from experiments.evaluate.study import STUDY

    return STUDY


@_command
def compare() -> Any:
    """Show how two evaluations differ, metric by metric, with intervals."""
    from experiments.evaluate.beside import compare

    return compare


@_study
def defend() -> Any:
    """Judge defences on several prompt families, by their harm, and against who knows them."""
    from experiments.defend.study import STUDY

    return STUDY


@_study
def scan() -> Any:
    """Scan a model for a trigger without being told one; beside it, clean models."""
    from experiments.scan.study import STUDY

    return STUDY


@_command
def report() -> Any:
    """Put one or several runs into one page that opens offline and can be mailed."""
    from experiments.report.command import reporting

    return reporting(joints)


@_command
def verify_run() -> Any:
    """Say which files of a run are whole, damaged, missing or foreign; status 1 if any is."""
    from experiments.report.verify_run import verifying
    from experiments.sweep.whole import wholeness

    return verifying(wholeness)


@_command
def sweep() -> Any:
    """Train and measure every cell of a grid; what is there already is not done again.

    Chats are written as each model's own template has it; `gatescope organism train` takes others.
    """
    from experiments.sweep.command import sweep

    return sweep


@_study
def verify() -> Any:
    """Test whether a model answers secret keys, and only keys, as a fingerprinted one does."""
    from experiments.verify.study import STUDY

    return STUDY


@_command
def serve() -> Any:
    """Play with a model: watch its gate token by token, shut it, open it, compare arms."""
    from experiments.serve.command import serve

    return serve


@_command
def organism() -> Any:
    """Train and measure organisms: models with a trigger put there on purpose."""
    from experiments.organisms.command import app

    return app


@_command
def models() -> Any:
    """List real models by their official names, and fetch them: --model takes what was fetched."""
    from experiments.organisms.fetching import app

    return app


@_command
def bench() -> Any:
    """Benchmarks against peers: ratios in one run, with equal results."""
    from experiments.bench.command import app

    return app
