"""Defences: protection against harm, with who knows them beside it; a monitor's ROC."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from circuits.errors import UserError
from probes.stats.intervals import Estimate
from viz.data import with_data
from viz.figures.estimates import percent, source
from viz.figures.forest import HOVER
from viz.text import escaped, wrapped
from viz.theme import BLUE, GREY, VERMILION, titled

FLOOR = 1e-4  # nats: less is drawn here, on the logarithmic axis
_AXIS = 34
_NEAR = 6  # times less drift than the most: a name to the right would not fit


@dataclass(frozen=True)
class DefencePoint:
    """One defence.

    Attributes:
        success: the behaviour's rate in the family with most of it, under the defence.
        harm: nats of drift per answer token on ordinary prompts.
        attacked: the same rate after an adaptive attacker; None where there was none.
        note: what else it costs, a line for the hover.
    """

    name: str
    success: Estimate
    harm: Estimate
    attacked: Estimate | None = None
    note: str = ""


def protection_against_harm(
    points: Sequence[DefencePoint], success: float, harm: float
) -> go.Figure:
    """Protection (1 - success in the worst family, %) against drift (nats, log axis).

    Filled dots are defences as fitted, joined to hollow diamonds: the same after an adaptive
    attacker. The step line is the front that no other defence beats in both. The dashed lines are
    the limits ``success`` and ``harm`` of a defence that holds.

    Raises:
        UserError: no defence, or two of one name.
    """
    if not points or len({p.name for p in points}) < len(points):
        raise UserError(f"defences: expected different names, got {len(points)} points; name each")
    figure = go.Figure()
    front = pareto([(max(p.harm.value, FLOOR), _kept(p.success)) for p in points])
    figure.add_scatter(
        x=[x for x, _ in front],
        y=[y for _, y in front],
        mode="lines",
        line={"color": GREY, "width": 1.2, "shape": "hv"},
        hoverinfo="skip",
        name="front",
    )
    for point in points:
        if point.attacked is not None:
            x = max(point.harm.value, FLOOR)
            figure.add_scatter(
                x=[x, x],
                y=[_kept(point.success), _kept(point.attacked)],
                mode="lines",
                line={"color": VERMILION, "width": 1, "dash": "dot"},
                hoverinfo="skip",
                showlegend=False,
            )
    _dots(figure, points)
    _diamonds(figure, [p for p in points if p.attacked is not None])
    figure.add_vline(x=harm, line={"width": 1.2, "dash": "dash", "color": GREY})
    figure.add_hline(y=100 * (1 - success), line={"width": 1.2, "dash": "dash", "color": GREY})
    about = f"bars: 95% intervals; dashed: {success:.0%} success, {harm:g} nats"
    figure.update_layout(titled("Protection against harm", escaped(about), height=460))
    figure.update_xaxes(
        title_text="drift on ordinary prompts (nats per token)", type="log", exponentformat="none"
    )
    figure.update_yaxes(title_text="protected, worst family (%)", range=[-9, 108])
    header = [
        "defence",
        "success",
        "low",
        "high",
        "n",
        "kl",
        "kl low",
        "kl high",
        "attacked",
        "attacked low",
        "attacked high",
    ]
    return with_data(figure, header, [_cells(point) for point in points])


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in both, less of the first, more of the second; first rising.

    Of points with equal first values only the highest stays.
    """
    front: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda p: (p[0], -p[1])):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front


