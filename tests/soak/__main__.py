"""Everything that takes too long for the suite: ``python -m tests.soak [--share S] [PART ...]``.

Every part is a module here with ``rows(share, seed, step) -> list[dict]``; two run side by side,
and a part that has finished on this commit is not run again. Writes docs/results/soak.md; the
status is 1 where a row does not hold.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.soak.part import ONE_THREAD, write

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))  # as the tests find tiny and tinygate
PAGE, KEPT = Path("docs/results/soak.md"), Path("build/soak")
# The longest first, so that none is left alone at the end.
PARTS = {
    "kills": "tests.soak.kills",
    "bad input": "tests.soak.bad_input.table",
    "load matrix": "tests.soak.load",
    "damage": "tests.soak.damage",
    "cases": "tests.soak.cases.table",
    "races": "tests.soak.races",
    "server": "tests.soak.server",
}
_SIDE_BY_SIDE = 2
_EVERY_S = 10.0  # between two lines of progress


@dataclass(frozen=True)
class Ended:
    """A part's rows, and the seconds that it took; a part that broke has none."""

    part: str
    seconds: float
    rows: list[dict[str, Any]]
    broke: str = ""

    @property
    def red(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if not holds(row)]


def holds(row: dict[str, Any]) -> bool:
    """Whether a row is as it should be: its ``holds`` or ``passed``, or an outcome ``right``."""
    for name in ("holds", "passed"):
        if name in row:
            return bool(row[name])
    return row["outcome"] == "right"


def run_part(part: str, share: float, seed: int, out: Path) -> None:
    """Run one part in this process; its rows are written when it has ended."""
    last = 0.0

    def step(*words: Any) -> None:
        nonlocal last
        if time.monotonic() - last > _EVERY_S or words[-2] == words[-1]:
            last = time.monotonic()
            print(f"{words[-2]} {words[-1]}", flush=True)

    began = time.monotonic()
    rows = import_module(PARTS[part]).rows(share, seed, step)
    about = {"seconds": round(time.monotonic() - began, 1), "rows": rows}
    out.with_suffix(".part").write_text(json.dumps(about, default=str))
    out.with_suffix(".part").rename(out)


class Running:
    """A part in a process of its own."""

    def __init__(self, part: str, words: Sequence[str], out: Path) -> None:
        self.part, self.out, self.began = part, out, time.monotonic()
        self.log = out.with_suffix(".log")
        command = [sys.executable, "-m", "tests.soak", "--only", part, "--to", str(out), *words]
        env = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=env)

    def progress(self) -> str:
        """How far it is, and how long it will take."""
        steps = [line.split() for line in self.log.read_text(errors="replace").splitlines()]
        steps = [s for s in steps if len(s) == 2 and all(word.isdecimal() for word in s)]
        done, total = map(int, steps[-1]) if steps else (0, 0)
        took = time.monotonic() - self.began
        left = f", {took / done * (total - done):.0f} s left" if done else ""
        return f"{self.part} {done}/{total}{left}"


def ended(part: str, out: Path) -> Ended:
    """What a part has left; without a result the last lines of what it printed."""
    if out.is_file():
        about = json.loads(out.read_text())
        return Ended(part, about["seconds"], about["rows"])
    log = out.with_suffix(".log")
    said = log.read_text(errors="replace").split("\n")[-6:] if log.is_file() else ["not run"]
    return Ended(part, 0.0, [], " ".join(" ".join(said).split())[-400:])


def run_all(parts: Sequence[str], share: float, seed: int, fresh: bool) -> list[Ended]:
    """Every part that has no result of this commit yet, two at a time; then all results."""
    kept = KEPT / f"{commit()}-{share:g}-{seed}"
    kept.mkdir(parents=True, exist_ok=True)
    places = {part: kept / f"{part.replace(' ', '-')}.json" for part in parts}
    if fresh:
        for place in places.values():
            place.unlink(missing_ok=True)
    left = [part for part, place in places.items() if not place.is_file()]
    words, running, told = ["--share", str(share), "--seed", str(seed)], [], 0.0
    try:
        while left or running:
            running = [each for each in running if each.process.poll() is None]
            while left and len(running) < _SIDE_BY_SIDE:
                running.append(Running(left[0], words, places[left.pop(0)]))
            if time.monotonic() - told > _EVERY_S and running:
                told = time.monotonic()
                print("; ".join(each.progress() for each in running), file=sys.stderr, flush=True)
            time.sleep(0.2)
    finally:
        for each in running:
            each.process.terminate()
    return [ended(part, place) for part, place in places.items()]


def commit() -> str:
    """The commit, and a mark where the working tree is another."""
    words = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True).stdout.strip() or "none"


def page(every: Sequence[Ended], share: float, seconds: float) -> str:
    """Counts of every part, then what does not hold."""
    lines = [
        "# Soak",
        "",
        f"By `make soak` on {commit()}: a share of {share:g}, in {seconds / 60:.0f} minutes.",
        "",
        "| part | rows | hold | do not | seconds |",
        "|---|---|---|---|---|",
    ]
    for each in every:
        red = "broke" if each.broke else len(each.red)
        whole = len(each.rows) - len(each.red)
        lines.append(f"| {each.part} | {len(each.rows)} | {whole} | {red} | {each.seconds:.0f} |")
    for each in every:
        if each.broke or each.red:
            shown = [each.broke] if each.broke else [_told(row) for row in each.red]
            lines += ["", f"## {each.part}: what does not hold", "", *(f"- {s}" for s in shown)]
    return "\n".join([*lines, ""])


def _told(row: dict[str, Any]) -> str:
    text = "; ".join(f"{name}: {value}" for name, value in row.items() if value not in ("", None))
    return text.replace("\n", " ")[:500]


def main() -> int:
    """Runs what is asked, writes the page, says what does not hold."""
    asking = argparse.ArgumentParser(prog="python -m tests.soak")
    asking.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    asking.add_argument("--share", type=float, default=1.0, help="of every part's rows")
    asking.add_argument("--seed", type=int, default=0)
    asking.add_argument("--fresh", action="store_true", help="run again what has a result")
    asking.add_argument("--only", choices=PARTS, help=argparse.SUPPRESS)
    asking.add_argument("--to", type=Path, help=argparse.SUPPRESS)
    asked, began = asking.parse_args(), time.monotonic()
    if asked.only:
        run_part(asked.only, asked.share, asked.seed, asked.to)
        return 0
    unknown = [part for part in asked.parts if part not in PARTS]
    if unknown or not 0 < asked.share <= 1:
        asking.error(f"expected parts of {', '.join(PARTS)} and a share in (0, 1], got {unknown}")
    parts = asked.parts or [part for part, module in PARTS.items() if find_spec(module)]
    every = run_all(parts, asked.share, asked.seed, asked.fresh)
    text = page(every, asked.share, time.monotonic() - began)
    if not asked.parts and asked.share == 1:
        write(PAGE, text)
    print(text)
    return int(any(each.broke or each.red for each in every))


if __name__ == "__main__":
    sys.exit(main())
