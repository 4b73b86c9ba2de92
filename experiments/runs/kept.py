"""Results that are kept in ``docs/results``, and what the pages that are made from them share.

The results of a page lie beside it in a folder of its name, one file each.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.runs import files

RESULTS = Path(__file__).parents[2] / "docs" / "results"
_FIRST = ("sure-gate-open", "sure-gate")


def keep(page: Path, name: str, value: Mapping[str, Any]) -> None:
    """Write one of a page's results."""
    files.write_json(page.with_suffix("") / f"{name}.json", value)


def kept(page: Path) -> dict[str, dict[str, Any]]:
    """A page's results by name."""
    return {path.stem: json.loads(path.read_text()) for path in page.with_suffix("").glob("*.json")}


def ordered(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Results by name, those of the README's organisms first."""
    names = sorted(results, key=lambda name: (*(name != first for first in _FIRST), name))
    return {name: results[name] for name in names}


def listed(page: Path, commands: Mapping[str, str]) -> str:
    """The list of a page's results by name, each with the command that made it."""
    lines = (f"- [{n}]({page.stem}/{n}.json): `{command}`" for n, command in commands.items())
    return "\n".join(lines)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
