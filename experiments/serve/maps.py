"""The app's patching heatmap and the prompts behind its cells.

A cell is chosen by two sliders, which the keyboard reaches; a click on the heatmap sets them.
"""

from typing import Any

from dash import Dash, Input, Output, State, ctx, no_update
from dash.exceptions import PreventUpdate

from circuits.types import PatchGrid
from experiments.serve.patching import effects_of, strongest
from experiments.serve.subject import Subject
from experiments.serve.worker import Worker
from viz.app import components
from viz.app.figures import blank, grid_heatmap
from viz.text import show_spaces


class Maps:
    """Grids of the run that is served, and of patching runs that tabs have started."""

    def __init__(self, subject: Subject, worker: Worker) -> None:
        self.subject, self.worker = subject, worker

    def register(self, app: Dash) -> None:
        """Connect the heatmap, the sliders and the table."""
        sliders = [
            Output(name, prop, allow_duplicate=True)
            for prop in ("max", "disabled", "value")
            for name in ("cell-layer", "cell-column")
        ]
        app.callback(
            Output("heat", "figure"),
            Output("grid-about", "children"),
            *sliders,
            Input("grid", "value"),
            Input("dark", "data"),
            Input("patched", "data"),
            State("tab", "data"),
            prevent_initial_call="initial_duplicate",
        )(self.heatmap)
        app.callback(
            Output("cell-layer", "value"),
            Output("cell-column", "value"),
            Input("heat", "clickData"),
            prevent_initial_call=True,
        )(self.clicked)
        app.callback(
            Output("cell", "children"),
            Input("cell-layer", "value"),
            Input("cell-column", "value"),
            Input("patched", "data"),
            Input("grid", "value"),
            State("tab", "data"),
            prevent_initial_call=True,
        )(self.cell)

    def _grid(self, name: Any, tab: Any) -> tuple[PatchGrid | None, tuple[str, ...]]:
        if name in self.subject.grids:
            return self.subject.grids[name], self.subject.texts
        patched = self.worker.state(tab, "patch").value if isinstance(tab, str) else None
        return (patched.grid, patched.texts) if patched else (None, ())

    def heatmap(self, name: Any, dark: Any, _patched: Any, tab: Any) -> tuple[Any, ...]:
        """The grid that is chosen, its strongest cell first; drawn where it can have changed."""
        if ctx.triggered_id == "patched" and name != "own":
            raise PreventUpdate
        grid, _ = self._grid(name, tab)
        if grid is None:
            drawn = blank("no patching run here yet", bool(dark))
            return (drawn, "", no_update, no_update, True, True, no_update, no_update)
        rows, columns, n = grid.values.shape
        about = (
            f"{grid.direction}, {grid.stream}, {grid.metric}, n = {n} pairs; "
            "0 leaves the run patched into, 1 is the full effect; dot: q > 0.05"
        )
        cell = (no_update, no_update) if ctx.triggered_id == "dark" else strongest(grid)
        return (grid_heatmap(grid, bool(dark)), about, rows - 1, columns - 1, False, False, *cell)

    @staticmethod
    def clicked(clicked: Any) -> tuple[int, int]:
        """The sliders' values of a cell."""
        if not clicked:
            raise PreventUpdate
        point = clicked["points"][0]
        return int(point["y"]), int(point["x"])

    def cell(self, layer: Any, column: Any, _patched: Any, name: Any, tab: Any) -> Any:
        """The prompts behind the chosen cell."""
        grid, texts = self._grid(name, tab)
        if grid is None:
            return []
        layer, column = int(layer or 0), int(column or 0)
        if not (0 <= layer < grid.values.shape[0] and 0 <= column < grid.values.shape[1]):
            raise PreventUpdate
        what = "head" if grid.axes[-1] == "head" else "token"
        label = column if what == "head" else show_spaces(grid.labels[column])
        rows = effects_of(grid, (layer, column), texts[: grid.values.shape[-1]])
        return components.effects_table(f"Layer {layer}, {what} {label}", rows, grid.metric)
