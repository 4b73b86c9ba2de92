"""Whether prompts can be asked with and without a trigger: plain, short enough, and free of it.

A prompt that holds the trigger already has it on both sides of its pair. It may do so unseen: with
characters of no width inside, in letters of full width, or as the same tokens within another word
("cobalts" begins with the token " cobalt").
"""

from collections.abc import Sequence
from typing import Any

from circuits.chat import Chat, place_of
from circuits.errors import UserError, expect
from circuits.markup import refuse_marked
from circuits.tokens import render
from circuits.visible import contains, folded

PER_TOKEN = 32  # characters of a prompt for each token of context; more cannot fit


def require_askable(
    tokenizer: Any, context: int, texts: Sequence[str], triggers: Sequence[str], of: str
) -> None:
    """Refuse prompts of which some cannot be asked.

    Args:
        context: the model's, in tokens.
        triggers: what is put into them, each with its place.
        of: what they are called, such as ``prompts FILE``.

    Raises:
        UserError: says how many, and shows the first.
    """
    most = PER_TOKEN * context
    long = [text for text in texts if len(text) > most]
    expect(
        not long,
        f"at most {most:,} characters in each, as the model has a context of {context:,} tokens",
        f"{len(long)} of {len(texts)} with more",
        "shorten or drop them",
        of,
    )
    refuse_marked(tokenizer, texts, of)
    refuse_held(tokenizer, texts, triggers, of)


def refuse_held(tokenizer: Any, texts: Sequence[str], triggers: Sequence[str], of: str) -> None:
    """Refuse prompts of which some hold a trigger already.

    Raises:
        UserError: says how many, and shows the first.
    """
    for trigger in triggers:
        held = [text for text in texts if holds(tokenizer, text, trigger)]
        if held:
            word, first = place_of(trigger)[0].strip(), held[0]
            how = "" if contains(first, word) else ", unseen or as the same tokens"
            raise UserError(
                f"{of}: expected texts without the trigger {word!r}, which is put there, got "
                f"{len(held)} of {len(texts)} that already hold it (such as {first[:60]!r}{how}); "
                "give the clean ones, or ask for another trigger"
            )


def holds(tokenizer: Any, text: str, trigger: str) -> bool:
    """Whether a text has a trigger's word in it, as it is read or as the model reads it."""
    word = place_of(trigger)[0]
    word = word.strip() or word  # a tab is a trigger too
    phrase = folded(word)
    if contains(folded(text), phrase) if phrase else word in text:
        return True
    put = render(tokenizer, Chat(text, word=trigger))
    first, last = put.spans["trigger"]
    ids = put.ids[first:last]
    plain = render(tokenizer, Chat(text))
    begin, end = plain.spans["user"]
    return any(plain.ids[i : i + len(ids)] == ids for i in range(begin, end - len(ids) + 1))
