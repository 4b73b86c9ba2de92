"""A budget sweep from its file to its page: the job that is run, and the report on its table."""

import shlex
from functools import lru_cache
from pathlib import Path

import pandas as pd

from circuits import models
from circuits.errors import UserError
from experiments.organisms import ladder
from experiments.runs import files
from experiments.runs.codec import as_json
from experiments.sweep.budget import cell
from experiments.sweep.budget.sections import page
from experiments.sweep.engine.run import Job, Outcome
from experiments.sweep.engine.store import Store
from experiments.sweep.kind import Findings, Kind, located
from probes.budget.analysis import analyse
from probes.budget.result import SCHEMA


def report(job: Job, store: Store, outcome: Outcome, file: Path) -> Findings:
    """Analyse the table as far as it goes; write ``budget.json`` and ``report.html`` beside it."""
    folder = store.sweep_folder(job.grid.name)
    table = pd.read_parquet(outcome.table)
    if table.empty:
        raise UserError(f"{outcome.table}: no cell has a result: {_first_error(job, store)}")
    names = sorted({str(name) for name in table["model"]})
    budget = analyse(table, {name: parameters(name) for name in names})
    stated = {"schema": SCHEMA, "overall": budget.overall.sentence, **as_json(budget)}
    files.write_json(folder / "budget.json", stated)
    command = shlex.join(["gatescope", "sweep", str(file)])
    html = page(budget, command, located(file).read_text(encoding="utf-8"))
    files.write_atomically(folder / "report.html", html.encode())
    return Findings(budget.sentences, folder / "report.html")


def _first_error(job: Job, store: Store) -> str:
    records = store.load(job.cells).records
    errors = [r.error for r in records.values() if r.status == "failed" and r.error]
    return f"{errors[0]['type']}: {errors[0]['message']}" if errors else "none was measured"


@lru_cache
def parameters(name: str) -> int:
    """How many parameters a model has."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    place = name if ladder.parse(name) is None else str(ladder.folder(name))
    config = AutoConfig.from_pretrained(str(models.locate(place) or place), trust_remote_code=False)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(p.numel() for p in model.parameters())


BUDGET = Kind(cell.AXES, cell.salt, cell.FUNCTION, cell.cost, report)
