"""The interchange map: layers by modules and places, of which each cell was exchanged.

Two maps stand side by side: what a part of the training does alone, and what is lost without it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import plotly.graph_objects as go

from circuits.errors import expect
from probes.stats.intervals import interval_text
from viz.data import to_plain
from viz.figures.cells import SIGNIFICANT
from viz.figures.heatmaps import finish_heatmap
from viz.figures.marks import HOVER, UNSEEN
from viz.text import escape
from viz.theme import GREY, fade

Way = Literal["alone", "lost"]
Cell = Mapping[Any, Any]
_TITLES = {
    "alone": "Only these: the effect of each part alone",
    "lost": "All but these: what is lost without each part",
}
_LEAST = 0.02  # half-width that the colours' range has at least, in shares
_BELOW = 24  # px for names of modules that stand upright


def interchange_map(
    cells: Sequence[Cell], way: Way, metric: str, limit: float | None = None
) -> go.Figure:
    """The share of the training's effect of every layer, module and place; layer 0 at the bottom.

    Unitless: 1 is all that training has added to the metric. Where there is no such scale (its
    interval reaches 0) the effect in the metric's unit. Hover gives share and effect with their
    95 % intervals, q and n. A dot marks q > 0.05; blank cells have no such module.

    Args:
        cells: rows of a grid's table with layer, module and place, in the columns' order.
        limit: half-width of the colours' range, so that two maps can be compared.

    Raises:
        ValueError: no cell.
    """
    expect(cells, "cells of layers, modules and places", "none", "exchange by layer or module")
    columns = _columns(cells)
    layers = 1 + max(int(cell["layer"]) for cell in cells)
    scaled = all(cell["recovery"] == cell["recovery"] for cell in cells)
    at = {(int(c["layer"]), (c["place"], c["module"])): c for c in cells}
    table = [[at.get((layer, column)) for column in columns] for layer in range(layers)]
    figure = go.Figure(
        go.Heatmap(
            x=list(range(len(columns))),
            y=list(range(layers)),
            z=to_plain([[_shown(c, way) if c else None for c in row] for row in table]),
            text=[[_hover(c, way, metric) if c else "" for c in row] for row in table],
            hovertemplate=HOVER,
            hoverongaps=False,
            coloraxis="coloraxis",
            xgap=1,
            ygap=1,
            name=way,
        )
    )
    _mark_unsure(figure, table)
    places = list(dict.fromkeys(place for place, _ in columns))
    _part_places(figure, columns, places, layers)
    half = limit or limit_of(cells, way)
    n = int(cells[0]["n"])
    unsure = sum(cell["q"] > SIGNIFICANT for cell in cells)
    unit = "share of the training's effect" if scaled else "effect on the metric"
    upright = len(columns) > 4
    finish_heatmap(
        figure,
        layers,
        _TITLES[way],
        f"{escape(metric)}; n = {n} prompts;<br>dot: q > {SIGNIFICANT} "
        f"({unsure} of {len(cells)} cells)",
        unit,
        (-half, half),
        [_row(cell, way) for cell in cells],
        {
            "tickvals": list(range(len(columns))),
            "ticktext": [escape(module) for _, module in columns],
            "tickangle": -90 if upright else 0,
            "range": [-0.5, len(columns) - 0.5],
        },
        below=_BELOW if upright else 0,
    )
    ticks = list(range(0, layers, 1 if layers <= 8 else 5))
    # Room for the names of places, without a tick for a layer that is not there.
    return figure.update_yaxes(range=[-0.5, 1.05 * layers + 0.5], tickvals=ticks)


def limit_of(cells: Sequence[Cell], way: Way) -> float:
    """The half-width of a range that holds all cells; of shares at most 1."""
    values = [abs(_shown(cell, way)) for cell in cells]
    largest = max(values, default=0.0)
    scaled = all(cell["recovery"] == cell["recovery"] for cell in cells)
    return min(1.0, max(_LEAST, largest)) if scaled else max(largest, 1e-6)


def _columns(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """(place, module), the modules of a place beside each other, both in order of appearance."""
    places = list(dict.fromkeys(cell["place"] for cell in cells))
    modules = list(dict.fromkeys(cell["module"] for cell in cells))
    known = {(cell["place"], cell["module"]) for cell in cells}
    return [(p, m) for p in places for m in modules if (p, m) in known]


def _shown(cell: Cell, way: Way) -> float:
    if cell["recovery"] == cell["recovery"]:
        return float(cell["recovery"])
    return float(cell["mean"]) * (-1 if way == "lost" else 1)


def _mark_unsure(figure: go.Figure, table: Sequence[Sequence[Cell | None]]) -> None:
    marks = [
        (x, y)
        for y, row in enumerate(table)
        for x, cell in enumerate(row)
        if cell and cell["q"] > SIGNIFICANT
    ]
    xs, ys = [x for x, _ in marks], [y for _, y in marks]
    marker = {"size": 3, "color": fade(GREY, 0.6)}
    figure.add_scatter(**{**UNSEEN, "mode": "markers"}, x=xs, y=ys, marker=marker, name="q")


def _part_places(
    figure: go.Figure, columns: Sequence[tuple[str, str]], places: Sequence[str], layers: int
) -> None:
    """A line between places, and the name of each above its modules."""
    for place in places:
        at = [x for x, (where, _) in enumerate(columns) if where == place]
        if at[0]:
            line = {"color": GREY, "width": 1.5}
            figure.add_shape(
                type="line", x0=at[0] - 0.5, x1=at[0] - 0.5, y0=-0.5, y1=layers - 0.5, line=line
            )
        figure.add_annotation(
            x=(at[0] + at[-1]) / 2,
            y=layers - 0.5,
            yanchor="bottom",
            text=escape(place),
            showarrow=False,
            font={"size": 11},
        )


def _hover(cell: Cell, way: Way, metric: str) -> str:
    where = f"layer {int(cell['layer'])}, {cell['module']}, {cell['place']}"
    share = interval_text(cell["recovery"], cell["recovery_low"], cell["recovery_high"], ".3f")
    known = cell["recovery"] == cell["recovery"]
    what = "alone" if way == "alone" else "lost without it"
    scaled = f"{what}: {share} of the effect<br>" if known else ""
    effect = interval_text(cell["mean"], cell["low"], cell["high"], ".3f")
    sure = "q < 0.001" if cell["q"] < 0.001 else f"q = {cell['q']:.3f}"
    return f"{escape(where)}<br>{scaled}{effect} nats<br>{sure} · n = {int(cell['n'])}"


def _row(cell: Cell, way: Way) -> dict[str, Any]:
    names = ("layer", "module", "place", "recovery", "recovery_low", "recovery_high")
    more = ("mean", "low", "high", "q", "n")
    return {"exchanged": way, **{name: cell[name] for name in (*names, *more)}}
