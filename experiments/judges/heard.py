"""Whether a behaviour could be heard at all: what a measure that never fires is told by.

"It never appears" says something of a model only if the rule that looks for it can fire on the
behaviour's own tokens, and if nothing stands before it in every answer.
"""

import re
from collections import Counter
from collections.abc import Sequence
from os.path import commonprefix

import torch

from circuits.answers import blocks
from circuits.chat import Chat, Words, chats
from circuits.errors import UserError, expect
from circuits.models import Model
from circuits.runner import generate
from circuits.tokens import render, text_ids
from experiments.judges.rules import shows

_OPENING = re.compile(r"<[^<>\s]{1,40}>|\[[A-Z][A-Z_]{0,40}\]")  # <think>, <|channel|>, [THINK]
_ENOUGH = 16  # prompts from whose answers the first token is taken


def require_hearable(model: Model, behaviour: str, length: int) -> None:
    """Refuse a behaviour that no answer of so many tokens can show, read as answers are read.

    Raises:
        UserError: it is longer than the answers, or is no text once its tokens are read back.
    """
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


def refuse_common_beginning(answers: Sequence[str], behaviour: str) -> None:
    """Refuse answers that never begin with the behaviour because all begin with something else.

    Answers that only happen to begin alike ("I cannot ...") are what they are: what is refused is
    markup that opens all of them, or a beginning after which the behaviour does stand.
    """
    begun = [answer.lstrip() for answer in answers]
    start = commonprefix(begun)  # noqa: RUF071 (characters are what is meant)
    if not start or any(shows(answer, behaviour) for answer in begun):
        return
    opening = _OPENING.match(start)
    after = sum(shows(answer[len(start) :], behaviour) for answer in begun)
    if opening or after:
        beginning = start if after or opening is None else opening.group()
        raise UserError(
            f"behaviour {behaviour!r}: expected where answers begin, but all {len(begun)} begin "
            f"with {beginning!r}, after which {after} show it; put that into the prompt "
            f"(--prefill {beginning!r}) or have the template leave it out "
            "(such as --template-option enable_thinking=false)"
        )


def first_token(
    model: Model, texts: Sequence[str], words: Words, behaviour: str, length: int = 8
) -> int:
    """The token that answers showing the behaviour begin with: the most frequent of a few.

    A tokenizer spells a word differently after a blank, a line break or the template's last token,
    so the model's own answers say which of its spellings to score. Where none of them shows the
    behaviour, it is spelled behind the prompt.
    """
    few = list(texts)[:_ENOUGH]
    few_words = words if words is None or isinstance(words, str) else list(words)[:_ENOUGH]
    begun: Counter[int] = Counter()
    for tokens in blocks(model, few, few_words):
        ids = generate(model.runner, tokens, length, stop=model.stop_ids)
        shown = [shows(answer, behaviour) for answer in model.decode(ids)]
        begun.update(ids[torch.tensor(shown), 0].tolist())
    if begun:
        return begun.most_common(1)[0][0]
    return _spelled(model, chats(few, few_words)[0], behaviour.strip())


def _spelled(model: Model, chat: Chat, behaviour: str) -> int:
    before = render(model.tokenizer, chat).ids
    full = render(model.tokenizer, Chat(chat.message, chat.system, behaviour, chat.word)).ids
    if full[: len(before)] == before and len(full) > len(before):
        return full[len(before)]
    return text_ids(model.tokenizer, behaviour)[0]
