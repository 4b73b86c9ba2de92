"""Where a model's files are: a known one's, a directory, a GGUF file, or what was fetched.

The hub is asked only for ``hf:OWNER/NAME``; no name alone sends anything anywhere.
"""

from pathlib import Path
from typing import Any

from transformers.utils.hub import cached_file

from circuits import weights
from circuits.errors import UserError, expect
from circuits.official import known

EXPECTED = (
    f"{weights.EMBEDDED}, a name of `gatescope models list`, a model directory, a .gguf file or "
    f"{weights.HUB}OWNER/NAME"
)


def own_name(name: str) -> str:
    """What gatescope calls a model, given any of its official names; other names as they are.

    A directory of that name, or what was fetched from the hub under it, is what it was.
    """
    model = known.find(name)
    if model is None or name == weights.EMBEDDED or Path(name).expanduser().is_dir():
        return name
    if fetched(name):
        return name
    return weights.EMBEDDED if model.package else model.name


def source(
    name: str, folder: Path | None, of: str = "model", expected: str = EXPECTED
) -> tuple[str, dict[str, Any]]:
    """What transformers reads, and how; the hub is asked only where ``hf:`` says so.

    Args:
        folder: where the name is, if that is a directory.
        of, expected: how messages begin, and go on.

    Raises:
        UserError: there is no such directory, nor anything of this name that was fetched.
    """
    if folder is None and name.startswith(weights.HUB):
        return name.removeprefix(weights.HUB), {}
    place = folder or fetched(name)
    hub = bool(weights.HUB_ID.fullmatch(name))
    expect(
        place,
        expected,
        "no such directory or file" + ", and nothing of that name was fetched" * hub,
        f"if it is the hub's, give {weights.HUB}{name}" if hub else "mend the path",
        f"{of} {name}",
    )
    return str(place), {"local_files_only": True}


def fetched(name: str) -> Path | None:
    """Where the hub's model of this name lies in its cache; nobody is asked."""
    if not weights.HUB_ID.fullmatch(name):
        return None
    try:
        path = cached_file(name, "config.json", local_files_only=True)
    except OSError:
        return None
    return Path(path).parent if path else None


def locate(name: str) -> Path | None:
    """The local directory of a model, or None for a hub id.

    Raises:
        UserError: there is no such directory or file, nor a model of this name that was fetched.
    """
    name = own_name(name)
    if name == weights.EMBEDDED:
        return weights.dequantised(weights.embedded_gguf())
    if name.startswith(weights.HUB):
        return None
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(f"model {name}: no such file")
        return weights.dequantised(path)
    if path.is_dir():
        return path
    for model in known.models():
        if name == model.name:
            return weights.dequantised(known.require_fetched(model), model.sha256)
    source(name, None)
    return None
