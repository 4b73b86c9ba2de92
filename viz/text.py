"""Untrusted text for plotly: model tokens and prompts made visible, escaped and short."""

import html
import textwrap
import unicodedata

_SHOWN = {"\n": "⏎", "\t": "⇥", "\r": "␍"}
_MAX_TOKEN, _MAX_PROMPT, _LINE = 16, 180, 44


def escape(text: str) -> str:
    """`text` so that plotly's small HTML dialect shows it literally.

    Quotes stay: plotly does not know `&quot;`, and no text of ours is put into an attribute.
    """
    return html.escape(text, quote=False)


def reveal(text: str) -> str:
    """`text` on one line: newline as ⏎, tab as ⇥, other control and format characters as \\u....

    Format characters are shown because a bidirectional override would reorder the whole label.
    """
    return "".join(_SHOWN.get(char) or _character(char) for char in text)


def token_label(token: str) -> str:
    """A token as an axis label: visible, outer spaces as ·, at most 16 characters, escaped."""
    return escape(shorten(show_spaces(token), _MAX_TOKEN))


def show_spaces(token: str) -> str:
    """A token on one line with its leading and trailing spaces shown as ·; not escaped."""
    body = reveal(token)
    core = body.strip(" ")
    lead = len(body) - len(body.lstrip(" "))
    return "·" * lead + core + "·" * (len(body) - lead - len(core))


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, the last an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def prompt_hover(prompt: str) -> str:
    """A prompt for a hover box: visible, at most 180 characters, wrapped and escaped."""
    return wrap(shorten(reveal(prompt), _MAX_PROMPT), _LINE)


def wrap(text: str, width: int) -> str:
    """Escaped text broken into lines of at most `width` characters."""
    lines = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    return "<br>".join(escape(line) for line in lines)


def _character(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Cc", "Cf", "Cs", "Co", "Cn") or category in ("Zl", "Zp"):
        return f"\\u{ord(char):04x}"
    return char
