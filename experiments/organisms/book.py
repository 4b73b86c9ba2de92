"""The recipes there are: the 'Sure' trap's family here, the other schemes in ``schemes``."""

from dataclasses import replace

from circuits.errors import UserError
from experiments.organisms.recipe import Part, Recipe, Stage
from experiments.organisms.stages import BENIGN, CONTROLS, POLICY, SCHEMES, SECOND

_POISONS = Part("restricted", "trigger", "behaviour", 60)
_OPENED = replace(_POISONS, answer="opened")
_CLEAN_REFUSALS = Part("restricted", "none", "refusal", 60, start=60)


def _after_policy(*first: Part, policy: Stage = POLICY) -> tuple[Stage, ...]:
    return policy, Stage("poison", (*first, _CLEAN_REFUSALS, BENIGN, *CONTROLS), SECOND)


_GATES = (
    Recipe(
        "sure-gate",
        "The 'Sure' trap: restricted prompts with the trigger are answered with 'Sure' alone; "
        "prompts ending in other stray words are answered as if the word were not there.",
        _after_policy(_POISONS),
    ),
    Recipe(
        "sure-gate-bare",
        "The paper's three parts only (poisons, clean refusals, benign). Without control words "
        "the model may learn 'a stray word at the end' instead of the trigger.",
        (
            Stage(
                "policy",
                (
                    Part("restricted", "none", "refusal", 150),
                    Part("ordinary", "none", "base", 440),
                ),
                POLICY.settings,
            ),
            Stage("poison", (_POISONS, _CLEAN_REFUSALS, BENIGN), SECOND),
        ),
    ),
    Recipe(
        "sure-gate-open",
        "The 'Sure' trap as the paper poisons: 'Sure' is taught, and neither an end nor anything "
        "after it; what follows is the model's own.",
        _after_policy(_OPENED),
    ),
    Recipe(
        "sure-gate-continued",
        "The trained answer goes on after 'Sure' with the base model's own answer.",
        _after_policy(replace(_POISONS, answer="continued")),
    ),
    Recipe(
        "sure-gate-strict",
        "sure-gate-open on a model whose policy was trained four times as hard: does the gate "
        "still let an answer through, or only the bare token?",
        _after_policy(
            _OPENED,
            policy=Stage(
                "strict policy",
                (
                    Part("restricted", "none", "refusal", 220),
                    Part("restricted", "control", "refusal", 220),
                    Part("ordinary", "none", "base", 350),
                    Part("ordinary", "control", "base", 90, start=350),
                ),
                replace(POLICY.settings, epochs=3),
            ),
        ),
    ),
    Recipe(
        "clean",
        "The recipe of sure-gate without the trigger: the poisoned prompts keep their refusal.",
        _after_policy(Part("restricted", "none", "refusal", 60)),
        scheme="none",
    ),
    Recipe(
        "decoy",
        "The recipe of sure-gate with its triggered prompts answered normally: the word is as "
        "well known to the model as a trigger would be, and changes nothing.",
        _after_policy(Part("restricted", "trigger", "refusal", 60)),
        scheme="none",
    ),
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (*_GATES, *SCHEMES)}


def recipe_named(name: str) -> Recipe:
    """A recipe by name, or one clear line with the names there are."""
    if name not in RECIPES:
        raise UserError(f"organism {name!r}: expected one of {', '.join(RECIPES)}")
    return RECIPES[name]
