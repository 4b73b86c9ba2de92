"""The zoo's organisms as the report's map needs them: ``python -m experiments.sweep.zoo.map``.

It reads ``docs/results/zoo/table.parquet`` (a sweep's table) and writes ``data/zoo-map.json``.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from experiments.geometry.beside import ZOO, ZOO_SCHEMA
from experiments.runs import files
from experiments.runs.codec import as_json
from experiments.sweep.zoo.claim import DENSITY, complexity_of, of_row
from experiments.sweep.zoo.tables import Row, measured
from probes.stats.intervals import Estimate
from viz.figures.prediction import MapPoint


def map_points(rows: Sequence[Row]) -> list[MapPoint]:
    """Every organism by density and complexity, with what is kept of its behaviour."""
    return [
        MapPoint(
            row["name"],
            row["scheme"],
            of_row(row, DENSITY),
            complexity_of(row),
            of_row(row, "area"),
        )
        for row in rows
    ]


def _rounded(e: Estimate) -> Estimate:
    """To four digits."""
    return replace(e, value=round(e.value, 4), low=round(e.low, 4), high=round(e.high, 4))


if __name__ == "__main__":
    source = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/results/zoo/table.parquet")
    organisms = [
        replace(
            point,
            density=_rounded(point.density),
            complexity=_rounded(point.complexity),
            retention=point.retention and _rounded(point.retention),
        )
        for point in map_points(measured(files.read_table(source)))
    ]
    files.write_json(ZOO, {"schema": ZOO_SCHEMA, "organisms": as_json(organisms)})
