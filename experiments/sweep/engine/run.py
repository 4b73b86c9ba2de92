"""Run a sweep: what is missing is measured, cell by cell, and everything ends in one table.

The store is the only memory. A sweep that was killed is run again with the same words: cells that
have a file are skipped, and the table comes out the same. Only this process writes; the workers
send their results to it.
"""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.runs.files import package_versions, write_json
from experiments.runs.locks import held
from experiments.sweep.engine.executor import Event, Executor, Task
from experiments.sweep.engine.grid import Cell, Grid, Salt, cells
from experiments.sweep.engine.stopping import Stop
from experiments.sweep.engine.store import Record, Stock, Store, table

SCHEMA = "gatescope.sweep/2"
SCHEMAS = ("gatescope.sweep/1", SCHEMA)  # of manifests that can be read
Listener = Callable[[Event], None]
Cost = Callable[[Mapping[str, Any]], float]


@dataclass(frozen=True)
class Job:
    """What is to be measured.

    Attributes:
        grid: the axes.
        salt: what the values stand for, as in ``grid.cells``.
        function: ``module:function``, called as ``function(values, progress) -> row``; it must be
            importable by the workers.
        cost: a hint of how long a cell takes, in any unit; the longest begin first.
        retry_failed: try cells again that failed in an earlier run.
    """

    grid: Grid
    salt: Salt
    function: str
    cost: Cost = lambda values: 1.0
    retry_failed: bool = False
    cells: tuple[Cell, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", cells(self.grid, self.salt))


@dataclass(frozen=True)
class Outcome:
    """What a sweep came to, as keys of cells in the grid's order.

    Attributes:
        done: measured now.
        skipped: measured before.
        failed: without a result, from now or from before.
        damaged: a line about each file that did not count.
        table: the table's path.
        errors: what those that failed raised.
    """

    done: tuple[str, ...]
    skipped: tuple[str, ...]
    failed: tuple[str, ...]
    damaged: tuple[str, ...]
    table: Path
    errors: tuple[str, ...] = ()


def missing(job: Job, stock: Stock) -> list[Task]:
    """The cells that would run now, in the order in which they would begin."""
    settled = {*stock.having("done"), *(() if job.retry_failed else stock.having("failed"))}
    left = [cell for cell in job.cells if cell.key not in settled]
    left.sort(key=lambda cell: -job.cost(cell.values))
    attempts = {key: record.attempt for key, record in stock.records.items()}
    return [Task(c.key, c.values, c.salt, attempts.get(c.key, 0) + 1) for c in left]


def sweep(
    job: Job, store: Store, executor: Executor, listen: Listener = lambda event: None
) -> Outcome:
    """Measure the cells that have no result yet, and write ``table.parquet`` and ``manifest.json``.

    A cell that fails is recorded and the rest goes on. An interrupt or a termination ends the
    workers, keeps what has finished and writes the table so far.

    Raises:
        UserError: the function cannot be imported, the executor cannot be used, another process
            works in the store, or the rows make no table.
        KeyboardInterrupt: the sweep was stopped.
    """
    with held(store.folder, "sweep in"):
        return _swept(job, store, executor, listen)


def _swept(job: Job, store: Store, executor: Executor, listen: Listener) -> Outcome:
    stock = store.load(job.cells)
    tasks = missing(job, stock)
    _write_manifest(job, store, stock, None)
    with Stop() as stop:
        if tasks:
            with closing(executor.run(job.function, tasks, stop)) as events:
                for event in events:
                    if isinstance(event, Record):
                        store.write(event)
                    listen(event)
        outcome = _conclude(job, store, stock)
        if stop.asked:
            raise KeyboardInterrupt
    return outcome


def _conclude(job: Job, store: Store, before: Stock) -> Outcome:
    """Table, manifest and outcome from the files alone, as a later run would see them."""
    stock = store.load(job.cells)
    path = store.write_table(job.grid.name, table(job.cells, stock.records))
    _write_manifest(job, store, stock, path)
    done, earlier = stock.having("done"), set(before.having("done"))
    errors = (r.error for r in stock.records.values() if r.error is not None)
    return Outcome(
        done=tuple(key for key in done if key not in earlier),
        skipped=tuple(key for key in done if key in earlier),
        failed=stock.having("failed"),
        damaged=before.damaged,
        table=path,
        errors=tuple(f"{error['type']}: {error['message']}" for error in errors),
    )


def _write_manifest(job: Job, store: Store, stock: Stock, written: Path | None) -> None:
    """Say what the table beside it has; before it is written, that it is not complete."""
    done = len(stock.having("done"))
    failed = [
        {"cell": r.key, "values": r.values, "type": r.error["type"], "message": r.error["message"]}
        for r in stock.records.values()
        if r.error is not None
    ]
    about = {
        "schema": SCHEMA,
        "grid": list(job.grid.blocks),
        "function": job.function,
        "cells": len(job.cells),
        "done": done,
        "missing": len(job.cells) - done - len(failed),
        "failed": failed,
        "complete": written is not None and done == len(job.cells),
        "table_sha256": written and hashlib.sha256(written.read_bytes()).hexdigest(),
        "versions": package_versions(),
    }
    write_json(store.sweep_folder(job.grid.name) / "manifest.json", about)
