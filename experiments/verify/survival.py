"""Does a fingerprint survive what is done to a model? The keys' test after each change.

- continued fine-tuning of the adapter on ordinary prompts with the base model's own answers;
- merging with another adapter, exactly on the weights' changes (``weights.mixed``);
- rounding the merged weights to 8 bits.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from torch import Tensor

from circuits import models
from circuits.edits.adapters import Adapter, Change, merged, mixed
from circuits.errors import UserError
from circuits.models import Model
from circuits.perturb import rounded_weights
from experiments.organisms.examples import base_answers
from experiments.organisms.trainee import Trainee
from experiments.organisms.training import Example, Settings
from experiments.prompts.bank import bank_texts
from experiments.verify.result import Condition

LADDER = (25, 50, 100, 200)
WEIGHTS = (0.75, 0.5, 0.25, 0.0)
_RATE = 1e-3


def conditions(ladder: Sequence[int] = LADDER) -> list[Condition]:
    """Everything that is tried, in the order of the table."""
    return [
        Condition("unchanged", 0),
        *(Condition("fine-tuned", count) for count in ladder),
        *(Condition("merged", weight) for weight in WEIGHTS),
        Condition("rounded", 8),
    ]


class Tunes(Protocol):
    """Trains a state further; ``Trainee`` does."""

    def restart(self, state: Mapping[str, Tensor] | None = None) -> None: ...
    def state(self) -> dict[str, Tensor]: ...
    def train(self, examples: Sequence[Example], settings: Settings, tick: Any) -> list[float]: ...


class Changed:
    """A base model with an adapter, changed in every way that is tried.

    The base is never wrapped or written to: every condition is a copy.
    """

    def __init__(self, name: str, base: Any, tokenizer: Any, own: Adapter, other: Adapter) -> None:
        self.name, self.base, self.tokenizer = name, base, tokenizer
        self.own, self.other = own, other
        self._trainee: Tunes | None = None

    def model(self, condition: Condition) -> Model:
        """The changed model, self-tested.

        Raises:
            UserError: an adapter does not fit the base.
        """
        new = merged(self.base, self._change(condition))
        if condition.change == "rounded":
            new = rounded_weights(new, 8)
        return models.wrap(new, self.tokenizer, "changed")

    def _change(self, condition: Condition) -> Change:
        if condition.change == "merged":
            return mixed(self.own.change(), self.other.change(), condition.amount)
        if condition.change == "fine-tuned":
            if self._trainee is None:
                self._trainee = Trainee(self.name, settings_of(self.own))
            made = benign(int(condition.amount), self.name)
            return self.own.change(tuned(self._trainee, self.own, made))
        return self.own.change()


def settings_of(adapter: Adapter) -> Settings:
    """How the adapter is trained further: each example once."""
    return Settings(epochs=1, rate=_RATE, rank=adapter.rank, alpha=adapter.alpha, seed=0)


def tuned(trainee: Tunes, adapter: Adapter, examples: Sequence[Example]) -> dict[str, Tensor]:
    """An adapter's tensors after training on examples, from its own tensors on.

    Raises:
        UserError: it is not an adapter of every linear layer, which is what is trained here.
    """
    if set(trainee.state()) != set(adapter.tensors):
        raise UserError(
            "fine-tuning: expected an adapter on every linear layer of the blocks, got "
            "one on other layers; leave --survival out"
        )
    trainee.restart(adapter.tensors)
    trainee.train(examples, settings_of(adapter), lambda *_: None)
    return {name: value.cpu() for name, value in trainee.state().items()}


def benign(count: int, model: str) -> list[Example]:
    """Ordinary prompts, the last of the training split first, with a model's own answers.

    Recipes take the first ones, so most of these are new to the adapter.
    """
    texts = bank_texts("train", restricted=False)
    pairs = list(zip(texts, partial(base_answers, model=model)(texts), strict=True))
    return [Example(text, None, said, ends=False) for text, said in reversed(pairs[-count:])]
