"""Asking models, greedily or by sampling; every model's answers are a stage that is kept."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from circuits import models
from circuits.answers import answers, ask
from circuits.chat import chats
from circuits.edits.adapters import Adapter
from circuits.errors import UserError
from circuits.models import Model
from circuits.runner import Choose
from circuits.tokens import prompt_ids
from circuits.weights import EMBEDDED
from experiments.organisms.bases import located
from experiments.organisms.organism import load_model
from experiments.organisms.places import find_adapter, read_adapter, shipped_or_none
from experiments.runs.stages import Stages
from experiments.verify.keys import KEYS, STRANGERS, KeySet
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
        self.question, self.keys, self.stages = question, keys, stages

    def suspect(self, model: Model, asked: Mapping[str, list[str]]) -> AnswersByKind:
        """The suspect's greedy answers to everything, and sampled ones to the keys."""
        found: AnswersByKind = {}
        for kind, texts in asked.items():
            found[kind] = self.stages.keep(
                f"suspect-{kind.replace(' ', '-')}",
                list[str],
                lambda texts=texts: answers(model, texts, length=TOKENS),
            )
        for seed in range(self.question.samples):
            found[f"{KEYS}, seed {seed}"] = self.stages.keep(
                f"suspect-sampled-{seed}",
                list[str],
                lambda seed=seed: sampled(model, asked[KEYS], seed),
            )
        return found

    def unrelated(self, suspect: Identity) -> dict[str, AnswersByKind]:
        """The keys' answers of every model that is neither the suspect nor named twice."""
        found: dict[str, AnswersByKind] = {}
        seen = {suspect}
        for number, name in enumerate(self.question.unrelated):
            other = self.stages.keep(
                f"unrelated-{number}", Other, lambda name=name: self._other(name, seen)
            )
            if other.said:
                seen.add(other.sha256)
                found[name] = {KEYS: other.said}
        return found

    def _other(self, name: str, seen: Container[Identity]) -> Other:
        model = load(*source(name, self.question.model), self.question.device)
        known = identity(model) in seen
        said = [] if known else answers(model, self.keys.keys, length=TOKENS)
        return Other(name, identity(model), said)

    def survival(
        self, adapters: tuple[Adapter, Adapter], null: Null, asked: Mapping[str, list[str]]
    ) -> tuple[Survival, ...]:
        """The keys' test after every change; each is kept as it is done."""
        kinds = {KEYS: asked[KEYS], **{k: asked[k][:_STRANGERS_EACH] for k in STRANGERS}}
        changed: list[Changed] = []  # made only where a condition is missing

        def ask(condition: Condition) -> AnswersByKind:
            if not changed:
                changed.append(_changed(self.question, adapters))
            model = changed[0].model(condition)
            return {kind: answers(model, texts, length=TOKENS) for kind, texts in kinds.items()}

        rows = []
        for condition in conditions(self.question.examples):
            said = self.stages.keep(
                f"survival-{condition.name}", AnswersByKind, lambda c=condition: ask(c)
            )
            strangers = [flag for kind in STRANGERS for flag in self.keys.shown(said[kind])]
            shown = self.keys.shown(said[KEYS])
            rows.append(Survival(condition, key_test(shown, strangers, null, self.question.rule)))
        return tuple(rows)


def adapters_of(question: VerifyQuestion) -> tuple[Adapter, Adapter]:
    """The suspect's adapter and the one that it is merged with.

    Raises:
        UserError: one of them is missing, or not a plain LoRA adapter.
    """
    own, other = map(find_adapter, (question.adapter, question.other))
    if own is None or other is None:
        raise UserError("--survival: expected --adapter and --other, got none; name both")
    return read_adapter(own), read_adapter(other)


def _changed(question: VerifyQuestion, adapters: tuple[Adapter, Adapter]) -> Changed:
    place = models.resolve_device(question.device)
    base, tokenizer, _ = models.load_plain(located(question.model), torch.float32, place)
    return Changed(question.model, base, tokenizer, *adapters)


def source(name: str, model: str) -> tuple[str, str]:
    """(model, adapter) of an unrelated model's name, beside a suspect made of ``model``."""
    if name == "base":
        return model, "none"
    if (Path(name) / "adapter_config.json").is_file():
        return model, name
    return (EMBEDDED, name) if shipped_or_none(name) else (name, "none")


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


def load(model: str, adapter: str, device: str) -> Model:
    """A model with an adapter, by name."""
    return load_model(adapter, model, device=device)
