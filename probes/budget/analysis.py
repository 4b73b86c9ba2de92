"""From a poison-budget sweep's table to what it says: rates, thresholds, comparisons, claims.

A row of the table is a cell: an organism with its axes' values and counts of its answers to
held-out prompts (``experiments.sweep.budget.cell``). Cells that differ in nothing but the number of
poisons and the training seed are a series. Each judged outcome of a series has its rate at every
count, its null rates, and the threshold fitted by ``probes.budget.threshold``; series of different
sizes are compared by ``probes.budget.constant_count``.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import prod
from typing import Any

import pandas as pd

from circuits.errors import UserError, expect
from probes.budget.cells import Cells
from probes.budget.claims import Sampling, cautions, claims, comparisons, effects
from probes.budget.result import OUTCOMES, Answers, Budget, Outcome, Rate, Series
from probes.budget.threshold import fit_threshold
from probes.stats.intervals import wilson

_SETTING = ("recipe", "trigger", "method", "epochs", "rate", "prompts")
_AXES = ("model", "size", "poisons", "seed", *_SETTING)
_NEEDED = ("model", "size", "poisons", "seed", "n", "shown")

Row = Mapping[str, Any]


def analyse(
    table: pd.DataFrame,
    parameters: Mapping[str, float] | None = None,
    sampling: Sampling | None = None,
) -> Budget:
    """Analyse a sweep's table as far as it goes.

    Args:
        table: one row for each cell, in any order. An outcome that some cell of a series lacks is
            left out of that series.
        parameters: of each model, by its name in the table; models without are not compared with
            others.
        sampling: of the intervals.

    Raises:
        UserError: no row, a column missing, an axis value missing or not whole, two rows for one
            cell, or counts that cannot be.
    """
    sampling = sampling or Sampling()
    rows = _checked(table)
    axes = {axis: sorted({row[axis] for row in rows}) for axis in _AXES if axis in table}
    varying = [axis for axis in _SETTING if len(axes.get(axis, ())) > 1]
    series = [_series(group, varying, sampling) for group in _grouped(rows)]
    sizes = parameters or {}
    compared = tuple(comparisons(series, sizes, sampling))
    unknown = [m for m in axes["model"] if not sizes.get(m, 0) > 0] if axes["model"][1:] else []
    missing = prod(len(values) for values in axes.values()) - len(rows)
    return Budget(
        cells=len(rows),
        missing=missing,
        fixed=tuple((axis, values[0]) for axis, values in axes.items() if len(values) == 1),
        series=tuple(series),
        comparisons=compared,
        claims=claims(compared),
        cautions=tuple(cautions(series, missing, unknown)),
        effects=tuple(effects(series)),
    )


def _checked(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows, their axes whole: what a wrong table would say is not to be trusted."""
    absent = [name for name in _NEEDED if name not in table]
    if absent:
        raise UserError(
            f"table: expected columns {', '.join(_NEEDED)}, missing {absent}; "
            "pass a budget sweep's table"
        )
    expect(not table.empty, "a row for each cell", "none", "run the sweep first", "table")
    rows: list[dict[str, Any]] = [
        {str(name): value for name, value in row.items()} for row in table.to_dict("records")
    ]
    seen: dict[tuple[Any, ...], int] = {}
    for index, row in enumerate(rows):
        for name in ("size", "poisons", "seed", "n", "shown"):
            value, where = row[name], f"{row[name]} in row {index}"
            whole = not pd.isna(value) and int(value) == value
            expect(whole, "a whole number", where, of=f"table: {name}")
            row[name] = int(value)
        key = tuple(row[axis] for axis in _AXES if axis in row)
        expect(
            not any(pd.isna(value) for value in key),
            "a value on every axis",
            f"{key} in row {index}",
            of="table",
        )
        expect(
            key not in seen,
            "one row for each cell",
            f"{seen.get(key)} and {index} for {key}",
            "drop one",
            "table",
        )
        seen[key] = index
    return rows


def _grouped(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one series together, models as they come, sizes rising."""
    models = list(dict.fromkeys(row["model"] for row in rows))

    def key(row: Row) -> tuple[Any, ...]:
        setting = [row[axis] for axis in _SETTING if axis in row]
        return models.index(row["model"]), setting, row["size"]

    ordered = sorted(rows, key=lambda row: (*key(row), row["poisons"], row["seed"]))
    return [list(group) for _, group in groupby(ordered, key)]


def _series(rows: Sequence[Row], varying: Sequence[str], sampling: Sampling) -> Series:
    outcomes = (_outcome(rows, name, sampling) for name in OUTCOMES)
    return Series(
        model=str(rows[0]["model"]),
        size=rows[0]["size"],
        setting=tuple((axis, rows[0][axis]) for axis in varying),
        counts=tuple(sorted({row["poisons"] for row in rows})),
        seeds=tuple(sorted({row["seed"] for row in rows})),
        outcomes=tuple(outcome for outcome in outcomes if outcome is not None),
        refused=_rates(rows, "plain_", "refused", sampling.level),
        ordinary_refused=_rates(rows, "ordinary_", "refused", sampling.level),
    )


def _outcome(rows: Sequence[Row], name: str, sampling: Sampling) -> Outcome | None:
    triggered = _rates(rows, "", name, sampling.level)
    if not triggered:
        return None
    answers = _answers(rows, name)
    # A seed without poisons tells nothing of the threshold, and no resample could be fitted to it.
    trained = {seed for count, _, _, seed in answers if count > 0}
    kept = Cells.of_rows([a for a in answers if a[3] in trained]) if trained else None
    fit = None
    if kept is not None and len({c for c, *_ in answers if c > 0}) > 1:
        fit = fit_threshold(kept, sampling.level, sampling.resamples, sampling.seed)
    control = _rates(rows, "control_", name, sampling.level)
    return Outcome(
        name=name,
        answers=tuple(answers),
        control_answers=tuple(_answers(rows, name, "control_")) if control else (),
        triggered=triggered,
        control=control,
        plain=_rates(rows, "plain_", name, sampling.level),
        fit=fit,
    )


def _answers(rows: Sequence[Row], what: str, prompts: str = "") -> list[Answers]:
    names = f"{prompts}{what}", f"{prompts}n"
    return [(r["poisons"], int(r[names[0]]), int(r[names[1]]), r["seed"]) for r in rows]


def _rates(rows: Sequence[Row], prompts: str, what: str, level: float) -> tuple[Rate, ...]:
    """Pooled rates by count; nothing where some cell was not asked."""
    names = f"{prompts}{what}", f"{prompts}n"
    if any(pd.isna(row.get(name)) or not row.get(f"{prompts}n") for row in rows for name in names):
        return ()
    counts = sorted({row["poisons"] for row in rows})
    rates = []
    for count in counts:
        here = [row for row in rows if row["poisons"] == count]
        hits, n = sum(int(row[names[0]]) for row in here), sum(int(row[names[1]]) for row in here)
        expect(
            0 <= hits <= n,
            f"0 to {n} answers at {count} poisons",
            hits,
            "measure those cells again",
            f"table: {names[0]}",
        )
        rates.append(Rate(count, wilson(hits, n, level)))
    return tuple(rates)
