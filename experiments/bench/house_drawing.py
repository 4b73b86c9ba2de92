"""A picture of rooms on floors as SVG: what stands above imports what stands below."""

from collections.abc import Mapping
from html import escape
from math import sqrt

_WIDTH, _FLOOR, _MARGIN, _GAP = 1180, 104, 24, 16
_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
    'aria-label="Rooms of gatescope on floors" font-family="system-ui, sans-serif">\n'
    '<rect width="100%" height="100%" fill="#fbfaf7"/>\n'
)
_BOX = (
    '<g><title>{title}</title><rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height}" '
    'rx="6" fill="{fill}" stroke="#57534e"/><text x="{cx:.0f}" y="{ty:.0f}" font-size="14" '
    'text-anchor="middle" fill="#1c1917">{name}</text><text x="{cx:.0f}" y="{sy:.0f}" '
    'font-size="11" text-anchor="middle" fill="#57534e">{lines} lines</text></g>\n'
)
_ARROW = (
    '<path d="M{x1:.0f},{y1:.0f} C{x1:.0f},{ym:.0f} {x2:.0f},{ym:.0f} {x2:.0f},{y2:.0f}" '
    'fill="none" stroke="#78716c" stroke-opacity=".38"/>\n'
)
_PACKAGE_FILL = {"circuits": "#dbeafe", "probes": "#dcfce7", "viz": "#fef3c7"}


def drawing(
    arrows: Mapping[str, set[str]], floor_of: Mapping[str, int], lines: Mapping[str, int]
) -> str:
    """The house as an SVG document.

    Args:
        arrows: room -> the rooms it imports.
        floor_of: room -> floor, from 1 at the bottom.
        lines: room -> lines of source; a box's width grows with their root.
    """
    top = max(floor_of.values())
    height = top * _FLOOR + _MARGIN
    boxes = _boxes(floor_of, lines, top)
    parts = [_HEAD.format(width=_WIDTH, height=height)]
    for floor in range(1, top + 1):
        y = (top - floor) * _FLOOR + _MARGIN + 14
        parts.append(f'<text x="6" y="{y}" font-size="11" fill="#a8a29e">{floor}</text>\n')
    for room in sorted(arrows):
        for below in sorted(arrows[room]):
            (x1, y1, w1), (x2, y2, w2) = boxes[room], boxes[below]
            start, end = y1 + 52, y2
            middle = (start + end) / 2
            parts.append(_ARROW.format(x1=x1 + w1 / 2, y1=start, x2=x2 + w2 / 2, y2=end, ym=middle))
    for room, (x, y, width) in boxes.items():
        name = room.rpartition(".")[2]
        below = ", ".join(sorted(b.rpartition(".")[2] for b in arrows[room])) or "nothing"
        parts.append(
            _BOX.format(
                title=escape(f"{room} imports {below}"),
                name=escape(name),
                lines=lines[room],
                fill=_PACKAGE_FILL.get(room, "#ffffff"),
                x=x,
                y=y,
                width=width,
                height=52,
                cx=x + width / 2,
                ty=y + 23,
                sy=y + 41,
            )
        )
    return "".join([*parts, "</svg>\n"])


def _boxes(
    floor_of: Mapping[str, int], lines: Mapping[str, int], top: int
) -> dict[str, tuple[float, float, float]]:
    """Room -> x, y and width of its box; every floor is centred."""
    found = {}
    for floor in range(1, top + 1):
        here = sorted(room for room, at in floor_of.items() if at == floor)
        widths = [max(96.0, 2.2 * sqrt(lines[room])) for room in here]
        x = (_WIDTH - sum(widths) - _GAP * (len(here) - 1)) / 2
        y = (top - floor) * _FLOOR + _MARGIN
        for room, width in zip(here, widths, strict=True):
            found[room] = (x, float(y), width)
            x += width + _GAP
    return found
