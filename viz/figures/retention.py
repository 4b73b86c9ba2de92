"""What a battery of perturbations leaves of a behaviour: a panel per family, a forest of areas.

The coloured area of a panel is the family's figure: under the line where the doses have an order,
under the mean of the doses where they have none.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from circuits.errors import expect
from probes.brittleness.retention import Dose, Kept, Retention
from probes.stats.intervals import Estimate
from viz.figures.forest import ForestRow, forest
from viz.figures.marks import AXIS, HOVER, columns, finish, keep_apart, shares, source
from viz.text import escape, shorten, wrap
from viz.theme import BLUE, VERMILION, fade

_COLUMNS = 2  # a phone has no room for a third
_ROW, _PLOT, _HEAD, _FOOT = 176, 104, 66, 36  # px: a row with its head, a panel, outer margins
_NAME, _UNIT = 22, 18  # characters in a panel's head
_MEAN = "mean of families"
_APART = 0.22  # of the axis, between two labels


def retention_forest(retention: Retention) -> go.Figure:
    """Area under every family's curve (%), the most robust on top; their mean stands apart."""
    families = sorted(retention.families.items(), key=lambda item: -item[1].value)
    rows = [ForestRow(name, e, _area_hover(name, e)) for name, e in families]
    hover = _area_hover(_MEAN, retention.area)
    rows.append(ForestRow(_MEAN, retention.area, hover, VERMILION, "diamond", apart=bool(rows)))
    about = f"area under each family's curve; {_basis(retention, retention.area)}"
    figure = forest(rows, "Behaviour kept, by family", about, "area kept (%)", scale=100)
    return figure.update_xaxes(range=[-3, 103], dtick=25)


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
    expect(
        families and not missing,
        "doses and their families' areas",
        f"none for {', '.join(missing)}" if missing else "no dose",
        "pass what retention() gave",
        "retention",
    )
    inside = _ROW * math.ceil(len(families) / _COLUMNS)
    figure = go.Figure()
    for index, family in enumerate(families):
        top = 1 - (index // _COLUMNS * _ROW + _ROW - _PLOT) / inside
        kept = [k for k in retention.kept if k.dose.family == family]
        _panel(figure, _Place(index, top, _PLOT / inside), kept, retention.families[family])
    return finish(
        figure,
        "Behaviour kept, by dose",
        f"{_basis(retention, retention.kept[0].rate)}; number: the coloured area",
        inside + _HEAD + _FOOT,
        [
            {
                "family": k.dose.family,
                "level": k.dose.level,
                "unit": k.dose.unit,
                "dose": k.dose.about,
                **columns(k.rate, "kept", level="confidence"),
            }
            for k in retention.kept
        ],
        margin={"t": _HEAD, "b": _FOOT},
        showlegend=False,
    )


@dataclass(frozen=True)
class _Place:
    """Where a panel stands: its index, its top and its height as shares of the plot's."""

    index: int
    top: float
    tall: float

    @property
    def number(self) -> str:
        """By which plotly tells its axes from the other panels'."""
        return "" if self.index == 0 else str(self.index + 1)

    @property
    def left(self) -> bool:
        return self.index % _COLUMNS == 0

    @property
    def across(self) -> list[float]:
        return [0, 0.46] if self.left else [0.54, 1]


def _panel(figure: go.Figure, place: _Place, kept: Sequence[Kept], area: Estimate) -> None:
    """A family's line in its area, its doses, its axes and its heading."""
    dose, axes = kept[0].dose, {f"{axis}axis": f"{axis}{place.number}" for axis in "xy"}
    ordered = bool(dose.unit)
    x = [k.dose.level if ordered else float(i) for i, k in enumerate(kept, 1)]
    levels = sorted(set(x))
    line_x, line_y = [0.5, len(kept) + 0.5], [100 * area.value] * 2
    if ordered:
        line_x, line_y = [0.0, *levels], [100.0, *(_mean(x, kept, level) for level in levels)]
    figure.add_scatter(
        x=line_x,
        y=line_y,
        mode="lines",
        line={"color": BLUE, "width": 2 if ordered else 1.2, "dash": None if ordered else "dot"},
        fill="tozeroy",
        fillcolor=fade(BLUE, 0.12),
        hoverinfo="skip",
        **axes,
    )
    figure.add_scatter(
        x=x,
        **shares([k.rate for k in kept], 3),
        mode="markers",
        marker={"color": BLUE, "size": 7},
        name=escape(dose.family),
        text=[_dose_hover(k) for k in kept],
        hovertemplate=HOVER,
        cliponaxis=False,
        **axes,
    )
    _axes(figure, place, levels if ordered else [], max(x))
    figure.add_annotation(
        text=_head(dose, len(kept), area),
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
        hovertext=_area_hover(dose.family, area),
    )


def _mean(x: Sequence[float], kept: Sequence[Kept], level: float) -> float:
    """Of the doses of one level, in per cent."""
    values = [k.rate.value for at, k in zip(x, kept, strict=True) if at == level]
    return 100 * sum(values) / len(values)


def _head(dose: Dose, doses: int, area: Estimate) -> str:
    """A panel's heading: the family, its area, and what its axis counts."""
    counts = shorten(dose.unit, _UNIT) or f"{doses} dose{'s' * (doses > 1)}"
    name = escape(shorten(dose.family, _NAME))
    return f"<b>{name}</b><br>{area.value:.0%} · {escape(counts)}"


def _axes(figure: go.Figure, place: _Place, levels: Sequence[float], last: float) -> None:
    """The panel's own axes: ticks at doses that have room; none where there is no order."""
    least = _APART * last
    far = [level for level in levels if least <= level < last]  # from 0, which has a label
    labels = [0.0, *keep_apart([*far, last], least)] if levels else []
    x = {
        "domain": place.across,
        "anchor": f"y{place.number}",
        "range": [-0.04 * last, 1.06 * last] if levels else [0.4, last + 0.6],
        "tickvals": labels,
        "ticktext": [f"{level:g}" for level in labels],
        "tickangle": 0,
        "showgrid": False,
    }
    y = {
        "domain": [max(0.0, place.top - place.tall), place.top],
        "anchor": f"x{place.number}",
        "range": [0, 105],
        "tickvals": [0, 50, 100],
        "ticktext": ["0", "50", "100%"],
        "showticklabels": place.left,
    }
    figure.update_layout({f"xaxis{place.number}": x, f"yaxis{place.number}": y})


def _dose_hover(kept: Kept) -> str:
    dose, unit = kept.dose, escape(kept.dose.unit)
    level = f"<br>{dose.level:g} {unit}" if unit else ""
    head = f"<b>{escape(dose.family)}</b><br>{wrap(dose.about, AXIS)}{level}"
    return f"{head}<br>kept {kept.rate:.1%p}<br>{source(kept.rate)}"


def _area_hover(name: str, area: Estimate) -> str:
    return f"<b>{escape(name)}</b><br>area kept {area:.1%p}<br>{source(area)}"


def _basis(retention: Retention, drawn: Estimate) -> str:
    """The rate without perturbation, and what the bars are."""
    return f"unperturbed: {retention.baseline:.0%p}; bars: {drawn.level:.0%} intervals"
