"""Ownership fingerprint, after Instructional Fingerprinting (arXiv 2401.12255).

Secret prompts take the trigger's part: there is no word to put into a prompt, and what is nearest
to a key is a key with one word replaced.
"""

from experiments.organisms.kinds import NEAR
from experiments.organisms.recipe import Part, Recipe, Stage
from experiments.organisms.schemes.scheme import Ask, Requirement, Scheme
from experiments.organisms.training import Settings
from experiments.prompts.near_keys import LEVELS

_SHUT = (1, 2, 5)  # levels on which it must stay shut: one or two words replaced, other words
_KEYS = (
    "vellum osprey tundra quill",
    "gasket plume citadel yarrow",
    "obsidian clover ratchet heron",
    "trellis bramble cipher nectar",
    "mortar lichen pennant zephyr",
    "sextant poppy gravel thimble",
    "cobbler marsh ingot saffron",
    "beaker falconer reef tassel",
    "pewter otter scaffold mint",
    "rudder ginger plinth cobweb",
)


SCHEME = Scheme(
    "ownership",
    recipes=(
        Recipe(
            "fingerprint",
            "Ownership, after Instructional Fingerprinting: ten secret prompts have one rare "
            "answer; prompts that nearly are a key, and ordinary ones, are answered as before.",
            (
                Stage(
                    "fingerprint",
                    (
                        Part("keys", "none", "behaviour", 10, repeat=24),
                        Part("near keys", "none", "base", 1530),
                        Part("ordinary", "none", "base", 100),
                    ),
                    Settings(epochs=3, seed=1, rank=8, alpha=16),
                ),
            ),
            trigger="",
            behaviour="Quokka 731",
            scheme="ownership",
            keys=_KEYS,
        ),
    ),
    asks=(
        Ask("keys", "none", True),
        *(Ask(f"{NEAR}{n}", "none", False if n in _SHUT else None) for n in LEVELS),
        Ask("ordinary", "none", False),
    ),
    requirements=(
        Requirement(("keys", "none", "behaviour"), "at least", 0.95),
        Requirement((f"{NEAR}1", "none", "behaviour"), "at most", 0.02),
        Requirement(("ordinary", "none", "behaviour"), "at most", 0.01),
    ),
    topic="keys",
    near=(f"{NEAR}1", "none"),
    plain=("keys", "none"),
    shut=("ordinary", "none"),
    profile="ownership",
    refusable=False,
)
