"""What is written in a run's files, as bytes: JSON, tensors, tables, patch grids.

Read back by ``experiments.runs.foreign``; grids, which are two files, here.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save
from torch import Tensor

from circuits.errors import expect, quoted
from circuits.types import Direction, PatchGrid
from experiments.runs.codec import decode, encode
from experiments.runs.foreign import parse_json, parse_tensors

GRID_SCHEMA = "gatescope.patch-grid/1"


def json_bytes(value: Any) -> bytes:
    """Strict JSON (no NaN), human-readable."""
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def tensor_bytes(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    """A safetensors file; ``about`` goes into its metadata, sorted: equal files are equal bytes.

    safetensors itself writes metadata in an order that is random in every process.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = save(plain, metadata=dict(about))
    if len(about) < 2:
        return content
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[start:]


def gate_bytes(gate: Direction, about: Mapping[str, str]) -> bytes:
    """A safetensors file of a direction: its vector, and those of a phrase's earlier tokens."""
    earlier = [step.vector for step in gate.earlier]
    more = {"earlier": torch.stack(earlier)} if earlier else {}
    return tensor_bytes({"direction": gate.vector, **more}, {"site": str(gate.site), **about})


def row_bytes(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A Parquet table of uniform rows."""
    return pd.DataFrame(list(rows)).to_parquet(index=False)


def grid_bytes(grid: PatchGrid) -> dict[str, bytes]:
    """A patch grid's two files by their suffix; the JSON, which is last, has the other's hash."""
    plain, tensors = encode(grid)
    content = save(tensors, metadata={"schema": GRID_SCHEMA})
    digest = hashlib.sha256(content).hexdigest()
    about = json_bytes({"schema": GRID_SCHEMA, **plain, "sha256": digest})
    return {"safetensors": content, "json": about}


def parse_grid(about_bytes: bytes, content: bytes, where: Path, tensors_at: Path) -> PatchGrid:
    """The inverse of ``grid_bytes``, bit for bit.

    Fields that were added to grids after the files were written have their defaults.

    Raises:
        UserError: the two are of different grids, or the schema or a field is not one that is known
            here or not of its type.
    """
    about, of = parse_json(about_bytes, where), str(where)
    expect(isinstance(about, dict), "a JSON object", f"a {type(about).__name__}", of=of)
    schema = about.get("schema")
    expect(schema == GRID_SCHEMA, f"schema {GRID_SCHEMA}", quoted(schema), "rewrite it", of)
    expect(
        hashlib.sha256(content).hexdigest() == about.get("sha256"),
        f"the tensors that {where.name} was written with",
        "others or only a part",
        "copy or write both files together",
        of=str(tensors_at),
    )
    plain = {name: v for name, v in about.items() if name not in ("schema", "sha256")}
    tensors = parse_tensors(content, tensors_at)
    known = sorted(f.name for f in fields(PatchGrid))
    there = {*plain, *tensors}
    expect(there <= {*known}, f"fields {known}", sorted(there), of=of)
    grid = decode(PatchGrid, plain, tensors, of)
    *cells, examples = grid.values.shape or (0,)
    got = {"axes": cells, "labels": len(grid.labels), "base": tuple(grid.base.shape)}
    fits = len(cells) == len(grid.axes) > 0 and len(grid.labels) == cells[-1]
    one = grid.base.shape == grid.source.shape == (examples,)
    expect(fits and one, f"values of {grid.axes} and examples", got, "rewrite it", of)
    return grid
