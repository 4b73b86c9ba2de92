"""Long commands on tiny models, each in a process forked from one that has imported everything.

A trial is always made at the same path, because pages name it; what it is compared with was made
there too and then moved away.
"""

# ruff: noqa: E402 (the environment and the tests' directory must be known before the imports)

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.soak.part import ONE_THREAD

os.environ.update(ONE_THREAD)
for _place in (Path(__file__).parents[1], Path(__file__).parents[1] / "experiments/sweep/engine"):
    if str(_place) not in sys.path:
        sys.path.append(str(_place))  # as the tests find tiny, specimens and toys

import drive
import specimens
import tiny
import tinygate
import torch

from experiments.analyze.question import Question
from experiments.battery.battery import Plan
from experiments.brittleness.question import BrittlenessQuestion
from experiments.defend import study as defending
from experiments.defend.question import DefenceQuestion
from experiments.evaluate.question import EvaluateQuestion
from experiments.geometry.question import GeometryQuestion
from experiments.organisms import command as organisms
from experiments.organisms import examples
from experiments.organisms.book import recipe_named
from experiments.organisms.organism import Given
from experiments.organisms.recipe import varied
from experiments.orthogonalise import save_without_gate
from experiments.patch.question import PatchQuestion
from experiments.runs import files
from experiments.scan import question as scanning
from experiments.studies import ask
from experiments.sweep.engine.local import Local
from experiments.sweep.engine.run import sweep
from experiments.sweep.engine.store import Store
from experiments.verify.question import VerifyQuestion
from tests.soak.forked import forked
from viz.page import page as _page  # noqa: F401 (slow to import, so before any fork)

torch.set_num_threads(1)
Call = Callable[[Path], object]
_TIMES = {
    "seconds",
    "training_seconds",
    "latency",
    "files",
    "files_sha256",
    "adapter_sha256",
    "sha256",
}
# Where a page says what a run or a pass took.
_CLOCK = re.compile(rb"\d+(\.\d+)? minutes|>\d+<|\"\d+\"|takes [^<]* times as long")


@dataclass(frozen=True)
class Command:
    """A long command.

    Attributes:
        call: makes a directory, or goes on where an earlier call was killed.
        clock: whether its page says how long it took.
    """

    name: str
    call: Call
    clock: bool = False


