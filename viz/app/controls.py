"""The app's controls: the message, the word in the trigger's place, layer, coefficient, length."""

from collections.abc import Mapping
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from viz.app.components import waiting_columns
from viz.app.data import COEFFICIENTS, LENGTHS, MOST_CHARACTERS, About
from viz.text import reveal, shorten


def field(label: str, control: Component, name: str, *more: Component | str) -> Component:
    """A control with its label."""
    return html.Div([html.Label(label, htmlFor=name), control, *more], className="field")


def group(label: str, control: Component, *more: Component) -> Component:
    """Several controls under one name."""
    return html.Div(
        [html.Div(label, className="legend"), control, *more],
        className="field choices",
        role="group",
        **{"aria-label": label},  # pyright: ignore[reportArgumentType]
    )


def shown(holds: object, *parts: Component, **look: Any) -> Component:
    """Parts of the page that stand there only if something holds; their names do in any case."""
    return html.Div(list(parts), style={} if holds else {"display": "none"}, **look)


def start(label: str, name: str, cancel: str, status: str, *more: Component) -> Component:
    """Buttons that begin and cancel a piece of work, and where its status stands."""
    return html.Div(
        [
            html.Button(label, id=name, type="button", className="primary"),
            html.Button("Cancel", id=cancel, type="button", disabled=True),
            *more,
            html.P("", id=status, className="status", role="status"),
        ],
        className="go",
    )


def ask(about: About) -> Component:
    """What is asked, and the answers."""
    examples = [
        html.Button(shorten(reveal(text), 60), id={"type": "example", "index": i}, type="button")
        for i, text in enumerate(about.examples)
    ]
    left = [
        field(
            "Message",
            dcc.Textarea(
                id="text",
                value=about.examples[0] if about.examples else "",
                maxLength=MOST_CHARACTERS,
            ),
            "text",
        ),
        group("Or one of these prompts", html.Div(examples, className="examples")),
    ]
    low, high = LENGTHS
    words = {
        "trigger": f"trigger ({reveal(about.trigger)})",
        "control": f"control word ({reveal(about.control)})",
        "none": "nothing",
    }
    place, word = "At the trigger's place", "trigger" if about.trigger else "none"
    right = [
        shown(about.trigger, select(place, "word", words, word)),
        shown(about.gate, *_gate_controls(about)),
        field(
            "Answer tokens, at most",
            dcc.Slider(
                id="length",
                min=low,
                max=high,
                step=1,
                value=24,
                marks={low: str(low), 24: "24", high: str(high)},
                allow_direct_input=False,
            ),
            "length",
        ),
    ]
    go = start("Ask", "ask", "cancel", "status")
    scale = [
        html.Span("reads below the clean mean"),
        html.I(),
        html.Span(
            "as far as the trigger moves it (the gap); hover or focus a token for its numbers"
        ),
    ]
    return html.Div(
        [
            html.Div([html.Div(left), html.Div(right), go], className="controls asking"),
            html.Div(waiting_columns("gate shut"), id="answers", className="answers"),
            shown(about.gate, *scale, className="scale"),
        ]
    )


def _layers(about: About) -> Component:
    known = list(about.layers) or [about.layer]
    marks = {
        known[0]: str(known[0]),
        about.layer: f"{about.layer} the gate's",
        known[-1]: str(known[-1]),
    }
    return shown(
        len(known) > 1,
        field(
            "Layer that is read and edited",
            dcc.Slider(
                id="layer",
                min=known[0],
                max=max(known[-1], known[0] + 1),
                step=1,
                value=about.layer,
                marks=marks,
                allow_direct_input=False,
                tooltip={"placement": "bottom", "always_visible": False},
            ),
            "layer",
            html.P("", id="layer-about", className="help", role="status"),
        ),
    )


def _gate_controls(about: About) -> list[Component]:
    low, high = COEFFICIENTS
    return [
        _layers(about),
        field(
            "Coefficient of the gate's component",
            dcc.Slider(
                id="coefficient",
                min=low,
                max=high,
                step=0.05,
                value=0,
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
                    id="opened",
                    value=[],
                    options=[{"label": "open: add the trigger's mean shift", "value": "open"}],
                ),
                html.P(
                    "Added once, at the word in the trigger's place: choose the control word to "
                    "see a shut gate opened. Without a word it is added at the message's last "
                    "token, where the gate may not be read.",
                    className="help",
                ),
            ],
            className="field choices",
        ),
    ]


def select(label: str, name: str, values: Mapping[str, str], value: str = "") -> Component:
    """One of a few values, each with its label; the first unless one is given."""
    options = [{"label": text, "value": key} for key, text in values.items()]
    chosen = value or next(iter(values))
    return group(label, dcc.RadioItems(id=name, options=options, value=chosen))
