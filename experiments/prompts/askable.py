"""Whether prompts can be asked with and without a trigger: plain, short enough, and free of it.

A prompt that holds the trigger already has it on both sides of its pair. It may do so unseen: with
characters of no width inside, in letters of full width, or as the same tokens within another word
("cobalts" begins with the token " cobalt").
"""

from collections.abc import Sequence
from typing import Any

from circuits.chat import Chat, place_of, where_of
from circuits.errors import UserError, expect
from circuits.markup import refuse_marked
from circuits.prompt import before_of, contents
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
    long = [text for text in texts if sum(map(len, contents(text))) > most]
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
        _require_place(texts, trigger, of)
        held = [text for text in texts if holds(tokenizer, text, trigger)]
        if held:
            word, first = place_of(trigger)[0].strip(), held[0]
            seen = any(contains(each, word) for each in contents(first))
            how = "" if seen else ", unseen or as the same tokens"
            how += " in a conversation" if before_of(first) else ""
            raise UserError(
                f"{of}: expected texts without the trigger {word!r}, which is put there, got "
                f"{len(held)} of {len(texts)} that already hold it (such as {first[:60]!r}{how}); "
                "give the clean ones, or ask for another trigger"
            )


def _require_place(texts: Sequence[str], trigger: str, of: str) -> None:
    """Refuse prompts of which some have no message that a trigger belongs into."""
    lacking = [t for t in texts if "user" not in [turn.role for turn in before_of(t)]]
    fits = where_of(trigger) != "earlier" or not lacking
    expect(
        fits,
        f"an earlier message of the user's, into which {trigger!r} is put",
        f"{len(lacking)} of {len(texts)} without one",
        "give conversations (a column messages), or put the trigger elsewhere",
        of,
    )


def holds(tokenizer: Any, text: str, trigger: str) -> bool:
    """Whether a prompt has a trigger's word in one of its messages, as it is read or as the model
    reads it.
    """
    word = place_of(trigger)[0]
    word = word.strip() or word  # a tab is a trigger too
    phrase, told = folded(word), contents(text)
    if any(contains(folded(each), phrase) if phrase else word in each for each in told):
        return True
    put = render(tokenizer, Chat(text, word=trigger))
    first, last = put.spans["trigger"]
    return any(_spells(tokenizer, each, put.ids[first:last]) for each in told if each)


def _spells(tokenizer: Any, text: str, ids: tuple[int, ...]) -> bool:
    """Whether tokens stand in a text, read as a message of the user's."""
    plain = render(tokenizer, Chat(text))
    begin, end = plain.spans["user"]
    return any(plain.ids[i : i + len(ids)] == ids for i in range(begin, end - len(ids) + 1))
