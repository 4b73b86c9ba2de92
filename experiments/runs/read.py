"""A finished run as another command reads it."""

from pathlib import Path
from typing import Any

from circuits.errors import UserError, expect
from circuits.types import Direction
from experiments.runs import files
from experiments.runs.codec import decode


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
    renew = "make the run again with this version"
    expect(got == schema, f"schema {schema}", got, renew, str(path))
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


def gate_of(run: Path) -> Direction | None:
    """The direction that an analysis chose, in fp32 and of unit length; None where it chose none.

    Raises:
        UserError: a file is damaged.
    """
    row, path = files.read_json(run / "result.json").get("gate"), run / "gate.safetensors"
    if not row:
        return None
    vector = files.read_tensors(path)["direction"].float()
    return decode(Direction, {**row, "site": row}, {"vector": vector / vector.norm()}, str(path))
