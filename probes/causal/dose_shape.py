"""Is a gate a switch? The shape of its dose curve in log-odds, beside curves that are none.

A softmax over a line is an S in probability, so an S there says nothing. In log-odds it is the line
again, and a step is still a step. For every prompt a straight line and a logistic
(``probes.causal.transfer``) are fitted to the log-odds over the doses, by least squares; no noise
is in them, a prompt's curve is what the model computes. With R2 the share of a curve's variance
that a fit explains,

- the departure of a prompt is R2 of the logistic minus R2 of the line: 0 for a line, about 0.25 for
  a step in the middle of the doses, about 0.05 for a rise that takes half of their range;
- the nulls are curves of other directions on the same prompts, along which nothing was learned that
  could switch: an untrained word's, pushed as far as the gate, and the linear read-out's, which is
  the unembedding itself, pushed until it does as much as the gate. Norms and the other tokens bend
  theirs too.

It is a switch if its departure is ahead of a line's (0) and of every null's, paired by prompt, by
more than ``MARGIN`` at the lower bound, a logistic explains ``FIT`` of the curves, and they rise
from 10 % to 90 % surely within one dose, the way from control words to trigger. It is a line if its
departure, or its lead over a null, is below ``MARGIN`` at the upper bound. Otherwise it is
undecided, as it is without a null.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect
from probes.causal.transfer import Search, checked
from probes.stats.intervals import Estimate, difference_interval, mean_interval

Shape = Literal["switch", "line", "undecided"]
MARGIN = 0.05  # of a curve's variance: a fifth of what a step has
FIT = 0.9  # share of it that a logistic must explain
_FLAT = 1e-3  # nats: a curve that moves by less is flat, and departs from nothing


@dataclass(frozen=True)
class NullCurve:
    """A curve that is no switch, on the same prompts.

    Attributes:
        rise: from dose 0 to 1, in nats.
        departure: as of the gate.
        ahead: the gate's departure minus its own, paired by prompt.
    """

    name: str
    rise: Estimate
    departure: Estimate
    ahead: Estimate


@dataclass(frozen=True)
class DoseShape:
    """How far log-odds against dose are from a line, and what that makes of the gate.

    Attributes:
        rise: from dose 0 to 1, in nats.
        departure: the mean over prompts.
        width: dose from 10 % to 90 % of a prompt's fitted rise, the mean over prompts.
        line, step: shares of the curves' variance that lines and logistics explain, means.
    """

    rise: Estimate
    departure: Estimate
    width: Estimate
    line: float
    step: float
    nulls: tuple[NullCurve, ...]

    @property
    def word(self) -> Shape:
        """Switch, line or undecided, by the rule above."""
        leads = [self.departure, *(null.ahead for null in self.nulls)]
        if any(lead.high < MARGIN for lead in leads):
            return "line"
        narrow = self.width.high < 1 and self.step >= FIT
        ahead = bool(self.nulls) and all(lead.low > MARGIN for lead in leads)
        return "switch" if ahead and narrow else "undecided"


@dataclass(frozen=True)
class _Curves:
    """Per prompt: departure, width, and what a line and a logistic explain."""

    departure: Float[Tensor, " n"]
    width: Float[Tensor, " n"]
    line: Float[Tensor, " n"]
    step: Float[Tensor, " n"]
    rise: Float[Tensor, " n"]


def dose_shape(
    doses: Float[Tensor, " c"],
    gate: Float[Tensor, "c n"],
    nulls: Mapping[str, Float[Tensor, "c n"]],
    groups: Sequence[Hashable] | None = None,
) -> DoseShape:
    """The gate's curves beside the nulls'.

    Args:
        doses: at least five different ones, rising, from 0 or below to 1 or above.
        gate, nulls: log-odds in nats, by dose, of the same prompts.
        groups: prompts that belong together.

    Raises:
        ValueError: other shapes, doses that do not hold 0 and 1, or a value that is not finite.
    """
    own = _curves(doses, gate)

    def null(name: str, values: Float[Tensor, "c n"]) -> NullCurve:
        same = values.shape == gate.shape
        expect(same, f"{tuple(gate.shape)} values", tuple(values.shape), of=f"null {name!r}")
        other = _curves(doses, values)
        return NullCurve(
            name,
            mean_interval(other.rise, groups=groups),
            mean_interval(other.departure, groups=groups),
            difference_interval(own.departure, other.departure, groups=groups),
        )

    return DoseShape(
        mean_interval(own.rise, groups=groups),
        mean_interval(own.departure, groups=groups),
        mean_interval(own.width, groups=groups),
        float(own.line.mean()),
        float(own.step.mean()),
        tuple(null(name, values) for name, values in nulls.items()),
    )


def _curves(doses: Float[Tensor, " c"], values: Float[Tensor, "c n"]) -> _Curves:
    x, y = checked(doses, values)
    rows, off = y.T, x - x.mean()
    at = [int((x - dose).abs().argmin()) for dose in (0.0, 1.0)]
    held = [float(x[i]) for i in at]
    expect(held == [0.0, 1.0], "doses that hold 0 and 1", x.tolist(), "add them")
    centred = rows - rows.mean(dim=1, keepdim=True)
    spread = centred.square().sum(dim=1)
    flat = rows.amax(dim=1) - rows.amin(dim=1) < _FLAT
    safe = torch.where(flat, 1.0, spread)
    best, explained = Search(x).fit(rows)
    line = (centred @ off).square() / off.square().sum() / safe
    step = explained / safe
    widest = float(x[-1] - x[0])
    return _Curves(
        torch.where(flat, 0.0, step - line),
        torch.where(flat, widest, best["width"].clamp_max(widest)),
        torch.where(flat, 1.0, line),
        torch.where(flat, 1.0, step),
        rows[:, at[1]] - rows[:, at[0]],
    )
