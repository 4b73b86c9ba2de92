"""Pieces of the page that change: answers with coloured tokens, tables, progress.

Text of prompts and models goes in as React children, which are text and never markup.
"""

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from viz.app.data import Answer, ArmAnswer, Patching, Token
from viz.text import shortened, spaced, visible
from viz.theme import ARM_COLOURS, BLUE, COLOURWAY, VERMILION, colour, faded

_STRONGEST = 0.42  # opacity at which ink keeps its contrast on either paper


def tint(reading: float | None) -> str:
    """A token's background: blue below the clean mean's zero, vermilion up to the triggered one."""
    if reading is None:
        return "transparent"
    size = min(abs(reading), 1.0) * _STRONGEST
    return faded(VERMILION if reading > 0 else BLUE, round(size, 3))


def token_span(token: Token) -> Component:
    """A token with its numbers, which hover and keyboard focus show."""
    parts = [spaced(token.text)]
    if token.reading is not None:
        parts.append(f"reads {token.reading:+.2f} of the gap")
    if token.prob is not None:
        parts.append(f"p = {token.prob:.3f}")
    breaks = token.text.count("\n")
    shown = visible(token.text) if breaks else token.text
    return html.Span(
        shown,
        className="token",
        tabIndex=0,
        style={"backgroundColor": tint(token.reading)},
        **{"data-tip": " · ".join(parts)},  # pyright: ignore[reportArgumentType]
    )


def column(title: str, about: str, prompt: Sequence[Token], said: Sequence[Token], name: str):
    """One answer under its prompt."""
    return html.Section(
        [
            html.H3([title, html.Small(about)]),
            html.P([token_span(t) for t in prompt], className="prompt"),
            html.P(
                [token_span(t) for t in said] or "…",
                className="said",
                id=f"said-{name}",
            ),
        ],
        className=f"answer {name}",
    )


def columns(answer: Answer, what: str) -> list[Component]:
    """The answer as the model is, and as edited."""
    rows = ["plain", "edited"]
    titles = {"plain": "As it is", "edited": "Edited"}
    found = []
    for i, name in enumerate(rows):
        row = min(i, len(answer.answers) - 1)  # without an edit both are the same answer
        about = "unedited model" if name == "plain" else what
        found.append(column(titles[name], about, answer.prompts[row], answer.answers[row], name))
    return found


def waiting_columns(what: str) -> list[Component]:
    """Both columns before anything was asked."""
    return [
        html.Section(
            [html.H3([title, html.Small(about)]), html.P("Nothing asked yet.", className="hint")],
            className=f"answer {name}",
        )
        for name, title, about in (
            ("plain", "As it is", "unedited model"),
            ("edited", "Edited", what),
        )
    ]


def progress(state: Patching | None, status: str) -> Component | str:
    """A patching run's progress."""
    if state is None or status not in ("waiting", "running"):
        return ""
    return html.Progress(
        value=str(state.done),
        max=str(max(state.total, 1)),
        **{"aria-label": "passes of the patching run"},  # pyright: ignore[reportArgumentType]
    )


def effects_table(
    title: str, rows: Sequence[tuple[str, float, float]], metric: str
) -> Sequence[Component]:
    """The prompts behind a cell, with every prompt's effect."""
    n = len(rows)
    measured = [r for r in rows if r[1] == r[1]]  # NaN is no measurement
    head = html.Tr([html.Th(h, scope="col") for h in ("prompt", "before", "effect")])
    body = [
        html.Tr(
            [
                html.Td(shortened(visible(text), 160)),
                html.Td(f"{before:.2f}", className="num"),
                html.Td(f"{effect:+.2f}" if effect == effect else "undefined", className="num"),
            ]
        )
        for text, effect, before in rows
    ]
    return [
        html.P(f"{title}: {metric}, nats, in {len(measured)} of {n} prompts", className="hint"),
        html.Div(
            html.Table([html.Caption("Effect per prompt"), html.Thead(head), html.Tbody(body)]),
            className="wide",
            role="region",
            tabIndex=0,
            **{"aria-label": "Effect per prompt"},  # pyright: ignore[reportArgumentType]
        ),
    ]


def arms_table(rows: Sequence[ArmAnswer]) -> Component:
    """The same prompt in every arm."""
    head = html.Tr(
        [html.Th(h, scope="col") for h in ("arm", "first token", "largest reading", "answer")]
    )
    body = []
    for index, row in enumerate(rows):
        shade = colour(row.name, ARM_COLOURS, index % len(COLOURWAY))
        tops = [
            html.Div([html.Code(spaced(c.text)), f" {c.plain:.2f}"], className="top")
            for c in row.choices
        ]
        peak = "" if row.peak is None else f"{row.peak:+.2f}"
        said = visible(row.text) if row.text else row.status
        mark = html.Span("", className="swatch", style={"backgroundColor": shade})
        body.append(
            html.Tr(
                [
                    html.Th([mark, visible(row.name)], scope="row"),
                    html.Td(tops),
                    html.Td(peak, className="num"),
                    html.Td(said),
                ]
            )
        )
    return html.Div(
        html.Table([html.Thead(head), html.Tbody(body)]),
        className="wide",
        role="region",
        tabIndex=0,
        **{"aria-label": "Arms compared"},  # pyright: ignore[reportArgumentType]
    )