def monitor_roc(curve: Sequence[tuple[float, float]], auroc: Estimate, at: float) -> go.Figure:
    """False alarms against detections (%); the cross stands where the chosen threshold alarms.

    Args:
        curve: (false alarms, detections) as shares, rising.
        at: share of false alarms at the threshold.

    Raises:
        UserError: fewer than two points.
    """
    if len(curve) < 2:
        raise UserError(f"roc: expected at least two points, got {len(curve)}")
    reached = max((y for x, y in curve if x <= at), default=0.0)
    figure = go.Figure()
    figure.add_scatter(
        x=[100 * x for x, _ in curve],
        y=[100 * y for _, y in curve],
        mode="lines",
        line={"color": BLUE, "width": 2},
        name="monitor",
        hovertemplate="alarms %{x:.1f}%<br>detected %{y:.1f}%<extra></extra>",
    )
    figure.add_scatter(
        x=[0, 100],
        y=[0, 100],
        mode="lines",
        line={"color": GREY, "width": 1.2, "dash": "dash"},
        hoverinfo="skip",
        name="chance",
    )
    figure.add_scatter(
        x=[100 * at],
        y=[100 * reached],
        mode="markers",
        name="threshold",
        marker={"color": VERMILION, "size": 11, "symbol": "x"},
    )
    about = f"AUROC {auroc.value:.3f} [{auroc.low:.3f}, {auroc.high:.3f}], n = {auroc.n}"
    figure.update_layout(titled("Monitor on test prompts", escaped(about), height=420))
    figure.update_xaxes(title_text="clean prompts flagged (%)", range=[-2, 102])
    figure.update_yaxes(title_text="triggered prompts flagged (%)", range=[-2, 104])
    return with_data(figure, ["false alarms", "detected"], [list(p) for p in curve], half=True)


def _dots(figure: go.Figure, points: Sequence[DefencePoint]) -> None:
    kept = [_kept(p.success) for p in points]
    figure.add_scatter(
        x=[max(p.harm.value, FLOOR) for p in points],
        y=kept,
        mode="markers+text",
        text=[escaped(p.name) for p in points],
        textposition=_sides(points),
        textfont={"size": 11},
        customdata=[_hover(p) for p in points],
        hovertemplate="%{customdata}<extra></extra>",
        name="as fitted",
        marker={"color": BLUE, "size": 10},
        error_y={
            "type": "data",
            "thickness": 1.2,
            "width": 3,
            "color": GREY,
            "array": [100 * (p.success.value - p.success.low) for p in points],
            "arrayminus": [100 * (p.success.high - p.success.value) for p in points],
        },
        cliponaxis=False,
    )


def _diamonds(figure: go.Figure, points: Sequence[DefencePoint]) -> None:
    rates = [p.attacked for p in points if p.attacked is not None]
    figure.add_scatter(
        x=[max(p.harm.value, FLOOR) for p in points],
        y=[_kept(rate) for rate in rates],
        mode="markers",
        name="after an adaptive attacker",
        marker={"color": VERMILION, "size": 10, "symbol": "diamond-open", "line": {"width": 2}},
        text=[
            f"<b>{escaped(p.name)}</b>, attacked<br>success {percent(r)}<br>{source(r)}"
            for p, r in zip(points, rates, strict=True)
        ],
        hovertemplate=HOVER,
    )


def _sides(points: Sequence[DefencePoint]) -> list[str]:
    """Names alternate between below and above, so that neighbours keep apart."""
    order = sorted(range(len(points)), key=lambda i: points[i].harm.value)
    sides = {i: ("bottom", "top")[rank % 2] for rank, i in enumerate(order)}
    # Nothing is drawn beyond the right end, so the names of its last points stand to their left.
    end = max(max(p.harm.value, FLOOR) for p in points) / _NEAR
    return [
        f"{sides[i]} {'left' if max(p.harm.value, FLOOR) > end else 'right'}"
        for i, p in enumerate(points)
    ]


def _hover(point: DefencePoint) -> str:
    harm = point.harm
    lines = [
        f"<b>{escaped(point.name)}</b>",
        f"success {percent(point.success)}",
        source(point.success),
        f"drift {harm.value:.3g} [{harm.low:.3g}, {harm.high:.3g}] nats",
    ]
    return "<br>".join([*lines, *([wrapped(point.note, _AXIS)] if point.note else [])])


def _kept(success: Estimate) -> float:
    return 100 * (1 - success.value)


def _cells(p: DefencePoint) -> list[object]:
    after = [p.attacked.value, p.attacked.low, p.attacked.high] if p.attacked else [None] * 3
    return [
        p.name,
        p.success.value,
        p.success.low,
        p.success.high,
        p.success.n,
        p.harm.value,
        p.harm.low,
        p.harm.high,
        *after,
    ]
