"""A grid's cells prompt by prompt: what a reader finds behind a cell of a heatmap.

The page shows a cell's own table when it is clicked, or chosen in the two lists below the plot,
which the keyboard reaches.
"""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import torch

from circuits.types import PatchGrid
from viz.data import marked
from viz.page.markup import e
from viz.text import shortened, spaced, visible

_MOST = 20  # prompts of a cell that are shown
_TEXT = 120  # characters of a prompt


def drilled(figure: go.Figure, grid: PatchGrid, prompts: Sequence[str]) -> go.Figure:
    """`figure` of a grid of two axes with every cell's values per prompt.

    Of more than 20 prompts the first 20 are shown, and the page says so. Prompts without a text
    are numbered.

    Raises:
        ValueError: not two axes.
    """
    if grid.values.ndim != 3:
        got = " x ".join(grid.axes)
        raise ValueError(f"expected a grid of two axes, got {got}; show its heatmap alone")
    rows, columns, n = grid.values.shape
    names = [f"prompt {i + 1}" for i in range(n)]
    names[: len(prompts)] = [shortened(visible(p), _TEXT) for p in prompts[:n]]
    across = [spaced(label) for label in grid.labels] if grid.axes[1] == "position" else None
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
    return marked(figure, drill=drill)


def drill_html(drill: dict[str, Any], index: int, title: str) -> str:
    """The closed table below a plot and its two lists; the script fills the table."""
    lists = "".join(
        f'<label>{e(axis)} <select data-figure="{index}" data-axis="{i}">'
        + "".join(f'<option value="{j}">{e(label)}</option>' for j, label in enumerate(labels))
        + "</select></label>"
        for i, (axis, labels) in enumerate(zip(drill["axes"], drill["labels"], strict=True))
    )
    kept = len(drill["prompts"])
    of = f"the first {kept} of {drill['n']}" if kept < drill["n"] else f"all {kept}"
    return (
        f'<details class="drill" data-figure="{index}"><summary>Prompt by prompt: click a cell, or '
        f"choose one here</summary>"
        f'<div class="lists">{lists}</div><div class="wide" role="group" tabindex="0" '
        f'aria-label="{e(f"{title}: prompts of a cell")}"><table><caption>{e(drill["unit"])}; '
        f"{of} prompts</caption><thead><tr>"
        f'<th scope="col">prompt</th><th scope="col" class="num">unpatched</th>'
        f'<th scope="col" class="num">patched</th><th scope="col" class="num">effect</th>'
        f'<th scope="col" class="num">of its full effect</th></tr></thead><tbody></tbody></table>'
        f"</div></details>"
    )


def _numbers(values: torch.Tensor) -> list[Any]:
    """Nested lists at a precision that keeps the page small."""
    return torch.round(values.double(), decimals=4).tolist()
