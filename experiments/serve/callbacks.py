"""What the page's controls do.

Every callback returns at once: it starts a job, or shows what a job has found. While a tab has a
job, its page polls; a poll whose version is known already sends nothing.
"""

import math
import re
from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, no_update
from dash.exceptions import PreventUpdate

from circuits.errors import UserError, expect
from experiments.analyze.materials import load
from experiments.serve.answering import Asked, answering
from experiments.serve.comparing import Arms
from experiments.serve.patching import patching
from experiments.serve.subject import Subject
from experiments.serve.words import edit_words, layer_words, status_words
from experiments.serve.worker import Worker
from viz.app import components
from viz.app.figures import blank, next_token_bars

Values = dict[str, Any]  # of controls, by their names
_TAB = re.compile(r"[0-9a-f]{32}")
_ASKED = ("text", "word", "coefficient", "opened", "length", "layer")
_AT_ONCE = ("coefficient", "opened", "word", "layer")  # asked again without a button
# The jobs of a tab: the button that starts each, and the one that cancels it.
_BUTTONS = {
    "ask": "answer",
    "cancel": "answer",
    "compare": "arms",
    "cancel-arms": "arms",
    "patch": "patch",
    "cancel-patch": "patch",
}
# What each job shows: part of the page -> its property.
_SHOWN = {
    "answer": {"answers": "children", "status": "children", "cancel": "disabled", "bars": "figure"},
    "arms": {"arms": "children", "arms-status": "children", "cancel-arms": "disabled"},
    "patch": {
        "patch-progress": "children",
        "patch-status": "children",
        "cancel-patch": "disabled",
        "grid": "value",
        "patched": "data",
    },
}
_STATUS = {"answer": "status", "arms": "arms-status", "patch": "patch-status"}


