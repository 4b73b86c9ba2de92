"""A grid's cells prompt by prompt: what a reader finds behind a cell of a heatmap.

The page shows a cell's own table when it is clicked, or chosen in the two lists below the plot,
which the keyboard reaches.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import torch

from circuits.errors import expect
from circuits.types import PatchGrid
from viz.data import mark
from viz.text import reveal, shorten, show_spaces

MEASURES = ("effect", "95% interval", "q", "recovery", "n")
_MOST = 20  # prompts of a cell that are shown
_TEXT = 120  # characters of a prompt


def add_drill(figure: go.Figure, grid: PatchGrid, prompts: Sequence[str]) -> go.Figure:
    """`figure` of a grid of two axes with every cell's values per prompt.

    Of more than 20 prompts the first 20 are shown, and the page says so. Prompts without a text
    are numbered.

    Raises:
        ValueError: not two axes.
    """
    expect(
        grid.values.ndim == 3, "a grid of two axes", " x ".join(grid.axes), "show its heatmap alone"
    )
    rows, columns, n = grid.values.shape
    names = [f"prompt {i + 1}" for i in range(n)]
    names[: len(prompts)] = [shorten(reveal(p), _TEXT) for p in prompts[:n]]
    across = [show_spaces(label) for label in grid.labels] if grid.axes[1] == "position" else None
    drill = {
        "axes": [grid.axes[0], "token" if across else grid.axes[1]],
        "labels": [
            [str(i) for i in range(rows)],
            [f"{label} ({i})" for i, label in enumerate(across)]
            if across
            else [str(i) for i in range(columns)],
        ],
        "unit": grid.metric,
        "n": n,
        "prompts": names[:_MOST],
        "base": _numbers(grid.base[:_MOST]),
        "full": _numbers(grid.full_effect[:_MOST]),
        "effects": _numbers(grid.effects[..., :_MOST]),
    }
    return mark(figure, drill=drill)


def cell_rows(cells: pd.DataFrame, places: Sequence[str]) -> list[tuple[str, ...]]:
    """Of each cell of a grid's table (`probes.causal.tables`) its places, then its `MEASURES`."""
    return [
        (
            *(show_spaces(str(row[place])) for place in places),
            f"{row['mean']:.3g}",
            f"[{row['low']:.3g}, {row['high']:.3g}]",
            f"{row['q']:.2g}",
            f"{row['recovery']:.2f}",
            str(int(row["n"])),
        )
        for row in cells.to_dict("records")
    ]


def _numbers(values: torch.Tensor) -> list[Any]:
    """Nested lists at a precision that keeps the page small."""
    return torch.round(values.double(), decimals=4).tolist()
