"""What all cases start from, made once: tiny models with a planted gate, an adapter, finished runs.

Every case sees them as links in its working directory; what it damages it copies first.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import specimens
import tiny
import tinygate
from checkpoints import retensored

from experiments.prompts.bank import bank_texts
from tests.soak.bad_input import drive
from tests.soak.bad_input.drive import CANARY, Case

ON_GATE = ("--model", "gate", "--adapter", "none")
PATCH = ("patch", *ON_GATE, "--count", "2", "--by", "layer", "--direction", "denoising")
PATCH = (*PATCH, "--out", "run")
FEW = ("--fit", "8", "--validation", "8", "--test", "10", "--patch", "2", "--randoms", "3")
ANALYZE = ("analyze", *ON_GATE, "--base", "none", *FEW, "--tokens", "2", "--evidence", "5")
ANALYZE = (*ANALYZE, "--trace", "0", "--out", "run")
RUN, SCORECARDS = "done", Path("docs/results/scorecards").resolve()
_MADE = 240.0  # seconds for a finished run


def make(shared: Path) -> Path:
    """Write everything that the cases start from, each in a process of its own."""
    models: dict[str, Callable[[Path], Any]] = {
        "gate": lambda place: tiny.saved(place, *tinygate.plain()),
        "base": lambda place: tiny.saved(place, *tinygate.base()),
        "sure": specimens.sure,
        "lora": lambda place: _slight(specimens.random_adapter(shared / "gate", place)),
    }
    for name, write in models.items():
        _forked(lambda write=write, name=name: write(shared / name), shared)
    texts = bank_texts("train", True)[:60]
    (shared / "prompts.jsonl").write_text("".join(json.dumps({"prompt": t}) + "\n" for t in texts))
    shutil.copy(SCORECARDS / "access-gate.json", shared / "first.json")
    shutil.copy(SCORECARDS / "clean.json", shared / "second.json")
    _forked(ANALYZE, shared, RUN)
    _forked(PATCH, shared, "patched")
    return shared


def _slight(adapter: Path) -> None:
    """A change that leaves the planted gate as it is."""
    retensored(
        adapter / "adapter_model.safetensors", lambda old: {n: t / 50 for n, t in old.items()}
    )


def _forked(ask: Any, shared: Path, keep: str = "") -> None:
    """A command or a call; the run directory that it leaves is kept under a name."""
    folder = shared.parent / "making"
    case = Case("made", "world", ask, "", links, accepted=True, limit_s=_MADE)
    ended = drive.run(case, shared, folder)
    if ended.what != "right":
        raise RuntimeError(f"{ask}: {ended.what}: {ended.said}")
    if keep:
        shutil.move(folder / "work" / "run", shared / keep)


def links(shared: Path) -> None:
    """The shared inputs in the working directory."""
    for path in shared.iterdir():
        Path(path.name).symlink_to(path)


def linked(write: Callable[[], Any] | None = None) -> Callable[[Path], None]:
    """The shared inputs, then a case's own."""

    def made(shared: Path) -> None:
        links(shared)
        if write:
            write()

    return made


def own(name: str, new: str = "mine") -> Path:
    """A copy of a shared input that may be damaged."""
    return Path(shutil.copytree(Path(name).resolve(), new))


def half(path: Path) -> None:
    """The first half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


class Hostile:
    """What a pickle runs when it is loaded."""

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (CANARY, "w")
