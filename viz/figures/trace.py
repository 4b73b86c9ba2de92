"""A traced circuit: what each span carries by layer, and the heads that move it."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from circuits.errors import UserError
from probes.causal.circuit import Mover, Trace
from probes.stats.intervals import Estimate
from viz.figures.marks import DOTTED, HOVER, bounds, curve, ends, finish, name_rows, whiskers
from viz.text import escape
from viz.theme import BLUE, COLOURWAY, GREY, OCHRE, fade

_Place = dict[str, Any]
_UPPER: _Place = {"row": 1, "col": 1}
_LOWER: _Place = {"row": 2, "col": 1}
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
        got = f"mean change {trace.full}"
        raise UserError(f"expected a trace of an effect, got {got}; show its sentence")
    height = _CURVES + _REST + _ROW * len(trace.heads)
    share = _CURVES / (height - 190)
    figure = make_subplots(2, 1, row_heights=[share, 1 - share], vertical_spacing=95 / height)
    for index, (span, shares) in enumerate(trace.read.items()):
        name, upper = escape(span), {"legendgroup": escape(span), **_UPPER}
        texts = [f"<b>{name}</b> · layer {i}<br>carries {s:.1%p}" for i, s in enumerate(shares)]
        shade, x = COLOURWAY[index % len(COLOURWAY)], range(len(shares))
        look = {"marker": {"size": 4.5}, "where": upper}
        curve(figure, x, ends(shares, 100), name, shade, texts, **look)
    dotted: dict[str, Any] = {"line": {**DOTTED, "width": 1.2}, **_UPPER}
    for layer in sorted({trace.leaves.value, trace.arrives.value}):
        figure.add_vline(x=layer, **dotted)
    figure.add_hline(y=50, **dotted)
    _bars(figure, trace.heads)
    step = 5 if trace.layers > 12 else 1
    figure.update_xaxes(title_text="layer entered", dtick=step, tick0=0, **_UPPER)
    figure.update_yaxes(title_text="carried alone (%)", **_UPPER)
    recovered = "recovered by the head (%)"
    figure.update_xaxes(title_text=recovered, zeroline=True, zerolinecolor=GREY, **_LOWER)
    heads = {**name_rows([head.name for head in trace.heads]), **_LOWER}
    figure.update_yaxes(title_text="layer.head", title_standoff=24, **heads)
    return finish(
        figure,
        "Where the trigger is read and what moves it",
        f"{escape(trace.metric)}; n = {trace.n} pairs; bands and bars: 95% bootstrap",
        height,
        _rows(trace),
        legend={"y": 1.0 + 8 / height},
        barmode="overlay",
    )


def _bars(figure: go.Figure, heads: Sequence[Mover]) -> None:
    """The heads, movers filled, and their reading at the trigger."""
    for name, moves, edge, alpha in (
        ("moves it", True, BLUE, 0.75),
        ("other heads", False, GREY, 0.2),
    ):
        at = [i for i, head in enumerate(heads) if head.moves == moves]
        if at:
            restored = [heads[i].restored for i in at]
            figure.add_bar(
                x=[100 * share.value for share in restored],
                y=at,
                orientation="h",
                name=name,
                width=0.66,
                marker={"color": fade(edge, alpha), "line": {"color": edge, "width": 1}},
                error_x=whiskers(restored, 100, 3, color=GREY),
                text=[_hover(heads[i]) for i in at],
                textposition="none",
                hovertemplate=HOVER,
                **_LOWER,
            )
    figure.add_scatter(
        # The trigger is the first of the spans.
        x=[100 * next(iter(head.sources.values())).value for head in heads],
        y=list(range(len(heads))),
        mode="markers",
        name="by reading the trigger",
        marker={"symbol": "diamond", "size": 8, "color": OCHRE},
        text=[_hover(head) for head in heads],
        hovertemplate=HOVER,
        **_LOWER,
    )


def _hover(head: Mover) -> str:
    reading = "".join(
        f"<br>reading {escape(span)}: {share:.1%p}" for span, share in head.sources.items()
    )
    span, weight = next(iter(head.attention.items()))
    control = head.attention_clean[span]
    return (
        f"<b>head {head.name}</b> · {'moves it' if head.moves else 'no mover'}<br>"
        f"recovers {head.restored:.1%p}, q = {head.restored_q:.3f}<br>"
        f"removes {head.removed:.1%p}, q = {head.removed_q:.3f}{reading}<br>"
        f"attention on {escape(span)}: {weight:.1%p}; control word {control:.1%p}"
    )


def _rows(trace: Trace) -> list[dict[str, Any]]:
    """Every number that is drawn, and the writers' beside them."""

    def row(what: str, layer: int, head: int | None, share: Estimate, q: float | None) -> Any:
        place = {"what": what, "layer": layer, "head": head}
        return {**place, **bounds(share, "share"), "q": q, "n": share.n}

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
    return rows + [row(f"direct {s.stream}", s.layer, s.head, s.direct, s.q) for s in trace.writers]
