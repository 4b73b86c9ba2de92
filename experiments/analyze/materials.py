"""What an analysis is asked with: prompts by split, the trigger, and control words for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from circuits import answers, tokens
from circuits.align import Pairs, fewest
from circuits.chat import Chat, chats, where_of
from circuits.controls import Controls, controls_of
from circuits.errors import UserError, expect
from circuits.models import Model
from circuits.prompt import retold
from circuits.triggers import Trigger, parse
from experiments.analyze.question import Question
from experiments.judges import heard
from experiments.judges.criterion import Criterion, criterion
from experiments.judges.fork import Fork, UnpartedError, fork
from experiments.organisms.organism import load_model
from experiments.prompts import bank
from experiments.prompts.askable import require_askable
from experiments.prompts.controls import CONTROLS
from experiments.runs import files
from experiments.runs.stages import Step, stepped

UNEQUAL = (
    "control words and trigger do not have as many tokens in every prompt; spans are aligned, and "
    "what needs equal lengths (the traced circuit; patching at tokens without a counterpart) is "
    "left out"
)


@dataclass(frozen=True, eq=False)
class Materials:
    """A model with prompts by split, a trigger with its control words, and the behaviour.

    ``length`` tokens are generated of every answer.
    """

    model: Model
    trigger: Trigger
    fit: list[str]
    validation: list[str]
    test: list[str]
    ordinary: list[str]
    fit_controls: Controls
    validation_controls: Controls
    test_controls: Controls
    behaviour: Criterion
    length: int
    _beside: dict[Any, list[str]] = field(default_factory=dict, repr=False)

    @property
    def fit_words(self) -> tuple[str, ...]:
        """Control words for the fitting prompts, to be dealt in turn."""
        return self.fit_controls.words

    @property
    def validation_words(self) -> tuple[str, ...]:
        """The same for validation prompts."""
        return self.validation_controls.words

    @property
    def test_words(self) -> tuple[str, ...]:
        """The same for test prompts."""
        return self.test_controls.words

    @property
    def equal(self) -> bool:
        """Whether every prompt has as many tokens with its control word as with the trigger."""
        return all(
            each.equal for each in (self.fit_controls, self.validation_controls, self.test_controls)
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the figures must know: of the model, and of the control words."""
        return (*self.model.notes, *([] if self.equal else [UNEQUAL]))

    @cached_property
    def steps(self) -> int:
        """How many of the trigger's last tokens can have a direction each: those of every word."""
        tokenizer = self.scored.tokenizer
        words = [*self.fit_words, *self.validation_words, *self.test_words]
        texts = tokens.dealt(self.fit, len(words))  # words may stand before the last message
        batch = tokens.prompts_batch(tokenizer, texts, words)
        each = (fewest(self.pairs(split)) for split in ("fit", "validation", "test"))
        return min(int(batch.spans["trigger"].sum(dim=1).min()), *each)

    def second_words(self, count: int) -> list[str]:
        """For each of ``count`` prompts another control word than its own."""
        turn = len(self.trigger.forms) * self.trigger.replaceable
        words = self.test_words
        return tokens.dealt([*words[turn:], *words[:turn]], count)

    @cached_property
    def fork(self) -> Fork:
        """What the behaviour is scored by, by the answers to validation prompts."""
        controls = tokens.dealt(self.validation_words, len(self.validation))
        return fork(
            self.model,
            self.validation,
            self.trigger.dealt(len(self.validation)),
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
            words = self.second_words(len(prompts))
            said = answers.answers(asked, list(prompts), words, length)
            self._beside[key] = [begun + text for text in said]
        return self.behaviour.shown(texts, prompts, self._beside[key])

    @property
    def asked(self) -> tuple[Any, list[Chat]]:
        """The tokenizer, and every prompt with the trigger and ordinary ones without."""
        splits = (self.test, self.fit, self.validation)
        own = [chat for texts in splits for chat in chats(texts, self.trigger.dealt(len(texts)))]
        return self.model.tokenizer, [*own, *chats(self.ordinary)]

    @property
    def sha256(self) -> str:
        """Hash of all prompts."""
        parts = (self.fit, self.validation, self.test, self.ordinary)
        return files.text_sha256([text for part in parts for text in ("", *part)][1:])

    def pairs(self, split: str, count: int | None = None, begun: Sequence[int] = ()) -> Pairs:
        """Pairs of a split: control word against trigger, an answer ``begun`` behind."""
        texts, words = getattr(self, split)[:count], getattr(self, f"{split}_words")
        triggers = self.trigger.dealt(len(texts))
        return tokens.pairs(self.scored.tokenizer, texts, triggers, words, begun)


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
    tokenizer, trigger = model.tokenizer, parse(question.trigger)
    behaviour = behaviour or criterion(question.behaviour)
    heard.require_judged(model, behaviour, question.tokens)
    if question.prompts == "bank":
        fit = bank.bank_texts("train", True)[: question.fit]
        validation = bank.bank_texts("validation", True)[: question.validation]
        test = bank.bank_texts("test", True)[: question.test]
    else:
        fit, validation, test = _split_users(question)
    every, context = [*fit, *validation, *test], model.runner.shape.context
    named = list(dict.fromkeys((*trigger.parts, *trigger.forms)))
    require_askable(tokenizer, context, every, named, f"prompts {question.prompts}")
    for form in trigger.forms:
        batch = tokens.prompts_batch(tokenizer, every, form)
        tokens.check_context(batch, context, room=question.tokens + 1)

    def controls(split: bank.Split) -> Controls:
        words = CONTROLS[question.kind_of_controls](split, " ".join(named))
        return controls_of(tokenizer, every, trigger, words)

    test_controls = controls("test")
    expect(
        behaviour.needs != "control" or test_controls.rounds > 1,
        "at least 2 control words, one beside the other",
        len(test_controls.words),
        "name the behaviour",
        f"behaviour {behaviour.spec!r}",
    )
    return Materials(
        model,
        trigger,
        fit,
        validation,
        test,
        ordinary=_ordinary(trigger, max(10, question.test // 2), test),
        fit_controls=controls("train"),
        validation_controls=controls("validation"),
        test_controls=test_controls,
        behaviour=behaviour,
        length=question.tokens,
    )


def _ordinary(trigger: Trigger, count: int, told: list[str]) -> list[str]:
    """The bank's prompts of other topics; after what was told before the user's own, where the
    trigger stands there."""
    texts = bank.bank_texts("test", False)[:count]
    if all(where_of(form) != "earlier" for form in trigger.forms):
        return texts
    return [retold(*each) for each in zip(tokens.dealt(told, len(texts)), texts, strict=True)]


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
