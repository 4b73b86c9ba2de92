"""Run directories that are damaged, swapped or foreign, and places where nothing can be written."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from checkpoints import retensored

from tests.soak.bad_input.drive import Case
from tests.soak.bad_input.shared import ANALYZE, PATCH, half, linked, own

_RUN, _MANIFEST, _GATE = Path("run"), Path("run/manifest.json"), Path("run/gate.safetensors")
_RESULT, _ANSWERS, _STAGES = (
    Path("run/result.json"),
    Path("run/answers.parquet"),
    Path("run/stages"),
)
_RESUME, _REPORT, _PAGE = (*ANALYZE, "--resume"), ("report", "run", "--out", "p.html"), "p.html"
_SERVE = ("serve", "run", "--port", "0", "--no-open")
_WITHOUT = ("orthogonalise", "run", "--out", "new")
_URL = "http://127"
_ESCAPES = "\x1b]0;pwned\x07\x1b[2J\x1b[31mgatescope: verified OK"


def _copied(change: Callable[[], Any]) -> Callable[[Path], None]:
    return linked(lambda: (own("done", "run"), change()))


def _json(path: Path, **changes: Any) -> Callable[[], None]:
    def write() -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return write


def _text(path: Path, text: str) -> Callable[[], Any]:
    return lambda: path.write_text(text)


def _digit(stage: str) -> Callable[[], None]:
    """One digit of a stage is another."""

    def write() -> None:
        path = _STAGES / stage
        text = path.read_text()
        at = next(i for i in range(len(text) // 2, len(text)) if text[i].isdigit())
        path.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :])

    return write


def _flipped(stage: str) -> Callable[[], None]:
    """One bit of a stage's tensors is another."""

    def write() -> None:
        path = _STAGES / stage
        content = bytearray(path.read_bytes())
        content[-5] ^= 4
        path.write_bytes(bytes(content))

    return write


def _gone(path: Path) -> Callable[[], None]:
    return path.unlink


def _directory(path: Path) -> Callable[[], None]:
    return lambda: (path.unlink(), path.mkdir())


def _changed_model() -> None:
    Path("gate").unlink()
    Path("gate").symlink_to(Path("base").resolve())


def _lost_column() -> None:
    pd.read_parquet(_ANSWERS).drop(columns="condition").to_parquet(_ANSWERS)


def _nan_gate() -> None:
    retensored(_GATE, lambda old: {n: t * torch.nan for n, t in old.items()})


