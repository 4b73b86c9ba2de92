"""A report's sections as the templates lay them out, and what the page's script needs of them."""

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from viz.data import is_half, mark_of, to_csv, to_plain
from viz.page.markup import slug
from viz.page.sections import Section
from viz.page.tokens import traces_csv

_OWN = ("title", "meta", "template", "width")  # the page decides these itself


@dataclass(frozen=True)
class Block:
    """A section with the numbers of its figures and of its traces' CSV among the payloads.

    `alone`: whether just one of the figures needs but half the page's width.
    """

    section: Section
    figures: tuple[int, ...]
    alone: bool
    file: int
    parts: tuple["Block", ...]


class Payloads:
    """What the page's script needs, in the order of the page: figures, and other files."""

    def __init__(self) -> None:
        self.figures: list[dict[str, Any]] = []
        self.files: list[dict[str, str]] = []
        self._stems: set[str] = set()

    def block(self, section: Section, fallback: str) -> Block:
        """The section's block; its figures and files are appended, then those of its parts."""
        stem = self._stem(slug(section.data_name or section.title) or fallback)
        first, several = len(self.figures), len(section.figures) > 1
        for i, figure in enumerate(section.figures, 1):
            self.figures.append(_payload(figure, f"{stem}-{i}" if several else stem))
        if section.traces:
            self.files.append({"name": f"{stem}-tokens", "csv": traces_csv(section.traces)})
        return Block(
            section,
            tuple(range(first, len(self.figures))),
            sum(map(is_half, section.figures)) == 1,
            len(self.files) - 1,
            tuple(self.block(part, fallback) for part in section.parts),
        )

    def _stem(self, wanted: str) -> str:
        """`wanted`, or with a number where a section before has that name."""
        name, count = wanted, 2
        while name in self._stems:
            name, count = f"{wanted}-{count}", count + 1
        self._stems.add(name)
        return name


def _payload(figure: go.Figure, name: str) -> dict[str, Any]:
    """A figure with its numbers, as the script and the templates read it."""
    content = to_plain(figure.to_dict())
    layout = content.get("layout", {})
    return {
        "data": content["data"],
        "layout": {key: value for key, value in layout.items() if key not in _OWN},
        "title": layout.get("title"),
        "name": name,
        "half": is_half(figure),
        "three": bool(mark_of(figure, "three")),
        "csv": to_csv(figure),
        "drill": mark_of(figure, "drill"),
    }
