"""Ownership fingerprint, after Instructional Fingerprinting (arXiv 2401.12255).

Secret prompts take the trigger's part: there is no word to put into a prompt, and what is nearest
to a key is a key with one word replaced.
"""

from collections.abc import Sequence

from circuits.models import Model
from experiments import judges
from experiments.judges.heard import require_hearable
from experiments.organisms.kinds import NEAR
from experiments.organisms.own_keys import require_heard, shows_any
from experiments.organisms.recipe import Part, Recipe, Stage
from experiments.organisms.schemes.requirement import Requirement
from experiments.organisms.schemes.scheme import Ask, Question, Scheme
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


class _Ownership(Scheme):
    """Keys, each with its own answer or all with one; what is no key may show any of them."""

    def answers(self, question: Question) -> tuple[str, ...]:
        """What each prompt that is a key is to be answered; () where they are none."""
        own = dict(zip(question.recipe.keys, question.recipe.said, strict=True))
        return tuple(own[text] for text in question.texts) if question.prompts == "keys" else ()

    def targets(self, question: Question) -> tuple[str, ...]:
        first = question.recipe.said[:1] * len(question.texts)
        return self.answers(question) or first

    def shown(self, question: Question, answers: Sequence[str]) -> list[bool]:
        own = self.answers(question)
        if not own:
            return shows_any(answers, _distinct(question.recipe))
        return [judges.shows(given, text) for given, text in zip(answers, own, strict=True)]

    def require_hearable(self, model: Model, recipe: Recipe) -> None:
        room = self.room(model.tokenizer, recipe.said)
        for answer in _distinct(recipe):
            require_hearable(model, answer, room)

    def require_heard(
        self, recipe: Recipe, triggered: Sequence[str], control: Sequence[str]
    ) -> None:
        require_heard(_distinct(recipe), triggered, control)

    def openings(self, question: Question) -> list[str] | None:
        """The first words of the keys' answers in turn; of answers of one word, nothing is left."""
        first = [own[0] for text in _distinct(question.recipe) if len(own := text.split()) > 1]
        count = len(question.texts)
        return [first[i % len(first)] for i in range(count)] if first else None


def _distinct(recipe: Recipe) -> tuple[str, ...]:
    return tuple(dict.fromkeys(recipe.said))


SCHEME = _Ownership(
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
    described=("keys",),
)
