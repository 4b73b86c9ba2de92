"""Whether a behaviour could be heard at all: what a measure that never fires is told by.

"It never appears" says something of a model only if the rule that looks for it can fire on the
behaviour's own tokens, and if nothing stands before it in every answer.
"""

import re
from collections import Counter
from collections.abc import Sequence
from os.path import commonprefix

from circuits.errors import UserError, expect
from circuits.models import Model
from circuits.templated import around
from circuits.tokens import text_ids
from circuits.visible import inside_word
from experiments.judges.criterion import Criterion
from experiments.judges.rules import shows

_LEAVE_OUT = (
    "put that into the prompt (--prefill {!r}) or have the template leave it out "
    "(such as --template-option enable_thinking=false)"
)
_OPENING = re.compile(r"<[^<>\s]{1,40}>|\[[A-Z][A-Z_]{0,40}\]")  # <think>, <|channel|>, [THINK]


def require_judged(model: Model, behaviour: Criterion, length: int) -> None:
    """``require_hearable`` of any kind of behaviour; one without a text can always be heard."""
    if behaviour.opening:
        require_hearable(model, behaviour.opening, length)
    elif behaviour.fixed:
        _require_sayable(model, behaviour.fixed, length)


def require_hearable(model: Model, behaviour: str, length: int) -> None:
    """Refuse a behaviour that no answer of so many tokens can show, read as answers are read.

    Raises:
        UserError: it is longer than the answers, is no text once its tokens are read back, or
            stands in the prompt already.
    """
    _require_sayable(model, behaviour, length)
    begun = _begun(around(model.tokenizer)[-1].rstrip(), behaviour.strip())
    expect(
        not begun,
        "what the model says by itself",
        f"prompts that end in {begun!r} already",
        "leave that out (--prefill, --template), or give as --behaviour what follows it",
        f"behaviour {behaviour!r}",
    )


def _require_sayable(model: Model, behaviour: str, length: int) -> None:
    """Refuse a text that is longer than the answers, or no text once its tokens are read back."""
    ids = text_ids(model.tokenizer, behaviour.strip())
    expect(
        len(ids) <= length,
        f"at most the {length} tokens that are generated",
        f"{len(ids)}",
        "give more --tokens or the behaviour's beginning",
        f"behaviour {behaviour!r}",
    )
    (read,) = model.decode([ids])
    expect(
        behaviour.strip() and shows(read, behaviour),
        "text that an answer can begin with",
        f"{read!r} when its tokens are read as answers are (special tokens are left out)",
        "give the text that follows, or a model whose answer is text",
        f"behaviour {behaviour!r}",
    )


def _begun(prompt: str, behaviour: str) -> str:
    """What of a behaviour stands at a prompt's end already, in whole words; "" if nothing."""
    starts = (behaviour[:end] for end in range(len(behaviour), 0, -1))
    return next((s for s in starts if _ends_in(prompt, s, behaviour)), "")


def _ends_in(prompt: str, start: str, behaviour: str) -> bool:
    whole = not inside_word(start[-1], behaviour[len(start) :][:1])
    worded = any(c.isalnum() for c in start)  # a mark may end any template
    before = prompt.removesuffix(start)
    return whole and worded and before != prompt and not inside_word(before[-1:], start[:1])


def refuse_common_beginning(answers: Sequence[str], behaviour: str) -> None:
    """Refuse answers that never begin with the behaviour because they begin with something else.

    Answers that only happen to begin alike ("I cannot ...") are what they are: what is refused is
    markup that opens most of them, or a beginning of all after which the behaviour does stand.

    Raises:
        UserError: so it is, or no answer has any text.
    """
    begun = [answer.lstrip() for answer in answers]
    refuse_silent(begun, behaviour)
    if any(shows(answer, behaviour) for answer in begun):
        return
    start = commonprefix(begun)  # noqa: RUF071 (characters are what is meant)
    after = sum(shows(answer[len(start) :], behaviour) for answer in begun) if start else 0
    opening, times = _opened(begun)
    if after or 2 * times > len(begun):
        beginning, count = (start, len(begun)) if after else (opening, times)
        raise UserError(
            f"behaviour {behaviour!r}: expected where answers begin, but {count} of {len(begun)} "
            f"begin with {beginning!r}, after which {after} show it; {_LEAVE_OUT.format(beginning)}"
        )


def refuse_silent(answers: Sequence[str], behaviour: str) -> None:
    """Refuse answers of which none has any text.

    Raises:
        UserError: so it is.
    """
    expect(
        any(map(str.strip, answers)),
        "answers with text to look for it in",
        f"{len(answers)} of {len(answers)} without any (special tokens are left out)",
        "look at a rendered prompt: the template may lack the generation prompt, or the model ends "
        "at once (--template, --template-option, --prefill)",
        f"behaviour {behaviour!r}",
    )


def refuse_opened(answers: Sequence[str], of: str) -> None:
    """Refuse a model most of whose answers are opened by markup, so that all begin alike.

    Raises:
        UserError: so it is.
    """
    opening, times = _opened([answer.lstrip() for answer in answers])
    expect(
        2 * times <= len(answers),
        "answers that begin with what it says",
        f"{times} of {len(answers)} that begin with {opening!r}",
        _LEAVE_OUT.format(opening),
        of,
    )


def _opened(begun: Sequence[str]) -> tuple[str, int]:
    """The markup that opens most answers, and how many."""
    opened = Counter(match.group() for answer in begun if (match := _OPENING.match(answer)))
    return opened.most_common(1)[0] if opened else ("", 0)
