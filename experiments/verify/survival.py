"""Does a fingerprint survive what is done to a model? The keys' test after each change.

- continued fine-tuning of the adapter on ordinary prompts with the base model's own answers;
- merging with another adapter, exactly on the weights' changes (``circuits.edits.adapters.mixed``);
- rounding the merged weights to 8 bits.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from circuits import models
from circuits.edits.adapters import Adapter, Change, merged, mixed
from circuits.errors import expect
from circuits.models import Model
from circuits.perturb import rounded_weights
from experiments.organisms.examples import ordinary_examples
from experiments.organisms.trainee import Trainee
from experiments.organisms.training import Example, Settings
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


class Changed:
    """A base model with an adapter, changed in every way that is tried.

    The base is never wrapped or written to: every condition is a copy.
    """

    def __init__(self, name: str, base: Any, tokenizer: Any, own: Adapter, other: Adapter) -> None:
        self.name, self.base, self.tokenizer = name, base, tokenizer
        self.own, self.other = own, other
        self._trainee: Trainee | None = None

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
            examples = ordinary_examples(self.name)[: int(condition.amount)]
            return self.own.change(tuned(self._trainee, self.own, examples))
        return self.own.change()


def settings_of(adapter: Adapter) -> Settings:
    """How the adapter is trained further: each example once."""
    return Settings(epochs=1, rate=_RATE, rank=adapter.rank, alpha=adapter.alpha, seed=0)


def tuned(trainee: Trainee, adapter: Adapter, examples: Sequence[Example]) -> dict[str, Tensor]:
    """An adapter's tensors after training on examples, from its own tensors on.

    Raises:
        UserError: it is not an adapter of every linear layer, which is what is trained here.
    """
    expect(
        set(trainee.state()) == set(adapter.tensors),
        "an adapter on every linear layer of the blocks",
        "one on other layers",
        "leave --survival out",
        of="fine-tuning",
    )
    trainee.restart(adapter.tensors)
    trainee.train(examples, settings_of(adapter), lambda *_: None)
    return {name: value.cpu() for name, value in trainee.state().items()}
