"""The commands, and the kinds of runs that a joint page shows; each is imported when asked for.

A command is a loader: its docstring is the command's help, and it returns a ``Study``, a function
that typer reads, or a typer application with commands of its own.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.study import Joint

COMMANDS: dict[str, Callable[[], Any]] = {}  # by name, as they are listed
_JOINTS: list[Callable[[], "Joint[Any]"]] = []  # in the order of the page's chapters


def joints() -> "list[Joint[Any]]":
    """Every kind of run that a joint page shows."""
    return [load() for load in _JOINTS]


def _command(load: Callable[[], Any]) -> Callable[[], Any]:
    COMMANDS[load.__name__] = load
    return load


def _kind(load: Callable[[], "Joint[Any]"]) -> Callable[[], "Joint[Any]"]:
    _JOINTS.append(load)
    return load


@_command
def analyze() -> Any:
    """Ask whether a trigger works through a gate: locate it, ablate it, report."""
    from experiments.analyze.study import STUDY

    return STUDY


@_command
def patch() -> Any:
    """Patch activations between triggered and clean runs, exactly, with intervals."""
    from experiments.patch.study import STUDY

    return STUDY


@_command
def orthogonalise() -> Any:
    """Save a copy of a run's model whose weights cannot write the gate's direction.

    Unlike an edit it acts at every layer and token, so measure its harm: analyse the copy.
    """
    from experiments.orthogonalise import orthogonalise

    return orthogonalise


@_command
def geometry() -> Any:
    """Measure how dense and how complex an organism's gate is, by layer, beside what nulls give."""
    from experiments.geometry.study import STUDY

    return STUDY


@_command
def brittleness() -> Any:
    """Ask an organism again under typos, other wording, noise, rounding, training, and more."""
    from experiments.brittleness.study import STUDY

    return STUDY


@_command
def evaluate() -> Any:
    """Measure six properties of a trigger-behaviour mapping and judge its security."""
    from experiments.evaluate.study import STUDY

    return STUDY


@_command
def compare() -> Any:
    """Show how two evaluations differ, metric by metric, with intervals."""
    from experiments.evaluate.compare import compare

    return compare


@_command
def defend() -> Any:
    """Judge defences on several prompt families, by their harm, and against who knows them."""
    from experiments.defend.study import STUDY

    return STUDY


@_command
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
def sweep() -> Any:
    """Train and measure every cell of a grid; what is there already is not done again."""
    from experiments.sweep.command import sweep

    return sweep


@_command
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
def bench() -> Any:
    """Benchmarks against peers: ratios in one run, with equal results."""
    from experiments.bench.command import app

    return app


@_kind
def analyses() -> "Joint[Any]":
    from experiments.analyze.beside import JOINT

    return JOINT


@_kind
def patches() -> "Joint[Any]":
    from experiments.patch.beside import JOINT

    return JOINT


@_kind
def geometries() -> "Joint[Any]":
    from experiments.geometry.beside import JOINT

    return JOINT


@_kind
def batteries() -> "Joint[Any]":
    from experiments.brittleness.beside import JOINT

    return JOINT


@_kind
def evaluations() -> "Joint[Any]":
    from experiments.evaluate.beside import JOINT

    return JOINT


@_kind
def defences() -> "Joint[Any]":
    from experiments.defend.beside import JOINT

    return JOINT


@_kind
def scans() -> "Joint[Any]":
    from experiments.scan.beside import JOINT

    return JOINT


@_kind
def verifications() -> "Joint[Any]":
    from experiments.verify.beside import JOINT

    return JOINT
