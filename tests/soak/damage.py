"""Every stage damaged in three ways between kill and resume.

``python -m tests.soak.damage``: a damaged stage must be named in one line and not used; deleted as
the line says, it is made again, and the result equals an undisturbed run's. Cells of sweeps and
kept states of training are made again by themselves. Writes docs/results/soak/damage.md.
"""

import random
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.soak import part, trials
from tests.soak.forked import forked
from tests.soak.part import Row, Step
from tests.soak.trials import Command, Place

BY_ITSELF = ("sweep", "organism train")  # what is damaged there is made again without a word
_LAST = ("result.json", "scorecard.json", "report.html")  # not there yet, or written again


def _flipped(path: Path, others: Sequence[Path]) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path, others: Sequence[Path]) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _swapped(path: Path, others: Sequence[Path]) -> None:
    own = path.read_bytes()
    for other in others:
        if other.suffix == path.suffix and other.read_bytes() != own:
            shutil.copy(other, path)
            return
    path.write_bytes(own + own)


WAYS: dict[str, Callable[[Path, Sequence[Path]], None]] = {
    "one byte": _flipped,
    "cut": _cut,
    "another stage's": _swapped,
}


def rows(share: float, seed: int, step: Step) -> list[Row]:
    """A row for every command of a share of the damages, drawn by the seed."""
    dice = random.Random(seed)
    with trials.workplace() as place:
        commands = [each for each in place.commands() if each.name != "orthogonalise"]
        chosen = dice.sample(commands, max(1, round(share * len(commands))))
        table = []
        for done, command in enumerate(chosen):
            step("damage", done, len(chosen))
            table.append(_damaged(place, command, share, dice))
        step("damage", len(chosen), len(chosen))
    return table


def _damaged(place: Place, command: Command, share: float, dice: random.Random) -> Row:
    place.prepare(command)
    whole, _ = trials.undisturbed(place, command, keep_cache=True)
    cache = place.folder / f"cache {command.name}"
    stages = _stages(whole, cache, command)
    every = [(name, way) for name in stages for way in WAYS]
    chosen = dice.sample(every, max(2, round(share * len(every))))
    named, again, wrong = 0, 0, []
    for number, (name, way) in enumerate(chosen):
        _restore(place, whole, cache, command)
        root = (
            place.cache if name.startswith("stages/") and command.name in BY_ITSELF else place.out
        )
        path = root / name
        WAYS[way](path, [root / other for other in stages])
        ended = forked(lambda: command.call(place.out))
        if command.name not in BY_ITSELF:
            if ended.status != 2 or str(path) not in ended.said or "\n" in ended.said:
                wrong.append(f"{name}, {way}: {ended.status} {ended.said}"[:200])
                continue
            named += 1
            if number % len(WAYS):  # each stage is made again once
                continue
            for other in (path, path.with_suffix(".json")):
                other.unlink(missing_ok=True)
            ended = forked(lambda: command.call(place.out))
        differ = trials.differences(whole, place.out, command.clock)
        differ = [each for each in differ if not each.endswith(".damaged")]  # set aside
        again += not ended.status and not differ
        if ended.status or differ:
            wrong.append(f"{name}, {way}, made again: {ended.said} {differ}"[:200])
    return {
        "part": "damage",
        "case": command.name,
        "stage files": len(stages),
        "damages": len(chosen),
        "named": "made again" if command.name in BY_ITSELF else named,
        "equal when made again": again,
        "passed": not wrong,
        "detail": " | ".join(wrong)[:600],
    }


def _stages(whole: Path, cache: Path, command: Command) -> list[str]:
    """What a command reads again when it goes on."""
    if command.name == "sweep":
        return sorted(f"cells/{path.name}" for path in (whole / "cells").iterdir())
    if command.name == "organism train":
        return sorted(f"stages/{path.name}" for path in (cache / "stages").glob("*.safetensors"))
    kept = [*whole.glob("stages/**/*.*"), *whole.glob("grid-*"), *whole.glob("activations.*")]
    kept += whole.glob("arms/*/stages/*.*")
    names = {path.relative_to(whole).as_posix() for path in kept if path.is_file()}
    return sorted(name for name in names if not name.endswith("seconds.json"))


def _restore(place: Place, whole: Path, cache: Path, command: Command) -> None:
    """As it was before its end."""
    trials.fresh(place)
    if cache.is_dir():
        shutil.copytree(cache, place.cache)
    if command.name == "organism train":
        return  # only its kept states are there
    shutil.copytree(whole, place.out)
    for name in _LAST:
        (place.out / name).unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(part.alone("damage", __doc__, rows))
