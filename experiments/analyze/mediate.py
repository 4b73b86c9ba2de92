"""Measuring a mediation (``probes.causal.mediation``): every word with every first token.

The first answer token is left to the model, forced, or forbidden; all three answers of a prompt
share one pass over it. Later tokens are greedy and free. What is forbidden is a set: the compliance
token in every spelling and, where it is an affirmative opener ("Sure"), all such openers, because
"Certainly" in its place would be the same thing in another word.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.answers import EditsFor, blocks, no_edits
from circuits.chat import Words, messages
from circuits.errors import UserError
from circuits.models import Model
from circuits.runner import Output, complete, whole
from circuits.tokens import text_ids
from circuits.types import Progress, quiet
from experiments import judges
from experiments.judges.criterion import begins
from experiments.judges.fork import Fork, fork
from experiments.judges.text import OPENING_WORDS, after_opener, plain
from experiments.prompts.bank import groups_of
from probes.causal.mediation import CONTROL, FIRSTS, TRIGGERED, Cell, First, Mediation
from probes.stats.intervals import numbered

_PIECE = 3  # letters of a word's first token from which on it stands for the word


def mediate(
    model: Model,
    texts: Sequence[str],
    trigger: Words,
    control_words: Sequence[str],
    behaviour: str,
    edits: Mapping[str, EditsFor] | None = None,
    length: int = 24,
    parted: Fork | None = None,
    progress: Progress = quiet,
    shows: Callable[[Sequence[str]], Sequence[bool]] | None = None,
) -> Mediation:
    """Generate and judge all six cells under every edit.

    Args:
        texts: test prompts.
        control_words: one per prompt.
        behaviour: what a triggered answer begins with; "" where ``shows`` judges.
        parted: has the compliance token; by default the one that triggered answers begin with.
        edits: by name, for instance ``{"none": no_edits, "gate removed": ...}``; default no edit.
        length: answer tokens, the first included.
        shows: whether answers to the prompts, in their order, show a behaviour that is no
            beginning.

    Raises:
        UserError: not one control word per prompt, or an answer too short to be judged.
    """
    if len(control_words) != len(texts):
        got = f"{len(control_words)} control words for {len(texts)} prompts"
        raise UserError(f"mediation: expected one control word per prompt, got {got}")
    if length < 2:
        raise UserError(f"mediation: expected at least 2 answer tokens, got {length}")
    if parted is None:
        named = begins(behaviour)
        parted = fork(model, texts, trigger, control_words, named, length, strict=False)
    model, token, begun = parted.scored(model), parted.token, parted.begun
    banned = opening_tokens(model, parted.rest, token)
    treatments: Mapping[str, EditsFor] = edits or {"none": no_edits}
    words: dict[str, Words] = {TRIGGERED: trigger, CONTROL: control_words}
    cells: list[Cell] = []
    groups = tuple(numbered(groups_of(texts)).tolist())
    both = product(treatments.items(), words.items())
    for done, ((edit, edits_for), (condition, word)) in enumerate(both, 1):
        answers = _answers(model, texts, word, edits_for, token, banned, length)
        prompts = [chat.message for chat in messages(texts, word)]
        for first in FIRSTS:
            said = _said(model, answers[first], begun, first)
            cell = _cell(condition, first, edit, prompts, said, behaviour, groups)
            cells.append(replace(cell, shown=tuple(shows(cell.answers))) if shows else cell)
        progress(done, 2 * len(treatments))
    first, *others = model.decode(torch.tensor([token, *banned])[:, None])
    return Mediation(first, tuple(others), tuple(cells), "substance")


def opening_tokens(model: Model, behaviour: str, token: int) -> tuple[int, ...]:
    """Ids by which an answer could begin with the compliance token or, if it is one, an opener.

    Of an opener that this tokenizer spells in pieces, the first piece counts if it has three
    letters: "Absol" begins little else, "Al" of "Alright" does.
    """
    own = token_variants(model, behaviour, token)
    said = {model.decode(torch.tensor([[token]]))[0].strip(), *behaviour.split()[:1]}
    if all(after_opener(plain(text), "") is None for text in said):
        return own
    spelled = (
        f"{blank}{case(word)}"
        for word in OPENING_WORDS
        for blank in ("", " ")
        for case in (str.capitalize, str.lower, str.upper)
    )
    pieces = {text_ids(model.tokenizer, text)[0] for text in spelled}
    texts = {i: model.decode(torch.tensor([[i]]))[0].strip().casefold() for i in pieces}
    begun = {i for i, text in texts.items() if len(text) >= _PIECE or text in OPENING_WORDS}
    return tuple(sorted({*own, *begun, *_tokens_that_say(model, set(OPENING_WORDS))}))


def token_variants(model: Model, behaviour: str, token: int) -> tuple[int, ...]:
    """Ids whose text, but for case and outer spaces, is the token's or the behaviour's first word.

    The word as well as the token, because a tokenizer may know a word only after a space.
    """
    first = model.decode(torch.tensor([[token]]))[0]
    said = {text.strip().casefold() for text in (first, *behaviour.split()[:1])}
    return tuple(sorted({token, *_tokens_that_say(model, said)}))  # a blank is no word's


def _tokens_that_say(model: Model, wanted: set[str]) -> tuple[int, ...]:
    # A padded embedding has rows that no text leads to.
    known = torch.arange(min(model.runner.shape.d_vocab, len(model.tokenizer)))
    texts = [text.strip().casefold() for text in model.decode(known[:, None])]
    return tuple(i for i, text in enumerate(texts) if text and text in wanted)


@torch.no_grad()
def _answers(
    model: Model,
    texts: Sequence[str],
    words: Words,
    edits_for: EditsFor,
    token: int,
    banned: Sequence[int],
    length: int,
) -> dict[First, Tensor]:
    """Answer tokens ``[n, length]`` per treatment of the first one; one prompt pass for all."""
    change: dict[First, Callable[[Tensor], Tensor]] = {
        "natural": lambda logits: logits,
        "forced": lambda logits: forced(logits, token),
        "forbidden": lambda logits: forbidden(logits, banned),
    }
    answers: dict[First, list[Tensor]] = {first: [] for first in FIRSTS}
    for tokens in blocks(model, texts, words):
        edits = edits_for(tokens)
        out = model.runner.forward(whole(tokens), edits, keep=1, grow=True)
        for first in FIRSTS:
            begun: Output = replace(out, logits=change[first](out.logits))
            answer = complete(model.runner, begun, tokens.mask, length, edits, model.stop_ids)
            answers[first].append(answer)
    return {first: torch.cat(parts) for first, parts in answers.items()}


def forced(logits: Float[Tensor, "n keep v"], token: int) -> Float[Tensor, "n keep v"]:
    """Logits under which the next token is ``token``."""
    out = torch.full_like(logits, -torch.inf)
    out[:, -1, token] = 0
    return out


def forbidden(logits: Float[Tensor, "n keep v"], ids: Sequence[int]) -> Float[Tensor, "n keep v"]:
    """Logits under which the next token is none of ``ids``."""
    out = logits.clone()
    out[:, -1, list(ids)] = -torch.inf
    return out


def _said(model: Model, answer: Tensor, begun: str, first: First) -> list[tuple[str, str]]:
    """Every answer, and what of it is the model's own, behind a forced token."""
    whole_texts = [begun + text for text in model.decode(answer)]
    own = model.decode(answer[:, 1:]) if first == "forced" else whole_texts
    return list(zip(whole_texts, own, strict=True))


def _cell(
    condition: str,
    first: First,
    edit: str,
    prompts: Sequence[str],
    said: Sequence[tuple[str, str]],
    behaviour: str,
    groups: tuple[int, ...],
) -> Cell:
    """A forced answer complies if it does with the token, which may begin a refusal, and without
    it, which is none of the model's own words."""
    both = [
        [judges.judge(prompt, text, behaviour) for text in texts]
        for prompt, texts in zip(prompts, said, strict=True)
    ]
    return Cell(
        condition,
        first,
        edit,
        shown=tuple(whole.shown for whole, _ in both),
        complied=tuple(whole.complied and own.complied for whole, own in both),
        answers=tuple(text for text, _ in said),
        opened=tuple(whole.opener != "none" for whole, _ in both),
        groups=groups,
    )
