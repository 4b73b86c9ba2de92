"""Two processes that want one directory at the same moment: one of them gets it.

``python -m tests.soak.races``: two questions for one new directory, the same question twice, and
the same run resumed twice; and starts that are killed within the claim, after which a new one and a
resumed one are accepted. Writes docs/results/soak/races.md.
"""

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.runs import files, locks
from tests.soak import part
from tests.soak.forked import forked, outcome
from tests.soak.part import Row, Step

RACES = 60  # of every kind
_KINDS = ("two questions", "one question twice", "one run resumed twice", "killed in the claim")


def rows(share: float, seed: int, step: Step) -> list[Row]:
    """A row for every kind of race."""
    dice, count = random.Random(seed), max(1, round(share * RACES))
    table = []
    with TemporaryDirectory(prefix="races-") as scratch:
        folder = Path(scratch) / "run"
        for number, kind in enumerate(_KINDS):
            wrong = []
            for race in range(count):
                step("races", number * count + race, len(_KINDS) * count)
                shutil.rmtree(folder, ignore_errors=True)
                wrong += _killed(folder, dice) if number == 3 else _raced(folder, kind, dice)
            table.append(_row(kind, count, wrong))
        step("races", len(_KINDS) * count, len(_KINDS) * count)
    return table


def _row(kind: str, count: int, wrong: list[str]) -> Row:
    return {
        "part": "races",
        "case": kind,
        "races": count,
        "one winner": count - len(wrong),
        "passed": not wrong,
        "detail": " | ".join(wrong)[:600],
    }


def manifest(trigger: str) -> files.Manifest:
    """Of a question about a trigger."""
    return files.Manifest("analysis", {"model": "m", "trigger": trigger}, "gatescope analyze")


def claim(
    folder: Path, trigger: str, resume: bool, hold: Callable[[], object] = lambda: None
) -> None:
    """Take a directory and hold it as long as a call lasts, as a run does."""
    with locks.held(folder):
        files.open_run(folder, manifest(trigger), resume)
        hold()


def _raced(folder: Path, kind: str, dice: random.Random) -> list[str]:
    """What is wrong with one race of two processes that are released together."""
    resume = kind == _KINDS[2]
    if resume:
        claim(folder, "a", False)
    go = time.time() + 0.05
    tried, told = os.pipe()
    ended, end = os.pipe()
    late = [0.0, dice.choice([0.0, dice.uniform(0, 0.002)])]
    pids = []
    for who, wait in zip("ab", late, strict=True):
        pid = os.fork()
        if pid == 0:
            os.close(end)
            while time.time() < go + wait:
                pass
            trigger = who if kind == _KINDS[0] else "a"

            def hold() -> None:
                """Until the other one has tried too."""
                os.write(told, b"x")
                os.read(ended, 1)

            status, _ = outcome(partial(claim, folder, trigger, resume, hold))
            os.write(told, b"x")
            os._exit(status)
        pids.append(pid)
    os.read(tried, 1)
    os.read(tried, 1)
    os.close(end)
    ends = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)
    for handle in (tried, told, ended):
        os.close(handle)
    whole = ends == [0, 2] and files.read_manifest(folder)["kind"] == "analysis"
    return [] if whole else [f"ended {ends}"]


def _killed(folder: Path, dice: random.Random) -> list[str]:
    """A start killed within some hundred microseconds of its claim, then another start."""
    pid = os.fork()
    if pid == 0:
        os._exit(outcome(lambda: claim(folder, "a", False))[0])
    time.sleep(dice.uniform(0, 0.01))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    begun = (folder / "manifest.json").is_file()
    ended = forked(lambda: claim(folder, "a", begun or dice.random() < 0.5))
    left = sorted(os.listdir(folder)) if folder.is_dir() else []
    whole = ended.status == 0 and left == ["manifest.json"]
    return [] if whole else [f"{ended.status} {ended.said} {left}"]


if __name__ == "__main__":
    sys.exit(part.alone("races", __doc__, rows))
