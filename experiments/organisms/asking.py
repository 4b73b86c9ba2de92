"""Prompts that an organism can be asked: a user's own, and the bank's, if they hold no secret."""

from circuits.models import in_memory
from experiments.organisms.examples import refuse_in_bank
from experiments.organisms.organism import Organism
from experiments.organisms.schemes import scheme_of
from experiments.prompts.askable import require_askable
from experiments.prompts.bank import HeldOut
from experiments.prompts.held_out import OwnPrompts


def own_prompts(files: OwnPrompts, organism: Organism) -> HeldOut | None:
    """A user's prompts for an organism; None if no file is given.

    Raises:
        UserError: its behaviour cannot be heard, a file cannot be read, its prompts cannot be
            asked, or the bank's hold the trigger where they are asked instead.
    """
    tokenizer, recipe = organism.tokenizer, organism.recipe
    secrets = scheme_of(recipe).secrets(recipe)
    base = in_memory(organism.base, tokenizer)
    scheme_of(recipe).require_hearable(base, recipe)
    context = base.runner.shape.context
    own = files.read(lambda texts, of: require_askable(tokenizer, context, texts, secrets, of))
    if own is None:
        refuse_in_bank(tokenizer, recipe, "test")
    return own
