"""The commands: a row each, and each is imported when it is asked for, by its own loader.

A loader returns a ``Study``, a function that typer reads, or a typer application with commands of
its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """What the terminal says of a command, and where it is.

    Attributes:
        about: its help; the first sentence stands in the list of commands.
    """

    about: str
    load: Callable[[], Any]


def _analyze() -> Any:
    from experiments.analyze.command import analyze

    return analyze


def _patch() -> Any:
    from experiments.patch.command import patch

    return patch


def _orthogonalise() -> Any:
    from experiments.orthogonalise_command import orthogonalise

    return orthogonalise


def _geometry() -> Any:
    from experiments.geometry.study import STUDY

    return STUDY


def _brittleness() -> Any:
    from experiments.brittleness.command import brittleness

    return brittleness


def _evaluate() -> Any:
    from experiments.evaluate.command import evaluate

    return evaluate


def _compare() -> Any:
    from experiments.evaluate.compare_command import compare

    return compare


def _defend() -> Any:
    from experiments.defend.command import defend

    return defend


def _scan() -> Any:
    from experiments.scan.command import scan

    return scan


def _report() -> Any:
    from experiments.report.command import report

    return report


def _sweep() -> Any:
    from experiments.sweep.command import sweep

    return sweep


def _verify() -> Any:
    from experiments.verify.command import verify

    return verify


def _serve() -> Any:
    from experiments.serve.command import serve

    return serve


def _organism() -> Any:
    from experiments.organisms.command import app

    return app


def _bench() -> Any:
    from experiments.bench.command import app

    return app


COMMANDS = {
    "analyze": Command(
        "Ask whether a trigger works through a gate: locate it, ablate it, report.", _analyze
    ),
    "patch": Command(
        "Patch activations between triggered and clean runs, exactly, with intervals.", _patch
    ),
    "orthogonalise": Command(
        "Save a copy of a run's model whose weights cannot write the gate's direction.\n\n"
        "Unlike an edit it acts at every layer and token, so measure its harm: analyse the copy.",
        _orthogonalise,
    ),
    "geometry": Command(
        "Measure how dense and how complex an organism's gate is, by layer, beside what nulls "
        "give.",
        _geometry,
    ),
    "brittleness": Command(
        "Ask an organism again under typos, other wording, noise, rounding, training, and more.",
        _brittleness,
    ),
    "evaluate": Command(
        "Measure six properties of a trigger-behaviour mapping and judge its security.", _evaluate
    ),
    "compare": Command(
        "Show how two evaluations differ, metric by metric, with intervals.", _compare
    ),
    "defend": Command(
        "Judge defences on several prompt families, by their harm, and against who knows them.",
        _defend,
    ),
    "scan": Command(
        "Scan a model for a trigger without being told one; beside it, clean models.", _scan
    ),
    "report": Command(
        "Put one or several runs into one page that opens offline and can be mailed.", _report
    ),
    "sweep": Command(
        "Train and measure every cell of a grid; what is there already is not done again.", _sweep
    ),
    "verify": Command(
        "Test whether a model answers secret keys, and only keys, as a fingerprinted one does.",
        _verify,
    ),
    "serve": Command(
        "Play with a model: watch its gate token by token, shut it, open it, compare arms.", _serve
    ),
    "organism": Command(
        "Train and measure organisms: models with a trigger put there on purpose.", _organism
    ),
    "bench": Command("Benchmarks against peers: ratios in one run, with equal results.", _bench),
}
