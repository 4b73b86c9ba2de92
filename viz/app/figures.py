"""The app's figures."""

from collections.abc import Sequence

import plotly.graph_objects as go

from circuits.types import PatchGrid
from viz.app.data import Candidate
from viz.figures.grids import grid_figure
from viz.text import token_label
from viz.theme import EDIT_COLOURS, INK, MUTED, template

_PLAIN, _EDITED = EDIT_COLOURS["none"], EDIT_COLOURS["gate removed"]


def next_token_bars(choices: Sequence[Candidate], edited: bool, dark: bool) -> go.Figure:
    """Probabilities of the likeliest next tokens, as the model is and as edited."""
    figure = go.Figure()
    shown = list(reversed(choices))
    rows = list(range(len(shown)))
    series = [("as it is", _PLAIN, [c.plain for c in shown])]
    if edited:
        series.insert(0, ("edited", _EDITED, [c.edited for c in shown]))
    for name, shade, values in series:
        figure.add_bar(
            x=values,
            y=rows,
            orientation="h",
            name=name,
            marker={"color": shade},
            text=[f"{v:.3f}" for v in values],
            textposition="outside",
            cliponaxis=False,
            textfont={"color": INK[dark], "size": 11},
            hovertemplate="%{customdata}: %{x:.4f}<extra>" + name + "</extra>",
            customdata=[token_label(c.text) for c in shown],
        )
    figure.update_layout(
        template=template(dark),
        height=330,
        barmode="group",
        bargap=0.28,
        bargroupgap=0.05,
        margin={"l": 8, "r": 24, "t": 34, "b": 44},
        showlegend=edited,
        legend={"traceorder": "reversed"},
    )
    figure.update_xaxes(title_text="probability", range=[0, 1.12], tickvals=[0, 0.25, 0.5, 0.75, 1])
    figure.update_yaxes(
        tickvals=rows,
        ticktext=[token_label(c.text) for c in shown],
        showline=False,
        ticks="",
        showgrid=False,
        tickfont={"color": INK[dark], "size": 12},
    )
    return figure


def blank(text: str, dark: bool, height: int = 330) -> go.Figure:
    """An empty figure that says what will be there; `text` is ours."""
    figure = go.Figure()
    figure.update_layout(
        template=template(dark),
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
    )
    figure.add_annotation(text=text, showarrow=False, font={"color": MUTED[dark], "size": 13})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def grid_heatmap(grid: PatchGrid, dark: bool) -> go.Figure:
    """A patching grid whose cells can be clicked."""
    figure = grid_figure(grid)
    # Title and subtitle stand beside the figure, where they wrap on a phone.
    figure.update_layout(
        template=template(dark), title=None, margin={"t": 70, "l": 48, "r": 8}, clickmode="event"
    )
    return figure
