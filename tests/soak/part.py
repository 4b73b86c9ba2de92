"""What the parts of the soak have in common: a share of their rows, how far they are, a page.

A part is a module with ``rows(share, seed, step) -> list[dict]``.
"""

import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Step = Callable[[str, int, int], None]  # name, done, in all
Row = dict[str, Any]
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "PIP_NO_INDEX": "1",
}
PAGES = Path("docs/results/soak")


def sampled(cases: Sequence[T], share: float, seed: int) -> list[T]:
    """A seeded share of cases, at least one, in their order."""
    count = min(len(cases), max(1, round(share * len(cases))))
    return [cases[i] for i in sorted(random.Random(seed).sample(range(len(cases)), count))]


def progress() -> Step:
    """Says on the terminal how far a part is, and how long it will take."""
    began = time.monotonic()

    def step(_name: str, done: int, total: int) -> None:
        left = (time.monotonic() - began) / max(done, 1) * (total - done)
        print(f"\r{done} of {total}, {left:.0f} s left ", end="", file=sys.stderr, flush=True)

    return step


def line(cells: Iterable[object]) -> str:
    """A row of a table in Markdown; what cannot be printed is spelled."""
    written = (ascii(str(c))[1:-1] if not str(c).isprintable() else str(c) for c in cells)
    return "| " + " | ".join(text.replace("|", "\\|") for text in written) + " |"


def write(path: Path, text: str) -> None:
    """A page of the documentation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def alone(name: str, about: str | None, rows: Callable[[float, int, Step], list[Row]]) -> int:
    """Runs one part alone; prints its table and writes it to its page."""
    began = time.monotonic()
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    table = rows(share, 0, progress())
    columns = [column for column in table[0] if column not in ("part", "detail")]
    lines = [line(columns), line(["---"] * len(columns))]
    lines += [line(row[column] for column in columns) for row in table]
    wrong = [f"- {row['case']}: {row['detail']}" for row in table if not row["passed"]]
    head = [f"# {name.capitalize()}", "", *(about or "").strip().splitlines(), ""]
    text = "\n".join([*head, *lines, *(["", *wrong] if wrong else []), ""])
    print(f"\n{text}{time.monotonic() - began:.0f} s")
    if share == 1:
        write(PAGES / f"{name}.md", text)
    return int(bool(wrong))
