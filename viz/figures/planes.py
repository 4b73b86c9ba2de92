"""Prompts of every arm along the gate: as strips, in a plane, and in space.

Coordinates are in units of the gate's gap (0: control words' mean in the fitting prompts, 1: the
trigger's). An arm has its colour everywhere; triggered prompts are filled, others hollow.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect
from probes.stats.intervals import Estimate, mean_interval
from viz.data import mark
from viz.figures.marks import DOTTED, HOVER, diamond, finish, source
from viz.text import escape, prompt_hover, wrap
from viz.theme import ARM_COLOURS, colour, fade

Points = Mapping[str, Mapping[str, Float[Tensor, "n axes"]]]
_FILLED = "triggered"
_ALONG = "along {}<br>(0: control words, 1: trigger)"


@dataclass(frozen=True, eq=False)
class _Cloud:
    """The prompts of one arm and condition."""

    arm: str
    condition: str
    at: Float[Tensor, "n axes"]
    shade: str

    @property
    def symbol(self) -> str:
        return "circle" if self.condition == _FILLED else "circle-open"

    @property
    def name(self) -> str:
        return f"{escape(self.arm)}, {escape(self.condition)}"

    @property
    def head(self) -> str:
        """The first line of its hover boxes."""
        return f"<b>{escape(self.arm)}</b>, {escape(self.condition)}"

    def dots(self, texts: Sequence[str], axes: int | None = None) -> dict[str, Any]:
        """Its points; hover gives arm, condition, place along the first axes, and prompt."""
        prompts = [f"<br>{prompt_hover(text)}" for text in texts[: len(self.at)]]
        hovers = [
            f"{self.head}<br>{' · '.join(f'{v:.2f}' for v in row)}{prompt}"
            for row, prompt in zip_longest(self.at[:, :axes].tolist(), prompts, fillvalue="")
        ]
        return {"mode": "markers", "name": self.name, "text": hovers, "hovertemplate": HOVER}

    def rows(self, *axes: str) -> list[dict[str, Any]]:
        """The numbers of every prompt, by the names of the axes."""
        whose = {"arm": self.arm, "condition": self.condition}
        return [
            {**whose, "prompt": i, **dict(zip(axes, row, strict=False))}
            for i, row in enumerate(self.at.tolist())
        ]


def _clouds(points: Points) -> Iterator[_Cloud]:
    expect(points, "at least one arm", "none", "pass arm -> condition -> points")
    for index, (arm, sides) in enumerate(points.items()):
        shade = colour(arm, ARM_COLOURS, index)
        for condition, at in sides.items():
            yield _Cloud(arm, condition, at, shade)


def arm_projections(
    points: Points, texts: Sequence[str] = (), along: str = "the gate"
) -> go.Figure:
    """Where every arm's prompts lie along a direction, a strip per arm and condition.

    The points' vertical spread means nothing. The diamond is the mean with its 95 % interval.

    Args:
        texts: the prompts, for the hover.
        along: what the direction is called.

    Raises:
        ValueError: no arm.
    """
    clouds = list(_clouds(points))
    heights = [-i - 0.35 * list(points).index(cloud.arm) for i, cloud in enumerate(clouds)]
    figure = go.Figure()
    for cloud, y in zip(clouds, heights, strict=True):
        _strip(figure, cloud, y, texts)
    for x in (0.0, 1.0):
        figure.add_vline(x=x, line=DOTTED)
    rows = [row for cloud in clouds for row in cloud.rows("projection")]
    return finish(
        figure,
        f"Projection on {along}, by arm",
        f"point: one test prompt; diamond: mean with 95% interval; n = {len(rows)} points",
        150 + 46 * len(clouds),
        rows,
        x={"title_text": _ALONG.format(along), "tickangle": 0},
        y={
            "tickvals": heights,
            "ticktext": [f"{wrap(c.arm, 14)}, {escape(c.condition)}" for c in clouds],
            "range": [heights[-1] - 0.6, 0.65],
            "showgrid": False,
            "showline": False,
            "ticks": "",
        },
        showlegend=False,
    )


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
    figure = go.Figure()
    for cloud in (clouds := list(_clouds(points))):
        shade = fade(cloud.shade, 0.7) if cloud.symbol == "circle" else cloud.shade
        marker = {"color": shade, "opacity": 1, "size": 7, "symbol": cloud.symbol}
        x, y = cloud.at[:, :2].T.tolist()
        figure.add_scatter(x=x, y=y, marker=marker, **cloud.dots(texts))
    first, second = apart[:2]
    return finish(
        figure,
        "The gate and what varies most beside it",
        f"apart (AUROC, n = {first.n}): along the gate {first:.2f}, beside it {second:.2f}",
        490,
        [row for cloud in clouds for row in cloud.rows("gate", "beside 1", "beside 2")],
        x={"title_text": _ALONG.format("the gate"), "tickangle": 0},
        y={"title_text": f"first component beside it ({share:.0%} of the rest)"},
        margin={"t": _top(clouds)},
    )


def gate_space(points: Points, shares: Sequence[float], texts: Sequence[str] = ()) -> go.Figure:
    """The same with the second component beside the gate; drawn when scrolled into view.

    Raises:
        ValueError: no arm.
    """
    figure = go.Figure()
    for cloud in (clouds := list(_clouds(points))):
        # In space points are opaque: WebGL adds what lies behind one another up to white.
        marker = {"color": cloud.shade, "opacity": 1, "size": 4, "symbol": cloud.symbol}
        line = {"color": cloud.shade, "width": 1 if cloud.symbol == "circle" else 2}
        x, y, z = cloud.at.T.tolist()
        dots = {"x": x, "y": y, "z": z, **cloud.dots(texts)}
        figure.add_scatter3d(marker={**marker, "line": line}, **dots)
    axes = {"xaxis": "gate", "yaxis": "beside 1", "zaxis": "beside 2"}
    finish(
        figure,
        "The gate and two components beside it, in space",
        f"drag to turn; axes beside the gate hold {shares[0]:.0%} and {shares[1]:.0%} of the rest",
        560,
        [row for cloud in clouds for row in cloud.rows(*axes.values())],
        scene={
            **{axis: {"title": {"text": name}} for axis, name in axes.items()},
            "aspectmode": "cube",
            "camera": {
                "eye": {"x": 1.0, "y": -1.65, "z": 0.5},
                "center": {"x": 0, "y": 0, "z": -0.22},
            },
        },
        margin={"l": 0, "r": 0, "b": 0, "t": _top(clouds)},
        legend={"itemsizing": "constant"},
    )
    return mark(figure, three=True)


def _top(clouds: Sequence[_Cloud]) -> int:
    """Room above for the title and a legend of four names to a row."""
    return 82 + 20 * -(-len(clouds) // 4)


def _strip(figure: go.Figure, cloud: _Cloud, y: float, texts: Sequence[str]) -> None:
    """One row's points, which the golden ratio spreads evenly, and their mean."""
    values = cloud.at[:, 0].tolist()
    figure.add_scatter(
        x=values,
        y=[y + 0.45 * ((i * 0.618034) % 1 - 0.5) for i in range(len(values))],
        marker={
            "color": fade(cloud.shade, 0.55 if cloud.symbol == "circle" else 0.8),
            "size": 5.5,
            "symbol": cloud.symbol,
        },
        **cloud.dots(texts, axes=1),
    )
    if len(values) > 1:  # one value has no interval
        mean = mean_interval(torch.tensor(values, dtype=torch.float64))
        diamond(
            figure,
            mean,
            y,
            f"{cloud.head}<br>mean {mean:.3f}<br>{source(mean)}",
            f"{cloud.name}, mean",
            cloud.shade,
            bar={"color": cloud.shade},
            marker_line={"width": 1},
        )
