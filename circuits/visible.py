"""What of a text can be seen, and whether a phrase stands in it, in any script.

The rules are for scripts that put spaces between words; in those that put none (Chinese, Japanese,
Thai, Lao, Khmer, Burmese, Tibetan) every letter counts as a word.
"""

import re
import unicodedata

# Letters of scripts without spaces between words (Unicode blocks; Hangul has spaces).
UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
SPACED = rf"[^\W{UNSPACED}]"
# Drawn as nothing though Unicode calls them letters, marks or symbols: fillers, joiners, selectors.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def visible(text: str) -> str:
    """The text without characters that are drawn as nothing, and without blanks around it.

    Zero-width and other format characters go, and so do control characters but for line breaks and
    tabs; a text of which nothing is left cannot be seen.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    kept = (
        c
        for c in _BLANK.sub("", text)
        if c in "\n\r\t" or unicodedata.category(c) not in ("Cc", "Cf")
    )
    return "".join(kept).strip()


def folded(text: str) -> str:
    """What a reader takes a text for: visible, its letters of ordinary width, one blank each."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", visible(text)))


def contains(text: str, phrase: str) -> bool:
    """Whether ``phrase`` stands in ``text``, as whole words."""
    return any(
        not inside_word(text[: m.start()][-1:], phrase[:1])
        and not inside_word(phrase[-1:], text[m.end() :][:1])
        for m in re.finditer(re.escape(phrase), text)
    )


def inside_word(left: str, right: str) -> bool:
    """Whether two characters side by side are of one word, in a script that has word breaks."""
    return all(c.isalnum() and re.fullmatch(SPACED, c) for c in (left, right))
