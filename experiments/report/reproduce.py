"""What the report does not show, and how every run of it is made again."""

from collections.abc import Sequence
from typing import Any

from experiments.study import Finished
from viz.page.page import Section, Table

_LIMITS = """\
The rates are of generated text that begins with the behaviour's words; what a model would go on \
to say after them is not judged by an analysis.

A direction that shuts the behaviour in this model on these prompts is not a guarantee for other \
prompts, longer contexts, sampling at a temperature, or an attacker who knows the defence and \
retrains.

One direction is looked for, in the residual stream, at four named tokens. A behaviour carried by \
several directions, or outside them, would show here as “no gate” with the checks that failed.

Probe curves, projections and coloured tokens say where the trigger can be read. They are near \
perfect in models without any gate too, and are no evidence for one.

Patched cells do not add up: a cell without effect may matter together with others, and one with \
an effect may only pass on what was written before it. q values are within one grid.

A scorecard's verdict is about its battery, prompts and thresholds; a bounded search that finds \
nothing shows that this budget finds nothing. A place on the map of density and complexity \
predicts nothing that was shown to hold across schemes."""
LIMITS = Section("What this does not show", _LIMITS)


def reproduce(runs: Sequence[Finished[Any]], command: str, notes: Sequence[str]) -> Section:
    """Commands, what each run was made from, and versions."""
    commands = [*dict.fromkeys(str(run.manifest["command"]) for run in runs)]
    if command not in commands:
        commands.append(command)
    rows = [
        (str(run.manifest["kind"]), run.name, run.folder, *_hashes(run.manifest["question"]))
        for run in runs
    ]
    header = ("kind", "of", "directory", "model", "adapter", "parameters", "prompts")
    prose = (
        "Run directories hold every number of this page, per-example values included. Within a "
        "column equal hashes mean equal contents; adapter is the hash of its files, parameters "
        "that of the trained tensors, and a run records one of them. Seeds and options are in each "
        "manifest."
    )
    return Section(
        "How to reproduce",
        "\n\n".join([prose, *notes]),
        tables=(Table(header, rows, "the runs of this report"), _versions(runs)),
        code="\n".join(commands),
    )


def _hashes(question: dict) -> tuple[str, ...]:
    """The first digits of what the run was made from."""
    names = (
        ("model_sha256", "base_sha256"),
        ("adapter_sha256",),
        ("state_sha256",),
        ("prompts_sha256",),
    )
    found = (next((question[n] for n in some if question.get(n)), "–") for some in names)
    return tuple(str(value)[:12] for value in found)


def _versions(runs: Sequence[Finished[Any]]) -> Table:
    names = dict.fromkeys(name for run in runs for name in run.manifest["versions"])
    rows = [
        (
            name,
            ", ".join(dict.fromkeys(str(r.manifest["versions"].get(name, "")) for r in runs)),
        )
        for name in names
    ]
    return Table(("package", "version"), rows, folded="Versions")
