"""A budget sweep from its file to its page: the job that is run, and the report on its table."""

from functools import lru_cache
from typing import Any

from circuits import places
from circuits.errors import UserError
from experiments.organisms import ladder
from experiments.runs import files
from experiments.runs.codec import as_json
from experiments.sweep.budget import cell
from experiments.sweep.budget.sections import page
from experiments.sweep.engine.run import Outcome
from experiments.sweep.kind import Findings, Kind
from probes.budget.analysis import analyse
from probes.budget.result import SCHEMA, Budget


def report(outcome: Outcome, command: str, grid: str) -> Findings:
    """Analyse the table as far as it goes; write ``budget.json`` and ``report.html`` beside it."""
    table, folder = files.read_table(outcome.table), outcome.table.parent
    if table.empty:
        cause = next(iter(outcome.errors), "none was measured")
        raise UserError(f"{outcome.table}: no cell has a result: {cause}")
    names = sorted({str(name) for name in table["model"]})
    budget = analyse(table, {name: parameters(name) for name in names})
    files.write_json(folder / "budget.json", stated(budget))
    files.write_atomically(folder / "report.html", page(budget, command, grid).encode())
    return Findings(budget.sentences, folder / "report.html")


def stated(budget: Budget) -> dict[str, Any]:
    """``budget.json``'s value."""
    return {"schema": SCHEMA, "overall": budget.sentences[0], **as_json(budget)}


@lru_cache
def parameters(name: str) -> int:
    """How many parameters a model has."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    place = name if ladder.parse(name) is None else str(ladder.folder(name))
    where, options = places.source(place, places.locate(place))
    config = AutoConfig.from_pretrained(where, trust_remote_code=False, **options)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(p.numel() for p in model.parameters())


BUDGET = Kind(cell.AXES, cell.salt, cell.FUNCTION, cell.cost, report)
