"""What a battery of perturbations leaves of a behaviour: a panel per family, a forest of areas.

The coloured area of a panel is the family's figure: under the line where the doses have an order,
under the mean of the doses where they have none.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from circuits.errors import UserError
from probes.brittleness.retention import Dose, Kept, Retention
from probes.stats.intervals import Estimate
from viz.data import with_data
from viz.figures.estimates import ForestFrame, ForestRow, forest, percent, source
from viz.figures.forest import HOVER
from viz.text import escaped, shortened, wrapped
from viz.theme import BLUE, VERMILION, faded, titled, whiskers

_COLUMNS = 2  # a phone has no room for a third
_ROW, _PLOT, _HEAD, _FOOT = 176, 104, 66, 36  # px: a row with its head, a panel, outer margins
_NAME, _UNIT = 22, 18  # characters in a panel's head
_LINE, _AXIS = 18, 34  # characters to a line of a row's name, of an axis's
_NOTES = 4  # room for notes at the right, in margins of the axis


def retention_forest(retention: Retention) -> go.Figure:
    """Area under every family's curve (%), the most robust on top; their mean stands apart."""
    families = sorted(retention.families.items(), key=lambda item: -item[1].value)
    rows = [ForestRow(name, e, _area_hover(name, e)) for name, e in families]
    total = ForestRow(
        "mean of families",
        retention.area,
        _area_hover("mean of families", retention.area),
        VERMILION,
        "diamond",
        apart=bool(rows),
    )
    about = f"area under each family's curve; {_unperturbed(retention)}; {_bars(retention.area)}"
    frame = ForestFrame("Behaviour kept, by family", about, "area kept (%)", scale=100)
    figure = forest([*rows, total], frame)
    figure.update_xaxes(range=[-3, 103], dtick=25)
    return figure


