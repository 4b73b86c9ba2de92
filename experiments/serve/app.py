"""The app: the page of viz.app, its callbacks, and the worker behind them.

Every callback returns at once: it starts a job, or shows what a job has found. While a tab has a
job, its page polls; a poll whose version is known already sends nothing.
"""

import base64
import hashlib
import math
import re
from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, no_update
from dash.exceptions import PreventUpdate

from circuits.errors import UserError
from experiments.serve import answering
from experiments.serve.answering import Asked
from experiments.serve.comparing import Arms
from experiments.serve.maps import Maps
from experiments.serve.patching import PAIRS, patching
from experiments.serve.security import Access, protect
from experiments.serve.subject import Subject, load
from experiments.serve.words import edit_words, layer_words, status_words
from experiments.serve.worker import Worker
from viz.app import components
from viz.app.data import About
from viz.app.figures import blank, next_token_bars
from viz.app.layout import page
from viz.app.style import CSS, SCRIPT

_TAB = re.compile(r"[0-9a-f]{32}")
_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title><style>STYLE</style><script>SCRIPT</script>{%css%}</head>
<body>{%app_entry%}<footer>{%config%}{%scripts%}{%renderer%}</footer></body>
</html>"""


def build(subject: Subject, worker: Worker, access: Access) -> Dash:
    """The Dash app of a subject, protected, ready to be served."""
    index = _INDEX.replace("STYLE", CSS).replace("SCRIPT", SCRIPT)
    app = Dash(
        "gatescope",
        title="gatescope",
        update_title="",
        index_string=index,
        serve_locally=True,
        assets_folder="no-assets",
        add_log_handler=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = page(about(subject))
    Callbacks(subject, worker).register(app)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    hashes = [*app.csp_hashes(), f"'sha256-{digest}'"]
    protect(app.server, access, lambda: hashes)  # pyright: ignore[reportArgumentType]
    return app


def about(subject: Subject) -> About:
    """What the page says of a subject."""
    question = subject.question
    name = (
        question.model if question.adapter == "none" else f"{question.adapter} on {question.model}"
    )
    return About(
        title=name,
        headline=subject.headline,
        gate=f"{subject.direction.site} ({subject.direction.estimator})"
        if subject.direction
        else "",
        proven=subject.proven,
        trigger=question.trigger if subject.has_trigger else "",
        control=subject.control,
        behaviour=question.behaviour,
        examples=subject.examples,
        grids=tuple(subject.grids),
        arms=tuple(subject.arms),
        coefficients=answering.COEFFICIENTS,
        lengths=answering.LENGTHS,
        most_characters=answering.MOST_CHARACTERS,
        pairs=PAIRS,
        layers=tuple(subject.layers),
        layer=subject.direction.site.layer if subject.direction else 0,
    )


class Callbacks:
    """What the page's controls do."""

    def __init__(self, subject: Subject, worker: Worker) -> None:
        self.subject, self.worker = subject, worker
        self.arms = Arms(subject, self._load_arm)

    def _load_arm(self, name: str) -> Any:
        return load(self.subject.question, lambda *_: None, self.subject.arms[name])

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
        asked = [State(n, "value") for n in _ASKED]
        app.callback(
            Output("poll", "disabled", allow_duplicate=True),
            Output("status", "children", allow_duplicate=True),
            Output("arms-status", "children", allow_duplicate=True),
            Output("patch-status", "children", allow_duplicate=True),
            *[Input(n, "n_clicks") for n in _BUTTONS],
            *[Input(n, "value") for n in _AT_ONCE],
            State("tab", "data"),
            State("seen", "data"),
            *asked,
            *[State(n, "value") for n in ("stream", "direction", "count")],
            prevent_initial_call=True,
        )(self.started)
        app.callback(
            Output("poll", "disabled"),
            Output("seen", "data"),
            Output("answers", "children"),
            Output("status", "children"),
            Output("cancel", "disabled"),
            Output("bars", "figure"),
            Output("arms", "children"),
            Output("arms-status", "children"),
            Output("cancel-arms", "disabled"),
            Output("patch-progress", "children"),
            Output("patch-status", "children"),
            Output("cancel-patch", "disabled"),
            Output("grid", "value"),
            Output("patched", "data"),
            Input("poll", "n_intervals"),
            Input("tab", "data"),
            Input("dark", "data"),
            Input("step", "value"),
            State("seen", "data"),
            *[State(n, "value") for n in ("coefficient", "opened", "layer")],
        )(self.polled)
        app.callback(
            Output("layer-about", "children"),
            Input("layer", "value"),
        )(self.layer)
        Maps(self.subject, self.worker).register(app)

    def example(self, clicks: list[int | None]) -> str:
        """The prompt whose button was pressed."""
        chosen = ctx.triggered_id
        if not any(clicks) or not isinstance(chosen, dict):
            raise PreventUpdate
        return self.subject.examples[int(chosen["index"])]

    def started(self, *given: Any) -> tuple[Any, ...]:
        """A button, or the slider after a first answer: start or cancel a job."""
        tab, seen, *rest = given[len(_BUTTONS) + len(_AT_ONCE) :]
        asked, patched = tuple(rest[: len(_ASKED)]), tuple(rest[len(_ASKED) :])
        what = str(ctx.triggered_id)
        if what in _AT_ONCE:
            if not (seen or {}).get("answer"):
                raise PreventUpdate  # nothing was asked yet
            what = "ask"
        kind = _BUTTONS[what]
        try:
            if not isinstance(tab, str) or not _TAB.fullmatch(tab):
                raise UserError("page: expected a tab's name, got none; reload the page")
            if what.startswith("cancel"):
                self.worker.cancel(tab, kind)
            else:
                self.worker.submit(tab, kind, self._job(kind, asked, patched))
        except UserError as error:
            said = {"answer": 1, "arms": 2, "patch": 3}[kind]
            return (no_update,) * said + (str(error),) + (no_update,) * (3 - said)
        return False, no_update, no_update, no_update

    def _job(self, kind: str, asked: tuple[Any, ...], patched: tuple[Any, ...]) -> Any:
        if kind == "patch":
            stream, direction, count = patched
            return patching(self.subject, str(stream), direction, int(_number(count, "prompts")))
        text, word, coefficient, opened, length, layer = asked
        if word not in ("trigger", "control", "none"):
            raise UserError(f"word: expected trigger, control or none, got {word!r}")
        share, most = _number(coefficient, "coefficient"), int(_number(length, "answer tokens"))
        where = int(_number(layer, "layer")) if self.subject.direction else None
        what = Asked(str(text or ""), word, share, bool(opened), most, where)
        self.subject.at(where)  # refused here, where the tab sees why
        if kind == "arms":
            return self.arms.comparing(what)
        return answering.answering(self.subject, what)

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
        self,
        _n: Any,
        tab: Any,
        dark: Any,
        step: Any,
        seen: Any,
        coefficient: Any,
        opened: Any,
        layer: Any,
    ) -> tuple[Any, ...]:
        """What has changed since the page last asked."""
        if not isinstance(tab, str) or not _TAB.fullmatch(tab):
            raise PreventUpdate
        states = {kind: self.worker.state(tab, kind) for kind in ("answer", "arms", "patch")}
        now: dict[str, Any] = {kind: s.version for kind, s in states.items() if s.version}
        redraw = ctx.triggered_id in ("dark", "step", "tab", None)
        seen = {} if redraw else seen or {}
        out: list[Any] = [not any(s.active for s in states.values())]
        bars = _bars_key(states["answer"], step)
        now["bars"] = bars  # a distribution is drawn once, not at every token that follows it
        out.append(now if now != seen else no_update)
        answer = states["answer"]
        if answer.version == seen.get("answer", 0) and not redraw:
            out += [no_update] * 4
        else:
            what = edit_words(coefficient, opened, layer, self.subject.direction is not None)
            shown = components.columns(answer.value, what) if answer.value else no_update
            drawn = no_update if bars == seen.get("bars") else self._bars(answer.value, step, dark)
            out += [shown, status_words(answer), not answer.active, drawn]
        arms = states["arms"]
        if arms.version == seen.get("arms", 0) and not redraw:
            out += [no_update] * 3
        else:
            table = components.arms_table(arms.value) if arms.value else no_update
            out += [table, status_words(arms), not arms.active]
        patch = states["patch"]
        if patch.version == seen.get("patch", 0) and not redraw:
            out += [no_update] * 5
        else:
            finished = patch.status == "done" and ctx.triggered_id == "poll"
            at = patch.value if patch.active else None
            done = f" {at.done} of {at.total} passes" if at else ""
            out += [
                components.progress(patch.value, patch.status),
                status_words(patch) + done,
                not patch.active,
                "own" if finished else no_update,
                patch.asked if finished else no_update,
            ]
        return tuple(out)

    @staticmethod
    def _bars(answer: Any, step: Any, dark: Any) -> Any:
        if answer is None or not answer.choices:
            return blank("ask something first", bool(dark))
        index = min(max(int(step or 1), 1), len(answer.choices)) - 1
        return next_token_bars(answer.choices[index], answer.edited, bool(dark))


_ASKED = ("text", "word", "coefficient", "opened", "length", "layer")
_AT_ONCE = ("coefficient", "opened", "word", "layer")  # asked again without a button
_BUTTONS: dict[str, str] = {
    "ask": "answer",
    "cancel": "answer",
    "compare": "arms",
    "cancel-arms": "arms",
    "patch": "patch",
    "cancel-patch": "patch",
}


def _number(value: Any, what: str) -> float:
    """A slider's number or a menu's text as a number; an empty box gives None."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise UserError(f"{what}: expected a number, got {value!r}; fill it in")
    return found


def _bars_key(answer: Any, step: Any) -> str:
    """Which distribution is shown: of which question, before which answer token."""
    steps = len(answer.value.choices) if answer.value else 0
    return f"{answer.asked}:{min(max(int(step or 1), 1), steps)}"
