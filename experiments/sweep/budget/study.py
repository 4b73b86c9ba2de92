"""A budget sweep from its file to its page: the job that is run, and the report on its table."""

import shlex
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from circuits import models
from circuits.errors import UserError
from experiments.organisms import ladder
from experiments.runs import files
from experiments.runs.codec import as_json
from experiments.sweep.budget import cell
from experiments.sweep.budget.sections import page
from experiments.sweep.engine.grid import read_grid
from experiments.sweep.engine.run import Job, Outcome
from experiments.sweep.engine.store import Store
from experiments.sweep.shipped import located
from probes.budget.analysis import analyse
from probes.budget.result import SCHEMA


@dataclass(frozen=True)
class Told:
    """Where the report is, and what it says in short."""

    path: Path
    summary: dict[str, Any]


def job(file: Path, retry_failed: bool = False) -> Job:
    """The cells of a YAML file, or of a shipped one by its name.

    Raises:
        UserError: no such file, or values that make no recipe.
    """
    grid = read_grid(located(file), cell.AXES)
    return Job(grid, cell.salt, cell.FUNCTION, cell.cost, retry_failed)


def report(job: Job, store: Store, outcome: Outcome, file: Path) -> Told:
    """Analyse the table as far as it goes; write ``budget.json`` and ``report.html`` beside it."""
    folder = store.sweep_folder(job.grid.name)
    path = folder / "report.html"
    summary = {
        "done": len(outcome.done),
        "skipped": len(outcome.skipped),
        "failed": len(outcome.failed),
        "damaged": list(outcome.damaged),
        "table": str(outcome.table),
    }
    table = pd.read_parquet(outcome.table)
    if table.empty:
        raise UserError(f"{outcome.table}: no cell has a result: {_first_error(job, store)}")
    names = sorted({str(name) for name in table["model"]})
    found = analyse(table, {name: parameters(name) for name in names})
    value = {"schema": SCHEMA, "overall": found.overall.sentence, **as_json(found)}
    files.write_json(folder / "budget.json", value)
    command = shlex.join(["gatescope", "sweep", str(file)])
    html = page(found, command, located(file).read_text(encoding="utf-8"))
    files.write_atomically(path, html.encode())
    return Told(path, {**summary, "sentences": list(found.sentences)})


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
