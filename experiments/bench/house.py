"""The house as its imports show it: rooms on floors, counted, checked and drawn.

``python -m experiments.bench.house`` checks the limits in pyproject's ``[tool.gatescope.house]``;
``--draw docs/house.svg`` draws it. A room is one of the packages ``circuits``, ``probes`` and
``viz``, or a module or folder directly in ``experiments``; it stands on the floor above the highest
room that it imports. Rooms that import each other in a circle have no floor at all, so circles are
looked for at every level: among the rooms, and among the parts of every folder.
"""

import argparse
import ast
import sys
import tomllib
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from statistics import median
from typing import Any

import grimp
from jinja2 import Template

PACKAGES = ("circuits", "probes", "viz", "experiments")
ROOT = Path(__file__).parents[2]
_WIDTH, _FLOOR, _MARGIN, _GAP = 1180, 104, 24, 16  # of the drawing
Arrows = Mapping[str, set[str]]


def room_of(module: str) -> str:
    """The room of a module: its package, in ``experiments`` its folder or file."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "experiments" else parts[0]


def import_graph() -> grimp.ImportGraph:
    """Who imports whom, function-level imports included, those for type checkers left out."""
    return grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)


def arrows_between(graph: grimp.ImportGraph, name_of: Mapping[str, str]) -> dict[str, set[str]]:
    """Arrows between groups of modules; ``name_of`` says which group a module belongs to."""
    arrows: dict[str, set[str]] = {name: set() for name in name_of.values()}
    for module, name in name_of.items():
        others = graph.find_modules_directly_imported_by(module)
        arrows[name] |= {name_of[other] for other in others if other in name_of} - {name}
    return arrows


def rooms(graph: grimp.ImportGraph) -> dict[str, set[str]]:
    """Room -> the rooms that it imports; the bare package ``experiments`` is no room."""
    named = {m: room_of(m) for m in graph.modules if m != "experiments"}
    return arrows_between(graph, named)


def floors(arrows: Arrows) -> dict[str, int]:
    """Room -> floor, from 1: one more than the highest room below it.

    Raises:
        ValueError: rooms import each other in a circle.
    """
    floor_of: dict[str, int] = {}
    while left := arrows.keys() - floor_of:
        free = {room for room in left if arrows[room] <= floor_of.keys()}
        if not free:
            raise ValueError(f"a circle among {', '.join(sorted(left))}")
        floor_of |= {r: 1 + max((floor_of[b] for b in arrows[r]), default=0) for r in free}
    return floor_of


def circles(graph: grimp.ImportGraph) -> list[str]:
    """Folders whose parts import each other in a circle, with the parts."""
    folders = {m.rpartition(".")[0] for m in graph.modules} - {""}
    named: list[str] = []
    for folder in sorted(folders):
        depth = folder.count(".") + 2
        inside = [m for m in graph.modules if m.startswith(f"{folder}.")]
        parts = arrows_between(graph, {m: ".".join(m.split(".")[:depth]) for m in inside})
        try:
            floors(parts)
        except ValueError as error:
            named.append(f"{folder}: {error}")
    return named


def module_sizes() -> dict[str, tuple[int, int]]:
    """Module -> its lines and its statements (``ast.stmt`` nodes)."""
    sizes = {}
    for path in (p for package in PACKAGES for p in (ROOT / package).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        statements = sum(isinstance(node, ast.stmt) for node in ast.walk(ast.parse(text)))
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        sizes[name.removesuffix(".__init__")] = (len(text.splitlines()), statements)
    return sizes


def drawing(arrows: Arrows, floor_of: Mapping[str, int], lines: Mapping[str, int]) -> str:
    """The house as an SVG document: what stands above imports what stands below.

    Args:
        arrows: room -> the rooms it imports.
        floor_of: room -> floor, from 1 at the bottom.
        lines: room -> lines of source; a box's width grows with their root.
    """
    top = max(floor_of.values())
    heights = [(top - floor) * _FLOOR + _MARGIN for floor in range(1, top + 1)]
    boxes: dict[str, dict[str, Any]] = {}
    for floor, y in enumerate(heights, 1):
        here = sorted(room for room, at in floor_of.items() if at == floor)
        widths = [max(96.0, 2.2 * sqrt(lines[room])) for room in here]
        x = (_WIDTH - sum(widths) - _GAP * (len(here) - 1)) / 2
        for room, width in zip(here, widths, strict=True):
            boxes[room] = {"room": room, "x": x, "y": float(y), "middle": x + width / 2}
            boxes[room] |= {"width": width, "lines": lines[room], "below": sorted(arrows[room])}
            x += width + _GAP
    template = Template((Path(__file__).with_name("house.svg.j2")).read_text(), autoescape=True)
    sizes = {"width": _WIDTH, "height": top * _FLOOR + _MARGIN, "floors": heights}
    return template.render(**sizes, boxes=boxes, px="{:.0f}".format) + "\n"


def main() -> int:
    """Print the counts; 1 if a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draw", type=Path, help="SVG file to write")
    chosen = parser.parse_args()
    limits = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["gatescope"]["house"]
    graph, sizes = import_graph(), module_sizes()
    arrows, in_circle = rooms(graph), circles(graph)
    try:
        floor_of = floors(arrows)
    except ValueError as error:
        print(f"house: {error}")
        return 1
    if chosen.draw:
        lines = {room: 0 for room in arrows}
        for module, (count, _) in sizes.items():
            lines[room_of(module)] = lines.get(room_of(module), 0) + count
        chosen.draw.write_text(drawing(arrows, floor_of, lines), encoding="utf-8")
    lengths = [count for count, _ in sizes.values()]
    figures = {
        "rooms": len(arrows),
        "floors": max(floor_of.values()),
        "circles": len(in_circle),
        "longest": max(lengths),
        "median": round(median(lengths)),
        "statements": sum(count for _, count in sizes.values()),
    }
    for name, value in figures.items():
        bound = f"  at most {limits[name]}" if name in limits else ""
        print(f"{name:10} {value:6}{bound}")
    for line in in_circle:
        print(f"circle in {line}")
    return int(any(figures[name] > limit for name, limit in limits.items()))


if __name__ == "__main__":
    sys.exit(main())
