"""The numbers under a figure: carried in `layout.meta`, given out as CSV and as safe JSON."""

import base64
import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def with_data(
    figure: go.Figure, rows: Sequence[Mapping[str, Any]], half: bool = False
) -> go.Figure:
    """`figure` with its underlying numbers in `layout.meta`, a row each, named by column.

    `half` asks for half the page width.
    """
    header = list(rows[0]) if rows else []
    table = [list(row.values()) for row in rows]
    return figure.update_layout(meta={"header": header, "rows": table, "half": half})


def mark(figure: go.Figure, **marks: Any) -> go.Figure:
    """`figure` with more in `layout.meta`, which the page reads and plotly does not.

    `drill`: what `viz.page.drill` makes of a grid; `three`: drawn with WebGL, when scrolled into
    view.
    """
    return figure.update_layout(meta={**(_meta(figure) or {}), **marks})


def mark_of(figure: go.Figure, name: str) -> Any:
    """A mark of `mark`, or None."""
    return (_meta(figure) or {}).get(name)


def _meta(figure: go.Figure) -> Any:
    return figure.layout["meta"]  # pyright: ignore[reportIndexIssue]


def to_csv(figure: go.Figure) -> str:
    """The numbers given to `with_data` as CSV.

    Missing and infinite values are empty cells. Text that a spreadsheet would run as a formula
    gets a leading apostrophe.
    """
    return csv_text(mark_of(figure, "header") or [], mark_of(figure, "rows") or [])


def csv_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table as CSV, with the care that `to_csv` takes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_cell(name) for name in header])
    writer.writerows([_cell(value) for value in to_plain(row)] for row in rows)
    return out.getvalue()


def safe_json(value: Any) -> str:
    """JSON for a script element: NaN and infinity as null, and no `<` to end the element."""
    return json.dumps(to_plain(value), allow_nan=False, default=str, separators=(",", ":")).replace(
        "<", "\\u003c"
    )


def to_plain(value: Any) -> Any:
    """Nested dicts, lists and arrays as JSON types; plotly's packed arrays are unpacked."""
    if isinstance(value, dict):
        if "bdata" in value and "dtype" in value:
            return to_plain(_unpacked(value))
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _unpacked(packed: dict[str, Any]) -> np.ndarray:
    array = np.frombuffer(base64.b64decode(packed["bdata"]), dtype=np.dtype(packed["dtype"]))
    shape = packed.get("shape")
    return array.reshape([int(size) for size in str(shape).split(",")]) if shape else array


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return "" if value is None else value
