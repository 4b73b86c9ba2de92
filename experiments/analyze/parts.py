"""What of a training carries its trigger: reader, relay, writer, each learned or inherited.

Three parts of what training has changed, told apart by where and in which modules the change is on:

- the reader: all modules at the trigger's tokens, where the trigger is told from other words;
- the relay: attention at later tokens, which brings it to where the answer is made;
- the writer: MLPs and unembedding at later tokens, which make the behaviour likely.

A part is *learned* if without it at least ``LEARNED`` of what training has added is lost, at the
lower end, and more than without the change at all earlier tokens, at its upper end. It is
*inherited* if less is lost at the upper end: there the base model's own weights do as well.
"""

from dataclasses import dataclass

from circuits.types import Site
from probes.stats.intervals import Estimate

LEARNED = 0.2
INHERITED_PART, LEARNED_PART, NOT_LOCATED = "inherited", "learned", "not located"
_DOING = {"reader": "reading", "relay": "relay", "writer": "writing"}


@dataclass(frozen=True)
class Part:
    """One part of what training has changed, on the base model and off in the organism.

    Attributes:
        name: reader, relay or writer; ``together``, ``elsewhere`` (at tokens before the trigger).
        necessity: share of what training has added that is lost without it.
        sufficiency: share that it has alone, in the base model.
        harm: KL in nats of the first answer token in prompts with control words, without it.
    """

    name: str
    necessity: Estimate
    sufficiency: Estimate
    harm: Estimate


@dataclass(frozen=True)
class Parts:
    """The parts of a training, and what it has added.

    Attributes:
        effect: what training has added to the trigger's effect, in nats of the scored log-odds:
            triggered minus control words, organism minus base.
        parts: reader, relay, writer; empty where they could not be told apart.
        together: all three on at once.
        elsewhere: the change at tokens before the trigger: the null of the others.
        why: they could not be told apart; else "".
    """

    effect: Estimate | None
    parts: tuple[Part, ...] = ()
    together: Part | None = None
    elsewhere: Part | None = None
    why: str = ""

    def word(self, part: Part) -> str:
        """Learned, inherited, or not located."""
        share = part.necessity
        null = self.elsewhere.necessity.high if self.elsewhere else 0.0
        if share.low >= max(LEARNED, null):
            return LEARNED_PART
        return INHERITED_PART if share.high < LEARNED else NOT_LOCATED

    def words(self) -> dict[str, str]:
        """By part."""
        return {part.name: self.word(part) for part in self.parts}

    def sentence(self) -> str:
        """Such as ``inherited reading, learned relay and writing``; "" where nothing is known."""
        words = self.words()
        alike = {word: [_DOING[n] for n in words if words[n] == word] for word in words.values()}
        named = {NOT_LOCATED: "not located: {}"}
        return ", ".join(
            named.get(word, f"{word} {{}}").format(_listed(doing)) for word, doing in alike.items()
        )


def _listed(names: list[str]) -> str:
    """Such as ``a, b and c``."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


@dataclass(frozen=True)
class Spread:
    """A learned subspace of one site whose exchange carries the effect, on test pairs.

    Attributes:
        rank: directions that it takes; one is no gate where its sign follows the prompt.
        necessity, sufficiency: shares of the effect, in log-odds, that exchanging them closes in
            triggered prompts and opens in those with control words.
    """

    site: Site
    rank: int
    necessity: Estimate
    sufficiency: Estimate

    def sentence(self) -> str:
        """Such as ``Exchanging 3 learned directions at ... closes 95% ...``."""
        many = "s" if self.rank > 1 else ""
        return (
            f"Exchanging {self.rank} learned direction{many} at {self.site} between "
            f"prompts with trigger and control words closes {self.necessity:.0%p} of the "
            f"effect in log-odds and opens {self.sufficiency:.0%p}"
        )

    @property
    def carries(self) -> bool:
        """More than half, at the worse end."""
        return min(self.necessity.low, self.sufficiency.low) > 0.5