# name, what is asked, what is done to a finished run, pattern of the refusal
DAMAGED: Sequence[tuple[str, tuple[str, ...], Callable[[], Any], str]] = (
    ("manifest is a list, resume", _RESUME, _text(_MANIFEST, "[1]"), "manifest"),
    ("manifest cut, resume", _RESUME, lambda: half(_MANIFEST), "manifest"),
    (
        "another schema, resume",
        _RESUME,
        _json(_MANIFEST, schema="gatescope.manifest/9"),
        "manifest",
    ),
    ("another question, resume", (*_RESUME, "--seed", "5"), int, "another run"),
    ("no --resume", ANALYZE, int, "--resume"),
    ("a stage cut", _RESUME, lambda: half(_STAGES / "behaviour.json"), "behaviour"),
    ("a stage of another shape", _RESUME, _text(_STAGES / "behaviour.json", "{}"), "behaviour"),
    ("a stage with another digit", _RESUME, _digit("behaviour.json"), "behaviour"),
    ("a stage is a directory", _RESUME, _directory(_STAGES / "behaviour.json"), "behaviour"),
    (
        "a stage's tensors cut",
        _RESUME,
        lambda: half(_STAGES / "selection.safetensors"),
        "selection",
    ),
    ("a stage's tensors gone", _RESUME, _gone(_STAGES / "selection.safetensors"), "selection"),
    ("a stage's bit flipped", _RESUME, _flipped("selection.safetensors"), "selection"),
    ("the model has changed, resume", _RESUME, _changed_model, "another run|changed|sha256"),
    ("manifest is a list, report", _REPORT, _text(_MANIFEST, "[1]"), "manifest"),
    ("manifest without a kind", _REPORT, _text(_MANIFEST, "{}"), "manifest|kind"),
    (
        "manifest's terminal escapes",
        ANALYZE,
        _json(_MANIFEST, question={"model": _ESCAPES}),
        "another",
    ),
    ("no manifest", _REPORT, _gone(_MANIFEST), "manifest|run"),
    ("no result", _REPORT, _gone(_RESULT), "finish|result"),
    ("result cut", _REPORT, lambda: half(_RESULT), "result"),
    ("result is a list", _REPORT, _text(_RESULT, "[1]"), "result"),
    (
        "result of another schema",
        _REPORT,
        _json(_RESULT, schema="gatescope.analysis/9"),
        "schema|other content",
    ),
    ("result without arms", _REPORT, _json(_RESULT, arms="x"), "result|arms"),
    ("answers cut", _REPORT, lambda: half(_ANSWERS), "answers"),
    ("answers gone", _REPORT, _gone(_ANSWERS), "answers"),
    ("answers without a column", _REPORT, _lost_column, "answers|condition"),
    ("gate cut, serve", _SERVE, lambda: half(_GATE), "gate.safetensors"),
    ("gate of NaN, serve", _SERVE, _nan_gate, "gate|finite|nan"),
    (
        "result of another schema, serve",
        _SERVE,
        _json(_RESULT, schema="gatescope.analysis/9"),
        "schema|other content",
    ),
    ("manifest is a list, serve", _SERVE, _text(_MANIFEST, "[1]"), "manifest"),
    ("the model has changed, serve", _SERVE, _changed_model, "sha256|changed|another|weights"),
    ("gate cut, orthogonalise", _WITHOUT, lambda: half(_GATE), "gate.safetensors"),
    ("gate gone, orthogonalise", _WITHOUT, _gone(_GATE), "gate"),
    ("gate of NaN, orthogonalise", _WITHOUT, _nan_gate, "gate|finite|nan|orthonormal"),
    ("no question, orthogonalise", _WITHOUT, _text(_MANIFEST, "{}"), "manifest|question"),
    ("manifest is a list, orthogonalise", _WITHOUT, _text(_MANIFEST, "[1]"), "manifest"),
    ("the model has changed, orthogonalise", _WITHOUT, _changed_model, "sha256|changed|another"),
    (
        "into a full directory, orthogonalise",
        ("orthogonalise", "done", "--out", "gate"),
        int,
        "empty",
    ),
    (
        "a run that is none, defend",
        (
            "defend",
            "lora",
            "--model",
            "gate",
            "--scheme",
            "compliance",
            "--trigger",
            "cobalt",
            "--behaviour",
            "Sure",
            "--run",
            "nowhere",
            "--out",
            "new",
        ),
        int,
        "--run|run directory",
    ),
)
# name, value of --out, what is done before, pattern
PLACES: Sequence[tuple[str, str, Callable[[], Any], str]] = (
    ("--out below a file", "f/run", lambda: Path("f").write_text("x"), "f/run|f:"),
    ("--out is a file", "f", lambda: Path("f").write_text("x"), "directory"),
    ("--out is a link to itself", "l", lambda: Path("l").symlink_to("l"), "l"),
    ("--out leads nowhere", "l", lambda: Path("l").symlink_to("/proc/nothing/x"), "l|nothing"),
    ("--out has a name too long", "n" * 300, int, "nnn"),
    ("--out has a path too long", "/".join(["n" * 200] * 30), int, "nnn"),
    ("--out where nothing can be made", "/proc/nothing", int, "/proc/nothing"),
    ("--out holds other files", "d", lambda: (Path("d").mkdir(), Path("d/x").write_text("")), "d"),
    ("--out is a device", "/dev/null", int, "/dev/null"),
)
JOINED: Sequence[tuple[str, tuple[str, ...], str]] = (
    ("report of nothing", ("report",), "Missing|RUNS"),
    ("report of a directory that is none", ("report", "nowhere", "--out", _PAGE), "nowhere"),
    ("report of a model", ("report", "gate", "--out", _PAGE), "gate"),
    ("report of a file", ("report", "first.json", "--out", _PAGE), "first.json"),
    ("report into a directory", ("report", "done", "--out", "gate"), "gate"),
    ("report below a file", ("report", "done", "--out", "first.json/p.html"), "first.json"),
    ("compare with a file that is none", ("compare", "first.json", "gone.json"), "gone.json"),
    ("compare with a run of another kind", ("compare", "first.json", "done"), "done|scorecard"),
    (
        "compare: page into a directory",
        ("compare", "first.json", "second.json", "--page", "gate"),
        "gate",
    ),
    ("orthogonalise a model", ("orthogonalise", "gate", "--out", "new"), "gate"),
    ("serve nothing", ("serve", "nowhere", "--port", "0", "--no-open"), "nowhere"),
    ("serve a file", ("serve", "first.json", "--port", "0", "--no-open"), "first.json"),
    ("serve an unfinished run", ("serve", "patched", "--port", "0", "--no-open"), "patched|analy"),
)


def _card(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def write() -> None:
        value = json.loads(Path("first.json").read_text())
        Path("mine.json").write_text(json.dumps(change(value)))

    return linked(write)


def _metric(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda card: {
        **card,
        "metrics": [{**card["metrics"][0], **changes}, *card["metrics"][1:]],
    }


CARDS: Sequence[tuple[str, Callable[[dict[str, Any]], Any], str]] = (
    ("a metric that is none", _metric(name="nope"), "metric|nope"),
    ("a metric of text", _metric(estimate="x"), "mine.json"),
    ("another schema", lambda card: {**card, "schema": "gatescope.scorecard/9"}, "scorecard/9"),
    ("a list", lambda card: [card], "mine.json"),
    (
        "no metrics",
        lambda card: {n: v for n, v in card.items() if n != "metrics"},
        "mine.json|metrics",
    ),
    ("no verdicts", lambda card: {**card, "verdicts": []}, "mine.json|verdict"),
)


def cases() -> Iterator[Case]:
    """Resuming, reading, serving and saving from damaged runs, and writing where one cannot."""
    area = "run directory"
    for name, ask, change, says in DAMAGED:
        until = _URL if ask[0] == "serve" else ""
        yield Case(name, area, ask, says, _copied(change), leaves=ask is _RESUME, until=until)
    for name, place, write, says in PLACES:
        yield Case(name, area, (*PATCH, "--out", place), says, linked(write))
    for name, ask, says in JOINED:
        yield Case(name, area, ask, says, linked(), until=_URL if ask[0] == "serve" else "")
    for name, change, says in CARDS:
        ask = ("compare", "first.json", "mine.json")
        yield Case(f"compare: {name}", area, ask, says, _card(change))
    good = {"accepted": True, "make": _copied(int)}
    yield Case("resume a finished run", area, _RESUME, "GATE", **good)
    yield Case("report of a good run", area, _REPORT, "report: p.html", **good)
    yield Case("serve a good run", area, _SERVE, _URL, until=_URL, **good)
    yield Case("orthogonalise a good run", area, _WITHOUT, "saved: new", **good)
    cards = ("compare", "first.json", "second.json")
    yield Case("compare good cards", area, cards, "second is", linked(), accepted=True)
