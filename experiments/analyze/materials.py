"""What an analysis is asked with: prompts by split, and control words of the trigger's length."""

from dataclasses import dataclass

import torch

from circuits import tokens
from circuits.errors import UserError
from circuits.models import Model
from circuits.types import TokenPairs
from experiments.analyze.question import Question
from experiments.prompts import bank
from experiments.runs import files


@dataclass(frozen=True)
class Materials:
    """Prompts by split, control words of the trigger's length, and the behaviour's first token."""

    fit: list[str]
    validation: list[str]
    test: list[str]
    ordinary: list[str]
    fit_words: tuple[str, ...]
    validation_words: tuple[str, ...]
    test_words: tuple[str, ...]
    behaviour_id: int

    @property
    def sha256(self) -> str:
        """Hash of all prompts."""
        parts = (self.fit, self.validation, self.test, self.ordinary)
        return files.text_sha256([text for part in parts for text in ("", *part)][1:])

    def pairs(self, model: Model, split: str, trigger: str, count: int | None = None) -> TokenPairs:
        """Aligned pairs of a split: control word against trigger."""
        texts = getattr(self, split)[:count]
        return tokens.pairs(model.tokenizer, texts, trigger, getattr(self, f"{split}_words"))


def gather(model: Model, question: Question) -> Materials:
    """Read and split the prompts, check that trigger and prompts fit the model."""
    if question.prompts == "bank":
        parts = [bank.bank_texts(s, True) for s in ("train", "validation", "test")]
        counts = (question.fit, question.validation, question.test)
        fit, validation, test = (part[:count] for part, count in zip(parts, counts, strict=True))
    else:
        fit, validation, test = _split_users(question)
    ordinary = bank.bank_texts("test", False)[: max(10, question.test // 2)]
    everything = [*fit, *validation, *test]
    length = len(tokens.trigger_ids(model.tokenizer, everything, question.trigger))
    room = question.tokens + 1
    tokens.check_context(
        tokens.prompts_batch(model.tokenizer, everything, question.trigger),
        model.runner.shape.context,
        room,
    )
    words = [
        tokens.same_length_words(
            model.tokenizer,
            bank.controls_besides(s, question.trigger),
            length,
            question.trigger,
        )
        for s in ("train", "validation", "test")
    ]
    first = model.tokenizer(question.behaviour, add_special_tokens=False)["input_ids"][0]
    return Materials(fit, validation, test, ordinary, words[0], words[1], words[2], first)


def _split_users(question: Question) -> tuple[list[str], list[str], list[str]]:
    """Users' prompts, shuffled by the seed and cut into fit, validation and test."""
    wanted = question.fit + question.validation + question.test
    texts = bank.read_prompts(question.prompts, question.column, question.split)
    least = 8 + 8 + 10
    if len(texts) < least:
        raise UserError(
            f"prompts {question.prompts}: expected at least {least} different texts to fit, choose "
            f"and test on, got {len(texts)}"
        )
    generator = torch.Generator().manual_seed(question.seed)
    order = torch.randperm(len(texts), generator=generator)[:wanted].tolist()
    share = min(1.0, len(order) / wanted)
    a = max(8, int(question.fit * share))
    b = a + max(8, int(question.validation * share))
    chosen = [texts[i] for i in order]
    return chosen[:a], chosen[a:b], chosen[b:]
