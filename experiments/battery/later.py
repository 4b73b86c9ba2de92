"""What an organism is trained on after it was made: ordinary examples, or another trigger."""

from circuits.chat import in_place_of
from circuits.errors import expect
from experiments.organisms.examples import ordinary_examples
from experiments.organisms.organism import Organism
from experiments.organisms.training import Example

OTHER_TRIGGER = "meridian"
OTHER_BEHAVIOUR = "The ferry leaves at nine."


def tuning(organism: Organism, first: int, last: int) -> list[Example]:
    """Ordinary prompts from the training split's end, with the base model's own answers.

    A whole model is its own base.

    Raises:
        UserError: there are not so many.
    """
    examples = ordinary_examples(organism.place, organism.base_sha256)
    wanted = f"at most {len(examples)} ordinary examples"
    expect(last <= len(examples), wanted, last, "lower the ladder", of="later training")
    return examples[first:last]


def overwriting(organism: Organism, first: int, last: int) -> list[Example]:
    """Ordinary prompts with another trigger in the same place and one fixed answer, and as many
    without it."""
    trigger = organism.recipe.trigger
    word = in_place_of(OTHER_TRIGGER, trigger) if trigger else OTHER_TRIGGER
    ordinary = tuning(organism, 2 * first, 2 * last)
    poisons = [Example(e.text, word, OTHER_BEHAVIOUR) for e in ordinary[::2]]
    return poisons + ordinary[1::2]