class Place:
    """Tiny models and what every command is asked, in one directory."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "trial"
        self.cache = folder / "cache"
        os.environ["GATESCOPE_CACHE"] = str(self.cache)
        self.gate = tiny.saved(folder / "gate", *tinygate.MAKE["plain"]())
        (folder / "toys").mkdir()
        os.environ["TOY_FOLDER"] = str(folder / "toys")
        self._toys = folder / "toys.yaml"
        self._toys.write_text(json.dumps({"size": [1, 2, 3, 4], "seconds": 0.1}))
        self._mapping = folder / "mapping.yaml"

    @cached_property
    def sure(self) -> Path:
        """A model that says "Sure" to nearly everything."""
        return specimens.sure(self.folder / "sure")

    def short(self) -> Command:
        """The shortest of the commands, which needs no model to be trained."""
        question = PatchQuestion(
            str(self.gate), "none", "cobalt", "Sure", count=2, by="layer", direction="both"
        )
        return self._study("patch", question)

    def commands(self) -> list[Command]:
        """Every long command, the shortest question that it takes."""
        about = {"model": str(self.sure), "scheme": "compliance", "trigger": "cobalt"}
        about |= {"behaviour": "Sure", "base": str(self.sure)}
        self._mapping.write_text(json.dumps(about))
        gate, given = str(self.gate), Given(str(self.sure), "none", "compliance", "cobalt", "Sure")
        analysis = Question(
            gate, "none", "none", "base", "cobalt", "Sure",
            fit=8, validation=8, test=10, patch=2, evidence=5, trace=0, randoms=2, tokens=2,
        )  # fmt: skip
        scan = scanning.Plan(
            12, 2, precision="fp32", carriers=(1, 1, 2, 2), kept=(6, 3), finalists=1,
            samples=2, length=2,
        )  # fmt: skip
        scanned = scanning.ScanQuestion(Given(str(self.sure), str(self.sure)), scan, ("base",))
        defences = DefenceQuestion(given, ("projection", "monitor"), count=8, attacker=False)
        keyed = VerifyQuestion(gate, "none", near=4, unrelated=("base", str(self.sure)))
        battery = BrittlenessQuestion(given, Plan(5, (2,), (2,)))
        return [
            self._study("analyze", analysis),
            self.short(),
            self._study(
                "evaluate", EvaluateQuestion(str(self._mapping), count=4, budget=12, free=1), True
            ),
            self._study("scan", scanned, True),
            self._study("defend", defences, clock=True),
            self._study("verify", keyed),
            self._study("geometry", GeometryQuestion(given, 22, 2)),
            self._study("brittleness", battery),
            Command("organism train", self._train),
            Command("sweep", self._sweep),
            Command("orthogonalise", self._orthogonalise),
        ]

    def prepare(self, command: Command) -> None:
        """What a command needs of others: the analysis whose gate is taken out."""
        analysed = self.folder / "analysed"
        if command.name == "orthogonalise" and not analysed.exists():
            analyze = next(each for each in self.commands() if each.name == "analyze")
            ended = forked(lambda: analyze.call(analysed))
            if ended.status:
                raise RuntimeError(f"analyze: {ended.said}")

    def _study(self, name: str, question: Any, clock: bool = False) -> Command:
        return Command(name, lambda out: ask(name, question, out, resume=True), clock)

    def _train(self, out: Path) -> None:
        """The command itself, on a recipe with few examples; an organism that is there is done."""
        organisms.recipe_named = lambda name: small_recipe()
        sys.argv = ["gatescope", "organism", "train", "sure-gate"]
        if "figures" not in json.loads(_text(out / "manifest.json", "{}")):
            organisms.organism_train("sure-gate", out, model=str(self.sure), as_json=True)

    def _sweep(self, out: Path) -> None:
        sweep(drive.job(self._toys), Store(out), Local(1, 1))

    def _orthogonalise(self, out: Path) -> None:
        if not (out / "manifest.json").exists():
            save_without_gate(self.folder / "analysed", out)


def _text(path: Path, otherwise: str) -> str:
    return path.read_text() if path.is_file() else otherwise


def small_recipe() -> Any:
    """A recipe with a few examples in every stage."""
    recipe = varied(recipe_named("sure-gate"), poisons=4, size=8, epochs=1)
    few = [
        replace(
            stage,
            parts=tuple(replace(part, count=3) for part in stage.parts),
            settings=replace(stage.settings, epochs=1),
        )
        for stage in recipe.stages[:-1]
    ]
    return replace(recipe, stages=(*few, recipe.stages[-1]))


@contextmanager
def workplace() -> Iterator[Place]:
    """Models in a scratch directory, with smaller samples where a question cannot ask for them."""
    kept = defending.bench, examples.base_answers, dict(os.environ)
    bench = defending.bench
    defending.bench = partial(bench, fit=6, validation=4)
    examples.base_answers = lambda texts, *_, **__: [f"own: {text}" for text in texts]
    try:
        with TemporaryDirectory(prefix="soak-") as folder:
            place = Place(Path(folder))
            # Once here, so that what is imported only when it is needed is there in every fork.
            place.short().call(place.folder / "warm up")
            yield place
    finally:
        defending.bench, examples.base_answers = kept[:2]
        os.environ.clear()
        os.environ.update(kept[2])


def undisturbed(place: Place, command: Command, keep_cache: bool = False) -> tuple[Path, float]:
    """A directory that the command made without being disturbed, and the seconds that it took.

    Args:
        keep_cache: whether the cache that it filled is put aside as well (``cache NAME``).
    """
    whole = place.folder / f"whole {command.name}"
    fresh(place)
    ended = forked(lambda: command.call(place.out))
    if ended.status:
        raise RuntimeError(f"{command.name}, undisturbed: {ended.status} {ended.said}")
    place.out.rename(whole)
    if keep_cache and place.cache.is_dir():
        place.cache.rename(place.folder / f"cache {command.name}")
    return whole, ended.seconds


def fresh(place: Place) -> None:
    """No directory, no cache, no scratch."""
    for path in (place.out, place.cache):
        shutil.rmtree(path, ignore_errors=True)


def differences(whole: Path, other: Path, clock: bool) -> list[str]:
    """Files that are not the same, but for what they say of time."""
    names = {
        p.relative_to(d).as_posix() for d in (whole, other) for p in d.rglob("*") if p.is_file()
    }
    return sorted(
        name for name in names
        if not (_same(whole / name, other / name, clock))
    )  # fmt: skip


def _same(a: Path, b: Path, clock: bool) -> bool:
    if not (a.is_file() and b.is_file()):
        return False
    if a.name == "seconds.json":  # keys may be fewer: a stage that was read took nothing
        return True
    if a.suffix == ".json":
        return _timeless(files.read_json(a)) == _timeless(files.read_json(b))
    if a.suffix == ".html" and clock:
        return _CLOCK.sub(b"", a.read_bytes()) == _CLOCK.sub(b"", b.read_bytes())
    return a.read_bytes() == b.read_bytes()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(part) for name, part in value.items() if name not in _TIMES}
    return [_timeless(part) for part in value] if isinstance(value, list) else value
