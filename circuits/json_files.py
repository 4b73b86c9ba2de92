"""JSON objects from files that somebody else wrote."""

import json
from pathlib import Path
from typing import Any

from circuits.errors import expect, reading

_LONGEST = 20_000_000  # bytes: the largest index of shards has a few million
_ADVICE = "save it again, or take the file from where it came"


def read_json(path: Path, of: str) -> dict[str, Any]:
    """A JSON object from a file.

    Args:
        of: how messages begin, such as ``model a/b``.

    Raises:
        UserError: it cannot be read, is too long, or something else.
    """
    wanted = f"a JSON object in {path.name}"
    with reading(of, wanted, _ADVICE):
        size = path.stat().st_size
        expect(size <= _LONGEST, f"at most {_LONGEST} bytes in {path.name}", size, _ADVICE, of)
        value = json.loads(path.read_text(encoding="utf-8"))
    expect(isinstance(value, dict), wanted, f"a {type(value).__name__}", _ADVICE, of)
    return value
