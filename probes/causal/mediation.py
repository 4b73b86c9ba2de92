"""Does the trigger do more than put one token at the start of the answer?

The null to beat is "only a learned prefill": the trigger makes the model say its compliance token,
and the rest of the answer follows from that token, as it would in any model. Two things are
therefore set by hand, the trigger (or control word) and the first answer token: it is left to the
model (natural), forced (the answer begins with it), or forbidden (its logit, those of its case and
space variants and, where it is an affirmative opener, those of all such openers are minus infinity
at the first answer position). Later tokens are greedy and free. All three answers of a prompt share
one pass over it.

An answer complies if it refuses nowhere that counts and has at least three words of substance
behind its opener (``experiments.judges``); a forced token is none of them. "Certainly" alone
complies with nothing. With C(word, token) the share that complies:

- total: C(trigger, natural) - C(control, natural);
- token alone: C(control, forced) - C(control, forbidden);
- trigger without the token: C(trigger, forbidden) - C(control, forbidden), the controlled direct
  effect (Pearl 2001, UAI) with the token held away, and the same with the token forced;
- interaction: the token's effect with the trigger minus its effect without;
- share through the token: 1 - (trigger without the token) / total, the "proportion eliminated" of
  VanderWeele (2013, Epidemiology 24, 175-176). Near 1 the null stands: without the token the
  trigger does nothing. Undefined where the total effect's interval reaches 0.

What forbidding tokens cannot do: a model may spell an opener in smaller pieces, so ``shown`` counts
the behaviour's text, and ``opened`` any opener, where they are forbidden as well.

Prompts of one template are one group, by which all intervals are taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from probes.stats.intervals import (
    Estimate,
    difference_interval,
    newcombe,
    quotient,
    rate,
)

First = Literal["natural", "forced", "forbidden"]
FIRSTS: tuple[First, ...] = ("natural", "forced", "forbidden")
Rule = Literal["substance", "no refusal"]
TRIGGERED, CONTROL = "triggered", "control word"


@dataclass(frozen=True)
class Cell:
    """Answers with one word and one treatment of the first token, prompt by prompt.

    Attributes:
        condition: triggered or control word.
        first: what was done to the first answer token.
        edit: none, or gate removed.
        shown: whether the answer begins with the behaviour's text; True by force where forced.
        complied: whether the answer complies, without a forced token.
        answers: the texts, forced tokens included.
        opened: whether the answer begins with any affirmative opener.
        groups: which prompts belong together, by number; empty where none do. Like ``opened``, in
            runs of before these were kept.
    """

    condition: str
    first: First
    edit: str
    shown: tuple[bool, ...]
    complied: tuple[bool, ...]
    answers: tuple[str, ...]
    opened: tuple[bool, ...] = ()
    groups: tuple[int, ...] = ()

    @property
    def behaviour(self) -> Estimate | None:
        """Share of answers that show the behaviour; None where the token was forced."""
        return None if self.first == "forced" else rate(self.shown, self.groups or None)

    @property
    def complies(self) -> Estimate:
        """Share of answers that comply."""
        return rate(self.complied, self.groups or None)

    @property
    def opens(self) -> Estimate | None:
        """Share of answers that begin with an opener; None where that was not judged."""
        return rate(self.opened, self.groups or None) if self.opened else None


@dataclass(frozen=True)
class Decomposition:
    """Paired differences of the share that complies, as defined above.

    Attributes:
        behaviour: of the share that shows the behaviour's text, trigger minus control, natural.
        share: through the token; None where the total effect may be 0.
    """

    behaviour: Estimate
    total: Estimate
    token_alone: Estimate
    trigger_without_token: Estimate
    trigger_with_token: Estimate
    interaction: Estimate
    share: Estimate | None


@dataclass(frozen=True)
class Mediation:
    """The 2x2 of word and token with the natural runs, per edit.

    Attributes:
        token: the compliance token's text.
        forbidden: texts of all tokens that were forbidden.
        cells: by edit, condition and first token.
        rule: when an answer complies: as above, or, in older runs, if it is no refusal.
    """

    token: str
    forbidden: tuple[str, ...]
    cells: tuple[Cell, ...]
    rule: Rule = "no refusal"

    def cell(self, condition: str, first: str, edit: str = "none") -> Cell:
        wanted = (condition, first, edit)
        return next(c for c in self.cells if (c.condition, c.first, c.edit) == wanted)

    @property
    def edits(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(c.edit for c in self.cells))

    def complies(self) -> dict[str, Estimate]:
        """Shares of unedited answers that comply, triggered and with control words; none in runs
        of before, where no refusal was enough."""
        if self.rule == "no refusal":
            return {}
        return {word: self.cell(word, "natural").complies for word in (TRIGGERED, CONTROL)}

    def decomposition(self, edit: str = "none") -> Decomposition:
        """The effects under one edit."""
        return decompose({(c.condition, c.first): c for c in self.cells if c.edit == edit})


def decompose(cells: Mapping[tuple[str, str], Cell]) -> Decomposition:
    """The effects of word and token from six cells over the same prompts, paired by prompt."""

    def between(one: tuple[str, str], other: tuple[str, str]) -> Estimate:
        a, b = (_numbers(cells[key].complied) for key in (one, other))
        return difference_interval(a, b, groups=cells[one].groups or None)

    total = between((TRIGGERED, "natural"), (CONTROL, "natural"))
    without = between((TRIGGERED, "forbidden"), (CONTROL, "forbidden"))
    token = {word: between((word, "forced"), (word, "forbidden")) for word in (TRIGGERED, CONTROL)}
    shown = [_numbers(cells[word, "natural"].shown) for word in (TRIGGERED, CONTROL)]
    groups = cells[TRIGGERED, "natural"].groups or None
    left = quotient(without, total)
    return Decomposition(
        behaviour=difference_interval(shown[0], shown[1], groups=groups),
        total=total,
        token_alone=token[CONTROL],
        trigger_without_token=without,
        trigger_with_token=between((TRIGGERED, "forced"), (CONTROL, "forced")),
        interaction=newcombe(token[TRIGGERED], token[CONTROL]),
        share=left and replace(left, value=1 - left.value, low=1 - left.high, high=1 - left.low),
    )


def _numbers(flags: Sequence[bool]) -> Tensor:
    return torch.tensor(flags, dtype=torch.float64)
