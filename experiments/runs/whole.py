"""What of a run directory is as it was written; no model is loaded.

Every file that the run lists is compared with its hash. Runs from before there were hashes, and
files that are in no list, are only read: what cannot be read is damaged.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from circuits.errors import UserError
from circuits.weights import directory_sha256
from experiments.runs import files, foreign, locks
from experiments.runs.ledger import Ledger

Word = Literal["whole", "unhashed", "unfinished", "damaged", "missing", "foreign"]
BAD: tuple[Word, ...] = ("damaged", "missing", "foreign")
_RESULTS = ("result.json", "scorecard.json")
_BESIDE = {"manifest.json", "seconds.json", locks.LOCK}
_DIRECTORY_HASH = {
    "organism": "adapter_sha256",
    "orthogonalised model": "sha256",
    "ladder model": "sha256",
}


@dataclass(frozen=True)
class FileState:
    """A file, by its path below the directory that was asked about.

    Attributes:
        word: ``unhashed``: readable, and no hash says what it was; ``unfinished``: a killed run's;
            ``foreign``: not in the list, so never read.
        about: what is wrong with it, in one line.
    """

    file: str
    word: Word
    about: str = ""


@dataclass(frozen=True)
class Wholeness:
    """All files of a directory.

    Attributes:
        kind: of the run.
        hashes: whether it lists them.
        finished: whether it has its result.
    """

    folder: str
    kind: str
    hashes: bool
    finished: bool
    files: tuple[FileState, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is damaged, missing or foreign."""
        return not any(each.word in BAD for each in self.files)

    @property
    def counts(self) -> dict[str, int]:
        """Files by word."""
        return dict(Counter(each.word for each in self.files))


def wholeness(folder: Path) -> Wholeness:
    """Look at a run directory, and at the runs within it.

    Raises:
        UserError: it is none, or its manifest cannot be used.
    """
    manifest, ledger = files.read_manifest(folder), Ledger(folder)
    listed, kind = ledger.entries(), manifest["kind"]
    if kind in _DIRECTORY_HASH:
        state = _directory(folder, manifest.get(_DIRECTORY_HASH[kind]))
        return Wholeness(str(folder), kind, state.word != "unhashed", True, (state,))
    states = [FileState("manifest.json", "unhashed" if listed is None else "whole")]
    states += _unlisted(ledger) if listed is None else _listed(ledger, listed)
    inner = [wholeness(path.parent) for path in sorted(folder.glob("arms/*/manifest.json"))]
    for arm in inner:
        stem = Path(arm.folder).relative_to(folder).as_posix()
        states += [FileState(f"{stem}/{s.file}", s.word, s.about) for s in arm.files]
    finished = any(ledger.has(name) for name in _RESULTS if not (folder / name).is_dir())
    return Wholeness(str(folder), kind, listed is not None, finished, tuple(states))


def _directory(folder: Path, digest: object) -> FileState:
    """A directory that its manifest has one hash of."""
    if not isinstance(digest, str):
        return FileState(".", "unhashed")
    if directory_sha256(folder) == digest:
        return FileState(".", "whole")
    return FileState(".", "damaged", f"{folder}: expected the files that were written, got others")


def _listed(ledger: Ledger, listed: dict[str, str | None]) -> Iterator[FileState]:
    for name, digest in listed.items():
        if digest is None:
            yield FileState(name, "unfinished", "was being written; --resume writes it again")
        else:
            yield _state(ledger, name, "whole")
    seconds = ledger.folder / "stages" / "seconds.json"
    if seconds.is_file():
        yield readable(seconds, "stages/seconds.json")
    for path in ledger.own_files():
        name = path.relative_to(ledger.folder).as_posix()
        begun = locks.scratch_of(path.name)
        if begun and path.with_name(begun).relative_to(ledger.folder).as_posix() in listed:
            yield FileState(name, "unfinished", "of a killed run; --resume removes it")
        elif name not in listed and path.name not in _BESIDE:
            yield FileState(name, "foreign", f"{path}: not written by this run, and never read")


def _unlisted(ledger: Ledger) -> Iterator[FileState]:
    for path in ledger.own_files():
        if path.name not in (*_BESIDE - {"seconds.json"},):
            yield readable(path, path.relative_to(ledger.folder).as_posix())


def _state(ledger: Ledger, name: str, word: Word) -> FileState:
    try:
        ledger.content(name)
    except UserError as error:
        gone = not (ledger.folder / name).exists()
        return FileState(name, "missing" if gone else "damaged", str(error))
    return FileState(name, word)


def readable(path: Path, name: str) -> FileState:
    """A file without a hash: whether it can be read as what its name says."""
    parsers = {
        ".json": foreign.parse_json,
        ".safetensors": foreign.parse_tensors,
        ".parquet": foreign.parse_table,
    }
    parse = parsers.get(path.suffix)
    try:
        if parse is not None:
            parse(path.read_bytes(), path)
    except (UserError, OSError) as error:
        return FileState(name, "damaged", str(error))
    return FileState(name, "unhashed")
