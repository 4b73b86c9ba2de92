"""The page: head, controls, answers, next tokens, arms, patching."""

from collections.abc import Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from viz.app.components import waiting_columns
from viz.app.data import About
from viz.app.figures import blank
from viz.text import shortened, visible

POLL_MS = 250
_PLOT = {"displayModeBar": False, "responsive": True}


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
                    _ask(about),
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
        html.H1(visible(about.title)),
    ]
    if about.headline:
        top.append(html.P(visible(about.headline), className="lead"))
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
            html.P("No gate: no direction is known for this model, so answers are shown without "
                   "one.", className="warn")
        )  # fmt: skip
    return html.Header(top)


def field(label: str, control: Component, name: str, *more: Component | str) -> Component:
    """A control with its label."""
    return html.Div([html.Label(label, htmlFor=name), control, *more], className="field")


def _group(label: str, control: Component, *more: Component) -> Component:
    return html.Div(
        [html.Div(label, className="legend"), control, *more],
        className="field choices", role="group", **{"aria-label": label},  # pyright: ignore[reportArgumentType]
    )  # fmt: skip


def _ask(about: About) -> Component:
    left = [
        field(
            "Message",
            dcc.Textarea(
                id="text",
                value=about.examples[0] if about.examples else "",
                maxLength=about.most_characters,
            ),
            "text",
        ),
        _group(
            "Or one of these prompts", html.Div(_examples(about.examples), className="examples")
        ),
    ]
    right: list[Component] = []
    hidden = {} if about.trigger else {"display": "none"}
    right.append(
        html.Div(
            _group(
                "At the trigger's place",
                dcc.RadioItems(
                    id="word", value="trigger" if about.trigger else "none",
                    options=[
                        {"label": f"trigger ({visible(about.trigger)})", "value": "trigger"},
                        {"label": f"control word ({visible(about.control)})", "value": "control"},
                        {"label": "nothing", "value": "none"},
                    ],
                ),
            ),
            style=hidden,
        )
    )  # fmt: skip
    right.append(html.Div(_gate_controls(about), style={} if about.gate else {"display": "none"}))
    low, high = about.lengths
    right.append(
        field(
            "Answer tokens, at most",
            dcc.Slider(
                id="length", min=low, max=high, step=1, value=24,
                marks={low: str(low), 24: "24", high: str(high)}, allow_direct_input=False,
            ),
            "length",
        )
    )  # fmt: skip
    return html.Div(
        [
            html.Div([html.Div(left), html.Div(right)], className="controls"),
            html.Div(
                [
                    html.Button("Ask", id="ask", type="button", className="primary"),
                    html.Button("Cancel", id="cancel", type="button", disabled=True),
                    html.P("", id="status", className="status", role="status"),
                ],
                className="go",
            ),
            html.Div(waiting_columns("gate shut"), id="answers", className="answers"),
            html.Div(
                [
                    html.Span("reads below the clean mean"), html.I(),
                    html.Span("as far as the trigger moves it (the gap); hover or focus a token "
                              "for its numbers"),
                ],
                className="scale", style={} if about.gate else {"display": "none"},
            ),
        ]
    )  # fmt: skip


def _gate_controls(about: About) -> list[Component]:
    low, high = about.coefficients
    return [
        field(
            "Coefficient of the gate's component",
            dcc.Slider(
                id="coefficient", min=low, max=high, step=0.05, value=0,
                marks={low: f"{low:g}", 0: "0 shut", 1: "1 as it is", high: f"{high:g}"},
                tooltip={"placement": "bottom", "always_visible": False},
                allow_direct_input=False,
            ),
            "coefficient",
            html.P(
                "What a token has along the direction is multiplied by this from the message on, "
                "answer included: 0 projects it out (the edit that an analysis proves), 1 changes "
                "nothing, more amplifies.",
                className="help",
            ),
        ),
        html.Div(
            [
                dcc.Checklist(
                    id="opened", value=[],
                    options=[{"label": "open: add the trigger's mean shift", "value": "open"}],
                ),
                html.P(
                    "Added once, at the word in the trigger's place (without a word, at the "
                    "message's last token).",
                    className="help",
                ),
            ],
            className="field choices",
        ),
    ]  # fmt: skip


def _next_token() -> Component:
    return html.Div(
        [
            field(
                "Before answer token",
                dcc.Slider(
                    id="step", min=1, max=64, step=1, value=1, allow_direct_input=False,
                    marks={1: "1", 16: "16", 32: "32", 48: "48", 64: "64"},
                    tooltip={"placement": "bottom", "always_visible": False},
                ),
                "step",
            ),
            html.P(
                "After the answers part, each distribution follows its own answer.",
                className="help",
            ),
            dcc.Graph(id="bars", figure=blank("ask something first", False), config=_plot()),
        ]
    )  # fmt: skip


def _arms(about: About) -> list[Component]:
    if not about.arms:
        hide: dict[str, Any] = {"display": "none"}
    else:
        hide = {}
    names = ", ".join(visible(n) for n in about.arms)
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
    return [
        html.Div(
            [
                html.H2("Where it is carried"),
                html.P("Click a cell to see its prompts.", className="hint"),
                html.Div(
                    [
                        _select("Stream", "stream", _STREAMS),
                        _select("Direction", "direction", ["denoising", "noising"]),
                        _select(f"Prompts ({low} to {high})", "count", ["4", "8", "12", "24"], "8"),
                    ],
                    className="controls three",
                ),
                html.Div(
                    [
                        html.Button("Start a patching run", id="patch", type="button",
                                    className="primary"),
                        html.Button("Cancel", id="cancel-patch", type="button", disabled=True),
                        html.Span(id="patch-progress"),
                        html.P("", id="patch-status", className="status", role="status"),
                    ],
                    className="go",
                ),
                _select("Shown", "grid", names),
                html.P("", id="grid-about", className="hint"),
                html.Div(
                    [
                        html.Div(dcc.Graph(id="heat", figure=blank("no grid yet", False),
                                           config=_plot())),
                        html.Div(id="cell", **{"aria-live": "polite"}),  # pyright: ignore[reportArgumentType]
                    ],
                    className="two",
                ),
            ],
            style=hide,
        )
    ]  # fmt: skip


def _select(
    label: str, name: str, values: Sequence[str | dict[str, str]], value: str | None = None
) -> Component:
    """One of a few values."""
    chosen = value if value is not None else _value(values[0])
    return _group(label, dcc.RadioItems(id=name, options=list(values), value=chosen))


def _value(option: str | dict[str, str]) -> str:
    return option if isinstance(option, str) else option["value"]


def _examples(texts: Sequence[str]) -> list[Component]:
    return [
        html.Button(
            shortened(visible(text), 60),
            id={"type": "example", "index": i},
            type="button",
        )
        for i, text in enumerate(texts)
    ]


def _plot() -> Any:
    return _PLOT
