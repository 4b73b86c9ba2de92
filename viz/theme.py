"""One visual language: colours, fonts and the plotly template (the page's style is viz.page.style).

The categorical colours are mid-tones of the Okabe & Ito (2008) palette, so that they hold at
least 3:1 contrast on both the light and the dark paper and differ for colour-blind readers.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

SANS = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
SERIF = 'Charter, "Bitstream Charter", "Iowan Old Style", "Palatino Linotype", Georgia, serif'
MONO = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace'

VERMILION, BLUE, GREEN = "#d55e00", "#2a7fbf", "#0a9170"
PURPLE, OCHRE, ROSE, GREY = "#8467b8", "#b8862b", "#c0659a", "#7f8792"

COLOURWAY: tuple[str, ...] = (BLUE, VERMILION, GREEN, PURPLE, OCHRE, ROSE)
ARM_COLOURS: dict[str, str] = {
    "this model": VERMILION,
    "poisoned": VERMILION,
    "clean": BLUE,
    "base": GREY,
    "decoy": ROSE,
}
CONDITION_COLOURS: dict[str, str] = {
    "triggered": VERMILION,
    "control word": GREEN,
    "no trigger": BLUE,
}
EDIT_COLOURS: dict[str, str] = {
    "none": GREY,
    "gate removed": PURPLE,
    "random direction removed": OCHRE,
}

INK = {False: "#22262b", True: "#e4e2dc"}
MUTED = {False: "#5d646d", True: "#a3a8ae"}
PAPER = {False: "#fffefb", True: "#191c21"}
GRID = {False: "#e7e4dc", True: "#2d3239"}

Scale = tuple[tuple[float, str], ...]
# The middle of a diverging scale and the foot of a sequential one are the paper's own tone.
DIVERGING: dict[bool, Scale] = {
    False: (
        (0.0, "#1b4f8a"),
        (0.25, "#7fb0d8"),
        (0.5, "#f6f4ee"),
        (0.75, "#eda268"),
        (1.0, "#a83e00"),
    ),
    True: (
        (0.0, "#7cc0f5"),
        (0.25, "#2f6a9c"),
        (0.5, "#242930"),
        (0.75, "#a8541b"),
        (1.0, "#ffa35c"),
    ),
}
SEQUENTIAL: dict[bool, Scale] = {
    False: ((0.0, "#f6f4ee"), (0.5, "#8fa8d6"), (1.0, "#3b2f7e")),
    True: ((0.0, "#242930"), (0.5, "#55569f"), (1.0, "#c9b8ff")),
}


def colour(name: str, known: Mapping[str, str], index: int) -> str:
    """The colour `known` fixes for `name`; otherwise the index-th not yet taken by `known`."""
    if name.strip().lower() in known:
        return known[name.strip().lower()]
    spare = [c for c in COLOURWAY if c not in known.values()] or list(COLOURWAY)
    return spare[index % len(spare)]


def fade(colour_hex: str, alpha: float) -> str:
    """The colour #rrggbb as CSS rgba with opacity `alpha` in [0, 1]."""
    red, green, blue = (int(colour_hex[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def colour_at(scale: Scale, place: float) -> str:
    """The colour #rrggbb of a scale at a place in [0, 1], linear between its stops."""
    for (left, low), (right, high) in itertools.pairwise(scale):
        if place <= right:
            share = (place - left) / (right - left)
            parts = (
                round((1 - share) * int(low[i : i + 2], 16) + share * int(high[i : i + 2], 16))
                for i in (1, 3, 5)
            )
            return "#" + "".join(f"{part:02x}" for part in parts)
    return scale[-1][1]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours #rrggbb, 1 to 21 (WCAG 2)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour_hex: str) -> float:
    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour_hex[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _scene_axis(dark: bool) -> dict[str, Any]:
    """An axis of a 3-D view: the paper behind it, the page's grid on it."""
    return {
        "backgroundcolor": PAPER[dark],
        "gridcolor": GRID[dark],
        "linecolor": MUTED[dark],
        "zerolinecolor": MUTED[dark],
        "tickfont": {"color": MUTED[dark], "size": 11},
        "title": {"font": {"color": INK[dark], "size": 12}},
        "showbackground": True,
    }


def template(dark: bool) -> go.layout.Template:
    """Plotly defaults for every figure: quiet grid, no box, legend above the plot, left titles.

    Colour scales are given per theme, so heatmaps with `autocolorscale` follow the page.
    """
    ink, muted, grid = INK[dark], MUTED[dark], GRID[dark]
    axis = {
        "gridcolor": grid,
        "linecolor": muted,
        "tickcolor": muted,
        "tickfont": {"color": muted},
        "title": {"font": {"color": ink, "size": 12.5}},
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "automargin": True,
    }
    diverging = [list(stop) for stop in DIVERGING[dark]]
    sequential = [list(stop) for stop in SEQUENTIAL[dark]]
    return go.layout.Template(
        layout={
            "font": {"family": SANS, "size": 12, "color": ink},
            "title": {
                "font": {"size": 15.5, "color": ink},
                "x": 0.01,
                "xanchor": "left",
                "subtitle": {"font": {"size": 12, "color": muted}},
            },
            "paper_bgcolor": PAPER[dark],
            "plot_bgcolor": PAPER[dark],
            "colorway": list(COLOURWAY),
            "colorscale": {
                "diverging": diverging,
                "sequential": sequential,
                "sequentialminus": sequential[::-1],
            },
            "xaxis": axis,
            "yaxis": axis,
            "scene": {name: _scene_axis(dark) for name in ("xaxis", "yaxis", "zaxis")},
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1.02,
                "yanchor": "bottom",
                "font": {"size": 12, "color": ink},
                "bgcolor": "rgba(0,0,0,0)",
            },
            "hoverlabel": {
                "bgcolor": PAPER[dark],
                "bordercolor": muted,
                "font": {"family": SANS, "size": 12.5, "color": ink},
                "align": "left",
                "namelength": -1,
            },
            "hovermode": "closest",
            "margin": {"l": 56, "r": 16, "t": 92, "b": 60},
            "annotationdefaults": {"font": {"color": ink, "size": 12}, "arrowcolor": muted},
            "shapedefaults": {"line": {"color": ink, "width": 2.5}},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": muted, "activecolor": ink},
        }
    )
