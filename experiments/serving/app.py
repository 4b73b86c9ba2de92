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
from circuits.types import PatchGrid
from experiments.serving import jobs
from experiments.serving.jobs import Asked
from experiments.serving.security import Access, protect
from experiments.serving.subject import Subject, load
from experiments.serving.worker import Worker
from viz.app import components
from viz.app.data import About
from viz.app.figures import blank, grid_heatmap, next_token_bars
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
        "gatescope", title="gatescope", update_title="", index_string=index, serve_locally=True,
        assets_folder="no-assets", add_log_handler=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )  # fmt: skip
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
        coefficients=jobs.COEFFICIENTS,
        lengths=jobs.LENGTHS,
        most_characters=jobs.MOST_CHARACTERS,
    )


class Callbacks:
    """What the page's controls do."""

    def __init__(self, subject: Subject, worker: Worker) -> None:
        self.subject, self.worker = subject, worker
        self.arms = jobs.Arms(subject, self._load_arm)

    def _load_arm(self, name: str) -> Any:
        return load(self.subject.question, lambda *_: None, self.subject.arms[name])

    def register(self, app: Dash) -> None:
        """Connect them."""
        app.clientside_callback(
            ClientsideFunction("gatescope", "tab"), Output("tab", "data"), Input("tab", "id")
        )
        app.clientside_callback(
            ClientsideFunction("gatescope", "theme"), Output("dark", "data"),
            Input("theme", "n_clicks"),
        )  # fmt: skip
        app.callback(
            Output("text", "value"), Input({"type": "example", "index": ALL}, "n_clicks"),
            prevent_initial_call=True,
        )(self.example)  # fmt: skip
        asked = [State(n, "value") for n in ("text", "word", "coefficient", "opened", "length")]
        app.callback(
            Output("poll", "disabled", allow_duplicate=True),
            Output("status", "children", allow_duplicate=True),
            Output("arms-status", "children", allow_duplicate=True),
            Output("patch-status", "children", allow_duplicate=True),
            *[Input(n, "n_clicks") for n in _BUTTONS],
            Input("coefficient", "value"), Input("opened", "value"), Input("word", "value"),
            State("tab", "data"), State("seen", "data"), *asked,
            *[State(n, "value") for n in ("stream", "direction", "count")],
            prevent_initial_call=True,
        )(self.started)  # fmt: skip
        app.callback(
            Output("poll", "disabled"), Output("seen", "data"),
            Output("answers", "children"), Output("status", "children"),
            Output("cancel", "disabled"), Output("bars", "figure"),
            Output("arms", "children"), Output("arms-status", "children"),
            Output("cancel-arms", "disabled"),
            Output("patch-progress", "children"), Output("patch-status", "children"),
            Output("cancel-patch", "disabled"), Output("grid", "value"), Output("patched", "data"),
            Input("poll", "n_intervals"), Input("tab", "data"), Input("dark", "data"),
            Input("step", "value"), State("seen", "data"),
            State("coefficient", "value"), State("opened", "value"),
        )(self.polled)  # fmt: skip
        app.callback(
            Output("heat", "figure"), Output("grid-about", "children"),
            Input("grid", "value"), Input("dark", "data"), Input("patched", "data"),
            State("tab", "data"),
        )(self.heatmap)  # fmt: skip
        app.callback(
            Output("cell", "children"), Input("heat", "clickData"), Input("grid", "value"),
            State("tab", "data"), prevent_initial_call=True,
        )(self.cell)  # fmt: skip

    def example(self, clicks: list[int | None]) -> str:
        """The prompt whose button was pressed."""
        chosen = ctx.triggered_id
        if not any(clicks) or not isinstance(chosen, dict):
            raise PreventUpdate
        return self.subject.examples[int(chosen["index"])]

    def started(self, *given: Any) -> tuple[Any, ...]:
        """A button, or the slider after a first answer: start or cancel a job."""
        given = given[len(_BUTTONS) + 3 :]
        tab, seen, text, word, coefficient, opened, length, stream, direction, count = given
        what = str(ctx.triggered_id)
        if what in ("coefficient", "opened", "word"):
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
                make = self._job(
                    kind, (text, word, coefficient, opened, length), (stream, direction, count)
                )
                self.worker.submit(tab, kind, make)
        except UserError as error:
            said = {"answer": 1, "arms": 2, "patch": 3}[kind]
            return (no_update,) * said + (str(error),) + (no_update,) * (3 - said)
        return False, no_update, no_update, no_update

    def _job(self, kind: str, asked: tuple, patched: tuple) -> Any:
        if kind == "patch":
            stream, direction, count = patched
            return jobs.patching(
                self.subject, str(stream), str(direction), int(_number(count, "prompts"))
            )
        text, word, coefficient, opened, length = asked
        if word not in ("trigger", "control", "none"):
            raise UserError(f"word: expected trigger, control or none, got {word!r}")
        share, most = _number(coefficient, "coefficient"), int(_number(length, "answer tokens"))
        what = Asked(str(text or ""), word, share, bool(opened), most)
        return self.arms.comparing(what) if kind == "arms" else jobs.answering(self.subject, what)

    def polled(
        self, _n: Any, tab: Any, dark: Any, step: Any, seen: Any, coefficient: Any, opened: Any
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
            what = _edit_words(coefficient, opened, self.subject.direction is not None)
            shown = components.columns(answer.value, what) if answer.value else no_update
            drawn = no_update if bars == seen.get("bars") else self._bars(answer.value, step, dark)
            out += [shown, _status(answer), not answer.active, drawn]
        arms = states["arms"]
        if arms.version == seen.get("arms", 0) and not redraw:
            out += [no_update] * 3
        else:
            table = components.arms_table(arms.value) if arms.value else no_update
            out += [table, _status(arms), not arms.active]
        patch = states["patch"]
        if patch.version == seen.get("patch", 0) and not redraw:
            out += [no_update] * 5
        else:
            finished = patch.status == "done" and ctx.triggered_id == "poll"
            at = patch.value if patch.active else None
            done = f" {at.done} of {at.total} passes" if at else ""
            out += [
                components.progress(patch.value, patch.status), _status(patch) + done,
                not patch.active, "own" if finished else no_update,
                patch.asked if finished else no_update,
            ]  # fmt: skip
        return tuple(out)

    @staticmethod
    def _bars(answer: Any, step: Any, dark: Any) -> Any:
        if answer is None or not answer.choices:
            return blank("ask something first", bool(dark))
        index = min(max(int(step or 1), 1), len(answer.choices)) - 1
        return next_token_bars(answer.choices[index], answer.edited, bool(dark))

    def _grid(self, name: Any, tab: Any) -> tuple[PatchGrid | None, tuple[str, ...]]:
        if name in self.subject.grids:
            return self.subject.grids[name], self.subject.texts
        found = self.worker.state(tab, "patch").value if isinstance(tab, str) else None
        return (found.grid, found.texts) if found else (None, ())

    def heatmap(self, name: Any, dark: Any, _patched: Any, tab: Any) -> tuple[Any, Any]:
        """The grid that is chosen; drawn anew only where it can have changed."""
        if ctx.triggered_id == "patched" and name != "own":
            raise PreventUpdate
        grid, _ = self._grid(name, tab)
        if grid is None:
            return blank("no patching run here yet", bool(dark)), ""
        n = grid.values.shape[-1]
        return grid_heatmap(grid, bool(dark)), (
            f"{grid.direction}, {grid.stream}, {grid.metric}, n = {n} pairs; "
            "0 leaves the run patched into, 1 is the full effect; dot: q > 0.05"
        )

    def cell(self, clicked: Any, name: Any, tab: Any) -> Any:
        """The prompts behind the cell that was clicked."""
        grid, texts = self._grid(name, tab)
        if ctx.triggered_id != "heat" or not clicked or grid is None:
            return []
        point = clicked["points"][0]
        layer, column = int(point["y"]), int(point["x"])
        if not (0 <= layer < grid.values.shape[0] and 0 <= column < grid.values.shape[1]):
            raise PreventUpdate
        n = grid.values.shape[-1]
        what = "head" if grid.axes[-1] == "head" else "token"
        label = column if what == "head" else components.spaced(grid.labels[column])
        rows = jobs.effects_of(grid, (layer, column), texts[:n])
        return components.effects_table(f"Layer {layer}, {what} {label}", rows, grid.metric)


_BUTTONS: dict[str, str] = {
    "ask": "answer", "cancel": "answer", "compare": "arms", "cancel-arms": "arms",
    "patch": "patch", "cancel-patch": "patch",
}  # fmt: skip


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


def _status(state: Any) -> str:
    words = {
        "idle": "", "waiting": "waiting for the model …", "running": "working …",
        "done": "done", "cancelled": "cancelled",
    }  # fmt: skip
    return state.message if state.status == "failed" else words[state.status]


def _edit_words(coefficient: Any, opened: Any, has_gate: bool) -> str:
    if not has_gate:
        return "no gate known: the same answer"
    value = float(1 if coefficient is None else coefficient)
    known = {0.0: "gate shut", 1.0: "component kept"}
    words = known.get(value, f"component × {value:g}")
    if opened:
        return f"{words}, shift added"
    return "nothing edited: the same answer" if value == 1 else words
