"""What the report does not show, and how every run of it is made again."""

from collections.abc import Sequence
from typing import Any

from experiments.study import Finished
from viz.page.page import Section, Table

_LIMITS = """\
The rates are of generated text that begins with the behaviour's words, and of answers that \
comply: they do not refuse and three words or more follow. Whether those are of use is not judged.

A direction that shuts the behaviour in this model on these prompts is not a guarantee for other \
prompts, longer contexts, sampling at a temperature, or an attacker who knows the defence and \
retrains.

One direction is looked for, in the residual stream, at four named tokens. A behaviour carried by \
several directions, or outside them, shows as an effect that no single gate carries, or that was \
not located, with the checks that failed; which parts of the training carry it is asked all the \
same, where the model before fine-tuning is known.

Probe curves, projections and coloured tokens say where the trigger can be read. They are near \
perfect in models without any gate too, and are no evidence for one.

Patched cells do not add up: a cell without effect may matter together with others, and one with \
an effect may only pass on what was written before it. q values are within one grid.

A scorecard's verdict is about its battery, prompts and thresholds; a bounded search that finds \
nothing shows that this budget finds nothing. A place on the map of density and complexity \
predicts nothing that was shown to hold across schemes."""
_PROSE = (
    "Run directories hold every number of this page, per-example values included. Within a column "
    "equal hashes mean equal contents; adapter is the hash of its files, parameters that of the "
    "trained tensors, and a run records one of them. Seeds and options are in each manifest."
)
LIMITS = Section("What this does not show", _LIMITS)


def reproduce(runs: Sequence[Finished[Any]], command: str, notes: Sequence[str]) -> Section:
    """Commands, what each run was made from, and versions."""
    commands = dict.fromkeys([*(str(run.manifest["command"]) for run in runs), command])
    header = ("kind", "of", "directory", "model", "adapter", "parameters", "prompts")
    rows = [(r.kind, r.name, r.folder, *_hashes(r.manifest["question"])) for r in runs]
    return Section(
        "How to reproduce",
        "\n\n".join([_PROSE, *notes]),
        tables=(Table(header, rows, "the runs of this report"), _versions(runs)),
        code="\n".join(commands),
    )


def _hashes(question: dict[str, Any]) -> list[str]:
    """The first digits of what the run was made from."""
    model = question.get("model_sha256") or question.get("base_sha256")
    rest = (question.get(f"{what}_sha256") for what in ("adapter", "state", "prompts"))
    return [str(value or "–")[:12] for value in (model, *rest)]


def _versions(runs: Sequence[Finished[Any]]) -> Table:
    every = [run.manifest["versions"] for run in runs]
    names = dict.fromkeys(name for versions in every for name in versions)
    rows = [(n, ", ".join(dict.fromkeys(str(each.get(n, "")) for each in every))) for n in names]
    return Table(("package", "version"), rows, folded="Versions")
