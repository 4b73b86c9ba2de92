"""Saved models and adapters, to be changed or damaged."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor


def edited(folder: Path, file: str = "config.json", drop: str = "", **changes: Any) -> None:
    """A JSON file with fields changed."""
    value = json.loads((folder / file).read_text())
    value.pop(drop, None)
    (folder / file).write_text(json.dumps({**value, **changes}))


def retensored(path: Path, change: Callable[[dict[str, Tensor]], Mapping[str, Tensor]]) -> None:
    """A safetensors file with its tensors changed."""
    kept = {name: tensor.contiguous() for name, tensor in change(load_file(path)).items()}
    save_file(kept, path, metadata={"format": "pt"})
