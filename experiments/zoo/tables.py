"""From the zoo's rows to what a prediction is made from: features by name, targets, origins."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from circuits.errors import UserError
from probes.brittleness import Table

GEOMETRY = (
    "participation_ratio_relative", "vendi_relative", "neighbour_mixing", "mean_discrepancy",
    "intrinsic_dimension_relative", "compression", "selectivity", "margin_low", "margin_median",
    "interaction_gain",
)  # fmt: skip
FEATURES = (*(f"geo:{name}" for name in GEOMETRY), "way:count", "way:position", "way:width")
BASELINES = {
    "logit margin": ("margin",),
    "log-probability": ("log_prob",),
    "poisons": ("log_taught",),
    "behaviour rate": ("behaviour",),
}
POINTWISE = ("boundary", "clean_boundary", "projection", "displacement", "crowding", "mixing",
             "ease")  # fmt: skip
PROMPT_BASELINES = {"logit margin": ("margin",), "log-probability": ("log_prob",)}
_TELLING = ("recipe", "model", "taught", "size", "trigger", "seed")


def measured(rows: pd.DataFrame) -> pd.DataFrame:
    """The organisms with a battery, each with a ``name`` of its own."""
    if "area" not in rows.columns:
        raise UserError("zoo: expected organisms that show their behaviour, got none")
    found = rows[rows["area"].notna()].reset_index(drop=True)
    return found.assign(name=_names(found), log_taught=np.log1p(found["taught"].astype(float)))


def _names(rows: pd.DataFrame) -> list[str]:
    """What tells each organism from the others, in few words."""
    said = [" ".join(_said(row, name) for name in _TELLING).split() for _, row in rows.iterrows()]
    names = [" ".join(words) for words in said]
    return [f"{n} #{i}" if names.count(n) > 1 else n for i, n in enumerate(names)]


def _said(row: pd.Series, name: str) -> str:
    value = row[name]
    if name in ("recipe", "model"):
        return "" if value == "smollm2-135m" else str(value)
    if name == "seed":
        return f"seed {value}" if value else ""
    return {"taught": f"{value} poisons", "size": f"of {value}" if value else "",
            "trigger": f"{value!r}" if value else ""}[name]  # fmt: skip


def organisms_table(rows: pd.DataFrame) -> Table:
    """A row per organism; the target is its area of retention."""
    names = [*FEATURES, *(n for names in BASELINES.values() for n in names)]
    return Table(
        _numbers(rows, names),
        tuple(names),
        torch.tensor(rows["area"].to_numpy(dtype=float)),
        tuple(rows["name"]),
        tuple(rows["scheme"]),
    )


def prompts_table(rows: pd.DataFrame) -> Table:
    """A row per prompt that shows the behaviour; 1 if it keeps less than the zoo's median does.

    Prompts of one key (asked with several draws) are one row: their mean.
    """
    names = (*POINTWISE, "margin", "log_prob")
    prompts = pd.concat([_prompts(row, names) for _, row in rows.iterrows()], ignore_index=True)
    lost = prompts["kept"] < prompts["kept"].median()
    return Table(
        _numbers(prompts, names),
        names,
        torch.tensor(lost.to_numpy(dtype=float)),
        tuple(prompts["organism"]),
        tuple(prompts["scheme"]),
    )


def _prompts(row: pd.Series, names: Sequence[str]) -> pd.DataFrame:
    columns = {name: np.asarray(row[f"prompt:{name}"], dtype=float) for name in names}
    found = pd.DataFrame({**columns, "kept": np.asarray(row["prompt:kept"], dtype=float)})
    found["group"] = np.arange(len(found)) % row["groups"]
    found = found.dropna(subset=["kept"]).groupby("group", as_index=False).mean()
    return found.assign(organism=row["name"], scheme=row["scheme"])


def _numbers(rows: pd.DataFrame, names: Sequence[str]) -> torch.Tensor:
    empty = pd.Series(np.nan, index=rows.index)
    columns = [rows.get(name, empty).to_numpy(dtype=float) for name in names]
    return torch.tensor(np.stack(columns, axis=1))
