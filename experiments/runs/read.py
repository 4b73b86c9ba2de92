"""A finished run as another command reads it."""

from pathlib import Path
from typing import Any

from circuits.errors import UserError
from experiments.runs import files


def result(folder: Path, schema: str, command: str) -> dict[str, Any]:
    """A finished run's ``result.json``.

    Raises:
        UserError: it is not there, or of another schema.
    """
    path = folder / "result.json"
    if not path.is_file():
        raise unfinished(folder, command)
    value = files.read_json(path)
    got = value.get("schema") if isinstance(value, dict) else None
    if got != schema:
        raise UserError(
            f"{path}: expected schema {schema}, got {got}; make the run again with this version"
        )
    return value


def unfinished(folder: Path, command: str) -> UserError:
    """What is said of a run that has no result yet."""
    return UserError(
        f"{folder}: expected a finished run, got one without a result; finish it: gatescope "
        f"{command} with the same options and --resume"
    )


def organism_of(manifest: dict[str, Any]) -> str:
    """The name of the organism that a run was given."""
    return Path(manifest["question"]["given"]["name"]).name
