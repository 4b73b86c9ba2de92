"""Asking models, greedily or by sampling; every model's answers are a stage that is kept."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from circuits import models
from circuits.answers import answers, ask
from circuits.chat import chats
from circuits.devices import resolve_device
from circuits.edits.adapters import Adapter
from circuits.errors import UserError
from circuits.lora_files import read_config
from circuits.models import Model
from circuits.runner import Choose
from circuits.templates import ADAPTER, AS_IT_IS, OWN
from circuits.tokens import prompt_ids
from circuits.weights import EMBEDDED
from experiments.options import own_name
from experiments.organisms.bases import located
from experiments.organisms.organism import load_model, require_model
from experiments.organisms.own_keys import KeySet
from experiments.organisms.places import find_adapter, is_whole, read_adapter, shipped_or_none
from experiments.runs.stages import Stages
from experiments.verify.keys import KEYS, STRANGERS
from experiments.verify.question import VerifyQuestion
from experiments.verify.result import AnswersByKind, Condition, Null, Survival, key_test
from experiments.verify.survival import Changed, conditions

Identity = tuple[str, str | None]
TOKENS = 12
_STRANGERS_EACH = 20  # prompts of each kind without a secret, in a survival test


@dataclass(frozen=True)
class Other:
    """An unrelated model and its answers to the keys; none where it was asked before."""

    name: str
    sha256: Identity
    said: list[str]


class Asking:
    """What is asked in one run, every model's answers a stage that is kept."""

    def __init__(self, question: VerifyQuestion, keys: KeySet, stages: Stages) -> None:
        self.question, self.keys, self.keep = question, keys, stages.keep

    def suspect(self, model: Model, asked: Mapping[str, list[str]]) -> AnswersByKind:
        """The suspect's greedy answers to everything, and sampled ones to the keys."""
        by_kind: AnswersByKind = {}
        for kind, texts in asked.items():
            stage, ask = kind.replace(" ", "-"), partial(answers, model, texts, length=TOKENS)
            by_kind[kind] = self.keep(f"suspect-{stage}", list[str], ask)
        for seed in range(self.question.samples):
            draw = partial(sampled, model, asked[KEYS], seed)
            by_kind[f"{KEYS}, seed {seed}"] = self.keep(f"suspect-sampled-{seed}", list[str], draw)
        return by_kind

    def unrelated(self, suspect: Identity) -> dict[str, AnswersByKind]:
        """The keys' answers of every model that is neither the suspect nor named twice."""
        by_model: dict[str, AnswersByKind] = {}
        seen = {suspect}
        for number, name in enumerate(self.question.unrelated):
            stage, ask = f"unrelated-{number}", partial(self._other, name, seen)
            other = self.keep(stage, Other, ask)
            if other.said:
                seen.add(other.sha256)
                by_model[name] = {KEYS: other.said}
        return by_model

    def _other(self, name: str, seen: Container[Identity]) -> Other:
        base, adapter = source(name, self.question.model)
        asked = self.question.rendering if base == self.question.model else AS_IT_IS
        if asked.template == ADAPTER:  # the suspect's
            asked = replace(asked, template=OWN)
        model = load_model(adapter, base, device=self.question.device, rendering=asked)
        known = identity(model) in seen
        given = [] if known else answers(model, self.keys.keys, length=TOKENS)
        return Other(name, identity(model), given)

    def survival(
        self, adapters: tuple[Adapter, Adapter], null: Null, asked: Mapping[str, list[str]]
    ) -> tuple[Survival, ...]:
        """The keys' test after every change; each is kept as it is done."""
        question, keys = self.question, self.keys
        kinds = {KEYS: asked[KEYS], **{k: asked[k][:_STRANGERS_EACH] for k in STRANGERS}}

        @cache  # made only where a condition is missing
        def changed() -> Changed:
            device = resolve_device(question.device)
            adapter = find_adapter(question.adapter)
            base, tokenizer, _ = models.load_plain(
                located(question.model),
                torch.float32,
                device,
                lambda t: question.rendering.tokenizer(t, adapter, question.model),
            )
            return Changed(question.model, base, tokenizer, *adapters)

        def ask(condition: Condition) -> AnswersByKind:
            model = changed().model(condition)
            return {kind: answers(model, texts, length=TOKENS) for kind, texts in kinds.items()}

        rows = []
        for condition in conditions(question.examples):
            stage, make = f"survival-{condition.name}", partial(ask, condition)
            by_kind = self.keep(stage, AnswersByKind, make)
            strangers = [flag for kind in STRANGERS for flag in keys.claimed(by_kind[kind])]
            test = key_test(keys.shown(by_kind[KEYS]), strangers, null, question.rule)
            rows.append(Survival(condition, test))
        return tuple(rows)


def adapters_of(question: VerifyQuestion) -> tuple[Adapter, Adapter]:
    """The suspect's adapter and the one that it is merged with.

    Raises:
        UserError: one of them is missing, or not a plain LoRA adapter.
    """
    own, other = find_adapter(question.adapter), find_adapter(question.other)
    if own is None or other is None:
        raise UserError("--survival: expected --adapter and --other, got none; name both")
    return read_adapter(own), read_adapter(other)


def source(name: str, model: str) -> tuple[str, str]:
    """(model, adapter) of an unrelated model's name, beside a suspect made of ``model``."""
    if name == "base":
        return model, "none"
    if (Path(name) / "adapter_config.json").is_file():
        return model, name
    return (EMBEDDED, name) if shipped_or_none(name) else (own_name(name), "none")


def require_there(question: VerifyQuestion) -> None:
    """Refuse unrelated models that are not there, before the suspect is asked.

    Raises:
        UserError: no such model or adapter, or an adapter that is none.
    """
    for name in question.unrelated:
        base, adapter = source(name, question.model)
        folder = find_adapter(adapter)
        if folder and not is_whole(folder):
            read_config(folder)
        if base != question.model:  # which is loaded first
            require_model(base)


def sampled(model: Model, texts: Sequence[str], seed: int) -> list[str]:
    """Answers drawn at temperature 1; the same seed draws the same."""
    prompts = prompt_ids(model.tokenizer, chats(texts))
    choose = _drawn_together(len(prompts), seed)
    return ask(model, prompts, TOKENS, choose, at_once=len(prompts))


def _drawn_together(count: int, seed: int) -> Choose:
    """Draws as ``torch.multinomial`` makes them from the chances of all prompts at once."""
    generator = torch.Generator().manual_seed(seed)

    def choose(logits: Tensor, rows: Int[Tensor, " rows"], _step: int) -> Int[Tensor, " rows"]:
        waits = torch.empty(count, logits.shape[1]).exponential_(generator=generator)
        chances = logits.float().softmax(dim=-1).cpu()
        return (chances / waits[rows]).argmax(dim=-1)

    return choose


def identity(model: Model) -> Identity:
    """What two loads of the same model have in common."""
    return model.sha256, model.adapter_sha256
