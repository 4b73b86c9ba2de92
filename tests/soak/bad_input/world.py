"""A world that is against one: pipes, disks, caches and directories."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.soak.bad_input.drive import Case
from tests.soak.bad_input.shared import PATCH, linked

_OWN = (*PATCH, "--prompts", "prompts.jsonl")
_EMBEDDED = ("patch", "--adapter", "none", "--count", "2", "--by", "layer", "--out", "run")
_JSON = ("organism", "list", "--json")


def _closed_pipe() -> None:
    read, write = os.pipe()
    os.close(read)
    os.dup2(write, 1)


def _full(number: int) -> Callable[[], None]:
    return lambda: os.dup2(os.open("/dev/full", os.O_WRONLY), number) and None


def _gone() -> None:
    os.mkdir("here")
    os.chdir("here")
    os.rmdir("../here")


def _file() -> None:
    Path("f").write_text("x")


# name, what is asked, what is done before, environment, pattern of the refusal
REFUSED: Sequence[tuple[str, tuple[str, ...], Callable[[], Any], Mapping[str, str | None], str]] = (
    ("standard output is full", _JSON, _full(1), {}, "standard output|write"),
    ("the working directory is gone", ("report", "x"), _gone, {}, "working directory"),
    (
        "no cache can be written",
        _EMBEDDED,
        int,
        {"GATESCOPE_CACHE": "/proc/nothing"},
        "/proc/nothing",
    ),
    ("the cache is a file", _EMBEDDED, _file, {"GATESCOPE_CACHE": "f"}, "f"),
    ("the cache lies below a file", _EMBEDDED, _file, {"GATESCOPE_CACHE": "f/c"}, "f"),
    (
        "a short token in the environment",
        ("serve", "gate", "--port", "0", "--no-open"),
        int,
        {"GATESCOPE_TOKEN": "short"},
        "token",
    ),
)
ACCEPTED: Sequence[tuple[str, tuple[str, ...], Callable[[], Any], Mapping[str, str | None]]] = (
    ("the library's cache cannot be written", _OWN, int, {"HF_HOME": "/proc/nothing"}),
    (
        "the library's data cache cannot be written",
        _OWN,
        int,
        {"HF_DATASETS_CACHE": "/proc/nothing"},
    ),
    ("no home", _OWN, int, {"HOME": None}),
    ("a home that is nowhere", _OWN, int, {"HOME": "/proc/nothing"}),
    ("locale C", PATCH, int, {"LC_ALL": "C", "LANG": "C"}),
    ("a terminal of no width", PATCH, int, {"COLUMNS": "0"}),
    ("standard error is full", PATCH, _full(2), {}),
    ("no terminal", PATCH, int, {"TERM": None}),
)


def cases() -> Iterator[Case]:
    """What is refused, and what a user needs not notice."""
    for name, ask, before, env, says in REFUSED:
        until = "http" if ask[0] == "serve" else ""
        yield Case(name, "world", ask, says, linked(before), env=env, until=until)
    for name, ask, before, env in ACCEPTED:
        says = "" if "error" in name else "denoising"
        yield Case(name, "world", ask, says, linked(before), env=env, accepted=True)
    # As every command in a pipe: ended by the reader's leaving, without a word.
    pipe = linked(_closed_pipe)
    yield Case("standard output is a closed pipe", "world", _JSON, "^$", pipe, accepted=True)
