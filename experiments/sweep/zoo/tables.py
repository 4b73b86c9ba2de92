"""From the zoo's rows to what a prediction is made from: features by name, targets, origins."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from circuits.errors import expect
from circuits.weights import EMBEDDED
from experiments.geometry.summary import COMPLEXITY, DENSITY, WAY
from probes.brittleness.table import Table

Row = Mapping[str, Any]
FEATURES = (
    *(f"geo:{name}" for name in (*DENSITY, *COMPLEXITY)),
    *(f"way:{name}" for name in WAY),
)
BASELINES = {
    "logit margin": ("margin",),
    "log-probability": ("log_prob",),
    "poisons": ("log_taught",),
    "behaviour rate": ("behaviour",),
}
POINTWISE = (
    "boundary",
    "clean_boundary",
    "projection",
    "displacement",
    "crowding",
    "mixing",
    "ease",
)
PROMPT_BASELINES = {"logit margin": ("margin",), "log-probability": ("log_prob",)}


def measured(table: pd.DataFrame) -> list[Row]:
    """The organisms of a sweep's table that show their behaviour, each with a ``name`` of its own.

    Raises:
        UserError: there is none.
    """
    everything = [
        {str(name): value for name, value in row.items()} for row in table.to_dict("records")
    ]
    rows = [row for row in everything if math.isfinite(number(row, "area"))]
    expect(rows, "organisms that show their behaviour", "none", of="zoo")
    names = [" ".join(filter(None, _words(row))) for row in rows]
    return [
        {
            **row,
            "log_taught": math.log1p(number(row, "taught")),
            "name": f"{name} #{i}" if names.count(name) > 1 else name,
        }
        for i, (row, name) in enumerate(zip(rows, names, strict=True))
    ]


def number(row: Row, name: str) -> float:
    """A row's number; NaN where it was not measured."""
    value = row.get(name)
    return math.nan if value is None else float(value)


def of_scheme(rows: Sequence[Row], scheme: str) -> list[Row]:
    """The organisms of one scheme."""
    return [row for row in rows if row["scheme"] == scheme]


def schemes(rows: Sequence[Row]) -> list[str]:
    """The schemes there are, by name."""
    return sorted({row["scheme"] for row in rows})


def _words(row: Row) -> list[str]:
    """What tells an organism from the others, in few words."""
    return [
        row["recipe"],
        "" if row["model"] == EMBEDDED else row["model"],
        f"{row['taught']} poisons",
        f"of {row['size']}" if row["size"] else "",
        repr(row["trigger"]) if row["trigger"] else "",
        f"seed {row['seed']}" if row["seed"] else "",
    ]


def organisms_table(rows: Sequence[Row]) -> Table:
    """A row per organism; the target is its area of retention."""
    names = (*FEATURES, *(n for names in BASELINES.values() for n in names))
    return Table(
        torch.tensor([[number(row, name) for name in names] for row in rows], dtype=torch.float64),
        names,
        torch.tensor([number(row, "area") for row in rows], dtype=torch.float64),
        tuple(row["name"] for row in rows),
        tuple(row["scheme"] for row in rows),
    )


def prompts_table(rows: Sequence[Row]) -> Table:
    """A row per prompt that shows the behaviour; 1 if it keeps less than the zoo's median does.

    Prompts of one key (asked with several draws) are one row: their mean.
    """
    names = (*POINTWISE, "margin", "log_prob")
    each = [(row, _prompts(row, names)) for row in rows]
    kept = np.concatenate([numbers[:, -1] for _, numbers in each])
    features = np.concatenate([numbers[:, :-1] for _, numbers in each])
    lost = kept < np.median(kept)
    if not lost.any():  # more than half of the prompts keep least
        lost = kept <= np.median(kept)
    return Table(
        torch.tensor(features),
        names,
        torch.tensor(lost.astype(float)),
        tuple(row["name"] for row, numbers in each for _ in numbers),
        tuple(row["scheme"] for row, numbers in each for _ in numbers),
    )


def _prompts(row: Row, names: Sequence[str]) -> np.ndarray:
    """``[prompts, names + 1]``: the features, then how much of the behaviour each keeps."""
    columns = [np.asarray(row[f"prompt:{name}"], dtype=float) for name in (*names, "kept")]
    numbers = np.stack(columns, axis=1)
    group = np.arange(len(numbers)) % int(row["groups"])
    there = np.isfinite(numbers[:, -1])
    return np.stack([numbers[there & (group == g)].mean(axis=0) for g in np.unique(group[there])])
