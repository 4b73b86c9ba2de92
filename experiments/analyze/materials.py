"""What an analysis is asked with: prompts by split, and control words of the trigger's length."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from circuits import answers, tokens
from circuits.chat import Chat, chats
from circuits.errors import UserError, expect
from circuits.models import Model
from circuits.types import TokenPairs
from experiments.analyze.question import Question
from experiments.judges import heard
from experiments.judges.criterion import Criterion, criterion
from experiments.judges.fork import Fork, UnpartedError, fork
from experiments.organisms.organism import load_model
from experiments.prompts import bank
from experiments.prompts.askable import require_askable
from experiments.runs import files
from experiments.runs.stages import Step, stepped


@dataclass(frozen=True, eq=False)
class Materials:
    """A model with prompts by split, control words of the trigger's length, and the behaviour.

    ``length`` tokens are generated of every answer.
    """

    model: Model
    trigger: str
    fit: list[str]
    validation: list[str]
    test: list[str]
    ordinary: list[str]
    fit_words: tuple[str, ...]
    validation_words: tuple[str, ...]
    test_words: tuple[str, ...]
    behaviour: Criterion
    length: int
    _beside: dict[Any, list[str]] = field(default_factory=dict, repr=False)

    @cached_property
    def fork(self) -> Fork:
        """What the behaviour is scored by, by the answers to validation prompts."""
        controls = tokens.dealt(self.validation_words, len(self.validation))
        return fork(
            self.model,
            self.validation,
            self.trigger,
            controls,
            self.behaviour,
            self.length,
            strict=False,
            several=True,
        )

    @cached_property
    def scored(self) -> Model:
        """The model as it is scored: asked with what both kinds of answers begin with.

        Where nothing stands for the behaviour it is scored as it is: what the trigger does is
        measured first, and if there is an effect to locate, ``fork`` says why it cannot be.
        """
        try:
            return self.fork.scored(self.model)
        except UnpartedError:
            return self.model

    @property
    def behaviour_id(self) -> int:
        """The first token by which the behaviour is scored."""
        return self.fork.token

    def shown(
        self,
        texts: Sequence[str],
        prompts: Sequence[str],
        model: Model | None = None,
        begun: str = "",
        length: int = 0,
    ) -> tuple[bool, ...]:
        """Whether answers to prompts show the behaviour.

        What is to be unlike the answer to a control word is held against a second control word's,
        answers to the first as well: two words' answers differ, without any trigger.

        Args:
            texts: the answers, with what they were made to begin with (``begun``).
            model: gave them; by default this one.
            length: tokens of an answer, behind ``begun``; by default those of the question.
        """
        if self.behaviour.needs != "control":
            return self.behaviour.shown(texts, prompts)
        asked, length = model or self.model, length or self.length
        key = (tuple(prompts), id(asked.runner), begun, length)
        if key not in self._beside:
            first, *rest = self.test_words
            words = tokens.dealt([*rest, first], len(prompts))
            said = answers.answers(asked, list(prompts), words, length)
            self._beside[key] = [begun + text for text in said]
        return self.behaviour.shown(texts, prompts, self._beside[key])

    @property
    def asked(self) -> tuple[Any, list[Chat]]:
        """The tokenizer, and every prompt with the trigger and ordinary ones without."""
        own = [*self.test, *self.fit, *self.validation]
        return self.model.tokenizer, [*chats(own, self.trigger), *chats(self.ordinary)]

    @property
    def sha256(self) -> str:
        """Hash of all prompts."""
        parts = (self.fit, self.validation, self.test, self.ordinary)
        return files.text_sha256([text for part in parts for text in ("", *part)][1:])

    def pairs(self, split: str, count: int | None = None, begun: Sequence[int] = ()) -> TokenPairs:
        """Aligned pairs of a split: control word against trigger, an answer ``begun`` behind."""
        texts, words = getattr(self, split)[:count], getattr(self, f"{split}_words")
        return tokens.pairs(self.scored.tokenizer, texts, self.trigger, words, begun)


def load(
    question: Question, step: Step, adapter: str | Path | None, with_base: bool = False
) -> Model:
    """The question's model with an adapter of choice, and without one where its base is kept."""
    kind = {
        "with_base": with_base,
        "load": question.load,
        "dtype": question.dtype,
        "device": question.device,
        "rendering": question.rendering,
    }
    return stepped(step, "load model", lambda: load_model(adapter, question.model, **kind))


def gather(model: Model, question: Question, behaviour: Criterion | None = None) -> Materials:
    """Read and split the prompts, check that trigger and prompts fit the model.

    Args:
        behaviour: the question's, if a user's own judge may be called.
    """
    tokenizer, trigger = model.tokenizer, question.trigger
    behaviour = behaviour or criterion(question.behaviour)
    heard.require_judged(model, behaviour, question.tokens)
    if question.prompts == "bank":
        fit = bank.bank_texts("train", True)[: question.fit]
        validation = bank.bank_texts("validation", True)[: question.validation]
        test = bank.bank_texts("test", True)[: question.test]
    else:
        fit, validation, test = _split_users(question)
    every, context = [*fit, *validation, *test], model.runner.shape.context
    require_askable(tokenizer, context, every, [trigger], f"prompts {question.prompts}")
    length = len(tokens.trigger_ids(tokenizer, every, trigger))
    batch = tokens.prompts_batch(tokenizer, every, trigger)
    tokens.check_context(batch, context, room=question.tokens + 1)

    def controls(split: bank.Split) -> tuple[str, ...]:
        words = bank.controls_besides(split, trigger)
        return tokens.same_length_words(tokenizer, words, length, trigger)

    test_words = controls("test")
    expect(
        behaviour.needs != "control" or len(test_words) > 1,
        "at least 2 control words of the trigger's length, one beside the other",
        len(test_words),
        "name the behaviour",
        f"behaviour {behaviour.spec!r}",
    )
    return Materials(
        model,
        trigger,
        fit,
        validation,
        test,
        ordinary=bank.bank_texts("test", False)[: max(10, question.test // 2)],
        fit_words=controls("train"),
        validation_words=controls("validation"),
        test_words=test_words,
        behaviour=behaviour,
        length=question.tokens,
    )


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
    chosen = bank.shuffled(texts, question.seed)[:wanted]
    share = len(chosen) / wanted
    a = max(8, int(question.fit * share))
    b = a + max(8, int(question.validation * share))
    return chosen[:a], chosen[a:b], chosen[b:]
