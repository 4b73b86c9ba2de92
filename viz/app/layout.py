"""The page: head, controls, answers, next tokens, arms, patching."""

from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from viz.app.controls import ask, field, select, shown, start
from viz.app.data import PAIRS, STREAMS, About
from viz.app.figures import blank
from viz.text import reveal

POLL_MS = 250
_PLOT: Any = {"displayModeBar": False, "responsive": True}


def page(about: About) -> Component:
    """The whole page before anything was asked."""
    return html.Div(
        [
            dcc.Store(id="tab"),
            dcc.Store(id="dark"),
            dcc.Store(id="seen", data={}),
            dcc.Store(id="patched"),
            dcc.Interval(id="poll", interval=POLL_MS, disabled=True),
            _head(about),
            html.Main(
                [
                    ask(about),
                    html.H2("Next token"),
                    _next_token(),
                    _arms(about),
                    _patching(about),
                ]
            ),
        ],
        className="app",
    )


def _head(about: About) -> Component:
    top = [
        html.Div(
            [
                html.P("gatescope", className="kicker"),
                html.Button("light / dark", id="theme", type="button"),
            ],
            className="top",
        ),
        html.H1(reveal(about.title)),
    ]
    notes = [
        (about.headline, reveal(about.headline), "lead"),
        (about.gate, f"Gate direction read at {about.gate}.", "lead"),
        (
            about.gate and not about.proven,
            "Not proven: nothing shows yet that this direction is a gate. "
            "gatescope analyze chooses one and puts it to the proof.",
            "warn",
        ),
        (
            not about.gate,
            "No gate: no direction is known for this model, so answers are shown without one.",
            "warn",
        ),
    ]
    lines = [html.P(text, className=kind) for holds, text, kind in notes if holds]
    return html.Header([*top, *lines])


def _next_token() -> Component:
    return html.Div(
        [
            field(
                "Before answer token",
                dcc.Slider(
                    id="step",
                    min=1,
                    max=64,
                    step=1,
                    value=1,
                    allow_direct_input=False,
                    marks={1: "1", 16: "16", 32: "32", 48: "48", 64: "64"},
                    tooltip={"placement": "bottom", "always_visible": False},
                ),
                "step",
            ),
            html.P(
                "After the answers part, each distribution follows its own answer.",
                className="help",
            ),
            dcc.Graph(id="bars", figure=blank("ask something first", False), config=_PLOT),
        ]
    )


def _arms(about: About) -> Component:
    names = ", ".join(reveal(n) for n in about.arms)
    return shown(
        about.arms,
        html.H2("Compare arms"),
        html.P(
            f"The message above, unedited, in the model served and in {names}. Arms are "
            "loaded when first asked.",
            className="hint",
        ),
        start("Compare", "compare", "cancel-arms", "arms-status"),
        html.Div(id="arms"),
    )


def _patching(about: About) -> Component:
    low, high = PAIRS
    names = {n: f"this run's {n}" for n in about.grids} | {"own": "the run started here"}
    cell = html.Div(id="cell", **{"aria-live": "polite"})  # pyright: ignore[reportArgumentType]
    settings = [
        select("Stream", "stream", _same(*STREAMS)),
        select("Direction", "direction", _same("denoising", "noising")),
        select(f"Prompts ({low} to {high})", "count", _same("4", "8", "12", "24"), "8"),
    ]
    progress = html.Span(id="patch-progress")
    heat = dcc.Graph(id="heat", figure=blank("no grid yet", False), config=_PLOT)
    return shown(
        about.trigger,
        html.H2("Where it is carried"),
        html.P("Click a cell, or choose it by the sliders, to see its prompts.", className="hint"),
        html.Div(settings, className="controls three"),
        start("Start a patching run", "patch", "cancel-patch", "patch-status", progress),
        select("Shown", "grid", names),
        html.P("", id="grid-about", className="hint"),
        html.Div([html.Div(heat), html.Div([*_cell_sliders(), cell])], className="two"),
    )


def _same(*values: str) -> dict[str, str]:
    return {value: value for value in values}


def _cell_sliders() -> list[Component]:
    names = {"cell-layer": "Layer of the cell", "cell-column": "Token or head of the cell"}
    return [
        field(
            label,
            dcc.Slider(
                id=name,
                min=0,
                max=1,
                step=1,
                value=0,
                marks=None,
                disabled=True,
                allow_direct_input=False,
                tooltip={"placement": "bottom", "always_visible": False},
            ),
            name,
        )
        for name, label in names.items()
    ]
