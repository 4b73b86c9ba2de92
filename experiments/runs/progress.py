"""One progress display with time left for everything that takes more than two seconds."""

from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class StageProgress(Progress):
    """A bar per stage, made when the stage is first heard of. Drawn on standard error."""

    def __init__(self, console: Console) -> None:
        self._bars: dict[str, TaskID] = {}
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        super().__exit__(kind, error, trace)
        if error is not None and self._bars:
            error.add_note(f"during: {next(reversed(self._bars))}")

    def step(self, name: str, done: int, total: int) -> None:
        """Say how far a stage is."""
        if name not in self._bars:
            self._bars[name] = self.add_task(name, total=total)
        self.update(self._bars[name], completed=done, total=total)