class Callbacks:
    """The controls of a subject's page, but for those of the heatmap (``Maps``)."""

    def __init__(self, subject: Subject, worker: Worker) -> None:
        self.subject, self.worker = subject, worker
        question, arms = subject.question, subject.arms
        self.arms = Arms(subject, lambda name: load(question, lambda *_: None, arms[name]))

    def register(self, app: Dash) -> None:
        """Connect them."""
        app.clientside_callback(
            ClientsideFunction("gatescope", "tab"), Output("tab", "data"), Input("tab", "id")
        )
        app.clientside_callback(
            ClientsideFunction("gatescope", "theme"),
            Output("dark", "data"),
            Input("theme", "n_clicks"),
        )
        app.callback(
            Output("text", "value"),
            Input({"type": "example", "index": ALL}, "n_clicks"),
            prevent_initial_call=True,
        )(self.example)
        app.callback(
            output=(
                Output("poll", "disabled", allow_duplicate=True),
                {
                    kind: Output(status, "children", allow_duplicate=True)
                    for kind, status in _STATUS.items()
                },
            ),
            inputs={
                "_pressed": [Input(n, "n_clicks") for n in _BUTTONS],
                "_moved": [Input(n, "value") for n in _AT_ONCE],
            },
            state={
                "tab": State("tab", "data"),
                "seen": State("seen", "data"),
                "asked": {n: State(n, "value") for n in _ASKED},
                "patched": {n: State(n, "value") for n in ("stream", "direction", "count")},
            },
            prevent_initial_call=True,
        )(self.started)
        app.callback(
            output=(
                Output("poll", "disabled"),
                Output("seen", "data"),
                {
                    kind: [Output(part, what) for part, what in shown.items()]
                    for kind, shown in _SHOWN.items()
                },
            ),
            inputs={
                "_n": Input("poll", "n_intervals"),
                "tab": Input("tab", "data"),
                "dark": Input("dark", "data"),
                "step": Input("step", "value"),
            },
            state={
                "seen": State("seen", "data"),
                "edit": {n: State(n, "value") for n in ("coefficient", "opened", "layer")},
            },
        )(self.polled)
        app.callback(Output("layer-about", "children"), Input("layer", "value"))(self.layer)

    def example(self, clicks: list[int | None]) -> str:
        """The prompt whose button was pressed."""
        chosen = ctx.triggered_id
        if not any(clicks) or not isinstance(chosen, dict):
            raise PreventUpdate
        return str(self.subject.examples[int(chosen["index"])])

    def started(
        self, tab: Any, seen: Any, asked: Values, patched: Values, **_changed: Any
    ) -> tuple[Any, ...]:
        """A button, or the slider after a first answer: start or cancel a job."""
        what = str(ctx.triggered_id)
        if what in _AT_ONCE:
            if not (seen or {}).get("answer"):
                raise PreventUpdate  # nothing was asked yet
            what = "ask"
        kind, unchanged = _BUTTONS[what], dict.fromkeys(_STATUS, no_update)
        try:
            expect(_is_tab(tab), "a tab's name", "none", "reload the page", of="page")
            if what.startswith("cancel"):
                self.worker.cancel(tab, kind)
            else:
                self.worker.submit(tab, kind, self._job(kind, asked, patched))
        except UserError as error:
            return no_update, {**unchanged, kind: str(error)}
        return False, unchanged

    def _job(self, kind: str, asked: Values, patched: Values) -> Any:
        if kind == "patch":
            count = int(_number(patched["count"], "prompts"))
            return patching(self.subject, str(patched["stream"]), patched["direction"], count)
        word = asked["word"]
        expect(
            word in ("trigger", "control", "none"),
            "trigger, control or none",
            repr(word),
            of="word",
        )
        what = Asked(
            text=str(asked["text"] or ""),
            word=word,
            coefficient=_number(asked["coefficient"], "coefficient"),
            opened=bool(asked["opened"]),
            length=int(_number(asked["length"], "answer tokens")),
            layer=int(_number(asked["layer"], "layer")) if self.subject.direction else None,
        )
        self.subject.at(what.layer)  # refused here, where the tab sees why
        return self.arms.comparing(what) if kind == "arms" else answering(self.subject, what)

    def layer(self, layer: Any) -> str:
        """What is known of the direction of a layer."""
        own = self.subject.direction
        if own is None:
            return ""
        try:
            direction = self.subject.at(int(_number(layer, "layer")))
        except UserError as error:
            return str(error)
        return layer_words(self.subject, direction or own)

    def polled(
        self, tab: Any, dark: Any, step: Any, seen: Any, edit: Values, **_n: Any
    ) -> tuple[Any, ...]:
        """What has changed since the page last asked."""
        if not _is_tab(tab):
            raise PreventUpdate
        states = {kind: self.worker.state(tab, kind) for kind in _SHOWN}
        redraw = ctx.triggered_id in ("dark", "step", "tab", None)
        known = {} if redraw else seen or {}
        answer = states["answer"]
        choices = answer.value.choices if answer.value else ()
        before = min(max(int(step or 1), 1), len(choices))  # which answer token; 0 without any
        bars = f"{answer.asked}:{before}"
        now: dict[str, Any] = {kind: s.version for kind, s in states.items() if s.version}
        now["bars"] = bars  # a distribution is drawn once, not at every token that follows it
        shown: dict[str, list[Any]] = {
            kind: [no_update] * len(parts) for kind, parts in _SHOWN.items()
        }
        changed = {k for k, s in states.items() if redraw or s.version != known.get(k, 0)}
        if "answer" in changed:
            what = edit_words(**edit, has_gate=self.subject.direction is not None)
            same = bars == known.get("bars")
            shown["answer"] = [
                components.columns(answer.value, what) if answer.value else no_update,
                status_words(answer),
                not answer.active,
                no_update if same else _bars(answer.value, before, bool(dark)),
            ]
        if "arms" in changed:
            arms = states["arms"]
            table = components.arms_table(arms.value) if arms.value else no_update
            shown["arms"] = [table, status_words(arms), not arms.active]
        if "patch" in changed:
            patch = states["patch"]
            finished = patch.status == "done" and ctx.triggered_id == "poll"
            at = patch.value if patch.active else None
            done = f" {at.done} of {at.total} passes" if at else ""
            shown["patch"] = [
                components.progress(patch.value, patch.status),
                status_words(patch) + done,
                not patch.active,
                "own" if finished else no_update,
                patch.asked if finished else no_update,
            ]
        idle = not any(state.active for state in states.values())
        return idle, now if now != known else no_update, shown


def _is_tab(name: Any) -> bool:
    return isinstance(name, str) and bool(_TAB.fullmatch(name))


def _bars(answer: Any, before: int, dark: bool) -> Any:
    if not before:
        return blank("ask something first", dark)
    return next_token_bars(answer.choices[before - 1], answer.edited, dark)


def _number(value: Any, what: str) -> float:
    """A slider's number or a menu's text as a number; an empty box gives None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    expect(math.isfinite(number), "a number", repr(value), "fill it in", of=what)
    return number
