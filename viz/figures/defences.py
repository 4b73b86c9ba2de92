"""Defences: protection against harm, with who knows them beside it; a monitor's ROC."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from circuits.errors import expect
from probes.stats.intervals import Estimate
from viz.figures.marks import AXIS, DASHED, HOVER, UNSEEN, bounds, finish, source
from viz.text import escape, wrap
from viz.theme import BLUE, GREY, VERMILION

FLOOR = 1e-4  # nats: less is drawn here, on the logarithmic axis
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

    @property
    def drift(self) -> float:
        """Where it stands on the logarithmic axis, in nats."""
        return max(self.harm.value, FLOOR)


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
    distinct = points and len({p.name for p in points}) == len(points)
    expect(distinct, "different names", f"{len(points)} points", "name each", "defences")
    figure = go.Figure()
    front = pareto([(p.drift, _protected(p.success)) for p in points])
    figure.add_scatter(
        x=[x for x, _ in front],
        y=[y for _, y in front],
        mode="lines",
        line={"color": GREY, "width": 1.2, "shape": "hv"},
        hoverinfo="skip",
        name="front",
    )
    for p in points:
        if p.attacked is not None:
            ends = [_protected(p.success), _protected(p.attacked)]
            line = {"color": VERMILION, "width": 1, "dash": "dot"}
            figure.add_scatter(**UNSEEN, x=[p.drift] * 2, y=ends, line=line)
    _dots(figure, points)
    _diamonds(figure, points)
    figure.add_vline(x=harm, line=DASHED)
    figure.add_hline(y=100 * (1 - success), line=DASHED)
    return finish(
        figure,
        "Protection against harm",
        escape(f"bars: 95% intervals; dashed: {success:.0%} success, {harm:g} nats"),
        460,
        [
            {
                "defence": p.name,
                **bounds(p.success, "success"),
                "n": p.success.n,
                **bounds(p.harm, "kl", "kl "),
                **bounds(p.attacked, "attacked", "attacked "),
            }
            for p in points
        ],
        x={
            "title_text": "drift on ordinary prompts (nats per token)",
            "type": "log",
            "exponentformat": "none",
        },
        y={"title_text": "protected, worst family (%)", "range": [-9, 108]},
    )


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
    expect(len(curve) >= 2, "at least two points", len(curve), of="roc")
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
    chance = {"mode": "lines", "line": DASHED, "hoverinfo": "skip", "name": "chance"}
    figure.add_scatter(x=[0, 100], y=[0, 100], **chance)
    marker = {"color": VERMILION, "size": 11, "symbol": "x"}
    place = {"x": [100 * at], "y": [100 * reached]}
    figure.add_scatter(**place, mode="markers", name="threshold", marker=marker)
    return finish(
        figure,
        "Monitor on test prompts",
        f"AUROC {auroc:.3f}, n = {auroc.n}",
        420,
        [{"false alarms": x, "detected": y} for x, y in curve],
        half=True,
        x={"title_text": "clean prompts flagged (%)", "range": [-2, 102]},
        y={"title_text": "triggered prompts flagged (%)", "range": [-2, 104]},
    )


def _dots(figure: go.Figure, points: Sequence[DefencePoint]) -> None:
    """The defences as fitted; their bars point the other way, as protection is what is left."""
    rates = [p.success for p in points]
    figure.add_scatter(
        x=[p.drift for p in points],
        y=[_protected(rate) for rate in rates],
        mode="markers+text",
        text=[escape(p.name) for p in points],
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
            "array": [100 * (rate.value - rate.low) for rate in rates],
            "arrayminus": [100 * (rate.high - rate.value) for rate in rates],
        },
        cliponaxis=False,
    )


def _diamonds(figure: go.Figure, points: Sequence[DefencePoint]) -> None:
    attacked = [(p, p.attacked) for p in points if p.attacked is not None]
    figure.add_scatter(
        x=[p.drift for p, _ in attacked],
        y=[_protected(rate) for _, rate in attacked],
        mode="markers",
        name="after an adaptive attacker",
        marker={"color": VERMILION, "size": 10, "symbol": "diamond-open", "line": {"width": 2}},
        text=[
            f"<b>{escape(p.name)}</b>, attacked<br>success {rate:.1%p}<br>{source(rate)}"
            for p, rate in attacked
        ],
        hovertemplate=HOVER,
    )


def _sides(points: Sequence[DefencePoint]) -> list[str]:
    """Names alternate between below and above, so that neighbours keep apart."""
    order = sorted(range(len(points)), key=lambda i: points[i].harm.value)
    sides = {i: ("bottom", "top")[rank % 2] for rank, i in enumerate(order)}
    # Nothing is drawn beyond the right end, so the names of its last points stand to their left.
    end = max(p.drift for p in points) / _NEAR
    return [f"{sides[i]} {'left' if p.drift > end else 'right'}" for i, p in enumerate(points)]


def _hover(point: DefencePoint) -> str:
    note = f"<br>{wrap(point.note, AXIS)}" if point.note else ""
    return (
        f"<b>{escape(point.name)}</b><br>success {point.success:.1%p}<br>{source(point.success)}"
        f"<br>drift {point.harm:.3g} nats{note}"
    )


def _protected(success: Estimate) -> float:
    return 100 * (1 - success.value)
