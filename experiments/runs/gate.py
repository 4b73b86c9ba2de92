"""The gate of a finished analysis, as other commands take it up."""

from pathlib import Path

from circuits.types import Direction
from experiments.runs import files
from experiments.runs.codec import decode


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
