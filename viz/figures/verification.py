"""Is this model ours? The evidence after every query, between the bounds of Wald's test."""

from collections.abc import Mapping

import plotly.graph_objects as go

from circuits.errors import expect
from probes.stats.sequential import SequentialTest
from viz.figures.marks import DASHED, DASHES, HOVER, finish
from viz.text import escape
from viz.theme import COLOURWAY, GREY

_ENDS = {"ours": "triangle-up", "not ours": "triangle-down", "undecided": "circle-open"}


def sequential_path(tests: Mapping[str, SequentialTest]) -> go.Figure:
    """Log likelihood ratio (nats) by query, a line per model, to the bound that decides.

    The last point's shape is the decision: up for ours, down for not ours, hollow for undecided.

    Raises:
        ValueError: no test, or tests of different bounds or rates.
    """
    expect(tests, "at least one test", "none", "pass model -> test")
    settings = {(t.upper, t.lower, t.null_rate, t.alternative_rate) for t in tests.values()}
    same = len(settings) == 1
    expect(same, "one pair of bounds and rates", len(settings), "draw one figure for each")
    figure, rows = go.Figure(), []
    for index, (name, test) in enumerate(tests.items()):
        _path(figure, name, test, COLOURWAY[index % len(COLOURWAY)], DASHES[index % len(DASHES)])
        rows += [
            {"model": name, "query": i, "log likelihood ratio": value, "decision": test.decision}
            for i, value in enumerate(test.path, 1)
        ]
    test = next(iter(tests.values()))
    left = {"xanchor": "left", "x": 0.01, "yanchor": "middle"}
    for bound, word, shift in ((test.upper, "ours", 24), (test.lower, "not ours", -24)):
        note = {"text": f"{word} ({bound:+.1f})".replace("-", "−"), **left, "yshift": shift}
        figure.add_hline(y=bound, line={**DASHED, "width": 1.5}, annotation=note)
    reach = max(len(t.path) for t in tests.values())
    low = min(test.lower, *(min(t.path) for t in tests.values()))
    high = max(test.upper, *(max(t.path) for t in tests.values()))
    pad = 0.2 * (high - low)
    return finish(
        figure,
        "Evidence by query",
        f"rate of hits {test.null_rate:.3g} if unrelated, {test.alternative_rate:.3g} if ours; "
        f"errors at most about {test.alpha:.2g} and {test.beta:.2g}",
        400,
        rows,
        x={"title_text": "queries", "range": [-0.02 * reach, 1.04 * reach + 0.2]},
        y={
            "title_text": "log likelihood ratio (nats)",
            "range": [low - pad, high + pad],
            "zeroline": True,
            "zerolinecolor": GREY,
            "zerolinewidth": 1,
        },
    )


def _path(figure: go.Figure, name: str, test: SequentialTest, shade: str, dash: str) -> None:
    values = [0.0, *test.path]
    last = len(values) - 1
    decided = f"{test.decision} after {last} {'query' if last == 1 else 'queries'}"
    figure.add_scatter(
        x=list(range(len(values))),
        y=values,
        mode="lines+markers",
        name=escape(name),
        line={"color": shade, "width": 2, "dash": dash},
        marker={
            "color": shade,
            "size": [4] * last + [13],
            "symbol": ["circle"] * last + [_ENDS[test.decision]],
            "line": {"width": [0] * last + [2], "color": shade},
        },
        text=[
            f"<b>{escape(name)}</b>, query {i}<br>{value:+.2f} nats<br>{decided}"
            for i, value in enumerate(values)
        ],
        hovertemplate=HOVER,
    )
