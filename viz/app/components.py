"""Pieces of the page that change: answers with coloured tokens, tables, progress.

Text of prompts and models goes in as React children, which are text and never markup.
"""

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from viz.app.data import Answer, ArmAnswer, Patching, Token
from viz.text import reveal, shorten, show_spaces
from viz.theme import ARM_COLOURS, BLUE, COLOURWAY, VERMILION, colour, fade

_STRONGEST = 0.42  # opacity at which ink keeps its contrast on either paper


def tint(reading: float | None) -> str:
    """A token's background: blue below the clean mean's zero, vermilion up to the triggered one."""
    if reading is None:
        return "transparent"
    size = min(abs(reading), 1.0) * _STRONGEST
    return fade(VERMILION if reading > 0 else BLUE, round(size, 3))


def token_span(token: Token) -> Component:
    """A token with its numbers, which hover and keyboard focus show."""
    parts = [show_spaces(token.text)]
    if token.reading is not None:
        parts.append(f"reads {token.reading:+.2f} of the gap")
    if token.prob is not None:
        parts.append(f"p = {token.prob:.3f}")
    breaks = token.text.count("\n")
    shown = reveal(token.text) if breaks else token.text
    return html.Span(
        shown,
        className="token",
        tabIndex=0,
        style={"backgroundColor": tint(token.reading)},
        **{"data-tip": " · ".join(parts)},  # pyright: ignore[reportArgumentType]
    )


def columns(answer: Answer, what: str) -> list[Component]:
    """The answer as the model is, and as edited; without an edit both are the same answer."""
    rows = [min(i, len(answer.answers) - 1) for i in range(2)]
    return _columns(
        what,
        [
            [
                html.P([token_span(t) for t in answer.prompts[row]], className="prompt"),
                html.P(
                    [token_span(t) for t in answer.answers[row]] or "…",
                    className="said",
                    id=f"said-{name}",
                ),
            ]
            for row, name in zip(rows, ("plain", "edited"), strict=True)
        ],
    )


def waiting_columns(what: str) -> list[Component]:
    """Both columns before anything was asked."""
    return _columns(what, [[html.P("Nothing asked yet.", className="hint")] for _ in range(2)])


def _columns(what: str, contents: Sequence[list[Component]]) -> list[Component]:
    """Two answers beside each other."""
    heads = (("plain", "As it is", "unedited model"), ("edited", "Edited", what))
    return [
        html.Section([html.H3([title, html.Small(about)]), *content], className=f"answer {name}")
        for (name, title, about), content in zip(heads, contents, strict=True)
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
    """The prompts behind a cell, with every prompt's effect; NaN is no measurement."""
    measured = [effect for _, effect, _ in rows if effect == effect]
    body = [
        html.Tr(
            [
                html.Td(shorten(reveal(text), 160)),
                html.Td(f"{before:.2f}", className="num"),
                html.Td(f"{effect:+.2f}" if effect == effect else "undefined", className="num"),
            ]
        )
        for text, effect, before in rows
    ]
    name, header = "Effect per prompt", ("prompt", "before", "effect")
    about = f"{title}: {metric}, nats, in {len(measured)} of {len(rows)} prompts"
    return [html.P(about, className="hint"), _table(name, header, body, html.Caption(name))]


def arms_table(rows: Sequence[ArmAnswer]) -> Component:
    """The same prompt in every arm."""
    header = ("arm", "first token", "largest reading", "answer")
    return _table("Arms compared", header, [_arm(i, row) for i, row in enumerate(rows)])


def _arm(index: int, row: ArmAnswer) -> Component:
    shade = colour(row.name, ARM_COLOURS, index % len(COLOURWAY))
    tops = [
        html.Div([html.Code(show_spaces(c.text)), f" {c.plain:.2f}"], className="top")
        for c in row.choices
    ]
    mark = html.Span("", className="swatch", style={"backgroundColor": shade})
    return html.Tr(
        [
            html.Th([mark, reveal(row.name)], scope="row"),
            html.Td(tops),
            html.Td("" if row.peak is None else f"{row.peak:+.2f}", className="num"),
            html.Td(reveal(row.text) if row.text else row.status),
        ]
    )


def _table(
    name: str, header: Sequence[str], body: Sequence[Component], *caption: Component
) -> Component:
    """A table in a region that scrolls sideways and takes the keyboard focus."""
    head = html.Tr([html.Th(h, scope="col") for h in header])
    return html.Div(
        html.Table([*caption, html.Thead(head), html.Tbody(list(body))]),
        className="wide",
        role="region",
        tabIndex=0,
        **{"aria-label": name},  # pyright: ignore[reportArgumentType]
    )
