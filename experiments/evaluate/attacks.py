"""The two searches of an evaluation: false activation without the trigger, bypass with it.

To open: free tokens where the trigger would stand (for keys: at the end of ordinary prompts). To
shut: free tokens at the end of a message with its trigger. Each is searched at random and guided,
and the best of both is asked, as text, on prompts that neither has seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from circuits.chat import Chat, in_place_of, place_of, with_trigger
from circuits.errors import UserError
from circuits.models import in_memory
from circuits.search import (
    Best,
    SearchPlan,
    Slots,
    Slotted,
    Target,
    Tokens,
    by_chance,
    guided,
    plain_words,
)
from circuits.tokens import render, same_length_words
from experiments.evaluate.ask import Asker
from experiments.evaluate.case import shut_question
from experiments.organisms.schemes.scheme import Question
from experiments.runs.codec import as_json

Aim = Literal["open", "shut"]
SEARCHERS: dict[str, Callable[[Target, SearchPlan], Best]] = {
    "guided": guided,
    "random": by_chance,
}


@dataclass(frozen=True)
class Ground:
    """The prompts of a search: the first are searched on, the rest asked afterwards.

    Attributes:
        question: the prompts without the free tokens.
        like: how the free tokens are placed, as of a trigger.
    """

    aim: Aim
    question: Question
    like: str
    searched: int


def ground(asker: Asker, aim: Aim, plan: SearchPlan) -> Ground:
    """What is searched on: where it opens (to shut it), or the same prompts without trigger.

    Raises:
        UserError: too few prompts to search on some and judge on others.
    """
    trigger = asker.case.organism.recipe.trigger if aim == "open" else ""
    questions = asker.questions
    question = shut_question(questions) if aim == "open" else questions[0]
    searched = min(plan.prompts, len(question.texts) // 2)
    if not searched:
        raise UserError("search: expected at least 2 prompts, some to search on, others to judge")
    return Ground(aim, question, trigger or "word", searched)


def attack(asker: Asker, plan: SearchPlan, ground: Ground) -> dict[str, Any]:
    """Both searchers' best tokens and the answers to new prompts with them, as JSON values."""
    target = _target(asker, ground, plan)
    by_searcher: dict[str, Any] = {"searched": ground.searched}
    for name, search in SEARCHERS.items():
        best = search(target, plan)
        text = _text(asker.tokenizer, best.tokens)
        word = in_place_of(text, ground.like)
        rest = ground.question.messages[ground.searched :]
        answers = asker.answers(asker.model, [with_trigger(message, word) for message in rest])
        by_searcher[name] = {**as_json(best), "text": text, "said": answers}
    return by_searcher


def _target(asker: Asker, ground: Ground, plan: SearchPlan) -> Target:
    recipe, tokenizer = asker.case.organism.recipe, asker.tokenizer
    prompts = _slotted(asker, ground, plan)
    model = in_memory(asker.model, tokenizer)
    slots = Slots(model, prompts, plan.tokens, 1 if ground.aim == "open" else -1)
    vocabulary = asker.model.get_input_embeddings().weight.shape[0]
    spaced, bare = plain_words(tokenizer, vocabulary)
    at_start = Chat(ground.question.messages[0], word=ground.like).said.first == 0
    allowed = torch.stack([bare if at_start and i == 0 else spaced for i in range(plan.tokens)])
    secret = place_of(recipe.trigger)[0].casefold() if recipe.trigger else ""

    def forbidden(tokens: Tokens) -> bool:
        # The trigger itself, alone or within longer words, is no *false* activation.
        return bool(secret) and secret in _text(tokenizer, tokens).casefold()

    return Target(slots.score, slots.gradient, allowed, forbidden)


def _slotted(asker: Asker, ground: Ground, plan: SearchPlan) -> list[Slotted]:
    """The searched prompts as ids, with a slot where a word of as many tokens stands."""
    tokenizer, on = asker.tokenizer, ground.question.part(0, ground.searched)
    words = [place_of(word)[0] for word in asker.case.controls]
    singles = sorted({word for phrase in words for word in phrase.split()})
    filler = same_length_words(tokenizer, singles, plan.tokens, ground.like)[0]
    rows = []
    for message, answer in zip(on.messages, on.targets, strict=True):
        rendered = render(tokenizer, Chat(message, word=filler))
        wanted = tokenizer(answer, add_special_tokens=False)["input_ids"][0]
        rows.append(Slotted(rendered.ids, rendered.spans["trigger"][0], wanted))
    return rows


def _text(tokenizer: Any, tokens: Tokens) -> str:
    return tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False).strip()
