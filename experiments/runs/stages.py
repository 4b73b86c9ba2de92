"""A run's stages: each is made once, kept by name and type, and read when the run is resumed.

``stages/NAME.json`` and, for a record with tensors, ``stages/NAME.safetensors`` (see
``experiments.runs.codec``). The JSON is written last, and then both are listed with their hashes
(``experiments.runs.ledger``): where a stage is listed, it is complete; one that is not is made
again. A patch grid is kept in its own format (``Ledger.write_grid``), which other commands read
too. ``stages/seconds.json`` says what every stage took. In runs without hashes it also says which
stages were written by this keeper; those of before are read by the layout that is named
(``experiments.runs.older``).
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, cast

from circuits.errors import expect, reading
from circuits.types import PatchGrid
from experiments.runs import files, formats
from experiments.runs.codec import decode, encode
from experiments.runs.ledger import Ledger
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
        self.ledger = Ledger(folder)
        self._taken: dict[str, float] = _seconds(self.folder / "stages" / "seconds.json")
        self._older: dict[str, float] = {}

    @property
    def seconds(self) -> dict[str, float]:
        """What each stage took, in this run or an earlier one, without stages made within it."""
        taken, stem = {**self._older, **self._taken}, self._stem
        return {n.removeprefix(stem): s for n, s in taken.items() if n.startswith(stem)}

    def has(self, name: str) -> bool:
        """Whether a stage is complete."""
        return self.ledger.has(self._name(self._stem + name, ".json"))

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
        where, known = str(self.folder / self._name(name, ".json")), "a stage as it was kept"
        before = None
        if layout and name not in self._taken and self.ledger.entries() is None:
            with reading(where, known, "delete it, --resume measures it again"):
                before = layout(self.folder, name)
        if before is None and not there:
            return self._made(name, kind, make)
        self.step(name, 1, 1)
        with reading(where, known, "delete it, --resume measures it again"):
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
        about = {**self._taken, "sha256": _digest(self._taken)}
        files.write_json(self.folder / "stages" / "seconds.json", about)
        if kind is PatchGrid:
            self.ledger.write_grid(self._name(name, ""), cast(PatchGrid, record))
        else:
            self._write(name, record)
        self.step(name, 1, 1)
        return self._read(name, kind)

    def _write(self, name: str, record: Any) -> None:
        value, tensors = encode(record)
        beside, contents = self._name(name, ".safetensors"), {}
        if tensors:
            contents[beside] = formats.tensor_bytes(tensors, {"stage": name})
        contents[self._name(name, ".json")] = formats.json_bytes(value)
        # Those that lie there are of an attempt that was stopped before its JSON, or of nobody.
        self.ledger.write(contents, drop=[beside])

    def _read(self, name: str, kind: Any) -> Any:
        about, beside = self._name(name, ".json"), self._name(name, ".safetensors")
        if kind is PatchGrid:
            return self.ledger.grid(self._name(name, ""))
        tensors = self.ledger.tensors(beside) if self.ledger.lists(beside) else {}
        return decode(kind, self.ledger.json(about), tensors, str(self.folder / about))

    def _name(self, name: str, suffix: str) -> str:
        return f"stages/{name.replace(' ', self._space)}{suffix}"


def _seconds(path: Path) -> dict[str, float]:
    """What stages took, where that was kept."""
    if not path.is_file():
        return {}
    about, advice = files.read_json(path), "delete it: only times are lost"
    whole = isinstance(about, dict)
    digest = about.pop("sha256", None) if whole else None
    whole = whole and digest in (None, _digest(about))  # before it was kept there was none
    expect(whole, "times as they were written", "others", advice, str(path))
    return about


def _digest(taken: dict[str, float]) -> str:
    return files.text_sha256([json.dumps(taken, sort_keys=True)])
