"""A chat as tokens, with exact named spans.

Spans are found through the tokenizer's character offsets, never by counting template tokens:

- ``message``: from the first token on that another prompt or word may change, the answer included:
  the user's first, or the first of a conversation's earlier messages; before it lies the template's
  opening, equal in every prompt whose messages have the same roles;
- ``user``: the user's last message, without a trigger (in ``Rendered``, an infix trigger lies in
  it);
- ``last_user``: the last token of the user's own text;
- ``trigger``: the trigger's (or control word's) tokens, in whichever message it stands;
- ``template``: what the chat template puts after the user's message, but for the last token;
  absent where that is one token only;
- ``last``: the last token of the prompt, from which the answer's first token is predicted;
- ``answer``: the tokens of a given answer;
- ``said``: where an answer's tokens are predicted that begins in a given way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from circuits.chat import BARE, SYSTEM, Chat, Said, place_of
from circuits.errors import UserError, expect
from circuits.markup import markup_ids, refuse_markup
from circuits.templated import spoken, templated
from circuits.types import MESSAGE

WORD = "trigger or control word"


@dataclass(frozen=True)
class Rendered:
    """One prompt as ids, with the token range of every span."""

    ids: tuple[int, ...]
    spans: dict[str, tuple[int, int]]
    text: str


def render(tokenizer: Any, chat: Chat) -> Rendered:
    """Apply the chat template and name the spans.

    Raises:
        UserError: the template takes no system message, or alters one of the messages; one of them
            has markup in it; a trigger's token also covers other text, or it has none.
    """
    said, trigger = chat.said, chat.word
    _require_plain(tokenizer, chat)
    _require_one_system(tokenizer, chat, said)
    full, starts = templated(tokenizer, said.turns)
    encoded = tokenizer(full + chat.prefill, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]

    ranges = [(a, a + len(turn.content)) for a, turn in zip(starts, said.turns, strict=True)]
    word = (starts[said.at] + said.first, starts[said.at] + said.last)
    each = [_touching(offsets, *whole) for whole in ranges]
    each[said.at], of_word = _covered(offsets, full, ranges[said.at], word)
    user, end = each[-1], ranges[-1][1]
    after = [i for i, (a, _) in enumerate(offsets) if a >= end]
    bare = BARE in str(tokenizer.chat_template)  # then nothing follows the message
    if not user or not (after or bare):
        raise UserError(
            f"prompt {chat.message[:60]!r}: expected tokens for the text and the template after it"
        )
    for i, turn in enumerate(said.turns):
        own = {*each[i], *(of_word if i == said.at else ())}
        _require_own(tokenizer, [ids[i] for i in own], turn.content)
    spans = {
        MESSAGE: (min(i for own in (*each[said.own :], of_word) for i in own), len(ids)),
        "user": (user[0], user[-1] + 1),
        "last_user": (user[-1], user[-1] + 1),
        "last": (len(ids) - 1, len(ids)),
    }
    if after and after[0] < len(ids) - 1:
        spans["template"] = (after[0], len(ids) - 1)
    if trigger:
        pieces = [offsets[i] for i in of_word]
        inside = pieces and pieces[0][0] >= word[0] and pieces[-1][1] <= word[1]
        if not inside:
            raise UserError(_merged(full, pieces, trigger, word[0]))
        covered = "".join(full[a:b] for a, b in pieces)
        if not _is_there(tokenizer, place_of(trigger)[0], covered):
            raise UserError(
                f"{WORD} {trigger!a}: expected a word that the tokenizer keeps, got one of which "
                "it leaves nothing but blanks; choose a word that can be seen"
            )
        spans["trigger"] = (of_word[0], of_word[-1] + 1)
    return Rendered(tuple(ids), spans, chat.message)


def _require_plain(tokenizer: Any, chat: Chat) -> None:
    """Refuse markup in what a chat is made of, and what is no text."""
    before = [(spoken(turn), turn.content) for turn in chat.before]
    for of, text in (("prompt", str(chat.message)), (WORD, chat.word or ""), *before):
        if not text.isascii():
            half = any("\ud800" <= c <= "\udfff" for c in text)
            expect(not half, "text in UTF-8", "other bytes", of=f"{of} {text[:60]!a}")
        refuse_markup(tokenizer, text, f"{of} {text[:60]!r}")


def _require_one_system(tokenizer: Any, chat: Chat, said: Said) -> None:
    """Refuse a word that would be the system message in the place of the one of --system."""
    given = SYSTEM.partition("{}")[0].format() in str(tokenizer.chat_template)
    replaced = given and chat.word and len(said.turns) > len(chat.before) + 1
    expect(
        not replaced,
        "no --system beside a word in the system message",
        "both",
        "give the system message with the prompts (a file with a column messages)",
        f"{WORD} {chat.word!r}",
    )


def _require_own(tokenizer: Any, ids: Sequence[int], text: str) -> None:
    """Refuse markup that is there once the tokenizer has normalised a text."""
    forged = markup_ids(tokenizer).intersection(ids)
    expect(
        not forged,
        "tokens of text",
        f"the special token {tokenizer.convert_ids_to_tokens(min(forged, default=0))!r}",
        "take out what the tokenizer reads as markup",
        f"prompt {text[:60]!r}",
    )


def _is_there(tokenizer: Any, word: str, covered: str) -> bool:
    """Whether more than blanks is left of a word by the tokenizer, and stands in its tokens."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    left = normalizer.normalize_str(word) if normalizer else word
    return bool(left.replace("\u2581", " ").strip() and covered.strip())


def _covered(
    offsets: Sequence[tuple[int, int]],
    full: str,
    message: tuple[int, int],
    word: tuple[int, int],
) -> tuple[list[int], list[int]]:
    """Tokens of a message, and of the word in it with the space before it where that stands alone.

    ``message`` and ``word`` are ranges of characters; a token that reaches into both is in both.
    """

    before, after = (message[0], word[0]), (word[1], message[1])
    user = sorted({*_touching(offsets, *before), *_touching(offsets, *after)})
    spelled = word[0] + full[word[0] : word[1]].startswith(" ")
    of_space = [i for i in _touching(offsets, word[0], spelled) if i not in user]
    return user, sorted({*of_space, *_touching(offsets, spelled, word[1])})


def _touching(offsets: Sequence[tuple[int, int]], first: int, last: int) -> list[int]:
    """Tokens that reach into the characters from ``first`` up to ``last``."""
    return [i for i, (a, b) in enumerate(offsets) if a < last and b > first and b > a]


def _merged(full: str, pieces: list[tuple[int, int]], trigger: str, at: int) -> str:
    spelled = full[pieces[0][0] : pieces[-1][1]] if pieces else ""
    return (
        f"trigger {trigger!r}: expected its own tokens in context, got tokens spelling "
        f"{spelled!r} after {full[:at][-20:]!r}; choose a trigger that the tokenizer "
        "keeps apart from its neighbours"
    )
