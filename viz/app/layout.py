"""The page: head, controls, answers, next tokens, arms, patching."""

from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from viz.app.controls import ask, field, select
from viz.app.data import About
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
                    *_arms(about),
                    *_patching(about),
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
    if about.headline:
        top.append(html.P(reveal(about.headline), className="lead"))
    if about.gate:
        top.append(html.P(f"Gate direction read at {about.gate}.", className="lead"))
    if about.gate and not about.proven:
        top.append(
            html.P(
                "Not proven: nothing shows yet that this direction is a gate. "
                "gatescope analyze chooses one and puts it to the proof.",
                className="warn",
            )
        )
    if not about.gate:
        top.append(
            html.P(
                "No gate: no direction is known for this model, so answers are shown without one.",
                className="warn",
            )
        )
    return html.Header(top)


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


def _arms(about: About) -> list[Component]:
    if not about.arms:
        hide: dict[str, Any] = {"display": "none"}
    else:
        hide = {}
    names = ", ".join(reveal(n) for n in about.arms)
    return [
        html.Div(
            [
                html.H2("Compare arms"),
                html.P(
                    f"The message above, unedited, in the model served and in {names}. Arms are "
                    "loaded when first asked.",
                    className="hint",
                ),
                html.Div(
                    [
                        html.Button("Compare", id="compare", type="button", className="primary"),
                        html.Button("Cancel", id="cancel-arms", type="button", disabled=True),
                        html.P("", id="arms-status", className="status", role="status"),
                    ],
                    className="go",
                ),
                html.Div(id="arms"),
            ],
            style=hide,
        )
    ]


_STREAMS = ("resid_pre", "attn_out", "mlp_out", "z")


def _patching(about: About) -> list[Component]:
    hide = {} if about.trigger else {"display": "none"}
    low, high = about.pairs
    names = [{"label": f"this run's {n}", "value": n} for n in about.grids]
    names.append({"label": "the run started here", "value": "own"})
    cell = html.Div(id="cell", **{"aria-live": "polite"})  # pyright: ignore[reportArgumentType]
    return [
        html.Div(
            [
                html.H2("Where it is carried"),
                html.P(
                    "Click a cell, or choose it by the sliders, to see its prompts.",
                    className="hint",
                ),
                html.Div(
                    [
                        select("Stream", "stream", _STREAMS),
                        select("Direction", "direction", ["denoising", "noising"]),
                        select(f"Prompts ({low} to {high})", "count", ["4", "8", "12", "24"], "8"),
                    ],
                    className="controls three",
                ),
                html.Div(
                    [
                        html.Button(
                            "Start a patching run", id="patch", type="button", className="primary"
                        ),
                        html.Button("Cancel", id="cancel-patch", type="button", disabled=True),
                        html.Span(id="patch-progress"),
                        html.P("", id="patch-status", className="status", role="status"),
                    ],
                    className="go",
                ),
                select("Shown", "grid", names),
                html.P("", id="grid-about", className="hint"),
                html.Div(
                    [
                        html.Div(
                            dcc.Graph(id="heat", figure=blank("no grid yet", False), config=_PLOT)
                        ),
                        html.Div([*_cell_sliders(), cell]),
                    ],
                    className="two",
                ),
            ],
            style=hide,
        )
    ]


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
