"""A traced circuit: what each span carries by layer, and the heads that move it."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from probes.causal.circuit import Mover, Trace
from probes.stats.intervals import Estimate
from viz.data import with_data
from viz.text import escaped, interval_text
from viz.theme import BLUE, COLOURWAY, GREY, OCHRE, faded, titled, whiskers

_HOVER = "%{text}<extra></extra>"
_ROW, _CURVES, _REST = 24, 250, 265  # px: a head, the upper panel, titles and axes


def trace_figure(trace: Trace) -> go.Figure:
    """Above, the share of the effect (%) that each span carries alone, by layer; below, the heads.

    Bands and bars are 95 % bootstrap intervals. A head's bar is the share its output recovers,
    filled where it is a mover; the diamond is what it recovers by its reading at the trigger alone.
    Dotted lines are half of the effect, where the trigger's span ceases to carry it and where the
    last span begins to.

    Raises:
        ValueError: a trace with nothing to show, because the trigger has no measurable effect.
    """
    if trace.leaves is None or trace.arrives is None:
        raise ValueError(
            f"expected a trace of an effect, got mean change {trace.full}; show its sentence"
        )
    height = _CURVES + _REST + _ROW * len(trace.heads)
    share = _CURVES / (height - 190)
    figure = make_subplots(2, 1, row_heights=[share, 1 - share], vertical_spacing=95 / height)
    for index, (span, shares) in enumerate(trace.read.items()):
        _curve(figure, escaped(span), shares, COLOURWAY[index % len(COLOURWAY)])
    dotted: dict[str, Any] = {"line": {"color": GREY, "dash": "dot", "width": 1.2}}
    upper: dict[str, Any] = {"row": 1, "col": 1}
    for layer in sorted({trace.leaves.value, trace.arrives.value}):
        figure.add_vline(x=layer, **dotted, **upper)
    figure.add_hline(y=50, **dotted, **upper)
    _bars(figure, trace.heads)
    about = f"{escaped(trace.metric)}; n = {trace.n} pairs; bands and bars: 95% bootstrap"
    figure.update_layout(titled("Where the trigger is read and what moves it", about, height))
    step = 5 if trace.layers > 12 else 1
    figure.update_xaxes(title_text="layer entered", dtick=step, tick0=0, **upper)
    figure.update_yaxes(title_text="carried alone (%)", **upper)
    figure.update_xaxes(
        title_text="recovered by the head (%)", zeroline=True, zerolinecolor=GREY, row=2, col=1
    )
    names = [head.name for head in trace.heads]
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=names,
        range=[len(names) - 0.4, -0.6],
        showgrid=False,
        ticks="",
        title_text="layer.head",
        title_standoff=24,
        row=2,
        col=1,
    )
    figure.update_layout(legend={"y": 1.0 + 8 / height}, barmode="overlay")
    return with_data(figure, _HEADER, _rows(trace))


def _curve(figure: go.Figure, span: str, shares: Sequence[Estimate], shade: str) -> None:
    """One span by layer with its band."""
    x = list(range(len(shares)))
    common = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    low, high = [100 * s.low for s in shares], [100 * s.high for s in shares]
    figure.add_scatter(x=x, y=low, legendgroup=span, **common, row=1, col=1)
    band = {"fill": "tonexty", "fillcolor": faded(shade, 0.16), **common}
    figure.add_scatter(x=x, y=high, legendgroup=span, **band, row=1, col=1)
    figure.add_scatter(
        x=x,
        y=[100 * s.value for s in shares],
        name=span,
        legendgroup=span,
        mode="lines+markers",
        line={"color": shade, "width": 2},
        marker={"size": 4.5},
        text=[f"<b>{span}</b> · layer {i}<br>carries {_percent(s)}" for i, s in enumerate(shares)],
        hovertemplate=_HOVER,
        row=1,
        col=1,
    )


def _bars(figure: go.Figure, heads: Sequence[Mover]) -> None:
    """The heads, movers filled, and their reading at the trigger."""
    for name, kept, fill in (
        ("moves it", True, faded(BLUE, 0.75)),
        ("other heads", False, faded(GREY, 0.2)),
    ):
        at = [i for i, head in enumerate(heads) if head.moves == kept]
        if not at:
            continue
        figure.add_bar(
            x=[100 * heads[i].restored.value for i in at],
            y=at,
            orientation="h",
            name=name,
            width=0.66,
            marker={"color": fill, "line": {"color": BLUE if kept else GREY, "width": 1}},
            error_x=whiskers([heads[i].restored for i in at], width=3),
            text=[_hover(heads[i]) for i in at],
            textposition="none",
            hovertemplate=_HOVER,
            row=2,
            col=1,
        )
    figure.add_scatter(
        x=[100 * _reading(head).value for head in heads],
        y=list(range(len(heads))),
        mode="markers",
        name="by reading the trigger",
        marker={"symbol": "diamond", "size": 8, "color": OCHRE},
        text=[_hover(head) for head in heads],
        hovertemplate=_HOVER,
        row=2,
        col=1,
    )


def _reading(head: Mover) -> Estimate:
    """What the head recovers by its reading at the trigger, the first of the spans."""
    return next(iter(head.sources.values()))


def _hover(head: Mover) -> str:
    reading = "".join(
        f"<br>reading {escaped(span)}: {_percent(share)}" for span, share in head.sources.items()
    )
    span, weight = next(iter(head.attention.items()))
    control = head.attention_clean[span]
    return (
        f"<b>head {head.name}</b> · {'moves it' if head.moves else 'no mover'}<br>"
        f"recovers {_percent(head.restored)}, q = {head.restored_q:.3f}<br>"
        f"removes {_percent(head.removed)}, q = {head.removed_q:.3f}{reading}<br>"
        f"attention on {escaped(span)}: {_percent(weight)}; control word {_percent(control)}"
    )


def _percent(share: Estimate) -> str:
    return interval_text(100 * share.value, 100 * share.low, 100 * share.high, 1, "%")


_HEADER = ["what", "layer", "head", "share", "low", "high", "q", "n"]


def _rows(trace: Trace) -> list[list[Any]]:
    """Every number that is drawn, and the writers' beside them."""

    def row(what: str, layer: int, head: int | None, share: Estimate, q: float | None) -> list[Any]:
        return [what, layer, head, share.value, share.low, share.high, q, share.n]

    rows = [
        row(f"carried at {span}", layer, None, share, None)
        for span, shares in trace.read.items()
        for layer, share in enumerate(shares)
    ]
    for head in trace.heads:
        at = (head.layer, head.head)
        rows.append(row("mover" if head.moves else "head", *at, head.restored, head.restored_q))
        rows.append(row("head removed", *at, head.removed, head.removed_q))
        rows += [row(f"reading {s}", *at, share, None) for s, share in head.sources.items()]
    for step in trace.writers:
        rows.append(row(f"direct {step.stream}", step.layer, step.head, step.direct, step.q))
    return rows
