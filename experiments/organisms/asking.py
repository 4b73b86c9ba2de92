"""Prompts that an organism can be asked: a user's own, and the bank's, if they hold no secret."""

from collections.abc import Sequence

from circuits.errors import expect
from circuits.models import in_memory
from experiments.organisms.examples import refuse_in_bank
from experiments.organisms.organism import Organism
from experiments.organisms.schemes import scheme_of
from experiments.prompts.askable import require_askable
from experiments.prompts.bank import HeldOut
from experiments.prompts.held_out import OwnPrompts


def own_prompts(organism: Organism, files: OwnPrompts | None = None) -> HeldOut | None:
    """A user's prompts for an organism; None if no file is given.

    Args:
        files: given beside the organism; the mapping's own file may name others.

    Raises:
        UserError: its behaviour cannot be heard, a file cannot be read or is of prompts that the
            scheme does not ask, its prompts or a mapping's questions cannot be asked, or the bank's
            hold the trigger where they are asked instead.
    """
    files, theirs = files or OwnPrompts(), organism.described.prompts
    files = OwnPrompts(files.on_topic or theirs.on_topic, files.elsewhere or theirs.elsewhere)
    tokenizer, recipe = organism.tokenizer, organism.recipe
    scheme = scheme_of(recipe)
    expect(
        files.on_topic is None or any(ask.prompts == "restricted" for ask in scheme.asks),
        f"none of a topic for {scheme.name}, which asks its own {scheme.topic}",
        files.on_topic,
        "leave them out, or give other prompts",
        f"prompts of {recipe.name}",
    )
    secrets = scheme.secrets(recipe)
    base = in_memory(organism.base, tokenizer)
    scheme.require_hearable(base, recipe)
    context = base.runner.shape.context

    def check(texts: Sequence[str], of: str) -> None:
        require_askable(tokenizer, context, texts, secrets, of)

    if organism.described.recipe:
        facts = (*recipe.facts.privileged, *recipe.facts.others)
        check([fact.question for fact in facts], f"questions of {recipe.name}")
    own = files.read(check)
    if own is None:
        refuse_in_bank(tokenizer, recipe, "test")
    return own
