"""Coloured text: what a direction reads at every token, as HTML that wraps and takes the keyboard.

A trace is one stop of the Tab key; arrow keys go from token to token. Colours are levels of the
diverging scale, with the ink that is legible on each, in both themes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from viz.data import csv_text
from viz.page.markup import e
from viz.text import visible
from viz.theme import DIVERGING, INK, PAPER, at_level, contrast

_LEVELS = 10  # to either side of 0
_LEGIBLE = 4.5
_OPEN = 2  # prompts that are not folded away


@dataclass(frozen=True)
class TokenStrip:
    """A text's tokens under one condition.

    Attributes:
        label: the condition.
        kinds: of each token: user, trigger, template, last or answer.
        readings: of each token; beyond -1 and 1 the colour stays what it is there.
    """

    label: str
    tokens: tuple[str, ...]
    kinds: tuple[str, ...]
    readings: tuple[float, ...]


@dataclass(frozen=True)
class TokenTrace:
    """One prompt under several conditions; `unit` is what readings are counted in."""

    caption: str
    strips: tuple[TokenStrip, ...]
    unit: str


def level_variables(dark: bool) -> str:
    """Background and ink of every level as CSS custom properties."""
    return "".join(
        f"--g{i}:{at_level(DIVERGING[dark], i / (2 * _LEVELS))};--t{i}:{_ink(i, dark)};"
        for i in range(2 * _LEVELS + 1)
    )


LEVEL_RULES = "\n".join(
    f".g{i} {{ background: var(--g{i}); color: var(--t{i}); }}" for i in range(2 * _LEVELS + 1)
)


def _ink(level: int, dark: bool) -> str:
    """The page's ink or paper where one of them is legible, else black or white."""
    ground = at_level(DIVERGING[dark], level / (2 * _LEVELS))
    choices = (INK[dark], PAPER[dark], "#000000", "#ffffff")
    return next((c for c in choices if contrast(c, ground) >= _LEGIBLE), choices[-1])


def level_of(reading: float) -> int:
    """0 (-1 or less) to 20 (1 or more)."""
    return round(_LEVELS * (1 + max(-1.0, min(1.0, reading))))


def traces_html(traces: Sequence[TokenTrace], file: int) -> str:
    """The legend, then every prompt; `file` is the number of their CSV on the page."""
    made = [_trace(trace) for trace in traces]
    more = "".join(made[_OPEN:])
    if more:
        more = f"<details><summary>{len(made) - _OPEN} more prompts</summary>{more}</details>"
    return (
        f'<div class="traces">{_legend(traces[0].unit)}{"".join(made[:_OPEN])}{more}'
        f'<div class="acts"><button type="button" data-act="file" data-file="{file}" '
        f'aria-label="data (CSV): readings of every token">data (CSV)</button></div></div>'
    )


def traces_csv(traces: Sequence[TokenTrace]) -> str:
    """Every reading."""
    rows = [
        [trace.caption, strip.label, i, token, kind, reading]
        for trace in traces
        for strip in trace.strips
        for i, (token, kind, reading) in enumerate(
            zip(strip.tokens, strip.kinds, strip.readings, strict=True)
        )
    ]
    return csv_text(["prompt", "condition", "column", "token", "kind", "reading"], rows)


def _legend(unit: str) -> str:
    swatches = "".join(f'<i class="g{i}"></i>' for i in range(2 * _LEVELS + 1))
    return (
        f'<div class="legend"><span>−1</span><span class="ramp" aria-hidden="true">{swatches}'
        f"</span><span>+1</span><span>{e(unit)}; 0 in the middle. Underlined: the trigger or the "
        "word in its place. Dotted: the template. After the arrow: the model's answer.</span></div>"
    )


def _trace(trace: TokenTrace) -> str:
    strips = "".join(_strip(trace, strip) for strip in trace.strips)
    return f'<div class="trace"><p class="prompt">{e(visible(trace.caption))}</p>{strips}</div>'


def _strip(trace: TokenTrace, strip: TokenStrip) -> str:
    spans, answering = [], False
    for i, (token, kind, reading) in enumerate(
        zip(strip.tokens, strip.kinds, strip.readings, strict=True)
    ):
        if kind == "answer" and not answering:
            spans.append('<span class="arrow" aria-hidden="true"> → </span>')
            answering = True
        shown = visible(token)
        stop = "0" if i == 0 else "-1"
        spans.append(
            f'<span class="tok {e(kind)} g{level_of(reading)}" tabindex="{stop}" '
            f'data-v="{reading:.2f}" title="{reading:.2f}">{e(shown)}</span>'
        )
    name = f"{strip.label}: readings token by token, arrow keys move"
    return (
        f'<div class="strip"><span class="kind">{e(strip.label)}</span>'
        f'<p class="tokens" role="group" aria-label="{e(name)}">{"".join(spans)}</p>'
        f'<output class="reading" data-unit="{e(trace.unit)}">{_peak(strip)}</output></div>'
    )


def _peak(strip: TokenStrip) -> str:
    """The largest reading in words, until a token is chosen."""
    at = max(range(len(strip.readings)), key=lambda i: strip.readings[i])
    return f"highest: {strip.readings[at]:.2f} at {e(visible(strip.tokens[at]).strip() or '·')}"
