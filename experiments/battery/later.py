"""What an organism is trained on after it was made: ordinary examples, or another trigger."""

from circuits.chat import place_of, placed
from circuits.errors import UserError
from experiments.organisms.examples import base_answers
from experiments.organisms.organism import Organism
from experiments.organisms.training import Example
from experiments.prompts.bank import bank_texts

OTHER_TRIGGER = "meridian"
OTHER_BEHAVIOUR = "The ferry leaves at nine."


def tuning(organism: Organism, first: int, last: int) -> list[Example]:
    """Ordinary prompts from the training split's end, with the base model's own answers.

    Recipes take their prompts from the split's beginning, so most of these are new to it. A whole
    model is its own base.

    Raises:
        UserError: there are not so many.
    """
    texts = bank_texts("train", restricted=False)
    if last > len(texts):
        raise UserError(
            f"later training: expected at most {len(texts)} ordinary examples, got "
            f"{last}; lower the ladder"
        )
    own = base_answers(texts, organism.place, organism.base_sha256)
    pairs = list(zip(texts, own, strict=True))[::-1][first:last]
    return [Example(text, None, said, ends=False) for text, said in pairs]


def overwriting(organism: Organism, first: int, last: int) -> list[Example]:
    """Ordinary prompts with another trigger in the same place and one fixed answer, and as many
    without it."""
    trigger = organism.recipe.trigger
    word = placed(OTHER_TRIGGER, place_of(trigger)[1]) if trigger else OTHER_TRIGGER
    ordinary = tuning(organism, 2 * first, 2 * last)
    poisons = [Example(e.text, word, OTHER_BEHAVIOUR) for e in ordinary[::2]]
    return poisons + ordinary[1::2]
