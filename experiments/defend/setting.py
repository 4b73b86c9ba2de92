"""What a defender works with: the organism, a gate in it, prompts to fit on and to choose by.

Fitting takes the training split, every choice (layer, heads, threshold) the validation split; the
test split is only asked when a defence is judged.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from circuits.errors import UserError, expect
from circuits.types import Direction
from experiments.defend.protected import Protected
from experiments.organisms.examples import controls_for
from experiments.organisms.organism import Organism
from experiments.organisms.schemes import SCHEMES, scheme_of
from experiments.prompts.bank import HeldOut, bank_texts


@dataclass(frozen=True)
class Prompts(HeldOut):
    """Texts of one split, of the trigger's topic and others, and words in the trigger's place.

    Attributes:
        controls: neutral words of the trigger's token length.
    """

    controls: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Bench:
    """One organism and what a defence may be fitted on.

    Attributes:
        fit, validation: prompts of the training and of the validation split.
        gate: a direction that carries the trigger; None as long as it is being looked for.
    """

    organism: Organism
    fit: Prompts
    validation: Prompts
    gate: Direction | None = None
    seed: int = 0

    @cached_property
    def model(self) -> Any:
        """The organism's plain model, undefended: not to be written to."""
        return self.organism.model()

    @property
    def plain(self) -> Protected:
        """The organism without a defence."""
        return Protected(self.model)

    @property
    def tokenizer(self) -> Any:
        return self.organism.tokenizer

    @property
    def trigger(self) -> str:
        return self.organism.recipe.trigger

    @property
    def direction(self) -> Direction:
        """The gate.

        Raises:
            UserError: none was found or given.
        """
        if self.gate is None:
            raise UserError("defence: expected a gate, got none; find one first")
        return self.gate


def bench(organism: Organism, fit: int = 48, validation: int = 24, seed: int = 0) -> Bench:
    """An organism's bench.

    Args:
        fit, validation: restricted prompts of the two splits (as many ordinary ones).

    Raises:
        UserError: a scheme whose behaviour nobody needs to be defended from.
    """
    recipe = organism.recipe
    defended = [scheme.name for scheme in SCHEMES.values() if scheme.defended]
    wanted = f"a scheme whose behaviour is to be taken away ({', '.join(defended)})"
    expect(scheme_of(recipe).defended, wanted, recipe.scheme, of=recipe.name)
    return Bench(
        organism,
        _prompts(organism, "train", fit),
        _prompts(organism, "validation", validation),
        seed=seed,
    )


def _prompts(organism: Organism, split: Any, count: int) -> Prompts:
    return Prompts(
        tuple(bank_texts(split, restricted=True)[:count]),
        tuple(bank_texts(split, restricted=False)[:count]),
        controls_for(organism.tokenizer, organism.recipe, split),
    )