def retention_curves(retention: Retention) -> go.Figure:
    """Share of prompts that keep the behaviour (%) by dose: a panel for every family, two abreast.

    A family with an order is a line from 100 % at level 0, on a scale linear in the level, through
    the mean of each level. The doses of a family without an order stand side by side, at the dotted
    line of their mean. Whiskers are the doses' intervals; hover says what was done.

    Raises:
        UserError: no dose, or a family without its area.
    """
    families = list(dict.fromkeys(kept.dose.family for kept in retention.kept))
    missing = [name for name in families if name not in retention.families]
    if not families or missing:
        got = f"none for {', '.join(missing)}" if missing else "no dose"
        raise UserError(
            f"retention: expected doses and their families' areas, got {got}; "
            "pass what retention() gave"
        )
    rows = math.ceil(len(families) / _COLUMNS)
    height = _HEAD + _FOOT + _ROW * rows
    inside = height - _HEAD - _FOOT
    figure = go.Figure()
    for index, family in enumerate(families):
        place = _Place(
            index, 1 - (index // _COLUMNS * _ROW + _ROW - _PLOT) / inside, _PLOT / inside
        )
        kept = [k for k in retention.kept if k.dose.family == family]
        _panel(figure, place, kept, retention.families[family])
    about = f"{_unperturbed(retention)}; {_bars(retention.kept[0].rate)}; number: the coloured area"
    figure.update_layout(
        titled("Behaviour kept, by dose", about, height),
        margin={"t": _HEAD, "b": _FOOT},
        showlegend=False,
    )
    header = ["family", "level", "unit", "dose", "kept", "low", "high", "n", "confidence", "method"]
    table = [
        [d.family, d.level, d.unit, d.about, e.value, e.low, e.high, e.n, e.level, e.method]
        for d, e in ((k.dose, k.rate) for k in retention.kept)
    ]
    return with_data(figure, header, table)


@dataclass(frozen=True)
class _Place:
    """Where a panel stands: its index, its top and its height as shares of the plot's."""

    index: int
    top: float
    tall: float

    @property
    def axes(self) -> dict[str, str]:
        number = "" if self.index == 0 else str(self.index + 1)
        return {"xaxis": f"x{number}", "yaxis": f"y{number}"}

    @property
    def left(self) -> bool:
        return self.index % _COLUMNS == 0

    @property
    def across(self) -> list[float]:
        return [0, 0.46] if self.left else [0.54, 1]


def _panel(figure: go.Figure, place: _Place, kept: Sequence[Kept], area: Estimate) -> None:
    ordered = bool(kept[0].dose.unit)
    x = [k.dose.level if ordered else float(i) for i, k in enumerate(kept, 1)]
    last = max(x)
    levels = sorted(set(x))
    means = [
        _mean([k.rate.value for at, k in zip(x, kept, strict=True) if at == level])
        for level in levels
    ]
    line_x, line_y = [0.0, *levels], [100.0, *means]
    if not ordered:
        line_x, line_y = [0.5, len(kept) + 0.5], [100 * area.value] * 2
    figure.add_scatter(
        x=line_x,
        y=line_y,
        mode="lines",
        line={"color": BLUE, "width": 2 if ordered else 1.2, "dash": None if ordered else "dot"},
        fill="tozeroy",
        fillcolor=faded(BLUE, 0.12),
        hoverinfo="skip",
        **place.axes,
    )
    rates = [k.rate for k in kept]
    figure.add_scatter(
        x=x,
        y=[100 * rate.value for rate in rates],
        error_y=whiskers(rates, 3),
        mode="markers",
        marker={"color": BLUE, "size": 7},
        name=escaped(kept[0].dose.family),
        text=[_dose_hover(k) for k in kept],
        hovertemplate=HOVER,
        cliponaxis=False,
        **place.axes,
    )
    _axes(figure, place, levels if ordered else [], last)
    figure.add_annotation(
        text=_head(kept[0].dose, len(kept), area),
        align="left",
        showarrow=False,
        xref="paper",
        yref="paper",
        x=place.across[0],
        y=place.top,
        xanchor="left",
        yanchor="bottom",
        yshift=6,
        font={"size": 11.5},
        hovertext=_area_hover(kept[0].dose.family, area),
    )


def _head(dose: Dose, doses: int, area: Estimate) -> str:
    """A panel's heading: the family, its area, and what its axis counts."""
    counts = shortened(dose.unit, _UNIT) or f"{doses} dose{'s' * (doses > 1)}"
    name = escaped(shortened(dose.family, _NAME))
    return f"<b>{name}</b><br>{area.value:.0%} · {escaped(counts)}"


def _axes(figure: go.Figure, place: _Place, levels: Sequence[float], last: float) -> None:
    """The panel's own axes: ticks at doses that have room; none where there is no order."""
    labels = _apart([0.0, *levels]) if levels else []
    names = {key: f"{key}{place.axes[key][1:]}" for key in ("xaxis", "yaxis")}
    x = {
        "domain": place.across,
        "anchor": place.axes["yaxis"],
        "range": [-0.04 * last, 1.06 * last] if levels else [0.4, last + 0.6],
        "tickvals": labels,
        "ticktext": [f"{level:g}" for level in labels],
        "tickangle": 0,
        "showgrid": False,
    }
    y = {
        "domain": [max(0.0, place.top - place.tall), place.top],
        "anchor": place.axes["xaxis"],
        "range": [0, 105],
        "tickvals": [0, 50, 100],
        "ticktext": ["0", "50", "100%"],
        "showticklabels": place.left,
    }
    figure.update_layout({names["xaxis"]: x, names["yaxis"]: y})


def _apart(levels: Sequence[float], share: float = 0.22) -> list[float]:
    """The levels from the last down that are far enough apart to be labelled, and 0."""
    shown = [levels[-1]]
    for level in reversed(levels[1:-1]):
        if min(shown[-1] - level, level) >= share * levels[-1]:
            shown.append(level)
    return [0.0, *reversed(shown)]


def _mean(values: Sequence[float]) -> float:
    return 100 * sum(values) / len(values)


def _dose_hover(kept: Kept) -> str:
    dose, unit = kept.dose, escaped(kept.dose.unit)
    level = f"<br>{dose.level:g} {unit}" if unit else ""
    head = f"<b>{escaped(dose.family)}</b><br>{wrapped(dose.about, _AXIS)}{level}"
    return f"{head}<br>kept {percent(kept.rate)}<br>{source(kept.rate)}"


def _area_hover(name: str, area: Estimate) -> str:
    return f"<b>{escaped(name)}</b><br>area kept {percent(area)}<br>{source(area)}"


def _unperturbed(retention: Retention) -> str:
    return f"unperturbed: {percent(retention.baseline, 0)}"


def _bars(estimate: Estimate) -> str:
    return f"bars: {estimate.level:.0%} intervals"
