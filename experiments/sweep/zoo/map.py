"""The zoo's organisms as the report's map needs them: ``python -m experiments.sweep.zoo.map``.

It reads ``docs/results/zoo/table.parquet`` (a sweep's table) and writes ``data/zoo-map.json``.
"""

import sys
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from experiments.geometry.map import SCHEMA, ZOO
from experiments.runs import files
from experiments.sweep.zoo.claim import DENSITY, complexity_of, of_row
from experiments.sweep.zoo.tables import measured
from probes.stats.intervals import Estimate
from viz.figures.catalogue import MapPoint


def zoo_map(table: Path) -> list[MapPoint]:
    """Every measured organism of a zoo's table, to four digits."""
    return [
        MapPoint(
            row["name"],
            row["scheme"],
            _short(of_row(row, DENSITY)),
            _short(complexity_of(row)),
            _short(of_row(row, "area")),
        )
        for row in measured(pd.read_parquet(table))
    ]


def _short(e: Estimate) -> Estimate:
    value, low, high = (round(x, 4) for x in (e.value, e.low, e.high))
    return Estimate(value, low, high, e.n, e.level, e.method)


if __name__ == "__main__":
    source = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/results/zoo/table.parquet")
    organisms = [asdict(point) for point in zoo_map(source)]
    files.write_json(ZOO, {"schema": SCHEMA, "organisms": organisms})
