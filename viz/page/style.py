"""The page's style sheet: the theme's colours and fonts as CSS custom properties, then page.css."""

from importlib.resources import files

from viz.theme import (
    BLUE,
    DIVERGING,
    GREEN,
    GREY,
    GRID,
    INK,
    MONO,
    MUTED,
    OCHRE,
    PAPER,
    PURPLE,
    SANS,
    SERIF,
    VERMILION,
    colour_at,
    contrast,
    fade,
)

LEVELS = 10  # of a reading's colour, to either side of 0
_LEGIBLE = 4.5
_FIXED = {
    "sans": SANS,
    "serif": SERIF,
    "mono": MONO,
    "vermilion": VERMILION,
    "green": GREEN,
    "ochre": OCHRE,
    "purple": PURPLE,
    "grey": GREY,
    "below": fade(BLUE, 0.42),
    "above": fade(VERMILION, 0.42),
}


def _themed(dark: bool) -> dict[str, str]:
    """What differs between the themes; every level of a reading as background and ink."""
    wash, code, link = (
        ("#1f242a", "#14171b", "#8fb8e6") if dark else ("#f6f4ee", "#f3f1ea", "#1f5f99")
    )
    grounds = [colour_at(DIVERGING[dark], i / (2 * LEVELS)) for i in range(2 * LEVELS + 1)]
    return {
        "ink": INK[dark],
        "muted": MUTED[dark],
        "paper": PAPER[dark],
        "rule": GRID[dark],
        "wash": wash,
        "code": code,
        "link": link,
        "edge": "#0009" if dark else "#0003",
        **{f"g{i}": ground for i, ground in enumerate(grounds)},
        **{f"t{i}": _ink_on(ground, dark) for i, ground in enumerate(grounds)},
    }


def _ink_on(ground: str, dark: bool) -> str:
    """The page's ink or paper where one of them is legible, else black or white."""
    choices = (INK[dark], PAPER[dark], "#000000", "#ffffff")
    return next((c for c in choices if contrast(c, ground) >= _LEGIBLE), choices[-1])


def _rule(selector: str, dark: bool) -> str:
    properties = "".join(f"--{name}:{value};" for name, value in _themed(dark).items())
    return f"{selector} {{ color-scheme:{'dark' if dark else 'light'};{properties} }}"


def _theme() -> str:
    """Light, dark where the reader or the system wants it, light again on paper."""
    system, chosen = ":root:not([data-theme=light])", ":root[data-theme=dark]"
    fixed = "".join(f"--{name}:{value};" for name, value in _FIXED.items())
    levels = range(2 * LEVELS + 1)
    return "\n".join(
        [
            f":root {{ {fixed} }}",
            _rule(":root", False),
            f"@media (prefers-color-scheme: dark) {{ {_rule(system, True)} }}",
            _rule(chosen, True),
            f"@media print {{ {_rule(f':root, {chosen}, {system}', False)} }}",
            *(f".g{i} {{ background: var(--g{i}); color: var(--t{i}); }}" for i in levels),
        ]
    )


CSS = f"{_theme()}\n{files('viz.page').joinpath('page.css').read_text(encoding='utf-8')}"
