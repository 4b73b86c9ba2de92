"""Prompts of every arm along the gate: as strips, in a plane, and in space.

Coordinates are in units of the gate's gap (0: control words' mean in the fitting prompts, 1: the
trigger's). An arm has its colour everywhere; triggered prompts are filled, others hollow.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from probes.stats.intervals import Estimate, mean_interval
from viz.data import marked, with_data
from viz.figures.forest import HOVER
from viz.text import escaped, interval_text, prompt_hover, wrapped
from viz.theme import ARM_COLOURS, GREY, colour, faded, titled

Points = Mapping[str, Mapping[str, Float[Tensor, "n axes"]]]
_FILLED = "triggered"
_ALONG = "along the gate<br>(0: control words, 1: trigger)"


def arm_projections(points: Points, texts: Sequence[str] = ()) -> go.Figure:
    """Where every arm's prompts lie along the gate, a strip per arm and condition.

    The points' vertical spread means nothing. The diamond is the mean with its 95 % bootstrap
    interval. `texts` are the prompts, for the hover.

    Raises:
        ValueError: no arm.
    """
    if not points:
        raise ValueError("expected at least one arm, got none; pass arm -> condition -> points")
    figure, labels, rows, y = go.Figure(), [], [], 0.0
    for index, (arm, sides) in enumerate(points.items()):
        shade = colour(arm, ARM_COLOURS, index)
        for condition, at in sides.items():
            values = at[:, 0].tolist()
            _strip(figure, (arm, condition), y, values, shade, texts)
            labels.append((y, f"{wrapped(arm, 14)}, {escaped(condition)}"))
            rows += [[arm, condition, i, v] for i, v in enumerate(values)]
            y -= 1.0
        y -= 0.35
    about = f"point: one test prompt; diamond: mean with 95% interval; n = {len(rows)} points"
    figure.update_layout(
        titled("Projection on the gate, by arm", about, height=150 + 46 * len(labels)),
        showlegend=False,
    )
    figure.update_xaxes(title_text=_ALONG, tickangle=0)
    figure.update_yaxes(
        tickvals=[at for at, _ in labels],
        ticktext=[text for _, text in labels],
        range=[y + 0.75, 0.65],
        showgrid=False,
        showline=False,
        ticks="",
    )
    for x in (0.0, 1.0):
        figure.add_vline(x=x, line={"width": 1, "dash": "dot", "color": GREY})
    return with_data(figure, ["arm", "condition", "prompt", "projection"], rows)


def gate_plane(
    points: Points, share: float, apart: Sequence[Estimate], texts: Sequence[str] = ()
) -> go.Figure:
    """Test prompts by their component along the gate and along the first one beside it.

    Args:
        share: of the variance beside the gate that the second axis holds.
        apart: AUROC of triggered against control words, along either axis.

    Raises:
        ValueError: no arm.
    """
    figure, rows = _clouds(points, texts, deep=False)
    first, second = (interval_text(a.value, a.low, a.high) for a in apart[:2])
    about = f"apart (AUROC, n = {apart[0].n}): along the gate {first}, beside it {second}"
    figure.update_layout(titled("The gate and what varies most beside it", about, height=490))
    figure.update_layout(margin={"t": _top(figure)})
    figure.update_xaxes(title_text=_ALONG, tickangle=0)
    figure.update_yaxes(title_text=f"first component beside it ({share:.0%} of the rest)")
    return with_data(figure, ["arm", "condition", "prompt", "gate", "beside 1", "beside 2"], rows)


def gate_space(points: Points, shares: Sequence[float], texts: Sequence[str] = ()) -> go.Figure:
    """The same with the second component beside the gate; drawn when scrolled into view.

    Raises:
        ValueError: no arm.
    """
    figure, rows = _clouds(points, texts, deep=True)
    about = (
        f"drag to turn; axes beside the gate hold {shares[0]:.0%} and {shares[1]:.0%} of the rest"
    )
    figure.update_layout(
        titled("The gate and two components beside it, in space", about, height=560),
        scene={
            "xaxis": {"title": {"text": "gate"}},
            "yaxis": {"title": {"text": "beside 1"}},
            "zaxis": {"title": {"text": "beside 2"}},
            "aspectmode": "cube",
            "camera": {
                "eye": {"x": 1.0, "y": -1.65, "z": 0.5},
                "center": {"x": 0, "y": 0, "z": -0.22},
            },
        },
        margin={"l": 0, "r": 0, "b": 0, "t": _top(figure)},
        legend={"itemsizing": "constant"},
    )
    header = ["arm", "condition", "prompt", "gate", "beside 1", "beside 2"]
    return marked(with_data(figure, header, rows), three=True)


def _top(figure: go.Figure) -> int:
    """Room above for the title and a legend of four names to a row."""
    return 82 + 20 * -(-sum(1 for _ in figure.data) // 4)


def _clouds(points: Points, texts: Sequence[str], deep: bool) -> tuple[go.Figure, list[list[Any]]]:
    """One trace per arm and condition, in two or three dimensions, and the rows of numbers."""
    if not points:
        raise ValueError("expected at least one arm, got none; pass arm -> condition -> points")
    figure, rows = go.Figure(), []
    for index, (arm, sides) in enumerate(points.items()):
        shade = colour(arm, ARM_COLOURS, index)
        for condition, at in sides.items():
            columns = [column.tolist() for column in at.T]
            filled = condition == _FILLED
            hollow = "circle-open" if deep else f"circle{'' if filled else '-open'}"
            marker: dict[str, Any] = {
                # In space points are opaque: WebGL adds what lies behind one another up to white.
                "color": shade if deep or not filled else faded(shade, 0.7),
                "opacity": 1,
                "size": 4 if deep else 7,
                "symbol": "circle" if filled else hollow,
            }
            common = {
                "x": columns[0],
                "y": columns[1],
                "mode": "markers",
                "marker": marker,
                "name": f"{escaped(arm)}, {escaped(condition)}",
                "text": _hovers(arm, condition, at, texts),
                "hovertemplate": HOVER,
            }
            if deep:
                marker["line"] = {"color": shade, "width": 1 if filled else 2}
                figure.add_scatter3d(z=columns[2], **common)
            else:
                figure.add_scatter(**common)
            rows += [[arm, condition, i, *row] for i, row in enumerate(at.tolist())]
    return figure, rows


def _strip(
    figure: go.Figure,
    of: tuple[str, str],
    y: float,
    values: list[float],
    shade: str,
    texts: Sequence[str],
) -> None:
    arm, condition = of
    filled = condition == _FILLED
    figure.add_scatter(
        x=values,
        y=[y + 0.45 * ((i * 0.618034) % 1 - 0.5) for i in range(len(values))],
        mode="markers",
        marker={
            "color": faded(shade, 0.55) if filled else faded(shade, 0.8),
            "size": 5.5,
            "symbol": "circle" if filled else "circle-open",
        },
        text=_hovers(arm, condition, torch.tensor(values)[:, None], texts),
        hovertemplate=HOVER,
        name=f"{escaped(arm)}, {escaped(condition)}",
    )
    if len(values) < 2:
        return  # one value has no interval
    mean = mean_interval(torch.tensor(values, dtype=torch.float64))
    figure.add_scatter(
        x=[mean.value],
        y=[y],
        error_x={
            "type": "data",
            "array": [mean.high - mean.value],
            "arrayminus": [mean.value - mean.low],
            "thickness": 2,
            "width": 5,
            "color": shade,
        },
        mode="markers",
        marker={"color": shade, "size": 10, "symbol": "diamond", "line": {"width": 1}},
        text=[
            f"<b>{escaped(arm)}</b>, {escaped(condition)}<br>mean "
            f"{interval_text(mean.value, mean.low, mean.high, 3)}<br>n = {mean.n} · "
            f"{mean.level:.0%} {mean.method}"
        ],
        hovertemplate=HOVER,
        name=f"{escaped(arm)}, {escaped(condition)}, mean",
    )


def _hovers(
    arm: str, condition: str, at: Float[Tensor, "n axes"], texts: Sequence[str]
) -> list[str]:
    """Arm, condition, position and prompt of every point."""
    said = [f"<br>{prompt_hover(text)}" for text in texts[: len(at)]]
    said += [""] * (len(at) - len(said))
    return [
        f"<b>{escaped(arm)}</b>, {escaped(condition)}<br>"
        f"{' · '.join(f'{v:.2f}' for v in row)}{prompt}"
        for row, prompt in zip(at.tolist(), said, strict=True)
    ]
