"""What the gate does: behaviour rates under edits, and its effect beside random directions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from probes.stats.intervals import Estimate
from viz.data import with_data
from viz.text import escaped, interval_text, wrapped
from viz.theme import EDIT_COLOURS, GREY, PURPLE, colour, faded, titled, whiskers

_NARROWEST = 80  # bins across the axis at most
_HOVER = "%{text}<extra></extra>"


@dataclass(frozen=True)
class BehaviourRow:
    """How often the behaviour occurs (a share in [0, 1]) in one condition under one edit."""

    condition: str
    edit: str
    rate: Estimate


def behaviour_bars(
    rows: Sequence[BehaviourRow],
    colours: Mapping[str, str] = EDIT_COLOURS,
    group: str = "edit",
) -> go.Figure:
    """Rate of the behaviour (%) per condition, bars grouped by edit, whiskers for the intervals.

    `group` says what the rows' edits are, where they are something else: "arm" compares models.

    Raises:
        ValueError: no row, or two for one condition and edit.
    """
    cells = {(row.condition, row.edit): row.rate for row in rows}
    if not rows or len(cells) != len(rows):
        got = f"{len(rows)} rows for {len(cells)} cells"
        raise ValueError(f"expected one row per condition and edit, got {got}; drop duplicates")
    conditions = list(dict.fromkeys(row.condition for row in rows))
    figure = go.Figure()
    for index, edit in enumerate(dict.fromkeys(row.edit for row in rows)):
        found = [(i, c, cells[c, edit]) for i, c in enumerate(conditions) if (c, edit) in cells]
        rates = [rate for _, _, rate in found]
        shade = colour(edit, colours, index)
        figure.add_bar(
            x=[i for i, _, _ in found],
            y=[100 * r.value for r in rates],
            error_y=whiskers(rates),
            name=escaped(edit),
            marker={
                "color": shade,
                "line": {"color": shade, "width": 1},
                "pattern": {"shape": "/" if edit.startswith("random") else "", "solidity": 0.25},
            },
            text=[
                f"<b>{escaped(c)}</b>, {group}: {escaped(edit)}<br>rate "
                f"{interval_text(100 * r.value, 100 * r.low, 100 * r.high, 1, '%')}<br>"
                f"n = {r.n} · {r.level:.0%} {escaped(r.method or 'interval')}"
                for _, c, r in found
            ],
            textposition="none",
            hovertemplate=_HOVER,
        )
    figure.update_layout(
        titled(
            f"Behaviour rate by condition and {group}",
            f"whiskers: {rows[0].rate.level:.0%} intervals",
            height=410,
        ),
        barmode="group",
        bargap=0.3,
        bargroupgap=0.08,
    )
    figure.update_xaxes(
        title_text="condition",
        tickvals=list(range(len(conditions))),
        ticktext=[wrapped(condition, 12) for condition in conditions],
        ticks="",
        tickangle=0,
    )
    figure.update_yaxes(title_text="prompts showing the behaviour (%)", range=[0, 104])
    header = ["condition", group, "rate", "low", "high", "n", "level", "method"]
    table = [
        [r.condition, r.edit, e.value, e.low, e.high, e.n, e.level, e.method]
        for r, e in ((row, row.rate) for row in rows)
    ]
    return with_data(figure, header, table)


def null_histogram(
    null_values: Float[Tensor, " m"],
    observed: Estimate,
    title: str = "Effect of the gate beside random directions",
    x_title: str = "effect",
) -> go.Figure:
    """Counts of random directions by effect, and the gate's effect with its interval above.

    `x_title` names the effect and its unit. The subtitle counts the random directions whose
    effect is at least as far from 0 as the gate's.

    Raises:
        ValueError: no finite null value.
    """
    kept = null_values[null_values.isfinite()].to(torch.float64)
    if not len(kept):
        raise ValueError("expected finite null values, got none; pass random-direction effects")
    bins = min(24, max(6, round(1.3 * len(kept) ** 0.5)))
    low, high = float(kept.min()), float(kept.max())
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    # Beside a large effect, bins of the nulls' own range would be too narrow to be seen.
    span = max(high, observed.high, 0.0) - min(low, observed.low, 0.0)
    width = max((high - low) / bins, span / _NARROWEST)
    bins = max(1, math.ceil((high - low) / width - 1e-9))
    low = (low + high - bins * width) / 2
    high = low + bins * width
    counts = [int(c) for c in torch.histc(kept, bins, low, high).tolist()]
    reach = int((kept.abs() >= abs(observed.value)).sum())
    top = max(counts)
    figure = go.Figure(
        go.Bar(
            x=[low + (i + 0.5) * width for i in range(bins)],
            y=counts,
            width=[width] * bins,
            marker={"color": faded(GREY, 0.75), "line": {"width": 0}},
            name="random directions",
            text=[
                f"{count} of {len(kept)} random directions<br>"
                f"effect {low + i * width:.3g} to {low + (i + 1) * width:.3g}"
                for i, count in enumerate(counts)
            ],
            textposition="none",
            hovertemplate=_HOVER,
        )
    )
    figure.add_scatter(
        x=[observed.value, observed.value],
        y=[0, 1.12 * top],
        mode="lines",
        line={"color": PURPLE, "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )
    shown = interval_text(observed.value, observed.low, observed.high, 3)
    figure.add_scatter(
        x=[observed.value],
        y=[1.12 * top],
        error_x={
            "type": "data",
            "array": [observed.high - observed.value],
            "arrayminus": [observed.value - observed.low],
            "thickness": 2,
            "width": 5,
        },
        mode="markers",
        marker={"color": PURPLE, "size": 10, "symbol": "diamond"},
        name=f"gate, {observed.level:.0%} interval",
        text=[
            f"<b>gate</b>: {shown}<br>n = {observed.n} · {escaped(observed.method or 'interval')}"
        ],
        hovertemplate=_HOVER,
    )
    figure.update_layout(
        titled(
            escaped(title),
            f"{reach} of {len(kept)} random directions reach as far from 0",
            height=390,
        ),
        bargap=0,
    )
    left, right = min(low, observed.low, 0.0), max(high, observed.high, 0.0)
    pad = 0.05 * (right - left)
    figure.update_xaxes(title_text=escaped(x_title), range=[left - pad, right + pad])
    figure.update_yaxes(title_text="random directions (count)", range=[0, 1.25 * top])
    rows: list[list[Any]] = [["random direction", v, None, None] for v in kept.tolist()]
    rows.append(["gate", observed.value, observed.low, observed.high])
    return with_data(figure, ["kind", "effect", "low", "high"], rows, half=True)
