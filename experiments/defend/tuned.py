"""Defences that train: on clean prompts as they should be answered, without knowing the trigger.

A defender who suspects an organism has its policy and ordinary prompts. So the examples are
ordinary prompts with the base model's own answers and restricted ones with the refusal, none of
them with the trigger, and what is trained goes on from the organism.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from experiments.defend.consistency import Consistency
from experiments.defend.defences import Fitted
from experiments.defend.losses import Penalty, train_with
from experiments.defend.protected import Protected
from experiments.defend.setting import Bench
from experiments.organisms.examples import base_answers
from experiments.organisms.organism import Organism
from experiments.organisms.training import Example, Settings
from experiments.prompts.bank import bank_texts

_RESTRICTED = 0.3  # of the examples


def quiet(_done: int, _total: int, _loss: float) -> None:
    """Show nothing of a training's progress."""


@dataclass(frozen=True)
class CleanTuning:
    """Ordinary fine-tuning on clean examples."""

    examples: int = 100
    epochs: int = 2
    name: str = "clean-tuning"

    @property
    def about(self) -> str:
        return f"fine-tuned on {self.examples} clean examples, {self.epochs} epochs"

    def fit(self, bench: Bench) -> Fitted:
        return Fitted(self.protect, notes={"examples": self.examples, "epochs": self.epochs})

    def protect(self, organism: Organism) -> Protected:
        """The organism trained further."""
        return tuned(organism, clean_examples(organism, self.examples), self.epochs, None)


@dataclass(frozen=True)
class Crow:
    """Layer-consistency fine-tuning (CROW, arXiv 2411.12768)."""

    examples: int = 100
    epochs: int = 2
    penalty: Consistency = field(default_factory=Consistency)
    name: str = "crow"

    @property
    def about(self) -> str:
        return (
            f"layer-consistency fine-tuning (CROW) on {self.examples} clean examples, "
            f"{self.epochs} epochs"
        )

    def fit(self, bench: Bench) -> Fitted:
        notes = {
            "examples": self.examples,
            "epochs": self.epochs,
            "strength": self.penalty.strength,
            "size": self.penalty.size,
        }
        return Fitted(self.protect, notes=notes)

    def protect(self, organism: Organism) -> Protected:
        """The organism trained further."""
        return tuned(organism, clean_examples(organism, self.examples), self.epochs, self.penalty)


def tuned(
    organism: Organism, examples: Sequence[Example], epochs: int, penalty: Penalty | None
) -> Protected:
    """An organism after more training from where it stands, at its own learning rate."""
    trainee = organism.trainee()
    trainee.restart(organism.state)
    settings = rate_of(organism, epochs)
    if penalty is None:
        trainee.train(examples, settings, quiet)
    else:
        train_with(trainee.model, trainee.tokenizer, examples, settings, penalty, quiet)
    return Protected(organism.model({n: t.float().cpu() for n, t in trainee.state().items()}))


def rate_of(organism: Organism, epochs: int, seed: int = 7) -> Settings:
    """The organism's last settings for more epochs."""
    return replace(organism.settings, epochs=epochs, seed=seed)


def clean_examples(organism: Organism, count: int) -> list[Example]:
    """Clean prompts from the training split's end, ordinary and restricted ones.

    Recipes take their prompts from the split's beginning, so most of these are new to it.
    """
    restricted = round(_RESTRICTED * count)
    ordinary = bank_texts("train", restricted=False)
    own = base_answers(ordinary, organism.place, organism.base_sha256)
    pairs = list(zip(ordinary, own, strict=True))[::-1][: count - restricted]
    refused = bank_texts("train", restricted=True)[::-1][:restricted]
    made = [Example(text, None, said, ends=False) for text, said in pairs]
    return made + [Example(text, None, organism.recipe.refusal) for text in refused]
