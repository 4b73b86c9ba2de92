"""``gatescope verify-run``: what of a run directory is as it was written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from experiments.options import Json
from experiments.runs.codec import as_json as json_of
from experiments.runs.terminal import say
from experiments.runs.whole import BAD, Wholeness, wholeness

Folder = Annotated[
    Path, typer.Argument(help="Any run directory, a sweep's store, or a trained directory.")
]
Look = Callable[[Path], Wholeness | None]  # None: not of this kind


def verifying(store: Look) -> Callable[..., None]:
    """The command.

    Args:
        store: looks at directories that are no runs, but hold those of a sweep.
    """

    def verify_run(folder: Folder, as_json: Json = False) -> None:
        """Say which files of a run are whole, damaged, missing or foreign; status 1 if any is."""
        found = store(folder) or wholeness(folder)
        if as_json:
            about = {"whole": found.whole, "counts": found.counts, **json_of(found)}
            say(json.dumps(about, indent=1))
        else:
            _print(found)
        if not found.whole:
            raise typer.Exit(1)

    return verify_run


def _print(found: Wholeness) -> None:
    for each in found.files:
        if each.word in BAD or each.word == "unfinished":
            say(f"  {each.word:10} {each.file!r}: {each.about}")
    if not found.hashes:
        say(f"{found.folder}: made before runs kept hashes: its stages carry none")
    counts = ", ".join(f"{count} {word}" for word, count in sorted(found.counts.items()))
    end = "" if found.finished else "; not finished, continue it with --resume"
    say(f"{found.folder} ({found.kind}): {counts}{end}")
