"""A report's sections as the templates lay them out, and what the page's script needs of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from viz.data import is_half, layout_of, mark_of, plain, to_csv
from viz.page.markup import plain_title, slug
from viz.page.sections import Section
from viz.page.tokens import traces_csv

_OWN = ("title", "meta", "template", "width")  # the page decides these itself


@dataclass(frozen=True)
class Plot:
    """A figure's place on the page; the script draws it and has its numbers under `index`.

    `height` is in px without the title, `drill` what `viz.page.drill` makes of a grid.
    """

    index: int
    title: str
    subtitle: str
    size: str
    height: int
    three: bool
    drill: dict[str, Any] | None


@dataclass(frozen=True)
class Block:
    """A section with its plots, its parts, and the number of its traces' CSV (-1: none)."""

    section: Section
    plots: tuple[Plot, ...]
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
        plots = self._plots(section.figures, stem)
        if section.traces:
            self.files.append({"name": f"{stem}-tokens", "csv": traces_csv(section.traces)})
        file = len(self.files) - 1 if section.traces else -1
        return Block(section, plots, file, tuple(self.block(p, fallback) for p in section.parts))

    def _stem(self, wanted: str) -> str:
        """`wanted`, or with a number where a section before has that name."""
        name, count = wanted, 2
        while name in self._stems:
            name, count = f"{wanted}-{count}", count + 1
        self._stems.add(name)
        return name

    def _plots(self, figures: Sequence[go.Figure], stem: str) -> tuple[Plot, ...]:
        alone = sum(is_half(figure) for figure in figures) == 1
        plots = []
        for i, figure in enumerate(figures, 1):
            plots.append(_plot(figure, len(self.figures), alone))
            self.figures.append(_payload(figure, stem if len(figures) == 1 else f"{stem}-{i}"))
        return tuple(plots)


def _plot(figure: go.Figure, index: int, alone: bool) -> Plot:
    layout = layout_of(figure)
    words = layout.get("title", {})
    title, subtitle = (plain_title(part.get("text")) for part in (words, words.get("subtitle", {})))
    size = ("half alone" if alone else "half") if is_half(figure) else "full"
    height = int(layout.get("height") or 400) - 60
    drill, three = mark_of(figure, "drill"), bool(mark_of(figure, "three"))
    return Plot(index, title, subtitle, size, height, three, drill)


def _payload(figure: go.Figure, name: str) -> dict[str, Any]:
    """What the script needs of a figure."""
    content = plain(figure.to_dict())
    layout = content.get("layout", {})
    return {
        "data": content["data"],
        "layout": {key: value for key, value in layout.items() if key not in _OWN},
        "title": layout.get("title"),
        "name": name,
        "half": is_half(figure),
        "csv": to_csv(figure),
        "drill": mark_of(figure, "drill"),
    }
