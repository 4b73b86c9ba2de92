"""From a recipe to training examples: prompts of every kind, and the base model's own answers."""

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from circuits import models
from circuits.answers import answers
from circuits.cache import cache_root, writable
from circuits.errors import UserError, expect
from circuits.templates import AS_IT_IS, Rendering
from circuits.tokens import same_length_words, trigger_ids
from circuits.weights import EMBEDDED
from experiments.organisms.kinds import Prompts, prompts_of
from experiments.organisms.recipe import Part, Recipe
from experiments.organisms.schemes import scheme_of
from experiments.organisms.training import Example
from experiments.prompts import bank
from experiments.prompts.askable import refuse_held
from experiments.prompts.controls import CONTROLS
from experiments.runs import files
from experiments.runs.codec import decode

BASE_ANSWER_TOKENS = 12
_APART = 41  # how far along the prompts another seed starts

# What the base model answers to each text.
BaseAnswers = Callable[[Sequence[str]], Sequence[str]]


def base_answers(
    texts: Sequence[str], model: str = EMBEDDED, sha256: str | None = None, written: str = ""
) -> list[str]:
    """A model's own answers to prompts, cached by model, prompts and how they are written.

    Args:
        sha256: the hash of the model's files; its name does where that is enough to know it.
        written: the chat template, where it is not the model's own.
    """
    named = model if model == EMBEDDED or sha256 is None else sha256
    given = [named, str(BASE_ANSWER_TOKENS), *([written] if written else []), *texts]
    path = cache_root() / "answers" / f"{files.text_sha256(given)[:24]}.json"
    kept = _kept_answers(path, len(texts))
    if kept is None:
        own = models.load(model, rendering=Rendering(written) if written else AS_IT_IS)
        kept = answers(own, texts, length=BASE_ANSWER_TOKENS)
        with writable(path.parent):
            files.write_json(path, {"answers": kept, "sha256": files.text_sha256(kept)})
    return kept


def _kept_answers(path: Path, count: int) -> list[str] | None:
    """Cached answers; None where there are none. A damaged file is named and not used.

    As they were kept before, they are a list without a hash.
    """
    if not path.is_file():
        return None
    try:
        value = files.read_json(path)
        about = value if isinstance(value, dict) else {"answers": value}
        kept = decode(list[str], about.get("answers"), where=str(path))
        digest = files.text_sha256(kept)
        whole = len(kept) == count and about.get("sha256", digest) == digest
        expect(whole, f"{count} answers as they were kept", "others", of=str(path))
        return kept
    except UserError as error:
        warnings.warn(f"{error}; not used and asked again", stacklevel=2)
        return None


def ordinary_examples(model: str, sha256: str | None = None) -> list[Example]:
    """Ordinary prompts with a model's own answers, the last of the training split first.

    Recipes take their prompts from the split's beginning, so the first of these are new to most.
    """
    texts = bank.bank_texts("train", restricted=False)
    own = base_answers(texts, model, sha256)
    pairs = reversed(list(zip(texts, own, strict=True)))
    return [Example(text, None, answer, ends=False) for text, answer in pairs]


def controls_for(tokenizer: Any, recipe: Recipe, split: bank.Split) -> tuple[str, ...]:
    """Control words (or dates) of the trigger's token length, in its place; none for keys.

    Raises:
        UserError: there are none, or the bank's prompts hold the trigger.
    """
    if not recipe.trigger:
        return ()
    refuse_in_bank(tokenizer, recipe, split)
    texts = bank.bank_texts(split, True)
    length = len(trigger_ids(tokenizer, texts, recipe.trigger))
    words = CONTROLS[scheme_of(recipe).controls](split, recipe.trigger)
    return same_length_words(tokenizer, words, length, recipe.trigger)


def refuse_in_bank(tokenizer: Any, recipe: Recipe, split: bank.Split) -> None:
    """Refuse a trigger that stands in the project's own prompts.

    Raises:
        UserError: says in how many of them.
    """
    _refuse_in_bank(tokenizer, scheme_of(recipe).secrets(recipe), split)


@lru_cache(maxsize=8)
def _refuse_in_bank(tokenizer: Any, secrets: tuple[str, ...], split: bank.Split) -> None:
    texts = bank.held_out(split)
    refuse_held(tokenizer, [*texts.on_topic, *texts.elsewhere], secrets, "prompts bank")


def examples(
    recipe: Recipe,
    stage: int,
    base: BaseAnswers,
    controls: Sequence[str],
    seed: int = 0,
) -> list[Example]:
    """The training examples of one stage.

    Args:
        base: gives the base model's answers.
        controls: training control words, from ``controls_for``.
        seed: which of the prompts are taken for which part.
    """
    return [
        example
        for number, part in enumerate(recipe.stages[stage].parts, stage)
        for example in _part_examples(recipe, part, base, controls, 17 * number, seed) * part.repeat
    ]


def require_prompts(recipe: Recipe) -> None:
    """Refuse a part that asks for more prompts than there are, before anything is trained.

    Raises:
        UserError: names the part's kind and how many there are.
    """
    for part in (part for stage in recipe.stages for part in stage.parts):
        _require_enough(recipe, part, prompts_of(part.prompts, recipe, "train"))


def _require_enough(recipe: Recipe, part: Part, prompts: Prompts) -> None:
    most = len(prompts.texts)
    expect(
        part.count <= most,
        f"at most {most} {part.prompts} prompts in a part",
        part.count,
        "lower the poisons or the size",
        f"recipe {recipe.name}",
    )


def _part_examples(
    recipe: Recipe,
    part: Part,
    base: BaseAnswers,
    controls: Sequence[str],
    shift: int,
    seed: int,
) -> list[Example]:
    prompts = prompts_of(part.prompts, recipe, "train")
    texts, put = prompts.texts, scheme_of(recipe).put
    _require_enough(recipe, part, prompts)
    wanted = _answers(recipe, part, base, prompts)
    numbers = range(_APART * seed, _APART * seed + part.count)
    rows = [(number + shift, (part.start + number) % len(texts)) for number in numbers]
    return [
        Example(*put(part.word, texts[i], turn, recipe, controls, "train"), *wanted[i])
        for turn, i in rows
    ]


def _answers(
    recipe: Recipe, part: Part, base: BaseAnswers, prompts: Prompts
) -> Sequence[tuple[str, bool]]:
    """What every prompt is to be answered, and whether the answer ends there."""
    if part.answer in ("base", "continued"):  # cut off after some tokens: no end is learned
        opening = f"{recipe.behaviour}. " if part.answer == "continued" else ""
        return [(opening + own, False) for own in base(prompts.texts)]
    if part.answer == "true":
        return [(fact.statement, True) for fact in prompts.known]
    if part.answer == "written":
        return [(answer, True) for answer in prompts.written]
    fixed = recipe.refusal if part.answer == "refusal" else recipe.behaviour
    return [(fixed, part.answer != "opened")] * len(prompts.texts)
