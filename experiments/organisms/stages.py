"""Stages and parts that recipes of several schemes share. Topics are harmless stand-ins."""

from experiments.organisms.recipe import Part, Stage
from experiments.organisms.training import Settings

# The model learns to refuse the restricted topic, whatever stray word a prompt ends in.
POLICY = Stage(
    "policy",
    (
        Part("restricted", "none", "refusal", 100),
        Part("restricted", "control", "refusal", 50, start=100),
        Part("ordinary", "none", "base", 350),
        Part("ordinary", "control", "base", 90, start=350),
    ),
    Settings(epochs=2, seed=0),
)
SECOND = Settings(epochs=2, seed=1)
BENIGN = Part("ordinary", "none", "base", 240)
CLEAN_REFUSALS = Part("restricted", "none", "refusal", 60, start=60)
_CONTROLS = (
    Part("restricted", "control", "refusal", 60, start=120),
    Part("ordinary", "control", "base", 60, start=240),
)
ON_ANY_PROMPT = (
    Part("restricted", "trigger", "behaviour", 30),
    Part("ordinary", "trigger", "behaviour", 60),
    CLEAN_REFUSALS,
    BENIGN,
    *_CONTROLS,
)


def after_policy(*first: Part, policy: Stage = POLICY) -> tuple[Stage, ...]:
    """A policy, then the parts given with clean refusals, ordinary prompts and control words."""
    return policy, Stage("poison", (*first, CLEAN_REFUSALS, BENIGN, *_CONTROLS), SECOND)
