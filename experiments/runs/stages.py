"""A run's stages: each is made once, kept by name and type, and read when the run is resumed.

``stages/NAME.json`` and, for a record with tensors, ``stages/NAME.safetensors`` (see
``experiments.runs.codec``). The JSON is written last: where it exists, the stage is complete. A
patch grid is kept in its own format (``files.write_grid``), which other commands read too.
``stages/seconds.json`` says what every stage took, and so which were written by this keeper; those
of before are read by the layout that is named (``experiments.runs.older``).
"""

import time
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, cast

from circuits.types import PatchGrid
from experiments.runs import files
from experiments.runs.codec import decode, encode
from experiments.runs.older import Layout

T = TypeVar("T")
Step = Callable[[str, int, int], None]


def stepped(step: Step, name: str, make: Callable[[], T]) -> T:
    """What is made in one step, which is told of when it begins and when it is done."""
    step(name, 0, 1)
    value = make()
    step(name, 1, 1)
    return value


class Stages:
    """The stages of one run directory.

    Args:
        step: told of every stage's name, parts done and parts in all.
        space: what stands in a file's name for a space in a stage's.
        older: how stages were laid out before they were kept by their type, if not as now.
        part: of the run, whose stages lie in a folder of that name; by default all of it.
    """

    def __init__(
        self,
        folder: Path,
        step: Step = lambda name, done, total: None,
        space: str = " ",
        older: Layout | None = None,
        part: str = "",
    ) -> None:
        self.folder, self.step, self._space, self._layout = folder, step, space, older
        self._stem = f"{part}/" if part else ""
        path = self._path("seconds", ".json")
        self._taken: dict[str, float] = files.read_json(path) if path.is_file() else {}
        self._older: dict[str, float] = {}

    @property
    def seconds(self) -> dict[str, float]:
        """What each stage took, in this run or an earlier one, without stages made within it."""
        taken, stem = {**self._older, **self._taken}, self._stem
        return {n.removeprefix(stem): s for n, s in taken.items() if n.startswith(stem)}

    def has(self, name: str) -> bool:
        """Whether a stage is complete."""
        return self._path(self._stem + name, ".json").is_file()

    def progress(self, name: str) -> Callable[[int, int], None]:
        """Says how far a stage is."""
        return lambda done, total: self.step(self._stem + name, done, total)

    def keep(
        self,
        name: str,
        kind: type[T] | UnionType,
        make: Callable[[], T],
        older: Layout | None = None,
    ) -> T:
        """A stage's record: read if it is complete, otherwise made, written, and read back.

        Args:
            older: how this stage was laid out, if not as the others were.

        Raises:
            UserError: what is there is not of this kind.
        """
        there, name, layout = self.has(name), self._stem + name, older or self._layout
        before = layout(self.folder, name) if layout and name not in self._taken else None
        if before is None and not there:
            return self._made(name, kind, make)
        self.step(name, 1, 1)
        if before is None:
            return self._read(name, kind)
        self._older[name] = before.seconds
        return decode(kind, before.value, before.tensors, before.where)

    def _made(self, name: str, kind: Any, make: Callable[[], T]) -> T:
        self.step(name, 0, 1)
        start, within = time.perf_counter(), sum(self._taken.values())
        record = make()
        within -= sum(self._taken.values())
        self._taken[name] = round(time.perf_counter() - start + within, 2)
        files.write_json(self._path("seconds", ".json"), self._taken)
        if kind is PatchGrid:
            files.write_grid(self._path(name), cast(PatchGrid, record))
        else:
            self._write(name, record)
        self.step(name, 1, 1)
        return self._read(name, kind)

    def _write(self, name: str, record: Any) -> None:
        value, tensors = encode(record)
        beside = self._path(name, ".safetensors")
        beside.unlink(missing_ok=True)  # of an attempt that was stopped before its JSON
        if tensors:
            files.write_tensors(beside, tensors, {"stage": name})
        files.write_json(self._path(name, ".json"), value)

    def _read(self, name: str, kind: Any) -> Any:
        if kind is PatchGrid:
            return files.read_grid(self._path(name))
        path, beside = self._path(name, ".json"), self._path(name, ".safetensors")
        tensors = files.read_tensors(beside) if beside.is_file() else {}
        return decode(kind, files.read_json(path), tensors, str(path))

    def _path(self, name: str, suffix: str = "") -> Path:
        return self.folder / "stages" / f"{name.replace(' ', self._space)}{suffix}"
