"""The hashes of a run's files: written with each file, checked whenever one is read.

They stand in the manifest, under ``files``: path below the run directory -> SHA-256, or null from
before a file is begun until it is written. So a stage that is listed is complete; what a kill has
left half done, and what somebody else has put there, is not read. ``files_sha256`` covers them with
kind and question: hashes that were edited, or are another run's, are noticed too.

Runs that were made before have no ``files``: they are read as they are, which is told in one line.
"""

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from circuits.errors import UserError, expect
from circuits.types import PatchGrid
from experiments.runs import files, foreign, formats, locks

_AGAIN = "--resume measures it again"
_TOLD: set[Path] = set()  # directories without hashes, of which that was said
Entries = dict[str, str | None]


class Ledger:
    """The files of one run directory, whose manifest is there or will be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entries(self) -> Entries | None:
        """What the manifest lists; None for a run without hashes, or no run.

        Raises:
            UserError: the list is not as it was written.
        """
        if not (self.folder / "manifest.json").is_file():
            return None
        manifest = files.read_manifest(self.folder)
        if "files" not in manifest:
            return None
        whole = manifest.get("files_sha256") == _digest(manifest, manifest["files"])
        expect(
            isinstance(manifest["files"], dict) and (whole or not manifest["files"]),
            "hashes, kind and question as they were written",
            "others: it was edited, or its files are another run's",
            "put it back, or measure again in another directory",
            str(self.folder / "manifest.json"),
        )
        return manifest["files"]

    def has(self, name: str) -> bool:
        """Whether a file is there and complete.

        Raises:
            UserError: a directory is in its place.
        """
        path, listed = self.folder / name, self.entries()
        expect(not path.is_dir(), "a file", "a directory", f"delete it, {_AGAIN}", str(path))
        return path.is_file() and (listed is None or listed.get(name) is not None)

    def lists(self, name: str) -> bool:
        """Whether a file was written, be it there or not; without hashes, whether it is there."""
        listed = self.entries()
        return self.has(name) if listed is None else listed.get(name) is not None

    def content(self, name: str) -> bytes:
        """A file as it was written.

        Raises:
            UserError: it is missing, damaged, edited, another file or a directory; says which, and
                what to do.
        """
        path, listed = self.folder / name, self.entries()
        wanted, of, there = "the file that this run wrote", str(path), path.exists()
        advice = _advice(name, listed or {}, there)
        expect(there, wanted, "none: it is missing", advice, of)
        expect(path.is_file(), wanted, "a directory or a device", advice, of)
        content = path.read_bytes()
        if listed is None:
            self._tell()
            return content
        expect(listed.get(name), wanted, "one that is not in the manifest", advice, of)
        if (digest := _sha256(content)) != listed[name]:
            same = next((other for other, known in listed.items() if known == digest), None)
            got = f"that of {same}" if same else "other content: it was damaged, edited or swapped"
            raise UserError(f"{of}: expected {wanted}, got {got}; {advice}")
        return content

    def json(self, name: str) -> Any:
        """A JSON file's value, checked as ``content``."""
        return foreign.parse_json(self.content(name), self.folder / name)

    def tensors(self, name: str, names: Iterable[str] = ()) -> dict[str, Tensor]:
        """A safetensors file's tensors, some of which it must have, checked as ``content``."""
        return foreign.parse_tensors(self.content(name), self.folder / name, names)

    def rows(self, name: str, columns: Sequence[str] = ()) -> pd.DataFrame:
        """A Parquet table, which must have some columns, checked as ``content``."""
        return foreign.parse_table(self.content(name), self.folder / name, columns)

    def grid(self, stem: str) -> PatchGrid:
        """A patch grid's two files, checked as ``content``."""
        about, tensors = f"{stem}.json", f"{stem}.safetensors"
        content = self.content(about), self.content(tensors)
        return formats.parse_grid(*content, self.folder / about, self.folder / tensors)

    def write_grid(self, stem: str, grid: PatchGrid) -> None:
        """Write a patch grid's two files, as ``write``; the JSON is last."""
        self.write({f"{stem}.{kind}": part for kind, part in formats.grid_bytes(grid).items()})

    def write(self, contents: Mapping[str, bytes], drop: Iterable[str] = ()) -> None:
        """Write files in their order, then list them; ``drop`` are removed before.

        Until all are written, those that change are listed as unfinished.
        """
        listed, drop = self.entries(), list(drop)
        hashes: Entries = {name: _sha256(content) for name, content in contents.items()}
        kept = {name: known for name, known in (listed or {}).items() if name not in drop}
        # All or none: of a stage's two files one must not count without the other.
        same = all(kept.get(name) == known for name, known in hashes.items())
        begun = hashes if same else dict.fromkeys(hashes)
        if listed is not None and {**kept, **begun} != listed:
            self._list({**kept, **begun})
        for name in drop:
            (self.folder / name).unlink(missing_ok=True)
        for name, content in contents.items():
            files.write_atomically(self.folder / name, content)
        if listed is not None and hashes != begun:
            self._list({**kept, **hashes})

    def clean(self) -> None:
        """Remove what killed runs were writing; for who holds the directory.

        Raises:
            UserError: a stage is not as it was written.
        """
        listed = self.entries()
        if listed is None:
            return
        for path in self.own_files():
            name = locks.scratch_of(path.name)
            place = path.relative_to(self.folder).parent / (name or "")
            if name in ("manifest.json", "seconds.json") or (name and place.as_posix() in listed):
                path.unlink()
        for name, digest in listed.items():
            about = (self.folder / name).with_suffix(".json")
            if digest and name.startswith("stages/") and about.exists():
                self.content(name)

    def own_files(self) -> Iterator[Path]:
        """The files that lie where a run's own do: in its directory and under its stages."""
        stages = (self.folder / "stages").rglob("*")
        return (path for path in (*self.folder.iterdir(), *stages) if path.is_file())

    def _list(self, entries: Entries) -> None:
        manifest, kept = files.read_manifest(self.folder), dict(sorted(entries.items()))
        about = {"files": kept, "files_sha256": _digest(manifest, kept)}
        files.write_json(self.folder / "manifest.json", {**manifest, **about})

    def _tell(self) -> None:
        place = self.folder.resolve()
        if (place / "manifest.json").is_file() and not _TOLD & {place, *place.parents}:
            _TOLD.add(place)
            warnings.warn(
                f"{self.folder}: made before runs kept hashes: its stages carry none and are read "
                "as they are",
                stacklevel=1,
            )


def _advice(name: str, listed: Mapping[str, Any], there: bool) -> str:
    """What is to be deleted so that a stage is made again: it is there where its JSON is."""
    about = Path(name).with_suffix(".json")
    with_json = about.as_posix() != name and about.as_posix() in listed
    gone = [*(["it"] if there else []), *([about.name] if with_json else [])]
    return f"delete {' and '.join(gone)}, {_AGAIN}" if gone else _AGAIN


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest(manifest: Mapping[str, Any], entries: Any) -> str:
    parts = [manifest["kind"], manifest["question"], entries]
    return files.text_sha256([json.dumps(parts, sort_keys=True)])
